"""Likely causes that the pods of a workload show: of the serving version, of a new one, and of a rolled-back one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from exporter.diagnosis.facts import NO_REASON, ContainerProblem, Facts

Test = Callable[[Facts], bool]
_RoleTest = Callable[[Facts, tuple[str, ...]], bool]
"""A condition about the versions that have one of the given roles."""


class Cause(NamedTuple):
    """A likely cause: its condition, a sentence, the next step, and the alert whose runbook has more details.

    Texts and names do not depend on the workload, so that pages can be grouped by them.
    """

    name: str
    is_met: Test
    text: str
    next_step: str
    alert: str = ""


def every(*tests: Test) -> Test:
    """Whether all of the conditions are met."""
    return lambda facts: all(test(facts) for test in tests)


def serving_pods_read(facts: Facts) -> bool:
    """Whether the pods of the serving version could be read. Otherwise it is unknown whether it serves."""
    return not facts.unreadable


def _some(test: Callable[[ContainerProblem], bool]) -> _RoleTest:
    return lambda facts, roles: any(test(container) for container in facts.containers if container.role in roles)


PULLS = ("ImagePullBackOff", "ErrImagePull", "InvalidImageName")


def _pulls(*words: str) -> _RoleTest:
    return _some(
        lambda one: one.waits in PULLS and (not words or any(word in one.message.casefold() for word in words))
    )


_LOOPS = "DataRobotContainerCrashLooping"


def _ends(test: Callable[[ContainerProblem], bool]) -> _RoleTest:
    """Whether a container ended so. One that is ready counts only while containers end again and again."""

    def is_met(facts: Facts, roles: tuple[str, ...]) -> bool:
        again = _LOOPS in facts.met
        return _some(lambda one: (again or one.ready is not True) and test(one))(facts, roles)

    return is_met


def _exits(*codes: int) -> _RoleTest:
    return _ends(lambda one: one.ended != "OOMKilled" and one.code in codes)


def _lacks(resource: str) -> _RoleTest:
    return lambda facts, roles: any(pods.lacks == resource for pods in facts.unschedulable if pods.role in roles)


_FIX = "Check the end of its log. If a new version or new settings caused it, roll back; otherwise fix the artifact."
_FIX_NEW = (
    "Check the log of that version, fix its artifact, and start the replacement again during working hours: the old "
    "version still serves."
)
_NO_CAPACITY = "Wait if nodes are added on demand. Otherwise stop less important workloads, or choose another bundle."
_POD_CAUSES: tuple[tuple[str, _RoleTest, str, str, str], ...] = (
    ("out_of_memory", _some(lambda one: one.ended == "OOMKilled"),
     "a container was killed because it used more memory than its resource bundle provides.",
     "Choose a bundle with more memory, or reduce memory use: fewer workers, smaller batches.",
     "DataRobotContainerOOMKilled"),
    ("image_not_there", _pulls("manifest unknown", "not found", "notfound"),
     "the registry has no image with this name and tag.",
     "Push the image again, and the pull is retried. Or replace the artifact with a version that names another image. "
     "A restart does not help.",
     "DataRobotWorkloadImagePullFailing"),
    ("image_denied", _pulls("unauthorized", "denied", "forbidden"),
     "the registry does not allow the platform to pull the image.",
     "Renew the registry's credential, and the pull is retried. A restart does not help.",
     "DataRobotWorkloadImagePullFailing"),
    ("image_pull", _pulls(),
     "a container image cannot be pulled.",
     "Check the image name against the registry. If it is correct, check the credential; if other workloads fail too, "
     "the registry.",
     "DataRobotWorkloadImagePullFailing"),
    ("cannot_create", _some(lambda one: one.waits in (
        "CreateContainerConfigError", "CreateContainerError", "RunContainerError")),
     "a container cannot be created: a secret, a variable, a volume or its command is missing or wrong.",
     "The message names what is missing: create it, or replace the artifact with a version that names it correctly.",
     "DataRobotContainerCannotStart"),
    ("exit_0", _ends(lambda one: one.ended == "Completed"),
     "its process exits without an error (exit code 0): it finishes its work, or starts its server in the background.",
     "Run the server in the foreground, then replace the artifact.",
     "DataRobotContainerCrashLooping"),
    ("exit_command", _exits(126, 127),
     "its command cannot be run: it is not in the image, or not executable (exit code 126 or 127).",
     "Correct the command or the image in the artifact, and replace it.",
     "DataRobotContainerCrashLooping"),
    ("exit_arguments", _exits(2),
     "its process rejects its arguments (exit code 2).",
     "Correct the command or its environment in the artifact; the end of the log names the argument.",
     "DataRobotContainerCrashLooping"),
    ("exit_native", _exits(139),
     "its process crashes in native code (exit code 139): a faulty library, or an image for another CPU architecture.",
     "Roll back to the previous version; compare libraries, drivers and the image's architecture.",
     "DataRobotContainerCrashLooping"),
    ("exit_killed", _exits(137, 143),
     "the platform kills the container, but not for memory (exit code 137 or 143): a startup or liveness probe fails.",
     "Give the probe more time, or fix the endpoint that it calls.",
     "DataRobotContainerCrashLooping"),
    ("exit_error", _exits(1),
     "its process exits with an error (exit code 1).",
     _FIX, "DataRobotContainerCrashLooping"),
    ("evicted", _some(lambda one: one.ended in ("Evicted", "DeadlineExceeded")),
     "a pod was evicted from its node: a more important workload needed the capacity, or the node was removed.",
     "A new pod is created unless its status is interrupted: then start it again. If it must not be evicted, raise its "
     "importance.",
     "DataRobotWorkloadInterrupted"),
    ("crashing", _some(lambda one: one.waits == "CrashLoopBackOff" or (one.waits == NO_REASON and one.restarts > 0)),
     "its process exits repeatedly.",
     _FIX, "DataRobotContainerCrashLooping"),
    ("ended", _ends(lambda one: bool(one.ended)),
     "its process exited.",
     _FIX, "DataRobotContainerCrashLooping"),
    ("no_gpu", _lacks("gpu"), "no node has a free GPU for it.", _NO_CAPACITY, "DataRobotWorkloadUnschedulable"),
    ("no_cpu", _lacks("cpu"), "no node has enough CPU for it.", _NO_CAPACITY, "DataRobotWorkloadUnschedulable"),
    ("no_memory", _lacks("memory"), "no node has enough memory for it.", _NO_CAPACITY,
     "DataRobotWorkloadUnschedulable"),
    ("no_volume", _lacks("volume"),
     "its volume is not available on a node with free capacity: it is in another zone, or in use elsewhere.",
     "Release the volume, or ask the cluster administrators to move it.", "DataRobotWorkloadUnschedulable"),
    ("no_node", _lacks("other"), "no node accepts it: taints, affinity, or no free capacity.",
     "Read the scheduler's message. Ask the cluster administrators, or choose another bundle.",
     "DataRobotWorkloadUnschedulable"),
)  # fmt: skip


SERVING = ("active", "serving", "other")
"""Roles of versions that serve."""


def pod_causes(roles: tuple[str, ...], lead: str = "", prefix: str = "") -> Iterator[Cause]:
    """The causes for versions with one of these roles. `lead` begins each text, `prefix` each name."""
    for name, test, text, step, alert in _POD_CAUSES:
        is_met = partial(_applied, test, roles)
        # Problems of a version that does not serve can wait only if the serving version is known to serve.
        yield Cause(
            prefix + name,
            every(serving_pods_read, is_met) if lead else is_met,
            lead + text if lead else text[0].upper() + text[1:],
            _FIX_NEW if lead and step is _FIX else step,
            alert,
        )


def _applied(test: _RoleTest, roles: tuple[str, ...], facts: Facts) -> bool:
    return test(facts, roles)


def new_version_fails(facts: Facts) -> bool:
    """Whether the pods of a new version show any cause."""
    return any(test(facts, ("candidate",)) for _, test, *_ in _POD_CAUSES)


def exits_with_error(facts: Facts) -> bool:
    """Whether the process of a serving version exits with code 1."""
    return _exits(1)(facts, SERVING)


def unready(facts: Facts) -> bool:
    """Whether a container of a serving version runs but is not ready."""
    return any(one.ready is False and not one.waits for one in facts.containers if one.role in SERVING)


def lost(facts: Facts) -> bool:
    """Whether a running container of a serving version was ready and no longer is."""
    return any(one.lost and not one.waits for one in facts.containers if one.role in SERVING)


def creating(facts: Facts) -> bool:
    """Whether a container waits to be created."""
    return any(one.waits in ("ContainerCreating", "PodInitializing", NO_REASON) for one in facts.containers)
