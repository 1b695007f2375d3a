"""A Prometheus whose history is filled with pages, without waiting for them to be scraped."""

import subprocess
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.components import component
from tests.e2e.servers import Prometheus, prometheus

ONE_BLOCK = "--max-block-duration=162h"
"""What is shorter is one block: promtool reads the whole file for each, which by default has two hours."""


class Pages:
    """Samples of pages with the time of each; `only` families of these names, where it is given."""

    def __init__(self, only: Container[str] | None = None) -> None:
        self._samples: dict[tuple[str, str], list[tuple[int, str]]] = {}  # series and further labels -> time and value
        self._only = only

    def add(self, page: str, at: float, more: str = "") -> None:
        """A page in text format as scraped `at`, in seconds since the epoch; `more` labels such as ``job="x"``."""
        second = round(at)
        for line in page.splitlines():
            if not line.startswith("#"):
                series, _, value = line.rpartition(" ")
                if self._only is None or _name(series) in self._only:
                    self._samples.setdefault((series, more), []).append((second, value))

    def write(self, file: Path, only: Container[str] | None = None) -> Path:
        """All of it, or `only` these families, as OpenMetrics.

        One series after another, each in order of time, as the format wants it.
        """
        families: dict[str, list[tuple[str, str]]] = {}
        for series, more in sorted(self._samples):
            if only is None or _name(series) in only:
                families.setdefault(_name(series), []).append((series, more))
        with file.open("w") as out:
            for name in sorted(families):
                out.write(f"# TYPE {name} unknown\n")
                for series, more in families[name]:
                    labelled = _with(series, more)
                    out.writelines(f"{labelled} {value} {at}\n" for at, value in sorted(self._samples[series, more]))
            out.write("# EOF\n")
        return file


def _name(series: str) -> str:
    return series.partition("{")[0]


def _with(series: str, more: str) -> str:
    if not more:
        return series
    name, brace, rest = series.partition("{")
    return f"{name}{{{more},{rest}" if brace else f"{name}{{{more}}}"


@contextmanager
def filled(
    folder: Path, pages: Pages, lookback: str = "5m", only: Container[str] | None = None
) -> Iterator[Prometheus]:
    """A real Prometheus with these pages, or `only` some families of them, as its history.

    A history has no marks of staleness: a series that is gone lasts for `lookback`, so let it be less than two pages.
    """
    promtool = component("promtool")
    folder.mkdir(exist_ok=True)
    file = pages.write(folder / "pages.om", only)
    made = subprocess.run(
        [promtool, "tsdb", "create-blocks-from", ONE_BLOCK, "openmetrics", str(file), str(folder / "tsdb")],
        capture_output=True, check=False, text=True,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr[-2000:]
    kept = ("--storage.tsdb.retention.time=100y", f"--query.lookback-delta={lookback}")
    with prometheus(folder, {"global": {}}, *kept) as server:
        yield server
