"""Likely causes that the pods of a workload show: of the serving version, of a new one, and of a rolled-back one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from exporter.diagnosis.facts import LISTED_SECONDS, NO_REASON, ContainerProblem, Facts

MAX_LOADING_SECONDS = 3600.0
"""A container that has been running for longer without being ready is not loading any more."""
MAX_APART_SECONDS = 60.0
"""Replicas that cease to be ready within this time do so together."""
Test = Callable[[Facts], bool]
_RoleTest = Callable[[Facts, tuple[str, ...]], bool]
"""A condition about the versions that have one of the given roles."""


class Cause(NamedTuple):
    """A likely cause: its condition, a sentence, the next step, and the alert whose runbook has more details.

    Texts and names do not depend on the workload, so that pages can be grouped by them. `observed`: what is certain of
    the text, to which `exporter.diagnosis.log_causes` adds what the log reports; empty: its log explains nothing of it.
    `first`: the start of its next step then. `starting`: it may also be still loading.
    """

    name: str
    is_met: Test
    text: str
    next_step: str
    alert: str = ""
    observed: str = ""
    first: str = ""
    starting: bool = False


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


_EVICTED = ("Evicted", "DeadlineExceeded")


def _exits(*codes: int) -> _RoleTest:
    return _ends(lambda one: one.ended not in ("OOMKilled", *_EVICTED) and one.code in codes)


def _lacks(resource: str) -> _RoleTest:
    return lambda facts, roles: any(pods.lacks == resource for pods in facts.unschedulable if pods.role in roles)


MORE_MEMORY = "Choose a bundle with more memory, or reduce memory use: fewer workers, smaller batches."
_FIX = "Check the end of its log. If a new version or new settings caused it, roll back; otherwise fix the artifact."
_FIX_FIRST = "If a new version or new settings caused it, roll back first."
_FIX_UNCHANGED = (
    "Check the end of its log. No change is reported, so check also what it depends on: services that it calls, "
    "credentials, data."
)
_FIX_NEW = (
    "Check the log of that version, fix its artifact, and start the replacement again during working hours: the "
    "previous version still serves."
)
_AGAIN = " Then start the replacement again during working hours: the previous version still serves."
_ROLL_BACK = "Roll back to the previous version; compare libraries, drivers and the image's architecture."
_NO_CAPACITY = "Wait if nodes are added on demand. Otherwise stop less important workloads, or choose another bundle."
_CAPACITY = "Stop less important workloads, or choose another bundle."


class _PodCause(NamedTuple):
    """A row of `_POD_CAUSES`: as in `Cause`, the text without a capital letter.

    `fix`: the next step for a version that was rolled back, before the replacement is started again; empty: the same.
    `observed`: as in `Cause`.
    """

    name: str
    is_met: _RoleTest
    text: str
    next_step: str
    alert: str
    fix: str = ""
    observed: str = ""


_POD_CAUSES: tuple[_PodCause, ...] = (
    _PodCause("out_of_memory", _some(lambda one: one.ended == "OOMKilled"),
     "a container was killed because it used more memory than its resource bundle provides.",
     MORE_MEMORY, "DataRobotContainerOOMKilled"),
    _PodCause("image_not_there", _pulls("manifest unknown", "not found", "notfound"),
     "the registry has no image with this name and tag.",
     "Push the image again, and the pull is retried. Or replace the artifact with a version that names another image. "
     "A restart does not help.",
     "DataRobotWorkloadImagePullFailing",
     "Push the image, or correct its name in the artifact."),
    _PodCause("image_denied", _pulls("unauthorized", "denied", "forbidden"),
     "the registry does not allow the platform to pull the image.",
     "Renew the registry's credential, and the pull is retried. A restart does not help.",
     "DataRobotWorkloadImagePullFailing",
     "Renew the registry's credential."),
    _PodCause("image_pull", _pulls(),
     "a container image cannot be pulled.",
     "Check the image name against the registry. If it is correct, check the credential; if other workloads fail too, "
     "the registry.",
     "DataRobotWorkloadImagePullFailing",
     "Check the image name and the credential in the registry."),
    _PodCause("cannot_create", _some(lambda one: one.waits in (
        "CreateContainerConfigError", "CreateContainerError", "RunContainerError")),
     "a container cannot be created: a secret, a variable, a volume or its command is missing or wrong.",
     "The message names what is missing: create it, or replace the artifact with a version that names it correctly.",
     "DataRobotContainerCannotStart",
     "The message names what is missing: create it, or correct its name in the artifact."),
    _PodCause("exit_0", _ends(lambda one: one.ended == "Completed"),
     "its process exits without an error (exit code 0): it finishes its work, or starts its server in the background.",
     "Change the artifact so that its server runs in the foreground, and replace it.",
     "DataRobotContainerCrashLooping",
     "Run the server in the foreground."),
    _PodCause("exit_command", _exits(126, 127),
     "its command cannot be run: it is not in the image, or not executable (exit code 126 or 127).",
     "Correct the command or the image in the artifact, and replace it.",
     "DataRobotContainerCrashLooping",
     "Correct the command or the image in the artifact."),
    _PodCause("exit_arguments", _exits(2),
     "its process rejects its arguments (exit code 2).",
     "Correct the command or its environment in the artifact; the end of the log names the argument.",
     "DataRobotContainerCrashLooping", observed="its process exits with an error (exit code 2)"),
    _PodCause("exit_native", _exits(139),
     "its process crashes in native code (exit code 139): a faulty library, or an image for another CPU architecture.",
     _ROLL_BACK,
     "DataRobotContainerCrashLooping",
     "Compare its libraries, drivers and the image's architecture with those of the previous version."),
    _PodCause("exit_killed", _exits(137, 143),
     "the platform kills the container, but not for memory (exit code 137 or 143): a startup or liveness probe fails.",
     "Give the probe more time, or fix the endpoint that it calls.",
     "DataRobotContainerCrashLooping"),
    _PodCause("exit_error", _exits(1),
     "its process exits with an error (exit code 1).",
     _FIX, "DataRobotContainerCrashLooping", observed="its process exits with an error (exit code 1)"),
    _PodCause("evicted", _some(lambda one: one.ended in _EVICTED),
     "a pod was evicted from its node: a more important workload needed the capacity, the node ran low on memory or "
     "disk, or it was removed.",
     "A new pod is created unless its status is interrupted: then start it again. If it must not be evicted, raise its "
     "importance.",
     "DataRobotWorkloadInterrupted",
     "If it must not be evicted, raise its importance."),
    _PodCause("crashing", _some(
        lambda one: one.waits == "CrashLoopBackOff" or (one.waits == NO_REASON and one.restarts > 0)),
     "its process exits repeatedly.",
     _FIX, "DataRobotContainerCrashLooping", observed="its process exits repeatedly"),
    _PodCause("ended", _ends(lambda one: bool(one.ended)),
     "its process exited.",
     _FIX, "DataRobotContainerCrashLooping", observed="its process exited"),
    _PodCause("no_gpu", _lacks("gpu"), "no node has a free GPU for it.", _NO_CAPACITY, "DataRobotWorkloadUnschedulable",
     _CAPACITY),
    _PodCause("no_cpu", _lacks("cpu"), "no node has enough CPU for it.", _NO_CAPACITY, "DataRobotWorkloadUnschedulable",
     _CAPACITY),
    _PodCause("no_memory", _lacks("memory"), "no node has enough memory for it.", _NO_CAPACITY,
     "DataRobotWorkloadUnschedulable", _CAPACITY),
    _PodCause("no_volume", _lacks("volume"),
     "its volume is not available on a node with free capacity: it is in another zone, or in use elsewhere.",
     "Release the volume, or ask the cluster administrators to move it.", "DataRobotWorkloadUnschedulable"),
    _PodCause("no_node", _lacks("other"), "no node accepts it: taints, affinity, or no free capacity.",
     "Read the scheduler's message. Ask the cluster administrators, or choose another bundle.",
     "DataRobotWorkloadUnschedulable"),
)  # fmt: skip


_MAY_BREAK = ("replacing", "new_settings", "replaced", "promoted", "version", "started", "start")
"""Kinds of change after which a process may fail."""
SERVING = ("active", "serving", "other")
"""Roles of versions that serve."""


def pod_causes(
    roles: tuple[str, ...], lead: str = "", prefix: str = "", also: Test | None = None, next_step: str = ""
) -> Iterator[Cause]:
    """The causes for versions with one of these roles. `lead` begins each text, `prefix` each name.

    `also`: a further condition of all of them; `next_step`: the next step for all of them.
    """
    for row in _POD_CAUSES:
        is_met = partial(_applied, row.is_met, roles)
        # Problems of a version that does not serve can wait only if the serving version is known to serve.
        cause = Cause(
            prefix + row.name,
            every(serving_pods_read, *filter(None, [also]), is_met) if lead else is_met,
            lead + row.text if lead else _capitalized(row.text),
            next_step or (_next_step(row, roles) if lead else row.next_step),
            row.alert,
            # The log has the lines of all versions: it explains only what the serving one does.
            "" if lead else _capitalized(row.observed),
            _FIX_FIRST if row.next_step is _FIX else "",
        )
        if not lead and row.next_step is _FIX:
            yield cause._replace(
                name=f"{row.name}_unchanged", is_met=every(is_met, unchanged), next_step=_FIX_UNCHANGED, first=""
            )
        yield cause


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


def _next_step(row: _PodCause, roles: tuple[str, ...]) -> str:
    """The next step for a version that does not serve."""
    if row.next_step is _FIX:
        return _FIX_NEW
    if roles == ("reverted",) or row.next_step is _ROLL_BACK:
        return (row.fix or row.next_step) + _AGAIN
    return row.next_step


def unchanged(facts: Facts) -> bool:
    """Whether the events are known and report no change in the last days that may be the cause."""
    return "events" not in facts.unknown and not any(
        change.kind in _MAY_BREAK and (change.at is None or facts.at - change.at < LISTED_SECONDS)
        for change in facts.changes
    )


def _applied(test: _RoleTest, roles: tuple[str, ...], facts: Facts) -> bool:
    return test(facts, roles)


def new_version_fails(facts: Facts) -> bool:
    """Whether the pods of a new version show any cause."""
    return any(row.is_met(facts, ("candidate",)) for row in _POD_CAUSES)


def exits_with_error(facts: Facts) -> bool:
    """Whether the process of a serving version exits with code 1."""
    return _exits(1)(facts, SERVING)


def _unready(facts: Facts, *roles: str) -> list[ContainerProblem]:
    return [one for one in facts.containers if one.role in roles and one.ready is False and not one.waits]


def unready(facts: Facts) -> bool:
    """Whether a container of a serving version runs but is not ready."""
    return bool(_unready(facts, *SERVING))


def unready_for_long(facts: Facts) -> bool:
    """Whether such containers have run for too long to be still loading."""
    return all(
        one.since is not None and facts.at - one.since > MAX_LOADING_SECONDS and not one.ended
        for one in _unready(facts, *SERVING)
    )


def version_unready(role: str) -> Test:
    """Whether a container of a version that does not serve runs, or ran, but is not ready."""
    return lambda facts: bool(_unready(facts, role))


def lost(facts: Facts) -> bool:
    """Whether a running container of a serving version was ready and no longer is."""
    return any(one.lost and not one.waits for one in facts.containers if one.role in SERVING)


def at_once(facts: Facts) -> bool:
    """Whether several of them ceased to be ready within a minute."""
    gone = [one for one in facts.containers if one.lost and not one.waits and one.role in SERVING]
    first = min((one.since for one in gone if one.since is not None), default=0.0)
    last = max((one.latest for one in gone if one.latest is not None), default=0.0)
    return sum(one.pods for one in gone) > 1 and last - first <= MAX_APART_SECONDS


def cut_off(facts: Facts) -> bool:
    """Whether the cluster has lost contact with the node of a pod of a serving version."""
    return any(one.cut_off for one in facts.containers if one.role in SERVING)


def creating(facts: Facts) -> bool:
    """Whether a container waits to be created."""
    return any(one.waits in ("ContainerCreating", "PodInitializing", NO_REASON) for one in facts.containers)
