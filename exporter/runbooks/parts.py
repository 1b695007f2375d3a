"""The parts of runbooks, and the checks, actions and symptoms that several of them share."""

from __future__ import annotations

from typing import NamedTuple

from exporter.api.models import of_group
from exporter.runbooks.shell import CONFIG_FLAG


class Check(NamedTuple):
    """One step of an investigation. `command` is for a shell, `query` for Prometheus; either may be empty.

    Commands may use the functions and variables of `exporter.runbooks.shell`, but change nothing. In queries,
    WORKLOAD_ID and ACCOUNT are placeholders for labels of the alert.
    """

    text: str
    command: str = ""
    query: str = ""


class Action(NamedTuple):
    """Something that a person does to fix a problem. Each command is a block of its own."""

    name: str
    text: str
    commands: tuple[str, ...] = ()


class Symptom(NamedTuple):
    """What is observed, what it means, and how to fix it.

    `sign` is the proof. `meaning` up to its first full stop or colon names the cause. `fix` says what to do, and
    names a command, an API call, a setting or a place in the console, unless `actions` do, or it begins with one of
    `NO_ACTION`.
    """

    sign: str
    meaning: str
    fix: str
    actions: tuple[Action, ...] = ()


NO_ACTION = ("Nothing to do", "Escalate", "Wait")
"""Beginnings of fixes that are no action of the reader."""


class Runbook(NamedTuple):
    """The hand-written parts of a page.

    `impact`: what does not work, and who is affected. `urgent`: whether it can wait until working hours. `symptoms`:
    the most likely cause first. `silence`: when to silence the alert; it begins with ``Never`` if it should not be
    silenced. `reason`: why the condition must be met for the wait time of the alert, or why there is none. `ends`: how
    the alert resolves; empty: when its condition is no longer met. `escalate`: the people to escalate to, if not those
    that are usual for its component.
    """

    meaning: str
    impact: str
    urgent: str
    checks: tuple[Check, ...]
    symptoms: tuple[Symptom, ...]
    silence: str
    reason: str
    ends: str = ""
    escalate: str = ""


WORKLOAD_LABEL = 'workload_id="WORKLOAD_ID"'
CONSOLE = "`https://HOST/console-nextgen/workloads/WORKLOAD_ID/overview`"
CONSOLE_LOG = "`https://HOST/console-nextgen/workloads/WORKLOAD_ID/activity-log/otel-logs`"


def families(*names: str, labels: str = WORKLOAD_LABEL) -> str:
    """A query for several families at once: ``or`` would return one of them, as they have the same labels."""
    return f'{{__name__=~"{"|".join(f"datarobot_{name}" for name in names)}",{labels}}}'


NOT_SERVING_IS_URGENT = (
    "Yes if nothing serves: step 1 reports `Serving` as `no`, `not yet` or `barely`. If it reports `yes`, `mostly` or "
    "`partly`, it can wait until working hours. If it reports `unknown`, call the endpoint."
)
MONITORING_IS_DOWN = "Yes: until it is fixed, an outage of a workload may not be noticed."
IN_WORKING_HOURS = "No. It can wait until working hours."

# -- checks
WORKLOAD = Check(
    "Query the platform for the workload: `status`, what it runs, and since when.", 'dr_get "workloads/$WORKLOAD_ID/"'
)
PODS = Check(
    "Check its pods. In `containers`, read `reason` and `message`, and the `exitCode` of the previous termination in "
    "`lastState`; then the `conditions` whose `value` (or `met`) is false. The pod's own `status` does not indicate "
    "health.",
    "dr_pods",
)
EVENTS = Check(
    "What happened to it recently? The date of an event of a replacement is that of its last update, which may be "
    "minutes later.",
    'dr_get "workloads/$WORKLOAD_ID/events/?limit=20"',
)
LOG = Check(
    f"Read more of its log than step 1 shows, here or in the console: {CONSOLE_LOG}. It may be empty even if the "
    "workload writes logs: not every cluster collects them.",
    'dr_get "otel/workload/$WORKLOAD_ID/logs/?limit=200"',
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
    "How many replicas of the versions that serve are ready, how many are live, and how many are desired?",
    query=families(*(f"workload_replicas_{name}" for name in ("ready", "live", "min", "max"))),
)
_FAILED = (name for name in of_group("failed") if name != "terminated")
NOT_WELL = "|".join((*_FAILED, "interrupted", "suspended", "unknown", "other"))
"""Statuses with which a workload may not serve, besides those of a start or stop."""
ENDPOINT = Check(
    "Call its endpoint. Any response of the application, also an error, proves that it is reachable; 503 and 504 come "
    "from the platform if no replica serves. (The endpoint of a workload in an enclave is on another host: see "
    "`endpoint` of the workload.)",
    'dr_get "endpoints/workloads/$WORKLOAD_ID/"',
)
OTHERS = Check(
    "Are other workloads affected? If many failed at the same time, fix their common cause.",
    query=f'count by (account, status) (datarobot_workload_status{{status=~"{NOT_WELL}|submitted"}} == 1)',
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
    "Read the exporter's log. For each failure it shows the request, the response and what happens next. In "
    "Kubernetes: `kubectl logs -l app.kubernetes.io/name=workload-exporter --tail=50`; under systemd: "
    "`journalctl -u workload-exporter -n 50`; in a container: `docker logs --tail=50 CONTAINER`."
)
CHECK_ONLINE = Check(
    "Query the API with the same settings and the same token. Each route is listed with its response.",
    f"workload-exporter check --online {CONFIG_FLAG}",
)
EXPORTER_READY = Check("Which accounts is the exporter still waiting for?", 'curl -sS "$EXPORTER/-/ready"')

# -- actions
START = Action(
    "Start it",
    "It takes about five minutes, with GPUs longer. It works if the status is `stopped`, `interrupted` or `errored`. "
    "The API responds with 409 while a stop is in progress, ignores the request while the workload is `suspended`, and "
    f"cannot start a `terminated` one. In the console: *Actions* menu of {CONSOLE}.",
    ('dr_send POST "workloads/$WORKLOAD_ID/start"',),
)
RESTART = Action(
    "Restart it",
    "This is an outage of some minutes. Stop it; when its status is `stopped`, which may take up to twelve minutes, "
    "start it.",
    (
        'dr_send POST "workloads/$WORKLOAD_ID/stop"',
        'dr_get "workloads/$WORKLOAD_ID/"',
        'dr_send POST "workloads/$WORKLOAD_ID/start"',
    ),
)
STOP = Action(
    "Stop it",
    "Its callers get no responses until it is started again; nothing is lost.",
    ('dr_send POST "workloads/$WORKLOAD_ID/stop"',),
)
STOP_ANOTHER = Action(
    "Stop another workload",
    "One that is not needed now, to release its capacity. Its callers get no responses until it is started again.",
    ('export OTHER_ID=...\ndr_send POST "workloads/$OTHER_ID/stop"',),
)
REPLACE = Action(
    "Replace the artifact",
    "If the previous version serves, it continues to do so until the new one is ready: a failed attempt does no harm. "
    "To roll back, use the previous artifact: in the history, the `candidateArtifactId` of the last `completed` "
    "replacement before the current one. To fix it, use the new artifact. A locked artifact can only replace a locked "
    f"one, and a draft a draft (otherwise 400). In the console: *Actions* menu of {CONSOLE}.",
    (
        'dr_get "workloads/$WORKLOAD_ID/history/?limit=10"',
        "export ARTIFACT_ID=...\n"
        'dr_send POST "workloads/$WORKLOAD_ID/replacement" '
        '"{\\"artifactId\\": \\"$ARTIFACT_ID\\", \\"strategy\\": \\"rolling\\"}"',
    ),
)
CANCEL = Action(
    "Cancel the replacement",
    "The previous version continues to serve; the new one is stopped.",
    ('dr_send DELETE "workloads/$WORKLOAD_ID/replacement"',),
)
PROMOTE = Action(
    "Promote it",
    "The artifact is locked and the time limit is lifted, without a restart. Its request statistics start at zero "
    f"again. In the console: *Actions* menu of {CONSOLE}.",
    ('dr_send POST "workloads/$WORKLOAD_ID/promote"',),
)
IMPORTANCE = Action(
    "Change its importance",
    "`low`, `moderate`, `high` or `critical`. It takes effect without a restart. The platform evicts workloads of low "
    f"importance first. In the console: {CONSOLE}.",
    ("export IMPORTANCE=...\n"
     'dr_send PATCH "workloads/$WORKLOAD_ID" "{\\"importance\\": \\"$IMPORTANCE\\"}"',),
)  # fmt: skip
SETTINGS = Action(
    "Change its settings",
    f"Replicas, autoscaling and resource bundle: tab *Settings* of {CONSOLE}. The platform applies them by a "
    "replacement: the previous version serves until the new one is ready. While another replacement is in progress, it "
    "refuses them with 409. Do not save settings of a workload that is stopped on purpose: that starts it. With the "
    "API, send all of these settings with `PATCH`, also those that stay as they are: a group without a bundle is "
    "accepted and then fails.",
    ('dr_get "workloads/$WORKLOAD_ID/settings/"',),
)
SHARE = Action(
    "Share it",
    f"An owner of the workload does this: *Share* in the *Actions* menu of {CONSOLE}, with the token's user and the "
    "role `user` or higher. `consumer` is not enough: it may only call the workload. The roles that it has now:",
    ('dr_get "workloads/$WORKLOAD_ID/sharedRoles/"',),
)
DELETE = Action(
    "Delete it",
    f"This cannot be undone. In the console: *Actions* menu of {CONSOLE}. With the API: `dr_send DELETE "
    '"workloads/$WORKLOAD_ID"`.',
)
SHARE_ALL = Action(
    "Restore the permission",
    "An administrator of DataRobot does this. The token's user needs the role `user` on every workload, and the "
    "Workload API has to be enabled for it. Then test it:",
    (f"workload-exporter check --online {CONFIG_FLAG}",),
)
RELOAD = Action(
    "Reload the settings",
    "A reload that fails leaves the old settings in force, and prints the reason.",
    ('curl -sS -X POST "$EXPORTER/-/reload"',),
)
RESTART_EXPORTER = Action(
    "Restart the exporter",
    "In Kubernetes: `kubectl rollout restart deployment,statefulset -l app.kubernetes.io/name=workload-exporter`; "
    "under systemd: `systemctl restart workload-exporter`; in a container: `docker restart CONTAINER`. It starts "
    "within seconds. With `state.path` or `state.url` it keeps its counters and alerts.",
)
NEW_TOKEN = Action(
    "Create a new token",
    "In the console, as the user of the token: *API keys and tools* in the user menu. Put it where the account's "
    "`token_file` or `token_env` is read. A file is read again automatically, an environment variable requires a "
    "restart. Then test it:",
    (f"workload-exporter check --online {CONFIG_FLAG}",),
)

# -- symptoms
CRASH = Symptom(
    "A container is waiting with `CrashLoopBackOff`; its last exit code is 1, 2, 126, 127 or 139.",
    "The process exits with an error: 1 is an error of the application, 2 wrong arguments, 126 not executable, 127 not "
    "found, 139 a crash in native code. `exec format error` in the log: the image is for another CPU architecture.",
    "The end of the log shows the error. If it began with a new version or new settings, go back to the previous "
    "artifact; otherwise correct the command, the environment or the image in a new artifact.",
    (REPLACE,),
)
EXIT_ZERO = Symptom(
    "A container last terminated with `Completed` and exit code 0, whatever its current waiting reason is.",
    "The process is not a server: it finishes its work and exits, or a start script runs the server in the background.",
    "Use an artifact whose command runs the server in the foreground, listening on its port. A process that finishes "
    "its work and exits is not supported.",
    (REPLACE,),
)
PROBE_KILLS = Symptom(
    "The number of restarts increases; the last exit code is 137 or 143 with the reason `Error`, not `OOMKilled`. (In "
    "a version that is being stopped, this is normal.)",
    "A startup or liveness probe fails, and the platform kills the container.",
    "Give the probe a longer initial delay or period in a new artifact, or fix the endpoint that it calls.",
    (REPLACE,),
)
OOM = Symptom(
    "A container last terminated with `OOMKilled`, exit code 137.",
    "It used more memory than its resource bundle provides.",
    "Choose a bundle with more memory, or reduce the memory use of the application: fewer workers, smaller batches.",
    (SETTINGS,),
)
PULL = Symptom(
    "A container is waiting with `ImagePullBackOff`, `ErrImagePull` or `InvalidImageName`, and has never started.",
    "The image cannot be pulled: `manifest unknown` or `not found` in the message means that the registry has no such "
    "tag or digest, or removed it; `unauthorized` or `denied`, that the credential is wrong.",
    "Compare `image` of the container (`dr_pods`) with the registry. Push the image again under the same name, or "
    "renew the credential: the platform retries by itself. If the name is wrong, use a corrected artifact. Starting "
    "the workload again cannot help: it pulls the same image.",
    (REPLACE,),
)
CONFIG = Symptom(
    "A container is waiting with `CreateContainerConfigError`, `CreateContainerError` or `RunContainerError`.",
    "A secret or variable that it references does not exist, a volume cannot be mounted, or its command cannot be run.",
    "The `message` in `dr_pods` names what is missing: create it, or correct the name in a new artifact.",
    (REPLACE,),
)
READINESS = Symptom(
    "Containers are running but not ready; the condition `Ready` is not met, with `ContainersNotReady`.",
    "The readiness probe fails: wrong port or path, or the application is still loading, hangs, or waits for a "
    "dependency that is down.",
    "The log shows on which port the application listens and whether it has finished loading. If it was ready before "
    "and nothing was replaced, fix what it is waiting for; if it hangs, restart it. If it was never ready, correct the "
    "probe in a new artifact.",
    (RESTART, REPLACE),
)
NODE = Symptom(
    "The condition `PodScheduled` is not met, with `Unschedulable`; there are no containers yet.",
    "No node has enough free capacity: the message says of what (GPU, CPU, memory, volume).",
    "Wait ten minutes if nodes are added on demand. Otherwise stop a less important workload, choose a smaller bundle, "
    "or escalate to the cluster administrators.",
    (STOP_ANOTHER, SETTINGS),
)
PREEMPTED = Symptom(
    "A replica has `failed`, and the workload is `interrupted`.",
    "It was evicted: a more important workload needed its capacity, or its node was removed.",
    "Start it. If it is evicted again, raise its importance first.",
    (START, IMPORTANCE),
)
PODS_NOT_REPORTED = Symptom(
    "`dr_pods` prints 204 for the version, or nothing about its pods has changed for a long time.",
    "The platform's monitor does not report this workload; its status is the last one known.",
    'Call its endpoint: `dr_get "endpoints/workloads/$WORKLOAD_ID/"`. If it responds, do not touch the workload, and '
    "escalate to the platform administrators. If it does not, and no stop is in progress, restart it, and inform them "
    "too. (A start alone has no effect while the platform regards it as running or starting.)",
    (RESTART,),
)
BAD_RELEASE = Symptom(
    "It began with a replacement, new settings or a promotion (`Changes` in step 1).",
    "The new version is the cause.",
    "Go back to the previous artifact; for settings, to the previous values.",
    (REPLACE, SETTINGS),
)
OVERLOAD = Symptom(
    "Concurrent requests, CPU or memory are close to what its replicas can handle.",
    "It is overloaded.",
    "Raise the number of replicas or the autoscaler's maximum, or choose a larger bundle.",
    (SETTINGS,),
)
DOWNSTREAM = Symptom(
    "The log shows timeouts or refused connections to services that it calls.",
    "A service that it depends on is down or slow: if it never worked, or its address is new, the network may block "
    "it; private address ranges are blocked.",
    "Escalate to the owners of that service or of the network; changes to this workload do not help. If a credential "
    "was renewed, the workload uses the old one until it is restarted.",
    (RESTART,),
)
