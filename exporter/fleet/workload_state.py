"""The state of one workload: its item in the list, its details, and its ledger.

Predicates shared by metric families, polling and alerts are defined here, so that they cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from exporter.api import models
from exporter.api.assumptions import ASSUMED, Readings
from exporter.api.details import ComputeBundle, OtelValue, Quota, RequestMetrics, RequestTotals, SharedRole
from exporter.api.models import Bundle, Group, Replacement, Workload
from exporter.api.pods import (
    UNLISTED,
    UNREAD_REASONS,
    Overview,
    Pods,
    Proton,
    active_proton,
    overview,
    replica_live,
    total,
    waiting_reason,
)
from exporter.fleet.ledger import Ledger
from exporter.fleet.objectives import Objective
from exporter.fleet.replacements import replacement_active

WINDOWS = {
    "5m": 300.0, "30m": 1800.0, "1h": 3600.0, "2h": 7200.0, "6h": 21600.0, "1d": 86400.0, "3d": 259200.0
}  # fmt: skip
"""Windows of statistics, in seconds."""


DRAFT_SLACK_SECONDS = 900.0
"""By how much the end of a draft may differ from the expected time."""
SINCE_RESET = 0.125
"""Least part of a window that has to be after the last reset of the statistics."""


class Costs(NamedTuple):
    """Prices, and what counts as waste. `bundles`: price of a replica per hour, by bundle id. Times are in seconds.

    `idle_after`: without a request for so long, a workload is idle. `min_history`: how long something must have been
    observed before it is judged or forecast.
    """

    currency: str = "EUR"
    bundles: Mapping[str, float] = {}
    idle_after: float = 3 * 86400.0
    min_history: float = 86400.0


NO_PRICES = Costs()


class Window(NamedTuple):
    """Statistics from `start` to `end`, in seconds since the epoch, over all protons that served.

    `quantiles` are (quantile, seconds) of the active proton; empty without requests. `protons` are those queried;
    empty: the one that served.
    """

    start: float
    end: float
    metrics: RequestMetrics
    quantiles: tuple[tuple[float, float], ...] = ()
    protons: tuple[str, ...] = ()


class Details(NamedTuple):
    """Latest values from a workload's own routes; None, or no key: not reported, or too old.

    `fresh`: part -> whether it is up to date; no key: not polled. `refused`: parts the token's user may not read.
    `polled`: part -> when it was last read, in seconds since the epoch, while the workload is not steady. `failed`:
    part -> reason of the last failed request, a key of `UNREAD_REASONS`; no key: it did not fail.
    """

    pods: Pods | None = None
    windows: Mapping[str, Window] = {}
    usage: tuple[OtelValue, ...] | None = None
    quotas: tuple[Quota, ...] | None = None
    grants: tuple[SharedRole, ...] | None = None
    replacement: Replacement | None = None
    fresh: Mapping[str, bool] = {}
    refused: frozenset[str] = frozenset()
    polled: Mapping[str, float] = {}
    failed: Mapping[str, str] = {}


NO_DETAILS = Details()
GONE_REASONS = ("not_found", "forbidden", "found", "")
"""Responses for a workload that is no longer listed; ``found``: it is still there, empty: unknown."""
_NO_LEDGER = Ledger(0.0, 0.0)


class WorkloadState(NamedTuple):
    """One workload of an account. `vanished`: the second complete sweep without it, seconds since the epoch.

    `gone_because`: the API's response for one that vanished, one of `GONE_REASONS`. `catalogue`: the resource bundles
    offered to workloads, by id; `other_uses`: the ids of bundles for other uses only. `replicas_limit`: the most
    replicas that the account allows a workload; None: unknown. `costs`: the prices in force.
    `held`: unreadable fields of the list item -> since when; `exporter.fleet.reconcile` keeps their previous values for
    a while. ``$``: the whole item is unreadable. `ahead`: seconds that the API's clock is ahead of the local one.
    `tag_labels`: its labels from tags (`exporter.fleet.tag_labels`); None: none are selected, or its tags are unknown.
    `objective`: what the settings demand of the workload; None: nothing. `readings`: how the API is read, where that is
    not as assumed.
    """

    account: str
    workload: Workload
    ledger: Ledger = _NO_LEDGER
    details: Details = NO_DETAILS
    vanished: float | None = None
    gone_because: str = ""
    catalogue: Mapping[str, Bundle] | None = None
    other_uses: frozenset[str] = frozenset()
    replicas_limit: int | None = None
    held: Mapping[str, float] = {}
    ahead: float = 0.0
    tag_labels: tuple[tuple[str, str], ...] | None = None
    costs: Costs = NO_PRICES
    objective: Objective | None = None
    readings: Readings = ASSUMED

    def at(self, reported: str | None) -> float | None:
        """The local time of a timestamp that the API reports; None: none is reported.

        All reported times are compared with local ones through this, because the clocks may differ by minutes.
        """
        at = models.timestamp(reported)
        return None if at is None else at - self.ahead


class Account(NamedTuple):
    """Data of an account other than its workloads; None: not reported. A limit of 0 means no limit.

    `replicas_limit` is the limit of each single workload, not of their sum. `requests_reported`: those of all workloads
    in seven days. `readings`: see `WorkloadState`.
    """

    name: str
    org_id: str = ""
    workloads_limit: int | None = None
    replicas_limit: int | None = None
    active_reported: int | None = None
    bundles: tuple[ComputeBundle, ...] | None = None
    release: str = ""
    api_version: str = ""
    requests_reported: RequestTotals | None = None
    readings: Readings = ASSUMED


def status_group(state: WorkloadState) -> str:
    """The group of the status: up, starting, leaving, off, failed or indeterminate."""
    return models.status_group(state.workload.status)


def last_group(state: WorkloadState) -> str:
    """The group of the status; while the status is unknown, the last known group; empty if none was ever known.

    A workload that is being replaced stays up while its status is a starting one.
    """
    group, before = status_group(state), state.ledger.group
    return before if group == "indeterminate" or (group == "starting" and before == "up") else group


def is_up(state: WorkloadState) -> bool:
    """Whether the workload runs, as far as is known: an unknown status does not end what was running before."""
    return last_group(state) in ("up", "")


def active(state: WorkloadState) -> Proton | None:
    """The serving proton; None while the protons are unknown."""
    pods = state.details.pods
    return active_proton(pods.protons, state.workload, complete=pods.complete) if pods is not None else None


def serving_protons(state: WorkloadState) -> tuple[Proton, ...]:
    """The active proton, and others that serve for good beside it; empty while the active one is unknown."""
    proton, pods = active(state), state.details.pods
    if proton is None or pods is None:
        return ()
    return (proton, *(each for each in pods.protons if role(state, each) == "serving"))


def serving(state: WorkloadState) -> Overview | None:
    """Counts of the pods of all protons that serve; None while those of one of them are unknown."""
    pods, protons = state.details.pods, serving_protons(state)
    snapshots = [pods.details.get(proton.id) for proton in protons] if pods is not None else []
    known = [overview(snapshot) for snapshot in snapshots if snapshot is not None]
    return total(known) if known and len(known) == len(protons) else None


def role(state: WorkloadState, proton: Proton) -> str:
    """One of `ROLES`: servers report only the role of the active proton, and that of candidates.

    ``serving``: a workload of high availability has several protons for good, of which one is active. ``outgoing``: it
    is draining, or may be.
    """
    serves = active(state)
    if serves is not None and proton.id == serves.id:
        return "active"
    if models.folded(proton.role) == "candidate" or proton.id in _candidates(state):
        return "candidate"
    if proton.id in state.ledger.serving.others:
        return "serving"
    leaves = models.folded(proton.status) in ("running", "draining", "stopping") or models.folded(proton.role) in _LEAVE
    return "outgoing" if leaves and proton.id not in state.ledger.serving.lasting else "other"


ROLES = ("active", "serving", "candidate", "outgoing", "other")
_LEAVE = ("outgoing", "retiring")
"""Roles that some servers report of a proton that drains."""


class Unread(NamedTuple):
    """A proton whose pods could not be read at the last poll. `reason` is a key of `UNREAD_REASONS`.

    If its id is unknown, `proton` is `UNLISTED` and `role` is ``unknown``.
    """

    role: str
    proton: str
    reason: str

    @property
    def text(self) -> str:
        """Which version it is, and the reason why it could not be read."""
        which = f"{_VERSIONS[self.role]} {self.proton[:64]}".rstrip()
        drains = self.role == "outgoing" and self.reason == "server_error"
        reason = UNREAD_REASONS.get(self.reason, self.reason)
        return f"{which}: {reason}{', which is common while a version drains' if drains else ''}"


_VERSIONS = {
    "active": "serving version",
    "serving": "another serving version",
    "candidate": "new version",
    "outgoing": "outgoing version",
    "other": "version",
    "unknown": "a version missing from the list",
}


def unread(state: WorkloadState) -> tuple[Unread, ...]:
    """The protons whose pods could not be read at the last poll, in the order of the list."""
    pods = state.details.pods
    if pods is None or not pods.unread:
        return ()
    listed = [Unread(role(state, p), p.id, pods.unread[p.id]) for p in pods.protons if p.id in pods.unread]
    return (*listed, *(() if pods.complete else (Unread("unknown", UNLISTED, pods.unread[UNLISTED]),)))


def unreadable(state: WorkloadState) -> str:
    """The reason why the pods of the serving proton could not be read, a key of `UNREAD_REASONS`; empty: they were.

    Also empty if they were not requested yet, or the platform has no snapshot of them (204).
    """
    details = state.details
    if "pods" in details.refused:
        return "forbidden"
    if details.pods is None:
        return details.failed.get("pods", "")
    serves = active(state)
    if serves is not None:
        return details.pods.unread.get(serves.id, "")
    # The serving proton is unknown: it may be one of these.
    return next(iter(details.pods.unread.values()), "")


def _candidates(state: WorkloadState) -> tuple[str, ...]:
    record = state.workload.replacement
    return (record.candidate_proton_ids or ()) if record is not None else ()


def bundles(state: WorkloadState) -> tuple[Bundle, ...]:
    """The bundles of the workload's container groups, as far as they are known."""
    groups = models.groups(state.workload)
    return tuple([bundle for group in groups if (bundle := _bundle(state, group)) is not None])


def _bundle(state: WorkloadState, group: Group) -> Bundle | None:
    """The resolved bundle of a container group; if it is not reported, the catalogue's if only one is configured."""
    if group.resolved_bundle is not None:
        return group.resolved_bundle
    configured = group.resource_bundles or ()
    return (state.catalogue or {}).get(configured[0]) if len(configured) == 1 else None


def only_bundle(state: WorkloadState) -> Bundle | None:
    """The bundle of a workload with one container group; None with several, or if it is not known."""
    groups = models.groups(state.workload)
    return _bundle(state, groups[0]) if len(groups) == 1 else None


def live_by_bundle(state: WorkloadState) -> Mapping[Bundle, int] | None:
    """Live pods of any proton, by the bundle they run on; None if unknown.

    A workload with several groups is left out: its pods do not name their group.
    """
    pods = state.details.pods
    if pods is None or not pods.complete or any(pods.details.get(proton.id) is None for proton in pods.protons):
        return None
    resolved = only_bundle(state)
    if resolved is None:
        return None
    found: dict[Bundle, int] = {}
    for proton, replica in pods.replicas():
        own = proton.runtime.container_groups if proton.runtime is not None else None
        own_bundle = next((b for g in own or () if (b := _bundle(state, g)) is not None), resolved)
        found[own_bundle] = found.get(own_bundle, 0) + replica_live(replica)
    return found or {resolved: 0}


def windows(state: WorkloadState) -> Mapping[str, Window]:
    """The windows of statistics by name; without those of which less than `SINCE_RESET` is after a reset.

    A window that reaches back before a reset only has the requests since then. Shares of them are right once there are
    enough: else nothing would be known for an hour of the errors of a version that was just promoted.
    """
    reset = state.ledger.reset_at
    reported = state.details.windows
    if reset is None:
        return reported
    return {name: w for name, w in reported.items() if w.end - reset >= SINCE_RESET * (w.end - w.start)}


def error_share(window: Window | None) -> float | None:
    """Share of responses with status 500 and above; None without requests."""
    if window is None:
        return None
    errors, requests = models.finite(window.metrics.server_errors), models.finite(window.metrics.total_requests)
    return errors / requests if errors is not None and requests else None


def slow_share(window: Window | None) -> float | None:
    """Share of requests that are slower than the objective or the settings allow; None without requests."""
    if window is None:
        return None
    slow, requests = models.finite(window.metrics.slow_requests), models.finite(window.metrics.total_requests)
    return slow / requests if slow is not None and requests else None


def held(state: WorkloadState) -> str:
    """The unreadable fields of the workload's list item; ``item`` if the whole item is unreadable."""
    return "item" if "$" in state.held else ", ".join(sorted(state.held))


def min_replicas(state: WorkloadState) -> int | None:
    """Minimum number of replicas: configured, or the autoscaler's minimum; None if not reported."""
    return _replicas(state, 0)


def max_replicas(state: WorkloadState) -> int | None:
    """Maximum number of replicas: configured, or the autoscaler's maximum; None if not reported."""
    return _replicas(state, 1)


def _replicas(state: WorkloadState, bound: int) -> int | None:
    total = 0
    for group in models.groups(state.workload):
        scaling = models.autoscaled(group)
        count = models.replica_bounds(scaling)[bound] if scaling is not None else group.replica_count
        if count is None or count < 0:
            return None
        total += count
    return total if models.groups(state.workload) else None


def scaled_to_zero(state: WorkloadState) -> bool | None:
    """Whether the autoscaler has scaled to zero pods for lack of requests, which is not a fault.

    None if it may not scale to zero, or if the pods are unknown.
    """
    counted = serving(state) if may_scale_to_zero(state) else None
    if counted is None:
        return None
    active_groups = ("failed",) if "zero_replicas_starting" in state.readings else ("failed", "starting")
    return counted.live == 0 and status_group(state) not in active_groups


def may_scale_to_zero(state: WorkloadState) -> bool:
    """Whether the autoscaler may remove all pods of a workload."""
    groups = models.groups(state.workload)
    scalings = [scaling for group in groups if (scaling := models.autoscaled(group)) is not None]
    return bool(scalings) and len(scalings) == len(groups) and min_replicas(state) == 0


def draft_expiry(state: WorkloadState) -> float | None:
    """When the platform stops a draft: eight hours after its proton started, or after its creation if that is unknown
    or the platform counts from there.

    None if it is already stopped or has ended, or if the platform lets drafts run for longer.
    """
    artifact = state.workload.artifact
    if artifact is None or models.folded(artifact.status) != "draft" or status_group(state) in ("off", "failed"):
        return None
    if "draft_time_other" in state.readings:
        return None
    proton = None if "draft_time_from_creation" in state.readings else active(state)
    reported = (proton.running_since, proton.created_at) if proton is not None else ()
    began = next((at for text in (*reported, state.workload.created_at) if (at := state.at(text)) is not None), None)
    if began is None:
        return None
    expiry = began + models.DRAFT_LIFETIME_SECONDS
    # A draft that is alive eight hours after its creation was restarted: its proton reports when.
    return expiry if proton is not None or expiry >= state.ledger.since else None


def ended_as_draft(state: WorkloadState) -> bool:
    """Whether a workload vanished when the time of a draft was over."""
    expiry = draft_expiry(state)
    return state.vanished is not None and expiry is not None and abs(state.vanished - expiry) <= DRAFT_SLACK_SECONDS


def unsteady(state: WorkloadState) -> bool:
    """Whether the workload is polled more often: changing, failed, being replaced, or running with pod problems."""
    group = status_group(state)
    if replacement_active(state.workload) or state.ledger.rollout is not None:
        return True
    if group == "off" or models.folded(state.workload.status) == "terminated":
        return False
    if group != "up":
        return True
    return any(pod_problems(state))


def pod_problems(state: WorkloadState) -> Iterator[str]:
    """Problems of the pods of a workload that is up."""
    counted = serving(state)
    if counted is not None and not scaled_to_zero(state):
        least = min_replicas(state)
        if counted.live == 0 and least != 0:
            yield "no live pod"
        elif counted.ready + counted.unknown < max(counted.live, least or 0):
            yield "pods not ready"
    pods = state.details.pods
    for _, replica in pods.replicas() if pods is not None else ():
        if any(waiting_reason(container) for container in replica.containers or ()):
            yield "a container waits"


def access_reduced(state: WorkloadState) -> bool:
    """Whether pods and events of the workload are denied to the token, although its events could be read before."""
    return {"pods", "events"} <= state.details.refused and state.ledger.seen_events is not None


def consumer_only(state: WorkloadState) -> bool:
    """Whether the token's user may call the workload but not read its details, which is not a fault."""
    return {"stats_5m", "pods"} <= state.details.refused or {"stats_5m", "sharing"} <= state.details.refused
