"""Plays one story of the simulator: what happens, what the exporter observes, and what it pages."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence

from exporter.alerting.alerts import BY_NAME
from exporter.alerting.delivery_state import Subscription
from exporter.alerting.expressions import WorkloadContext
from exporter.alerting.notification import Notification
from exporter.alerting.routing import Wants, chosen, quiet
from exporter.alerting.rules import DEFAULT, in_force
from exporter.alerting.subjects import ExporterStatus
from exporter.cli.paced_loop import PacedLoop
from exporter.cli.simulated_transport import SimulatedTransport
from exporter.cli.story_text import Said, Who, happened, observed
from exporter.clock import Clock
from exporter.collect.account_monitor import AccountMonitor, Plan
from exporter.collect.account_state import AccountState
from exporter.collect.client import Client
from exporter.collect.log_tail import LogTail
from exporter.diagnosis.account_evidence import account_evidence
from exporter.diagnosis.diagnosis import diagnosis
from exporter.diagnosis.fleet_table import lasted, row
from exporter.diagnosis.wording import evidence
from exporter.fleet.polling import Policy
from exporter.fleet.reconcile import Snapshot
from exporter.paging.notify import Sent
from exporter.paging.pager import Pager
from exporter.paging.paging_state import PagingState
from exporter.paging.receiver import Receiver
from exporter.simulator import SimulatedApi
from exporter.simulator.stories import HEALTHY, Story
from exporter.state.store import Store
from exporter.telemetry.report import Report

SWEEP_SECONDS, EVALUATION_SECONDS, TURN_SECONDS = 30.0, 15.0, 5.0
MAX_FIRST_STEP = 600.0
"""Seconds of the first step that are played: the beginning of a longer one is skipped."""
ENDLESS_SECONDS, LONGEST_SECONDS = 2400.0, 3 * 3600.0
"""Seconds for which a story without an end is played, and the most for which any is."""
MAX_AFTER = 3600.0
"""Seconds after the end of a story until which alerts should have ended."""
ACCOUNT = "demo"
SHOWN_EVIDENCE = ("Likely cause", "State", "Serving", "Next step")
Say = Callable[[Said], None]


def play(story: Story, speed: float, start: float, say: Say) -> None:
    """Play a story `speed` times as fast as it would happen, as if it began at `start`, in seconds since the epoch."""
    logging.disable()  # the commentary says what matters
    try:
        with asyncio.Runner(loop_factory=lambda: PacedLoop(speed)) as runner:
            runner.run(_played(story, start, say))
    finally:
        logging.disable(logging.NOTSET)


async def _played(story: Story, start: float, say: Say) -> None:
    await _Play(story, start, say).run()


def played_seconds(story: Story) -> float:
    """For how long a story is played, until it is over."""
    if math.isinf(story.seconds):
        return ENDLESS_SECONDS
    return min(story.seconds - _skipped(story), LONGEST_SECONDS)


def importance(story: Story) -> str:
    """The importance of its workload, unless a step has another."""
    return story.importance or "moderate"


def _skipped(story: Story) -> float:
    return max(0.0, story.steps[0].seconds - MAX_FIRST_STEP)


class _Play:
    """One play: a simulated API with one workload, and the parts of a daemon that observe and page."""

    def __init__(self, story: Story, start: float, say: Say) -> None:
        self._story, self._start, self._say = story, start, say
        self._api = api = SimulatedApi(workloads=1, stories=(story,), clock=self._wall)
        self._actor = api.world.actor(0)
        self._actor.origin = start - _skipped(story)
        self._actor.importance = importance(story)
        clock = Clock(self._wall, self._now)
        report = Report(start)
        account = report.account(ACCOUNT, SWEEP_SECONDS, 100.0, self._wall)
        client = Client(
            f"{api.url}/api/v2",
            lambda: api.token,
            account,
            rate=100.0,
            concurrency=4,
            transport=SimulatedTransport(api),
            steady=self._now,
        )
        plan = Plan(900.0, details=Policy(), rate=100.0, concurrency=4)
        self._monitor = AccountMonitor(AccountState(Snapshot(ACCOUNT)), client, account, plan, clock)
        wants = Wants(frozenset({"critical", "warning"}))
        self._pager = Pager(
            state=PagingState(Store(None)),
            report=report,
            options=DEFAULT,
            receivers=[
                Receiver(
                    "terminal",
                    self._page,
                    Subscription(lambda each: chosen(wants, each), lambda each, now: quiet(wants, each, now)),
                )
            ],
            evidence=lambda state, now, alert: evidence(diagnosis(state, now, DEFAULT, recovering=alert)),
            account_evidence=lambda alert, fleet, now: account_evidence(alert, fleet, DEFAULT, now),
            fleets=lambda: [self._monitor.fleet],
            exporter=ExporterStatus,
            clock=clock,
            enrich=LogTail(lambda: {ACCOUNT: client}, 0, ahead=lambda _: self._monitor.state.skew.counts).added,
        )
        self._number = -1
        self._alerts = [alert for alert in in_force(DEFAULT) if alert.component == "workload"]
        self._rows: dict[str, tuple[str, tuple[str, ...]]] = {}

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _wall(self) -> float:
        return self._start + self._now()

    async def run(self) -> None:
        """Play the story, and what follows until no alert fires."""
        ends = played_seconds(self._story)
        self._monitor.start()
        try:
            await self._until(lambda: self._now() >= ends)
            if math.isinf(self._story.seconds):
                self._comment("play", "the story does not end; the play does")
                return
            self._comment("play", "the story is over")
            if not self._story.once:
                self._actor.story = HEALTHY[0]
                self._actor.origin = self._wall()
            await self._until(lambda: not self._firing or self._now() >= ends + MAX_AFTER)
            self._comment("play", "an alert still fires" if self._firing else "no alert fires")
        finally:
            await self._monitor.close()
            await self._pager.close()

    @property
    def _firing(self) -> bool:
        return bool(self._pager.state.notified["terminal"])

    async def _until(self, over: Callable[[], bool]) -> None:
        """Sweep, evaluate and comment until `over`."""
        while not over():
            self._comment_fleet()
            now = round(self._now())
            if now % SWEEP_SECONDS == 0:
                await self._monitor.sweep()
            self._comment_observed()
            if now % EVALUATION_SECONDS == 0:
                await self._pager.evaluate()
                await self._pager.notify()
            await asyncio.sleep(now + TURN_SECONDS - self._now())  # the time of the story

    def _comment(self, who: Who, text: str, more: Sequence[tuple[str, str]] = (), at: float | None = None) -> None:
        self._say(Said(self._now() if at is None else at, who, text, tuple(more)))

    def _comment_fleet(self) -> None:
        moment = self._actor.moment(self._wall())
        if moment.number == self._number or self._actor.story is not self._story:
            return
        before = self._story.steps[self._number] if self._number >= 0 else None
        self._number = moment.number
        at = max(0.0, moment.since - self._start)
        for text in happened(before, moment.step):
            self._comment("fleet", text, at=0.0 if before is None else at)

    def _comment_observed(self) -> None:
        now = self._wall()
        for state in self._monitor.visible():
            found = row(state, WorkloadContext(state, now, DEFAULT.thresholds), self._alerts)
            met = tuple(f"{each.alert} ({each.severity})" for each in found.alerts)
            text, known = observed(found), self._rows.get(found.id, ("", ()))
            if (text, met) == known:
                continue
            self._rows[found.id] = text, met
            waits = [(each.alert, self._wait(each.alert)) for each in found.alerts if each.severity != "info"]
            began = [(name, wait) for name, wait in waits if not any(one.startswith(f"{name} ") for one in known[1])]
            more = [("Conditions met", ", ".join(met))] if met != known[1] else []
            more += [("Would fire", ", ".join(f"{name} {wait}" for name, wait in began))] if began else []
            self._comment("exporter", text, more if met or not known[1] else [("Conditions met", "none")])

    def _wait(self, name: str) -> str:
        alert = next(alert for alert in self._alerts if alert.name == name)
        wait = 0.0 if alert.since is not None else alert.wait
        return f"in {lasted(wait)}, if it is still met" if wait else "now"

    async def _page(self, notifications: Sequence[Notification], _: float) -> list[Sent]:
        for each in notifications:
            more = [] if each.ended is not None else [pair for pair in each.evidence if pair[0] in SHOWN_EVIDENCE]
            more += [("Lasting", each.lasting)] if each.lasting else []
            summary = "" if each.ended is not None else f". {BY_NAME[each.labels['alertname']].summary}"
            self._comment("page", f"{each.heading.upper()} {each.labels['severity']}: {each.title}{summary}", more)
        return [Sent(each.key, "delivered") for each in notifications]
