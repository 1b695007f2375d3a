"""The page of one workload, as values: its diagnosis, row of the fleet table, pods and containers, and timeline."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from exporter.alerting.expressions import WorkloadContext
from exporter.alerting.rules import Options, in_force
from exporter.api import models
from exporter.api.pods import (
    CONTAINER_STATES,
    PHASES,
    Container,
    Replica,
    container_name,
    replica_ready,
    terminated_reason,
    unschedulable,
    waiting_reason,
)
from exporter.diagnosis import fleet_table
from exporter.diagnosis.diagnosis import Diagnosis, diagnosis
from exporter.diagnosis.owner import printable
from exporter.diagnosis.phrases import when
from exporter.diagnosis.timeline import TimelineEntry, timeline
from exporter.diagnosis.wording import titled_texts
from exporter.fleet import workload_state
from exporter.fleet.workload_state import WorkloadState

MAX_PODS = 100
"""Pods that are listed, those that are not ready first."""
FIRST = ("Likely cause", "Serving", "State", "Next step")
"""Titles of the texts that are shown before the evidence, in this order."""
_ELSEWHERE = ("Conditions",)
"""Titles of texts that the page shows in a table of its own."""


class ContainerRow(NamedTuple):
    """One container of a pod. `ready`, `restarts`: None if not reported. `last_end`: how and when it last terminated;
    empty: that is not reported.
    """

    name: str
    state: str
    ready: bool | None
    restarts: int | None
    last_end: str


class PodRow(NamedTuple):
    """One pod and its containers. `version`: the role of its version. `ready`: None if that is not known."""

    version: str
    name: str
    phase: str
    ready: bool | None
    containers: tuple[ContainerRow, ...]


class WorkloadPage(NamedTuple):
    """What is known of one workload.

    `first` and `evidence`: titles and texts of the diagnosis. `row` has the alerts whose condition is met.
    `pods`: None if they are not known. `more_pods`: how many are not listed.
    """

    row: fleet_table.Row
    diagnosis: Diagnosis
    first: tuple[tuple[str, str], ...]
    evidence: tuple[tuple[str, str], ...]
    pods: tuple[PodRow, ...] | None
    more_pods: int
    timeline: tuple[TimelineEntry, ...]


def workload_page(state: WorkloadState, now: float, options: Options) -> WorkloadPage:
    """The page of a workload as of `now`, in seconds since the epoch."""
    alerts = [alert for alert in in_force(options) if alert.component == "workload"]
    context = WorkloadContext(state, now, options.thresholds)
    found = diagnosis(state, now, options)
    hidden = ("Status", "Console") if found.facts.gone else ("Status",)
    found = found._replace(links=tuple(each for each in found.links if each[0] not in hidden))
    texts = {title: text for title, text in titled_texts(found) if text}
    pods = None if state.details.pods is None or found.facts.gone else sorted(_pods(state, now), key=_worst)
    return WorkloadPage(
        row=fleet_table.row(state, context, alerts, options.owner_tags),
        diagnosis=found,
        first=tuple((title, texts[title]) for title in FIRST if title in texts),
        evidence=tuple(each for each in texts.items() if each[0] not in (*FIRST, *_ELSEWHERE)),
        pods=None if pods is None else tuple(pods[:MAX_PODS]),
        more_pods=max(0, len(pods or ()) - MAX_PODS),
        timeline=timeline(state, now),
    )


_VERSIONS = {"active": "serving", "serving": "also serving", "candidate": "new", "outgoing": "outgoing"}
_READINESS = (False, None, True)


def _worst(pod: PodRow) -> tuple[int, str]:
    return _READINESS.index(pod.ready), pod.name


def _pods(state: WorkloadState, now: float) -> Iterator[PodRow]:
    pods = state.details.pods
    for proton, replica in pods.replicas() if pods is not None else ():
        containers = tuple(
            _container(state, proton.id, container, now)
            for container in replica.containers or ()
        )  # fmt: skip
        version = _VERSIONS.get(workload_state.role(state, proton), "other")
        yield PodRow(version, printable(replica.name or "?"), _phase(replica), replica_ready(replica), containers)


def _phase(replica: Replica) -> str:
    phase, lack = models.folded(replica.status), unschedulable(replica)
    text = phase if phase in PHASES else "unknown"
    return f"{text}: not scheduled ({lack})" if lack is not None else text


def _container(state: WorkloadState, proton: str, container: Container, now: float) -> ContainerRow:
    status, waits = models.folded(container.status), waiting_reason(container)
    shown = status if status in CONTAINER_STATES else "unknown"
    return ContainerRow(
        printable(container_name(container.name, proton) or "?"),
        f"waiting: {waits}" if waits else shown,
        container.ready,
        container.restarts,
        _last_end(state, container, now),
    )


def _last_end(state: WorkloadState, container: Container, now: float) -> str:
    """The last termination, of which the API may report each part or none."""
    last = container.last_state
    reason, code = terminated_reason(container), container.exit_code if last is None else last.exit_code
    parts = [reason] if reason else []
    parts += [f"exit code {code}"] if code is not None else []
    if parts and last is not None and last.finished_at:
        parts.append(when(state.at(last.finished_at), now))
    return ", ".join(parts)
