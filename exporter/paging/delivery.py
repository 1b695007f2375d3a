"""Delivery to one receiver: what is due, sending, and what the results mean for the next attempt."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from typing import TypeVar

from exporter.alerting import delivery_state
from exporter.alerting.alerts import SEVERITIES
from exporter.alerting.delivery_state import Notified
from exporter.alerting.notification import Notification
from exporter.backoff import Backoff
from exporter.clock import Clock
from exporter.log import log
from exporter.paging.evaluator import Evaluation
from exporter.paging.notify.contract import Sent
from exporter.paging.paging_state import PagingState
from exporter.paging.receiver import Receiver
from exporter.state.store import account_of
from exporter.telemetry.report import Report

RESEND_SECONDS = 60.0
"""Seconds after which firing alerts are sent to an Alertmanager again: it resolves what is not repeated."""
BACKOFF = Backoff(first=1.0, longest=60.0, least=0.5)
MAX_PAUSE_SECONDS = 300.0
"""Maximum pause that a receiver may request, and time for which rejected notifications are not sent again."""
BATCH = 20
"""Notifications sent to a receiver in one request, the most severe first, so that new alerts need not wait for the
rest.
"""
MAX_CHANGES = 100
"""Change events that wait for a receiver; older ones are dropped."""
NOTIFICATION_FAULTS = ("timeout", "server_error", "bad_request", "too_large", "refused")
"""Failures that one notification may cause: it is sent after the others the next time."""

N = TypeVar("N", Notification, Notified)
Enrich = Callable[[Sequence[Notification]], Awaitable[Sequence[Notification]]]
"""Adds data to notifications that must be requested first, such as logs."""


class DeliveryHealth:
    """When a receiver may be notified again, and since when delivery fails. Times of the steady clock.

    `rejected`: incidents, and until when they are not sent again. `deferred`: incidents at which sending stopped, sent
    after the others. `repeated`: what an Alertmanager was sent last.
    """

    def __init__(self) -> None:
        self.paused_until = 0.0
        self.rejected: dict[str, float] = {}
        self.deferred: dict[str, int] = {}
        self.failures = 0
        self.failing_since: float | None = None
        self.logged_reason = ""
        self.sent_at = float("-inf")
        self.repeated: Sequence[Notification] = ()
        self.changes: deque[tuple[str, float]] = deque(maxlen=MAX_CHANGES)

    def recover(self) -> None:
        """Delivery works, or nothing needs to be delivered."""
        self.failures, self.failing_since, self.logged_reason = 0, None, ""

    def fail(self, now: float) -> None:
        """Delivery failed at `now`."""
        self.failing_since = now if self.failing_since is None else self.failing_since


class Delivery:
    """Notifies one receiver. `start` sends what is due in a task, unless the previous one is still running."""

    def __init__(
        self,
        receiver: Receiver,
        *,
        state: PagingState,
        report: Report,
        severity_label: str,
        clock: Clock,
        enrich: Enrich | None = None,
        health: DeliveryHealth | None = None,
    ) -> None:
        self.receiver, self._state, self._report, self._clock = receiver, state, report, clock
        self._severity_label, self._enrich = severity_label, enrich
        self.health = health or DeliveryHealth()
        self.task: asyncio.Task[None] | None = None
        self._evaluation = Evaluation()
        for fate in ("delivered", "again", "failed"):
            report.count("notifications", receiver.name, fate, by=0)
        report.set("notification_failing_seconds", 0, receiver.name)

    @property
    def failing_seconds(self) -> float | None:
        """Seconds since delivery started failing; None: it does not."""
        since = self.health.failing_since
        return None if since is None else self._clock.steady() - since

    def update(self, evaluation: Evaluation) -> None:
        """Use a new evaluation from now on, also in a task that is running."""
        self._evaluation = evaluation
        if self.receiver.send_change is not None:
            self.health.changes += [
                (summary, each.began) for summary, each in evaluation.changes if self.receiver.wants_change(each)
            ]

    def start(self) -> None:
        """Send what is due."""
        if self.task is None or self.task.done():
            self.task = asyncio.create_task(self._run())

    def retry(self) -> None:
        """Send everything that is due now: the receiver may accept what it refused before."""
        self.health.paused_until, self.health.rejected = 0.0, {}
        self.start()

    async def _run(self) -> None:
        while await self._send_due():
            pass
        health, send_change = self.health, self.receiver.send_change
        # Change events notify no one: each is sent once, and dropped if it cannot be delivered.
        while health.changes and send_change is not None and self._clock.steady() >= health.paused_until:
            sent = await send_change(*health.changes.popleft())
            self._report.count("notifications", self.receiver.name, sent.fate)
            if sent.fate != "delivered":
                health.changes.clear()

    async def _send_due(self) -> bool:
        """Send the most severe pending notifications; returns whether they were accepted and more are pending."""
        receiver, health, now, wall = self.receiver, self.health, self._clock.steady(), self._clock.wall()
        with_evidence = self._evaluation.with_evidence
        if now < health.paused_until or not self._state.loaded:
            return False
        health.rejected = {key: until for key, until in health.rejected.items() if now < until}
        due = self._due()
        self._report.set("notifications_pending", len(due), receiver.name)
        if not due:  # what could not be delivered has ended: the receiver may work again, and nothing is missing
            health.recover()
        batch = [each for each in due if each.key not in health.rejected]
        untried: Set[str] = set()
        if not receiver.continuous:
            batch = sorted(batch, key=lambda each: (health.deferred.get(each.key, 0), self._rank(each)))[:BATCH]
            notified = self._state.notified[receiver.name]
            untried = {each.key for each in batch} - notified.keys()
            self._state.notified[receiver.name] = delivery_state.trying(notified, batch, wall)
            await self._state.save()
        if not batch:
            return False
        try:
            made = await asyncio.to_thread(lambda: [with_evidence(each) for each in batch])
            made = list(await self._enrich(made)) if self._enrich is not None else made
            batch = await self._state.permitted(made, receiver.merges)  # last: to read a log may take long
            if not batch:
                return False
            sent = await receiver.send(batch, wall)
        except Exception:  # a bug in one notifier must not stop the others
            log.exception("a receiver could not be notified", receiver=receiver.name)
            health.paused_until = now + BACKOFF.longest
            health.fail(now)
            return False
        self._apply(batch, sent, untried)
        await self._state.save()
        if receiver.continuous or len(batch) < len(made):
            return False
        return len(batch) < len(due) and all(each.fate == "delivered" for each in sent)

    def _rank(self, notification: Notification) -> tuple[bool, int]:
        return notification.ended is not None, SEVERITIES.index(notification.labels[self._severity_label])

    def _due(self) -> list[Notification]:
        if self.receiver.continuous:
            return self._due_continuously()
        evaluation, subscription, name = self._evaluation, self.receiver.subscription, self.receiver.name
        now, notified, firing = self._clock.wall(), self._state.notified, self._ours(evaluation.firing)
        known = notified.get(name, {})
        ours = delivery_state.without_resolved(self._ours(known), firing, subscription)
        notified[name] = {key: each for key, each in known.items() if not self._is_ours(each)} | ours
        due = delivery_state.due(firing, ours, evaluation.suppressed, subscription, now, self._severity_label)
        if self.receiver.repeat_interval:
            keys = {each.key for each in due}
            due += [each for key, each in firing.items() if key not in keys and self._repeats(each, now)]
        return due

    def _due_continuously(self) -> list[Notification]:
        wants = self.receiver.subscription.wants
        wanted = [each for each in self._evaluation.alerts if wants(each) and self._is_ours(each)]
        before = self.health.repeated
        changed = [(each.labels, each.ended) for each in wanted] != [(each.labels, each.ended) for each in before]
        interval = self.receiver.repeat_interval or RESEND_SECONDS
        return wanted if changed or self._clock.steady() - self.health.sent_at >= interval else []

    def _is_ours(self, each: Notification | Notified) -> bool:
        """Whether the evaluation is about the account of a notification, and no other replica acts for it now."""
        account = account_of(each)
        return self._evaluation.covers(account) and self._state.has(account)

    def _ours(self, notifications: Mapping[str, N]) -> dict[str, N]:
        return {key: each for key, each in notifications.items() if self._is_ours(each)}

    def _repeats(self, each: Notification, now: float) -> bool:
        """Whether a firing incident is due for repetition."""
        notified = self._state.notified[self.receiver.name].get(each.key)
        suppressed = each.key in self._evaluation.suppressed or self.receiver.subscription.quiet(each, now)
        return notified is not None and not suppressed and now - notified.at >= self.receiver.repeat_interval

    def _apply(self, batch: Sequence[Notification], sent: Sequence[Sent], untried: Set[str]) -> None:
        """Apply the results of sending. A receiver that accepts anything works, whatever else it rejects.

        `untried`: the keys of notifications that were sent for the first time.
        """
        receiver, health = self.receiver, self.health
        now, fates = self._clock.steady(), Counter(each.fate for each in sent)
        bad = [each for each in sent if each.fate != "delivered"]
        if not receiver.continuous:
            self._remember(batch, sent, bad, untried)
        failed = [each for each in bad if not each.postponed]
        for each in sent:
            self._report.count("notifications", receiver.name, each.fate)
        for each in failed:
            self._report.count("notification_failures", receiver.name, each.reason)
        if fates["delivered"]:
            if health.failing_since is not None:
                log.info("a receiver can be notified again", receiver=receiver.name)
            health.recover()
            health.sent_at, health.repeated = now, () if fates["again"] else batch
        elif failed:
            health.failures += 1
            health.fail(now)
        # An Alertmanager resolves what is not repeated in time.
        longest = RESEND_SECONDS if receiver.continuous else MAX_PAUSE_SECONDS
        pauses = [self._pause(each) for each in bad if receiver.continuous or each.fate == "again"]
        health.paused_until = now + min(max(pauses, default=0.0), longest)
        if failed and not fates["delivered"] and health.logged_reason != failed[0].reason:
            health.logged_reason = failed[0].reason
            log.error("a receiver could not be notified; retrying", receiver=receiver.name, words=failed[0].words)
        elif postponed := len(bad) - len(failed):
            words, seconds = bad[-1].words, round(health.paused_until - now, 3)
            log.info(
                "notifications are postponed",
                receiver=receiver.name,
                notifications=postponed,
                seconds=seconds,
                words=words,
            )

    def _remember(
        self, batch: Sequence[Notification], sent: Sequence[Sent], bad: Sequence[Sent], untried: Set[str]
    ) -> None:
        """Record what arrived, what certainly did not, and what goes last or not at all the next time."""
        health, notified, now = self.health, self._state.notified, self._clock.steady()
        arrived = {each.key for each in sent if each.fate == "delivered"}
        lost = {each.key for each in bad if not each.maybe} & untried
        delivered = [each for each in batch if each.key in arrived]
        name = self.receiver.name
        notified[name] = delivery_state.remembered(notified[name], delivered, lost, self._clock.wall())
        health.rejected |= {each.key: now + MAX_PAUSE_SECONDS for each in bad if each.fate == "failed"}
        health.deferred = {key: turn for key, turn in health.deferred.items() if key not in arrived}
        if bad and bad[0].reason in NOTIFICATION_FAULTS:
            health.deferred[bad[0].key] = max(health.deferred.values(), default=0) + 1

    def _pause(self, sent: Sent) -> float:
        if sent.after is not None:
            return min(max(sent.after, BACKOFF.first), MAX_PAUSE_SECONDS)
        return BACKOFF.seconds(self.health.failures)
