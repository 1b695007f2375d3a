"""The parts of runbooks, and the checks and symptoms that several of them share."""

from __future__ import annotations

from typing import NamedTuple


class Check(NamedTuple):
    """One step of an investigation. `command` is for a shell, `query` for Prometheus; either may be empty.

    Commands may use the shell functions and variables of the page's first block. In queries, WORKLOAD_ID and ACCOUNT
    are placeholders for labels of the alert.
    """

    text: str
    command: str = ""
    query: str = ""


class Symptom(NamedTuple):
    "What is observed, what it means, and how to fix it. `meaning` up to its first full stop or colon names the"

    "cause."

    sign: str
    meaning: str
    fix: str


class Runbook(NamedTuple):
    """The hand-written parts of a page.

    `affected`: who is affected. `silence`: when to silence the alert. `reason`: why the condition must be met for the
    wait time of the alert, or why there is none. `ends`: how the alert resolves; empty: when its condition is no longer
    met.
    """

    meaning: str
    impact: str
    affected: str
    checks: tuple[Check, ...]
    symptoms: tuple[Symptom, ...]
    silence: str
    reason: str
    ends: str = ""


WORKLOAD_LABEL = 'workload_id="WORKLOAD_ID"'


def families(*names: str, labels: str = WORKLOAD_LABEL) -> str:
    """A query for several families at once: ``or`` would return one of them, as they have the same labels."""
    return f'{{__name__=~"{"|".join(f"datarobot_{name}" for name in names)}",{labels}}}'


CALLERS = "Everybody who calls the workload."
SOME_CALLERS = "Possibly its callers: check how many replicas are ready."
OWNERS = "The owners of the workload; also its callers if no other version of it serves."
ALERT_USERS = "Everyone who relies on these alerts: the data about workloads may be outdated or incomplete."

# -- checks
WORKLOAD = Check(
    "Query the platform for the workload: `status`, what it runs, and since when.", 'dr "workloads/$WORKLOAD_ID/"'
)
PODS = Check(
    "Check its pods. Read the current `reason` and `message` in `containers`, the `exitCode` of the previous "
    "termination in `lastState`, and the `conditions` whose `value` (or `met`) is false. The pod's own `status` does "
    "not indicate health.",
    "pods",
)
EVENTS = Check("What happened to it recently?", 'dr "workloads/$WORKLOAD_ID/events/?limit=20"')
LOG = Check(
    "Read the end of its log. It may be empty even if the workload writes logs: not every cluster collects them.",
    'dr "otel/workload/$WORKLOAD_ID/logs/?limit=50"',
)
REASONS = Check(
    "Why are its containers waiting, and why did they last terminate?",
    query=f"sum by (container, reason) (datarobot_container_waiting_reason{{{WORKLOAD_LABEL}}} > 0)\n"
    f"or sum by (container, reason) (datarobot_container_last_terminated_reason{{{WORKLOAD_LABEL}}} > 0)",
)
EXIT_CODES = Check(
    "With which exit code did its containers last terminate?",
    query=f"datarobot_container_last_exit_code{{{WORKLOAD_LABEL}}}",
)
CHANGES = Check(
    "What changed in the last six hours: was it started, stopped or replaced?",
    query=f"sum by (transition) (increase(datarobot_workload_transitions_total{{{WORKLOAD_LABEL}}}[6h])) > 0",
)
TIME_IN_STATE = Check(
    "For how many seconds has it been in its current state?",
    query="time() - max by (workload, workload_id) "
    f"(datarobot_workload_status_since_timestamp_seconds{{{WORKLOAD_LABEL}}})",
)
READY = Check(
    "How many replicas are ready, how many are live, and how many are desired?",
    query=families("proton_replicas_ready", "proton_replicas_live", "workload_replicas_min", "workload_replicas_max"),
)
OTHERS = Check(
    "Are other workloads affected? If many fail at the same time, look for a common cause.",
    query='count by (account, status) (datarobot_workload_status{status=~"errored|failed|interrupted|submitted"} == 1)',
)
TRAFFIC = Check(
    "How many requests does it receive, and what share of them fails, by window?",
    query=families(*(f"workload_window_{name}" for name in ("requests", "server_error_ratio", "client_error_ratio"))),
)
REPLACEMENT = Check(
    "Is a replacement in progress, when did the last one fail, and how did those of the last six hours end?",
    query=f"{families('workload_replacement_active', 'workload_replacement_failed_timestamp_seconds')}\n"
    f"or sum by (workload_id, outcome) (increase(datarobot_workload_replacements_total{{{WORKLOAD_LABEL}}}[6h])) > 0",
)
SWEEPS = Check(
    "Why do sweeps fail? See the label `reason`.",
    query="sum by (account, reason) (increase(datarobot_exporter_sweep_failures_total[15m])) > 0",
)
EXPORTER_LOG = Check(
    "Read the exporter's log. For each failure it shows the request, the response and what happens next. "
    "(In Kubernetes: `kubectl logs`; under systemd: `journalctl -u workload-exporter -n 50`.)"
)
CHECK_ONLINE = Check(
    "Query the API with the same settings and the same token. Each route is listed with its response.",
    'workload-exporter check --online ${CONFIG:+"--config.file=$CONFIG"}',
)
EXPORTER_READY = Check("Which accounts is the exporter still waiting for?", 'curl -sS "$EXPORTER/-/ready"')

# -- symptoms
CRASH = Symptom(
    "A container is waiting with `CrashLoopBackOff`; its last exit code is 1, 2, 126, 127 or 139.",
    "The process exits with an error: 1 is an error of the application, 2 wrong arguments, 126 not executable, 127 not "
    "found, 139 a crash in native code. `exec format error` in the log: the image is for another CPU architecture.",
    "Read the end of the log. If it began with a new version or new settings, roll back; otherwise correct the "
    "command, the environment or the image, and replace the artifact.",
)
EXIT_ZERO = Symptom(
    "A container last terminated with `Completed` and exit code 0, whatever its current waiting reason is.",
    "The process is not a server: it finishes its work and exits, or a start script runs the server in the background.",
    "Run the server in the foreground, listening on its port. A process that finishes its work and exits is not "
    "supported.",
)
PROBE_KILLS = Symptom(
    "The number of restarts increases; the last exit code is 137 or 143 with the reason `Error`, not `OOMKilled`.",
    "A startup or liveness probe fails, and the platform kills the container.",
    "Give the probe a longer initial delay or period, or fix the endpoint that it calls.",
)
OOM = Symptom(
    "A container last terminated with `OOMKilled`, exit code 137.",
    "It used more memory than its resource bundle provides.",
    "Choose a bundle with more memory, or reduce the memory use of the application: fewer workers, smaller batches.",
)
PULL = Symptom(
    "A container is waiting with `ImagePullBackOff`, `ErrImagePull` or `InvalidImageName`, and has never started.",
    "The image name or tag is wrong, or the platform has no access to the registry: `manifest unknown` or `not found` "
    "in the message means a missing tag or digest, `unauthorized` or `denied` a wrong credential.",
    "Compare the image (`image` of the container in the platform's response) with the registry. Push the missing "
    "image, correct the tag or renew the credential, then replace the artifact.",
)
CONFIG = Symptom(
    "A container is waiting with `CreateContainerConfigError`, `CreateContainerError` or `RunContainerError`.",
    "A secret or variable that it references does not exist, a volume cannot be mounted, or its command cannot be run.",
    "The message names what is missing: create it, or correct the name in the artifact.",
)
READINESS = Symptom(
    "Containers are running but not ready; the condition `Ready` is not met, with `ContainersNotReady`.",
    "The readiness probe fails: wrong port or path, or the application is still loading, hangs, or waits for a "
    "dependency that is down.",
    "Find the probe's port and path in the artifact. Check in the log which port the application listens on, and "
    "whether it has finished loading. Correct the probe or give it more time. If it was ready before and nothing was "
    "replaced, fix what it is waiting for, or restart the workload.",
)
NODE = Symptom(
    "The condition `PodScheduled` is not met, with `Unschedulable`; there are no containers yet.",
    "No node has enough free capacity: the message says of what (GPU, CPU, memory, volume).",
    "Wait if nodes are added on demand. Otherwise stop less important workloads, choose a smaller bundle, or ask the "
    "cluster administrators for more nodes.",
)
PREEMPTED = Symptom(
    "A replica has `failed`, and the workload is interrupted.",
    "It was evicted: a more important workload needed its capacity, or its node was removed.",
    "Start it again. If it must not be evicted, raise its importance.",
)
PODS_NOT_REPORTED = Symptom(
    "The pods are not reported (the response is 204), or nothing about them has changed for a long time.",
    "The platform's monitor does not report this workload; its status is the last one known.",
    "Call its endpoint. If it responds, leave the workload alone and inform the platform administrators. If it does "
    "not, and the workload is not being stopped, start it again and inform them too.",
)
BAD_RELEASE = Symptom(
    "It began with a replacement, new settings or a promotion.",
    "The new version is the cause.",
    "Replace it with the previous artifact.",
)
OVERLOAD = Symptom(
    "Concurrent requests, CPU or memory are close to what its replicas can handle.",
    "It is overloaded.",
    "Raise the number of replicas or the autoscaler's maximum, or choose a larger bundle.",
)
DOWNSTREAM = Symptom(
    "The log shows timeouts or refused connections to services that it calls.",
    "A service that it depends on is down or slow: if it never worked, or its address is new, the network may block "
    "it; private address ranges are blocked.",
    "Fix that service or the network; changes to this workload will not help.",
)
