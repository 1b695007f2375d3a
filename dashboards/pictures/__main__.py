"""`python -m dashboards.pictures [NAME …]` draws the dashboards with the data of a bad day of the simulated fleet.

Needs node, npm, chromium and prometheus. Fails if a panel reports an error, a chart is blank, a unit is unknown to
Grafana, or a panel has no data without being listed as empty.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from dashboards import FILES
from tests.dashboards.days import BAD, named, stored
from tests.e2e.servers import Prometheus
from tests.stage import START

HERE = Path(__file__).parent
PICTURES = HERE.parent.parent / "docs" / "pictures"
BEGIN, END, STEP = START + 300, START + 4500, 30
STORY = "crash loop"
EMPTY: Mapping[str, frozenset[str]] = {
    "workload": frozenset({"Autoscaler load", "Events"}),  # the workload has neither an autoscaler nor events
}
"""Panels without data at the time of the pictures, by dashboard."""
PAGE = """<!doctype html><meta charset="utf-8"><title>dashboard</title><link rel="stylesheet" href="/draw.css">
<style>body {{ margin: 0; background: #111217; font-family: "DejaVu Sans", sans-serif; overflow: hidden }}</style>
<div id="root"></div>
<script>
window.failures = [];
window.onerror = (message) => window.failures.push(String(message));
window.onunhandledrejection = (event) => window.failures.push(String(event.reason?.stack ?? event.reason));
for (const level of ["error"]) {{
  const log = console[level];
  console[level] = (...words) => {{ window.failures.push(words.map(String).join(" ")); log.apply(console, words); }};
}}
{{
  const Real = Date, ahead = {end} * 1000 - Real.now();
  window.Date = class extends Real {{
    constructor(...values) {{ values.length ? super(...values) : super(Real.now() + ahead); }}
    static now() {{ return Real.now() + ahead; }}
  }};
}}
window.input = {input};
window.selected = {selected};
</script><script src="/draw.js"></script>"""
CHROMIUM = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars --force-device-scale-factor=1 --lang=en"
).split()


def program(*names: str) -> str:
    """The path of the first program found. Exits if there is none."""
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        sys.exit(f"{names[0]} is missing; on Debian: apt-get install nodejs npm chromium fonts-dejavu-core prometheus")
    return found


def bundled(folder: Path) -> Path:
    """Bundle the drawing code for a browser into a folder. Installs the locked packages if they are missing."""
    node, npm = program("node"), program("npm")
    if not (HERE / "node_modules" / "esbuild").exists():
        subprocess.run([npm, "ci", "--ignore-scripts", "--legacy-peer-deps"], cwd=HERE, check=True)
    subprocess.run([node, "bundle.mjs", folder / "draw.js"], cwd=HERE, check=True)
    return folder


class _Handler(BaseHTTPRequestHandler):
    page = ""
    prometheus = ""
    folder = Path()
    report: dict[str, Any] | None = None

    def do_GET(self) -> None:
        if self.path == "/":
            self._respond(self.page.encode(), "text/html")
        elif self.path in ("/draw.js", "/draw.css"):
            kind = "text/css" if self.path.endswith("css") else "text/javascript"
            self._respond((self.folder / self.path[1:]).read_bytes(), kind)
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/report":
            type(self).report = json.loads(body)
            self._respond(b"", "text/plain")
            return
        headers = {"content-type": "application/x-www-form-urlencoded"}
        response = httpx.post(
            f"{self.prometheus}{self.path}", content=body, headers=headers, trust_env=False, timeout=60
        )
        self._respond(response.content, "application/json")

    def _respond(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(handler: type[_Handler]) -> Iterator[str]:
    """Serve the page, and Prometheus from the same origin."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def draw(name: str, prometheus: Prometheus, code: Path, to: Path) -> list[str]:
    """Draw one dashboard into a file; return its errors."""
    content = json.loads(FILES[f"datarobot-{name}.json"])
    row = prometheus.query(f'datarobot_workload_info{{workload="{named(STORY)}"}}', END)[0]["metric"]
    selected = {variable["name"]: "All" for variable in content["templating"]["list"] if variable.get("multi")} | (
        {"workload": row["workload"]} if name == "workload" else {}
    )
    values = dict.fromkeys(("job", "account", "importance", "instance"), ".+") | {"tag": "", "tag_value": ".*"}
    values |= {
        "workload": row["workload_id"],
        "__rate_interval": "2m",
        "__range": f"{END - BEGIN:g}s",
        "datasource": "x",
    }
    given = {"dashboard": content, "values": values, "begin": BEGIN, "end": END, "step": STEP}
    quoted = json.dumps(given).replace("<", "\\u003c")

    class Handler(_Handler):
        page = PAGE.format(end=END, input=quoted, selected=json.dumps(selected))
        folder = code

    Handler.prometheus = prometheus.url
    height = 64 + 38 * max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in content["panels"])
    with serving(Handler) as url, tempfile.TemporaryDirectory() as profile:
        command = [program("chromium", "chromium-browser", "google-chrome"), *CHROMIUM, f"--user-data-dir={profile}",
                   f"--window-size=1300,{height}", "--virtual-time-budget=15000",
                   f"--screenshot={to}", url]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
    report = Handler.report
    if done.returncode or report is None or not to.exists():
        return [f"no picture: {done.stderr[-2000:]}"]
    wrong = [*report["failures"], *(f"blank: {title}" for title in report["blank"])]
    wrong += [f"unknown unit: {unit}" for unit in report["units"]]
    empty, expected = {*report["empty"]}, EMPTY.get(name, frozenset())
    wrong += [f"no data: {title}" for title in sorted(empty - expected)]
    wrong += [f"has data, remove it from EMPTY: {title}" for title in sorted(expected - empty)]
    return wrong


def main(arguments: list[str]) -> int:
    """Draw the named dashboards, or all."""
    names = [file.removeprefix("datarobot-").removesuffix(".json") for file in FILES]
    parser = argparse.ArgumentParser(prog="python -m dashboards.pictures", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("name", nargs="*", choices=[[], *names], help="dashboards to draw; default all")
    parser.add_argument("--to", type=Path, default=PICTURES, help="the folder to draw into")
    options = parser.parse_args(arguments)
    options.to.mkdir(parents=True, exist_ok=True)
    failed = False
    with tempfile.TemporaryDirectory() as place:
        code = bundled(Path(place))
        with stored(BAD, Path(place)) as prometheus:
            for name in options.name or names:
                file = options.to / f"{name}.png"
                wrong = draw(name, prometheus, code, file)
                failed |= bool(wrong)
                print("\n".join([f"{file}: {'; '.join(wrong) or 'drawn'}"]))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
