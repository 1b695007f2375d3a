"""Dashboard of lifecycles: starts, replacements, and crashes."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard

from dashboards.layout import assemble
from dashboards.links import LIFECYCLE, workload_link
from dashboards.panels import Column, Query, Row, stat_panel, table_panel, time_series, zero_is_good
from dashboards.problems import ON_WORKLOAD, SELECTED, condition_promql
from dashboards.queries import (
    STATUS_TEXTS,
    UNSELECTED,
    changes,
    each,
    exporter_starts,
    family,
    platform_releases,
    quantile,
    selected,
)
from dashboards.style import BAD, EPISODE_COLOURS, GOOD, MOVING, NONE, OFF, REPLACEMENT_COLOURS, WARNING
from dashboards.variables import SELECTION
from exporter.alerting.limits import DEFAULTS
from exporter.fleet.active_replacement import NORMAL_SECONDS

_NO_CHANGES = "no changes"
_WORKLOAD = Column("workload", "Workload", link=workload_link())
_ACCOUNT = Column("account", "Account", width=100)
_KINDS = ("start", "stop", "failure", "replacement")
_ENDED = family("workload_replacements_total")
_EPISODES = family("exporter_episodes_total")
_DURATIONS = family("exporter_episode_duration_seconds_bucket", kind="|".join(_KINDS))
_OPEN = each(family("workload_episode_open_since_timestamp_seconds"), "kind")
_TRANSITIONS = family("workload_transitions_total")
_RECENT_TRANSITIONS = f"sum by (transition) (increase({_TRANSITIONS}[1h]) unless {UNSELECTED}) > 0"
_COLOURS = {
    "ready": GOOD, "recovered": GOOD, "started": MOVING, "replaced": "light-green", "reverted": WARNING,
    "errored": BAD, "terminated": "dark-red", "interrupted": WARNING, "vanished": "purple",
    "stopped": OFF, "suspended": "#b5b5b5", "draft_expired": "yellow",
}  # fmt: skip


_OUTCOME_TEXTS = {name: (name, colour) for name, colour in EPISODE_COLOURS.items()}


def _any_condition(*alerts: str) -> str:
    return " or ".join(f"({condition_promql(alert)})" for alert in alerts)


def _replacements(*outcomes: str) -> str:
    ended = family("workload_replacements_total", outcome="|".join(outcomes))
    return f"round(sum(increase({ended}[$__range]) unless {UNSELECTED}))"


_STUCK = _any_condition("DataRobotWorkloadStuckStarting", "DataRobotWorkloadStuckStopping")
_CRASHING = _any_condition("DataRobotContainerCrashLooping", "DataRobotContainerOOMKilled")
_TERMINATED = family("container_terminations_total")
_TERMINATIONS = each(f"increase({_TERMINATED}[$__range])", "reason", aggregate="sum")
_RESTARTED = family("container_restarts_total")
_RESTARTS = f"round({each(f'increase({_RESTARTED}[1h])', aggregate='sum')}) > 0"
_SINCE = each(family("workload_status_since_timestamp_seconds"))
_VANISHED = each(family("workload_vanished_timestamp_seconds"), "status", "answer")
_STARTED = each(family("workload_replacement_started_timestamp_seconds"))
_LAST_FAILED = each(family("workload_replacement_failed_timestamp_seconds"))
_EXPIRY = each(family("workload_draft_expiry_timestamp_seconds"))
_EXPIRES_SOON = f"{_EXPIRY} - time() < {DEFAULTS['draft_seconds']:g}"
_STATUSES = f"max by (account, workload, workload_id, status) ({family('workload_status')} == 1)"


def _quantiles(buckets: str, *by: str, exemplar: bool = False) -> list[Query]:
    """Median and 95th percentile of a histogram over the previous six hours."""
    counted = f"sum by ({', '.join(('le', *by))}) (increase({buckets}[6h]))"
    named = "".join(f"{{{{{label}}}}}: " for label in by)
    shares = ((0.5, "median"), (0.95, "p95"))
    return [Query(quantile(share, counted), named + words, exemplar) for share, words in shares]


def build() -> dashboard.Dashboard:
    """The dashboard as a model of Grafana."""
    return assemble(
        LIFECYCLE,
        "DataRobot workloads: lifecycle and replacements",
        "Starts, replacements and crashes of workloads.",
        variables=SELECTION,
        annotations=[exporter_starts(), platform_releases(), *changes(SELECTED)],
        rows=[
            Row("", [
                stat_panel("Failed replacements", "Replacements that failed or were reverted in the selected time "
                           "range.",
                           Query(f"{_replacements('errored', 'reverted')} or vector(0)"), steps=zero_is_good(),
                           no_value=NONE, width=4, filled=True),
                stat_panel("Completed", "Replacements that completed in the selected time range.",
                           Query(f"{_replacements('completed')} or vector(0)"), steps=((None, "text"), (1, GOOD)),
                           no_value=NONE, width=4),
                stat_panel("Active replacements", "Workloads with a replacement in progress.",
                           Query(f"sum({selected(each(family('workload_replacement_active')))}) or vector(0)"),
                           steps=((None, "text"), (1, MOVING)), no_value=NONE, width=4),
                stat_panel("Stuck", "Workloads that have been starting or stopping for longer than the alert "
                           "thresholds.",
                           Query(f"count({selected(f'({_STUCK})')}) or vector(0)"), steps=zero_is_good(),
                           no_value=NONE, width=4, filled=True),
                stat_panel("Crashing", "Workloads with a crash-looping or recently OOM-killed container.",
                           Query(f"count({selected(f'({_CRASHING})')}) or vector(0)"), steps=zero_is_good(),
                           no_value=NONE, width=4, filled=True),
                stat_panel("Drafts expiring soon", "Running drafts that the platform will stop within an hour.",
                           Query(f"count({selected(_EXPIRES_SOON)}) or vector(0)"),
                           steps=zero_is_good(colour=WARNING), no_value=NONE, width=4, filled=True),
            ]),
            Row("Replacements", [
                time_series("Ended replacements per hour", "By outcome, over the previous hour. Reverted: the "
                            "replacement record disappeared and the previous version still serves.",
                            Query(f"sum by (outcome) (increase({_ENDED}[1h]) unless {UNSELECTED})", "{{outcome}}"),
                            unit="short", no_value=_NO_CHANGES, width=8, colours=REPLACEMENT_COLOURS, step=True),
                time_series("Duration of replacements", "Quantiles of replacements that completed in the previous six "
                            "hours, over all accounts. Empty: none completed.",
                            *_quantiles(family("account_replacement_duration_seconds_bucket")), unit="s",
                            no_value=_NO_CHANGES, width=8),
                time_series("Duration of starts", "Quantiles of starts that ended in the previous six hours and were "
                            "observed from their beginning. Empty: none ended.",
                            *_quantiles(family("account_start_duration_seconds_bucket")), unit="s",
                            no_value=_NO_CHANGES, width=8),
                table_panel("Active replacements", "Replacements in progress. Red: longer than the alert threshold.",
                            [selected(f"time() - {_STARTED}"),
                             f"{each(family('workload_replacement_status') + ' == 1', 'status')}\n"
                             f"and {ON_WORKLOAD} {_STARTED}"],
                            [_WORKLOAD, Column("status", "Status", width=160),
                             Column("A", "Duration", unit="s", width=110,
                                    steps=((None, GOOD), (NORMAL_SECONDS, BAD))), _ACCOUNT],
                            sort="Duration", width=12, height=7, hidden=["workload_id", "Value #B"]),
                table_panel("Last failed replacements", "Time at which a replacement of each workload last failed or "
                            "was reverted. The previous version still serves.",
                            [selected(f"1000 * {_LAST_FAILED}"),
                             f"{each(family('workload_artifact_info'), 'artifact_name', 'version')}\n"
                             f"and {ON_WORKLOAD} {_LAST_FAILED}"],
                            [_WORKLOAD, Column("A", "Failed", unit="dateTimeFromNow", width=125),
                             Column("artifact_name", "Serving artifact", width=140),
                             Column("version", "Version", width=70), Column("account", "Account", width=75)],
                            sort="Failed", width=12, height=7, hidden=["workload_id", "Value #B"]),
            ]),
            Row("Episodes", [
                time_series("Duration of episodes", "Quantiles of starts, failures and replacements that ended "
                            "in the previous six hours, for all importances. Diamonds are exemplars that link to a "
                            "trace; they need a Prometheus with exemplar storage, and a data source with "
                            "exemplarTraceIdDestinations.",
                            *_quantiles(_DURATIONS, "kind", exemplar=True), unit="s", no_value=_NO_CHANGES, width=12,
                            height=9),
                table_panel("Ended episodes", "Episodes that ended in the selected time range, for all importances. "
                            "Error: the workload was interrupted by the platform.",
                            [f"round(sum by (kind, outcome) (increase({_EPISODES}[$__range]))) > 0"],
                            [Column("kind", "Kind"), Column("outcome", "Outcome", width=110, texts=_OUTCOME_TEXTS),
                             Column("A", "Count", width=70)],
                            sort="Count", no_value=_NO_CHANGES, width=5, height=9),
                table_panel("Open episodes", "Starts, failures and replacements in progress, oldest first.",
                            [selected(f"1000 * {_OPEN}")],
                            [_WORKLOAD, Column("kind", "Kind", width=100),
                             Column("A", "Since", unit="dateTimeFromNow", width=125), _ACCOUNT],
                            sort="Since", descending=False, width=7, height=9, hidden=["workload_id"]),
            ]),
            Row("Status", [
                time_series("Transitions per hour", "Transitions by kind, over the previous hour.",
                            Query(_RECENT_TRANSITIONS, "{{transition}}"),
                            unit="short", no_value=_NO_CHANGES, width=12, height=9, colours=_COLOURS, table=True),
                table_panel("Stuck workloads", "Workloads that have been starting or stopping for longer than the "
                            "alert thresholds.",
                            [selected(f"time() - {_SINCE}\nand {ON_WORKLOAD} ({_STUCK})"),
                             f"{_STATUSES}\nand {ON_WORKLOAD} ({_STUCK})"],
                            [_WORKLOAD, Column("status", "Status", texts=STATUS_TEXTS, width=120),
                             Column("A", "Duration", unit="s", width=100), _ACCOUNT],
                            sort="Duration", width=12, height=9, hidden=["workload_id", "Value #B"]),
                table_panel("Drafts", "Running drafts and the time until the platform stops them.",
                            [selected(f"{_EXPIRY} - time()")],
                            [_WORKLOAD, Column("A", "Expires in", unit="s", width=110,
                                               steps=((None, BAD), (DEFAULTS["draft_seconds"], GOOD))), _ACCOUNT],
                            sort="Expires in", descending=False, width=12, height=7, hidden=["workload_id"],
                            no_value="no drafts"),
                table_panel("No longer listed", "Workloads missing from two consecutive complete sweeps, shown for an "
                            "hour: deleted, or no longer shared with the token's user.",
                            [selected(f"1000 * {_VANISHED}")],
                            [Column("workload", "Workload"),
                             Column("status", "Last status", texts=STATUS_TEXTS, width=110),
                             Column("answer", "API response", width=110),
                             Column("A", "Since", unit="dateTimeFromNow", width=140), _ACCOUNT],
                            sort="Since", width=12, height=7, hidden=["workload_id"]),
            ]),
            Row("Crashes", [
                time_series("Container restarts per hour (top 5)", "Restarts of containers, including those of "
                            "replaced pods.",
                            Query(f"topk(5, {selected(_RESTARTS)})", "{{workload}}"), unit="short", no_value=NONE,
                            width=12, link=workload_link("__field.labels")),
                table_panel("Container terminations", "Observed terminations in the selected time range, by reason.",
                            [selected(f"round({_TERMINATIONS}) > 0")],
                            [_WORKLOAD, Column("reason", "Reason", width=140), Column("A", "Count", width=80),
                             _ACCOUNT],
                            sort="Count", width=12, hidden=["workload_id"]),
            ]),
        ],
    )  # fmt: skip
