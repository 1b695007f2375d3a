"""What runbooks are made of, and the steps and causes that several of them share."""

from __future__ import annotations

from typing import NamedTuple


class Step(NamedTuple):
    """One thing to look at. `command` is for a shell, `query` for Prometheus; either may be empty.

    In commands the shell functions and variables of the page's first block may be used; in queries WORKLOAD_ID and
    ACCOUNT are blanks for the labels of the alert.
    """

    words: str
    command: str = ""
    query: str = ""


class Cause(NamedTuple):
    """What is seen, what it means (up to its first full stop or colon: the name of the cause), and what ends it."""

    sign: str
    means: str
    fix: str


class Runbook(NamedTuple):
    """A page. `why` says why the condition has to hold that long; `ends`, how the alert goes, where it is not plain."""

    meaning: str
    impact: str
    who: str
    steps: tuple[Step, ...]
    causes: tuple[Cause, ...]
    silence: str
    why: str
    ends: str = ""


ME = 'workload_id="WORKLOAD_ID"'


def several(*names: str, of: str = ME) -> str:
    """A query for several families at once: ``or`` would show one of them, as they have the same labels."""
    return f'{{__name__=~"{"|".join(f"datarobot_{name}" for name in names)}",{of}}}'


CALLERS = "Everybody who calls the workload."
SOME = "Perhaps its callers: see how many replicas are ready."
OWNERS = "The people who deploy the workload; its callers too, where no other version of it serves."
ON_CALL = "Whoever relies on these alerts: nothing that is said of the workloads is new any more."

# -- steps
LOOK = Step("Ask the platform: `status`, what it runs and since when.", 'dr "workloads/$WORKLOAD_ID/"')
PODS = Step(
    "Look at its pods. What counts is in `containers`: `reason` and `message` now, `lastState` with the `exitCode` of "
    "the end before; and in `conditions` with `value` (or `met`) false. The pod's own `status` is not health.",
    "pods",
)
EVENTS = Step("What happened to it lately?", 'dr "workloads/$WORKLOAD_ID/events/?limit=20"')
LOG = Step(
    "Read the end of its log. An empty log proves nothing: not every cluster collects it.",
    'dr "otel/workload/$WORKLOAD_ID/logs/?limit=50"',
)
REASONS = Step(
    "Why do its containers wait, and how did they end last?",
    query=f"sum by (container, reason) (datarobot_container_waiting_reason{{{ME}}} > 0)\n"
    f"or sum by (container, reason) (datarobot_container_last_terminated_reason{{{ME}}} > 0)",
)
EXITS = Step("With which code did they end last?", query=f"datarobot_container_last_exit_code{{{ME}}}")
CHANGED = Step(
    "What changed within the last six hours: started, stopped, replaced?",
    query=f"sum by (transition) (increase(datarobot_workload_transitions_total{{{ME}}}[6h])) > 0",
)
STATES = Step(
    "Since when is it as it is, in seconds?",
    query=f"time() - max by (workload, workload_id) (datarobot_workload_status_since_timestamp_seconds{{{ME}}})",
)
READY = Step(
    "How many replicas are ready, how many live, how many should there be?",
    query=several("proton_replicas_ready", "proton_replicas_live", "workload_replicas_min", "workload_replicas_max"),
)
OTHERS = Step(
    "Is it alone? If many fail at once, look for one cause instead.",
    query='count by (account, status) (datarobot_workload_status{status=~"errored|failed|interrupted|submitted"} == 1)',
)
TRAFFIC = Step(
    "What do its callers get: requests and shares of errors, by window?",
    query=several(*(f"workload_window_{name}" for name in ("requests", "server_error_ratio", "client_error_ratio"))),
)
REPLACEMENT = Step(
    "Is a replacement under way, when did the last one fail, and how many ended how, within six hours?",
    query=f"{several('workload_replacement_active', 'workload_replacement_failed_timestamp_seconds')}\n"
    f"or sum by (workload_id, outcome) (increase(datarobot_workload_replacements_total{{{ME}}}[6h])) > 0",
)
SWEEPS = Step(
    "Why do sweeps fail? The label `reason` names it.",
    query="sum by (account, reason) (increase(datarobot_exporter_sweep_failures_total[15m])) > 0",
)
EXPORTER_LOG = Step(
    "Read the exporter's log; each failure says what was asked, what came back and what happens next. "
    "(In Kubernetes: `kubectl logs`; under systemd: `journalctl -u workload-exporter -n 50`.)"
)
CHECK = Step(
    "Ask the API with the same settings and the same token. Each route is listed with its answer.",
    'workload-exporter check --online ${CONFIG:+"--config.file=$CONFIG"}',
)
EXPORTER_READY = Step("Ask the exporter what it still waits for.", 'curl -sS "$EXPORTER/-/ready"')

# -- causes
CRASH = Cause(
    "A container waits with `CrashLoopBackOff`; its last exit code is 1, 2, 126, 127 or 139.",
    "The process ends with an error: 1 is an error of the application, 2 wrong arguments, 126 not executable, 127 not "
    "found, 139 a fault in native code. `exec format error` in the log: the image is for another processor.",
    "Read the end of the log. If it began with a new version or new settings, go back to the ones before; "
    "else correct the command, the environment or the image, and replace the artifact.",
)
EXIT_ZERO = Cause(
    "Its container ended last with `Completed` and exit code 0, whatever it waits with now.",
    "The process is no server: it does its work and ends, or a start script put the server into the background.",
    "Let the container's command be one that stays and listens on its port; jobs that end are not supported.",
)
PROBE_KILLS = Cause(
    "Restarts go up; last exit code 137 or 143 with the reason `Error`, not `OOMKilled`.",
    "A startup or liveness probe fails, and the platform ends the container.",
    "Give the probe a longer initial delay or period, or mend the endpoint that it asks.",
)
OOM = Cause(
    "A container ended last with `OOMKilled`, exit code 137.",
    "It wanted more memory than its resource bundle has.",
    "Choose a bundle with more memory, or let the application use less: fewer workers, smaller batches.",
)
PULL = Cause(
    "A container waits with `ImagePullBackOff`, `ErrImagePull` or `InvalidImageName`; nothing has ever started.",
    "The image's name or tag is wrong, or the registry does not let the platform in: `manifest unknown` or `not found` "
    "in the message is a tag or digest that is not there, `unauthorized` or `denied` a credential.",
    "Compare the image (`image` of the container in the platform's answer) with the registry; push what is missing, "
    "correct the tag or renew the credential, then replace the artifact.",
)
CONFIG = Cause(
    "A container waits with `CreateContainerConfigError`, `CreateContainerError` or `RunContainerError`.",
    "A secret or a variable that it names does not exist, a volume cannot be mounted, or its command cannot be run.",
    "The message names the missing thing: create it, or correct the name in the artifact.",
)
READINESS = Cause(
    "Containers run, but are not ready; the condition `Ready` is unmet with `ContainersNotReady`.",
    "The readiness probe fails: wrong port or path, the application is still loading, it hangs, or it waits for "
    "something that is down.",
    "Find the probe's port and path in the artifact; in the log, see which port the application listens on and whether "
    "it has finished loading. Correct the probe or give it more time. If it was ready before and nothing was replaced, "
    "mend what it waits for, or restart the workload.",
)
NODE = Cause(
    "The condition `PodScheduled` is unmet with `Unschedulable`; there are no containers yet.",
    "No node has room: the message says of what (GPU, processor, memory, volume).",
    "Wait if nodes are added on demand; else stop what is needed less, choose a smaller bundle, or ask those who run "
    "the cluster for more nodes.",
)
PREEMPTED = Cause(
    "A replica has `failed`, the workload is interrupted.",
    "It was evicted: something of more importance needed its place, or its node went away.",
    "Start it again; if it must not be evicted, raise its importance.",
)
NOTHING_TOLD = Cause(
    "The pods are not told (the answer is 204), or nothing about them has changed for long.",
    "The platform's monitor does not report on this workload; its status is the last one known.",
    "Call its endpoint. If it answers, leave the workload alone and tell those who run the platform. If it does not, "
    "and nobody is stopping it, start it again and tell them too.",
)
BAD_RELEASE = Cause(
    "It began with a replacement, new settings or a promotion.",
    "The new version is the cause.",
    "Replace it with the artifact from before.",
)
OVERLOAD = Cause(
    "Concurrent requests, processor or memory are near what its replicas have.",
    "It is overloaded.",
    "Raise the number of replicas or the most that the autoscaler may run; choose a larger bundle.",
)
DOWNSTREAM = Cause(
    "The log shows timeouts or refused connections to services that it calls.",
    "A service behind it is down or slow: if it never worked, or its address is new, the network may block it; private "
    "ranges are blocked.",
    "Mend that; nothing in this workload will help.",
)
