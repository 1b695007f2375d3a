"""The simulated fleet as a pure function of (seed, size, speed, start, now), without timers and without stored state.

Times are seconds since the epoch on the client's clock. At speed 60, an hour of a story lasts a minute on that clock.
Every reported timestamp is a time at which the client could have observed the change, never a future one.
"""

from __future__ import annotations

import bisect
import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import NamedTuple

from exporter.simulator.rollouts import rollouts
from exporter.simulator.stories import DRAFT_LIFETIME, HEALTHY, LASTING, READY, STORIES, SimulatedPods, Story, StoryStep
from exporter.simulator.traffic import Traffic

AGE = 90 * 86400.0
"""Age of the oldest workload at the start, in seconds; the others were created a minute apart."""
PAST_ROUNDS = 3
"""Number of past rounds whose replacements are reported."""


@lru_cache(maxsize=1 << 18)
def identity(*parts: object) -> str:
    """An object id of 24 hexadecimal digits, always the same for the same parts."""
    return hashlib.sha256(":".join(map(str, parts)).encode()).hexdigest()[:24]


def dated_identity(at: float, *parts: object) -> str:
    """An object id that starts with its creation time in seconds, as 8 hexadecimal digits (BSON ObjectId)."""
    return f"{int(at):08x}{identity(*parts)[8:]}"


def chance(*parts: object) -> float:
    """A number from 0 to 1, always the same for the same parts."""
    return int(identity("chance", *parts)[:12], 16) / 16**12


class Moment(NamedTuple):
    """Position of a workload in its story: the round, the step, its start, and seconds (speed 1) into it."""

    round: int
    step: StoryStep
    number: int
    since: float
    into: float


class SimulatedProton(NamedTuple):
    """One proton at a moment: the active one (`ahead` 0), the candidate (1), or the outgoing one (-1)."""

    ahead: int
    status: str
    pods: SimulatedPods | None


class SimulatedReplacement(NamedTuple):
    """A whole replacement, including what the client cannot observe yet.

    `id` is that of its record while it is active, `finished_id` that of its event and of its finished record. `began`:
    when the candidate appeared. `switched`: the time at which the candidate started to serve, or infinity. `end`: the
    last step, possibly with an event.
    """

    id: str
    finished_id: str
    proton: str
    began: Moment
    switched: float
    end: Moment


class PodHistory(NamedTuple):
    """What a pod of the present step has been through until the start of the step.

    Times of its creation, of the last change of its readiness, of its container's readiness and of its container's
    state; the number of restarts, and the time and (reason, exit code) of the last termination.
    """

    created: float
    ready_since: float
    container_ready_since: float
    state_since: float
    restarts: int = 0
    finished: float | None = None
    last: tuple[str, int] | None = None


class Actor:
    """One workload of the fleet: its story, its properties, and its state at any time."""

    def __init__(self, world: World, number: int) -> None:
        self.number = number
        self.world = world
        self._pod_histories: dict[tuple[float, int, int, str, int], PodHistory] = {}
        self.story = world.story(number)
        self.name = f"{self.story.name.replace(' ', '-')}-{number}"
        importances = ("low", "low", "moderate", "high", "critical")
        self.importance = self.story.importance or importances[int(chance(world.seed, number, "importance") * 5)]
        self.requests = self.story.requests * (0.5 + chance(world.seed, number, "requests"))
        seconds = self.story.seconds
        first = self.story.steps[0].seconds
        # The first step is nearly over at the start, so that the demo soon shows a change.
        lead = min(first, DRAFT_LIFETIME) * (
            0.98 if self.story.young else 0.5 + 0.5 * chance(world.seed, number, "lead")
        )
        self.origin = world.start - (0.0 if math.isinf(seconds) else lead / world.speed)

    @property
    def story(self) -> Story:
        """The story; another one may be assigned at any time."""
        return self._story

    @story.setter
    def story(self, story: Story) -> None:
        self._story = story
        self.bounds = list(accumulate((step.seconds for step in story.steps[:-1]), initial=0.0))
        """Start of each step of a round, in seconds at speed 1."""
        self._rollouts = rollouts(story.steps)
        self._seconds = story.seconds
        self._errs_by_step = any(step.server_errors is not None for step in story.steps)
        self._traffic = Traffic(story)
        self._pod_histories.clear()

    def moment(self, now: float) -> Moment:
        """Position in the story at `now`."""
        elapsed = (now - self.origin) * self.world.speed
        if math.isinf(self._seconds):
            return Moment(0, self.story.steps[0], 0, self.created(0), elapsed)
        turn, into = (0.0, elapsed) if self.story.once else divmod(elapsed, self._seconds)
        index = max(0, bisect.bisect_right(self.bounds, into) - 1)
        return self.at(int(turn), index, into - self.bounds[index])

    def at(self, turn: int, index: int, into: float = 0.0) -> Moment:
        """The moment `into` seconds (at speed 1) after the start of a step of a round."""
        return Moment(turn, self.story.steps[index], index, self.begin(turn, index), into)

    def begin(self, turn: int, index: int) -> float:
        """Start of a step of a round."""
        total = 0.0 if math.isinf(self._seconds) else turn * self._seconds
        return self.origin + (total + self.bounds[index]) / self.world.speed

    def created(self, turn: int) -> float:
        """Creation time of the workload of a round."""
        if not self.story.rounds_ids:
            return self.world.start - AGE + self.number * 60.0
        if self.story.draft:  # its lifetime of eight hours does not depend on the speed
            return self.begin(turn, 1) - DRAFT_LIFETIME
        creations = [i for i, step in enumerate(self.story.steps) if step.status == "submitted"]
        return self.begin(turn - 1, creations[0]) if creations else self.begin(turn, 0)

    def life(self, moment: Moment) -> int:
        """Number of the workload in a story that deletes its workload: the next one is created in the last steps."""
        if not self.story.rounds_ids:
            return 0
        creations = [i for i, step in enumerate(self.story.steps) if step.status == "submitted"]
        return moment.round + (1 if creations and moment.number >= creations[0] else 0)

    def since(self, moment: Moment, value: Callable[[Moment], object]) -> float:
        """Time since which `value` has been the same as at a moment.

        If it was the same throughout two rounds, it has never changed: only a permanent proton exists that long.
        """
        current, since = value(moment), moment.since
        for before in self._earlier(moment):
            if value(before) != current:
                return since
            since = before.since
        return self.created(self.life(moment))

    def _earlier(self, moment: Moment) -> Iterator[Moment]:
        """The earlier steps of the same workload within two rounds, latest first."""
        count = len(self.story.steps)
        place = moment.round * count + moment.number
        first = 0 if self.story.once else place - 2 * count
        for earlier in () if math.isinf(self._seconds) else range(place - 1, first - 1, -1):
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
        if ahead > 0 and not self._is_promoted(moment):
            first = next((each[0] for each in self._rollouts if moment.number in each), 0)
            return identity(self.world.seed, self.number, "candidate", moment.round, first)  # it never serves
        return identity(self.world.seed, self.number, "proton", count)

    def _is_promoted(self, moment: Moment) -> bool:
        """Whether the candidate of a moment serves later: before another replacement begins."""
        after = self.story.steps[moment.number :]
        others = [each[0] for each in self._rollouts if each[0] > moment.number]
        before = after[: others[0] - moment.number] if others else after
        return any(step.proton > moment.step.proton for step in before)

    def protons_at(self, moment: Moment) -> dict[str, SimulatedProton]:
        """The existing protons by id, the active one first."""
        step = moment.step
        protons = {self.proton(moment): SimulatedProton(0, step.status, step.pods)}
        if step.candidate:
            protons[self.proton(moment, 1)] = SimulatedProton(1, *step.candidate)
        if step.outgoing:
            protons[self.proton(moment, -1)] = SimulatedProton(-1, step.outgoing, step.outgoing_pods)
        return protons

    def born(self, moment: Moment, proton: str) -> float:
        """Creation time of an existing proton."""
        return self.since(moment, lambda at: proton in self.protons_at(at))

    def importance_at(self, moment: Moment) -> str:
        """The importance at a moment."""
        return moment.step.importance or self.importance

    def replacements(self, turn: int) -> list[SimulatedReplacement]:
        """The replacements of a round, in their order."""
        found = []
        for numbers in self._rollouts:
            moments = [self.at(turn, number) for number in numbers]
            began = moments[0]
            end = next((each for each in moments if each.step.event), moments[-1])
            switched = min((each.since for each in moments if each.step.proton > began.step.proton), default=math.inf)
            record = self._record(began)
            finished = self._record(end) if self.story.renumbered else record
            found.append(SimulatedReplacement(record, finished, self.proton(began, 1), began, switched, end))
        return found

    def replacement_at(self, moment: Moment) -> SimulatedReplacement | None:
        """The replacement whose record is reported at a moment."""
        numbers = next((n for n, each in enumerate(self._rollouts) if moment.number in each), None)
        return None if numbers is None or not moment.step.replacement else self.replacements(moment.round)[numbers]

    def _record(self, created: Moment) -> str:
        """Id of the record of a replacement that was created at a moment."""
        at = created.since + self.world.ahead
        return dated_identity(at, self.world.seed, self.number, "replacement", created.round, created.number)

    def reset(self, moment: Moment) -> float:
        """Time of the last reset of the statistics; minus infinity if never."""
        return moment.since if moment.step.locked else -math.inf

    def restarts(self, moment: Moment, pods: SimulatedPods) -> int:
        """Restarts of a container since the step started."""
        return int(moment.into / pods.restart_every) if pods.restart_every else 0

    def restarted(self, moment: Moment, pods: SimulatedPods) -> float:
        """Time of the last restart of a container; the start of the step if there was none."""
        started = self.begin(moment.round, moment.number)
        return started + self.restarts(moment, pods) * pods.restart_every / self.world.speed

    def pod_history(self, moment: Moment, proton: str, number: int) -> PodHistory:
        """The past of a pod that is listed at a moment. A pod that becomes scheduled is a new pod."""
        key = (self.origin, moment.round, moment.number, proton, number)
        known = self._pod_histories.get(key)
        if known is None:
            known = self._pod_histories[key] = self._pod_history(moment, proton, number)
        return known

    def _pod_history(self, moment: Moment, proton: str, number: int) -> PodHistory:
        pod = self.pod(moment, proton, number)
        assert pod is not None
        life = [(moment, pod)]
        created = self.created(self.life(moment))
        for before in self._earlier(moment):
            was = self.pod(before, proton, number)
            if was is None or was.scheduled != pod.scheduled:
                created = life[-1][0].since
                break
            life.append((before, was))
        history = _folded(life[::-1], created, self.world.speed)
        whole = len(life) > 2 * len(self.story.steps)  # the same pod in all earlier rounds
        return history._replace(restarts=history.restarts + moment.round * (history.restarts // 2 if whole else 0))

    def live(self, pods: SimulatedPods) -> int:
        """Number of listed pods."""
        if pods.live is not None:
            return pods.live
        return self.story.bounds[1] if self.story.bounds else self.story.replicas or 1

    def pod(self, moment: Moment, proton: str, number: int) -> SimulatedPods | None:
        """State of one pod of a proton; None if it is not listed."""
        found = self.protons_at(moment).get(proton)
        if found is None or found.pods is None or number >= self.live(found.pods):
            return None
        return found.pods if found.pods.only is None or number < found.pods.only else READY

    def requests_until(self, at: float) -> int:
        """Number of requests served from the origin of the story until `at`."""
        served = self._traffic.requests((at - self.origin) * self.world.speed)
        return math.floor(self.requests / 60 * served / self.world.speed)

    def server_errors_until(self, at: float) -> int:
        """Number of requests from the origin of the story until `at` that were answered with 5xx."""
        if not self._errs_by_step:
            return math.floor(self.story.server_errors * self.requests_until(at))
        failed = self._traffic.server_errors((at - self.origin) * self.world.speed)
        return math.floor(self.requests / 60 * failed / self.world.speed)

    def reported_replacements(self, now: float) -> list[SimulatedReplacement]:
        """The replacements of the last rounds that ended with an event, latest first."""
        if not self._rollouts:
            return []
        latest = self.moment(now).round
        turns = (0,) if self.story.once else range(latest, max(-1, latest - PAST_ROUNDS) - 1, -1)
        replacements = (each for turn in turns for each in reversed(self.replacements(turn)))
        return [each for each in replacements if each.end.step.event and each.end.since <= now]


def _folded(life: Sequence[tuple[Moment, SimulatedPods]], created: float, speed: float) -> PodHistory:
    """The history of a pod from the steps of its life, the present step last."""
    history = PodHistory(created, created, created, created)
    stopped, before = False, life[0][1]
    for number, (at, pod) in enumerate(life):
        if pod.ready != before.ready:
            history = history._replace(ready_since=at.since)
        if pod.container_ready != before.container_ready:
            history = history._replace(container_ready_since=at.since)
        if pod.state != before.state:
            history = history._replace(state_since=at.since)
        if stopped and pod.state == "running":
            history, stopped = history._replace(restarts=history.restarts + 1), False
        if pod.ended:
            stopped = pod.state != "running"
            restarts = history.restarts + (0 if stopped else 1)
            history = history._replace(restarts=restarts, finished=at.since, last=pod.last)
        if pod.restart_every and number < len(life) - 1:
            times = int(at.step.seconds / pod.restart_every)
            if times:
                finished = at.since + times * pod.restart_every / speed
                history = history._replace(restarts=history.restarts + times, finished=finished, last=pod.last)
        before = pod
    return history


class World:
    """A fleet of `size` workloads. The first N workloads of a larger fleet of the same seed are the same.

    Each of `stories` is played once in order; of the other workloads 85 % are healthy, 15 % play one of `LASTING`. The
    API's clock is `ahead` of the client's by some seconds, which may be changed at any time.
    """

    def __init__(
        self, size: int, seed: int, speed: float, start: float, stories: Sequence[Story] = STORIES, ahead: float = 0.0
    ) -> None:
        self.size, self.seed, self.speed, self.start = size, seed, speed, start
        self.stories, self.ahead = stories, ahead
        self._actors: dict[int, Actor] = {}

    def story(self, number: int) -> Story:
        """The story of a workload."""
        if number < len(self.stories):
            return self.stories[number]
        drawn = chance(self.seed, number, "story")
        if drawn < 0.85:
            return HEALTHY[int(drawn / 0.85 * len(HEALTHY))]
        return LASTING[int((drawn - 0.85) / 0.15 * len(LASTING))]

    def actor(self, number: int) -> Actor:
        """The workload with a number."""
        known = self._actors.get(number)
        if known is None:
            known = self._actors[number] = Actor(self, number)
        return known

    def listed(self, now: float) -> list[int]:
        """Numbers of the listed workloads, oldest first."""
        firsts = range(min(self.size, len(self.stories)))
        absent = {n for n in firsts if not self.actor(n).moment(now).step.listed}
        young = [n for n in firsts if self.stories[n].rounds_ids]
        recent = [n for n in young if n not in absent]
        recent.sort(key=lambda n: self.actor(n).created(self.actor(n).life(self.actor(n).moment(now))))
        if not young:
            return list(range(self.size))
        return [n for n in range(self.size) if n not in young and n not in absent] + recent

    def find(self, workload: str, now: float) -> Actor | None:
        """The workload of an id, if it exists now, shared or not."""
        number = self._numbers.get(workload)
        if number is None:
            for n in range(min(self.size, len(self.stories))):
                if self.stories[n].rounds_ids and self.actor(n).id(self.actor(n).moment(now)) == workload:
                    number = n
        if number is None:
            return None
        actor = self.actor(number)
        step = actor.moment(now).step
        return actor if step.listed or step.hidden else None

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {identity(self.seed, n, "workload", 0): n for n in range(self.size) if not self.story(n).rounds_ids}
