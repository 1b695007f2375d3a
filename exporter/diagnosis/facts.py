"""What is known about one workload, as values.

A value that is not reported is None, or its part is a key of `Facts.unknown`. Likely secrets in text from the API are
masked. Times are in seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from exporter.alerting.evaluation import ActiveAlert
from exporter.fleet.episodes import ObservedEvent
from exporter.fleet.workload_state import Unread

RECENT_SECONDS = 6 * 3600.0
"""Changes up to this old may still be the cause."""
LISTED_SECONDS = 7 * 86400.0
"""Changes up to this old are listed."""
NO_REASON = "not reported"
"""The waiting reason of a container for which none is reported."""
MIN_REQUESTS = 20
"""Requests in a window below which ratios are not used."""
SOME_ERRORS, MOST_ERRORS, ONLY_ERRORS = 0.02, 0.5, 0.995
"""Ratios of server errors from which on they are mentioned, are an outage, and leave nothing that is served."""


class StatusFacts(NamedTuple):
    """The status and its group.

    `since` None: unknown. `longer`: the status is older than `since`, which is when it was first observed. `failures`:
    the number of failures observed.
    """

    status: str
    group: str
    since: float | None
    longer: bool = False
    failures: int = 0


class ReplicaCounts(NamedTuple):
    """Pods of the serving version; None: not reported. `zero`: scaled to zero by the autoscaler, which is normal."""

    ready: int | None
    unknown: int
    live: int | None
    least: int | None
    most: int | None
    zero: bool


class ContainerProblem(NamedTuple):
    """Containers of one name with the same problem, in `pods` pods.

    `role`: role of their version, or ``reverted`` if an event reports that the version was rolled back. `waits`: the
    waiting reason; empty: not waiting. `ended`, `code` and `at` describe the last termination. `restarts`: the maximum
    of the containers. `since`: since when the pod is not ready, and `latest` since when the last of the pods is not.
    `lost`: the container was ready before in its current run. `cut_off`: all containers of the pod were ready when they
    were last reported, but the pod is not: Kubernetes reports so of a pod whose node it has lost contact with. `pod`:
    the name of one of the pods. `image`: the image, if it cannot be pulled.
    """

    container: str
    role: str
    waits: str
    ready: bool | None
    ended: str
    code: int | None
    at: float | None
    restarts: int
    pods: int
    message: str
    since: float | None = None
    latest: float | None = None
    lost: bool = False
    cut_off: bool = False
    pod: str = ""
    image: str = ""


class SchedulingProblem(NamedTuple):
    """Pods of a version that cannot be scheduled. `lacks`: the missing resource. `message`: the scheduler's message."""

    role: str
    lacks: str
    pods: int
    message: str


class Change(NamedTuple):
    """A change: a key of `CHANGES`, its time (None: unknown), and its status, if it is in progress."""

    kind: str
    at: float | None
    status: str = ""


class TrafficFacts(NamedTuple):
    """Requests of the five minutes up to `end`. Ratios are 0..1; None: not reported.

    `hour`: ratio of server errors in an hour.
    """

    end: float
    total: float
    server_errors: float | None
    client_errors: float | None
    slow: float | None
    p95: float | None
    hour: float | None


class Facts(NamedTuple):
    """All that is known about one workload at `at`.

    `limits`: pairs of a kind and a text. `unknown`: part -> why it is not known. `alerts`: alerts in force whose
    condition is met. `met`: all alerts whose condition is met, also those that the settings turn off. `gone`:
    reason that it is no longer listed; empty: it is listed. `draft_over`: it is stopped because its time as a draft
    is over. `rolling`: a replacement is in progress. `other_uses`: the catalogue offers its resource bundle, but
    not to workloads. `snapshot`: pods of the serving version are reported, or of any version if none is known to
    serve. `unread`: versions whose pods could not be read. `unreadable`: reason that the pods of the serving
    version could not be read, a key of `UNREAD_REASONS`; empty: they could. `owner`: values of its owner tags;
    empty: it has none. `owner_text`: the same as a text, or why it is unknown; empty: the settings name no such
    tags. `down`: since when it should serve and has no ready replica (None: it has one, or that is unknown); not
    `served`: no replica was ready when it was first observed, or since its start, so it may be down for longer.
    `recovering`: an alert that fires although its condition is no longer met; empty: there is none. `log_mixed`: its
    log may contain lines of containers without its problem.
    """

    at: float
    account: str
    id: str
    name: str
    importance: str
    state: StatusFacts
    replicas: ReplicaCounts
    containers: tuple[ContainerProblem, ...]
    unschedulable: tuple[SchedulingProblem, ...]
    event: ObservedEvent | None
    changes: tuple[Change, ...]
    requests: TrafficFacts | None
    limits: tuple[tuple[str, str], ...]
    draft_ends: float | None
    unknown: Mapping[str, str]
    alerts: tuple[ActiveAlert, ...]
    met: frozenset[str]
    gone: str = ""
    draft_over: bool = False
    rolling: bool = False
    snapshot: bool = False
    unread: tuple[Unread, ...] = ()
    unreadable: str = ""
    owner: str = ""
    owner_text: str = ""
    down: float | None = None
    served: bool = False
    recovering: str = ""
    other_uses: bool = False
    log_mixed: bool = False

    @property
    def readiness_unknown(self) -> bool:
        """Whether fewer replicas than needed are known to be ready, and the readiness of others is unknown."""
        replicas = self.replicas
        return bool(replicas.unknown) and (replicas.ready or 0) < max(1, replicas.least or 0)

    @property
    def known(self) -> bool:
        """Whether there is enough data to decide if it is healthy. A workload that is off needs no data about pods."""
        if self.gone or self.state.group == "off" or self.state.status == "terminated":
            return True
        if self.state.group == "indeterminate" or self.unreadable:
            return False
        return self.state.group != "up" or not (self.replicas.ready is None or self.readiness_unknown)


CHANGES: Mapping[str, str] = {
    "replacing": "a new version is being rolled out",
    "new_settings": "new settings are being rolled out",
    "replaced": "a replacement completed",
    "reverted": "a replacement failed and was rolled back",
    "promoted": "its draft was promoted",
    "reset": "its statistics were reset (it was promoted, or they were cleared)",
    "version": "its newest version was created",
    "started": "it was started",
    "stopped": "it was stopped",
    "scaled": "it was scaled",
    "failure": "it recovered from a failure",
    "start": "it finished starting",
    "stop": "its last run ended",
}
IN_PROGRESS = ("replacing", "new_settings")
"""Kinds of change that go on since their time."""
TOPICS: Mapping[str, str] = {
    "replaced": "rollout",
    "reverted": "rollout",
    "promoted": "reset",
    "start": "started",
    "stop": "stopped",
}
"""Kind of change -> topic, if that is not the kind itself. Changes of one topic report the same, or the opposite."""


def topic(kind: str) -> str:
    """The topic of a kind of change."""
    return TOPICS.get(kind, kind)


PARTS: Mapping[str, str] = {
    "list": "item in the workload list",
    "pods": "pods",
    "events": "events",
    "replacement": "replacement",
    "stats_5m": "requests",
    "usage": "CPU and memory usage",
    "bundles": "catalogue of resource bundles",
    "settings": "objectives, thresholds and costs.idle_after of the daemon",
}
"""Parts of the data about a workload, and how texts name them."""
