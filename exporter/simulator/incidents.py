"""INCIDENTS: more stories, mostly of incidents that occur on real servers; the demo does not show them.

They are for tests of what is paged. Each happens once; most of them begin and end well.
"""

from __future__ import annotations

from exporter.simulator.stories import (
    COMPLETED,
    CRASHING,
    CREATING,
    FOREVER,
    HOUR,
    MINUTE,
    NONE,
    NOT_READY,
    OOM,
    PULL_FAILING,
    READY,
    STORIES,
    UNSCHEDULABLE,
    WARMING,
    SimulatedPods,
    Story,
    StoryStep,
    starting,
)

FAILED = SimulatedPods("failed", "terminated", ready=False, reason="Error", exit_code=1)
KILLED = FAILED._replace(exit_code=137)
"""Pods of a version that was stopped and did not end in time."""
BACKING_OFF = CRASHING._replace(ended=True, restart_every=0.0, log="KeyError: 'region'")
OOM_RESTARTED = NOT_READY._replace(ended=True, last=("OOMKilled", 137), only=1)
CUT_OFF = NOT_READY._replace(cut_off=True)
"""Pods on a node that the cluster has lost contact with."""
UNKNOWN = SimulatedPods("unknown", "unknown", ready=None)
"""Pods of which the platform knows nothing but that they exist."""
STATUS_DETAILS = "/workloads/{id}/protons/{pid}/statusDetails"


def _running(minutes: float, *, proton: int = 0) -> StoryStep:
    return StoryStep(minutes * MINUTE, "running", proton=proton)


def _failing_rollout(
    status: str = "launching", pods: SimulatedPods = CRASHING, *, minutes: float = 4.0
) -> tuple[StoryStep, ...]:
    """The steps of a replacement whose candidate does not start."""
    return (
        StoryStep(30, "running", candidate=("initializing", None), replacement="initializing"),
        StoryStep(minutes * MINUTE, "running", candidate=(status, pods), replacement="awaiting_promotion"),
    )


def _rollout(*, proton: int = 1) -> tuple[StoryStep, ...]:
    """The steps of a replacement that completes."""
    return (
        StoryStep(27, "running", candidate=("initializing", None), replacement="initializing"),
        StoryStep(83, "running", candidate=WARMING, replacement="awaiting_promotion"),
        StoryStep(61, "running", proton=proton, outgoing="running", replacement="switching"),
        StoryStep(10 * MINUTE, "running", proton=proton, outgoing="draining", event="Replacement Completed"),
        StoryStep(2 * MINUTE, "running", proton=proton, outgoing="stopping", outgoing_pods=KILLED),
    )


def _stop(pods: SimulatedPods = COMPLETED, *, minutes: float) -> tuple[StoryStep, ...]:
    return (
        StoryStep(MINUTE, "stopping", NOT_READY, serves=False),
        StoryStep(minutes * MINUTE, "stopped", pods, serves=False),
    )


_ERRORED = "the candidate is stopping because its pods are errored"
_ROWS: tuple[Story, ...] = (
    # Short recoveries: one incident until the workload has been well for long enough.
    Story(
        "killed every six minutes",
        "one of three replicas is OOM-killed every six minutes, ten times",
        (
            _running(10),
            *(StoryStep(30, "running", OOM_RESTARTED), StoryStep(330, "running")) * 10,
            _running(20),
        ),
        importance="high",
        replicas=3,
    ),
    Story(
        "serves three of eight minutes",
        "a process that serves for three minutes, exits, and backs off for five, eight times",
        (
            *(_running(3), StoryStep(5 * MINUTE, "errored", BACKING_OFF, serves=False)) * 8,
            _running(20),
        ),
        importance="critical",
        replicas=1,
    ),
    Story(
        "preempted again and again",
        "a workload that is preempted for four minutes of every seven, eight times",
        (
            _running(10),
            *(
                StoryStep(4 * MINUTE, "interrupted", COMPLETED, serves=False),
                StoryStep(30, "submitted", None, serves=False),
                _running(2.5),
            )
            * 8,
            _running(10),
        ),
        importance="moderate",
        replicas=1,
    ),
    Story(
        "crash loop with minimum zero",
        "a service with minimum 0 whose only replica runs for four seconds of every minute",
        (
            StoryStep(10 * MINUTE, "running", SimulatedPods(live=1)),
            *(
                StoryStep(56, "errored", BACKING_OFF._replace(live=1), serves=False),
                StoryStep(4, "running", SimulatedPods(live=1)),
            )
            * 20,
            StoryStep(20 * MINUTE, "running", SimulatedPods(live=1)),
        ),
        importance="high",
        replicas=None,
        bounds=(0, 3),
        scaling=("httpRequestsConcurrency", 4.0),
        bundle="cpu.small",
    ),
    Story(
        "status flaps",
        "a status that alternates between errored and running each minute, while all replicas are ready",
        (_running(10), *(StoryStep(MINUTE, "errored"), _running(1)) * 15, _running(10)),
        importance="high",
    ),
    # Data of different age: pods recover before the status does.
    Story(
        "sidecar heals",
        "a sidecar whose image cannot be pulled for 20 minutes; the status recovers after the pods",
        (
            _running(10),
            StoryStep(20 * MINUTE, "errored", PULL_FAILING._replace(phase="running"), serves=False),
            StoryStep(25, "errored"),
            _running(20),
        ),
        importance="high",
        sidecar=True,
    ),
    Story(
        "status recovers late",
        "a crash loop of all replicas that ends; the status recovers 45 seconds after the pods",
        (
            _running(10),
            StoryStep(20 * MINUTE, "errored", CRASHING, serves=False),
            StoryStep(45, "errored"),
            _running(20),
        ),
        importance="critical",
    ),
    # Requests.
    Story(
        "every answer an error",
        "a service that responds to all requests with 5xx from 10:12 to 27:20 min",
        (
            StoryStep(612, "running"),
            StoryStep(1028, "running", server_errors=1.0, log="KeyError: 'customer_id'"),
            _running(60),
        ),
        importance="critical",
        replicas=3,
    ),
    Story(
        "node lost",
        "a service whose node is lost from 10:00 to 63:44 min; all requests fail meanwhile",
        (
            _running(10),
            StoryStep(3224, "launching", CUT_OFF, server_errors=1.0),
            _running(40),
        ),
        importance="critical",
    ),
    Story(
        "cold start refused",
        "a start from zero in which 28 requests are answered with 503, then few requests",
        (
            StoryStep(10 * MINUTE, "running", NONE, serves=False),
            StoryStep(MINUTE, "running", CREATING._replace(live=1), server_errors=1.0),
            StoryStep(60 * MINUTE, "running", SimulatedPods(live=1), load=0.1),
        ),
        importance="critical",
        replicas=None,
        bounds=(0, 3),
        scaling=("httpRequestsConcurrency", 4.0),
        bundle="cpu.small",
        requests=28.0,
        server_errors=0.0,
    ),
    Story(
        "credential expired",
        "a service that fails a third of its requests since a credential expired, until it is restarted",
        (
            _running(20),
            StoryStep(
                40 * MINUTE, "running", server_errors=0.35, log="401 Client Error: Unauthorized: the token has expired"
            ),
            *_stop(minutes=2),
            *starting(minutes=3),
            _running(20),
        ),
        importance="high",
    ),
    Story(
        "running but deaf",
        "a start without a readiness probe: the status is running, and all requests fail for 20 minutes",
        (
            *starting(minutes=3),
            StoryStep(20 * MINUTE, "running", server_errors=1.0, log="loading model weights: shard 3 of 8"),
            _running(30),
            *_stop(minutes=5),
        ),
        importance="critical",
    ),
    # It served and serves no longer, whatever the status says.
    Story(
        "readiness lost",
        "both replicas are no longer ready, and the status becomes launching",
        (
            StoryStep(2200, "running"),
            StoryStep(25 * MINUTE, "launching", NOT_READY, serves=False),
            _running(10),
        ),
        importance="high",
    ),
    Story(
        "short loss of readiness",
        "both replicas are not ready for 90 seconds",
        (_running(10), StoryStep(90, "running", NOT_READY, serves=False), _running(30)),
        importance="critical",
    ),
    Story(
        "quarantined",
        "an unknown status, and all pods have failed",
        (_running(10), StoryStep(30 * MINUTE, "Quarantined", FAILED, serves=False), _running(10)),
        importance="critical",
    ),
    Story(
        "failed",
        "a status of older servers, failed, with failed pods",
        (_running(10), StoryStep(30 * MINUTE, "failed", FAILED, serves=False), _running(10)),
        importance="high",
    ),
    Story(
        "pending for an hour",
        "a start that stays pending for an hour because no node has room",
        (StoryStep(HOUR, "pending", UNSCHEDULABLE, serves=False), *starting(minutes=3), _running(15)),
        importance="moderate",
        replicas=1,
    ),
    Story(
        "scheduled for an hour",
        "a start that stays scheduled for an hour because its pods are not reported",
        (StoryStep(HOUR, "scheduled", None, serves=False), *starting(minutes=3), _running(15)),
        importance="high",
    ),
    Story(
        "updating while it serves",
        "a service whose status is updating for ten minutes, while all replicas are ready",
        (_running(10), StoryStep(10 * MINUTE, "updating"), _running(20)),
        importance="critical",
    ),
    Story(
        "pods unknown",
        "a workload whose pods are in phase unknown, with unknown readiness",
        (_running(10), StoryStep(40 * MINUTE, "unknown", UNKNOWN, serves=False), _running(10)),
        importance="high",
        replicas=1,
    ),
    Story(
        "importance raised",
        "a workload of low importance that fails; it becomes critical after 20 minutes",
        (
            StoryStep(10 * MINUTE, "running", importance="low"),
            StoryStep(20 * MINUTE, "errored", CRASHING, serves=False, importance="low"),
            StoryStep(20 * MINUTE, "errored", CRASHING, serves=False),
            _running(10),
        ),
        importance="critical",
    ),
    Story(
        "pods not reported",
        "a crash loop that ends; then the pods are not reported for 15 minutes, then again, the same as before",
        (
            _running(10),
            StoryStep(20 * MINUTE, "errored", CRASHING, serves=False),
            _running(10),
            StoryStep(15 * MINUTE, "running", odd=(f"no-content@{STATUS_DETAILS}",)),
            _running(30),
        ),
        importance="high",
    ),
    Story(
        "suspended by the platform",
        "an important service that is suspended for 40 minutes",
        (
            _running(10),
            StoryStep(40 * MINUTE, "suspended", COMPLETED, serves=False),
            *starting(minutes=3),
            _running(10),
        ),
        importance="high",
    ),
    Story(
        "killed at its stop",
        "a stop after which the pods are failed with exit code 137",
        (_running(10), *_stop(KILLED, minutes=20), *starting(minutes=3, proton=1), _running(10, proton=1)),
        importance="moderate",
    ),
    Story(
        "image pruned",
        "an image that is no longer in the registry when its workload is started again",
        (
            _running(10),
            *_stop(minutes=5),
            StoryStep(20, "submitted", None, serves=False),
            StoryStep(30 * MINUTE, "errored", PULL_FAILING._replace(reason="ErrImagePull"), serves=False),
            *starting(minutes=3, proton=1),
            _running(10, proton=1),
        ),
        importance="high",
    ),
    # Replacements.
    Story(
        "candidate crashes",
        "a failed replacement whose record stays for a minute after its event",
        (
            _running(20),
            *_failing_rollout(),
            StoryStep(
                MINUTE,
                "running",
                candidate=("stopping", CRASHING),
                replacement="errored",
                event="Replacement Errored",
                message=_ERRORED,
                evidence=True,
            ),
            _running(30),
        ),
        importance="high",
    ),
    Story(
        "candidate dropped before its event",
        "a failed replacement whose record is gone for a minute before its event is recorded",
        (
            _running(20),
            *_failing_rollout(),
            _running(1),
            StoryStep(30 * MINUTE, "running", event="Replacement Errored", message=_ERRORED, evidence=True),
        ),
        importance="high",
    ),
    Story(
        "retried at once",
        "a failed replacement that is retried after twelve seconds and completes",
        (
            _running(20),
            *_failing_rollout(),
            StoryStep(12, "running", event="Replacement Failed", message=_ERRORED, evidence=True, cleanup=8 * MINUTE),
            *_rollout(),
            _running(20, proton=1),
        ),
        importance="critical",
    ),
    Story(
        "failure with a moved timestamp",
        "a failed replacement whose event gets a new timestamp by a cleanup two hours later",
        (
            _running(20),
            *_failing_rollout(),
            StoryStep(
                3 * HOUR, "running", event="Replacement Errored", message=_ERRORED, evidence=True, cleanup=2 * HOUR
            ),
        ),
        importance="critical",
    ),
    Story(
        "two records of one failure",
        "a failed replacement whose record stays for 20 minutes, while its event has another id",
        (
            _running(20),
            *_failing_rollout(),
            StoryStep(
                20 * MINUTE,
                "running",
                replacement="errored",
                event="Replacement Errored",
                message=_ERRORED,
                evidence=True,
            ),
            _running(20),
        ),
        importance="critical",
    ),
    Story(
        "cancelled",
        "a replacement that a person cancels; an event reports it",
        (
            _running(20),
            StoryStep(27, "running", candidate=("initializing", None), replacement="initializing"),
            StoryStep(2 * MINUTE, "running", candidate=WARMING, replacement="awaiting_promotion"),
            StoryStep(40, "running", candidate=("stopping", KILLED), replacement="cancelling"),
            StoryStep(30 * MINUTE, "running", event="Replacement Cancelled", message="cancelled by a user"),
        ),
        importance="critical",
    ),
    Story(
        "cancelled without a trace",
        "a replacement with a healthy candidate that a person cancels; nothing reports it",
        (
            _running(20),
            StoryStep(27, "running", candidate=("initializing", None), replacement="initializing"),
            StoryStep(2 * MINUTE, "running", candidate=("warming", READY), replacement="awaiting_promotion"),
            _running(30),
        ),
        importance="critical",
    ),
    Story(
        "long warm-up",
        "a replacement with a configured warm-up of an hour that completes",
        (
            _running(10),
            StoryStep(27, "running", candidate=("initializing", None), replacement="initializing"),
            StoryStep(62 * MINUTE, "running", candidate=("warming", READY), replacement="awaiting_promotion"),
            StoryStep(61, "running", proton=1, outgoing="running", replacement="switching"),
            StoryStep(10 * MINUTE, "running", proton=1, outgoing="draining", event="Replacement Completed"),
            _running(10, proton=1),
        ),
        importance="critical",
        warmup=60,
    ),
    Story(
        "replacement without an end",
        "a replacement whose candidate is not ready for an hour, then reverted",
        (
            _running(10),
            *_failing_rollout("launching", NOT_READY, minutes=60),
            StoryStep(
                20 * MINUTE, "running", event="Replacement Errored", message="the candidate is not ready in time"
            ),
        ),
        importance="high",
        renumbered=False,
    ),
    Story(
        "initializing while it serves",
        "a replacement during which the status of the serving workload is initializing",
        (
            _running(20),
            StoryStep(27, "initializing", candidate=("initializing", None), replacement="initializing"),
            StoryStep(83, "initializing", candidate=WARMING, replacement="awaiting_promotion"),
            StoryStep(61, "initializing", proton=1, outgoing="running", replacement="finalizing"),
            StoryStep(10 * MINUTE, "running", proton=1, outgoing="draining", event="Replacement Completed"),
            _running(20, proton=1),
        ),
        importance="critical",
    ),
    Story(
        "draining refused",
        "a new version that crash-loops once it serves, while the pods of the draining one may not be read",
        (
            _running(20),
            StoryStep(83, "running", candidate=WARMING, replacement="awaiting_promotion"),
            StoryStep(
                10 * MINUTE,
                "running",
                CRASHING,
                proton=1,
                outgoing="draining",
                event="Replacement Completed",
                serves=False,
                odd=(f"forbidden@{STATUS_DETAILS}#outgoing",),
            ),
            _running(10, proton=1),
        ),
        importance="critical",
    ),
    # Several versions and other places.
    Story(
        "two versions for good",
        "a highly available service of which two versions with one replica each serve for good",
        (StoryStep(FOREVER, "running", outgoing="running"),),
        importance="critical",
        replicas=1,
    ),
    Story(
        "retiring version",
        "a service with a second version of role retiring that serves for good",
        (StoryStep(FOREVER, "running", outgoing="running"),),
        importance="critical",
        replicas=1,
        second_role="retiring",
    ),
    Story(
        "in an enclave",
        "a service in an enclave, whose endpoint is on another host; a replacement is refused",
        (
            _running(20),
            StoryStep(
                30 * MINUTE,
                "running",
                event="Replacement Errored",
                message="no recorded placement for the enclave of this workload",
            ),
        ),
        importance="high",
        enclave="north",
    ),
    Story(
        "bundle for jobs",
        "a service in a resource bundle that the catalogue offers to jobs only",
        (StoryStep(FOREVER, "running"),),
        importance="low",
        bundle="cpu.job",
    ),
    # What is normal.
    Story(
        "autoscaler at work",
        "an autoscaler that adds and removes replicas",
        tuple(
            step
            for live in (3, 5, 6, 4)
            for step in (
                StoryStep(MINUTE, "running", CREATING._replace(live=live, only=1)),
                StoryStep(9 * MINUTE, "running", SimulatedPods(live=live)),
            )
        ),
        importance="critical",
        replicas=None,
        bounds=(2, 6),
    ),
    Story(
        "node drained",
        "one replica after another moves to another node; two of three are always ready",
        (
            _running(10),
            *(
                StoryStep(20, "running", UNSCHEDULABLE._replace(only=1)),
                StoryStep(70, "running", CREATING._replace(only=1)),
                StoryStep(30, "running"),
            )
            * 3,
            _running(30),
        ),
        importance="critical",
        replicas=3,
    ),
    Story(
        "deleted after it failed to start",
        "a workload that fails at its creation and is deleted a minute later",
        (
            StoryStep(20 * MINUTE, "running", listed=False, serves=False),
            StoryStep(20, "submitted", None, serves=False),
            StoryStep(MINUTE, "errored", FAILED, serves=False),
            StoryStep(20 * MINUTE, "running", listed=False, serves=False),
        ),
        importance="high",
        young=True,
        rounds_ids=True,
    ),
    Story(
        "out of memory at night",
        "a replica that is OOM-killed twice in two hours, with two others that serve",
        (_running(10), StoryStep(2 * HOUR, "running", OOM._replace(restart_every=3000)), _running(30)),
        importance="critical",
        replicas=3,
    ),
)
INCIDENTS = tuple(story._replace(once=True) for story in _ROWS)
ALL_STORIES = (*STORIES, *INCIDENTS)
