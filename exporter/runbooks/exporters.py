"""Runbooks of the alerts about the exporter itself."""

from __future__ import annotations

from exporter.runbooks.parts import (
    CHECK_ONLINE,
    EXPORTER_LOG,
    EXPORTER_READY,
    IN_WORKING_HOURS,
    MONITORING_IS_DOWN,
    NEW_TOKEN,
    RELOAD,
    RESTART_EXPORTER,
    SHARE_ALL,
    SWEEPS,
    Check,
    Runbook,
    Symptom,
)
from exporter.runbooks.shell import CONFIG_FLAG

_UP = Check("Is it up, as seen by Prometheus?", query='up{job="datarobot"}')
_LEASES = Check(
    "For how many seconds may each replica rely on its leases? 0: they have run out.",
    query="datarobot_exporter_lease_remaining_seconds",
)
_BUDGET = Check(
    "How much of the request budget do the details need? Above 1, they are polled less often than configured.",
    query="datarobot_exporter_detail_load_ratio",
)
_CODES = Check(
    "With which status codes does the API respond, by route?",
    query="sum by (account, endpoint, code) (rate(datarobot_exporter_api_requests_total[15m])) > 0",
)
_PAUSED = Check(
    "Which requests are paused because the API refused some, and for how many more seconds? `*` is all requests of the "
    "account, `details` all but the workload list.",
    query="datarobot_exporter_api_paused_until_timestamp_seconds - time() > 0",
)
_TOKEN = Symptom(
    "The reason is `auth` (401).", "The token was revoked or has expired.", "Create a new token.", (NEW_TOKEN,)
)
_PERMISSION = Symptom(
    "The reason is `forbidden` (403).",
    "The token's user lost a permission, or the feature is not enabled for the account.",
    "`check --online` names the route. Restore the permission; another token of the same user does not help.",
    (SHARE_ALL,),
)
_NO_DATA = (
    "The data about workloads is outdated or incomplete, for everyone who relies on these alerts. Workloads themselves "
    "are not affected."
)

EXPORTERS: dict[str, Runbook] = {
    "DataRobotExporterDown": Runbook(
        "Prometheus cannot scrape the exporter, or has no such target. As a warning: other replicas hold accounts, and "
        "take those of this one.",
        "No new alert about a workload can fire; firing ones are kept for a while and then resolve. Workloads are not "
        "affected. As a warning: none now, but fewer replicas are left to take over.",
        MONITORING_IS_DOWN,
        (_UP, Check("Does it respond?", 'curl -sS "$EXPORTER/-/healthy"'), EXPORTER_LOG,
         Check("Are its settings valid?", f"workload-exporter check {CONFIG_FLAG}")),
        (Symptom("It is not running, and its log ends with errors in the settings.",
                 "Its settings are invalid (exit status 2).",
                 "Correct the settings that `workload-exporter check` reports, then start it.", (RESTART_EXPORTER,)),
         Symptom("It was killed because it used too much memory.",
                 "The fleet has more series than its memory limit allows.",
                 "Give it more memory, a smaller `metrics.profile`, or shards (`select.shard`).", (RESTART_EXPORTER,)),
         Symptom("It responds to you but not to Prometheus.",
                 "Address, port, TLS, password, or the network between them.",
                 "The *Targets* page of Prometheus (`/targets`) shows the error: compare with `web.listen_address`."),
         Symptom("The alert has no label `instance`.", "Prometheus has no target of this job.",
                 "Add the scrape job, or, if yours has another name, generate the rules with "
                 "`workload-exporter rules --alerts.selector='job=\"…\"'`.")),
        "While it is being moved.",
        "a restart takes seconds, and three minutes are shorter than the time for which alerts are kept",
        "When Prometheus scrapes it again.",
    ),
    "DataRobotAccountNotHeld": Runbook(
        "Several replicas share the accounts by leases (`select.shard: auto`), and none that Prometheus can scrape "
        "holds this one. If ACCOUNT is empty, it is what all replicas share: alarms about the exporter, and sending "
        "traces.",
        "The account is not swept: no new alert about its workloads can fire, and direct paging is silent about it. "
        "Workloads are not affected.",
        MONITORING_IS_DOWN,
        (Check("Which replica holds which account, as seen by Prometheus?",
               query="max by (account, instance) (datarobot_exporter_unit_held)"), _UP, _LEASES, EXPORTER_LOG),
        (Symptom("A replica is not `up`.", "Prometheus cannot scrape the replica that holds the account.",
                 "See [DataRobotExporterDown](DataRobotExporterDown.md#likely-causes)."),
         Symptom("No replica has seconds left.", "The database of `state.url` does not respond: none can take it.",
                 "See [DataRobotExporterLeasesExpired](DataRobotExporterLeasesExpired.md#likely-causes)."),
         Symptom("`an account could not be taken over or given up` in the log, and "
                 "`datarobot_exporter_takeover_failures_total` increases.",
                 "A file of the account cannot be read, or its state cannot be loaded.",
                 "Correct what the message names (`accounts` in the settings); the replica tries it again every "
                 "second."),
         Symptom("Replicas have different `accounts` in their settings.", "They are spread over all replicas, also "
                 "over those that do not know them.",
                 "Give all replicas the same settings.", (RELOAD,))),
        "Never.",
        "another replica takes an account within half a minute; two minutes also cover the restart of all",
        "When a replica holds the account.",
    ),
    "DataRobotExporterLeasesExpired": Runbook(
        "A replica has not been able to renew its leases in the database (`select.shard: auto`) for so long that they "
        "have run out.",
        "Another replica may take its accounts. Until then, or if the database responds to none, it goes on to sweep "
        "and serve them, but pages only receivers that merge the same page of two replicas, and resolves nothing.",
        "No, unless it fires for all replicas and people rely on direct paging.",
        (_LEASES, Check("How many replicas does each one know?", query="datarobot_exporter_replicas"),
         Check("How often do renewals fail?", query="increase(datarobot_exporter_lease_failures_total[15m]) > 0"),
         EXPORTER_LOG),
        (Symptom("It fires for all replicas.", "The database is down, or overloaded.",
                 "Start the database of `state.url`, or give it more resources. The replicas need no restart."),
         Symptom("It fires for one replica.", "The network between this replica and the database, or its password.",
                 "The log has the message of the database: correct `state.url`, the password or the firewall of this "
                 "replica.", (RESTART_EXPORTER,))),
        "During maintenance of the database.",
        "a restart of the database takes less than a minute",
    ),
    "DataRobotApiUnreachable": Runbook(
        "No sweep of the account completes: the workload list cannot be read.",
        f"{_NO_DATA} The data shown is from the last complete sweep, and is withdrawn when it is too old.",
        MONITORING_IS_DOWN,
        (SWEEPS, CHECK_ONLINE, _PAUSED, EXPORTER_LOG,
         Check("Does DataRobot respond to you? Any status code but 000 proves that the network works.",
               "curl -sS -o /dev/null -w '%{http_code}\\n' --max-time 10 "
               '"${DATAROBOT_ENDPOINT:-https://app.datarobot.com}"')),
        (Symptom("The reason is `server_error`.", "DataRobot responds with server errors.",
                 "Wait, and escalate to DataRobot support. Check workloads that matter by calling their endpoints."),
         Symptom("The reason is `dns`, `connect`, `tls` or `timeout`.",
                 "The network, a proxy, a certificate, or an outage of DataRobot.",
                 "If `curl` fails only on the exporter's host, correct the proxy (`HTTPS_PROXY`), the firewall or the "
                 "account's `ca_file`. If it fails everywhere, check DataRobot's status page."),
         _TOKEN,
         Symptom("The reason is `throttled`.", "The API refuses to list workloads: all requests of the account are "
                 "paused for the time that it requests, or for 5 s, doubled each time up to 300 s. A refused detail "
                 "route does not pause the list.",
                 "Lower `requests_per_second` of the account.", (RELOAD,))),
        "During maintenance of DataRobot.",
        "retries bridge a minute",
    ),
    "DataRobotDataStale": Runbook(
        "The last complete sweep of the account is several intervals old.",
        f"{_NO_DATA} States of workloads are outdated. After `sweep.stale_after` they are withdrawn.",
        MONITORING_IS_DOWN,
        (SWEEPS, EXPORTER_READY,
         Check("How long do sweeps take, in seconds?",
               query="sum by (account) (rate(datarobot_exporter_sweep_duration_seconds_sum[15m]))\n"
               "/ sum by (account) (rate(datarobot_exporter_sweep_duration_seconds_count[15m]))"), EXPORTER_LOG),
        (Symptom("Sweeps fail.", "The API does not respond, or rejects the requests: see `reason`.",
                 "See [DataRobotApiUnreachable](DataRobotApiUnreachable.md#likely-causes)."),
         Symptom("Sweeps take longer than the interval.", "A large fleet, or a slow API.",
                 "Set a longer `sweep.interval`, or use shards (`select.shard`).", (RELOAD,)),
         Symptom("No sweep begins.", "The exporter hangs: its event loop is blocked.",
                 "Save its log, then restart it.", (RESTART_EXPORTER,))),
        "During maintenance of DataRobot.",
        "the age is part of the condition",
    ),
    "DataRobotTokenRejected": Runbook(
        "The API responds to the exporter with 401 or 403.",
        f"{_NO_DATA} No new data about the account is read. The last data is withdrawn after `sweep.stale_after`.",
        MONITORING_IS_DOWN,
        (CHECK_ONLINE, SWEEPS, EXPORTER_LOG),
        (_TOKEN, _PERMISSION),
        "Never.",
        "a short failure of the API's authentication does not mean that the token was revoked",
    ),
    "DataRobotApiRateLimited": Runbook(
        "The API responds to a part of the exporter's requests with 429.",
        "What refuses is paused (a workload's part, after three workloads the route), and its details become outdated; "
        "if the workload list itself is refused, so do all states. Others may be throttled too.",
        "No, unless DataRobotApiUnreachable fires too.",
        (_CODES, _PAUSED, _BUDGET,
         Check("How many requests does a fleet of this size need?", "workload-exporter plan --workloads=1000")),
        (Symptom("The budget is above what the API permits.", "Too many requests.",
                 "Lower `requests_per_second` of the account.", (RELOAD,)),
         Symptom("Only one route is paused.", "The API limits that route separately.",
                 "List fewer `detail.parts`, or set a longer `detail.interval`.", (RELOAD,)),
         Symptom("Others use the same account heavily.", "They share the limit.",
                 "Give the exporter its own user.", (NEW_TOKEN,))),
        "During a migration that uses the API heavily.",
        "retries absorb a burst",
    ),
    "DataRobotApiUnknownAnswers": Runbook(
        "Responses contained items that could not be read and were left out, or an unknown status.",
        "A workload may be missing from all metrics, or have a state that no alert covers.",
        IN_WORKING_HOURS,
        (Check("What was left out, and for which reason?",
               query="sum by (account, path, reason) (increase(datarobot_exporter_api_rejects_total[1h])) > 0"),
         Check("Which fields had unknown values?",
               query="sum by (account, field) (increase(datarobot_exporter_api_unknown_values_total[1h])) > 0"),
         Check("Which workloads have an unknown status?", query='datarobot_workload_status{status="other"} == 1'),
         EXPORTER_LOG),
        (Symptom("It began with a new version of DataRobot.", "The API has changed.",
                 "Upgrade the exporter (`git pull && make run` in its folder). Until then, watch such workloads in the "
                 "console."),
         Symptom("Only one workload is affected.", "An unusual item.",
                 "Escalate with the log line of the exporter, which contains the path of the field.")),
        "Until the exporter is upgraded.",
        "one unusual response does not mean that the API has changed",
    ),
    "DataRobotExporterDetailsStale": Runbook(
        "Parts of the details of workloads (pods, statistics, …) are so old that they were withdrawn. Pods count as "
        "old while those of the serving version cannot be read, even if those of other versions can.",
        "Alerts that use this part cannot start firing for these workloads; `datarobot_workload_fresh` names them.",
        "No, unless important workloads are concerned (step 3): call their endpoints.",
        (Check("Which parts, of how many workloads?", query="datarobot_exporter_detail_stale > 0"), _BUDGET,
         Check("Which workloads?", query='datarobot_workload_fresh{part="pods"} == 0'),
         _PAUSED,
         Check("For which reasons do detail requests fail?",
               query="sum by (account, part, reason) (\n"
               "increase(datarobot_exporter_detail_look_failures_total[1h])) > 0"),
         Check("The pods of which versions could not be read, and for which reason?",
               query="datarobot_proton_unreadable > 0")),
        (Symptom("The load is above 1.", "The fleet is too large for the budget.",
                 "Raise `requests_per_second`, list fewer `detail.parts`, or use shards (`select.shard`).", (RELOAD,)),
         Symptom("Detail requests fail with `forbidden`.", "The token may list the workload but not read its details.",
                 "Give its user the role `user`.", (SHARE_ALL,)),
         Symptom("Detail requests fail with `throttled`.",
                 "The API refuses requests to that route, and the exporter pauses them.",
                 "See [DataRobotApiRateLimited](DataRobotApiRateLimited.md#likely-causes)."),
         Symptom("Detail requests fail with `server_error` or `timeout`.", "That route of the API is failing.",
                 "Wait, and escalate to DataRobot support."),
         Symptom("Requests for pods fail with `server_error` for few workloads.",
                 "The API fails to report the pods of these versions only.",
                 "Escalate to the platform administrators, with the ids of the versions. The exporter does not know "
                 "whether they serve: call their endpoints.")),
        "While the API is known to be slow.",
        "polling catches up after a restart",
    ),
    "DataRobotExporterSeriesLimit": Runbook(
        "The exporter would serve more series than `metrics.series_limit`, so it leaves out workloads.",
        "No metric and no alert covers the workloads that are left out: their owners and callers are affected.",
        IN_WORKING_HOURS,
        (Check("How many workloads, and how many series?",
               query='{__name__=~"datarobot_exporter_series.*"}'),),
        (Symptom("The fleet has grown.", "The limit is too low.",
                 "Raise `metrics.series_limit` if Prometheus can handle it, or use shards (`select.shard`).",
                 (RELOAD,)),
         Symptom("The profile is larger than needed.", "Too many series per workload.",
                 "Set a smaller `metrics.profile` or fewer `detail.parts`.", (RELOAD,))),
        "Not for long.",
        "during a deployment there may be two versions for a while",
    ),
    "DataRobotExporterStateNotKept": Runbook(
        "The state cannot be written.",
        "None now: counters continue in memory. After a restart they would continue from the last written values, for "
        "everyone who relies on them.",
        "No, but do not restart the exporter before it is fixed.",
        (EXPORTER_LOG, Check("Is the disk full?", 'df -h "${STATE_FOLDER:-.}"')),
        (Symptom("`disk is full` in the log.", "There is no free space.",
                 "Free some space in the folder of `state.path`; nothing else is needed."),
         Symptom("`readonly` or `permission` in the log.", "The exporter's user cannot write to the folder.",
                 "Mount the folder of `state.path` writable, or change its owner (in the container: `chown 65532`)."),
         Symptom("`postgresql://` in the log.", "The database of `state.url` is not available, or does not permit it.",
                 "Start the database, or correct `state.url`, its password or the rights of its user, as the message "
                 "says. Restart the exporter only if the message says so.")),
        "Not for long.",
        "a failed commit is repeated with the next sweep",
    ),
    "DataRobotExporterCannotNotify": Runbook(
        "Direct paging is enabled, and one of the receivers does not accept notifications.",
        "That receiver gets no notifications, neither of new incidents nor of resolved ones; everyone who is notified "
        "by it is affected. The other receivers get theirs.",
        "Yes: incidents may be unnoticed. Watch the status page of the exporter (`$EXPORTER/`) meanwhile.",
        (Check("Which receiver, and for how many seconds?",
               query="datarobot_exporter_notification_failing_seconds > 0"),
         Check("For which reason?", query="increase(datarobot_exporter_notification_failures_total[15m]) > 0"),
         EXPORTER_LOG,
         Check("Is a test page delivered? Set `RECEIVER` to the name of the receiver in the settings.",
               f'workload-exporter notify test "${{RECEIVER:?is not set}}" {CONFIG_FLAG}')),
        (Symptom("`auth`, `forbidden`, `not_found`.", "The key was revoked, or the URL is no longer valid.",
                 "Create a new key in the receiver's service, put it where `paging.receivers` reads it, and reload.",
                 (RELOAD,)),
         Symptom("`timeout`, `dns`, `connect`, `tls`.", "The connection: network, proxy, or the service itself.",
                 "Try `curl` with the address of the receiver from the exporter's host; check the service's status "
                 "page."),
         Symptom("`the state of paging cannot be read` in the log.",
                 "The database, or the disk: nothing is paged before the state is read.",
                 "Start the database, or correct `state.url` or `state.path`, as the message says. Reading is tried "
                 "again at each evaluation."),
         Symptom("`throttled`.", "More notifications than the receiver accepts.",
                 "Wait: alerts that are still firing are sent once the receiver accepts them. Find the cause of the "
                 "alert storm on the status page (`$EXPORTER/`).")),
        "Only while the receiver's service is known to be down and the alerts are watched in another way.",
        "alerts that are still firing are sent as soon as the receiver responds",
    ),
    "DataRobotExporterReloadFailed": Runbook(
        "A reload of the settings failed; the previous settings are still in force.",
        "None now: the change has no effect. But if the exporter is restarted, it will not start.",
        "No, but do not restart the exporter before it is fixed.",
        (Check("What is wrong with the settings?", f"workload-exporter check {CONFIG_FLAG}"),
         EXPORTER_LOG),
        (Symptom("The check lists errors.", "A typing error, or a setting of another version.",
                 "Correct them, then reload.", (RELOAD,)),
         Symptom("The check lists no errors.",
                 "Something else failed while the new settings were applied; the log has the error after "
                 "`the reload failed`.",
                 "Correct that, then reload.", (RELOAD,))),
        "Never.",
        "the file may be in the middle of being edited",
    ),
    "DataRobotWatchdog": Runbook(
        "There is no problem. This alert always fires, so that a dead man's switch can alert when it stops arriving.",
        "None. If it is missing, Prometheus, Alertmanager or the delivery of notifications is broken, and no alert "
        "reaches anyone.",
        "Not while it fires. If it is missing: yes.",
        (Check("Does the dead man's switch receive it?"),
         Check("Does Prometheus fire it?", query='ALERTS{alertname="DataRobotWatchdog"}')),
        (Symptom("It fires in Prometheus but does not arrive.",
                 "Alertmanager is down, or its route or receiver is wrong.",
                 "`amtool config routes test --config.file=alertmanager.yml alertname=DataRobotWatchdog` prints the "
                 "receiver."),
         Symptom("It does not fire in Prometheus.", "Prometheus is down, or has not loaded the rules.",
                 "`promtool check config prometheus.yml` reports errors; `rule_files` has to name the file.")),
        "Never.",
        "it always fires",
        "Never.",
    ),
}  # fmt: skip
