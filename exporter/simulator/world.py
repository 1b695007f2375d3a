"""The simulated fleet as a pure function of (seed, size, speed, start, now): nothing ticks, nothing is stored.

Times are seconds since the epoch on the reader's clock. At speed 60, a story's hour lasts a minute of that clock; every
reported timestamp is a moment at which the reader could have observed the change, and never lies in the reader's
future.
"""

from __future__ import annotations

import bisect
import hashlib
import math
from collections.abc import Callable, Iterator
from functools import cached_property, lru_cache
from typing import NamedTuple

from exporter.simulator.stories import DRAFT_LIFETIME, HEALTHY, LASTING, READY, STORIES, Pods, Step, Story

AGE = 90 * 86400.0
"""How long before the start the oldest workload was created; the others follow a minute apart."""
PAST_ROUNDS = 3


@lru_cache(maxsize=1 << 18)
def identity(*parts: object) -> str:
    """A 24-hex object id, the same for the same parts."""
    return hashlib.sha256(":".join(map(str, parts)).encode()).hexdigest()[:24]


def chance(*parts: object) -> float:
    """A number from 0 to 1, the same for the same parts."""
    return int(identity("chance", *parts)[:12], 16) / 16**12


class Moment(NamedTuple):
    """Position of a workload in its story: the round, the step, its start, and seconds (speed 1) into it."""

    round: int
    step: Step
    number: int
    since: float
    into: float


class Seat(NamedTuple):
    """One proton at a moment: the active one (`ahead` 0), the candidate (1), or the outgoing one (-1)."""

    ahead: int
    status: str
    pods: Pods | None


class Rollout(NamedTuple):
    """The replacement of a round as a whole; what a reader knows of it depends on the reader's clock.

    It `began` when its candidate appeared, and `switched` when the candidate started to serve: infinity if never. Its
    `end` is its last step, possibly with an event.
    """

    id: str
    proton: str
    began: Moment
    switched: float
    end: Moment


class Actor:
    """One workload of the fleet: its story, its facts, and where it is at a moment."""

    def __init__(self, world: World, number: int) -> None:
        self.number = number
        self.world = world
        self.story = _story(world.seed, number)
        self.name = f"{self.story.name.replace(' ', '-')}-{number}"
        importances = ("low", "low", "moderate", "high", "critical")
        self.importance = self.story.importance or importances[int(chance(world.seed, number, "importance") * 5)]
        self.requests = self.story.requests * (0.5 + chance(world.seed, number, "requests"))
        seconds = self.story.seconds
        first = self.story.steps[0].seconds
        # The beginning of the first steps of small fleets is at hand, so that something happens soon.
        lead = min(first, DRAFT_LIFETIME) * (
            0.98 if self.story.young else 0.5 + 0.5 * chance(world.seed, number, "lead")
        )
        self.origin = world.start - (0.0 if math.isinf(seconds) else lead / world.speed)

    @cached_property
    def bounds(self) -> list[float]:
        """Start of each step of a round, in seconds at speed 1."""
        begins, total = [], 0.0
        for step in self.story.steps:
            begins.append(total)
            total += step.seconds
        return begins

    def moment(self, now: float) -> Moment:
        """Where the story is at `now`."""
        elapsed = (now - self.origin) * self.world.speed
        if math.isinf(self.story.seconds):
            return Moment(0, self.story.steps[0], 0, self.created(0), elapsed)
        turn, into = divmod(elapsed, self.story.seconds)
        index = bisect.bisect_right(self.bounds, into) - 1
        return self.at(int(turn), index, into - self.bounds[index])

    def at(self, turn: int, index: int, into: float = 0.0) -> Moment:
        """A step of a round, from its beginning or so many seconds (speed 1) into it."""
        return Moment(turn, self.story.steps[index], index, self.begin(turn, index), into)

    def begin(self, turn: int, index: int) -> float:
        """Start of a step of a round."""
        total = 0.0 if math.isinf(self.story.seconds) else turn * self.story.seconds
        return self.origin + (total + self.bounds[index]) / self.world.speed

    def created(self, turn: int) -> float:
        """When the workload of a round was created."""
        if not self.story.rounds_ids:
            return self.world.start - AGE + self.number * 60.0
        if self.story.draft:  # so that eight hours on the reader's clock end when the story says so
            return self.begin(turn, 1) - DRAFT_LIFETIME
        births = [i for i, step in enumerate(self.story.steps) if step.status == "submitted"]
        return self.begin(turn - 1, births[0]) if births else self.begin(turn, 0)

    def life(self, moment: Moment) -> int:
        """Which workload of its line it is: a story that is deleted is born again in its last steps."""
        if not self.story.rounds_ids:
            return 0
        births = [i for i, step in enumerate(self.story.steps) if step.status == "submitted"]
        return moment.round + (1 if births and moment.number >= births[0] else 0)

    def since(self, moment: Moment, look: Callable[[Moment], object]) -> float:
        """Since when `look` has returned its value of a moment.

        A value that was the same throughout two rounds always was: no proton lives as long, except one that never ends.
        """
        seen, begun = look(moment), moment.since
        for before in self._earlier(moment):
            if look(before) != seen:
                return begun
            begun = before.since
        return self.created(self.life(moment))

    def _earlier(self, moment: Moment) -> Iterator[Moment]:
        """The steps of the same workload before that of a moment, the latest first, through two rounds."""
        count = len(self.story.steps)
        place = moment.round * count + moment.number
        for earlier in () if math.isinf(self.story.seconds) else range(place - 1, place - 2 * count - 1, -1):
            before = self.at(*divmod(earlier, count))
            if self.life(before) != self.life(moment):
                return
            yield before

    def id(self, moment: Moment) -> str:
        """The workload's id."""
        return identity(self.world.seed, self.number, "workload", self.life(moment))

    def proton(self, moment: Moment, ahead: int = 0) -> str:
        """The id of the active proton, or of one `ahead` of it."""
        count = moment.round * self.story.protons + moment.step.proton + ahead
        if self.story.rounds_ids:
            count = self.life(moment)
        if ahead > 0 and not any(step.proton > moment.step.proton for step in self.story.steps[moment.number :]):
            return identity(self.world.seed, self.number, "candidate", moment.round)  # one that never comes to serve
        return identity(self.world.seed, self.number, "proton", count)

    def seats(self, moment: Moment) -> dict[str, Seat]:
        """The protons that are there, by id, the active one first."""
        step = moment.step
        seats = {self.proton(moment): Seat(0, step.status, step.pods)}
        if step.candidate:
            seats[self.proton(moment, 1)] = Seat(1, *step.candidate)
        if step.outgoing:
            seats[self.proton(moment, -1)] = Seat(-1, step.outgoing, READY)
        return seats

    def born(self, moment: Moment, proton: str) -> float:
        """Creation time of a present proton."""
        return self.since(moment, lambda there: proton in self.seats(there))

    def rollout(self, turn: int) -> Rollout | None:
        """The replacement of a round, if the story has one."""
        there = [self.at(turn, i) for i, step in enumerate(self.story.steps) if step.replacement or step.event]
        if not there:
            return None
        began, end = there[0], there[-1]
        switched = min((each.since for each in there if each.step.proton > began.step.proton), default=math.inf)
        record = identity(self.world.seed, self.number, "event", turn, end.number)
        return Rollout(record, self.proton(began, 1), began, switched, end)

    def reset(self, moment: Moment) -> float:
        """Time of the last reset of the statistics; minus infinity if never."""
        return moment.since if moment.step.locked else -math.inf

    def restarts(self, moment: Moment, pods: Pods) -> int:
        """Restarts of a container since the step started."""
        return int(moment.into / pods.restart_every) if pods.restart_every else 0

    def restarted(self, moment: Moment, pods: Pods) -> float:
        """When a container was last started again; the beginning of the step before the first time."""
        begun = self.begin(moment.round, moment.number)
        return begun + self.restarts(moment, pods) * pods.restart_every / self.world.speed

    def live(self, pods: Pods) -> int:
        """How many pods are listed."""
        if pods.live is not None:
            return pods.live
        return self.story.bounds[1] if self.story.bounds else self.story.replicas or 1

    def pod(self, moment: Moment, proton: str, number: int) -> Pods | None:
        """What one pod of a proton is like; None where it is not listed."""
        seat = self.seats(moment).get(proton)
        if seat is None or seat.pods is None or number >= self.live(seat.pods):
            return None
        return seat.pods if seat.pods.only is None or number < seat.pods.only else READY

    def requests_until(self, at: float) -> int:
        """Requests served from the origin of the story until `at`; differences of two of them add up."""
        elapsed = (at - self.origin) * self.world.speed
        if math.isinf(self.story.seconds):
            served = elapsed if self.story.steps[0].serves else 0.0
        else:
            turn, into = divmod(elapsed, self.story.seconds)
            served = turn * self._served(self.story.seconds) + self._served(into)
        return math.floor(self.requests / 60 * served / self.world.speed)

    def _served(self, until: float) -> float:
        return sum(
            max(0.0, min(until - begin, step.seconds))
            for begin, step in zip(self.bounds, self.story.steps, strict=True)
            if step.serves
        )

    def told(self, now: float) -> list[Rollout]:
        """The replacements of the last rounds whose end an event reported, the latest first."""
        latest = self.moment(now).round
        rollouts = map(self.rollout, range(latest, max(-1, latest - PAST_ROUNDS) - 1, -1))
        return [each for each in rollouts if each and each.end.step.event and each.end.since <= now]


@lru_cache(maxsize=1 << 18)
def _story(seed: int, number: int) -> Story:
    """The first workloads play every story once, the most notable first; most of the others are healthy."""
    if number < len(STORIES):
        return STORIES[number]
    told = chance(seed, number, "story")
    if told < 0.85:
        return HEALTHY[int(told / 0.85 * len(HEALTHY))]
    return LASTING[int((told - 0.85) / 0.15 * len(LASTING))]


class World:
    """A fleet of `size` workloads. The first N workloads of a larger fleet of the same seed are the same."""

    def __init__(self, size: int, seed: int, speed: float, start: float) -> None:
        self.size, self.seed, self.speed, self.start = size, seed, speed, start
        self._actors: dict[int, Actor] = {}

    def actor(self, number: int) -> Actor:
        """The workload of a number."""
        known = self._actors.get(number)
        if known is None:
            known = self._actors[number] = Actor(self, number)
        return known

    def listed(self, now: float) -> list[int]:
        """The numbers of the workloads that are there, oldest first."""
        firsts = range(min(self.size, len(STORIES)))
        absent = {n for n in firsts if not self.actor(n).moment(now).step.listed}
        young = [n for n in firsts if STORIES[n].rounds_ids]
        there = [n for n in young if n not in absent]
        there.sort(key=lambda n: self.actor(n).created(self.actor(n).life(self.actor(n).moment(now))))
        if not young:
            return list(range(self.size))
        return [n for n in range(self.size) if n not in young and n not in absent] + there

    def find(self, workload: str, now: float) -> Actor | None:
        """The workload of an id, if it is there now."""
        number = self._numbers.get(workload)
        if number is None:
            for n in range(min(self.size, len(STORIES))):
                if STORIES[n].rounds_ids and self.actor(n).id(self.actor(n).moment(now)) == workload:
                    number = n
        if number is None:
            return None
        actor = self.actor(number)
        step = actor.moment(now).step
        return actor if step.listed or step.hidden else None

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {
            identity(self.seed, n, "workload", 0): n for n in range(self.size) if not _story(self.seed, n).rounds_ids
        }
