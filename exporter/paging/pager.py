"""Direct paging: evaluates alerts, keeps the alarms, and notifies each receiver.

There is no queue. The state holds what each receiver was sent; what it still needs is computed at each turn
(`exporter.alerting.alarms.due`), so a restart or an unreachable receiver only delays notifications.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence, Set
from typing import NamedTuple, Protocol

from exporter.alerting import alarms
from exporter.alerting.alarms import About, Alarm, Exporter, Fleet, Notified, Subscription
from exporter.alerting.notification import Notification
from exporter.alerting.rules import Options
from exporter.alerting.silences import Silence, silenced
from exporter.clock import Clock
from exporter.fleet.workload_state import WorkloadState
from exporter.log import log
from exporter.state.store import Paged, StateError, Store
from exporter.telemetry.own_metrics import Report

EVERY = 15.0
"""Maximum seconds between two evaluations."""
RESEND = 60.0
"""Seconds after which firing alerts are sent to an Alertmanager again: it resolves what is not repeated."""
FIRST, MOST = 1.0, 60.0
"""Seconds of the first pause after a failure, and of the longest of ours."""
LONGEST = 300.0
"""Maximum pause that a receiver may request, and time for which rejected notifications are not sent again."""
AT_ONCE = 20
"""Notifications sent to a receiver in one request, the most severe first, so that new alerts need not wait for the
rest.
"""
ITS_FAULT = ("timeout", "server_error", "bad_request", "too_large", "refused")
"""Failures that may be a notice's own: it goes after the others the next time."""
ENDING = 2.0
"""Seconds that a notice on its way is given at the end."""


class Sent(Protocol):
    """What became of a notice; see `exporter.paging.notify.contract`."""

    @property
    def key(self) -> str: ...
    @property
    def fate(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def words(self) -> str: ...
    @property
    def after(self) -> float | None: ...
    @property
    def maybe(self) -> bool: ...


Change = Callable[[str, float], Awaitable[Sent]]
"""Sends a change event: a summary and its time."""


class Receiver(NamedTuple):
    """A receiver of notifications. `standing`: it needs all firing alerts repeatedly, as an Alertmanager does.

    `repeat`: seconds after which any other receiver is sent firing alerts again; 0: never. `change`: sends change
    events for replacements of the workloads selected by `hears`.
    """

    name: str
    send: Callable[[Sequence[Notification], float], Awaitable[Sequence[Sent]]]
    subscription: Subscription
    standing: bool = False
    repeat: float = 0.0
    change: Change | None = None
    hears: Callable[[Notification], bool] = lambda _: True


class _Way:
    """Delivery state of a receiver: when it may be tried again, and since when delivery fails.

    `refused`: rejected incidents, and until when they are not sent again. `behind`: incidents at which sending broke
    off, sent after the others. `standing`: what an Alertmanager holds as long as it is repeated.
    """

    def __init__(self) -> None:
        self.held_until = 0.0
        self.refused: dict[str, float] = {}
        self.behind: dict[str, int] = {}
        self.failures = 0
        self.failing_since: float | None = None
        self.told_at = float("-inf")
        self.standing: Sequence[Notification] = ()
        self.said = ""
        self.news: deque[tuple[str, float]] = deque(maxlen=100)
        self.telling: asyncio.Task[None] | None = None


class _Judged(NamedTuple):
    alarms: Mapping[str, Alarm]
    firing: Sequence[Notification]
    over: Sequence[Notification]


_CHANGES = {
    "replaced": "was replaced by another version",
    "reverted": "was to be replaced, and was not",
    "promoted": "was promoted",
}
"""Changes shown in pages of other incidents."""


def _count_of(state: WorkloadState, change: str) -> float:
    """A number that grows when a workload changes so."""
    return state.ledger.newest.get(change, 0.0) if change == "promoted" else state.ledger.transitions.get(change, 0)


class Pager:
    """`look` evaluates alerts, `turn` notifies the receivers; `start` runs both periodically.

    `evidence`: what a page shows of a workload; `added` adds data that must be requested first. `fleets` and `exporter`
    return the current state; `endings` are awaited on close. `before`: the previous pager, which is closed, and whose
    delivery state is taken over.
    """

    def __init__(
        self,
        store: Store,
        report: Report,
        options: Options,
        receivers: Sequence[Receiver],
        evidence: Callable[[WorkloadState, float], tuple[tuple[str, str], ...]],
        fleets: Callable[[], Sequence[Fleet]],
        exporter: Callable[[], Exporter],
        clock: Clock,
        endings: Sequence[Callable[[], Awaitable[None]]] = (),
        every: float = EVERY,
        added: Callable[[Sequence[Notification]], Awaitable[Sequence[Notification]]] | None = None,
        before: Pager | None = None,
    ) -> None:
        self._store, self._report, self.options, self._receivers = store, report, options, receivers
        self._evidence, self._fleets, self._exporter, self._clock = evidence, fleets, exporter, clock
        self._endings, self._every, self._added = endings, every, added
        try:
            kept = store.paged()
        except StateError as error:
            fields = {"words": str(error)}
            log.error("what receivers were told cannot be read; it begins anew", **fields)
            kept = Paged({}, {}, {})
        # One that another version wrote may be of an alert that there is no more; what was told of it is ended.
        self.alarms: Mapping[str, Alarm] = {p: each for p, each in kept.alarms.items() if each.alert in alarms.ROWS}
        self.told: dict[str, dict[str, Notified]] = {name: dict(each) for name, each in kept.told.items()}
        self.silences: dict[str, Silence] = dict(kept.silences)
        self._written = kept
        known: Mapping[str, _Way] = before.ways if before is not None else {}
        self.ways: Mapping[str, _Way] = {receiver.name: known.get(receiver.name) or _Way() for receiver in receivers}
        self._changes: dict[tuple[str, str], list[float]] = {}
        self._firing: dict[str, Notification] = {}
        self._standing: tuple[Notification, ...] = ()
        self._hushed: frozenset[str] = frozenset()
        self._running: asyncio.Task[None] | None = None
        for receiver in receivers:
            for fate in ("delivered", "again", "failed"):
                report.count("notifications", receiver.name, fate, by=0)
            report.set("notification_failing_seconds", 0, receiver.name)

    def start(self) -> None:
        """Page from now on."""
        if self._running is None:
            self._running = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop; pending notifications are sent after the next start."""
        if self._running is not None:
            self._running.cancel()
        telling = [way.telling for way in self.ways.values() if way.telling is not None and not way.telling.done()]
        late = (await asyncio.wait(telling, timeout=ENDING))[1] if telling else ()
        for task in late:
            task.cancel()
        # Of a receiver that is there no more nothing may stay, as if it still failed.
        for gauge in ("alerts_firing", "notifications_pending", "notification_failing_seconds"):
            self._report.clear(gauge)
        self._report.set("silences", 0)
        for told in await asyncio.gather(*(ending() for ending in self._endings), return_exceptions=True):
            if isinstance(told, Exception):
                log.error("a connection could not be closed", exc_info=told)

    async def _run(self) -> None:
        while True:
            began = self._clock.steady()
            try:
                await self.look()
                await self.turn()
            except Exception:  # whatever it is, the alarms are still there, and the next look may be good
                log.exception("paging failed; it goes on")
            await self._clock.pause(max(0.0, self._every - (self._clock.steady() - began)))

    # -- looking

    async def look(self) -> None:
        """Evaluate the alerts, and keep the result."""
        now = self._clock.wall()
        fleets = [fleet._replace(workloads=tuple(fleet.workloads)) for fleet in self._fleets()]
        # Ten thousand workloads take a second: in a thread, so that nobody waits for it.
        judged = await asyncio.to_thread(self._judged, self.alarms, fleets, self._exporter(), now)
        before, self.alarms = self.alarms, judged.alarms
        self._tell_changes(before, now)
        self._standing = (*judged.firing, *judged.over)
        self._firing = alarms.loudest(judged.firing, self.options.severity_label)
        self.silences = {name: each for name, each in self.silences.items() if now < each.ends}
        quiet = {key for key, each in self._firing.items() if silenced(each, self.silences.values(), now)}
        firing = [alarm for alarm in self.alarms.values() if alarm.firing]
        self._hushed = alarms.muted(firing) | quiet
        self._count(firing)
        self._note_changes(fleets, now)
        self.keep()

    def _judged(self, before: Mapping[str, Alarm], fleets: Sequence[Fleet], exporter: Exporter, now: float) -> _Judged:
        now_alarms = alarms.after(before, alarms.subjects(fleets, exporter, self.options, now), self.options, now)
        told = {(alarm.labels.get("account"), alarm.labels.get("workload_id")) for alarm in now_alarms.values()}
        there = [state for fleet in fleets for state in fleet.workloads if (state.account, state.workload.id) in told]
        state = {(each.account, each.workload.id): each for each in there}
        firing = [self._notice(alarm, state, now) for alarm in now_alarms.values() if alarm.firing]
        over = [self._notice(alarm, state, now) for alarm in now_alarms.values() if alarm.ended is not None]
        return _Judged(now_alarms, firing, over)

    def _notice(self, alarm: Alarm, there: Mapping[tuple[str, str], WorkloadState], now: float) -> Notification:
        state = there.get((alarm.labels.get("account", ""), alarm.labels.get("workload_id", "")))
        if state is None:
            return alarms.notification(alarm, self.options)
        tags = {tag.name: tag.value or "" for tag in state.workload.tags or () if tag.name}
        return alarms.notification(
            alarm, self.options, About(self._shown(alarm, state, now), state.workload.importance or "", tags)
        )

    def _shown(self, alarm: Alarm, state: WorkloadState, now: float) -> tuple[tuple[str, str], ...]:
        try:
            return self._evidence(state, now) if alarm.firing else ()
        except Exception:  # a page without evidence is better than none, for this workload and all others
            log.exception("no evidence could be found", workload_id=state.workload.id)
            return (("Not known", "why: the exporter failed to find out, and its log says how"),)

    def _note_changes(self, fleets: Sequence[Fleet], now: float) -> None:
        """Replacements completed or reverted since the last evaluation; the first evaluation is the baseline."""
        there = {(state.account, state.workload.id): state for fleet in fleets for state in fleet.workloads}
        counts = {key: [_count_of(state, name) for name in _CHANGES] for key, state in there.items()}
        for key, numbers in counts.items():
            for change, number, before in zip(_CHANGES.values(), numbers, self._changes.get(key, numbers), strict=True):
                if number > before:
                    self._news(there[key], change, now)
        self._changes = counts

    def _news(self, state: WorkloadState, change: str, now: float) -> None:
        tags = {tag.name: tag.value or "" for tag in state.workload.tags or () if tag.name}
        labels = {"alertname": "", "account": state.account, self.options.severity_label: "none"}
        told = Notification("", labels, {}, now, importance=state.workload.importance or "", tags=tags)
        for receiver in self._receivers:
            if receiver.change is not None and receiver.hears(told):
                words = f"Workload {state.workload.name} ({state.workload.id}) {change}"
                self.ways[receiver.name].news.append((words, now))

    def _tell_changes(self, before: Mapping[str, Alarm], now: float) -> None:
        """Log changes of alarms, independently of the receivers."""
        for place, alarm in self.alarms.items():
            old = before.get(place)
            was = old is not None and old.firing
            if alarm.firing != was and (alarm.firing or alarm.ended == now) and alarm.severity != "none":
                fields = {"alert": alarm.alert, "severity": alarm.severity, **alarm.labels}
                log.warning("alert fires" if alarm.firing else "alert has ended", **fields)

    def _count(self, firing: Iterable[Alarm]) -> None:
        self._report.clear("alerts_firing")
        for (alert, severity), number in Counter((each.alert, each.severity) for each in firing).items():
            self._report.set("alerts_firing", number, alert, severity)
        self._report.set("silences", len(self.silences))

    # -- telling

    async def turn(self) -> None:
        """Notify every receiver that is due. A slow receiver does not delay the others."""
        for receiver in self._receivers:
            way = self.ways[receiver.name]
            if way.telling is None or way.telling.done():
                way.telling = asyncio.create_task(self._tell(receiver))
        telling = [way.telling for way in self.ways.values() if way.telling is not None]
        done = (await asyncio.wait(telling, timeout=self._every))[0] if telling else ()
        for receiver in self._receivers:
            self._report.set("notification_failing_seconds", self.failing.get(receiver.name, 0.0), receiver.name)
        for failed in [error for task in done if not task.cancelled() and (error := task.exception()) is not None]:
            log.error("a receiver could not be told", exc_info=failed)

    async def _tell(self, receiver: Receiver) -> None:
        while await self._tell_due(receiver):
            pass
        way = self.ways[receiver.name]
        # Changes wake nobody: each is told once, and what does not arrive is missed by nobody.
        while way.news and receiver.change is not None and self._clock.steady() >= way.held_until:
            summary, at = way.news.popleft()
            sent = await receiver.change(summary, at)
            self._report.count("notifications", receiver.name, sent.fate)
            if sent.fate != "delivered":
                way.news.clear()

    async def _tell_due(self, receiver: Receiver) -> bool:
        """Send the most severe pending notifications; returns whether they were accepted and more are pending."""
        way, now, wall, new = self.ways[receiver.name], self._clock.steady(), self._clock.wall(), set[str]()
        if now < way.held_until:
            return False
        way.refused = {key: until for key, until in way.refused.items() if now < until}
        owed = self._due(receiver, way)
        self._report.set("notifications_pending", len(owed), receiver.name)
        if not owed:  # what it did not hear is over: it may be well again, and nobody misses anything
            way.failures, way.failing_since, way.said = 0, None, ""
        said = [each for each in owed if each.key not in way.refused]
        if not receiver.standing:
            said = sorted(said, key=lambda each: (way.behind.get(each.key, 0), self._rank(each)))[:AT_ONCE]
            new = {each.key for each in said} - self.told[receiver.name].keys()
            self.told[receiver.name] = alarms.trying(self.told[receiver.name], said, wall)
            self.keep()
        if not said:
            return False
        try:
            said = list(await self._added(said)) if self._added is not None else said
            sent = await receiver.send(said, wall)
        except Exception:  # a fault of one notifier is no reason to tell nobody
            log.exception("a receiver could not be told", receiver=receiver.name)
            way.held_until = now + MOST
            way.failing_since = now if way.failing_since is None else way.failing_since
            return False
        self._heed(receiver, way, said, sent, new)
        return not receiver.standing and len(said) < len(owed) and all(each.fate == "delivered" for each in sent)

    def _rank(self, told: Notification) -> tuple[bool, int]:
        return told.ended is not None, alarms.SEVERITIES.index(told.labels[self.options.severity_label])

    def _due(self, receiver: Receiver, way: _Way) -> list[Notification]:
        subscription, now = receiver.subscription, self._clock.wall()
        if receiver.standing:
            wanted = [each for each in self._standing if subscription.wants(each)]
            new = [(each.labels, each.ended) for each in wanted] != [(each.labels, each.ended) for each in way.standing]
            return wanted if new or self._clock.steady() - way.told_at >= (receiver.repeat or RESEND) else []
        told = self.told[receiver.name] = alarms.forgotten(self.told.get(receiver.name, {}), self._firing, subscription)
        found = alarms.due(self._firing, told, self._hushed, subscription, now)
        if receiver.repeat:
            fresh = {each.key for each in found}
            rest = [each for key, each in self._firing.items() if key not in fresh]
            found += [each for each in rest if self._again(receiver, each, now)]
        return found

    def _again(self, receiver: Receiver, each: Notification, now: float) -> bool:
        told = self.told[receiver.name].get(each.key)
        hushed = each.key in self._hushed or receiver.subscription.quiet(each, now)
        return told is not None and not hushed and now - told.at >= receiver.repeat

    def _heed(
        self, receiver: Receiver, way: _Way, said: Sequence[Notification], sent: Sequence[Sent], new: Set[str]
    ) -> None:
        """Apply the results of a delivery. A receiver that accepts anything works; what it rejects is another matter.

        `new`: notifications that were never tried before.
        """
        now, fates = self._clock.steady(), Counter(each.fate for each in sent)
        bad = [each for each in sent if each.fate != "delivered"]
        if not receiver.standing:
            arrived = {each.key for each in sent if each.fate == "delivered"}
            lost = {each.key for each in bad if not each.maybe} & new
            delivered = [each for each in said if each.key in arrived]
            told = self.told[receiver.name]
            self.told[receiver.name] = alarms.remembered(told, delivered, lost, self._clock.wall())
            way.refused |= {each.key: now + LONGEST for each in bad if each.fate == "failed"}
            way.behind = {key: turn for key, turn in way.behind.items() if key not in arrived}
            if bad and bad[0].reason in ITS_FAULT:
                way.behind[bad[0].key] = max(way.behind.values(), default=0) + 1
        for each in sent:
            self._report.count("notifications", receiver.name, each.fate)
            if each.fate != "delivered":
                self._report.count("notification_failures", receiver.name, each.reason)
        if fates["delivered"]:
            if way.failing_since is not None:
                log.info("a receiver can be told again", receiver=receiver.name)
            way.failures, way.failing_since, way.said = 0, None, ""
            way.told_at, way.standing = now, () if fates["again"] else said
        elif bad:
            way.failures += 1
            way.failing_since = now if way.failing_since is None else way.failing_since
        longest = RESEND if receiver.standing else LONGEST  # an Alertmanager lets go of what it does not hear of
        pauses = [self._pause(each, way.failures) for each in bad if receiver.standing or each.fate == "again"]
        way.held_until = now + min(max(pauses, default=0.0), longest)
        if bad and not fates["delivered"] and way.said != bad[0].reason:
            way.said = bad[0].reason
            fields = {"receiver": receiver.name, "words": bad[0].words}
            log.error("a receiver could not be told; it is tried again", **fields)
        self.keep()

    def _pause(self, sent: Sent, failures: int) -> float:
        if sent.after is not None:
            return min(max(sent.after, FIRST), LONGEST)
        grown: float = min(MOST, FIRST * 2 ** min(max(failures - 1, 0), 30))
        return grown * random.uniform(0.5, 1.0)  # noqa: S311 — no secret

    @property
    def failing(self) -> Mapping[str, float]:
        """Seconds since delivery started failing, by receiver."""
        now = self._clock.steady()
        return {name: now - way.failing_since for name, way in self.ways.items() if way.failing_since is not None}

    # -- silences

    def silence(self, silence: Silence) -> str:
        """Put a silence in force; return its id."""
        name = secrets.token_hex(4)
        self.silences[name] = silence
        self.keep()
        return name

    def end_silence(self, name: str) -> bool:
        """End a silence; False where there is none of this name."""
        ended = self.silences.pop(name, None)
        self.keep()
        return ended is not None

    # -- keeping

    def keep(self) -> None:
        """Write what has changed; where that fails, it is written next time."""
        now = Paged(self.alarms, self.told, self.silences)
        if now == self._written:
            return
        try:
            self._store.page(now, self._written)
        except StateError as error:
            log.error("what receivers were told is not kept", words=str(error))
            return
        self._written = Paged(
            dict(self.alarms), {name: dict(told) for name, told in self.told.items()}, dict(self.silences)
        )
