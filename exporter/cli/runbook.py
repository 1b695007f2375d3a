"""``runbook``: what to do when an alert fires."""

from __future__ import annotations

import argparse
import sys
from functools import partial

from exporter.alerting.alerts import ALERTS
from exporter.cli.assets import asset
from exporter.cli.context import Context
from exporter.cli.flags import suggest
from exporter.runbooks.page import pages


def add_flags(parser: argparse.ArgumentParser) -> None:
    alert = parser.add_argument("alert", nargs="?", metavar="ALERT", help="name of an alert; default: list all of them")
    suggest(alert, (alert.name for alert in ALERTS))


def run(context: Context) -> int:
    found = {name.removesuffix(".md"): text for name, text in pages().items()}
    index = found.pop("README")
    if context.options.alert is None:
        sys.stdout.write(index)
        return 0
    name = context.options.alert.removesuffix(".md")
    full = name if name.startswith("DataRobot") else f"DataRobot{name}"
    sys.stdout.write(asset(full, {each: partial(str, text) for each, text in found.items()}, "alert"))
    return 0
