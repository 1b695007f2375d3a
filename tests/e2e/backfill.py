"""A Prometheus that holds what a page said over time, without waiting for it."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.components import component
from tests.e2e.test_prometheus import eventually, free_port, stop


class Pages:
    """Samples of pages with the time of each."""

    def __init__(self) -> None:
        self._rows: dict[str, list[str]] = {}

    def add(self, page: str, at: float, more: str = "") -> None:
        """A page in text format as scraped `at`, in seconds since the epoch; `more` labels such as ``job="x"``."""
        for line in page.splitlines():
            if not line.startswith("#"):
                name = re.split(r"[{ ]", line)[0]
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
def filled(folder: Path, pages: Pages) -> Iterator["Filled"]:
    """A real Prometheus with these pages as its history."""
    server, promtool = component("prometheus"), component("promtool")
    file = pages.write(folder / "pages.om")
    made = subprocess.run(
        [promtool, "tsdb", "create-blocks-from", "openmetrics", str(file), str(folder / "tsdb")],
        capture_output=True, check=False, text=True,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr[-2000:]
    (folder / "prometheus.yml").write_text(json.dumps({"global": {}}))
    port = free_port()
    with ExitStack() as stack:
        log = stack.enter_context((folder / "prometheus.log").open("wb"))
        process = subprocess.Popen(
            [
                *(server, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}"),
                *(f"--web.listen-address=127.0.0.1:{port}", "--storage.tsdb.retention.time=100y"),
            ],
            stderr=log,
        )
        url = f"http://127.0.0.1:{port}"
        try:
            assert eventually(lambda: httpx.get(f"{url}/-/ready", trust_env=False).status_code == 200, 60)
            yield Filled(url)
        finally:
            stop(process)


class Filled:
    """Asks that Prometheus."""

    def __init__(self, url: str) -> None:
        self.url = url

    def query(self, expression: str, at: float) -> list[dict[str, Any]]:
        """The series of an expression at a time."""
        told = {"query": expression, "time": str(at)}
        answer = httpx.post(f"{self.url}/api/v1/query", data=told, trust_env=False, timeout=60).json()
        assert answer["status"] == "success", answer
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result
