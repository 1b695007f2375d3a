"""A Prometheus that holds what a page said over time, without waiting for it."""

import re
import subprocess
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.components import component
from tests.e2e.servers import Prometheus, prometheus


class Pages:
    """Samples of pages with the time of each; `only` families of these names, where it is given."""

    def __init__(self, only: Container[str] | None = None) -> None:
        self._rows: dict[str, list[str]] = {}
        self._only = only

    def add(self, page: str, at: float, more: str = "") -> None:
        """A page in text format as scraped `at`, in seconds since the epoch; `more` labels such as ``job="x"``."""
        for line in page.splitlines():
            if not line.startswith("#"):
                name = re.split(r"[{ ]", line)[0]
                if self._only is not None and name not in self._only:
                    continue
                self._rows.setdefault(name, []).append(f"{_with(line, more)} {round(at)}\n")

    def write(self, file: Path) -> Path:
        """All of it as OpenMetrics; one series after another, each in order of time, as the format wants it."""
        with file.open("w") as out:
            for name in sorted(self._rows):
                out.write(f"# TYPE {name} unknown\n")
                there = self._rows[name]
                out.writelines(sorted(there, key=lambda line: (line.rsplit(" ", 2)[0], int(line.rsplit(" ", 1)[1]))))
            out.write("# EOF\n")
        return file


def _with(line: str, more: str) -> str:
    if not more:
        return line
    name, brace, rest = line.partition("{")
    if not brace:
        name, _, value = line.partition(" ")
        return f"{name}{{{more}}} {value}"
    return f"{name}{{{more},{rest}"


@contextmanager
def filled(folder: Path, pages: Pages, lookback: str = "5m") -> Iterator[Prometheus]:
    """A real Prometheus with these pages as its history.

    A history has no marks of staleness: a series that is gone lasts for `lookback`, so let it be less than two pages.
    """
    promtool = component("promtool")
    folder.mkdir(exist_ok=True)
    file = pages.write(folder / "pages.om")
    made = subprocess.run(
        [promtool, "tsdb", "create-blocks-from", "openmetrics", str(file), str(folder / "tsdb")],
        capture_output=True, check=False, text=True,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr[-2000:]
    kept = ("--storage.tsdb.retention.time=100y", f"--query.lookback-delta={lookback}")
    with prometheus(folder, {"global": {}}, *kept) as server:
        yield server
