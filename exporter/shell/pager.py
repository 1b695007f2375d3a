"""Direct paging: looks at what is known, keeps the alarms, and tells each receiver what it must be told.

Nothing is queued. What a receiver was told stands in the state; what it must be told is worked out anew at each turn
(`exporter.core.paging.due`), so a restart, or a receiver that was away, changes nothing but the time.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from exporter.core import paging
from exporter.core.notice import Notice
from exporter.core.paging import About, Alarm, Exporter, Fleet, Silence, Told, Wish
from exporter.core.rules import Options
from exporter.core.seen import Seen
from exporter.shell.report import Report
from exporter.shell.store import Paged, StateError, Store
from exporter.shell.watch import Clock

log = logging.getLogger("exporter")

EVERY = 15.0
"""Seconds between two looks."""
RESEND = 60.0
"""Seconds after which an Alertmanager is told again what fires: it forgets what it does not hear of."""
FIRST, MOST = 1.0, 60.0
"""Seconds of the first pause after a failure, and of the longest of ours."""
LONGEST = 300.0
"""The longest pause that a receiver may ask for, and how long one that refuses is left alone."""
AT_ONCE = 50
"""Notices handed over at once."""


class Sent(Protocol):
    """What became of a notice; see `exporter.shell.notify.contract`."""

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


class Receiver(NamedTuple):
    """Somebody who is told. `standing`: it wants all that fires, again and again, as an Alertmanager does."""

    name: str
    send: Callable[[Sequence[Notice], float], Awaitable[Sequence[Sent]]]
    wish: Wish
    standing: bool = False


class _Way:
    """How it goes with a receiver: when it may be asked again, and since when it has not answered well."""

    def __init__(self) -> None:
        self.held_until = 0.0
        self.failures = 0
        self.failing_since: float | None = None
        self.told_at = float("-inf")
        self.standing: Sequence[Notice] = ()
        self.said = ""


class Pager:
    """`look` judges what is known, `turn` tells the receivers; `run` does both, again and again.

    `evidence`: what a page shows of a workload. `fleets` and `exporter` give what is known now.
    """

    def __init__(
        self,
        store: Store,
        report: Report,
        options: Options,
        receivers: Sequence[Receiver],
        evidence: Callable[[Seen, float], tuple[tuple[str, str], ...]],
        fleets: Callable[[], Sequence[Fleet]],
        exporter: Callable[[], Exporter],
        clock: Clock,
    ) -> None:
        self._store, self._report, self.options, self._receivers = store, report, options, receivers
        self._evidence, self._fleets, self._exporter, self._clock = evidence, fleets, exporter, clock
        kept = store.paged()
        self.alarms: Mapping[str, Alarm] = kept.alarms
        self.told: dict[str, dict[str, Told]] = {name: dict(each) for name, each in kept.told.items()}
        self.silences: dict[str, Silence] = dict(kept.silences)
        self._written = kept
        self._ways = {receiver.name: _Way() for receiver in receivers}
        self._seen: dict[tuple[str, str], Seen] = {}
        self._firing: dict[str, Notice] = {}
        self._standing: tuple[Notice, ...] = ()
        self._hushed: frozenset[str] = frozenset()
        self._turning = asyncio.Lock()
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
        """End; what was not told yet is told after the next start."""
        if self._running is not None:
            self._running.cancel()

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
                await self.turn()
            except Exception:  # whatever it is, the alarms are still there, and the next look may be good
                log.exception("paging failed; it goes on")
            await self._clock.pause(EVERY)

    # -- looking

    async def look(self) -> None:
        """Judge what is known now, and keep what comes of it."""
        now = self._clock.wall()
        fleets = [fleet._replace(workloads=tuple(fleet.workloads)) for fleet in self._fleets()]
        exporter = self._exporter()
        # Ten thousand workloads take a second: in a thread, so that nobody waits for it.
        before = self.alarms
        self.alarms = await asyncio.to_thread(self._judged, before, fleets, exporter, now)
        self._seen = {(seen.account, seen.workload.id): seen for fleet in fleets for seen in fleet.workloads}
        self._tell_changes(before, now)
        firing = [alarm for alarm in self.alarms.values() if alarm.firing]
        notices = [self._notice(alarm, now) for alarm in firing]
        self._firing = paging.loudest(notices, self.options.severity_label)
        over = [self._notice(alarm, now) for alarm in self.alarms.values() if alarm.ended is not None]
        self._standing = (*notices, *over)
        self.silences = {name: each for name, each in self.silences.items() if now < each.ends}
        quiet = {key for key, each in self._firing.items() if paging.silenced(each, self.silences.values(), now)}
        self._hushed = paging.muted(firing) | quiet
        self._count(firing)
        self.keep()

    def _judged(
        self, before: Mapping[str, Alarm], fleets: Iterable[Fleet], exporter: Exporter, now: float
    ) -> Mapping[str, Alarm]:
        return paging.after(before, paging.subjects(fleets, exporter, self.options, now), self.options, now)

    def _notice(self, alarm: Alarm, now: float) -> Notice:
        seen = self._seen.get((alarm.labels.get("account", ""), alarm.labels.get("workload_id", "")))
        if seen is None:
            return paging.notice(alarm, self.options)
        workload = seen.workload
        tags = {tag.name: tag.value or "" for tag in workload.tags or () if tag.name}
        evidence = self._evidence(seen, now) if alarm.firing else ()
        return paging.notice(alarm, self.options, About(evidence, workload.importance or "", tags))

    def _tell_changes(self, before: Mapping[str, Alarm], now: float) -> None:
        """The log of what happened, whatever the receivers hear of it."""
        for place, alarm in self.alarms.items():
            old = before.get(place)
            was = old is not None and old.firing
            if alarm.firing != was and (alarm.firing or alarm.ended == now) and alarm.severity != "none":
                fields = {"alert": alarm.alert, "severity": alarm.severity, **alarm.labels}
                log.warning("alert fires" if alarm.firing else "alert has ended", extra={"fields": fields})

    def _count(self, firing: Iterable[Alarm]) -> None:
        self._report.clear("alerts_firing")
        for (alert, severity), number in Counter((each.alert, each.severity) for each in firing).items():
            self._report.set("alerts_firing", number, alert, severity)
        self._report.set("silences", len(self.silences))

    # -- telling

    async def turn(self) -> None:
        """Tell every receiver what it must be told and may be told now."""
        async with self._turning:
            await asyncio.gather(*(self._tell(receiver) for receiver in self._receivers))
            self.keep()

    async def _tell(self, receiver: Receiver) -> None:
        way, now = self._ways[receiver.name], self._clock.steady()
        if now < way.held_until:
            return
        said = self._due(receiver, way)
        for begin in range(0, len(said), AT_ONCE):
            try:
                sent = await receiver.send(said[begin : begin + AT_ONCE], self._clock.wall())
            except Exception:  # a fault of one notifier is no reason to tell nobody
                log.exception("a receiver could not be told", extra={"fields": {"receiver": receiver.name}})
                way.held_until = now + MOST
                return
            self._heed(receiver, way, said[begin : begin + AT_ONCE], sent)
            if self._clock.steady() < way.held_until:
                return
        if said and receiver.standing:
            way.told_at, way.standing = now, said

    def _due(self, receiver: Receiver, way: _Way) -> list[Notice]:
        told = self.told.setdefault(receiver.name, {})
        if receiver.standing:
            wanted = [each for each in self._standing if receiver.wish.wants(each)]
            new = [(each.labels, each.ended) for each in wanted] != [(each.labels, each.ended) for each in way.standing]
            return wanted if new or self._clock.steady() - way.told_at >= RESEND else []
        wish, now = receiver.wish, self._clock.wall()
        self.told[receiver.name] = told = paging.forgotten(told, self._firing, wish)
        found = paging.due(self._firing, told, self._hushed, wish, now)
        self._report.set("notifications_pending", len(found), receiver.name)
        return found

    def _heed(self, receiver: Receiver, way: _Way, said: Sequence[Notice], sent: Sequence[Sent]) -> None:
        fates = {each.key: each for each in sent}
        arrived = [each for each in said if (of := fates.get(each.key)) is not None and of.fate == "delivered"]
        if not receiver.standing:
            self.told[receiver.name] = paging.remembered(self.told[receiver.name], arrived)
        for each in sent:
            self._report.count("notifications", receiver.name, each.fate)
        bad = [each for each in sent if each.fate != "delivered"]
        if not bad:
            if way.failing_since is not None and sent:
                log.info("a receiver can be told again", extra={"fields": {"receiver": receiver.name}})
            way.failures, way.failing_since, way.said = 0, None, ""
            self._report.set("notification_failing_seconds", 0, receiver.name)
            return
        way.failures += 1
        now = self._clock.steady()
        way.failing_since = now if way.failing_since is None else way.failing_since
        self._report.set("notification_failing_seconds", now - way.failing_since, receiver.name)
        for each in bad:
            self._report.count("notification_failures", receiver.name, each.reason)
        way.held_until = now + max(self._pause(each, way.failures) for each in bad)
        if way.said != bad[0].reason:
            way.said = bad[0].reason
            fields = {"receiver": receiver.name, "words": bad[0].words}
            log.error("a receiver could not be told; it is tried again", extra={"fields": fields})

    def _pause(self, sent: Sent, failures: int) -> float:
        if sent.after is not None:
            return min(max(sent.after, FIRST), LONGEST)
        if sent.fate == "failed":
            return LONGEST
        grown: float = min(MOST, FIRST * 2 ** min(failures - 1, 30))
        return grown * random.uniform(0.5, 1.0)  # noqa: S311 — no secret

    @property
    def failing(self) -> Mapping[str, float]:
        """The receivers that cannot be told, and for how many seconds."""
        now = self._clock.steady()
        return {name: now - way.failing_since for name, way in self._ways.items() if way.failing_since is not None}

    # -- silences

    def silence(self, matchers: Mapping[str, str], seconds: float, author: str, comment: str) -> str:
        """Say nothing new of alerts with these labels for so long; return the name of the silence."""
        now = self._clock.wall()
        name = secrets.token_hex(4)
        self.silences[name] = Silence(dict(matchers), now + seconds, author, comment, now)
        self.keep()
        return name

    def speak(self, name: str) -> bool:
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
            log.error("what receivers were told is not kept", extra={"fields": {"words": str(error)}})  # noqa: TRY400 — told in words
            return
        self._written = Paged(
            dict(self.alarms), {name: dict(told) for name, told in self.told.items()}, dict(self.silences)
        )
