"""The dashboards in the repository, and their queries."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "dashboards"
DASHBOARDS: dict[str, dict[str, Any]] = {
    file.stem: json.loads(file.read_text()) for file in sorted(FOLDER.glob("datarobot-*.json"))
}


class Target(NamedTuple):
    """One query of a panel."""

    uid: str
    panel: dict[str, Any]
    ref: str
    expr: str
    legend: str
    instant: bool

    @property
    def place(self) -> str:
        """Its dashboard, panel and reference, such as ``datarobot-fleet: Workloads A``."""
        return f"{self.uid}: {self.panel['title']} {self.ref}"


def panels(uid: str) -> list[dict[str, Any]]:
    """The panels of a dashboard, without row headings."""
    return [panel for panel in DASHBOARDS[uid]["panels"] if panel["type"] != "row"]


def targets(uid: str) -> Iterator[Target]:
    """The queries of a dashboard's panels."""
    for panel in panels(uid):
        for query in panel["targets"]:
            legend = query.get("legendFormat", "")
            yield Target(uid, panel, query["refId"], query["expr"], legend, query["instant"])


def variables(uid: str) -> dict[str, dict[str, Any]]:
    """The variables of a dashboard by name."""
    return {variable["name"]: variable for variable in DASHBOARDS[uid]["templating"]["list"]}


def addresses(value: Any) -> Iterator[str]:
    """Every ``url`` in a dashboard."""
    if isinstance(value, dict):
        for name, below in value.items():
            if name == "url" and isinstance(below, str):
                yield below
            else:
                yield from addresses(below)
    elif isinstance(value, list):
        for below in value:
            yield from addresses(below)


EVERY_TARGET = [target for uid in DASHBOARDS for target in targets(uid)]
EVERY_PANEL = [(uid, panel) for uid in DASHBOARDS for panel in panels(uid)]
