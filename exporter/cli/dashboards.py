"""``dashboards``: the Grafana dashboards."""

from __future__ import annotations

import argparse
import sys

from exporter.asset_files import asset_files
from exporter.cli.assets import asset
from exporter.cli.context import Context


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "dashboard", nargs="?", metavar="NAME", help="print the JSON of this one; default: list all of them"
    )


def run(context: Context) -> int:
    prefix, suffix = "dashboards/datarobot-", ".json"
    found = {
        place.removeprefix(prefix).removesuffix(suffix): file.read_text
        for place, file in asset_files().items()
        if place.startswith(prefix)
    }
    if context.options.dashboard is None:
        sys.stdout.writelines(f"{name}\n" for name in found)
    else:
        name = context.options.dashboard.removesuffix(suffix).removeprefix("datarobot-")
        sys.stdout.write(asset(name, found, "dashboard"))
    return 0
