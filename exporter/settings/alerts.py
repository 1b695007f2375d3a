"""Settings of alerts and their rules."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationInfo

from exporter.alerting.alerts import DEFAULTS
from exporter.alerting.rules import LABELS, Options
from exporter.settings.section import ALERT_NAMES, Duration, DurationOrZero, Section, known_names


def _trace_url(given: str) -> str:
    parts = urlsplit(given)
    if given and (parts.scheme not in ("http", "https") or not parts.hostname or "{workload_id}" not in given):
        raise ValueError("no URL with http:// or https:// and {workload_id}, where the id belongs")
    if re.search(r"[{}\s]", given.replace("{workload_id}", "")):
        raise ValueError("a URL with a space or a brace in it; write %20, %7B, %7D, and braces for {workload_id} alone")
    return given


def _new_labels(given: dict[str, str], told: ValidationInfo) -> dict[str, str]:
    """Labels that replace none of those by which alerts are routed and told apart."""
    for name in given:
        if name in (*LABELS, told.data.get("severity_label")):
            raise ValueError(f"{name!r} is a label that alerts have already; choose another name")
    return given


class AlertSettings(Section):
    """The alerts: what rules are written, with which thresholds. See docs/alerts.md."""

    selector: str = Field(
        'job="datarobot"',
        pattern=r'^(\w+(=|=~|!=|!~)"[^"\\]*"(, ?|$))*$',
        description="Matchers in every selector of the rules.",
    )
    thresholds: Annotated[
        dict[str, Annotated[float, Field(allow_inf_nan=False)]], known_names(DEFAULTS, "threshold")
    ] = Field(default_factory=dict, description="Thresholds by name, where they differ from those in docs/alerts.md.")
    wait: Annotated[dict[str, DurationOrZero], ALERT_NAMES] = Field(
        default_factory=dict, description="How long the condition of an alert must hold, by its name."
    )
    on: Annotated[tuple[str, ...], ALERT_NAMES] = Field((), description="Alerts to add that are off by default.")
    off: Annotated[tuple[str, ...], ALERT_NAMES] = Field((), description="Alerts to leave out.")
    severity_label: str = Field("severity", pattern=r"^[a-zA-Z_]\w*$", description="Name of the label of severity.")
    labels: Annotated[dict[str, str], AfterValidator(_new_labels)] = Field(
        default_factory=dict, description="Labels set on every alert, beside those that alerts have anyway."
    )
    hold: Duration = Field(600.0, description="How long an alert outlasts data that does not come.")
    runbook_url: str = Field("alerts/runbooks/", description="What stands before `NAME.md` in links to runbooks.")
    dashboard_url: str = Field("", description="Base URL of Grafana, for links to dashboards.")
    console_url: str = Field("", description="Base URL of DataRobot, for links to its console.")
    trace_url: Annotated[str, AfterValidator(_trace_url)] = Field(
        "",
        description="URL that finds the traces of `{workload_id}`, for links to them, such as "
        "`http://127.0.0.1:16686/search?service=workload-{workload_id}` of Jaeger.",
    )

    @property
    def options(self) -> Options:
        """The same, as rules are written with."""
        return Options(
            selector=self.selector,
            thresholds={**DEFAULTS, **self.thresholds},
            waits=self.wait,
            on=frozenset(self.on),
            off=frozenset(self.off),
            labels=self.labels,
            severity_label=self.severity_label,
            runbooks=self.runbook_url,
            dashboards=self.dashboard_url.rstrip("/"),
            console=self.console_url.rstrip("/"),
            traces=self.trace_url,
            hold=self.hold,
        )
