"""What a container does from a moment on, as the API would report it: each class describes one way to live or to fail.

Ages are seconds since the behaviour began.
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

LONGEST_WAIT = 300.0
FORGIVEN_AFTER = 600.0
BAD_WAITS = frozenset(
    "CrashLoopBackOff ErrImagePull ImagePullBackOff InvalidImageName CreateContainerConfigError CreateContainerError"
    " RunContainerError".split()
)


class Ended(NamedTuple):
    """A run of a container that is over."""

    reason: str
    code: int
    began: float
    ended: float
    message: str = ""


class Moment(NamedTuple):
    """A container at one age. `phase` is set if the whole pod is not simply pending or running."""

    status: str
    ready: bool = False
    restarts: int = 0
    reason: str = ""
    message: str = ""
    code: int | None = None
    last: Ended | None = None
    began: float | None = None
    phase: str = ""

    @property
    def word(self) -> str:
        """The status of a workload that has only this container."""
        if self.phase in {"failed", "unscheduled", "stopped"}:
            return {"failed": "errored", "unscheduled": "submitted", "stopped": "stopped"}[self.phase]
        if self.ready:
            return "running"
        if self.status == "terminated" or self.reason in BAD_WAITS or (self.last is not None and self.restarts > 1):
            return "errored"
        return "provisioning" if self.reason == "ContainerCreating" else "launching"


class Behaviour(Protocol):
    def at(self, age: float) -> Moment:
        """The container at this age."""


class Ready(NamedTuple):
    """Runs and responds."""

    def at(self, age: float) -> Moment:
        return Moment("running", ready=True, began=0)


class Starts(NamedTuple):
    """Waits for a node, pulls its image, boots, then is ready: the seconds of each."""

    node: float = 5
    pull: float = 30
    boot: float = 45

    def at(self, age: float) -> Moment:
        if age < self.node:
            return Moment("waiting", phase="unscheduled", message="0/9 nodes are available: 9 Insufficient cpu.")
        if age < self.node + self.pull:
            return Moment("waiting", reason="ContainerCreating")
        began = self.node + self.pull
        return Moment("running", ready=age >= began + self.boot, began=began)


class Crashes(NamedTuple):
    """Exits with `code` after `lives` seconds, `times` times; it is ready from `ready_after` seconds on, if ever.

    `up`: it ran before, and the first exit is now. The pauses between two starts grow as those of Kubernetes.
    """

    code: int = 1
    reason: str = "Error"
    lives: float = 4
    ready_after: float | None = None
    up: bool = True
    pull: float = 20
    times: int = 100_000

    def at(self, age: float) -> Moment:
        last, waited = None, 0.0
        for restarts, (began, ended, pause) in enumerate(self._runs()):
            if age < began:
                if last is None:
                    return Moment("waiting", reason="ContainerCreating")
                words = f"back-off {int(waited)}s restarting failed container"
                return Moment("waiting", restarts=restarts - 1, reason="CrashLoopBackOff", message=words, last=last)
            if age < ended or restarts >= self.times:
                after = 30 if restarts >= self.times and self.ready_after is None else self.ready_after
                ready = after is not None and age >= began + after
                return Moment("running", ready=ready, restarts=restarts, last=last, began=began)
            if age < ended + 1:
                return Moment("terminated", restarts=restarts, reason=self.reason, code=self.code, began=began)
            last, waited = Ended(self.reason, self.code, began, ended), pause
        raise AssertionError

    def _runs(self) -> Iterator[tuple[float, float, float]]:
        """When each run begins and ends, and the pause after it."""
        began, ended, pause = (-7200.0, 0.0, 1.0) if self.up else (self.pull, self.pull + self.lives, 1.0)
        while True:
            if ended - began >= FORGIVEN_AFTER:
                pause = 1.0
            yield began, ended, pause
            began = ended + pause
            ended = began + self.lives
            pause = 10.0 if pause < 10 else min(pause * 2, LONGEST_WAIT)


class KilledOnce(NamedTuple):
    """Is killed now, starts again after two seconds and is ready after `boot` seconds."""

    reason: str = "OOMKilled"
    code: int = 137
    boot: float = 30
    restarts: int = 1

    def at(self, age: float) -> Moment:
        last = Ended(self.reason, self.code, -7200, 0)
        if age < 2:
            return Moment("terminated", restarts=self.restarts - 1, reason=self.reason, code=self.code)
        return Moment("running", ready=age >= 2 + self.boot, restarts=self.restarts, last=last, began=2)


class PullFails(NamedTuple):
    """Its image cannot be pulled; after `heals` seconds, if any, it can."""

    message: str = "manifest unknown"
    first: str = "ErrImagePull"
    heals: float | None = None

    def at(self, age: float) -> Moment:
        if self.heals is not None and age >= self.heals:
            return Starts(0, 10, 30).at(age - self.heals)
        text = f"rpc error: code = NotFound desc = failed to pull and unpack image: {self.message}"
        reason = self.first if self.first == "InvalidImageName" or age % 300 < 20 else "ImagePullBackOff"
        return Moment("waiting", reason=reason, message=text)


class CannotStart(NamedTuple):
    """The container cannot be created; after `heals` seconds, if any, it can."""

    reason: str = "CreateContainerConfigError"
    message: str = 'secret "api-credentials" not found'
    heals: float | None = None

    def at(self, age: float) -> Moment:
        if self.heals is not None and age >= self.heals:
            return Starts(0, 10, 30).at(age - self.heals)
        return Moment("waiting", reason=self.reason, message=self.message)


class Creating(NamedTuple):
    """Waits for a volume or a secret that does not come."""

    def at(self, age: float) -> Moment:
        return Moment("waiting", reason="ContainerCreating")


class NotReady(NamedTuple):
    """The process runs, and its readiness probe fails for `seconds`, or for ever."""

    seconds: float | None = None

    def at(self, age: float) -> Moment:
        return Moment("running", ready=self.seconds is not None and age >= self.seconds, began=0)


class Unschedulable(NamedTuple):
    """No node has room; after `heals` seconds, if any, one has, and the pod starts."""

    message: str = "0/9 nodes are available: 9 Insufficient nvidia.com/gpu."
    heals: float | None = None
    boot: float = 60

    def at(self, age: float) -> Moment:
        if self.heals is not None and age >= self.heals:
            return Starts(0, 30, self.boot).at(age - self.heals)
        return Moment("waiting", phase="unscheduled", message=self.message)


class Evicted(NamedTuple):
    """The pod has failed: it was evicted or preempted, and stays in the list."""

    reason: str = "Evicted"
    message: str = "The node was low on resource: memory."

    def at(self, age: float) -> Moment:
        return Moment("terminated", reason=self.reason, message=self.message, code=137, phase="failed")


class Stopped(NamedTuple):
    """The pod ended because it was stopped."""

    code: int = 0

    def at(self, age: float) -> Moment:
        reason = "Error" if self.code else "Completed"
        return Moment("terminated", reason=reason, code=self.code, phase="stopped")
