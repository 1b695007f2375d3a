"""Direct paging by the settings in force: builds the notifiers and replaces the pager."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence, Set
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from exporter.alerting.alarms import Alarm
from exporter.alerting.delivery_state import Subscription
from exporter.alerting.routing import chosen, quiet
from exporter.alerting.silences import BadSilence, Silence, new_silence
from exporter.alerting.subjects import ExporterStatus
from exporter.clock import Clock
from exporter.collect.log_tail import LogTail
from exporter.daemon.accounts import Accounts
from exporter.daemon.prepared import Prepared, all_of
from exporter.diagnosis.account_evidence import account_evidence
from exporter.diagnosis.diagnosis import diagnosis
from exporter.diagnosis.wording import evidence
from exporter.fleet.history import HistoryEntry
from exporter.paging.notify import Notifier, notifiers
from exporter.paging.notify.pagerduty import PagerDuty
from exporter.paging.pager import INTERVAL_SECONDS, Pager
from exporter.paging.paging_state import PagingState
from exporter.paging.receiver import Receiver
from exporter.redaction import Secrets
from exporter.settings.model import Settings
from exporter.settings.receivers import AnyReceiver
from exporter.settings.values import seconds
from exporter.state.rights import Rights
from exporter.state.store import Store
from exporter.telemetry.report import Report
from exporter.timestamps import LAST_SECOND
from exporter.web.responses import Rows
from exporter.web.silence_form import SilencesResult


def receiver(settings: AnyReceiver, notifier: Notifier, severity_label: str) -> Receiver:
    """A notifier of a receiver of the settings, as the pager takes it."""
    wants = settings.wants(severity_label)
    sends_changes = isinstance(notifier, PagerDuty) and settings.kind == "pagerduty" and settings.changes
    return Receiver(
        name=notifier.name,
        send=notifier.send,
        subscription=Subscription(
            wants=lambda each: chosen(wants, each), quiet=lambda each, now: quiet(wants, each, now), ends=wants.resolved
        ),
        continuous=settings.kind == "alertmanager",
        merges=settings.kind in ("alertmanager", "pagerduty"),
        repeat_interval=settings.repeat_interval,
        send_change=notifier.change if isinstance(notifier, PagerDuty) and sends_changes else None,
        wants_change=lambda each: chosen(wants._replace(severities=frozenset({"none"}), alerts=frozenset()), each),
    )


class Paging:
    """The pager in use; None if the settings name no receivers or leave paging to alert rules.

    `own_state`: the state of the exporter itself, with leases that of all replicas.
    """

    def __init__(
        self,
        *,
        store: Store,
        report: Report,
        secrets: Secrets,
        clock: Clock,
        accounts: Accounts,
        own_state: Callable[[], ExporterStatus],
        rights: Rights,
    ) -> None:
        self._rights = rights
        self._store, self._report, self._secrets, self._clock = store, report, secrets, clock
        self._accounts, self._own_state = accounts, own_state
        self._replacing = asyncio.Lock()
        self._state: PagingState | None = None
        self._secret_files: Mapping[str, frozenset[Path]] = {}
        self.pager: Pager | None = None

    def prepare(self, new: Prepared) -> None:
        """Build the notifiers of all receivers, used or not: all problems are reported. Raises `BadSettings`."""
        label = new.settings.alerts.options.severity_label

        def build(receiver: AnyReceiver) -> None:
            new.notifiers += [(receiver, notifier) for notifier in notifiers(receiver, label, self._secrets)]

        all_of(partial(build, receiver) for receiver in new.settings.paging.receivers)

    async def replace(self, settings: Settings, notifiers: Sequence[tuple[AnyReceiver, Notifier]]) -> None:
        """Page with these notifiers from now on; the previous pager is closed first, and its state is used.

        Nothing is paged before the state is loaded.
        """
        options, logs = settings.alerts.options, settings.paging
        async with self._replacing:  # two reloads at once must not leave two pagers
            before, self.pager = self.pager, None
            if before is not None:
                await before.close()
            if not notifiers:
                return
            self._state = self._state or PagingState(self._store, self._rights)
            await self._state.load(self._clock.steady())
            self._secret_files = {notifier.name: each.secret_files for each, notifier in notifiers}
            self.pager = Pager(
                state=self._state,
                report=self._report,
                options=options,
                receivers=[receiver(each, notifier, options.severity_label) for each, notifier in notifiers],
                evidence=lambda state, now, alert: evidence(diagnosis(state, now, options, recovering=alert)),
                account_evidence=lambda alert, fleet, now: account_evidence(alert, fleet, options, now),
                fleets=lambda: self._accounts.fleets,
                exporter=self._own_state,
                clock=self._clock,
                closers=[notifier.aclose for _, notifier in notifiers],
                interval=min(INTERVAL_SECONDS, max(0.5, settings.sweep.interval / 2)),
                enrich=LogTail(
                    lambda: self._accounts.clients, logs.log_lines, logs.log_signs, ahead=self._accounts.ahead
                ).added,
                before=before,
                record=self._record,
            )
            self.pager.start()

    def _record(self, alarm: Alarm, now: float) -> None:
        """Add an alarm that has started to fire or has ended to the history of its workload."""
        monitor = self._accounts.monitors.get(alarm.labels.get("account", ""))
        workload_id = alarm.labels.get("workload_id")
        if monitor is None or workload_id is None or alarm.fired is None:
            return
        at, began = (alarm.fired, None) if alarm.ended is None else (alarm.ended, alarm.fired)
        monitor.state.add_history(workload_id, HistoryEntry(at, "alert", alarm.alert, alarm.severity, began), now)

    @property
    def gained(self) -> Set[str]:
        """The accounts that were gained and not lost."""
        return frozenset() if self._state is None else self._state.gained

    def has(self, account: str) -> bool:
        """Whether an account is paged here, or none is anywhere."""
        return self._state is None or self._state.has(account)

    async def gain(self, account: str) -> None:
        """Page for one more account, unless this is done already or nothing is paged. Raises `StateError`."""
        if self._state is not None and account not in self._state.gained:
            await self._state.gain(account)

    async def lose(self, account: str) -> None:
        """Page for an account no more."""
        if self._state is not None:
            await self._state.lose(account)

    def knows(self, account: str) -> bool:
        """Whether an account still has alarms, or incidents that are not resolved."""
        return self._state is not None and self._state.knows(account)

    async def written(self, account: str) -> bool:
        """Wait for notifications in progress, and write what they change; returns whether nothing is left."""
        if self._state is None:
            return True
        if self.pager is not None:
            await self.pager.settle()
        await self._state.save(last=True)
        return self._state.is_written(account)

    def retry(self, files: frozenset[Path]) -> None:
        """Notify the receivers at once whose secrets are in these files, which have changed."""
        if self.pager is not None:
            self.pager.retry({name for name, used in self._secret_files.items() if used & files})

    @property
    def failing_seconds(self) -> float:
        """Seconds since delivery to a receiver started failing, the longest."""
        return max(self.pager.failing.values(), default=0.0) if self.pager is not None else 0.0

    async def silences(self, method: str, parameters: Mapping[str, str], label_names: Sequence[str]) -> SilencesResult:
        """All silences, after creating one (POST: ``for``, ``author``, ``comment``, labels) or ending one (DELETE:
        ``id``). The one that was created has the number of firing alerts that it matches.
        """
        pager = self.pager
        if pager is None:
            return 404, "Direct paging is off; see paging.who.\n"
        if method == "DELETE" and not await pager.end_silence(parameters.get("id", "")):
            return 404, "There is no silence with this id.\n"
        if method == "POST":
            try:
                silence = self._new_silence(parameters, label_names, len(pager.silences))
                name = await pager.silence(silence)
            except BadSilence as error:
                return 400, f"{error}\n"
            count = pager.matching(silence, self._clock.wall())
            return [each | {"alerts": count} if each["id"] == name else each for each in _listed(pager.silences)]
        return _listed(pager.silences)

    def _new_silence(self, parameters: Mapping[str, str], label_names: Sequence[str], existing: int) -> Silence:
        try:
            duration = seconds(parameters.get("for", ""))
        except ValueError:
            duration = 0.0
        number = duration if isinstance(duration, int | float) else 0.0
        return new_silence(parameters, number, label_names, existing, self._clock.wall())

    async def aclose(self) -> None:
        """Close the pager; pending notifications are sent after the next start."""
        if self.pager is not None:
            await self.pager.close()


def _listed(silences: Mapping[str, Silence]) -> Rows:
    return [
        {
            "id": name,
            "matchers": dict(each.matchers),
            "ends": datetime.fromtimestamp(min(each.ends, LAST_SECOND), UTC).isoformat(timespec="seconds"),
            "author": each.author,
            "comment": each.comment,
        }
        for name, each in sorted(silences.items(), key=lambda item: item[1].ends)
    ]
