"""STORIES: scripted timelines of the workloads of a simulated fleet; each story is one row.

A story is a list of steps that repeats, or a single step that stays. Durations are in seconds at speed 1.
"""

from __future__ import annotations

from typing import NamedTuple

HOLDS = 0.0
MINUTE, HOUR = 60.0, 3600.0
DRAFT_LIFETIME = 8 * HOUR


class Pods(NamedTuple):
    """State of a proton's pods during a step.

    `phase` is the pod's, which does not indicate health; `state` is the container's: running, waiting or terminated.
    `last` is the reason and exit code of the container's last termination. `restart_every` is in seconds at speed 1.
    """

    phase: str = "running"
    state: str = "running"
    ready: bool = True
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    last: tuple[str, int] | None = None
    restart_every: float = 0.0
    scheduled: bool = True
    live: int | None = None
    """How many pods, where it is not the number configured."""
    only: int | None = None
    """How many of them are like this; the others are ready."""


READY = Pods()
CREATING = Pods("pending", "waiting", ready=False, reason="ContainerCreating")
NOT_READY = Pods(ready=False)
COMPLETED = Pods("succeeded", "terminated", ready=False, reason="Completed", exit_code=0)
UNSCHEDULABLE = Pods(
    "pending", ready=False, scheduled=False, message="0/9 nodes are available: 9 Insufficient nvidia.com/gpu."
)
CRASHING = Pods(
    state="waiting",
    ready=False,
    reason="CrashLoopBackOff",
    message="back-off restarting failed container",
    last=("Error", 1),
    restart_every=40,
)
EXITING = CRASHING._replace(last=("Completed", 0))
PULL_FAILING = Pods(
    "pending",
    "waiting",
    ready=False,
    reason="ImagePullBackOff",
    message="rpc error: code = NotFound desc = manifest unknown",
)
OOM = Pods(last=("OOMKilled", 137), restart_every=900, only=1)
NONE = Pods(live=0)


class Step(NamedTuple):
    """One step of a story. `pods` None: the platform has no snapshot yet, the API answers 204.

    `proton` counts the protons of one round; `candidate` and `outgoing` are the status of a second proton.
    `replacement` is the status of the record on the workload. `event` is recorded at the start. `hidden`: it exists,
    but this token may no longer see it. `locked`: the draft was promoted, and its statistics were reset. `odd`: the
    oddities of answers about this workload, with their routes.
    """

    seconds: float
    status: str
    pods: Pods | None = READY
    proton: int = 0
    candidate: tuple[str, Pods | None] | None = None
    outgoing: str = ""
    replacement: str = ""
    event: str = ""
    message: str = ""
    evidence: bool = False
    serves: bool = True
    listed: bool = True
    hidden: bool = False
    locked: bool = False
    odd: tuple[str, ...] = ()


class Story(NamedTuple):
    """A story: its steps, a sentence that describes it, and the properties of its workload.

    `young`: the workload was created recently, not long ago with the rest of the fleet. `rounds_ids`: each round is a
    new workload. `consumer`: the token may only call it. `settings_only`: replacements keep the artifact. Rates are
    requests per minute, latency in milliseconds, shares 0..1.
    """

    name: str
    shows: str
    steps: tuple[Step, ...]
    importance: str = ""
    type: str = "service"
    draft: bool = False
    bundle: str = "cpu.medium"
    replicas: int | None = 2
    bounds: tuple[int, int] | None = None
    scaling: tuple[str, float] = ("cpuAverageUtilization", 70.0)
    requests: float = 240.0
    latency: float = 120.0
    server_errors: float = 0.002
    client_errors: float = 0.01
    slow: float = 0.01
    concurrency: float = 3.0
    memory_share: float = 0.55
    cpu_share: float = 0.3
    young: bool = False
    rounds_ids: bool = False
    bare: bool = False
    consumer: bool = False
    settings_only: bool = False

    @property
    def seconds(self) -> float:
        """Duration of one round; infinite for a story that stays."""
        total = sum(step.seconds for step in self.steps)
        return total if total > 0 else float("inf")

    @property
    def protons(self) -> int:
        """Number of new protons per round: the next round starts with the last of them."""
        return max(step.proton for step in self.steps)


def _start(*, minutes: float = 5.0, proton: int = 0) -> tuple[Step, ...]:
    """A start that takes so many minutes, most of them pulling the image."""
    seconds = minutes * MINUTE
    return (
        Step(0.06 * seconds, "submitted", None, proton=proton, serves=False),
        Step(0.14 * seconds, "provisioning", CREATING, proton=proton, serves=False),
        Step(0.8 * seconds, "launching", CREATING, proton=proton, serves=False),
    )


_WARMING = ("warming", NOT_READY)
_FAILS = "error-text@/workloads/{id}/protons/{pid}/statusDetails"
STORIES: tuple[Story, ...] = (
    Story("healthy", "a service that runs", (Step(HOLDS, "running"),)),
    Story(
        "crash loop",
        "a process that ends with exit code 1 again and again, until a new version mends it",
        (
            Step(15 * MINUTE, "errored", CRASHING, serves=False),
            *_start(proton=1),
            Step(20 * MINUTE, "running", proton=1),
        ),
        importance="high",
        replicas=1,
    ),
    Story(
        "start of 14 minutes",
        "a start that takes 14 minutes, eleven of them pulling an image",
        (
            *_start(minutes=14),
            Step(20 * MINUTE, "running"),
            Step(MINUTE, "stopping", NOT_READY, serves=False),
            Step(5 * MINUTE, "stopped", COMPLETED, serves=False),
        ),
        type="nim",
        bundle="gpu.l4.small",
        replicas=1,
    ),
    Story(
        "replacement",
        "a rolling replacement that succeeds; the old proton drains for ten minutes",
        (
            Step(20 * MINUTE, "running"),
            Step(27, "running", candidate=("initializing", None), replacement="initializing"),
            Step(83, "running", candidate=_WARMING, replacement="awaiting_promotion"),
            Step(61, "running", proton=1, outgoing="running", replacement="switching"),
            Step(10 * MINUTE, "running", proton=1, outgoing="draining", event="Replacement Completed"),
            Step(2 * MINUTE, "running", proton=1, outgoing="stopping"),
        ),
        importance="critical",
    ),
    Story(
        "reverted replacement",
        "a replacement that fails: the workload never leaves running, only an event tells",
        (
            Step(20 * MINUTE, "running"),
            Step(30, "running", candidate=("initializing", None), replacement="initializing"),
            Step(4 * MINUTE, "running", candidate=("launching", CRASHING), replacement="awaiting_promotion"),
            Step(
                10 * MINUTE,
                "running",
                event="Replacement Errored",
                message="the candidate is stopping because its pods are errored",
                evidence=True,
            ),
        ),
        importance="critical",
    ),
    Story(
        "out of memory",
        "a container that is killed for memory now and then and comes back",
        (Step(2 * HOUR, "running", OOM),),
        importance="high",
        memory_share=0.97,
    ),
    Story(
        "unschedulable GPU",
        "a pod that no node can take, until one is free",
        (
            Step(25 * MINUTE, "submitted", UNSCHEDULABLE, serves=False),
            *_start(minutes=3),
            Step(15 * MINUTE, "running"),
        ),
        importance="high",
        type="nim",
        bundle="gpu.a10g.medium",
        replicas=1,
    ),
    Story(
        "saturated autoscaler",
        "all replicas that the autoscaler may run are running, and more are wanted",
        (Step(HOLDS, "running"),),
        importance="critical",
        replicas=None,
        bounds=(1, 4),
        scaling=("httpRequestsConcurrency", 4.0),
        requests=6000,
        concurrency=21,
        cpu_share=0.9,
    ),
    Story(
        "draft about to end",
        "a draft that the platform stops after eight hours, its pod still listed",
        (Step(DRAFT_LIFETIME, "running"), Step(20 * MINUTE, "stopped", COMPLETED, serves=False)),
        importance="high",
        draft=True,
        replicas=1,
        young=True,
        rounds_ids=True,
    ),
    Story(
        "server errors",
        "a service of which every fourteenth answer is a 5xx",
        (Step(HOLDS, "running"),),
        importance="critical",
        server_errors=0.07,
    ),
    Story(
        "image pull",
        "an image that is not in the registry",
        (Step(HOLDS, "errored", PULL_FAILING, serves=False),),
        replicas=1,
    ),
    Story(
        "not ready",
        "a container that runs but never passes its readiness probe",
        (Step(HOLDS, "launching", NOT_READY, serves=False),),
        replicas=1,
    ),
    Story(
        "exit 0",
        "a process that ends well at once: no server, so it is started again and again",
        (Step(HOLDS, "errored", EXITING, serves=False),),
        replicas=1,
    ),
    Story(
        "scaled to zero",
        "no replica while nobody asks; this is no fault",
        (Step(HOLDS, "running", NONE, serves=False),),
        replicas=None,
        bounds=(0, 3),
        scaling=("httpRequestsConcurrency", 4.0),
        bundle="cpu.small",
    ),
    Story(
        "no bundle for it",
        "a replacement that fails before any pod exists",
        (
            Step(30 * MINUTE, "running"),
            Step(
                30 * MINUTE,
                "running",
                event="Replacement Errored",
                message="ResourceBundleInferenceError: no resource signal",
            ),
        ),
    ),
    Story(
        "stop and start",
        "a person stops the workload and starts it again",
        (
            Step(10 * MINUTE, "running"),
            Step(MINUTE, "stopping", NOT_READY, serves=False),
            Step(10 * MINUTE, "stopped", COMPLETED, serves=False),
            *_start(proton=1),
            Step(5 * MINUTE, "running", proton=1),
        ),
    ),
    Story(
        "suspended", "a deliberate pause", (Step(HOLDS, "suspended", COMPLETED, serves=False),), importance="moderate"
    ),
    Story(
        "interrupted",
        "taken off its node for somebody more important",
        (Step(30 * MINUTE, "running"), Step(10 * MINUTE, "interrupted", COMPLETED, serves=False), *_start()),
        importance="low",
    ),
    Story("terminated", "ended for good", (Step(HOLDS, "terminated", COMPLETED, serves=False),), importance="low"),
    Story(
        "deleted",
        "it is deleted, and some time later another one is created",
        (Step(15 * MINUTE, "running"), Step(3 * MINUTE, "running", listed=False, serves=False), *_start(minutes=2)),
        young=True,
        rounds_ids=True,
        importance="low",
    ),
    Story("slow", "every fifth answer takes longer than two seconds", (Step(HOLDS, "running"),), latency=900, slow=0.2),
    Story("memory near its bundle", "95 % of the memory is in use", (Step(HOLDS, "running"),), memory_share=0.95),
    Story(
        "from the future",
        "a status, a type and an importance that nobody has heard of",
        (Step(HOLDS, "Hibernating", serves=False),),
        importance="urgent",
        type="agent",
        replicas=None,
        bounds=(1, 4),
        scaling=("vllm:kv_cache_usage_perc", 0.7),
    ),
    Story(
        "bare",
        "a workload of which the API tells next to nothing",
        (Step(HOLDS, "unknown", None, serves=False),),
        bare=True,
    ),
    Story(
        "monitor frozen",
        "it starts and starts, because nobody reports on its pods",
        (Step(HOLDS, "provisioning", None, serves=False),),
        importance="moderate",
    ),
    Story(
        "slow start",
        "a start so slow that it reads errored for a while, and recovers by itself",
        (
            *_start(minutes=4),
            Step(4 * MINUTE, "errored", NOT_READY, serves=False),
            Step(20 * MINUTE, "running"),
            Step(MINUTE, "stopping", NOT_READY, serves=False),
            Step(5 * MINUTE, "stopped", COMPLETED, serves=False),
        ),
        replicas=1,
    ),
    Story(
        "silent revert",
        "a replacement that is taken back and of which not even an event tells",
        (
            Step(20 * MINUTE, "running"),
            Step(30, "running", candidate=("initializing", None), replacement="initializing"),
            Step(4 * MINUTE, "running", candidate=("launching", PULL_FAILING), replacement="awaiting_promotion"),
            Step(10 * MINUTE, "running"),
        ),
        importance="high",
    ),
    Story(
        "settings change",
        "new settings, carried out as a replacement onto the same artifact",
        (
            Step(20 * MINUTE, "running"),
            Step(83, "running", candidate=_WARMING, replacement="awaiting_promotion"),
            Step(61, "running", proton=1, outgoing="running", replacement="switching"),
            Step(10 * MINUTE, "running", proton=1, outgoing="draining", event="Replacement Completed"),
        ),
        settings_only=True,
    ),
    Story(
        "woken from zero",
        "no replica for a while, then a request wakes one",
        (
            Step(10 * MINUTE, "running", NONE, serves=False),
            Step(MINUTE, "running", CREATING._replace(live=1), serves=False),
            Step(20 * MINUTE, "running", Pods(live=1)),
        ),
        replicas=None,
        bounds=(0, 3),
        scaling=("httpRequestsConcurrency", 4.0),
        bundle="cpu.small",
    ),
    Story(
        "promoted",
        "a draft that is promoted: it goes on without a restart, and its statistics begin anew",
        # Each round begins with a new proton: no draft runs for longer than its eight hours.
        (Step(2 * HOUR, "running", proton=1), Step(1000 * HOUR, "running", proton=1, locked=True)),
        draft=True,
        replicas=1,
    ),
    Story(
        "access lost",
        "it is shared no more, and some time later it is shared again",
        (Step(20 * MINUTE, "running"), Step(20 * MINUTE, "running", listed=False, hidden=True)),
        young=True,
        importance="low",
    ),
    Story(
        "consumer only",
        "the token may call it, but neither look into it nor read its statistics",
        (Step(HOLDS, "running"),),
        consumer=True,
    ),
    Story(
        "autoscaled",
        "an autoscaled service with room to spare",
        (Step(HOLDS, "running", Pods(live=3)),),
        replicas=None,
        bounds=(2, 6),
    ),
    Story(
        "not stopping",
        "it is told to stop, and its process takes more than an hour to obey",
        (
            Step(10 * MINUTE, "running"),
            Step(70 * MINUTE, "stopping", NOT_READY, serves=False),
            Step(5 * MINUTE, "stopped", COMPLETED, serves=False),
            *_start(proton=1),
        ),
        importance="moderate",
    ),
    Story(
        "degraded",
        "one of three replicas is never ready; the others serve",
        (Step(HOLDS, "running", NOT_READY._replace(only=1)),),
        importance="high",
        replicas=3,
    ),
    Story(
        "nobody ready",
        "it says that it runs, and none of its replicas is ready",
        (Step(HOLDS, "running", NOT_READY, serves=False),),
        importance="critical",
    ),
    Story(
        "bundle withdrawn",
        "it runs in a resource bundle that is no longer in the catalogue",
        (Step(HOLDS, "running"),),
        importance="low",
        bundle="cpu.legacy",
    ),
    Story("outage", "it runs, and nine of ten answers are a 5xx", (Step(HOLDS, "running"),), server_errors=0.9),
    Story("callers refused", "it refuses seven of ten requests", (Step(HOLDS, "running"),), client_errors=0.7),
    Story(
        "draining unreadable",
        "a new version crash-loops once it serves, and the API fails to report the pods of the one that drains",
        (
            Step(20 * MINUTE, "running"),
            Step(83, "running", candidate=_WARMING, replacement="awaiting_promotion"),
            Step(
                10 * MINUTE,
                "running",
                CRASHING,
                proton=1,
                outgoing="draining",
                event="Replacement Completed",
                serves=False,
                odd=(_FAILS + "#outgoing",),
            ),
            Step(10 * MINUTE, "running", proton=1),
        ),
        importance="high",
    ),
    Story(
        "serving unreadable",
        "the API fails to report the pods of the version that serves, and for a while reports those of one that drains",
        (
            Step(20 * MINUTE, "running"),
            Step(83, "running", candidate=_WARMING, replacement="awaiting_promotion"),
            Step(
                10 * MINUTE,
                "running",
                proton=1,
                outgoing="draining",
                event="Replacement Completed",
                odd=(_FAILS + "#active",),
            ),
            Step(10 * MINUTE, "running", proton=1, odd=(_FAILS + "#active",)),
            Step(10 * MINUTE, "running", proton=1),
        ),
        importance="critical",
    ),
)
HEALTHY = tuple(story for story in STORIES if story.name in ("healthy", "autoscaled", "scaled to zero"))
"""What most workloads of a large fleet do."""
LASTING = tuple(story for story in STORIES if not story.young and not any(step.odd for step in story.steps))
