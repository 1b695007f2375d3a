"""The notifications of a story, played in virtual time and once in a process: several tests judge the same play."""

import asyncio
import functools
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from exporter.alerting.delivery_state import Subscription
from exporter.alerting.notification import Notification
from exporter.alerting.routing import Wants, chosen, quiet
from exporter.alerting.rules import Options
from exporter.alerting.subjects import ExporterStatus
from exporter.clock import Clock
from exporter.collect.log_tail import LogTail
from exporter.diagnosis.account_evidence import account_evidence
from exporter.diagnosis.diagnosis import diagnosis
from exporter.diagnosis.wording import evidence
from exporter.paging.notify import Sent
from exporter.paging.pager import Pager
from exporter.paging.paging_state import PagingState
from exporter.paging.receiver import Receiver
from exporter.simulator import SimulatedApi
from exporter.simulator.stories import STORIES, Story
from exporter.state.store import Store
from tests.one_story import OneStory
from tests.stage import Stage, played

LASTS, LONGEST, ENDS_WITHIN = 80 * 60.0, 3 * 3600.0, 8 * 3600.0
"""Seconds for which a story without an end is played, the most for which any is, and the most until all has ended."""
LONGEST_LEAD = 2 * 3600.0
"""Seconds of a longer first step that are played."""
OPTIONS = Options(
    runbooks="https://runbooks.example.test/",
    dashboards="https://grafana.example.test",
    console="https://dr.example.test",
    owner_tags=("owner", "team"),
)
WANTS = Wants(frozenset({"critical", "warning"}))
HEALTHY = next(story for story in STORIES if story.name == "healthy")


class Notified(NamedTuple):
    """A notification, and its time in seconds since the beginning of the play."""

    at: float
    notification: Notification


class _Here(ThreadPoolExecutor):
    """Does at once what others do in threads: virtual time must not pass meanwhile."""

    def submit(self, work: Callable[..., Any], /, *given: Any, **named: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(work(*given, **named))
        return done


@functools.cache
def notified(story: Story, *, ahead: float = 0.0, odd: frozenset[str] = frozenset()) -> tuple[Notified, ...]:
    """All notifications of a story to a receiver of what is critical and what is a warning.

    One round is played, then the workload is well until nothing fires any more, but not for ever. `ahead`: seconds that
    the API's clock is ahead; `odd`: oddities of the API.
    """
    return timeline(story, lambda _: None, ahead=ahead, odd=odd)


def timeline(
    story: Story,
    note: Callable[[Stage], None],
    *,
    ahead: float = 0.0,
    odd: frozenset[str] = frozenset(),
    after: float = 0.0,
) -> tuple[Notified, ...]:
    """As `notified`; `note` is called at each evaluation, and until `after` seconds after nothing fires any more."""
    simulator = SimulatedApi(workloads=1, odd=odd)
    simulator.world = world = OneStory(story)
    simulator.ahead = ahead
    skipped = max(0.0, story.steps[0].seconds - LONGEST_LEAD)
    world.actor(0).origin -= skipped
    ends = min(story.seconds - skipped, LONGEST) if story.seconds != float("inf") else LASTS

    async def play(stage: Stage, pager: Pager) -> None:
        async def evaluate() -> None:
            note(stage)
            await pager.evaluate()
            await pager.notify()

        await stage.run(ends - 30, evaluate)
        if not story.once or story.seconds == float("inf"):
            world.actor(0).story = HEALTHY
        while pager.state.notified["on-call"] and stage.now < ends + ENDS_WITHIN:
            await stage.run(stage.now + 600, evaluate)
        if after:
            await stage.run(stage.now + after, evaluate)

    return paged(simulator, play)


def paged(simulator: Any, play: Callable[[Stage, Pager], Any], **facts: Any) -> tuple[Notified, ...]:
    """All notifications of a play, to a receiver of what is critical and what is a warning.

    `simulator`: the simulated API, or any other server that responds like it. `facts`: of the stage.
    """
    sent: list[Notified] = []

    async def staged(stage: Stage) -> None:
        asyncio.get_running_loop().set_default_executor(_Here())

        async def send(notifications: Sequence[Notification], _: float) -> list[Sent]:
            sent.extend(Notified(stage.now, each) for each in notifications)
            return [Sent(each.key, "delivered") for each in notifications]

        subscription = Subscription(lambda each: chosen(WANTS, each), lambda each, now: quiet(WANTS, each, now))
        pager = Pager(
            state=PagingState(Store(None)),
            report=stage.report,
            options=OPTIONS,
            receivers=[Receiver("on-call", send, subscription)],
            evidence=lambda state, now, alert: evidence(diagnosis(state, now, OPTIONS, recovering=alert)),
            account_evidence=lambda alert, fleet, now: account_evidence(alert, fleet, OPTIONS, now),
            fleets=lambda: [stage.monitor.fleet],
            exporter=ExporterStatus,
            clock=Clock(lambda: stage.wall, lambda: stage.now),
            enrich=LogTail(lambda: {"acme": stage.client}, 0, ahead=lambda _: stage.monitor.state.skew.counts).added,
        )
        await play(stage, pager)

    played(staged, simulator, **facts)
    return tuple(sent)
