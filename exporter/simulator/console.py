"""A page in place of each page of the console to which the exporter links: it says what it is."""

from __future__ import annotations

import html
from collections.abc import Callable
from urllib.parse import unquote

from exporter.simulator.oddities import SimulatedResponse

CONSOLE = "/console-nextgen/workloads/"
PAGES = {
    "overview": "the overview of this workload: its status, endpoint, versions, replicas and resources, and the menu "
    "<i>Actions</i>, with which its owner stops, starts or replaces it",
    "activity-log/otel-logs": "the log of this workload: what its containers write",
}
"""What stands at the end of the path in the console, as HTML."""
Explained = Callable[[str], str]
"""What `explain` shows of the workload with an id."""


def console_page(path: str, explained: Explained | None) -> SimulatedResponse:
    """The page at a path below `CONSOLE`, with a text about the workload if there is one."""
    workload, _, place = path.removeprefix(CONSOLE).partition("/")
    workload, shown = unquote(workload, errors="replace"), PAGES.get(place.rstrip("/"))
    if shown is None or not workload:
        return _page(404, "<p>The exporter links to no such page of the console.</p>")
    command = f"workload-exporter explain {html.escape(workload)}"
    text = "" if explained is None else f"<pre>{html.escape(explained(workload))}</pre>"
    return _page(
        200,
        f"<p>In DataRobot, this address is {shown}.</p>"
        f"<p>What <code>{command}</code> shows{':' if text else ' is what the exporter knows of it.'}</p>{text}",
    )


def _page(status: int, content: str) -> SimulatedResponse:
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        "<title>Simulation: no console</title><style>body{font:1rem/1.5 sans-serif;max-width:50rem;margin:2rem auto;"
        "padding:0 1rem}pre{overflow:auto;padding:1rem;border:1px solid}</style>"
        f"<h1>This is a simulation, not DataRobot</h1>{content}</html>"
    )
    headers = (
        ("content-type", "text/html; charset=utf-8"),
        ("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'"),
    )
    return SimulatedResponse(status, headers, page.encode("utf-8", "replace"))
