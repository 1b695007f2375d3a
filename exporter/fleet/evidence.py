"""Evidence for and against the assumptions about the API, from data that is read in any case.

Each function returns evidence only if a response fits exactly one reading. Texts have numbers, never names or ids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import NamedTuple

from exporter.api import models
from exporter.api.assumptions import Indication
from exporter.api.details import Event, Quota, RequestTotals, id_time
from exporter.api.models import DRAFT_LIFETIME_SECONDS
from exporter.fleet import usage, workload_state
from exporter.fleet.workload_state import DRAFT_SLACK_SECONDS, Account, Window, WorkloadState

MIN_REQUESTS = 200
"""Requests of a window below which its quantiles may be equal by chance."""
MIN_RESPONSE_SECONDS = 0.02
"""A shorter response time has too few milliseconds for its quantiles to differ."""
MIN_CPU_SECONDS = 1e-5
"""No request over HTTP takes less CPU."""
MIN_TOTAL, MIN_FAILED = 1000, 50
"""Requests, and failed ones, of an account below which its totals are not compared."""
MIN_OVER = 3
"""Workloads over the limit of replicas below which it may have been lowered since they were created."""
DRAFT_LATE_SECONDS = 1800.0
"""Time after its end at which a draft should be stopped."""
REPORT_SECONDS = 1800.0
"""After which time a report that is made at an interval would have a new time."""
HOUR_SECONDS = 3600.0
EVENTS = 5
"""Events of a list that are judged."""
LONG_WINDOWS = ("stats_6h", "stats_1d", "stats_3d")
_RESTARTED_SECONDS = 60.0
"""By how much the reported start of a proton may lie before the time at which its workload was last seen off."""


def of_part(before: WorkloadState, after: WorkloadState, part: str, value: object, now: float) -> Iterable[Indication]:
    """Evidence in a response about one workload. `before`, `after`: its state; `value`: as by the fetcher."""
    judge = _PARTS.get(part)
    return judge(before, after, value, now) if judge is not None else ()


def of_failure(workload: str, part: str, reason: str) -> Iterable[Indication]:
    """Evidence in the failure of a request for a part."""
    if (part, reason) == ("quotas", "bad_request"):
        yield Indication("quotas_of_workloads", "quotas_refused", workload, "400 or 422")


def of_routes(otherwise: Iterable[str], now: float) -> Iterator[Indication]:
    """Evidence in the routes that have succeeded; `otherwise`: templates with another form than expected."""
    found = sorted(otherwise)
    reading, text = ("routes_end_otherwise", ", ".join(found)) if found else ("routes_end_with_slash", "all routes")
    yield Indication("routes_end_with_slash", reading, f"{now:.0f}", text)


def _response_time(_: WorkloadState, after: WorkloadState, __: object, ___: float) -> Iterator[Indication]:
    window = after.details.windows.get("5m")
    if window is None or len(window.quantiles) < 2 or (window.metrics.total_requests or 0) < MIN_REQUESTS:
        return
    (low, least), (high, most) = min(window.quantiles), max(window.quantiles)
    if high - low < 0.4 or most < MIN_RESPONSE_SECONDS:
        return
    text = f"{least * 1000:.0f} ms at quantile {low:g}, {most * 1000:.0f} ms at {high:g}"
    if least == most:
        yield Indication("response_time_is_quantile", "response_time_mean", after.workload.id, text)
    elif most > 1.2 * least:
        yield Indication("response_time_is_quantile", "response_time_quantile", after.workload.id, text)


def _list_window(_: WorkloadState, after: WorkloadState, value: object, __: float) -> Iterator[Indication]:
    """A window of statistics with more requests than the list has: that covers less."""
    stats = after.workload.request_stats
    listed = models.finite(stats.total_requests) if stats is not None else None
    if not isinstance(value, Window) or listed is None or len(value.protons) > 1:
        return  # the list may have the requests to one proton only
    requests = models.finite(value.metrics.total_requests)
    if requests is not None and requests >= MIN_REQUESTS and requests > 1.2 * listed:
        hours = (value.end - value.start) / HOUR_SECONDS
        text = f"{listed:.0f} requests in the list, {requests:.0f} in {hours:.0f} h"
        yield Indication("list_window_of_seven_days", "list_window_shorter", after.workload.id, text)


def _cpu(_: WorkloadState, after: WorkloadState, __: object, ___: float) -> Iterator[Indication]:
    most = usage.most(after, usage.CPU)
    reported = next(
        (
            each
            for each in after.details.usage or ()
            if models.folded(each.unit) == "nanocores" and usage.CPU.name in each.name.casefold()
        ),
        None,
    )
    mean, current = (models.finite(each) for each in (reported.mean, reported.current)) if reported else (None, None)
    value = max(mean or 0.0, current or 0.0)
    if not value or not most:
        return
    text = f"{value:.0f} nanocores with {most:g} cores"
    if value / 1e3 > 2 * most:
        if value / 1e9 <= 2 * most:
            yield Indication("nanocores_are_billionths", "nanocores_are_billionths", after.workload.id, text)
        return
    window = after.details.windows.get("5m")
    requests = models.finite(window.metrics.total_requests) if window is not None else None
    if window is None or not requests or mean is None:
        return  # without the mean of five minutes, the requests may have been before the current value
    seconds = window.end - window.start
    if value / 1e9 * seconds / requests < MIN_CPU_SECONDS:
        text += f", {requests:.0f} requests in {seconds:.0f} s"
        yield Indication("nanocores_are_billionths", "nanocores_are_thousandths", after.workload.id, text)


def _quotas(_: WorkloadState, after: WorkloadState, __: object, ___: float) -> Iterator[Indication]:
    quotas: tuple[Quota, ...] = after.details.quotas or ()
    if any(quota.resource_id == after.workload.id for quota in quotas):
        yield Indication("quotas_of_workloads", "quotas_of_workloads", after.workload.id, "a quota of the workload")


def _events(_: WorkloadState, after: WorkloadState, value: object, __: float) -> Iterator[Indication]:
    events = value if isinstance(value, tuple) else ()
    about = (each for each in events if isinstance(each, Event) and "replacement" in models.folded(each.reported_type))
    for event in islice(about, EVENTS):
        at, updated = models.timestamp(event.timestamp), models.timestamp(event.updated)
        if at is not None and updated is not None:
            text = f"the time in the id is {updated - at:.0f} s before the timestamp"
            yield Indication("event_id_has_time", "event_id_has_time", event.id, text)
        elif None not in (at, models.timestamp(after.workload.created_at)) and at != id_time(event.id):
            text = "the id has no time, or not one between creation and last update"
            yield Indication("event_id_has_time", "event_id_without_time", event.id, text)


def _pods(before: WorkloadState, after: WorkloadState, _: object, now: float) -> Iterator[Indication]:
    yield from _draft_runs(after, now)
    yield from _restarted(after)
    yield from _zero_replicas(after, now)
    yield from _report_time(before, after, now)


def _draft_runs(state: WorkloadState, now: float) -> Iterator[Indication]:
    """A draft that runs for longer than a reading allows."""
    times = _draft_times(state)
    if times is None or workload_state.status_group(state) != "up":
        return
    started, created = times
    late, subject = DRAFT_LIFETIME_SECONDS + DRAFT_LATE_SECONDS, f"{state.workload.id} {started:.0f}"
    if now > started + late:
        text = f"runs {(now - started) / HOUR_SECONDS:.1f} h after its start"
        yield Indication("draft_time_from_start", "draft_time_other", subject, text)
    elif now > created + late:
        text = f"runs {(now - created) / HOUR_SECONDS:.1f} h after its creation"
        yield Indication("draft_time_from_start", "draft_time_from_start", subject, text)


def _draft_times(state: WorkloadState) -> tuple[float, float] | None:
    """When a draft was started and created; None if it is not a draft, or either is unknown."""
    artifact, proton = state.workload.artifact, workload_state.active(state)
    if artifact is None or models.folded(artifact.status) != "draft" or proton is None:
        return None
    started, created = state.at(proton.running_since), state.at(state.workload.created_at)
    return None if started is None or created is None else (started, created)


def of_change(before: WorkloadState, after: WorkloadState, now: float) -> Iterator[Indication]:
    """Evidence in a change of a workload that a sweep at `now` shows: the stop of a draft."""
    if workload_state.status_group(before) != "up" or workload_state.status_group(after) not in ("off", "leaving"):
        return
    times = _draft_times(before)
    if times is None:
        return
    near = [abs(now - at - DRAFT_LIFETIME_SECONDS) <= DRAFT_SLACK_SECONDS for at in times]
    if any(near):
        text = f"its status became {workload_state.status_group(after)} at the end of its time"
        yield Indication("drafts_are_stopped", "drafts_are_stopped", f"{before.workload.id} {times[0]:.0f}", text)
    if near[0] != near[1]:
        reading = "draft_time_from_start" if near[0] else "draft_time_from_creation"
        text = f"stopped {(now - times[0]) / HOUR_SECONDS:.1f} h after its start, "
        text += f"{(now - times[1]) / HOUR_SECONDS:.1f} h after its creation"
        yield Indication("draft_time_from_start", reading, f"{before.workload.id} {times[0]:.0f}", text)


def of_gone(state: WorkloadState) -> Iterator[Indication]:
    """Evidence in the response for a workload that is no longer listed: the deletion of a draft."""
    if state.gone_because == "not_found" and workload_state.ended_as_draft(state):
        yield Indication("drafts_are_stopped", "drafts_are_deleted", state.workload.id, "404 at the end of its time")


def _restarted(state: WorkloadState) -> Iterator[Indication]:
    """The start of the proton of a workload that was observed to be started."""
    tracker, proton = state.ledger.tracker, workload_state.active(state)
    since = state.at(proton.running_since) if proton is not None else None
    if since is None or not tracker.collecting:
        return
    for episode in (*tracker.over, *tracker.episodes):
        if episode.kind == "start" and models.status_group(episode.before) == "off" and episode.opened.last is not None:
            after = since - episode.opened.last
            reading = "start_resets_running_since" if after > -_RESTARTED_SECONDS else "start_keeps_running_since"
            subject = f"{state.workload.id} {episode.opened.at:.0f}"
            text = f"runningSince is {after:.0f} s after the workload was last off"
            yield Indication("start_resets_running_since", reading, subject, text)


def _zero_replicas(state: WorkloadState, now: float) -> Iterator[Indication]:
    counted, group = workload_state.serving(state), workload_state.status_group(state)
    if counted is None or counted.live or workload_state.may_scale_to_zero(state) is not True:
        return
    text = f"status {models.folded(state.workload.status) if group != 'indeterminate' else 'unknown'} with no pods"
    if group not in ("starting", "failed"):
        yield Indication("zero_replicas_without_start", "zero_replicas_without_start", state.workload.id, text)
    elif group == "starting" and now - state.ledger.since > HOUR_SECONDS and not _requested(state, now):
        yield Indication("zero_replicas_without_start", "zero_replicas_starting", state.workload.id, text)


def _requested(state: WorkloadState, now: float) -> bool:
    """Whether the workload responded to a request within an hour, or may have."""
    last, stats = state.at(state.workload.last_response), state.workload.request_stats
    if last is not None:
        return now - last < HOUR_SECONDS
    return stats is None or stats.total_requests != 0


def _report_time(before: WorkloadState, after: WorkloadState, now: float) -> Iterator[Indication]:
    earlier, later, proton = before.details.pods, after.details.pods, workload_state.active(after)
    if earlier is None or later is None or proton is None:
        return
    first, second = earlier.details.get(proton.id), later.details.get(proton.id)
    if first is None or second is None or not second.replicas or first.overall_status is None:
        return
    reported = second.overall_status.last_updated if second.overall_status is not None else None
    previous = first.overall_status.last_updated
    ends = models.timestamp(previous), models.timestamp(reported)
    at = after.at(reported)
    if None in ends or at is None or first.replicas != second.replicas:
        return
    if previous == reported:
        if now - at > REPORT_SECONDS:
            text = f"the same time for {now - at:.0f} s"
            yield Indication("pod_report_time_of_change", "pod_report_time_of_change", after.workload.id, text)
    else:
        text = "another time, and the same pods"
        yield Indication("pod_report_time_of_change", "pod_report_time_of_report", after.workload.id, text)


Judge = Callable[[WorkloadState, WorkloadState, object, float], Iterable[Indication]]
_PARTS: Mapping[str, Judge] = {
    "stats_5m": _response_time,
    **dict.fromkeys(LONG_WINDOWS, _list_window),
    "usage": _cpu,
    "quotas": _quotas,
    "events": _events,
    "pods": _pods,
}


class FleetTotals(NamedTuple):
    """What the workloads of a list add up to, by each reading.

    `replicas`: those that running workloads are allowed; `over`: how many of these are allowed more than the limit.
    `requests`, `errors`: of the list, with its error rates as shares; `rate`: the highest of them.
    """

    not_stopped: int = 0
    running: int = 0
    listed: int = 0
    replicas: int = 0
    over: int = 0
    requests: float = 0.0
    errors: float = 0.0
    rate: float = 0.0

    def plus(self, other: FleetTotals) -> FleetTotals:
        """The totals of both."""
        return FleetTotals(
            self.not_stopped + other.not_stopped,
            self.running + other.running,
            self.listed + other.listed,
            self.replicas + other.replicas,
            self.over + other.over,
            self.requests + other.requests,
            self.errors + other.errors,
            max(self.rate, other.rate),
        )


def totals(states: Iterable[WorkloadState], limit: int | None = None) -> FleetTotals:
    """The totals of some workloads. `limit`: the most replicas of one, according to the account."""
    stopped_not = running = listed = replicas = over = 0
    requests = errors = highest = 0.0
    for state in states:
        listed += 1
        stopped_not += not_stopped(state)
        if workload_state.status_group(state) == "up":
            running += 1
            allowed = workload_state.max_replicas(state) or 0
            replicas, over = replicas + allowed, over + bool(limit and allowed > limit)
        stats = state.workload.request_stats
        number = models.finite(stats.total_requests) if stats is not None else None
        rate = models.finite(stats.error_rate) if stats is not None else None
        if number is not None and rate is not None and rate <= 100:
            requests, errors, highest = requests + number, errors + number * rate, max(highest, rate)
    return FleetTotals(stopped_not, running, listed, replicas, over, requests, errors, highest)


def of_account(account: Account, fleet: FleetTotals, now: float) -> Iterator[Indication]:
    """Evidence in what the API reports about an account at `now`, compared with all of its workloads."""
    subject = f"{now:.0f}"
    yield from _counting(account, fleet, subject)
    yield from _replica_limit(account, fleet, subject)
    if account.requests_reported is not None:
        yield from _list_stats(account.requests_reported, fleet, subject)


def counts_as_active(state: WorkloadState) -> bool:
    """Whether a workload counts towards the limit of its account, by the reading in force."""
    if "active_always" in state.readings:
        return True
    if "active_if_running" in state.readings:
        return workload_state.status_group(state) == "up"
    return not_stopped(state)


def not_stopped(state: WorkloadState) -> bool:
    """Whether a workload is neither stopped, suspended, interrupted nor terminated."""
    return workload_state.status_group(state) != "off" and models.folded(state.workload.status) != "terminated"


def _counting(account: Account, fleet: FleetTotals, subject: str) -> Iterator[Indication]:
    reported = account.active_reported
    counts = {
        "active_unless_stopped": fleet.not_stopped,
        "active_if_running": fleet.running,
        "active_always": fleet.listed,
    }
    fits = [reading for reading, count in counts.items() if count == reported]
    if len(fits) == 1:
        text = f"{reported} reported; {fleet.not_stopped} not stopped, {fleet.running} running, {fleet.listed} in all"
        yield Indication("active_unless_stopped", fits[0], subject, text)


def _replica_limit(account: Account, fleet: FleetTotals, subject: str) -> Iterator[Indication]:
    limit = account.replicas_limit
    if not limit or limit < 0 or fleet.replicas <= limit or 0 < fleet.over < MIN_OVER:
        return
    reading = "replica_limit_other" if fleet.over else "replica_limit_of_workload"
    text = f"limit {limit}; {fleet.over} running workloads may have more, all together {fleet.replicas}"
    yield Indication("replica_limit_of_workload", reading, subject, text)


def _list_stats(week: RequestTotals, fleet: FleetTotals, subject: str) -> Iterator[Indication]:
    percent = fleet.rate > 1
    if percent:
        yield Indication("list_error_rate_in_percent", "list_error_rate_percent", subject, f"a rate of {fleet.rate:g}")
    if not week.total or week.total < MIN_TOTAL or not fleet.requests:
        return
    ratio = fleet.requests / week.total
    text = f"{fleet.requests:.0f} requests in the list, {week.total} in the statistics of seven days"
    for name, least, most in _RATIOS:
        if least <= ratio <= most:
            yield Indication("list_window_of_seven_days", f"list_window_{name}", subject, text)
    if percent or (week.failed or 0) < MIN_FAILED:
        return
    failed = (week.failed or 0) * ratio
    text = f"the rates add up to {fleet.errors:.0f} errors as shares, {fleet.errors / 100:.0f} as percentages; "
    text += f"{failed:.0f} failed"
    for name, errors in (("percent", fleet.errors / 100), ("fraction", fleet.errors)):
        if failed / 3 <= errors <= failed * 3:  # never both: they differ by a factor of a hundred
            yield Indication("list_error_rate_in_percent", f"list_error_rate_{name}", subject, text)


_RATIOS = (("week", 0.8, 1.25), ("longer", 1.5, float("inf")))
"""Readings of the window of the list, by its requests divided by those of seven days. Fewer mean nothing: those to
deleted workloads may be missing.
"""
