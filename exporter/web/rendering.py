"""What the HTML pages share: the environment of their templates, style, Content-Security-Policy, texts of alerts."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from exporter.alerting.alerts import ALERTS
from exporter.alerting.evaluation import ActiveAlert
from exporter.alerting.rules import Options
from exporter.diagnosis.fleet_table import NEEDS_ATTENTION, Row, lasted
from exporter.diagnosis.phrases import utc
from exporter.timestamps import rfc3339

TEMPLATES = Path(__file__).with_name("templates")
_STYLE = (TEMPLATES / "status_page.css").read_text("utf-8")
SUMMARIES = {alert.name: alert.summary for alert in ALERTS}


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def policy(script: str = "") -> str:
    """The Content-Security-Policy of a page: its own inline style, and its own inline script if it has one."""
    scripts = f"script-src {_hash(script)}; connect-src 'self'; " if script else ""
    return (
        f"default-src 'none'; style-src {_hash(_STYLE)}; {scripts}img-src data:; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )


class AlertText(NamedTuple):
    """An alert as text: name without prefix, tooltip, address of the runbook."""

    short: str
    title: str
    runbook: str


def runbook(alert: str, options: Options, root: str = "./") -> str:
    """The address of an alert's runbook: as the settings say, if a browser can open that, else on this server.

    `root`: the address of the status page, relative to the page that has the link.
    """
    elsewhere = options.runbooks.startswith(("https://", "http://"))
    return f"{options.runbooks}{alert}.md" if elsewhere else f"{root}runbooks/{alert}"


def described(options: Options, root: str = "./") -> Callable[[ActiveAlert], AlertText]:
    """A function that returns the texts of an alert. `root`: as of `runbook`."""

    @functools.cache
    def describe(active: ActiveAlert) -> AlertText:
        title = f"{active.severity}: {active.alert}: {SUMMARIES[active.alert]}"
        return AlertText(active.alert.removeprefix("DataRobot"), title, runbook(active.alert, options, root))

    return describe


def moment(at: float) -> str:
    """A time as text."""
    return utc(at).strftime("%Y-%m-%d %H:%M:%S UTC")


def readiness_unknown(row: Row) -> bool:
    """Whether it is unknown if a running workload has enough ready replicas."""
    if row.ready is None:
        return row.group == "up"
    return row.group == "up" and row.unknown > 0 and row.ready < max(1, row.least or 0)


def colour(row: Row) -> str:
    """CSS class of the state: a running workload is not green if an alert is active or its pods are unknown."""
    if row.urgency == 0:
        return "critical"
    if row.group in ("up", "off") and row.urgency <= NEEDS_ATTENTION:
        return "warning"
    return "unknown" if readiness_unknown(row) else row.group


def icon(color: str) -> str:
    """A dot for the tab, as an address."""
    dot = f'<circle cx="4.5" cy="4.5" r="4" fill="{color}"/>'
    return "data:image/svg+xml," + quote(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9">{dot}</svg>')


def workload_address(workload_id: str, account: str) -> str:
    """The address of the page of a workload, relative to the status page."""
    path, value = (quote(text, safe="", errors="replace") for text in (workload_id, account))
    return f"workloads/{path}?account={value}"


def environment(**names: Any) -> Environment:
    """The templates, each compiled once; whatever a template inserts is escaped. `names` are global in them."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {
        "moment": moment,
        "rfc3339": functools.partial(rfc3339, timespec="seconds"),
        "lasted": lasted,
        "colour": colour,
        "thousands": "{:,}".format,
        "quoted": functools.partial(quote, safe="", errors="replace"),
    }
    made.globals |= {"style": Markup(_STYLE), **names}  # noqa: S704 — ours
    return made
