"""The dashboards as they are in the repository, and what they ask."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "dashboards"
BOARDS: dict[str, dict[str, Any]] = {
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
        """Where it is, for people: ``datarobot-fleet: Workloads A``."""
        return f"{self.uid}: {self.panel['title']} {self.ref}"


def panels(uid: str) -> list[dict[str, Any]]:
    """The panels of a dashboard, without the headings of rows."""
    return [panel for panel in BOARDS[uid]["panels"] if panel["type"] != "row"]


def targets(uid: str) -> Iterator[Target]:
    """The queries of a dashboard's panels."""
    for panel in panels(uid):
        for told in panel["targets"]:
            legend = told.get("legendFormat", "")
            yield Target(uid, panel, told["refId"], told["expr"], legend, told["instant"])


def variables(uid: str) -> dict[str, dict[str, Any]]:
    """The variables of a dashboard by name."""
    return {variable["name"]: variable for variable in BOARDS[uid]["templating"]["list"]}


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


EVERY_TARGET = [target for uid in BOARDS for target in targets(uid)]
EVERY_PANEL = [(uid, panel) for uid in BOARDS for panel in panels(uid)]
