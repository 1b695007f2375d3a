"""Settings of alerts and their rules."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from exporter.alerting.alerts import BY_NAME
from exporter.alerting.limits import DEFAULTS, TIMES
from exporter.alerting.rules import LABELS, RUNBOOKS, Options
from exporter.fleet.tag_labels import label_name
from exporter.settings.section import ALERT_NAMES, Duration, DurationOrZero, Section, known_names
from exporter.settings.values import seconds


def _trace_url(given: str) -> str:
    parts = urlsplit(given)
    if given and (parts.scheme not in ("http", "https") or not parts.hostname or "{workload_id}" not in given):
        raise ValueError("not a URL with http:// or https:// and {workload_id} as the place of the id")
    if re.search(r"[{}\s]", given.replace("{workload_id}", "")):
        raise ValueError("the URL contains a space or a brace outside {workload_id}; write %20, %7B or %7D")
    return given


def _base_url(given: str) -> str:
    parts = urlsplit(given)
    plain = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
    if given and (not plain or parts.query or parts.fragment or re.search(r"[{}\s]", given)):
        raise ValueError("not a plain URL; use one such as https://exporter.example.com")
    return given.rstrip("/")


def _new_labels(given: dict[str, str], info: ValidationInfo) -> dict[str, str]:
    """Rejects labels that alerts already have, by which they are routed and identified."""
    for name in given:
        if name in (*LABELS, info.data.get("severity_label")):
            raise ValueError(f"alerts already have the label {name!r}; choose another name")
    return given


def _no_wildcards(given: tuple[str, ...]) -> tuple[str, ...]:
    for name in given:
        if "*" in name:
            raise ValueError(f"{name!r} contains *; name each tag")
    return given


def _in_seconds(given: object) -> object:
    """Thresholds with durations as numbers; only those that are times may have them."""
    if not isinstance(given, dict):
        return given
    found = dict(given)
    for name in TIMES & given.keys():
        try:
            found[name] = seconds(given[name])
        except ValueError as error:
            raise ValueError(f"{name} is {error}") from None
    return found


Note = Annotated[str, Field(min_length=1, max_length=500)]


class AlertSettings(Section):
    """Alerts: which rules exist, with which thresholds. See docs/alerts.md."""

    selector: str = Field(
        'job="datarobot"',
        pattern=r'^(\w+(=|=~|!=|!~)"[^"\\]*"(, ?|$))*$',
        description="Matchers that every selector in the rules contains.",
    )
    thresholds: Annotated[
        dict[str, Annotated[float, Field(allow_inf_nan=False)]],
        BeforeValidator(_in_seconds, json_schema_input_type=dict[str, float | str]),
        known_names(DEFAULTS, "threshold"),
    ] = Field(
        default_factory=dict,
        description="Thresholds that differ from the defaults in docs/alerts.md, by name. Those that are times may be "
        "durations.",
    )
    wait: Annotated[dict[str, DurationOrZero], ALERT_NAMES] = Field(
        default_factory=dict,
        description="How long the condition of an alert must be true before it fires (`for`), by alert name.",
    )
    keep: Annotated[dict[str, DurationOrZero], ALERT_NAMES] = Field(
        default_factory=dict,
        description="How long an alert keeps firing after its condition was last met (`keep_firing_for`), by alert "
        "name. What fails again within that time is the same incident. An alert that mutes others should be kept a "
        "minute longer than they are.",
    )
    on: Annotated[tuple[str, ...], ALERT_NAMES] = Field((), description="Alerts to enable that are off by default.")
    off: Annotated[tuple[str, ...], ALERT_NAMES] = Field((), description="Alerts to disable.")
    severity_label: str = Field("severity", pattern=r"^[a-zA-Z_]\w*$", description="Name of the severity label.")
    labels: Annotated[dict[str, str], AfterValidator(_new_labels)] = Field(
        default_factory=dict, description="Additional labels of every alert."
    )
    hold: Duration = Field(
        600.0,
        description="How long an alert keeps firing without recent data. In direct paging it also fires as long as the "
        "API cannot be read.",
    )
    runbook_url: str = Field(
        RUNBOOKS,
        description="URL prefix of links to runbooks, before `NAME.md`. If it is not set and `status_url` is: the "
        "exporter's own pages, `/runbooks/` below `status_url`.",
    )
    dashboard_url: str = Field("", description="Base URL of Grafana, for links to dashboards.")
    console_url: str = Field("", description="Base URL of DataRobot, for links to the console.")
    status_url: Annotated[str, AfterValidator(_base_url)] = Field(
        "",
        description="Base URL of this exporter as people reach it, such as `https://exporter.example.com`, for links "
        "to the page of a workload.",
    )
    trace_url: Annotated[str, AfterValidator(_trace_url)] = Field(
        "",
        description="URL of the traces of `{workload_id}`, for links, such as "
        "`http://127.0.0.1:16686/search?service=workload-{workload_id}` for Jaeger.",
    )
    owner_tags: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=64)], ...], Field(max_length=5)] = Field(
        ("owner", "team"),
        description="Names of tags whose values name the owner of a workload: shown in direct pages, by `explain` and "
        "on the status page; `[]`: none. The annotations of rules cannot read tags.",
    )
    tag_labels: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=64)], ...],
        Field(max_length=5),
        AfterValidator(_no_wildcards),
    ] = Field(
        (),
        description="Names of tags, which `metrics.tags` must select, that are labels of alerts about workloads, in "
        "rules and in direct paging: `tag_team` for `team`. An alert keeps the values with which it began.",
    )
    notes: Annotated[dict[str, Note], known_names(("default", *BY_NAME), "alert")] = Field(
        default_factory=dict,
        description="Texts of your own, such as the escalation path, by alert name; `default` is for all others. Shown "
        "in direct pages, and as annotation `note` of the rules. At most 500 characters each.",
    )

    @property
    def _runbooks(self) -> str:
        """The prefix of links to runbooks: the exporter serves them, too."""
        served = self.status_url and self.runbook_url == RUNBOOKS
        return f"{self.status_url}/runbooks/" if served else self.runbook_url

    @property
    def options(self) -> Options:
        """These settings as options of the rules."""
        return Options(
            selector=self.selector,
            thresholds={**DEFAULTS, **self.thresholds},
            waits=self.wait,
            keeps=self.keep,
            on=frozenset(self.on),
            off=frozenset(self.off),
            labels=self.labels,
            severity_label=self.severity_label,
            runbooks=self._runbooks,
            dashboards=self.dashboard_url.rstrip("/"),
            console=self.console_url.rstrip("/"),
            status=self.status_url,
            traces=self.trace_url,
            notes=self.notes,
            owner_tags=self.owner_tags,
            tag_labels=tuple(dict.fromkeys(map(label_name, self.tag_labels))),
            hold=self.hold,
        )
