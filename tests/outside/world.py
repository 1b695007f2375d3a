"""The workloads of a story: what they do minute by minute. Times are minutes of the play; a story calls the methods.

A workload has versions (the API calls them protons), a version has pods, a pod has containers that behave in some way
(`containers`). What the API shows of them follows from that, with the delay of its monitor.
"""

import zlib
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

from tests.outside.containers import Behaviour, Moment, Ready, Starts, Stopped
from tests.outside.harness import START

T = TypeVar("T")
DAY = 1440.0
WORST = ("stopped", "running", "launching", "provisioning", "submitted", "errored")
SAMPLE = 10.0
COLD_START = 300


def identifier(seconds: float, name: str) -> str:
    """An object id: its first eight digits are the time of creation."""
    salt = zlib.crc32(name.encode())
    return f"{int(START + seconds):08x}{salt:08x}{zlib.crc32(name[::-1].encode()):08x}"


class Steps(Generic[T]):
    """A value that changes at times (in seconds of the play)."""

    def __init__(self, first: T) -> None:
        self._times: list[float] = []
        self._values: list[T] = [first]

    def set(self, seconds: float, value: T) -> None:
        at = bisect_right(self._times, seconds)
        self._times.insert(at, seconds)
        self._values.insert(at + 1, value)

    def at(self, seconds: float) -> T:
        return self._values[bisect_right(self._times, seconds)]

    def since(self, seconds: float) -> tuple[float, T]:
        """The value, and since when."""
        at = bisect_right(self._times, seconds)
        return (self._times[at - 1] if at else -20 * DAY * 60), self._values[at]


class Load(NamedTuple):
    """The traffic: requests a minute, the shares that fail with 5xx and with 4xx, and how long a response takes."""

    rpm: float = 0
    failed: float = 0.0005
    refused: float = 0.004
    ms: float = 120
    p95: float | None = None
    slow: float = 0.001
    concurrent: float | None = None


class Counts(NamedTuple):
    requests: float = 0
    failed: float = 0
    refused: float = 0
    slow: float = 0
    ms: float = 0
    p95: float = 0


class Pod:
    """A pod from `since` until `gone` (seconds), each of its containers with its behaviours."""

    def __init__(self, name: str, image: str, since: float, containers: Sequence[str], first: Behaviour) -> None:
        self.name = name
        self.since = since
        self.image = image
        self.gone: Steps[bool] = Steps(first=False)
        self.node = f"10.1.0.{4 + zlib.crc32(name.encode()) % 9}"
        self.containers: dict[str, Steps[tuple[float, Behaviour]]] = {
            each: Steps((since, first)) for each in containers
        }

    def listed(self, now: float) -> bool:
        return now >= self.since and not self.gone.at(now)

    def moments(self, now: float) -> dict[str, tuple[float, Moment]]:
        """Each container: since when it behaves so, and how it is."""
        found = {}
        for name, steps in self.containers.items():
            since, behaviour = steps.at(now)
            found[name] = (since, behaviour.at(now - since))
        return found

    def word(self, now: float) -> str:
        return max((moment.word for _, moment in self.moments(now).values()), key=WORST.index)

    def ready(self, now: float) -> bool:
        return all(moment.ready for _, moment in self.moments(now).values())


class Version:
    """A proton: one version of a workload with its pods."""

    def __init__(self, workload: "Workload", since: float, artifact: str, image: str, role: str | None) -> None:
        self.workload = workload
        self.since = since
        self.id = identifier(since, f"proton {workload.name} {len(workload.versions)}")
        self.artifact = artifact
        self.image = image
        self.number = len(workload.versions) + 1
        self.role: Steps[str | None] = Steps(role)
        self.status: Steps[str | None] = Steps(None)
        self.running_since: Steps[float | None] = Steps(since + 90 if role == "active" else None)
        self.listed: Steps[bool] = Steps(first=True)
        self.snapshot: Steps[bool] = Steps(first=True)
        self.frozen: Steps[float | None] = Steps(None)
        self.pods: list[Pod] = []

    def add_pod(self, since: float, behaviour: Behaviour, containers: Sequence[str] | None = None) -> Pod:
        set_ = f"{zlib.crc32(self.id.encode()) % 0xFFFFFFFF:08x}"
        end = f"{zlib.crc32(f'{self.id}{len(self.pods)}'.encode()) % 0xFFFFF:05x}"
        pod = Pod(f"lrs-{self.id}-{set_}-{end}", self.image, since, containers or self.workload.containers, behaviour)
        self.pods.append(pod)
        return pod

    def seen(self, now: float) -> float:
        """The moment that the monitor's newest snapshot shows."""
        frozen = self.frozen.at(now)
        return now - self.workload.delay if frozen is None else frozen

    def now_pods(self, now: float) -> list[Pod]:
        return [each for each in self.pods if each.listed(now)]

    def word(self, now: float) -> str:
        """The status: as set by the story, else that of the worst pod."""
        fixed = self.status.at(now)
        if fixed is not None:
            return fixed
        then = self.seen(now)
        pods = self.now_pods(then)
        if not pods:
            return "initializing" if then < self.since + 60 else self.workload.word_without_pods
        return max((each.word(then) for each in pods), key=WORST.index)

    def ready_pods(self, now: float) -> int:
        return sum(each.ready(now) for each in self.now_pods(now))


@dataclass
class Rollout:
    """A replacement: its record in the API over time (None: 404), its candidate and the history."""

    id: str
    began: float
    record: Steps[str | None]
    artifact: str | None
    candidate: Version | None
    status: Steps[str]
    config: dict[str, int]
    message: Steps[str | None] = field(default_factory=lambda: Steps(None))
    switched: float | None = None
    over: float | None = None


class Event(NamedTuple):
    id: str
    kind: str
    recorded: Steps[float]
    since: float
    details: Callable[[], dict[str, Any]]
    person: bool


class Workload:
    """One workload. The methods with a verb change it from a minute on."""

    def __init__(
        self,
        name: str,
        *,
        importance: str | None = "moderate",
        pods: int = 2,
        load: Load = Load(),  # noqa: B008
        bundle: str = "cpu.medium",
        kind: str = "service",
        draft: bool = False,
        age_days: float = 20,
        since: float | None = None,
        containers: Sequence[str] = ("primary",),
        autoscaling: dict[str, Any] | None = None,
        delay: float = 8,
        first: Behaviour = Ready(),  # noqa: B008
        unserved_counted: bool = True,
        at_zero: str = "running",
    ) -> None:
        created = -age_days * DAY * 60 if since is None else since * 60
        self.name = name
        self.kind = kind
        self.created = created
        self.id = identifier(created, f"workload {name}")
        self.containers = tuple(containers)
        self.delay = delay
        self.unserved_counted = unserved_counted
        self.word_without_pods = at_zero
        self.importance: Steps[str | None] = Steps(importance)
        self.bundle: Steps[str] = Steps(bundle)
        self.draft: Steps[bool] = Steps(draft)
        self.count: Steps[int] = Steps(pods)
        self.autoscaling: Steps[dict[str, Any] | None] = Steps(autoscaling)
        self.status_fixed: Steps[str | None] = Steps(None)
        self.listed: Steps[bool] = Steps(since is None)
        if since is not None:
            self.listed.set(created, value=True)
        self.off: Steps[bool] = Steps(first=False)
        self.load: Steps[Load] = Steps(load)
        self.memory: Steps[float | None] = Steps(None)
        self.updated: Steps[float] = Steps(created + 60)
        self.resets: Steps[float] = Steps(-1e9)
        self.patches: list[tuple[float, float, Callable[[dict[str, Any]], Any]]] = []
        self.versions: list[Version] = []
        self.rollouts: list[Rollout] = []
        self.events: list[Event] = []
        artifact = identifier(created - 600, f"artifact {name} 1")
        version = Version(self, created, artifact, self._image(1), "active")
        self.versions.append(version)
        self.active: Steps[Version] = Steps(version)
        self.serving: Steps[Version] = Steps(version)
        for _ in range(pods):
            version.add_pod(created, first)
        self._sums: dict[str, list[list[float]]] = {}

    def _image(self, number: int) -> str:
        return f"registry.example.test/ml/{self.name}:{number}"

    def current(self, minute: float) -> Version:
        return self.active.at(minute * 60)

    # what breaks and heals

    def pod(self, index: int, minute: float, behaviour: Behaviour, container: str = "") -> None:
        """The pod with this number behaves so from this minute on: in all of its containers, or in one."""
        pod = self.current(minute).pods[index]
        for name in [container] if container else list(pod.containers):
            pod.containers[name].set(minute * 60, (minute * 60, behaviour))

    def all_pods(self, minute: float, behaviour: Behaviour, container: str = "") -> None:
        """Each pod that is there in this minute behaves so, one some seconds after the other."""
        for index, pod in enumerate(self.current(minute).pods):
            if pod.listed(minute * 60):
                self.pod(index, minute + index * 3 / 60, behaviour, container)

    def remove_pod(self, index: int, minute: float) -> None:
        self.current(minute).pods[index].gone.set(minute * 60, value=True)

    def add_pods(self, minute: float, number: int = 1, behaviour: Behaviour = Starts()) -> None:  # noqa: B008
        for _ in range(number):
            self.current(minute).add_pod(minute * 60, behaviour)

    def move_pod(self, index: int, minute: float, behaviour: Behaviour = Starts()) -> None:  # noqa: B008
        """The pod is deleted, and another one takes its place."""
        self.remove_pod(index, minute)
        self.add_pods(minute, 1, behaviour)

    def says(self, minute: float, status: str | None) -> None:
        """The API says this status from this minute on; None: what follows from the pods."""
        self.status_fixed.set(minute * 60, status)

    def gets(self, minute: float, **load: float) -> None:
        """The traffic changes."""
        self.load.set(minute * 60, self.load.at(minute * 60)._replace(**load))

    # what people do

    def touched(self, seconds: float) -> None:
        self.updated.set(seconds, seconds)

    def stops(self, minute: float, code: int = 0, takes: float = 40, ends_as: str = "stopped") -> None:
        """A person, or the platform, stops it: its pods end and stay in the list."""
        at, version = minute * 60, self.current(minute)
        self.touched(at)
        self.off.set(at, value=True)
        self.status_fixed.set(at, "stopping")
        self.status_fixed.set(at + takes, ends_as)
        version.status.set(at, "stopping")
        version.status.set(at + takes, ends_as)
        for pod in version.now_pods(at):
            for steps in pod.containers.values():
                steps.set(at + takes / 2, (at + takes / 2, Stopped(code)))
        version.running_since.set(at + takes, None)

    def starts(self, minute: float, behaviour: Behaviour = Starts(), ready_after: float = 80) -> None:  # noqa: B008
        """It is started again, with new pods."""
        at, version = minute * 60, self.current(minute)
        self.touched(at)
        self.off.set(at, value=False)
        self.status_fixed.set(at, None)
        version.status.set(at, None)
        version.running_since.set(at + ready_after, at + ready_after)
        for pod in version.now_pods(at):
            pod.gone.set(at, value=True)
        for _ in range(self.count.at(at)):
            version.add_pod(at, behaviour)

    def is_deleted(self, minute: float, takes: float = 30) -> None:
        self.stops(minute, takes=takes)
        self.listed.set(minute * 60 + takes + 5, value=False)

    def leaves_the_list(self, minute: float) -> None:
        """It is gone at once: no longer shared, or deleted within seconds."""
        self.listed.set(minute * 60, value=False)

    def is_rated(self, minute: float, importance: str | None) -> None:
        self.importance.set(minute * 60, importance)
        self.touched(minute * 60)

    def is_promoted(self, minute: float) -> None:
        """Its draft becomes a locked version, without a restart; its statistics begin again."""
        self.draft.set(minute * 60, value=False)
        self.resets.set(minute * 60, minute * 60)
        self.touched(minute * 60)

    def rollout(
        self,
        minute: float,
        *,
        result: str = "Completed",
        boot: float = 45,
        warmup: int = 0,
        behaviour: Behaviour | None = None,
        fails_after: float = 300,
        keeps_record: float = 20,
        settings_only: bool = False,
        candidate: bool = True,
        message: str = "",
        says_during: str | None = None,
        swept_after: float | None = 300,
        words: Sequence[str] = ("submitted", "initializing", "awaiting_promotion", "switching", "cleaning_up"),
    ) -> Rollout:
        """A replacement that ends as `result`: Completed, Errored or Cancelled, or never if `result` is empty."""
        at, old = minute * 60, self.current(minute)
        number = len(self.rollouts) + 2
        artifact = old.artifact if settings_only else identifier(at - 300, f"artifact {self.name} {number}")
        new = Version(self, at + 2, artifact, self._image(number), "candidate") if candidate else None
        start = behaviour or Starts(5, 30, boot)
        if new is not None:
            self.versions.append(new)
            for _ in range(self.count.at(at)):
                new.add_pod(at + 4, start)
        record: Steps[str | None] = Steps(None)
        one = Rollout(
            identifier(at, f"rollout {self.name} {number}"), at, record, None if settings_only else artifact, new,
            Steps(words[0]), {"warmupDurationMinutes": warmup, "keepOldVersionMinutes": 0},
        )  # fmt: skip
        self.rollouts.append(one)
        record.set(at, words[0])
        record.set(at + 4, words[1])
        one.status.set(at + 4, words[1])
        self.status_fixed.set(at, says_during or "running")
        if result == "Completed" and new is not None:
            self._completes(one, old, new, at + 40 + boot, warmup * 60, words)
            end = at + 40 + boot + warmup * 60 + 80
        elif result:
            end = at + fails_after
            self._ends(one, new, end, result, keeps_record)
            self.status_fixed.set(end + keeps_record, None)
        else:
            return one
        self._records(one, end, result, message, swept_after)
        return one

    def _completes(
        self, one: Rollout, old: Version, new: Version, ready: float, warmup: float, words: Sequence[str]
    ) -> None:
        switch = ready + warmup + 10
        new.status.set(ready, "warming" if warmup else None)
        new.status.set(switch, None)
        for seconds, word in ((ready, words[2]), (switch - 5, words[3]), (switch + 5, words[4])):
            one.record.set(seconds, word)
            one.status.set(seconds, word)
        one.record.set(switch + 68, "completed")
        one.record.set(switch + 69, None)
        one.status.set(switch + 68, "completed")
        one.switched = switch
        new.running_since.set(ready, ready)
        new.role.set(switch, "active")
        old.role.set(switch, None)
        self.active.set(switch, new)
        self.serving.set(switch + 60, new)
        self.touched(switch)
        self.status_fixed.set(switch + 69, None)
        old.status.set(switch + 5, "draining")
        old.status.set(switch + 420, "stopping")
        old.listed.set(switch + 600, value=False)
        for pod in old.now_pods(switch):
            for steps in pod.containers.values():
                steps.set(switch + 430, (switch + 430, Stopped(0)))

    def _ends(self, one: Rollout, new: Version | None, end: float, result: str, keeps: float) -> None:
        word = "errored" if result == "Errored" else result.lower()
        one.record.set(end, "cancelling" if result == "Cancelled" else word)
        one.record.set(end + keeps, None)
        one.status.set(end, word)
        one.over = end
        if new is not None:
            new.status.set(end, "stopping")
            new.status.set(end + 60, "stopped")
            new.listed.set(end + 120, value=False)

    def _records(self, one: Rollout, end: float, result: str, message: str, swept_after: float | None) -> None:
        one.over = end
        default = {
            "Completed": "rollout finished",
            "Cancelled": "replacement was cancelled",
            "Errored": f"candidate {one.candidate.id if one.candidate else ''} is stopping: its pods are errored",
        }
        text = message or default.get(result, result)
        one.message.set(end, text if result == "Errored" else None)
        recorded: Steps[float] = Steps(end)
        if swept_after:
            recorded.set(end + swept_after, end + swept_after)
        id_ = identifier(end, f"record {self.name} {one.id}")

        def details() -> dict[str, Any]:
            candidates = [one.candidate.id] if one.candidate else []
            pods = None
            if result == "Errored" and one.candidate:
                pods = {one.candidate.id: {"replicas": [_evidence(each, end) for each in one.candidate.now_pods(end)]}}
            return {"replacementId": id_, "artifactId": one.artifact or self.versions[0].artifact, "message": text,
                    "candidateProtonIds": candidates, "protonStatuses": pods}  # fmt: skip

        self.events.append(Event(id_, f"Replacement {result}", recorded, end, details, person=result == "Cancelled"))

    # what the API knows

    def word(self, now: float) -> str:
        fixed = self.status_fixed.at(now)
        return self.active.at(now).word(now) if fixed is None else fixed

    def replacement(self, now: float) -> tuple[Rollout, str] | None:
        for each in reversed(self.rollouts):
            word = each.record.at(now)
            if word is not None:
                return each, word
        return None

    def patch(self, minute: float, until: float, change: Callable[[dict[str, Any]], Any]) -> None:
        """The item in the list is changed by this function."""
        self.patches.append((minute * 60, until * 60, change))

    def _sample(self, number: int) -> tuple[Counts, str]:
        """The traffic of the ten seconds with this number, and who served it."""
        seconds = number * SAMPLE
        load = self.load.at(seconds)
        version = self.serving.at(seconds)
        wobble = 0.85 + 0.3 * (zlib.crc32(f"{self.name}{number}".encode()) % 1000) / 1000
        requests, failed = load.rpm * SAMPLE / 60 * wobble, load.failed
        if self.off.at(seconds) or not self.listed.at(seconds):
            requests = 0
        elif requests and not self._served(seconds):
            failed, requests = 1.0, requests if self.unserved_counted else 0
        return _counted(load, requests, failed), version.id

    def _served(self, seconds: float) -> bool:
        """Whether a pod takes the requests of this moment: the gateway of a scaled to zero workload waits for one."""
        scaling = self.autoscaling.at(seconds)
        patience = COLD_START if scaling is not None and not scaling["minReplicaCount"] else 0
        moments = [seconds + later for later in range(0, patience + 1, 10)]
        return any(
            each.ready_pods(moment) for moment in moments for each in {self.serving.at(moment), self.active.at(moment)}
        )

    def _total(self, seconds: float, proton: str) -> list[float]:
        """What one version served from the beginning of the play until this moment."""
        number = int(seconds // SAMPLE)
        sums = self._sums.setdefault(proton, [[0.0] * 6])
        while len(sums) <= number + 1:
            sample, by = self._sample(len(sums) - 1)
            sums.append([total + (each if by == proton else 0) for total, each in zip(sums[-1], sample, strict=True)])
        part = seconds / SAMPLE - number
        return [one + (two - one) * part for one, two in zip(sums[number], sums[number + 1], strict=True)]

    def counts(self, start: float, end: float, proton: str) -> Counts:
        """The traffic of one version between two moments."""
        start = max(start, self.resets.at(end), self.created)
        if end <= start:
            return Counts()
        played = zip(self._total(max(end, 0), proton), self._total(max(start, 0), proton), strict=True)
        sums = [late - early for late, early in played]
        if start < 0 and self.serving.at(-1).id == proton:
            load = self.load.at(-1)
            before = _counted(load, (min(end, 0) - start) * load.rpm / 60, load.failed)
            sums = [one + two for one, two in zip(sums, before, strict=True)]
        return Counts(*sums)


def _counted(load: Load, requests: float, failed: float) -> Counts:
    p95 = load.p95 if load.p95 is not None else load.ms * 2.2
    refused = requests * min(load.refused, 1 - failed)
    return Counts(requests, requests * failed, refused, requests * load.slow, requests * load.ms, requests * p95)


def _evidence(pod: Pod, now: float) -> dict[str, Any]:
    containers = []
    for name, (_, moment) in pod.moments(now).items():
        last = {"reason": moment.last.reason, "exitCode": moment.last.code} if moment.last else None
        containers.append(
            {"name": f"{pod.name.rsplit('-', 2)[0]}-{name}", "ready": moment.ready, "restartCount": moment.restarts,
             "reason": moment.reason, "lastState": last}
        )  # fmt: skip
    return {"containers": containers}


__all__ = ["DAY", "Event", "Load", "Pod", "Rollout", "Steps", "Version", "Workload", "identifier"]
