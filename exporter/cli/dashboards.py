"""``dashboards``: the Grafana dashboards."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from exporter.asset_files import asset_files
from exporter.cli.assets import asset
from exporter.cli.context import Context
from exporter.cli.flags import suggest

_PREFIX, _SUFFIX = "dashboards/datarobot-", ".json"


def add_flags(parser: argparse.ArgumentParser) -> None:
    dashboard = parser.add_argument(
        "dashboard", nargs="?", metavar="NAME", help="print the JSON of this one; default: list all of them"
    )
    suggest(dashboard, _dashboards())


def run(context: Context) -> int:
    found = _dashboards()
    if context.options.dashboard is None:
        sys.stdout.writelines(f"{name}\n" for name in found)
    else:
        name = context.options.dashboard.removesuffix(_SUFFIX).removeprefix("datarobot-")
        sys.stdout.write(asset(name, found, "dashboard"))
    return 0


def _dashboards() -> dict[str, Callable[[], str]]:
    """The text of each dashboard, by the part of its file's name that differs."""
    return {
        place.removeprefix(_PREFIX).removesuffix(_SUFFIX): file.read_text
        for place, file in asset_files().items()
        if place.startswith(_PREFIX)
    }
