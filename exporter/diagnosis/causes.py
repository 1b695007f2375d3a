"""CAUSES: the likely causes as a table, in which the first row whose condition is met counts."""

from __future__ import annotations

from collections.abc import Iterator

from exporter.diagnosis.facts import MIN_REQUESTS, MOST_ERRORS, RECENT_SECONDS, SOME_ERRORS, Facts, topic
from exporter.diagnosis.pod_causes import (
    SERVING,
    Cause,
    Test,
    at_once,
    creating,
    cut_off,
    every,
    exits_with_error,
    lost,
    new_version_fails,
    pod_causes,
    serving_pods_read,
    unready,
    unready_for_long,
    version_unready,
)

_MANY_SLOW, _MANY_REJECTED = 0.1, 0.5
"""Ratios of requests from which on they are a likely cause."""


def _unreadable_causes(prefix: str, group: Test) -> Iterator[Cause]:
    """The causes for a workload about which nothing else is known, because its pods could not be read."""
    lead = "Its health is unknown: the pods of the serving version could not be read. "
    step = (
        "Call its endpoint. Check again in a few minutes; if it still fails, report it to the platform administrators."
    )
    rows = (
        ("refused", _unread("forbidden"), "The API denies this token access to them (403).",
         "Call its endpoint. To see more, give the token's user the role `user` on it."),
        ("failed", _unread("server_error"), "The API responds with a server error (5xx).", step),
        ("unread", _unread(), "The reason is under `Unknown`.", step),
    )  # fmt: skip
    for name, is_met, text, next_step in rows:
        yield Cause(prefix + name, every(group, is_met), lead + text, next_step)


def _status(*names: str) -> Test:
    return lambda facts: facts.state.status in names


def _group(name: str) -> Test:
    return lambda facts: facts.state.group == name


def _alert(name: str) -> Test:
    return lambda facts: name in facts.met


def _recent(facts: Facts, *kinds: str) -> bool:
    """Whether the last change with a topic of these kinds is recent and of one of these kinds."""
    topics = {topic(kind) for kind in kinds}
    last = next((change for change in facts.changes if topic(change.kind) in topics), None)
    return last is not None and last.kind in kinds and facts.at - (last.at or 0.0) < RECENT_SECONDS


def _unread(*reasons: str) -> Test:
    return lambda facts: facts.unreadable in reasons if reasons else bool(facts.unreadable)


def _failure_reported(facts: Facts) -> bool:
    """Whether an event reports a reason why a recent replacement failed."""
    event = facts.event
    if event is None or not event.message or not serving_pods_read(facts) or not _recent(facts, "reverted"):
        return False
    return "replacement" in event.type.casefold() and any(word in event.type.casefold() for word in ("fail", "error"))


def _event_reports(word: str) -> Test:
    return lambda facts: facts.event is not None and word in facts.event.message.casefold()


def _too_few_pods(facts: Facts) -> bool:
    """Whether there are fewer pods of the serving version than needed, and all of them are ready."""
    replicas = facts.replicas
    ready = replicas.ready or 0
    return bool(ready) and ready == replicas.live and ready < (replicas.least or 0)


def _pods_healthy(facts: Facts) -> bool:
    """Whether all pods of the serving version exist and are ready."""
    replicas = facts.replicas
    return facts.snapshot and bool(replicas.ready) and replicas.ready == max(replicas.live or 0, replicas.least or 0)


def _just_started(facts: Facts) -> bool:
    return any(
        change.kind in ("started", "start") and change.at is not None and facts.at - change.at < _MAX_WARMING_SECONDS
        for change in facts.changes
    )


_NEW = ("replaced", "version")
_CRASHES_NEW = every(exits_with_error, lambda facts: _recent(facts, *_NEW))


def _share(name: str, least: float) -> Test:
    def is_met(facts: Facts) -> bool:
        requests = facts.requests
        return requests is not None and requests.total >= MIN_REQUESTS and (getattr(requests, name) or 0.0) >= least

    return is_met


_errors = _share("server_errors", SOME_ERRORS)


_UP, _STARTING, _LEAVING, _FAILED = _group("up"), _group("starting"), _group("leaving"), _group("failed")
_WAIT_FOR_START = "Wait: most starts take about five minutes, those with GPUs or large images longer."
_READ_LOG = (
    "Check the end of its log. Failed calls (refused, timeout, 401, 403) name the service or the credential to fix; an "
    "error in its own code needs a new version."
)
_NEVER_PASSED = "Its readiness probe has not passed since its containers started, more than an hour ago"
_NEVER_READY = f"{_NEVER_PASSED}: it hangs, waits for a service that it calls, or is probed on the wrong port or path."
_NOT_PASSED = "Its containers run, but its readiness probe has not passed yet"
_NOT_READY_YET = (
    f"{_NOT_PASSED}: it is still loading, hangs, waits for a service that it calls, or is probed on the wrong port or "
    "path."
)
_UNREADY_FOR_LONG = (
    "Check its log. If it waits for a service, fix that. If it reports that it is listening, correct the probe's port "
    "and path. If the log shows nothing, stop it and start it again."
)
_MAX_WARMING_SECONDS = 1800.0
"""Seconds after its start in which a workload that fails may still be loading."""

CAUSES: tuple[Cause, ...] = (
    # -- gone or off
    Cause("deleted", lambda facts: facts.gone == "not_found",
        "It was deleted, or is no longer shared with the token's user: the API responds with 404 in both cases.",
        "Look for it in the console as its owner or an administrator. If it is not there, ask who deleted it, and "
        "recreate it from its artifact if this was not intended. Otherwise share it again.",
        "DataRobotWorkloadVanished"),
    Cause("not_shared", lambda facts: facts.gone == "forbidden",
        "It is no longer shared with the token's user. It may still be running.",
        "Ask its owner to share it with that user again, with the role `user` or higher.", "DataRobotWorkloadVanished"),
    Cause("not_listed", lambda facts: facts.gone == "found",
        "It is missing from the workload list, although the API still finds it by its id: the list is incomplete.",
        "Call its endpoint. If it responds, nothing is wrong with it; report the list to the platform administrators.",
        "DataRobotWorkloadVanished"),
    Cause("vanished", lambda facts: bool(facts.gone),
        "It is no longer listed: deleted, or no longer shared with the token's user.",
        "Look for it in the console as another user.", "DataRobotWorkloadVanished"),
    Cause("terminated", _status("terminated"),
        "It was terminated, by a person or by the platform. It cannot be started again.",
        "Check its activity log for who terminated it. If it is needed, delete it, which frees its name, and create it "
        "again from its artifact.",
        "DataRobotWorkloadTerminated"),
    Cause("draft_ended", lambda facts: facts.draft_over,
        "Its artifact is a draft: the platform stops drafts eight hours after they start.",
        "If it is needed, start it again, and then promote its artifact: that lifts the limit of eight hours.",
        "DataRobotDraftExpiring"),
    Cause("suspended", _status("suspended"),
        "It is suspended: a person or the platform paused it. The API does not report who.",
        "Nothing to do if the pause is known. Otherwise ask its owner and the platform administrators to lift the "
        "suspension: starting it has no effect while it is suspended.",
        "DataRobotWorkloadStopped"),
    Cause("stopped", _status("stopped"),
        "It was stopped by a person or a script.",
        "Nothing to do if this was intended; otherwise start it again.", "DataRobotWorkloadStopped"),
    Cause("interrupted", _status("interrupted"),
        "The platform evicted it, to give its capacity to a more important workload or to remove its node. The API "
        "does not report which.",
        "Start it again: it does not restart by itself. If it is evicted again, raise its importance.",
        "DataRobotWorkloadInterrupted"),
    # -- stopping
    Cause("process_not_stopping", every(_LEAVING, _alert("DataRobotWorkloadStuckStopping"), unready),
        "Its process has not ended since the stop began: it ignores SIGTERM, or is still completing requests. A lost "
        "node would look the same.",
        "Check its log. New lines: wait, or correct how it handles SIGTERM. No lines: ask the platform administrators "
        "to check its node.",
        "DataRobotWorkloadStuckStopping"),
    Cause("node_lost_stopping", every(_LEAVING, _alert("DataRobotWorkloadStuckStopping"), cut_off),
        "It cannot finish stopping: the cluster has lost contact with the node of its pods, whose processes may still "
        "run there.",
        "Ask the platform administrators about the node. Once it is back or removed, the pods are removed.",
        "DataRobotWorkloadStuckStopping"),
    Cause("not_stopping", every(_LEAVING, _alert("DataRobotWorkloadStuckStopping")),
        "It does not finish stopping, and no running container is reported. The API does not report what the platform "
        "is waiting for.",
        "Report it to the platform administrators: the pods, or what belongs to them, cannot be removed.",
        "DataRobotWorkloadStuckStopping"),
    Cause("stopping", _LEAVING,
        "It is stopping and completing its last requests.",
        "Wait ten to twelve minutes. If it takes longer, its process ignores SIGTERM, or its node is lost.",
        "DataRobotWorkloadStuckStopping"),
    # -- shown by its pods
    Cause("exit_error_since_change", _CRASHES_NEW,
        "Its process exits with an error (exit code 1), and its version is new, which may be the "
        "cause.",
        "Check the end of its log. If the previous version worked, replace the artifact with the previous one; "
        "otherwise fix the artifact.",
        "DataRobotContainerCrashLooping", "Its process exits with an error (exit code 1), and its version is new",
        "If the previous version worked, go back to its artifact first."),
    *pod_causes(SERVING),
    *pod_causes(("candidate",), "The version being rolled out does not start: ", "new_version_"),
    Cause("new_version_fails", every(_unread(), new_version_fails),
        "The version being rolled out does not start, and the pods of the serving version could not be read: whether "
        "it serves is unknown.",
        "Call its endpoint first. Then see `Containers` or `Unschedulable` for why the new version does not start.",
        "DataRobotContainerCrashLooping"),
    Cause("node_lost", every(cut_off, lambda facts: facts.replicas.ready == 0),
        "The cluster has lost contact with the node of its pods: they are no longer ready, although their containers "
        "were ready when the node last reported them.",
        "Ask the platform administrators about the node. After some five minutes, the platform creates new pods on "
        "another one; if it does not, stop the workload and start it again.",
        "DataRobotWorkloadNoReadyReplica"),
    Cause("none_ready_at_once", every(lost, lambda facts: facts.replicas.ready == 0, at_once),
        "The readiness probes of all replicas began to fail together, while their processes run on: probably because "
        "of what they share, such as a service that they call, or too many requests.",
        "Check in its log which calls fail or hang, and fix that service. If the log shows nothing, stop it and start "
        "it again.",
        "DataRobotWorkloadNoReadyReplica",
        "The readiness probes of all replicas began to fail together, while their processes run on"),
    Cause("none_ready_any_more", every(lost, lambda facts: facts.replicas.ready == 0),
        "The readiness probe of each replica passed before and now fails, while the process runs on: it hangs, is "
        "overloaded, or waits for a service that it calls.",
        "Check in its log what it is waiting for, and fix that. If the log shows nothing, stop it and start it again.",
        "DataRobotWorkloadNoReadyReplica",
        "The readiness probe of each replica passed before and now fails, while the process runs on"),
    # -- starting or failed
    Cause("failed_unready_for_long", every(_FAILED, unready, unready_for_long),
        _NEVER_READY, _UNREADY_FOR_LONG, "DataRobotWorkloadErrored", _NEVER_PASSED, starting=True),
    Cause("failed_unready", every(_FAILED, unready),
        _NOT_READY_YET,
        "Check in its log whether it is still loading, and on which port it listens. Wait, or correct the probe.",
        "DataRobotWorkloadErrored", _NOT_PASSED, starting=True),
    Cause("start_unready_for_long", every(_STARTING, unready, unready_for_long),
        _NEVER_READY, _UNREADY_FOR_LONG, "DataRobotWorkloadStuckStarting", _NEVER_PASSED, starting=True),
    Cause("start_unready", every(_STARTING, unready),
        _NOT_READY_YET,
        "Check in its log whether it is loading or waiting. If it reports that it is listening, correct the probe's "
        "port and path.",
        "DataRobotWorkloadStuckStarting", _NOT_PASSED, starting=True),
    Cause("creating_for_long", every(_STARTING, creating, _alert("DataRobotWorkloadStuckStarting")),
        "Its containers have been waiting to be created for a long time: a volume or a secret is missing, or the image "
        "is very large.",
        "The messages of the pods' conditions name what is missing. A large image only takes time.",
        "DataRobotWorkloadStuckStarting"),
    Cause("creating", every(_STARTING, creating),
        "It is starting: images are being pulled and containers created.",
        _WAIT_FOR_START, "DataRobotWorkloadStuckStarting"),
    *_unreadable_causes("start_", _STARTING),
    Cause("monitor_silent", every(_STARTING, _alert("DataRobotPodSnapshotMissing")),
        "The platform's monitor of pods reports nothing about it, so its status may be outdated. The API shows the "
        "same if no pods were created.",
        "Call its endpoint. If it responds, only the monitor has failed: inform the platform administrators. Otherwise "
        "stop it, wait until it is stopped, and start it.",
        "DataRobotPodSnapshotMissing"),
    Cause("start_unknown", every(_STARTING, lambda facts: not facts.snapshot),
        "Nothing is reported about its pods: it has only just started, or the platform's monitor does not report it.",
        "Check again in a few minutes. If there is still no report, call its endpoint and inform the platform "
        "administrators.",
        "DataRobotPodSnapshotMissing"),
    Cause("starting", _STARTING,
        "It is starting.", _WAIT_FOR_START, "DataRobotWorkloadStuckStarting"),
    Cause("failed_unknown", every(_FAILED, lambda facts: not facts.snapshot or facts.readiness_unknown),
        "It has failed. The cause is unknown because its pods are not reported.",
        "Check its pods and its log in the console.", "DataRobotWorkloadErrored"),
    Cause("failed_waiting", every(_FAILED, creating),
        "Its containers are waiting and have never run. No reason is reported: the image, or something else that they "
        "need, is missing.",
        "Check its pods in the console, and compare the image name with the registry.",
        "DataRobotWorkloadErrored"),
    Cause("failed_before", every(_FAILED, lambda facts: facts.replicas.live == 0),
        "It failed a while ago: it has no pods left, and nothing replaces them.",
        "Start it again or replace its artifact. If it is no longer needed, delete it.", "DataRobotWorkloadErrored"),
    Cause("failed_but_ready", _FAILED,
        "The platform reports it as failed, but its reported pods have no problem: it may be recovering.",
        "Call its endpoint. If it does not respond, check its log.", "DataRobotWorkloadErrored"),
    # -- running
    Cause("no_pod", every(_UP, lambda facts: facts.replicas.live == 0 and not facts.replicas.zero),
        "It is reported as running but has no pods.",
        "Check its events for what removed them. Then stop it and start it again: a start alone has no effect while it "
        "is reported as running.",
        "DataRobotWorkloadNoReadyReplica"),
    Cause("none_ready_for_long", every(_UP, unready, unready_for_long, lambda facts: facts.replicas.ready == 0),
        _NEVER_READY, _UNREADY_FOR_LONG, "DataRobotWorkloadNoReadyReplica", _NEVER_PASSED, starting=True),
    Cause("none_ready", every(_UP, unready, lambda facts: facts.replicas.ready == 0),
        _NOT_READY_YET,
        "Check its log. If it is loading, wait. If it waits for a service, fix that. If it listens, correct the probe. "
        "If the log shows nothing, stop it and start it again.",
        "DataRobotWorkloadNoReadyReplica", _NOT_PASSED, starting=True),
    Cause("some_nodes_lost", every(_UP, serving_pods_read, cut_off),
        "The cluster has lost contact with the node of some of its pods, whose containers were ready when it last "
        "reported them. The others serve.",
        "Wait some five minutes: the platform creates new pods on another node. If none appears, ask the platform "
        "administrators about the node.",
        "DataRobotWorkloadReplicasDegraded"),
    Cause("some_unready_any_more", every(_UP, serving_pods_read, lost),
        "The readiness probe of some replicas passed before and now fails, while their processes run on: they hang, "
        "are overloaded, or wait for something. The others serve.",
        "Compare the log of a replica that is not ready with that of a ready one. If it hangs, restart it by a rolling "
        "replacement, during which the others serve.",
        "DataRobotWorkloadReplicasDegraded"),
    Cause("some_unready_for_long", every(_UP, serving_pods_read, unready, unready_for_long),
        "The readiness probe of some replicas has not passed since they started, more than an hour ago. Others pass "
        "it and serve, so the probe is configured correctly: these replicas hang or wait.",
        "Compare their log with that of a ready replica, and restart them by a rolling replacement, during which the "
        "others serve.",
        "DataRobotWorkloadReplicasDegraded"),
    Cause("some_unready", every(_UP, serving_pods_read, unready),
        "The readiness probe of some replicas has not passed yet. Others pass it and serve, so the probe is "
        "configured correctly: these replicas are still loading, hang, or wait.",
        "Wait a few minutes if they are new. Otherwise compare their log with that of a ready replica, and restart "
        "them by a rolling replacement, during which the others serve.",
        "DataRobotWorkloadReplicasDegraded"),
    Cause("too_few_pods", every(_UP, serving_pods_read, _too_few_pods),
        "Fewer pods exist than its settings require, and the API does not report the reason: some were evicted, or a "
        "limit of the cluster prevents new ones.",
        "Wait a few minutes: the platform creates missing pods. If none appears, check its events, and ask the "
        "platform administrators.",
        "DataRobotWorkloadReplicasDegraded"),
    Cause("waking", every(_UP, serving_pods_read, creating),
        "One of its replicas is being created: it was scaled up, or is scaling up from zero.",
        "Wait a few minutes.", "DataRobotWorkloadNoReadyReplica"),
    Cause("outage_since_start", every(_UP, _share("server_errors", MOST_ERRORS), _just_started),
        "It has been marked ready since it started, but most requests get a server error (5xx): it has no readiness "
        "probe, or one that misses this. It is still loading, or failing; its log shows which.",
        "Check the end of its log. If it is still loading, wait, and give it a readiness probe. Otherwise fix what the "
        "log names, or start the previous version.",
        "DataRobotWorkloadNotServing"),
    Cause("errors_since_change", every(_UP, _errors, lambda facts: _recent(facts, *_NEW)),
        "It responds with server errors, and its version is new, which may be the cause.",
        "If the errors began with the new version, replace it with the previous artifact.",
        "DataRobotWorkloadNotServing"),
    Cause("outage_pods_unknown",
        every(_UP, _share("server_errors", MOST_ERRORS), lambda facts: not _pods_healthy(facts)),
        "Most requests get a server error (5xx), and not all of its pods are known to be ready. The application, or a "
        "service that it calls, is failing.",
        _READ_LOG, "DataRobotWorkloadNotServing"),
    Cause("outage", every(_UP, _share("server_errors", MOST_ERRORS)),
        "Its application answers most requests with a server error (5xx), while its pods run and are ready: "
        "either the application itself fails, or a service that it calls. Its log shows which.",
        _READ_LOG, "DataRobotWorkloadNotServing"),
    Cause("errors_pods_unknown", every(_UP, _errors, lambda facts: not _pods_healthy(facts)),
        "Some requests get a server error (5xx), and not all of its pods are known to be ready. The application, or a "
        "service that it calls, is failing.",
        _READ_LOG, "DataRobotErrorBudgetBurnFast"),
    Cause("errors", every(_UP, _errors),
        "Its application answers some requests with a server error (5xx), while its pods run and are ready: a bug, or "
        "a service that it calls fails or refuses its credentials. Its log shows which.",
        _READ_LOG, "DataRobotErrorBudgetBurnFast"),
    *pod_causes(
        ("reverted",), "A replacement failed and is being tried again. It failed because ", "retried_",
        every(lambda facts: facts.rolling, _alert("DataRobotReplacementFailed")),
        "Wait for the end of this attempt: the previous version still serves. If it fails too, fix the artifact.",
    ),
    Cause("retried", every(serving_pods_read, lambda facts: facts.rolling, _alert("DataRobotReplacementFailed")),
        "A replacement failed and is being tried again. The previous version still serves.",
        "Wait for the end of this attempt. If it fails too, see `Containers` and `Last event` for the reason.",
        "DataRobotReplacementFailed"),
    *pod_causes(("reverted",), "The latest version did not start and was rolled back: ", "reverted_"),
    Cause("reverted_unready", every(_failure_reported, version_unready("reverted")),
        "The latest version was rolled back because its readiness probe did not pass: it is slow, hangs, waits for a "
        "service, or is probed on the wrong port or path. The previous version serves.",
        "Check the log of that version, correct its artifact or its probe, and start the replacement again during "
        "working hours.",
        "DataRobotReplacementFailed"),
    Cause("no_bundle", every(_failure_reported, _event_reports("resourcebundleinference")),
        "A replacement failed before it had any pods: no resource bundle could be chosen for it. The previous version "
        "still serves.",
        "Set a resource bundle in the workload's runtime settings, and start the replacement again. It can wait until "
        "morning.",
        "DataRobotReplacementFailed"),
    Cause("no_placement", every(_failure_reported, _event_reports("placement")),
        "A replacement failed: the platform found no place to run the new version (its enclave, if it has one). The "
        "previous version still serves.",
        "Report it to the platform administrators with the text of `Last event`. It can wait until morning.",
        "DataRobotReplacementFailed"),
    Cause("reverted_with_reason", _failure_reported,
        "A replacement failed; `Last event` has the reason that the API reports. The previous version still serves.",
        "Correct what it names, and start the replacement again during working hours.",
        "DataRobotReplacementFailed"),
    Cause("reverted", lambda facts: serving_pods_read(facts) and _recent(facts, "reverted"),
        "A replacement failed or was cancelled; the API reports neither which nor the reason. The previous version "
        "still serves.",
        "Find out whether it was cancelled. If not, start the replacement again during working hours and watch the "
        "new version's pods.",
        "DataRobotReplacementFailed"),
    Cause("replicas_limit", _alert("DataRobotWorkloadReplicaLimitNear"),
        "It runs the maximum number of replicas of its autoscaler, which is close to the most that the account allows "
        "a workload: it cannot grow.",
        "Choose a larger bundle, so that fewer replicas suffice, or ask the platform administrators for a higher "
        "limit.",
        "DataRobotWorkloadReplicaLimitNear"),
    Cause("saturated", _alert("DataRobotAutoscalerSaturated"),
        "Its load is more than the maximum number of replicas of its autoscaler can handle.",
        "Raise the maximum if the limit of replicas per workload allows it. Otherwise find out who sends so many "
        "requests.",
        "DataRobotAutoscalerSaturated"),
    Cause("memory", _alert("DataRobotWorkloadMemoryNearLimit"),
        "It uses nearly all the memory of its resource bundle: the next large request may cause a container to be "
        "killed.",
        "Choose a bundle with more memory. If its memory use keeps growing, look for a leak; a rolling replacement "
        "gains time.",
        "DataRobotWorkloadMemoryNearLimit"),
    Cause("slow", lambda facts: "DataRobotWorkloadLatencyHigh" in facts.met or _share("slow", _MANY_SLOW)(facts),
        "It responds slowly to many requests: it is overloaded, or a service that it calls is slow.",
        "Check its load and the services that it calls. If it is overloaded, add replicas.",
        "DataRobotWorkloadLatencyHigh"),
    Cause("refuses", _share("client_errors", _MANY_REJECTED),
        "It rejects most requests (400 to 499): a quota, a caller's token, or invalid requests.",
        "Check its log for the status and the caller. A rate limit appears as 429.",
        "DataRobotWorkloadRefusesCallers"),
    Cause("access_reduced", every(_alert("DataRobotWorkloadUnreadable"), _unread("forbidden")),
        "The token's user is not permitted to read its pods and events any more (403): its role on the workload was "
        "reduced. Whether it serves is unknown.",
        "Call its endpoint. Ask its owner to give the token's user the role `user` again.",
        "DataRobotWorkloadUnreadable"),
    *_unreadable_causes("pods_", _UP),
    Cause("readiness_unknown", every(_UP, lambda facts: facts.readiness_unknown),
        "Its health is unknown: the API does not report whether its pods are ready. Their nodes may be lost.",
        "Call its endpoint. If it does not respond, check its pods and their nodes in the console.",
        "DataRobotWorkloadNoReadyReplica"),
    Cause("down_unknown", every(lambda facts: facts.down is not None, lambda facts: not facts.snapshot),
        "No replica was ready when its pods were last reported, and they are no longer reported.",
        "Call its endpoint. If it does not respond, check its pods in the console and inform the platform "
        "administrators.",
        "DataRobotWorkloadNoReadyReplica"),
    Cause("list_unreadable", lambda facts: "list" in facts.unknown,
        "Some of its values in the workload list cannot be read, so its state may be outdated. `Unknown` names them.",
        "Call its endpoint. Correct the values in DataRobot: a name or tag with an invalid character, or an invalid "
        "number.",
        "DataRobotWorkloadUnreadable"),
    Cause("routes_fail", every(_alert("DataRobotWorkloadUnreadable"), lambda facts: "events" in facts.unknown),
        "The API fails for its pods and events, so it may fail without an alert. `Unknown` has the reasons.",
        "Call its endpoint. If the requests fail for this workload only, inform the platform administrators.",
        "DataRobotWorkloadUnreadable"),
    Cause("crashed_lately", lambda facts: any(one.ended and one.role in SERVING for one in facts.containers),
        "A container exited within the last hour and was restarted. It is ready now.",
        "Check what it logged before that. No immediate action is needed.", "DataRobotContainerCrashLooping"),
    Cause("errors_lately", lambda facts: bool({*facts.met, facts.recovering} & {
            "DataRobotErrorBudgetBurnFast", "DataRobotErrorBudgetBurnSlow"}),
        "Over hours or days, more requests got a server error (5xx) than its objective allows. Only its log shows "
        "whether it or a service that it calls failed.",
        "Check in its log what failed and when. It can wait until morning.",
        "DataRobotErrorBudgetBurnSlow"),
    Cause("slow_lately", _alert("DataRobotLatencyBudgetBurn"),
        "Over minutes or days, more requests were slow than its objective allows. Its load and its log show whether it "
        "or a service that it calls takes long.",
        "Compare its load and its response times, and check its log. It can wait until morning.",
        "DataRobotLatencyBudgetBurn"),
    Cause("down_lately", _alert("DataRobotReadinessBudgetBurn"),
        "In the last days, it was without a ready replica for longer than its objective allows.",
        "Check in `Changes`, and in the timeline on its page, what happened at that time. It can wait until morning.",
        "DataRobotReadinessBudgetBurn"),
    Cause("recovering", lambda facts: bool(facts.recovering),
        "It recovers: the condition of the alert is no longer met, and no other problem is known.",
        "Wait: the alert resolves by itself if that stays so. Its log and `Changes` show what happened."),
    Cause("draft_ends", _alert("DataRobotDraftExpiring"),
        "It runs a draft, which the platform is about to stop.",
        "If it is needed, promote the artifact: it continues to run without a restart.", "DataRobotDraftExpiring"),
    Cause("bundle_of_other_use", every(_alert("DataRobotBundleNotOffered"), lambda facts: facts.other_uses),
        "The catalogue offers its resource bundle for other uses only, not for workloads. It continues to run, but its "
        "next start may fail.",
        "Choose a bundle for workloads in its runtime settings during working hours.", "DataRobotBundleNotOffered"),
    Cause("bundle_gone", _alert("DataRobotBundleNotOffered"),
        "Its resource bundle was withdrawn: the catalogue no longer contains it. It continues to run, but its next "
        "start may fail.",
        "Choose another bundle in its runtime settings during working hours.", "DataRobotBundleNotOffered"),
    Cause("replacement_unready", every(_alert("DataRobotReplacementStuck"), version_unready("candidate")),
        "The readiness probe of the version being rolled out does not pass: it is loading, hangs, waits for a service, "
        "or is probed on the wrong port or path. The previous version serves.",
        "Check the log of that version. If it does not get ready, cancel the replacement and correct its artifact.",
        "DataRobotReplacementStuck"),
    Cause("replacement_stuck", _alert("DataRobotReplacementStuck"),
        "A replacement is taking a long time, and no pod shows a reason: a long warm-up, or it is stuck.",
        "Check its warm-up setting. If it is short, cancel the replacement and start it again: the previous version "
        "serves meanwhile.",
        "DataRobotReplacementStuck"),
    Cause("down", _alert("DataRobotWorkloadNoReadyReplica"),
        "It should serve, but no replica is ready, and its pods show no reason.",
        "Check its log and its events. If both are silent, stop it and start it again.",
        "DataRobotWorkloadNoReadyReplica"),
    Cause("fewer", _alert("DataRobotWorkloadReplicasDegraded"),
        "It serves with fewer ready replicas than its minimum, and its pods show no reason.",
        "Check its events and its log. If both are silent, wait: a lost replica is replaced within minutes if a node "
        "has capacity.",
        "DataRobotWorkloadReplicasDegraded"),
    Cause("replacing", lambda facts: facts.rolling and "DataRobotWorkloadUnreadable" not in facts.met,
        "It is being replaced, without a problem so far.",
        "Nothing to do: the previous version serves until the new one is ready.", "DataRobotReplacementStuck"),
    Cause("traffic_stopped", _alert("DataRobotWorkloadTrafficStopped"),
        "It is usually busy but receives no requests: its callers may be broken.",
        "Call its endpoint yourself, then ask the owners of its callers.", "DataRobotWorkloadTrafficStopped"),
    Cause("idle", _alert("DataRobotWorkloadIdle"),
        "It has received no request for days, although its replicas are ready and cost money.",
        "Ask its owners whether it is needed. If it is called rarely, let the autoscaler remove all replicas "
        "meanwhile.",
        "DataRobotWorkloadIdle"),
    Cause("undersized", _alert("DataRobotWorkloadUndersized"),
        "It uses nearly all CPU or memory of its resource bundle, for more than a twentieth of the last days.",
        "Choose the bundle that `Use` names, if there is one; otherwise more replicas, if CPU is missing.",
        "DataRobotWorkloadUndersized"),
    Cause("oversized", _alert("DataRobotWorkloadOversized"),
        "No problem: it uses so little of its resource bundle that a cheaper one would be enough.",
        "Choose the bundle that `Use` names if the last days were usual.",
        "DataRobotWorkloadOversized"),
    Cause("zero", lambda facts: facts.replicas.zero,
        "No problem: it receives no requests, so the autoscaler removed all replicas.",
        "Nothing to do: the next request starts a replica."),
    Cause("well", every(_UP, lambda facts: facts.snapshot),
        "No problem is known.",
        "If callers report one, call its endpoint yourself."),
    Cause("well_unknown", _UP,
        "It is reported as running. Nothing else is known because its pods are not reported.",
        "Call its endpoint. Check again in a few minutes."),
    Cause("unknown_none_ready", every(lambda facts: facts.replicas.ready == 0, lambda facts: not (
            facts.readiness_unknown or facts.replicas.zero)),
        "No replica is ready. The reason is unknown: the API reports no status, or one that is not documented.",
        "Check its status and its events in the console, and the end of its log.", "DataRobotWorkloadNoReadyReplica"),
    Cause("unknown", lambda _: True,
        "Its state is unknown: the API reports no status, or one that is not documented.",
        "Check it in the console, and call its endpoint."),
)  # fmt: skip
"""The likely causes, most certain first. The condition of the last row is always met."""
