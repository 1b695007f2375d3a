"""Dashboard of the exporter itself: freshness of its data, API requests, and resource usage."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard

from dashboards.layout import assemble
from dashboards.links import EXPORTER
from dashboards.panels import Column, Query, Row, stat_panel, table_panel, time_series, zero_is_good
from dashboards.queries import DATA_AGE, STALE, exporter_starts, quantile
from dashboards.style import BAD, GOOD, NONE, NOT_REPORTED, WARNING
from dashboards.variables import ACCOUNT, JOB, query_variable
from exporter.alerting.limits import DEFAULTS

_INSTANCE = query_variable("instance", "instance", 'label_values(datarobot_exporter_build_info{job=~"$job"}, instance)')
_SELECTED = 'job=~"$job", instance=~"$instance"'
_RATE = "[$__rate_interval]"


def _own(name: str, *matchers: str, account: bool = False) -> str:
    selectors = [_SELECTED, *(['account=~"$account"'] if account else []), *matchers]
    return f"datarobot_exporter_{name}{{{', '.join(selectors)}}}"


def _rate(name: str, *matchers: str, by: str = "", account: bool = True) -> str:
    kept = f" by ({by})" if by else ""
    return f"sum{kept} (rate({_own(name, *matchers, account=account)}{_RATE}))"


def _quantile(name: str, share: float, *by: str, account: bool = True) -> str:
    kept = ", ".join(("le", *by))
    buckets = _own(f"{name}_bucket", account=account)
    return quantile(share, f"sum by ({kept}) (rate({buckets}{_RATE}))")


def _process(name: str) -> str:
    return f"{name}{{{_SELECTED}}}"


_THROTTLED = _rate("api_requests_total", 'code="429"')
_BUDGET = _own("api_budget_requests_per_second", account=True)
_AGES = _own("detail_age_seconds_bucket", account=True)
_UP = {"1": ("up", GOOD), "0": ("down", BAD)}
_API_UP = {"1": ("up", GOOD), "0": ("failing", BAD)}


def build() -> dashboard.Dashboard:
    """The dashboard as a model of Grafana."""
    return assemble(
        EXPORTER,
        "DataRobot workloads: exporter health",
        "Freshness of the exporter's data, its API requests and its resource usage.",
        variables=[JOB, _INSTANCE, ACCOUNT],
        annotations=[exporter_starts()],
        rows=[
            Row("", [
                stat_panel("Exporter", "Whether Prometheus can scrape the exporter.",
                           Query(f"min(up{{{_SELECTED}}})"), texts=_UP, no_value="not scraped", filled=True),
                stat_panel("DataRobot API", "Whether the last sweep of every account was complete.",
                           Query(f"min({_own('api_up', account=True)})"), texts=_API_UP, no_value=NOT_REPORTED,
                           filled=True),
                stat_panel("Data age", "Time since the last complete sweep, for the account with the oldest data.",
                           Query(f"max({DATA_AGE})"), unit="s", steps=((None, GOOD), (STALE, BAD)),
                           no_value=NOT_REPORTED),
                stat_panel("Failed sweeps", "Failed sweeps of all accounts in the selected time range.",
                           Query(f"round(sum(increase({_own('sweep_failures_total', account=True)}[$__range])))"),
                           steps=zero_is_good(colour=WARNING), no_value=NONE),
                stat_panel("Stale details", "Workloads with details that are too old and therefore withdrawn, summed "
                           "over the parts of the details.",
                           Query(f"sum(max by (account, part) ({_own('detail_stale', account=True)}))"),
                           steps=zero_is_good(colour=WARNING), no_value=NOT_REPORTED),
                stat_panel("Rejects", "Items and fields of API responses that could not be decoded, in the selected "
                           "time range.",
                           Query(f"round(sum(increase({_own('api_rejects_total', account=True)}[$__range])))"
                                 " or vector(0)"), steps=zero_is_good(colour=WARNING), no_value=NONE),
                stat_panel("Settings", "Result of the last reload of the settings.",
                           Query(f"min({_own('config_last_reload_successful')})"),
                           texts={"1": ("valid", GOOD), "0": ("invalid: previous in use", BAD)},
                           no_value=NOT_REPORTED),
                stat_panel("Version", "Running versions.",
                           Query(f"max by (version) ({_own('build_info')})", "{{version}}"),
                           show_name=True, no_value=NOT_REPORTED),
            ]),
            Row("Freshness", [
                time_series("Data age by account", "Time since the last complete sweep. The line is the alert "
                            "threshold.",
                            Query(DATA_AGE, "{{account}}"), unit="s", no_value=NOT_REPORTED, width=8,
                            steps=((None, GOOD), (STALE, BAD))),
                time_series("Sweep duration p95", "95th percentile by account. Dashed: the sweep interval, which the "
                            "duration must not reach.",
                            Query(_quantile("sweep_duration_seconds", 0.95, "account"), "{{account}}"),
                            Query(f"max({_own('sweep_interval_seconds', account=True)})", "interval"),
                            unit="s", no_value=NOT_REPORTED, width=8, dashed=["interval"], colours={"interval": BAD}),
                time_series("Failed sweeps by reason", "Failed sweeps per minute. A failed sweep changes no data.",
                            Query(f"{_rate('sweep_failures_total', by='account, reason')} * 60 > 0",
                                  "{{account}} {{reason}}"), unit="cpm", no_value=NONE, width=8),
                time_series("Age of details p95", "95th percentile of the age by part of the details, over the fleet.",
                            Query(quantile(0.95, f"sum by (le, part) ({_AGES})"), "{{part}}"), unit="s",
                            no_value=NOT_REPORTED, width=8, height=10),
                time_series("Load of detail polling", "Requests needed to poll all details at their intervals, "
                            "relative to the available budget. Above 100 %, all details are polled less often.",
                            Query(f"max by (account) ({_own('detail_load_ratio', account=True)})", "{{account}}"),
                            unit="percentunit", no_value=NOT_REPORTED, width=8, height=10,
                            steps=((None, GOOD), (1, WARNING))),
                time_series("Queue of detail polling", "Parts of details that are due.",
                            Query(f"max by (account) ({_own('detail_queue', account=True)})", "{{account}}"),
                            unit="short", no_value=NOT_REPORTED, width=8, height=10),
            ]),
            Row("API requests", [
                time_series("Requests by status code", "API requests per second. Dashed: the configured limit.",
                            Query(_rate("api_requests_total", by="code"), "{{code}}"),
                            Query(f"sum(max by (account) ({_BUDGET}))", "budget"),
                            unit="reqps", no_value=NONE, width=8, height=10, dashed=["budget"],
                            colours={"200": GOOD, "204": "light-green", "429": WARNING, "401": BAD, "502": BAD,
                                     "error": BAD}),
                time_series("Requests by endpoint", "API requests per second.",
                            Query(_rate("api_requests_total", by="endpoint"), "{{endpoint}}"), unit="reqps",
                            no_value=NONE, width=8, height=10),
                time_series("Response time p95 by endpoint", "95th percentile of the time until the last byte.",
                            Query(_quantile("api_request_duration_seconds", 0.95, "endpoint"), "{{endpoint}}"),
                            unit="s", no_value=NONE, width=8, height=10),
                time_series("Throttled requests", "Share of responses with status 429. The line is the alert "
                            "threshold.",
                            Query(f"{_THROTTLED} / ({_rate('api_requests_total')} > 0)", "429"),
                            unit="percentunit", no_value=NONE, width=8, most=0.1,
                            steps=((None, GOOD), (DEFAULTS["throttled_ratio"], WARNING))),
                time_series("Retries by reason", "Retried API requests per minute.",
                            Query(f"{_rate('api_retries_total', by='reason')} * 60 > 0", "{{reason}}"),
                            unit="cpm", no_value=NONE, width=8),
                table_panel("Rejects by path", "Items and fields that could not be decoded since the exporter started.",
                            [f"sum by (path, reason) ({_own('api_rejects_total', account=True)}) > 0"],
                            [Column("path", "Path"), Column("reason", "Reason"), Column("A", "Count", width=80)],
                            sort="Count", width=8),
            ]),
            Row("Replicas", [
                table_panel("Replicas", "Replicas that share the accounts by leases: which one sweeps, serves and "
                            "pages each account (empty: what all share), for how long it may rely on its leases, and "
                            "how many replicas it knows. At 0 s, another one may take its accounts.",
                            [f"max by (account, instance) ({_own('unit_held')}) == 1",
                             f"max by (instance) ({_own('lease_remaining_seconds')})",
                             f"max by (instance) ({_own('replicas')})"],
                            [Column("account", "Account"), Column("instance", "Replica"),
                             Column("B", "Lease time left", unit="s", steps=((None, BAD), (1, GOOD))),
                             Column("C", "Replicas", unit="short")],
                            sort="Account", descending=False, no_value="no leases in use", hidden=["Value #A"]),
            ]),
            Row("Resource usage", [
                time_series("Workload series", "Number of workload series on the metrics page.",
                            Query(f"sum by (instance) ({_own('series')})", "{{instance}}"),
                            unit="short", no_value=NOT_REPORTED, width=6),
                time_series("CPU", "CPU cores used by the process.",
                            Query(f"sum by (instance) (rate({_process('process_cpu_seconds_total')}{_RATE}))",
                                  "{{instance}}"), unit="short", axis="cores", no_value=NOT_REPORTED, width=6),
                time_series("Memory", "Resident memory of the process.",
                            Query(f"sum by (instance) ({_process('process_resident_memory_bytes')})", "{{instance}}"),
                            unit="bytes", no_value=NOT_REPORTED, width=6),
                time_series("Event loop lag p99", "99th percentile of the time for which a scrape may be delayed.",
                            Query(_quantile("event_loop_lag_seconds", 0.99, "instance", account=False),
                                  "{{instance}}"), unit="s", no_value=NOT_REPORTED, width=6),
            ]),
        ],
    )  # fmt: skip
