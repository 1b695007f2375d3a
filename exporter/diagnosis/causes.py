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
UNTOLD = "not told"
"""Why a container waits, where no reason is told."""
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
    "replaced": "a replacement ended well",
    "reverted": "a replacement failed and was taken back",
    "promoted": "its draft was promoted",
    "reset": "its statistics began anew: it was promoted, or somebody wiped them",
    "version": "its newest version was created",
    "started": "it was started",
    "stopped": "it was stopped",
    "scaled": "it was scaled",
    "failure": "it had failed until then",
    "start": "a start ended",
    "stop": "it came to a stop",
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
    "usage": "its use of processor and memory",
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


_MEND = "Read the end of its log; if a new version or new settings brought it, go back, else mend the artifact."
_MEND_NEW = "Read the log of that version, mend its artifact, and replace again, by day: the old version serves on."
_ROOM = "Wait if nodes are added on demand; else stop what is needed less, or choose another bundle."
_OF_PODS: tuple[tuple[str, _Of, str, str, str], ...] = (
    ("out_of_memory", _some(lambda one: one.ended == "OOMKilled"),
     "a container was ended because it wanted more memory than its resource bundle has.",
     "Choose a bundle with more memory, or let the application use less: fewer workers, smaller batches.",
     "DataRobotContainerOOMKilled"),
    ("image_not_there", _pulls("manifest unknown", "not found", "notfound"),
     "the registry has no image of that name and tag.",
     "Push the image, or correct its name in the artifact, and replace the artifact.",
     "DataRobotWorkloadImagePullFailing"),
    ("image_denied", _pulls("unauthorized", "denied", "forbidden"),
     "the registry does not let the platform pull the image.",
     "Renew the credential for the registry.",
     "DataRobotWorkloadImagePullFailing"),
    ("image_pull", _pulls(),
     "the image of a container cannot be pulled.",
     "Compare the image's name with the registry; if that is right, its credential; if others fail too, the registry.",
     "DataRobotWorkloadImagePullFailing"),
    ("cannot_create", _some(lambda one: one.waits in (
        "CreateContainerConfigError", "CreateContainerError", "RunContainerError")),
     "a container cannot be made: a secret, a variable, a volume or its command is missing or wrong.",
     "The message names what is missing: create it, or correct its name in the artifact.",
     "DataRobotContainerCannotStart"),
    ("exit_0", _some(lambda one: one.ready is not True and one.ended == "Completed"),
     "its process ends without an error (exit code 0): it does its work and ends, or starts its server in the "
     "background.",
     "Let the container's command be one that stays in the foreground and listens; then replace the artifact.",
     "DataRobotContainerCrashLooping"),
    ("exit_command", _exits(126, 127),
     "its command cannot be run: it is not in the image, or not executable (exit code 126 or 127).",
     "Correct the command or the image in the artifact, and replace it.",
     "DataRobotContainerCrashLooping"),
    ("exit_arguments", _exits(2),
     "its process refuses its arguments (exit code 2).",
     "Correct the command or its environment in the artifact; the end of the log names the argument.",
     "DataRobotContainerCrashLooping"),
    ("exit_native", _exits(139),
     "its process crashes in native code (exit code 139): a library, or an image for another processor.",
     "Go back to the version before; compare libraries, drivers and the image's architecture.",
     "DataRobotContainerCrashLooping"),
    ("exit_killed", _exits(137, 143),
     "the platform ends the container, and not for memory (exit code 137 or 143): a startup or liveness probe fails.",
     "Give the probe more time, or mend the endpoint that it asks.",
     "DataRobotContainerCrashLooping"),
    ("exit_error", _exits(1),
     "its process ends with an error of its own soon after each start (exit code 1).",
     _MEND, "DataRobotContainerCrashLooping"),
    ("evicted", _some(lambda one: one.ended in ("Evicted", "DeadlineExceeded")),
     "a pod was evicted from its node: something of more importance needed the place, or the node went away.",
     "Start it again if it does not come back; if it must not be evicted, raise its importance.",
     "DataRobotWorkloadInterrupted"),
    ("crashing", _some(lambda one: one.waits == "CrashLoopBackOff" or (one.waits == UNTOLD and one.restarts > 0)
        or (one.ready is not True and bool(one.ended))),
     "its process ends soon after each start.",
     _MEND, "DataRobotContainerCrashLooping"),
    ("no_gpu", _lacking("gpu"), "no node has a GPU free for it.", _ROOM, "DataRobotWorkloadUnschedulable"),
    ("no_cpu", _lacking("cpu"), "no node has processor enough for it.", _ROOM, "DataRobotWorkloadUnschedulable"),
    ("no_memory", _lacking("memory"), "no node has memory enough for it.", _ROOM, "DataRobotWorkloadUnschedulable"),
    ("no_volume", _lacking("volume"),
     "its volume cannot be had where there is room: another zone, or in use elsewhere.",
     "Release the volume, or let those who run the cluster move it.", "DataRobotWorkloadUnschedulable"),
    ("no_node", _lacking("other"), "no node takes it: taints, affinity, or no room.",
     "Read the scheduler's words; ask those who run the cluster, or choose another bundle.",
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
    step = "Call its endpoint. Ask again in a few minutes; if it still fails, report it to those who run the platform."
    rows = (
        ("refused", _unread("forbidden"), "The API refuses them to this token (403).",
         "Call its endpoint; give the token's user the role `user` on it to see more."),
        ("failed", _unread("server_error"), "The API fails with a server error (5xx).", step),
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
    return any(one.waits in ("ContainerCreating", "PodInitializing", UNTOLD) for one in facts.containers)


_UP, _STARTING, _LEAVING, _FAILED = _group("up"), _group("starting"), _group("leaving"), _group("failed")
_WAIT_FOR_START = "Wait: most starts take about five minutes, those with GPUs or large images longer."
_READ_LOG = "Read the end of its log, and look at what it calls."

CAUSES: tuple[Cause, ...] = (
    # -- it is not there, or off
    Cause("deleted", lambda facts: facts.gone == "not_found",
        "It was deleted: the API does not know it any more.",
        "Ask who deleted it; if nobody meant it, create it anew from its artifact.", "DataRobotWorkloadVanished"),
    Cause("not_shared", lambda facts: facts.gone == "forbidden",
        "It is no longer shared with the token's user, and may run on unseen.",
        "Share it with that user again, with the role `user` or more.", "DataRobotWorkloadVanished"),
    Cause("vanished", lambda facts: bool(facts.gone),
        "It is listed no more: deleted, or no longer shared with the token's user.",
        "Look for it in the console with another user.", "DataRobotWorkloadVanished"),
    Cause("terminated", _status("terminated"),
        "It was ended for good, by a person or by the platform; it cannot be started again.",
        "See in its activity log who ended it; if it is needed, create it anew from its artifact.",
        "DataRobotWorkloadTerminated"),
    Cause("draft_ended", lambda facts: facts.draft_over,
        "Its artifact is a draft: the platform stops drafts eight hours after they began to run.",
        "Promote the artifact if it is needed, and start it again.", "DataRobotDraftExpiring"),
    Cause("suspended", _status("suspended"),
        "It is suspended: a pause on purpose.",
        "Nothing, if the pause is known; else start it again.", "DataRobotWorkloadStopped"),
    Cause("stopped", _status("stopped"),
        "Somebody, or a script, stopped it.",
        "Nothing, if it was meant; else start it again.", "DataRobotWorkloadStopped"),
    Cause("interrupted", _status("interrupted"),
        "The platform evicted it: a workload of more importance took its place, or its node went away. Which, is not "
        "told.",
        "Start it again: it stays down until somebody does. If it is evicted again, raise its importance.",
        "DataRobotWorkloadInterrupted"),
    # -- on its way out
    Cause("not_stopping", _both(_LEAVING, _alert("DataRobotWorkloadStuckStopping")),
        "It was told to stop and does not. Why, is not told: its process ignores SIGTERM, requests last very long, or "
        "its node is lost.",
        "If its log moves, requests last, or SIGTERM is ignored; if it is silent, tell those who run the platform.",
        "DataRobotWorkloadStuckStopping"),
    Cause("stopping", _LEAVING,
        "It was told to stop, and its last requests are being served.",
        "Wait ten to twelve minutes; if it takes longer, its process ignores SIGTERM, or its node is lost.",
        "DataRobotWorkloadStuckStopping"),
    # -- its pods say it
    Cause("exit_error_since_change", _CRASHES_NEW,
        "Its process ends with an error of its own soon after each start (exit code 1), and its version is new: that "
        "may be the cause.",
        "Read the end of its log; if a version before it ran, replace it with that artifact, else mend this one.",
        "DataRobotContainerCrashLooping"),
    *_shown_by(_OWN),
    *_shown_by(("candidate",), "The version that is being rolled out does not come up: ", "new_version_"),
    Cause("new_version_fails", _both(_unread(), _new_version_fails),
        "The version that is being rolled out does not come up, and the pods of the serving version could not be read: "
        "whether it serves is unknown.",
        "Call its endpoint first. Then see under `Containers` or `No node` why the new version does not start.",
        "DataRobotContainerCrashLooping"),
    # -- starting, failed
    Cause("failed_unready", _both(_FAILED, _unready),
        "Its containers run and are not ready. Why, is not told: loading, hung, waiting for something that is down, or "
        "the readiness probe asks the wrong port or path.",
        "See in its log whether it is still loading, then on which port it listens; correct the probe, or wait.",
        "DataRobotWorkloadErrored"),
    Cause("start_unready", _both(_STARTING, _unready),
        "Its containers run and have not become ready. Why, is not told: loading, hung, waiting for something that is "
        "down, or the readiness probe asks the wrong port or path.",
        "See in its log whether it is loading or waits; if it says that it listens, correct the probe's port and path.",
        "DataRobotWorkloadStuckStarting"),
    Cause("creating_for_long", _both(_STARTING, _creating, _alert("DataRobotWorkloadStuckStarting")),
        "Its containers are not made for long: a volume or a secret is missing, or the image is very large.",
        "The messages of the pods' conditions name what is missing; a large image only needs patience.",
        "DataRobotWorkloadStuckStarting"),
    Cause("creating", _both(_STARTING, _creating),
        "It is being started: images are pulled and containers made.",
        _WAIT_FOR_START, "DataRobotWorkloadStuckStarting"),
    *_not_read("start_", _STARTING),
    Cause("monitor_silent", _both(_STARTING, _alert("DataRobotPodSnapshotMissing")),
        "The platform tells nothing of its pods: its monitor does not report, and the status may be old, or none was "
        "ever made. Which, is not told.",
        "Call its endpoint: if it answers, leave it alone; if not, start it again. Tell those who run the platform.",
        "DataRobotPodSnapshotMissing"),
    Cause("start_untold", _both(_STARTING, lambda facts: not facts.snapshot),
        "Nothing is told of its pods: it has only just begun, or the platform's monitor does not report on it.",
        "Ask again in some minutes; if still nothing is told, call its endpoint and tell those who run the platform.",
        "DataRobotPodSnapshotMissing"),
    Cause("starting", _STARTING,
        "It is being started.", _WAIT_FOR_START, "DataRobotWorkloadStuckStarting"),
    Cause("failed_untold", _both(_FAILED, lambda facts: not facts.snapshot or facts.readiness_unknown),
        "It has failed; why is not known, for its pods are not told.",
        "Look at its pods and its log in the console.", "DataRobotWorkloadErrored"),
    Cause("failed_waiting", _both(_FAILED, _creating),
        "Its containers wait and have never run; why is not told: the image or something that they need is missing.",
        "Look at its pods in the console; compare the image's name with the registry.",
        "DataRobotWorkloadErrored"),
    Cause("failed_before", _both(_FAILED, lambda facts: facts.replicas.live == 0),
        "It failed a while ago: no pod of it is left, and nothing replaces it.",
        "Start it again or replace its artifact; delete it if nobody needs it.", "DataRobotWorkloadErrored"),
    Cause("failed_but_ready", _FAILED,
        "The platform calls it failed, and nothing is wrong with the pods that it tells: it may be recovering.",
        "Call its endpoint; if it does not answer, read its log.", "DataRobotWorkloadErrored"),
    # -- it runs
    Cause("no_pod", _both(_UP, lambda facts: facts.replicas.live == 0 and not facts.replicas.zero),
        "It says that it runs, and has no pod at all.",
        "See in its events what took them away; start it again.", "DataRobotWorkloadNoReadyReplica"),
    Cause("none_ready_any_more", _both(_UP, _lost, lambda facts: facts.replicas.ready == 0),
        "Its replicas were ready and are not any more, while their containers run on: it hangs, or what it waits for "
        "is down.",
        "See in its log what it waits for, and mend that; if the log is silent, restart it.",
        "DataRobotWorkloadNoReadyReplica"),
    Cause("none_ready", _both(_UP, _unready, lambda facts: facts.replicas.ready == 0),
        "It says that it runs, and no replica is ready. Why, is not told: loading, hung, waiting for something that is "
        "down, or the readiness probe asks the wrong port or path.",
        "See in its log whether it loads, waits, or says that it listens (then mend the probe); restart it if silent.",
        "DataRobotWorkloadNoReadyReplica"),
    Cause("some_unready_any_more", _both(_UP, _read, _lost),
        "Some of its replicas were ready and are not any more, while their containers run on: they hang, are "
        "overloaded, or wait for something. The others serve.",
        "Compare the log of one that is not ready with that of one that is; restart it if it hangs.",
        "DataRobotWorkloadReplicasDegraded"),
    Cause("some_unready", _both(_UP, _read, _unready),
        "Some of its replicas run and have not become ready, the others serve. Why, is not told: loading, hung, or "
        "waiting for something.",
        "Wait some minutes if they are new; else compare their log with that of one that is ready, and restart them.",
        "DataRobotWorkloadReplicasDegraded"),
    Cause("waking", _both(_UP, _read, _creating),
        "A replica of it is only being made: it was scaled up, or woken from zero.",
        "Wait some minutes.", "DataRobotWorkloadNoReadyReplica"),
    Cause("errors_since_change", _both(_UP, _errors, lambda facts: _recent(facts, *_NEW)),
        "It answers with errors of its own, and its version is new: that may be the cause.",
        "If the errors began with it, replace it with the artifact from before.", "DataRobotWorkloadNotServing"),
    Cause("outage_pods_unknown", _both(_UP, _share("server_errors", MOST_ERRORS), lambda facts: not _pods_well(facts)),
        "Most requests get a server error (5xx), and not all of its pods are known to be ready. The application fails, "
        "or something that it calls.",
        _READ_LOG, "DataRobotWorkloadNotServing"),
    Cause("outage", _both(_UP, _share("server_errors", MOST_ERRORS)),
        "Its pods are well, and most requests get a server error (5xx): the application fails, or something that it "
        "calls does. Which, only its log tells.",
        _READ_LOG, "DataRobotWorkloadNotServing"),
    Cause("errors_pods_unknown", _both(_UP, _errors, lambda facts: not _pods_well(facts)),
        "A part of the requests get a server error (5xx), and not all of its pods are known to be ready. The "
        "application fails, or something that it calls.",
        _READ_LOG, "DataRobotErrorBudgetBurnFast"),
    Cause("errors", _both(_UP, _errors),
        "Its pods are well, and a part of the requests get a server error (5xx): some requests break the application, "
        "or something that it calls fails. Which, only its log tells.",
        _READ_LOG, "DataRobotErrorBudgetBurnFast"),
    *_shown_by(("reverted",), "The last new version did not come up and was taken back: ", "reverted_"),
    Cause("no_bundle", lambda facts: _read(facts) and _recent(facts, "reverted") and facts.event is not None
        and "resourcebundleinference" in facts.event.words.casefold(),
        "A replacement failed before it had a pod: no resource bundle could be chosen for it; the old version serves "
        "on.",
        "Name a resource bundle in the workload's runtime settings, and replace again; it can wait until morning.",
        "DataRobotReplacementFailed"),
    Cause("reverted", lambda facts: _read(facts) and _recent(facts, "reverted"),
        "A replacement failed or was cancelled, which of the two is not told, nor why; the version from before serves "
        "on.",
        "Ask who replaced it whether it was cancelled; if not, replace again by day, and watch the new version's pods.",
        "DataRobotReplacementFailed"),
    Cause("saturated", _alert("DataRobotAutoscalerSaturated"),
        "It gets more load than the largest number of replicas that its autoscaler may run can take.",
        "Raise that number if the account's limits allow it; else find out who asks so much.",
        "DataRobotAutoscalerSaturated"),
    Cause("memory", _alert("DataRobotWorkloadMemoryNearLimit"),
        "It uses nearly all the memory of its resource bundle: the next large request may end a container.",
        "Choose a bundle with more memory; if its use grows without end, restart it and look for a leak.",
        "DataRobotWorkloadMemoryNearLimit"),
    Cause("slow", lambda facts: "DataRobotWorkloadLatencyHigh" in facts.met or _share("slow", _SLOW)(facts),
        "It answers a good part of its requests slowly: it is loaded, or what it calls is slow.",
        "Look at its load and at what it calls; add replicas if it is loaded.", "DataRobotWorkloadLatencyHigh"),
    Cause("refuses", _share("client_errors", _REFUSED),
        "It refuses most requests (400 to 499): a quota, a caller's token, or requests that it does not understand.",
        "See in its log which status and which caller; a limit of requests shows as 429.",
        "DataRobotWorkloadRefusesCallers"),
    *_not_read("pods_", _UP),
    Cause("readiness_unknown", _both(_UP, lambda facts: facts.readiness_unknown),
        "Its health is unknown: the API does not report whether its pods are ready. Their nodes may be lost.",
        "Call its endpoint. If it does not answer, check its pods and their nodes in the console.",
        "DataRobotWorkloadNoReadyReplica"),
    Cause("crashed_lately", lambda facts: any(one.ended and one.role in _OWN for one in facts.containers),
        "A container ended within the hour and was started again; it is ready now.",
        "Read what its log said before that; nothing is to be done at once.", "DataRobotContainerCrashLooping"),
    Cause("errors_lately", lambda facts: bool(facts.met & {
            "DataRobotErrorBudgetBurnFast", "DataRobotErrorBudgetBurnSlow"}),
        "Over hours or days more requests got a server error (5xx) than its objective allows; lately they do not. "
        "Whether it failed or what it calls, only its log tells.",
        "See in its log what failed and when; it can wait until morning.",
        "DataRobotErrorBudgetBurnSlow"),
    Cause("draft_ends", _alert("DataRobotDraftExpiring"),
        "It runs on a draft, which the platform is about to stop.",
        "Promote the artifact if it is needed: it runs on without a restart.", "DataRobotDraftExpiring"),
    Cause("bundle_gone", _alert("DataRobotBundleNotOffered"),
        "Its resource bundle was withdrawn: it runs on, and its next start may fail.",
        "Choose another bundle in its runtime settings, by day.", "DataRobotBundleNotOffered"),
    Cause("replacement_stuck", _alert("DataRobotReplacementStuck"),
        "A replacement takes long, and no pod says why: a long warm-up, or it hangs.",
        "Compare its settings of warm-up and overlap; if they are short, cancel it and replace again.",
        "DataRobotReplacementStuck"),
    Cause("replacing", lambda facts: facts.rolling,
        "It is being replaced; nothing is wrong with that so far.",
        "Nothing: the version from before serves until the new one is ready.", "DataRobotReplacementStuck"),
    Cause("traffic_stopped", _alert("DataRobotWorkloadTrafficStopped"),
        "Nobody calls it, and it is usually busy: what calls it may be broken.",
        "Call its endpoint yourself; then ask those who call it.", "DataRobotWorkloadTrafficStopped"),
    Cause("zero", lambda facts: facts.replicas.zero,
        "No fault: nobody asks, so the autoscaler has taken all replicas away.",
        "Nothing: the next request wakes it."),
    Cause("well", _both(_UP, lambda facts: facts.snapshot),
        "Nothing is known to be wrong with it.",
        "If callers see otherwise, call its endpoint yourself."),
    Cause("well_untold", _UP,
        "It says that it runs; more is not known, for its pods are not told.",
        "Call its endpoint. Ask again in a few minutes."),
    Cause("untold", lambda _: True,
        "The API does not tell how it is: its status is missing, or one that nobody has heard of.",
        "Look at it in the console, and call its endpoint."),
)  # fmt: skip
"""The likely causes, the surest first: the first row that holds of the facts counts, and the last one always does."""
