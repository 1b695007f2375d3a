"""STORIES: scripted timelines of the workloads of a simulated fleet; each story is one row.

A story is a list of steps that repeats, or a single step that stays. Durations are in seconds at speed 1.
"""

from __future__ import annotations

from typing import NamedTuple

FOREVER = 0.0
"""Duration of a step that does not end."""
MINUTE, HOUR = 60.0, 3600.0
DRAFT_LIFETIME = 8 * HOUR


class SimulatedPods(NamedTuple):
    """State of a proton's pods during a step.

    `phase` is the pod's, which does not indicate health; `state` is the container's: running, waiting or terminated.
    `ready` None: not reported, as for pods of a lost node. `last` is the reason and exit code of the container's last
    termination, which was at the start of the step if `ended`. `restart_every` is in seconds at speed 1. `cut_off`: the
    cluster has lost contact with the node, so the pod is not ready, but its container still counts as ready. `log` is
    what the container logs.
    """

    phase: str = "running"
    state: str = "running"
    ready: bool | None = True
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    last: tuple[str, int] | None = None
    restart_every: float = 0.0
    ended: bool = False
    cut_off: bool = False
    scheduled: bool = True
    live: int | None = None
    """Number of pods, if it differs from the configured number."""
    only: int | None = None
    """Number of pods in this state; the others are ready."""
    log: str = ""

    @property
    def container_ready(self) -> bool | None:
        """Whether the container counts as ready."""
        return True if self.cut_off else self.ready


READY = SimulatedPods()
CREATING = SimulatedPods("pending", "waiting", ready=False, reason="ContainerCreating")
NOT_READY = SimulatedPods(ready=False)
COMPLETED = SimulatedPods("succeeded", "terminated", ready=False, reason="Completed", exit_code=0)
UNSCHEDULABLE = SimulatedPods(
    "pending", ready=False, scheduled=False, message="0/9 nodes are available: 9 Insufficient nvidia.com/gpu."
)
CRASHING = SimulatedPods(
    state="waiting",
    ready=False,
    reason="CrashLoopBackOff",
    message="back-off restarting failed container",
    last=("Error", 1),
    restart_every=40,
    log="ModuleNotFoundError: No module named 'lightgbm'",
)
EXITING = CRASHING._replace(last=("Completed", 0), log="job finished")
PULL_FAILING = SimulatedPods(
    "pending",
    "waiting",
    ready=False,
    reason="ImagePullBackOff",
    message="rpc error: code = NotFound desc = manifest unknown",
)
OOM = SimulatedPods(last=("OOMKilled", 137), restart_every=900, only=1)
NONE = SimulatedPods(live=0)


class StoryStep(NamedTuple):
    """One step of a story. `pods` None: the platform has no snapshot yet, and the API responds with 204.

    `proton` counts the protons of one round; `candidate` and `outgoing` are the status of a second proton.
    `replacement` is the status of the replacement record. `event` is recorded at the start of the step; with `cleanup`,
    its timestamp moves when it is that many seconds old. `hidden`: the workload exists but is no longer shared.
    `locked`: the draft was promoted and its statistics were reset. `load` is the share of the story's requests,
    `server_errors` replaces the story's share, `importance` its importance. `odd`: the oddities of responses about this
    workload, with their routes. `log` is what its containers log about failed requests.
    """

    seconds: float
    status: str
    pods: SimulatedPods | None = READY
    proton: int = 0
    candidate: tuple[str, SimulatedPods | None] | None = None
    outgoing: str = ""
    outgoing_pods: SimulatedPods | None = READY
    replacement: str = ""
    event: str = ""
    message: str = ""
    evidence: bool = False
    cleanup: float = 0.0
    importance: str = ""
    load: float = 1.0
    server_errors: float | None = None
    serves: bool = True
    listed: bool = True
    hidden: bool = False
    locked: bool = False
    odd: tuple[str, ...] = ()
    log: str = ""


class Story(NamedTuple):
    """A story: its steps, a sentence that describes it, and the properties of its workload.

    `once`: the story does not repeat; its last step stays, and before it the workload was as in the first step.
    `young`: the workload was created recently, the rest of the fleet long ago. `rounds_ids`: each round is a
    new workload. `consumer`: the token may only call it. `settings_only`: replacements keep the artifact. `warmup` is
    the warm-up of replacements in minutes. `renumbered`: the record of a finished replacement has another id than that
    of the active one. `second_role` is the role of the proton whose status is `outgoing`; empty: without a role.
    `enclave` is the name of the enclave whose host has the endpoint. `sidecar`: the states of pods are those of a
    second container beside a healthy one. Rates are requests per minute, latency in milliseconds, shares 0..1.
    """

    name: str
    shows: str
    steps: tuple[StoryStep, ...]
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
    once: bool = False
    young: bool = False
    rounds_ids: bool = False
    bare: bool = False
    consumer: bool = False
    settings_only: bool = False
    warmup: int = 1
    renumbered: bool = True
    second_role: str = ""
    enclave: str = ""
    sidecar: bool = False

    @property
    def seconds(self) -> float:
        """Duration of one round in seconds; infinite for a story with a single step."""
        total = sum(step.seconds for step in self.steps)
        return total if total > 0 else float("inf")

    @property
    def protons(self) -> int:
        """Number of new protons per round; the next round starts with the last one."""
        return max(step.proton for step in self.steps)


def starting(*, minutes: float = 5.0, proton: int = 0) -> tuple[StoryStep, ...]:
    """The steps of a start that takes `minutes`, most of it spent pulling the image."""
    seconds = minutes * MINUTE
    return (
        StoryStep(0.06 * seconds, "submitted", None, proton=proton, serves=False),
        StoryStep(0.14 * seconds, "provisioning", CREATING, proton=proton, serves=False),
        StoryStep(0.8 * seconds, "launching", CREATING, proton=proton, serves=False),
    )


WARMING = ("warming", NOT_READY)
_FAILS = "error-text@/workloads/{id}/protons/{pid}/statusDetails"
STORIES: tuple[Story, ...] = (
    Story("healthy", "a healthy service", (StoryStep(FOREVER, "running"),)),
    Story(
        "crash loop",
        "a container that exits with code 1 repeatedly, until a new version fixes it",
        (
            StoryStep(15 * MINUTE, "errored", CRASHING, serves=False),
            *starting(proton=1),
            StoryStep(20 * MINUTE, "running", proton=1),
        ),
        importance="high",
        replicas=1,
    ),
    Story(
        "start of 14 minutes",
        "a start that takes 14 minutes, thirteen of which are an image pull",
        (
            *starting(minutes=14),
            StoryStep(20 * MINUTE, "running"),
            StoryStep(MINUTE, "stopping", NOT_READY, serves=False),
            StoryStep(5 * MINUTE, "stopped", COMPLETED, serves=False),
        ),
        type="nim",
        bundle="gpu.l4.small",
        replicas=1,
    ),
    Story(
        "replacement",
        "a successful rolling replacement; the old proton drains for ten minutes",
        (
            StoryStep(20 * MINUTE, "running"),
            StoryStep(27, "running", candidate=("initializing", None), replacement="initializing"),
            StoryStep(83, "running", candidate=WARMING, replacement="awaiting_promotion"),
            StoryStep(61, "running", proton=1, outgoing="running", replacement="switching"),
            StoryStep(10 * MINUTE, "running", proton=1, outgoing="draining", event="Replacement Completed"),
            StoryStep(2 * MINUTE, "running", proton=1, outgoing="stopping"),
        ),
        importance="critical",
    ),
    Story(
        "reverted replacement",
        "a failed replacement: the workload stays running, and only an event reports the failure",
        (
            StoryStep(20 * MINUTE, "running"),
            StoryStep(30, "running", candidate=("initializing", None), replacement="initializing"),
            StoryStep(4 * MINUTE, "running", candidate=("launching", CRASHING), replacement="awaiting_promotion"),
            StoryStep(
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
        "a container that is occasionally OOM-killed and restarted",
        (StoryStep(2 * HOUR, "running", OOM),),
        importance="high",
        memory_share=0.97,
    ),
    Story(
        "unschedulable GPU",
        "a pod that cannot be scheduled until a node has a free GPU",
        (
            StoryStep(25 * MINUTE, "submitted", UNSCHEDULABLE, serves=False),
            *starting(minutes=3),
            StoryStep(15 * MINUTE, "running"),
        ),
        importance="high",
        type="nim",
        bundle="gpu.a10g.medium",
        replicas=1,
    ),
    Story(
        "saturated autoscaler",
        "the autoscaler is at its maximum and the load requires more replicas",
        (StoryStep(FOREVER, "running"),),
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
        "a draft that the platform stops after eight hours; its pod stays listed",
        (StoryStep(DRAFT_LIFETIME, "running"), StoryStep(20 * MINUTE, "stopped", COMPLETED, serves=False)),
        importance="high",
        draft=True,
        replicas=1,
        young=True,
        rounds_ids=True,
    ),
    Story(
        "server errors",
        "a service with 7 % 5xx responses",
        (StoryStep(FOREVER, "running", log="features-db: connect ECONNREFUSED 192.0.2.7:5432"),),
        importance="critical",
        server_errors=0.07,
    ),
    Story(
        "image pull",
        "a container whose image is not in the registry",
        (StoryStep(FOREVER, "errored", PULL_FAILING, serves=False),),
        replicas=1,
    ),
    Story(
        "not ready",
        "a running container that never passes its readiness probe",
        (StoryStep(FOREVER, "launching", NOT_READY, serves=False),),
        replicas=1,
    ),
    Story(
        "exit 0",
        "a container that exits with code 0 immediately and is restarted repeatedly",
        (StoryStep(FOREVER, "errored", EXITING, serves=False),),
        replicas=1,
    ),
    Story(
        "scaled to zero",
        "no replicas while there are no requests, which is normal",
        (StoryStep(FOREVER, "running", NONE, serves=False),),
        replicas=None,
        bounds=(0, 3),
        scaling=("httpRequestsConcurrency", 4.0),
        bundle="cpu.small",
    ),
    Story(
        "no bundle for it",
        "a replacement that fails before a pod exists",
        (
            StoryStep(30 * MINUTE, "running"),
            StoryStep(
                30 * MINUTE,
                "running",
                event="Replacement Errored",
                message="ResourceBundleInferenceError: no resource signal",
            ),
        ),
    ),
    Story(
        "stop and start",
        "a user stops the workload and starts it again",
        (
            StoryStep(10 * MINUTE, "running"),
            StoryStep(MINUTE, "stopping", NOT_READY, serves=False),
            StoryStep(10 * MINUTE, "stopped", COMPLETED, serves=False),
            *starting(proton=1),
            StoryStep(5 * MINUTE, "running", proton=1),
        ),
    ),
    Story(
        "suspended",
        "a workload that was suspended on purpose",
        (StoryStep(FOREVER, "suspended", COMPLETED, serves=False),),
        importance="moderate",
    ),
    Story(
        "interrupted",
        "a workload that is preempted by a more important one",
        (
            StoryStep(30 * MINUTE, "running"),
            StoryStep(10 * MINUTE, "interrupted", COMPLETED, serves=False),
            *starting(),
        ),
        importance="low",
    ),
    Story(
        "terminated",
        "a workload that was terminated for good",
        (StoryStep(FOREVER, "terminated", COMPLETED, serves=False),),
        importance="low",
    ),
    Story(
        "deleted",
        "a workload that is deleted; later another one is created",
        (
            StoryStep(15 * MINUTE, "running"),
            StoryStep(3 * MINUTE, "running", listed=False, serves=False),
            *starting(minutes=2),
        ),
        young=True,
        rounds_ids=True,
        importance="low",
    ),
    Story(
        "slow",
        "a service with 20 % of responses slower than two seconds",
        (StoryStep(FOREVER, "running"),),
        latency=900,
        slow=0.2,
    ),
    Story(
        "memory near its bundle",
        "a service that uses 95 % of its memory",
        (StoryStep(FOREVER, "running"),),
        memory_share=0.95,
    ),
    Story(
        "from the future",
        "a workload with an unknown status, type and importance",
        (StoryStep(FOREVER, "Hibernating", serves=False),),
        importance="urgent",
        type="agent",
        replicas=None,
        bounds=(1, 4),
        scaling=("vllm:kv_cache_usage_perc", 0.7),
    ),
    Story(
        "bare",
        "a workload with almost no reported fields",
        (StoryStep(FOREVER, "unknown", None, serves=False),),
        bare=True,
    ),
    Story(
        "monitor frozen",
        "a workload that stays provisioning because its pods are not reported",
        (StoryStep(FOREVER, "provisioning", None, serves=False),),
        importance="moderate",
    ),
    Story(
        "slow start",
        "a start so slow that the status is errored for a while, then recovers",
        (
            *starting(minutes=4),
            StoryStep(4 * MINUTE, "errored", NOT_READY, serves=False),
            StoryStep(20 * MINUTE, "running"),
            StoryStep(MINUTE, "stopping", NOT_READY, serves=False),
            StoryStep(5 * MINUTE, "stopped", COMPLETED, serves=False),
        ),
        replicas=1,
    ),
    Story(
        "silent revert",
        "a replacement that is reverted without an event",
        (
            StoryStep(20 * MINUTE, "running"),
            StoryStep(30, "running", candidate=("initializing", None), replacement="initializing"),
            StoryStep(4 * MINUTE, "running", candidate=("launching", PULL_FAILING), replacement="awaiting_promotion"),
            StoryStep(10 * MINUTE, "running"),
        ),
        importance="high",
    ),
    Story(
        "settings change",
        "changed settings, applied by a replacement with the same artifact",
        (
            StoryStep(20 * MINUTE, "running"),
            StoryStep(83, "running", candidate=WARMING, replacement="awaiting_promotion"),
            StoryStep(61, "running", proton=1, outgoing="running", replacement="switching"),
            StoryStep(10 * MINUTE, "running", proton=1, outgoing="draining", event="Replacement Completed"),
        ),
        settings_only=True,
    ),
    Story(
        "woken from zero",
        "no replicas for a while, then a request starts one",
        (
            StoryStep(10 * MINUTE, "running", NONE, serves=False),
            StoryStep(MINUTE, "running", CREATING._replace(live=1), serves=False),
            StoryStep(20 * MINUTE, "running", SimulatedPods(live=1)),
        ),
        replicas=None,
        bounds=(0, 3),
        scaling=("httpRequestsConcurrency", 4.0),
        bundle="cpu.small",
    ),
    Story(
        "promoted",
        "a draft that is promoted without a restart; its statistics are reset",
        # Each round starts with a new proton because a draft runs for at most eight hours.
        (StoryStep(2 * HOUR, "running", proton=1), StoryStep(1000 * HOUR, "running", proton=1, locked=True)),
        draft=True,
        replicas=1,
    ),
    Story(
        "access lost",
        "a workload that is no longer shared with the token's user, and later shared again",
        (StoryStep(20 * MINUTE, "running"), StoryStep(20 * MINUTE, "running", listed=False, hidden=True)),
        young=True,
        importance="low",
    ),
    Story(
        "consumer only",
        "a workload that the token may call, but whose details and statistics it may not read",
        (StoryStep(FOREVER, "running"),),
        consumer=True,
    ),
    Story(
        "autoscaled",
        "an autoscaled service below its maximum",
        (StoryStep(FOREVER, "running", SimulatedPods(live=3)),),
        replicas=None,
        bounds=(2, 6),
    ),
    Story(
        "not stopping",
        "a workload whose process takes more than an hour to stop",
        (
            StoryStep(10 * MINUTE, "running"),
            StoryStep(70 * MINUTE, "stopping", NOT_READY, serves=False),
            StoryStep(5 * MINUTE, "stopped", COMPLETED, serves=False),
            *starting(proton=1),
        ),
        importance="moderate",
    ),
    Story(
        "degraded",
        "a service with one of three replicas never ready",
        (StoryStep(FOREVER, "running", NOT_READY._replace(only=1)),),
        importance="high",
        replicas=3,
    ),
    Story(
        "nobody ready",
        "a workload with status running but no ready replica",
        (StoryStep(FOREVER, "running", NOT_READY, serves=False),),
        importance="critical",
    ),
    Story(
        "bundle withdrawn",
        "a service in a resource bundle that is no longer in the catalogue",
        (StoryStep(FOREVER, "running"),),
        importance="low",
        bundle="cpu.legacy",
    ),
    Story(
        "outage",
        "a running service with 90 % 5xx responses",
        (StoryStep(FOREVER, "running", log="httpx.ReadTimeout: features.test: the read operation timed out"),),
        server_errors=0.9,
    ),
    Story("callers refused", "a service with 70 % 4xx responses", (StoryStep(FOREVER, "running"),), client_errors=0.7),
    Story(
        "draining unreadable",
        "a new version that crash-loops once it serves, while the API fails to report the pods of the draining one",
        (
            StoryStep(20 * MINUTE, "running"),
            StoryStep(83, "running", candidate=WARMING, replacement="awaiting_promotion"),
            StoryStep(
                10 * MINUTE,
                "running",
                CRASHING,
                proton=1,
                outgoing="draining",
                event="Replacement Completed",
                serves=False,
                odd=(_FAILS + "#outgoing",),
            ),
            StoryStep(10 * MINUTE, "running", proton=1),
        ),
        importance="high",
    ),
    Story(
        "serving unreadable",
        "a version whose pods the API fails to report, at first beside a draining one whose pods it reports",
        (
            StoryStep(20 * MINUTE, "running"),
            StoryStep(83, "running", candidate=WARMING, replacement="awaiting_promotion"),
            StoryStep(
                10 * MINUTE,
                "running",
                proton=1,
                outgoing="draining",
                event="Replacement Completed",
                odd=(_FAILS + "#active",),
            ),
            StoryStep(10 * MINUTE, "running", proton=1, odd=(_FAILS + "#active",)),
            StoryStep(10 * MINUTE, "running", proton=1),
        ),
        importance="critical",
    ),
)
HEALTHY = tuple(story for story in STORIES if story.name in ("healthy", "autoscaled", "scaled to zero"))
"""Stories of most workloads of a large fleet."""
LASTING = tuple(story for story in STORIES if not story.young and not any(step.odd for step in story.steps))
"""Stories of the other workloads of a large fleet."""
