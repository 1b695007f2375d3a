"""Why a workload is in trouble: the facts about it as values, and CAUSES, in which the first row that holds counts.

What is not told is None, or stands in `Facts.untold`; free text of the API is scrubbed. Times are seconds since the
epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

from exporter.alerting.evaluation import ActiveAlert
from exporter.fleet.episodes import ObservedEvent
from exporter.fleet.workload_state import Unread

RECENT = 6 * 3600.0
"""What changed so long ago may still be the cause."""
NO_REASON = "not reported"
"""The waiting reason of a container for which none is reported."""
SOME_ERRORS, MOST_ERRORS, _SLOW, _REFUSED, FEWEST = 0.02, 0.5, 0.1, 0.5, 20
"""Shares of requests from which on they are told of, and the fewest requests that prove one."""


# -- what is known


class State(NamedTuple):
    """The status and its group. `since` None: nobody tells; `longer`: since before that, when it was first seen.

    `failures`: how often it was seen to fail.
    """

    status: str
    group: str
    since: float | None
    longer: bool = False
    failures: int = 0


class Replicas(NamedTuple):
    """Pods of the version that serves; None: not told. `zero`: the autoscaler has taken all away, which is no fault."""

    ready: int | None
    unknown: int
    live: int | None
    least: int | None
    most: int | None
    zero: bool


class Trouble(NamedTuple):
    """Containers of one name that are in the same trouble, in so many `pods`. `restarts`: the most of one of them.

    `role`: that of their version, or ``reverted`` where an event tells of one that was taken back. `waits`: the reason,
    empty where it does not wait; `ended`, `code` and `at` are about its last end. `since`: since when its pod is not
    ready; `lost`: it was ready before, in this very run. `pod`: the name of one of them. `image`: where that is wrong.
    """

    container: str
    role: str
    waits: str
    ready: bool | None
    ended: str
    code: int | None
    at: float | None
    restarts: int
    pods: int
    message: str
    since: float | None = None
    lost: bool = False
    pod: str = ""
    image: str = ""


class Lack(NamedTuple):
    """So many `pods` of a version find no node: `what` is lacking, and the scheduler's words."""

    role: str
    what: str
    pods: int
    message: str


class Change(NamedTuple):
    """What changed: a key of `CHANGES`, when (None: not told), and more words where there are some."""

    kind: str
    at: float | None
    words: str = ""


class Requests(NamedTuple):
    """Five minutes to `end`; shares are 0..1, None: not told. `hour`: the share of server errors in an hour."""

    end: float
    total: float
    server_errors: float | None
    client_errors: float | None
    slow: float | None
    p95: float | None
    hour: float | None


class Facts(NamedTuple):
    """All that is known of one workload at `at`. `met`: alerts whose condition holds, whether they are wanted or not.

    `untold`: part -> why it is not known. `gone`: why it is listed no more. `limits`: (kind, words). `draft_over`:
    it is stopped, for a draft has had its time. `rolling`: it is being replaced. `snapshot`: whether pods were told of
    the version that serves; of any, where none is known to serve. `unread`: versions whose pods could not be read;
    `unreadable`: why those of the version that serves could not, a key of `UNREAD_REASONS`, empty if they could.
    """

    at: float
    account: str
    id: str
    name: str
    importance: str
    state: State
    replicas: Replicas
    containers: tuple[Trouble, ...]
    lacks: tuple[Lack, ...]
    event: ObservedEvent | None
    changes: tuple[Change, ...]
    requests: Requests | None
    limits: tuple[tuple[str, str], ...]
    draft_ends: float | None
    untold: Mapping[str, str]
    alerts: tuple[ActiveAlert, ...]
    met: frozenset[str]
    gone: str = ""
    draft_over: bool = False
    rolling: bool = False
    snapshot: bool = False
    unread: tuple[Unread, ...] = ()
    unreadable: str = ""

    @property
    def readiness_unknown(self) -> bool:
        """Whether too few replicas are known to be ready, and others are there of which it is not known."""
        told = self.replicas
        return bool(told.unknown) and (told.ready or 0) < max(1, told.least or 0)

    @property
    def known(self) -> bool:
        """Whether enough is known to say whether it is well; one that is off has no pods to be known."""
        if self.gone or self.state.group == "off" or self.state.status == "terminated":
            return True
        if self.state.group == "indeterminate" or self.unreadable:
            return False
        return self.state.group != "up" or not (self.replicas.ready is None or self.readiness_unknown)


CHANGES = {
    "replacing": "a new version is being rolled out",
    "new_settings": "new settings are being rolled out",
    "replaced": "a replacement completed",
    "reverted": "a replacement failed and was rolled back",
    "promoted": "its draft was promoted",
    "reset": "its statistics were reset: it was promoted, or they were cleared",
    "version": "its newest version was created",
    "started": "it was started",
    "stopped": "it was stopped",
    "scaled": "it was scaled",
    "failure": "a failure ended",
    "start": "a start ended",
    "stop": "it finished stopping",
}
ABOUT: Mapping[str, str] = {
    "replaced": "rollout",
    "reverted": "rollout",
    "promoted": "reset",
    "start": "started",
    "stop": "stopped",
}
"""What is the same change, told twice, or its opposite."""


PARTS = {
    "list": "its item in the workload list",
    "pods": "its pods",
    "events": "its events",
    "replacement": "its replacement",
    "stats_5m": "its requests",
    "usage": "its CPU and memory usage",
    "bundles": "the catalogue of resource bundles",
}
"""Parts of the details, and what they are called."""


class Cause(NamedTuple):
    """What may be the cause: what `is_met` then, the sentence, what to do next, the alert whose runbook tells more.

    Sentences and names are the same whatever the workload: pages can be grouped by them.
    """

    name: str
    is_met: Callable[[Facts], bool]
    says: str
    next: str
    alert: str = ""


class Diagnosis(NamedTuple):
    """The facts, the row of `CAUSES` that holds of them, links (pairs of a text and a URL), and its log, if wanted."""

    facts: Facts
    cause: Cause
    links: tuple[tuple[str, str], ...]
    log: str = ""

    @property
    def severity(self) -> str:
        """The loudest of what holds: critical, warning, info, or empty."""
        told = {each.severity for each in self.facts.alerts}
        return next((each for each in ("critical", "warning", "info") if each in told), "")


# -- why


_Of = Callable[[Facts, tuple[str, ...]], bool]
"""Whether something holds of the versions of some roles."""


def _some(test: Callable[[Trouble], bool]) -> _Of:
    return lambda facts, roles: any(test(one) for one in facts.containers if one.role in roles)


PULLS = ("ImagePullBackOff", "ErrImagePull", "InvalidImageName")


def _pulls(*words: str) -> _Of:
    return _some(
        lambda one: one.waits in PULLS and (not words or any(word in one.message.casefold() for word in words))
    )


def _exits(*codes: int) -> _Of:
    return _some(lambda one: one.ready is not True and one.ended != "OOMKilled" and one.code in codes)


def _lacking(what: str) -> _Of:
    return lambda facts, roles: any(one.what == what for one in facts.lacks if one.role in roles)


_MEND = "Check the end of its log. If a new version or new settings caused it, roll back; otherwise fix the artifact."
_MEND_NEW = (
    "Check the log of that version, fix its artifact, and replace again in working hours: the old version still serves."
)
_ROOM = "Wait if nodes are added on demand. Otherwise stop less important workloads, or choose another bundle."
_OF_PODS: tuple[tuple[str, _Of, str, str, str], ...] = (
    ("out_of_memory", _some(lambda one: one.ended == "OOMKilled"),
     "a container was killed because it used more memory than its resource bundle provides.",
     "Choose a bundle with more memory, or reduce memory use: fewer workers, smaller batches.",
     "DataRobotContainerOOMKilled"),
    ("image_not_there", _pulls("manifest unknown", "not found", "notfound"),
     "the registry has no image with this name and tag.",
     "Push the image, or correct its name in the artifact, then replace the artifact.",
     "DataRobotWorkloadImagePullFailing"),
    ("image_denied", _pulls("unauthorized", "denied", "forbidden"),
     "the registry does not allow the platform to pull the image.",
     "Renew the registry credential.",
     "DataRobotWorkloadImagePullFailing"),
    ("image_pull", _pulls(),
     "a container image cannot be pulled.",
     "Check the image name against the registry. If it is correct, check the credential; if other workloads fail too, "
     "the registry.",
     "DataRobotWorkloadImagePullFailing"),
    ("cannot_create", _some(lambda one: one.waits in (
        "CreateContainerConfigError", "CreateContainerError", "RunContainerError")),
     "a container cannot be created: a secret, a variable, a volume or its command is missing or wrong.",
     "The message names what is missing: create it, or correct its name in the artifact.",
     "DataRobotContainerCannotStart"),
    ("exit_0", _some(lambda one: one.ready is not True and one.ended == "Completed"),
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
     "its process exits with an error soon after each start (exit code 1).",
     _MEND, "DataRobotContainerCrashLooping"),
    ("evicted", _some(lambda one: one.ended in ("Evicted", "DeadlineExceeded")),
     "a pod was evicted from its node: a more important workload needed the capacity, or the node was removed.",
     "Start it again if it does not come back. If it must not be evicted, raise its importance.",
     "DataRobotWorkloadInterrupted"),
    ("crashing", _some(lambda one: one.waits == "CrashLoopBackOff" or (one.waits == NO_REASON and one.restarts > 0)
        or (one.ready is not True and bool(one.ended))),
     "its process exits soon after each start.",
     _MEND, "DataRobotContainerCrashLooping"),
    ("no_gpu", _lacking("gpu"), "no node has a free GPU for it.", _ROOM, "DataRobotWorkloadUnschedulable"),
    ("no_cpu", _lacking("cpu"), "no node has enough CPU for it.", _ROOM, "DataRobotWorkloadUnschedulable"),
    ("no_memory", _lacking("memory"), "no node has enough memory for it.", _ROOM, "DataRobotWorkloadUnschedulable"),
    ("no_volume", _lacking("volume"),
     "its volume is not available on a node with free capacity: it is in another zone, or in use elsewhere.",
     "Release the volume, or ask the cluster administrators to move it.", "DataRobotWorkloadUnschedulable"),
    ("no_node", _lacking("other"), "no node accepts it: taints, affinity, or no free capacity.",
     "Read the scheduler's message. Ask the cluster administrators, or choose another bundle.",
     "DataRobotWorkloadUnschedulable"),
)  # fmt: skip


_OWN = ("active", "other")


def _shown_by(roles: tuple[str, ...], lead: str = "", prefix: str = "") -> Iterator[Cause]:
    """The causes that pods show, as causes of the versions of some roles."""
    for name, test, says, step, alert in _OF_PODS:
        sentence = lead + says if lead else says[0].upper() + says[1:]
        step = _MEND_NEW if lead and step is _MEND else step
        is_met = partial(_holds_of, test, roles)
        # One of another version may wait only while the version that serves is known to serve.
        yield Cause(prefix + name, _both(_read, is_met) if lead else is_met, sentence, step, alert)


def _holds_of(test: _Of, roles: tuple[str, ...], facts: Facts) -> bool:
    return test(facts, roles)


def _new_version_fails(facts: Facts) -> bool:
    return any(test(facts, ("candidate",)) for _, test, *_ in _OF_PODS)


def _not_read(prefix: str, group: Callable[[Facts], bool]) -> Iterator[Cause]:
    """The causes for a workload of which nothing else is known, for its pods could not be read."""
    lead = "Its health is unknown: the pods of the serving version could not be read. "
    step = (
        "Call its endpoint. Check again in a few minutes; if it still fails, report it to the platform administrators."
    )
    rows = (
        ("refused", _unread("forbidden"), "The API denies this token access to them (403).",
         "Call its endpoint. To see more, give the token's user the role `user` on it."),
        ("failed", _unread("server_error"), "The API responds with a server error (5xx).", step),
        ("unread", _unread(), "The reason is under `Not known`.", step),
    )  # fmt: skip
    for name, is_met, says, following in rows:
        yield Cause(prefix + name, _both(group, is_met), lead + says, following)


def _status(*names: str) -> Callable[[Facts], bool]:
    return lambda facts: facts.state.status in names


def _group(name: str) -> Callable[[Facts], bool]:
    return lambda facts: facts.state.group == name


def _alert(name: str) -> Callable[[Facts], bool]:
    return lambda facts: name in facts.met


def _recent(facts: Facts, *kinds: str) -> bool:
    """Whether the last of the changes of these kinds, and of their opposites, is one of them and came lately."""
    about = {ABOUT.get(kind, kind) for kind in kinds}
    last = next((each for each in facts.changes if ABOUT.get(each.kind, each.kind) in about), None)
    return last is not None and last.kind in kinds and facts.at - (last.at or 0.0) < RECENT


def _unready(facts: Facts) -> bool:
    return any(one.ready is False and not one.waits for one in facts.containers if one.role in _OWN)


def _lost(facts: Facts) -> bool:
    return any(one.lost and not one.waits for one in facts.containers if one.role in _OWN)


def _read(facts: Facts) -> bool:
    """Whether the pods of the version that serves could be read: only then can it be said to serve."""
    return not facts.unreadable


def _unread(*reasons: str) -> Callable[[Facts], bool]:
    return lambda facts: facts.unreadable in reasons if reasons else bool(facts.unreadable)


def _pods_well(facts: Facts) -> bool:
    """Whether all pods of the version that serves are there and ready."""
    told = facts.replicas
    return facts.snapshot and bool(told.ready) and told.ready == max(told.live or 0, told.least or 0)


def _both(*tests: Callable[[Facts], bool]) -> Callable[[Facts], bool]:
    return lambda facts: all(test(facts) for test in tests)


_NEW = ("replaced", "version")
_CRASHES_NEW = _both(lambda facts: _exits(1)(facts, _OWN), lambda facts: _recent(facts, *_NEW))


def _share(name: str, least: float) -> Callable[[Facts], bool]:
    def is_met(facts: Facts) -> bool:
        told = facts.requests
        return told is not None and told.total >= FEWEST and (getattr(told, name) or 0.0) >= least

    return is_met


_errors = _share("server_errors", SOME_ERRORS)


def _creating(facts: Facts) -> bool:
    return any(one.waits in ("ContainerCreating", "PodInitializing", NO_REASON) for one in facts.containers)


_UP, _STARTING, _LEAVING, _FAILED = _group("up"), _group("starting"), _group("leaving"), _group("failed")
_WAIT_FOR_START = "Wait: most starts take about five minutes, those with GPUs or large images longer."
_READ_LOG = "Check the end of its log, and the services that it calls."

CAUSES: tuple[Cause, ...] = (
    # -- it is not there, or off
    Cause("deleted", lambda facts: facts.gone == "not_found",
        "It was deleted: the API no longer finds it.",
        "Ask who deleted it. If this was not intended, recreate it from its artifact.", "DataRobotWorkloadVanished"),
    Cause("not_shared", lambda facts: facts.gone == "forbidden",
        "It is no longer shared with the token's user. It may still be running.",
        "Share it with that user again, with the role `user` or higher.", "DataRobotWorkloadVanished"),
    Cause("vanished", lambda facts: bool(facts.gone),
        "It is no longer listed: deleted, or no longer shared with the token's user.",
        "Look for it in the console as another user.", "DataRobotWorkloadVanished"),
    Cause("terminated", _status("terminated"),
        "It was terminated, by a person or by the platform. It cannot be started again.",
        "Check its activity log for who terminated it. If it is needed, recreate it from its artifact.",
        "DataRobotWorkloadTerminated"),
    Cause("draft_ended", lambda facts: facts.draft_over,
        "Its artifact is a draft: the platform stops drafts eight hours after they start.",
        "If it is needed, promote the artifact and start it again.", "DataRobotDraftExpiring"),
    Cause("suspended", _status("suspended"),
        "It is suspended, which is an intentional pause.",
        "Nothing to do if the pause is known; otherwise start it again.", "DataRobotWorkloadStopped"),
    Cause("stopped", _status("stopped"),
        "It was stopped by a person or a script.",
        "Nothing to do if this was intended; otherwise start it again.", "DataRobotWorkloadStopped"),
    Cause("interrupted", _status("interrupted"),
        "The platform evicted it: a more important workload took its capacity, or its node was removed. The API does "
        "not report which.",
        "Start it again: it does not restart by itself. If it is evicted again, raise its importance.",
        "DataRobotWorkloadInterrupted"),
    # -- on its way out
    Cause("not_stopping", _both(_LEAVING, _alert("DataRobotWorkloadStuckStopping")),
        "It does not finish stopping. Cause unknown: its process may ignore SIGTERM, requests may take very long, or "
        "its node may be lost.",
        "Check its log. Still active: requests are running, or SIGTERM is ignored. Silent: escalate to the platform "
        "administrators.",
        "DataRobotWorkloadStuckStopping"),
    Cause("stopping", _LEAVING,
        "It is stopping, and completes its last requests.",
        "Wait ten to twelve minutes. If it takes longer, its process ignores SIGTERM, or its node is lost.",
        "DataRobotWorkloadStuckStopping"),
    # -- its pods say it
    Cause("exit_error_since_change", _CRASHES_NEW,
        "Its process exits with an error soon after each start (exit code 1), and its version is new: the new version "
        "may be the cause.",
        "Check the end of its log. If the previous version ran, replace it with that artifact; otherwise fix this one.",
        "DataRobotContainerCrashLooping"),
    *_shown_by(_OWN),
    *_shown_by(("candidate",), "The version being rolled out does not start: ", "new_version_"),
    Cause("new_version_fails", _both(_unread(), _new_version_fails),
        "The version being rolled out does not start, and the pods of the serving version could not be read: whether "
        "it serves is unknown.",
        "Call its endpoint first. Then see `Containers` or `Unschedulable` for why the new version does not start.",
        "DataRobotContainerCrashLooping"),
    # -- starting, failed
    Cause("failed_unready", _both(_FAILED, _unready),
        "Its containers are running but not ready. Cause unknown: possibly still loading, hung, waiting for a "
        "dependency that is down, or probed on the wrong port or path.",
        "Check in its log whether it is still loading, and on which port it listens. Wait, or correct the probe.",
        "DataRobotWorkloadErrored"),
    Cause("start_unready", _both(_STARTING, _unready),
        "Its containers are running but have not become ready. Cause unknown: possibly still loading, hung, waiting "
        "for a dependency that is down, or probed on the wrong port or path.",
        "Check in its log whether it is loading or waiting. If it reports that it is listening, correct the probe's "
        "port and path.",
        "DataRobotWorkloadStuckStarting"),
    Cause("creating_for_long", _both(_STARTING, _creating, _alert("DataRobotWorkloadStuckStarting")),
        "Its containers have not been created for a long time: a volume or a secret is missing, or the image is very "
        "large.",
        "The messages of the pods' conditions name what is missing. A large image only takes time.",
        "DataRobotWorkloadStuckStarting"),
    Cause("creating", _both(_STARTING, _creating),
        "It is starting: images are being pulled and containers created.",
        _WAIT_FOR_START, "DataRobotWorkloadStuckStarting"),
    *_not_read("start_", _STARTING),
    Cause("monitor_silent", _both(_STARTING, _alert("DataRobotPodSnapshotMissing")),
        "The platform reports nothing about its pods: its monitor does not report, so the status may be outdated, or "
        "no pods were created. Which of the two is unknown.",
        "Call its endpoint. If it responds, leave it alone; otherwise start it again. Inform the platform "
        "administrators.",
        "DataRobotPodSnapshotMissing"),
    Cause("start_unknown", _both(_STARTING, lambda facts: not facts.snapshot),
        "Nothing is reported about its pods: it has only just started, or the platform's monitor does not report it.",
        "Check again in a few minutes. If there is still no report, call its endpoint and inform the platform "
        "administrators.",
        "DataRobotPodSnapshotMissing"),
    Cause("starting", _STARTING,
        "It is starting.", _WAIT_FOR_START, "DataRobotWorkloadStuckStarting"),
    Cause("failed_unknown", _both(_FAILED, lambda facts: not facts.snapshot or facts.readiness_unknown),
        "It has failed. The cause is unknown because its pods are not reported.",
        "Check its pods and its log in the console.", "DataRobotWorkloadErrored"),
    Cause("failed_waiting", _both(_FAILED, _creating),
        "Its containers are waiting and have never run. No reason is reported: the image, or something else that they "
        "need, is missing.",
        "Check its pods in the console, and compare the image name with the registry.",
        "DataRobotWorkloadErrored"),
    Cause("failed_before", _both(_FAILED, lambda facts: facts.replicas.live == 0),
        "It failed a while ago: it has no pods left, and nothing replaces them.",
        "Start it again or replace its artifact. If it is no longer needed, delete it.", "DataRobotWorkloadErrored"),
    Cause("failed_but_ready", _FAILED,
        "The platform reports it as failed, but its reported pods have no problem: it may be recovering.",
        "Call its endpoint. If it does not respond, check its log.", "DataRobotWorkloadErrored"),
    # -- it runs
    Cause("no_pod", _both(_UP, lambda facts: facts.replicas.live == 0 and not facts.replicas.zero),
        "It is reported as running but has no pods.",
        "Check its events for what removed them, then start it again.", "DataRobotWorkloadNoReadyReplica"),
    Cause("none_ready_any_more", _both(_UP, _lost, lambda facts: facts.replicas.ready == 0),
        "Its replicas were ready and no longer are, although their containers are still running: it hangs, or a "
        "dependency is down.",
        "Check in its log what it is waiting for, and fix that. If the log is silent, restart it.",
        "DataRobotWorkloadNoReadyReplica"),
    Cause("none_ready", _both(_UP, _unready, lambda facts: facts.replicas.ready == 0),
        "It is reported as running, but no replica is ready. Cause unknown: possibly still loading, hung, waiting for "
        "a dependency that is down, or probed on the wrong port or path.",
        "Check its log. Loading: wait. Waiting: fix the dependency. Listening: correct the probe. Silent: restart it.",
        "DataRobotWorkloadNoReadyReplica"),
    Cause("some_unready_any_more", _both(_UP, _read, _lost),
        "Some of its replicas were ready and no longer are, although their containers are still running: they hang, "
        "are overloaded, or wait for a dependency. The others serve.",
        "Compare the log of a replica that is not ready with that of a ready one. If it hangs, restart it.",
        "DataRobotWorkloadReplicasDegraded"),
    Cause("some_unready", _both(_UP, _read, _unready),
        "Some of its replicas are running but have not become ready; the others serve. Cause unknown: possibly still "
        "loading, hung, or waiting for a dependency.",
        "Wait a few minutes if they are new. Otherwise compare their log with that of a ready replica, and restart "
        "them.",
        "DataRobotWorkloadReplicasDegraded"),
    Cause("waking", _both(_UP, _read, _creating),
        "One of its replicas is being created: it was scaled up, or is scaling up from zero.",
        "Wait a few minutes.", "DataRobotWorkloadNoReadyReplica"),
    Cause("errors_since_change", _both(_UP, _errors, lambda facts: _recent(facts, *_NEW)),
        "It responds with server errors, and its version is new: the new version may be the cause.",
        "If the errors began with the new version, replace it with the previous artifact.",
        "DataRobotWorkloadNotServing"),
    Cause("outage_pods_unknown", _both(_UP, _share("server_errors", MOST_ERRORS), lambda facts: not _pods_well(facts)),
        "Most requests get a server error (5xx), and not all of its pods are known to be ready. The application, or a "
        "service that it calls, is failing.",
        _READ_LOG, "DataRobotWorkloadNotServing"),
    Cause("outage", _both(_UP, _share("server_errors", MOST_ERRORS)),
        "Its pods are healthy, but most requests get a server error (5xx): the application, or a service that it "
        "calls, is failing. Only its log shows which.",
        _READ_LOG, "DataRobotWorkloadNotServing"),
    Cause("errors_pods_unknown", _both(_UP, _errors, lambda facts: not _pods_well(facts)),
        "Some requests get a server error (5xx), and not all of its pods are known to be ready. The application, or a "
        "service that it calls, is failing.",
        _READ_LOG, "DataRobotErrorBudgetBurnFast"),
    Cause("errors", _both(_UP, _errors),
        "Its pods are healthy, but some requests get a server error (5xx): they trigger a bug in the application, or "
        "a service that it calls is failing. Only its log shows which.",
        _READ_LOG, "DataRobotErrorBudgetBurnFast"),
    *_shown_by(("reverted",), "The last new version did not start and was rolled back: ", "reverted_"),
    Cause("no_bundle", lambda facts: _read(facts) and _recent(facts, "reverted") and facts.event is not None
        and "resourcebundleinference" in facts.event.message.casefold(),
        "A replacement failed before it had any pods: no resource bundle could be chosen for it. The old version "
        "still serves.",
        "Set a resource bundle in the workload's runtime settings, and replace again. It can wait until morning.",
        "DataRobotReplacementFailed"),
    Cause("reverted", lambda facts: _read(facts) and _recent(facts, "reverted"),
        "A replacement failed or was cancelled; the API reports neither which nor the reason. The previous version "
        "still serves.",
        "Find out whether it was cancelled. If not, replace again in working hours and watch the new version's pods.",
        "DataRobotReplacementFailed"),
    Cause("saturated", _alert("DataRobotAutoscalerSaturated"),
        "Its load is more than the maximum number of replicas of its autoscaler can handle.",
        "Raise the maximum if the account's limits allow it. Otherwise find out who sends so many requests.",
        "DataRobotAutoscalerSaturated"),
    Cause("memory", _alert("DataRobotWorkloadMemoryNearLimit"),
        "It uses nearly all the memory of its resource bundle: the next large request may get a container killed.",
        "Choose a bundle with more memory. If its memory use keeps growing, restart it and look for a leak.",
        "DataRobotWorkloadMemoryNearLimit"),
    Cause("slow", lambda facts: "DataRobotWorkloadLatencyHigh" in facts.met or _share("slow", _SLOW)(facts),
        "It responds slowly to many requests: it is overloaded, or a service that it calls is slow.",
        "Check its load and the services that it calls. If it is overloaded, add replicas.",
        "DataRobotWorkloadLatencyHigh"),
    Cause("refuses", _share("client_errors", _REFUSED),
        "It rejects most requests (400 to 499): a quota, a caller's token, or invalid requests.",
        "Check its log for the status and the caller. A rate limit appears as 429.",
        "DataRobotWorkloadRefusesCallers"),
    *_not_read("pods_", _UP),
    Cause("readiness_unknown", _both(_UP, lambda facts: facts.readiness_unknown),
        "Its health is unknown: the API does not report whether its pods are ready. Their nodes may be lost.",
        "Call its endpoint. If it does not respond, check its pods and their nodes in the console.",
        "DataRobotWorkloadNoReadyReplica"),
    Cause("crashed_lately", lambda facts: any(one.ended and one.role in _OWN for one in facts.containers),
        "A container exited within the last hour and was restarted. It is ready now.",
        "Check what it logged before that. No immediate action is needed.", "DataRobotContainerCrashLooping"),
    Cause("errors_lately", lambda facts: bool(facts.met & {
            "DataRobotErrorBudgetBurnFast", "DataRobotErrorBudgetBurnSlow"}),
        "Over hours or days, more requests got a server error (5xx) than its objective allows, but not recently. Only "
        "its log shows whether it or a service that it calls failed.",
        "Check in its log what failed and when. It can wait until morning.",
        "DataRobotErrorBudgetBurnSlow"),
    Cause("draft_ends", _alert("DataRobotDraftExpiring"),
        "It runs a draft, which the platform is about to stop.",
        "If it is needed, promote the artifact: it continues to run without a restart.", "DataRobotDraftExpiring"),
    Cause("bundle_gone", _alert("DataRobotBundleNotOffered"),
        "Its resource bundle was withdrawn: it continues to run, but its next start may fail.",
        "Choose another bundle in its runtime settings in working hours.", "DataRobotBundleNotOffered"),
    Cause("replacement_stuck", _alert("DataRobotReplacementStuck"),
        "A replacement is taking a long time, and no pod shows a reason: a long warm-up, or it is stuck.",
        "Check its warm-up and overlap settings. If they are short, cancel it and replace again.",
        "DataRobotReplacementStuck"),
    Cause("replacing", lambda facts: facts.rolling,
        "It is being replaced, without a problem so far.",
        "Nothing to do: the previous version serves until the new one is ready.", "DataRobotReplacementStuck"),
    Cause("traffic_stopped", _alert("DataRobotWorkloadTrafficStopped"),
        "It is usually busy but receives no requests: its callers may be broken.",
        "Call its endpoint yourself, then ask the owners of its callers.", "DataRobotWorkloadTrafficStopped"),
    Cause("zero", lambda facts: facts.replicas.zero,
        "No problem: it receives no requests, so the autoscaler removed all replicas.",
        "Nothing to do: the next request starts a replica."),
    Cause("well", _both(_UP, lambda facts: facts.snapshot),
        "No problem is known.",
        "If callers report one, call its endpoint yourself."),
    Cause("well_unknown", _UP,
        "It is reported as running. Nothing else is known because its pods are not reported.",
        "Call its endpoint. Check again in a few minutes."),
    Cause("unknown", lambda _: True,
        "Its state is unknown: the API reports no status, or one that is not documented.",
        "Check it in the console, and call its endpoint."),
)  # fmt: skip
"""The likely causes, the surest first: the first row that holds of the facts counts, and the last one always does."""
