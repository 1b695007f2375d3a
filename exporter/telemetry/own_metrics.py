"""The families of the exporter's own metrics: sweeps, API requests, the served page, traces, paging.

`exporter.telemetry.report` updates them.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

PREFIX = "datarobot_exporter_"
_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SWEEP_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class OwnMetric(NamedTuple):
    """One family. `name` is without prefix, and without the ``_total`` of a counter."""

    name: str
    kind: Literal["counter", "gauge", "histogram", "gaugehistogram"]
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = _BUCKETS


_SWEEP_LABELS = ("account", "lane")
OWN_METRICS: tuple[OwnMetric, ...] = (
    OwnMetric(
        "build_info", "gauge", ("version", "revision", "python"), "Build information of this exporter; always 1."
    ),
    OwnMetric("start_timestamp_seconds", "gauge", (), "Start time of this exporter, in seconds since the epoch."),
    OwnMetric("api_up", "gauge", ("account",), "1 if the last sweep of the workload list was complete, else 0."),
    OwnMetric(
        "sweep_last_attempt_timestamp_seconds",
        "gauge",
        _SWEEP_LABELS,
        "Time the last sweep ended, complete or not, in seconds since the epoch.",
    ),
    OwnMetric(
        "sweep_last_success_timestamp_seconds",
        "gauge",
        _SWEEP_LABELS,
        "Time the last complete sweep ended, in seconds since the epoch.",
    ),
    OwnMetric(
        "sweep_begin_timestamp_seconds",
        "gauge",
        _SWEEP_LABELS,
        "Time this process started to sweep the account, in seconds since the epoch. Data age counts from here "
        "until the first complete sweep.",
    ),
    OwnMetric(
        "sweep_interval_seconds",
        "gauge",
        _SWEEP_LABELS,
        "Configured time between the starts of two sweeps, in seconds.",
    ),
    OwnMetric(
        "sweep_complete",
        "gauge",
        _SWEEP_LABELS,
        "1 if the served data comes from the last sweep, 0 if from an earlier one.",
    ),
    OwnMetric("sweeps", "counter", _SWEEP_LABELS, "Finished sweeps, complete or not."),
    OwnMetric("sweep_failures", "counter", (*_SWEEP_LABELS, "reason"), "Incomplete sweeps by reason."),
    OwnMetric(
        "sweep_overruns",
        "counter",
        _SWEEP_LABELS,
        "Sweeps not started on time because the previous one was still running.",
    ),
    OwnMetric("sweep_duration_seconds", "histogram", _SWEEP_LABELS, "Sweep duration, in seconds.", _SWEEP_BUCKETS),
    OwnMetric("objects", "gauge", ("account", "kind"), "Objects in the last complete sweep, by kind."),
    OwnMetric("vanished_workloads", "counter", ("account",), "Workloads absent from two complete sweeps in a row."),
    OwnMetric("api_requests", "counter", ("account", "endpoint", "code"), "API requests by route and status code."),
    OwnMetric("api_request_failures", "counter", ("account", "endpoint", "reason"), "Failed API requests by reason."),
    OwnMetric("api_retries", "counter", ("account", "endpoint", "reason"), "Retried API requests by reason."),
    OwnMetric(
        "api_request_duration_seconds",
        "histogram",
        ("account", "endpoint"),
        "Time from sending an API request to the last byte of its response, in seconds.",
    ),
    OwnMetric(
        "api_received_bytes", "counter", ("account", "endpoint"), "Size of API responses after decompression, in bytes."
    ),
    OwnMetric(
        "api_wait_seconds", "counter", ("account", "reason"), "Time API requests were delayed, by reason, in seconds."
    ),
    OwnMetric(
        "api_paused_until_timestamp_seconds",
        "gauge",
        ("account", "endpoint"),
        "Time requests to an endpoint resume after the API refused some (429, or 503 with Retry-After), in seconds "
        "since the epoch; in the past once resumed. Endpoint * means all requests of the account, details "
        "means all except the workload list.",
    ),
    OwnMetric("api_budget_requests_per_second", "gauge", ("account",), "Configured limit of API requests per second."),
    OwnMetric(
        "api_clock_offset_seconds",
        "gauge",
        ("account",),
        "Offset of the API's clock from the local clock, from the Date headers of recent responses, in seconds; "
        "positive if the API is ahead.",
    ),
    OwnMetric("api_capability", "gauge", ("account", "endpoint"), "1 if the server supports the route, else 0."),
    OwnMetric(
        "api_rejects",
        "counter",
        ("account", "path", "reason"),
        "Items and fields of API responses that could not be decoded, by path and reason.",
    ),
    OwnMetric(
        "api_unknown_values", "counter", ("account", "field"), "Unknown enumeration values in API responses, by field."
    ),
    OwnMetric(
        "assumption",
        "gauge",
        ("account", "assumption", "verdict"),
        "Verdict on an assumption about the API: confirmed, contradicted, or unknown so far; always 1. "
        "docs/assumptions.md lists them.",
    ),
    OwnMetric("detail_looks", "counter", ("account", "part"), "Polls of workload details, by part, successful or not."),
    OwnMetric(
        "detail_look_failures",
        "counter",
        ("account", "part", "reason"),
        "Failed polls of workload details, by part and reason.",
    ),
    OwnMetric("detail_queue", "gauge", ("account",), "Polls of workload details that are due and queued."),
    OwnMetric(
        "detail_load_ratio",
        "gauge",
        ("account",),
        "Requests needed to poll all details at their intervals, divided by the available request budget. Above 1, "
        "all details are polled less often.",
    ),
    OwnMetric(
        "detail_age_seconds",
        "gaugehistogram",
        ("account", "part"),
        "Age of workload details across the fleet, by part, in seconds.",
    ),
    OwnMetric(
        "detail_stale",
        "gauge",
        ("account", "part"),
        "Workloads for which this part of the details was too old and was withdrawn.",
    ),
    OwnMetric(
        "detail_dropped_workloads",
        "gauge",
        ("account", "extra", "importance"),
        "Workloads polled without extra quantiles or long windows because the request budget is too small.",
    ),
    OwnMetric("episodes", "counter", ("account", "kind", "outcome"), "Finished episodes by kind and outcome."),
    OwnMetric(
        "episode_duration_seconds",
        "histogram",
        ("account", "kind"),
        "Episode duration, in seconds. In OpenMetrics, the exemplar is the trace of the latest episode.",
        (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 21600.0, 86400.0),
    ),
    OwnMetric("deselected_workloads", "gauge", ("account",), "Listed workloads excluded by the settings."),
    OwnMetric("other_shards_workloads", "gauge", ("account",), "Listed workloads that belong to other shards."),
    OwnMetric(
        "tag_values_left_out",
        "gauge",
        ("account", "tag", "reason"),
        "Distinct values of a tag that are left out of datarobot_workload_tags, by reason: limit (metrics.tag_values "
        "is reached) or email (they look like e-mail addresses). Tag * with reason names: tags beyond 64 labels. No "
        "sample: none.",
    ),
    OwnMetric("shard_ordinal", "gauge", (), "Ordinal of this shard, starting at 0."),
    OwnMetric("shards", "gauge", (), "Number of shards."),
    OwnMetric("series_limit", "gauge", (), "Limit of workload series per account; 0 if unlimited."),
    OwnMetric("series_left_out_workloads", "gauge", (), "Workloads omitted because of the series limit."),
    OwnMetric("state_commits", "counter", (), "Successful writes of the state."),
    OwnMetric("state_commit_failures", "counter", (), "Failed writes of the state."),
    OwnMetric(
        "state_last_commit_timestamp_seconds",
        "gauge",
        (),
        "Time of the last successful write of the state, in seconds since the epoch.",
    ),
    OwnMetric(
        "state_lost",
        "counter",
        ("kind",),
        "Rows, and transactions of a damaged write-ahead log, that could not be read from the state, by kind.",
    ),
    OwnMetric("state_size_bytes", "gauge", (), "Size of the state file, or of the tables in the database, in bytes."),
    OwnMetric("self_traces", "counter", ("account", "reason"), "Sweep traces kept, by reason."),
    OwnMetric(
        "self_trace_spans_lost",
        "counter",
        (),
        "Spans of sweep traces lost because delivery failed.",
    ),
    OwnMetric("trace_spans_sent", "counter", (), "Spans of workload traces accepted by the collector."),
    OwnMetric("trace_spans_dropped", "counter", ("reason",), "Dropped spans of workload traces, by reason."),
    OwnMetric("trace_export_failures", "counter", ("reason",), "Failed export requests to the collector, by reason."),
    OwnMetric("trace_outbox_traces", "gauge", (), "Traces in the outbox."),
    OwnMetric("trace_outbox_bytes", "gauge", (), "Size of the traces in the outbox, in bytes."),
    OwnMetric(
        "trace_outbox_oldest_seconds", "gauge", (), "Age of the oldest trace in the outbox, in seconds; 0 if empty."
    ),
    OwnMetric(
        "trace_endpoint_up",
        "gauge",
        ("protocol",),
        "1 if the collector accepted the last request, else 0. An empty request is sent at least every five minutes.",
    ),
    OwnMetric("metric_points_sent", "counter", (), "Data points of pushed metrics accepted by the collector."),
    OwnMetric(
        "metric_points_dropped",
        "counter",
        ("reason",),
        "Data points of pushed metrics that the collector rejected: in a request that it accepted (rejected), or with "
        "the request (poison).",
    ),
    OwnMetric("metric_export_failures", "counter", ("reason",), "Failed requests that push metrics, by reason."),
    OwnMetric(
        "metric_last_push_timestamp_seconds",
        "gauge",
        (),
        "Time the collector last accepted all metrics of a push, in seconds since the epoch.",
    ),
    OwnMetric(
        "metric_endpoint_up",
        "gauge",
        ("protocol",),
        "1 if the collector accepted the last request with metrics, else 0.",
    ),
    OwnMetric("event_records_sent", "counter", (), "Log records of events accepted by the collector."),
    OwnMetric("event_records_dropped", "counter", ("reason",), "Dropped log records of events, by reason."),
    OwnMetric(
        "event_export_failures", "counter", ("reason",), "Failed requests with log records of events, by reason."
    ),
    OwnMetric("event_outbox_records", "gauge", (), "Log records in the outbox."),
    OwnMetric("event_outbox_bytes", "gauge", (), "Size of the log records in the outbox, in bytes."),
    OwnMetric(
        "event_outbox_oldest_seconds",
        "gauge",
        (),
        "Age of the oldest records in the outbox, in seconds; 0 if empty.",
    ),
    OwnMetric(
        "event_endpoint_up",
        "gauge",
        ("protocol",),
        "1 if the collector accepted the last request with log records, else 0. An empty one is sent at least every "
        "five minutes.",
    ),
    OwnMetric("alerts_firing", "gauge", ("alertname", "severity"), "Firing alerts of direct paging."),
    OwnMetric(
        "notifications",
        "counter",
        ("receiver", "fate"),
        "Delivery attempts of notifications, by receiver and result: delivered, to be retried, or failed.",
    ),
    OwnMetric(
        "notification_failures",
        "counter",
        ("receiver", "reason"),
        "Failed delivery attempts of notifications, by receiver and reason.",
    ),
    OwnMetric(
        "notification_failing_seconds",
        "gauge",
        ("receiver",),
        "Seconds since delivery to the receiver started failing; 0 if healthy.",
    ),
    OwnMetric("notifications_pending", "gauge", ("receiver",), "Notifications not yet delivered, by receiver."),
    OwnMetric("silences", "gauge", (), "Active silences of direct paging."),
    OwnMetric(
        "paging_state_failures",
        "counter",
        (),
        "Failed attempts to load the state of direct paging. Nothing is paged before one succeeds, for two minutes at "
        "most if no other replica pages.",
    ),
    OwnMetric(
        "heartbeat_timestamp_seconds",
        "gauge",
        (),
        "Time the served metrics were last updated, in seconds since the epoch.",
    ),
    OwnMetric("series", "gauge", (), "Workload series served."),
    OwnMetric("exposition_bytes", "gauge", ("format", "encoding"), "Size of the served metrics, in bytes."),
    OwnMetric("publish_duration_seconds", "histogram", (), "Time to update the served metrics, in seconds."),
    OwnMetric(
        "event_loop_lag_seconds",
        "histogram",
        (),
        "Delay of the event loop, in seconds; a scrape may wait this long.",
        (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0),
    ),
    OwnMetric("http_requests", "counter", ("path", "code"), "HTTP requests to this exporter."),
    OwnMetric(
        "http_requests_refused",
        "counter",
        ("reason",),
        "HTTP requests to this exporter rejected with 503 (busy) or 429 (password_checks) because too many were in "
        "progress.",
    ),
    OwnMetric("http_connections", "gauge", (), "Open HTTP connections to this exporter."),
    OwnMetric(
        "http_connections_closed",
        "counter",
        ("reason",),
        "HTTP connections closed by this exporter: to make room for new ones (idle, unread or busy), or because of "
        "a slow client or an oversized request.",
    ),
    OwnMetric("log_messages", "counter", ("level",), "Log lines by level."),
    OwnMetric(
        "log_lines_dropped", "counter", (), "Log lines that were dropped because standard error was not read in time."
    ),
    OwnMetric(
        "unit_held",
        "gauge",
        ("account",),
        "1 if this replica holds the lease of the account, and monitors it, else 0.",
    ),
    OwnMetric(
        "lease_remaining_seconds",
        "gauge",
        (),
        "Seconds for which this replica may rely on its leases without another renewal.",
    ),
    OwnMetric("lease_failures", "counter", (), "Failed renewals of leases."),
    OwnMetric(
        "takeover_failures",
        "counter",
        (),
        "Failed attempts to start or stop monitoring an account whose lease was taken or is given up.",
    ),
    OwnMetric("replicas", "gauge", (), "Number of replicas that share the accounts, including this one."),
    OwnMetric("config_last_reload_successful", "gauge", (), "1 if the last reload of the settings succeeded, else 0."),
    OwnMetric(
        "config_last_reload_success_timestamp_seconds",
        "gauge",
        (),
        "Time of the last successful reload of the settings, in seconds since the epoch.",
    ),
)
