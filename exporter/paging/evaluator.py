"""Evaluation of alerts: alarms, the notifications of incidents, and changes of workloads."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from exporter.alerting.alarms import Alarm, next_alarms, only_kept
from exporter.alerting.alerts import BY_NAME
from exporter.alerting.delivery_state import by_incident
from exporter.alerting.messages import notification
from exporter.alerting.mutes import muted
from exporter.alerting.notification import Notification
from exporter.alerting.rules import Options
from exporter.alerting.silences import silenced
from exporter.alerting.subjects import AccountFleet, ExporterStatus, subjects
from exporter.fleet.workload_state import WorkloadState
from exporter.log import log
from exporter.paging.paging_state import PagingState
from exporter.telemetry.report import Report

Evidence = Callable[[WorkloadState, float, str], tuple[tuple[str, str], ...]]
"""What a notification shows of a workload, with the alert that fires although its condition is no longer met (empty:
it is met): titles and texts.
"""
Record = Callable[[Alarm, float], None]
"""Receives each alarm that has started to fire or has ended, and the time."""
AccountEvidence = Callable[[str, AccountFleet, float], tuple[tuple[str, str], ...]]
"""What a notification shows of an account, by the name of the alert."""
_WorkloadKey = tuple[str | None, str | None]
_CHANGES = {
    "replaced": "was replaced by another version",
    "reverted": "was not replaced: the replacement was reverted",
    "promoted": "was promoted",
}
"""Changes that are sent as change events."""


class Evaluation(NamedTuple):
    """`firing`: incidents by key, each with its highest severity; `suppressed`: keys of incidents to keep silent.

    `alerts`: every alarm that fires or ended recently. `changes`: change events, with what to route them by.
    `accounts`: those that it is about, with an empty name the exporter itself; None: all that there are.
    `with_evidence` adds to a notification what it shows of its workload or account at the time of the evaluation. That
    takes milliseconds, and few of the firing alarms are sent after an evaluation: it is only called for those.
    """

    firing: Mapping[str, Notification] = {}
    suppressed: frozenset[str] = frozenset()
    alerts: Sequence[Notification] = ()
    changes: Sequence[tuple[str, Notification]] = ()
    accounts: frozenset[str] | None = frozenset()
    with_evidence: Callable[[Notification], Notification] = lambda each: each

    def covers(self, account: str) -> bool:
        """Whether it is about an account."""
        return self.accounts is None or account in self.accounts


class _Sources(NamedTuple):
    """What notifications are about at `now`: alarms by the labels of the notification, workloads by account and id,
    accounts by name.
    """

    alarms: Mapping[frozenset[tuple[str, str]], Alarm]
    workloads: Mapping[_WorkloadKey, WorkloadState]
    accounts: Mapping[str, AccountFleet]
    now: float


class Evaluator:
    """`evaluate` derives the next alarms from those in `state`, and saves them."""

    def __init__(
        self,
        state: PagingState,
        report: Report,
        options: Options,
        evidence: Evidence,
        account_evidence: AccountEvidence,
        record: Record = lambda _alarm, _now: None,
    ) -> None:
        self._state, self._report, self._options = state, report, options
        self._evidence, self._account_evidence, self._record = evidence, account_evidence, record
        self._change_counts: dict[_WorkloadKey, list[float]] = {}

    async def evaluate(
        self,
        fleets: Callable[[], Sequence[AccountFleet]],
        exporter: Callable[[], ExporterStatus],
        now: float,
    ) -> Evaluation:
        """Evaluate all alerts of the accounts in `state` at `now`."""
        async with self._state.evaluating:  # accounts come and go before or after it
            accounts = self._state.accounts
            found = [each for each in fleets() if accounts is None or each.known.account.name in accounts]
            status = exporter() if accounts is None or "" in accounts else None
            return (await self._evaluate(found, status, now))._replace(accounts=accounts)

    async def _evaluate(
        self, fleets: Sequence[AccountFleet], exporter: ExporterStatus | None, now: float
    ) -> Evaluation:
        fleets = [fleet._replace(workloads=tuple(fleet.workloads)) for fleet in fleets]
        before = self._state.alarms
        # Ten thousand workloads take a second: in a thread, so that requests are not delayed.
        self._state.alarms, alerts, sources = await asyncio.to_thread(self._next, before, fleets, exporter, now)
        self._report_changes(before, now)
        incidents = by_incident((each for each in alerts if each.ended is None), self._options.severity_label)
        self._state.expire_silences(now)
        silences = self._state.silences.values()
        quiet = {key for key, each in incidents.items() if silenced(each, silences, now)}
        firing = [alarm for alarm in self._state.alarms.values() if alarm.firing]
        self._count(firing)
        suppressed = muted(firing, now, quiet) | quiet | only_kept(firing, now)
        changes = tuple(self._changes(fleets, now))
        await self._state.save()
        return Evaluation(
            incidents, suppressed, alerts, changes, with_evidence=lambda each: self._with_evidence(each, sources)
        )

    def _next(
        self, before: Mapping[str, Alarm], fleets: Sequence[AccountFleet], exporter: ExporterStatus | None, now: float
    ) -> tuple[Mapping[str, Alarm], Sequence[Notification], _Sources]:
        """The next alarms, and the notifications of firing and of ended ones."""
        found = next_alarms(before, subjects(fleets, exporter, self._options, now), self._options, now)
        keys = {_workload(alarm) for alarm in found.values()}
        states: dict[_WorkloadKey, WorkloadState] = {
            key: state
            for fleet in fleets
            for state in fleet.workloads
            if (key := (state.account, state.workload.id)) in keys
        }
        notified = [
            (self._notification(alarm, states.get(_workload(alarm))), alarm)
            for alarm in found.values()
            if alarm.fired is not None
        ]
        alarms = {frozenset(each.labels.items()): alarm for each, alarm in notified if alarm.firing}
        accounts = {fleet.known.account.name: fleet for fleet in fleets}
        return found, [each for each, _ in notified], _Sources(alarms, states, accounts, now)

    def _notification(self, alarm: Alarm, state: WorkloadState | None) -> Notification:
        if state is None:
            return notification(alarm, self._options)
        return notification(alarm, self._options, state.workload.importance or "", _tags(state))

    def _with_evidence(self, notification: Notification, sources: _Sources) -> Notification:
        alarm = sources.alarms.get(frozenset(notification.labels.items()))
        if alarm is None or notification.ended is not None:
            return notification
        try:
            return notification._replace(evidence=self._collected(alarm, sources))
        except Exception:  # a page without evidence is better than none
            log.exception("evidence could not be collected", alert=alarm.alert, **alarm.labels)
            unknown = ("Unknown", "The exporter failed to collect evidence; see its log.")
            return notification._replace(evidence=(unknown,))

    def _collected(self, alarm: Alarm, sources: _Sources) -> tuple[tuple[str, str], ...]:
        now, state = sources.now, sources.workloads.get(_workload(alarm))
        if state is not None:
            if alarm.held == now:
                return self._evidence(state, now, "")
            return (*self._evidence(state, now, alarm.alert), self._recovering(alarm, now))
        fleet = sources.accounts.get(alarm.labels.get("account", ""))
        if fleet is None or alarm.labels.get("workload_id"):
            return ()
        return self._account_evidence(alarm.alert, fleet, now)

    def _recovering(self, alarm: Alarm, now: float) -> tuple[str, str]:
        """When the condition of an alarm was last met, and when it resolves."""
        past, keep = now - alarm.held, self._options.keep(BY_NAME[alarm.alert], alarm.severity)
        return "Recovering", f"its condition was last met {past:.0f} s ago; it resolves {keep:.0f} s after that"

    def _report_changes(self, before: Mapping[str, Alarm], now: float) -> None:
        """Log and record alarms that started or ended, whether or not a receiver is notified."""
        for place, alarm in self._state.alarms.items():
            old = before.get(place)
            fired = old is not None and old.firing
            if alarm.firing != fired and (alarm.firing or alarm.ended == now) and alarm.severity != "none":
                fields = {"alert": alarm.alert, "severity": alarm.severity, **alarm.labels}
                log.warning("alert fires" if alarm.firing else "alert has ended", **fields)
                self._record(alarm, now)

    def _count(self, firing: Sequence[Alarm]) -> None:
        self._report.clear("alerts_firing")
        for (alert, severity), number in Counter((each.alert, each.severity) for each in firing).items():
            self._report.set("alerts_firing", number, alert, severity)
        self._report.set("silences", len(self._state.silences))

    def _changes(self, fleets: Sequence[AccountFleet], now: float) -> Iterator[tuple[str, Notification]]:
        """Replacements completed or reverted since the last evaluation; the first evaluation is the baseline."""
        states: dict[_WorkloadKey, WorkloadState] = {
            (state.account, state.workload.id): state for fleet in fleets for state in fleet.workloads
        }
        counts = {key: [_change_count(state, name) for name in _CHANGES] for key, state in states.items()}
        before, self._change_counts = self._change_counts, counts
        for key, numbers in counts.items():
            for text, number, old in zip(_CHANGES.values(), numbers, before.get(key, numbers), strict=True):
                if number > old:
                    state = states[key]
                    summary = f"Workload {state.workload.name} ({state.workload.id}) {text}"
                    yield summary, self._change_notification(state, now)

    def _change_notification(self, state: WorkloadState, now: float) -> Notification:
        labels = {"alertname": "", "account": state.account, self._options.severity_label: "none"}
        importance = state.workload.importance or ""
        return Notification("", labels, {}, now, importance=importance, tags=_tags(state))


def _workload(alarm: Alarm) -> _WorkloadKey:
    return alarm.labels.get("account"), alarm.labels.get("workload_id")


def _tags(state: WorkloadState) -> dict[str, str]:
    return {tag.name: tag.value or "" for tag in state.workload.tags or () if tag.name}


def _change_count(state: WorkloadState, change: str) -> float:
    """A number that grows with every such change of a workload."""
    return state.ledger.newest.get(change, 0.0) if change == "promoted" else state.ledger.transitions.get(change, 0)
