"""A runbook as Markdown: what a person wrote, and what the rows of the alert say by themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator

from exporter.alerting.alerts import ALERTS, LIMITS, Alert, Limit
from exporter.alerting.expressions import duration
from exporter.alerting.rules import DEFAULT, expression, levels
from exporter.runbooks.exporters import EXPORTERS
from exporter.runbooks.parts import Cause, Runbook, Step
from exporter.runbooks.workloads import WORKLOADS

RUNBOOKS: dict[str, Runbook] = {**WORKLOADS, **EXPORTERS}
NOTE = "<!-- Made by `workload-exporter docs`; a test keeps it so. Change the rows, not this page. -->"
BEGIN = """\
export WORKLOAD_ID=...        # the label workload_id of the alert
# DATAROBOT_ENDPOINT and DATAROBOT_API_TOKEN as for the exporter: your own token may see more, or less
dr() { curl -sSL --fail-with-body -H "Authorization: Bearer $DATAROBOT_API_TOKEN" \\
  "${DATAROBOT_ENDPOINT%/api/v2}/api/v2/$1" | python3 -c 'import json, sys
told = sys.stdin.read()
print(json.dumps(json.loads(told), indent=2) if told.strip() else "(an empty answer: 204, it is not told yet)")'; }
pods() { dr "workloads/$WORKLOAD_ID/protons/" | python3 -c 'import json, sys
for proton in json.load(sys.stdin)["data"]: print(proton["id"], proton.get("role") or "-", proton["status"])' |
  while read -r proton role status; do echo "# version $proton, role $role, $status"
    dr "workloads/$WORKLOAD_ID/protons/$proton/statusDetails"; done; }
# In the queries, write the label's value for WORKLOAD_ID and ACCOUNT by hand."""
BEGIN_EXPORTER = """\
export EXPORTER=http://127.0.0.1:10142    # where the exporter listens
export CONFIG=                            # its settings file, if it has one"""


def limits(alert: Alert) -> tuple[Limit, ...]:
    """The thresholds that an alert asks for."""
    asked = _Asking()
    for _, condition in levels(alert):
        expression(alert, condition, DEFAULT._replace(thresholds=asked))
    return tuple(limit for limit in LIMITS if limit.name in asked.names)


class _Asking(dict[str, float]):
    """Thresholds that remember which were asked for."""

    def __init__(self) -> None:
        super().__init__(DEFAULT.thresholds)
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> float:
        self.names.add(name)
        return super().__getitem__(name)


def value(limit: Limit) -> str:
    """A threshold as people say it."""
    return duration(limit.default) if limit.name.endswith("_seconds") else f"{limit.default:g}"


def severities(alert: Alert) -> str:
    """``critical``, or which of them it has when."""
    return ", else ".join(level.severity + (f" if {level.said}" if level.said else "") for level in alert.levels)


def pages() -> dict[str, str]:
    """The pages by file name, with their index."""
    return {f"{alert.name}.md": page(alert) for alert in ALERTS} | {"README.md": _index()}


def page(alert: Alert) -> str:
    """The runbook of one alert."""
    return "\n".join(_lines(alert, RUNBOOKS[alert.name]))


def _lines(alert: Alert, runbook: Runbook) -> Iterator[str]:
    wait = f"after {duration(alert.wait)}" if alert.wait else "at once"
    yield f"# {alert.name}\n\n{NOTE}\n"
    yield f"> {alert.summary}\n"
    yield f"Severity: {severities(alert)}. Fires {wait}{'; off by default' if alert.asked else ''}.\n"
    yield f"## Meaning\n\n{runbook.meaning}\n"
    yield f"## Impact\n\n{runbook.impact}\n"
    yield f"## Who is hit\n\n{runbook.who}\n"
    yield "## First 5 minutes\n"
    if any(step.command for step in runbook.steps):
        yield _block("bash", BEGIN_EXPORTER if alert.component == "exporter" else BEGIN) + "\n"
    for number, step in enumerate(runbook.steps, 1):
        yield from _step(number, step)
    yield "## Likely causes\n\n| You see | It means |\n|---|---|"
    yield from (f"| {cause.sign} | {cause.means} |" for cause in runbook.causes)
    yield "\n## Fix\n"
    yield from (_fix(cause) for cause in runbook.causes)
    yield f"\n## When to silence\n\n{runbook.silence}\n"
    yield "## Why this threshold\n"
    yield from _why(alert, runbook)
    yield f"\n## How it resolves\n\n{resolves(alert, runbook)}\n"


def _block(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```"


def _step(number: int, step: Step) -> Iterator[str]:
    yield f"{number}. {step.words}"
    for language, text in (("bash", step.command), ("promql", step.query)):
        if text:
            yield "\n".join(f"   {line}" for line in _block(language, text).splitlines())
    yield ""


def _fix(cause: Cause) -> str:
    name = re.split(r"[.:](?= |$)", cause.means)[0]
    return f"- **{name}.** {cause.fix}"


def _why(alert: Alert, runbook: Runbook) -> Iterator[str]:
    yield f"- It has to hold for {duration(alert.wait)}: {runbook.why}." if alert.wait else f"- No wait: {runbook.why}."
    for limit in limits(alert):
        yield f"- `{limit.name}` is {value(limit)}: {limit.why}."
    if alert.component == "exporter" and not limits(alert):
        return
    yield (
        f"\nChange them under `alerts.thresholds` and `alerts.wait.{alert.name}` of the settings, and write the rules "
        "anew: `workload-exporter rules`."
    )


def resolves(alert: Alert, runbook: Runbook) -> str:
    """How an alert ends."""
    if runbook.ends:
        first = runbook.ends.format_map({limit.name: value(limit) for limit in LIMITS})
    elif alert.keep:
        first = f"{duration(alert.keep)} after its condition held last, so that a value that swings rings once."
    else:
        first = "At the first evaluation at which its condition does not hold."
    if alert.component == "exporter":
        return first
    return (
        f"{first} While nothing recent is told of {'the account' if alert.component == 'account' else 'the workload'}, "
        f"it is held as it was, for {duration(DEFAULT.hold)} at the most."
    )


def _index() -> str:
    lines = [
        f"# Runbooks\n\n{NOTE}\n",
        "One page for each alert, named like it: what it means, whom it hits, what to look at first, what it may be "
        "and what ends it. Commands want `curl` and `python3`; queries are for Prometheus, with the labels of the "
        "alert in place of WORKLOAD_ID and ACCOUNT.\n",
        "| Alert | |",
        "|---|---|",
        *(f"| [{alert.name}]({alert.name}.md) | {alert.summary} |" for alert in ALERTS),
    ]
    return "\n".join(lines) + "\n"
