"""Lifecycle and replacements: what starts, what is replaced, what hangs, and what crashes."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard

from dashboards.asked import (
    STATE_TEXTS,
    UNIMPORTANT,
    each,
    family,
    important,
    quantile,
    replacements,
    restarts_of_exporter,
)
from dashboards.board import (
    ACCOUNT,
    IMPORTANCE,
    JOB,
    LIFECYCLE,
    Column,
    Query,
    Row,
    board,
    course,
    fact,
    listing,
    none_is_good,
    to_workload,
)
from dashboards.look import BAD, ENDS, GOOD, MOVING, NONE, OFF, OUTCOMES, WARNING
from dashboards.troubles import CHOSEN, WHICH, condition
from exporter.alerting.alerts import DEFAULTS

_NOTHING = "nothing happened"
_WORKLOAD = Column("workload", "Workload", link=to_workload())
_ACCOUNT = Column("account", "Account", width=100)
_KINDS = ("start", "stop", "failure", "replacement")
_ENDED = family("workload_replacements_total")
_EPISODES = family("exporter_episodes_total")
_LASTED = family("exporter_episode_duration_seconds_bucket", kind="|".join(_KINDS))
_OPEN = each(family("workload_episode_open_since_timestamp_seconds"), "kind")
_TRANSITIONS = family("workload_transitions_total")
_HAPPENED = f"sum by (transition) (increase({_TRANSITIONS}[1h]) unless {UNIMPORTANT}) > 0"
_COLOURS = {
    "ready": GOOD, "recovered": GOOD, "started": MOVING, "replaced": "light-green", "reverted": WARNING,
    "errored": BAD, "terminated": "dark-red", "interrupted": WARNING, "vanished": "purple",
    "stopped": OFF, "suspended": "#b5b5b5", "draft_expired": "yellow",
}  # fmt: skip


def _in_range(expression: str, by: str) -> str:
    """How often something was counted in the time that is shown."""
    return f"round(sum by ({by}) (increase({expression}[$__range]) unless {UNIMPORTANT}))"


_STUCK = f"({condition('DataRobotWorkloadStuckStarting')}) or ({condition('DataRobotWorkloadStuckStopping')})"
_SINCE = each(family("workload_status_since_timestamp_seconds"))
_GONE = each(family("workload_vanished_timestamp_seconds"), "status", "answer")
_STARTED = each(family("workload_replacement_started_timestamp_seconds"))
_LAST_FAILED = each(family("workload_replacement_failed_timestamp_seconds"))
_EXPIRY = each(family("workload_draft_expiry_timestamp_seconds"))
_ENDS_SOON = f"{_EXPIRY} - time() < {DEFAULTS['draft_seconds']:g}"
_STATUSES = f"max by (account, workload, workload_id, status) ({family('workload_status')} == 1)"


def _quantiles(told: str, *by: str, exemplar: bool = False) -> list[Query]:
    """Of what a histogram counted in the six hours before each moment."""
    counted = f"sum by ({', '.join(('le', *by))}) (increase({told}[6h]))"
    named = "".join(f"{{{{{label}}}}}: " for label in by)
    shares = ((0.5, "median"), (0.95, "95 %"))
    return [Query(quantile(share, counted), named + words, exemplar) for share, words in shares]


def made() -> dashboard.Dashboard:
    """The dashboard."""
    return board(
        LIFECYCLE,
        "DataRobot workloads: lifecycle and replacements",
        "What starts, what is replaced, what hangs, and what crashes.",
        variables=[JOB, ACCOUNT, IMPORTANCE],
        annotations=[restarts_of_exporter(), *replacements(CHOSEN)],
        rows=[
            Row("", [
                fact("Failed replacements", "Ended without success, or reverted, in the time that is shown.",
                     Query(f"{_failed()} or vector(0)"), steps=none_is_good(), no_value=NONE, width=4, filled=True),
                fact("Completed", "Replacements that completed in the time that is shown.",
                     Query(f"{_completed()} or vector(0)"), steps=((None, "text"), (1, GOOD)), no_value=NONE, width=4),
                fact("Under way", "Workloads that are being replaced now.",
                     Query(f"sum({important(each(family('workload_replacement_active')))}) or vector(0)"),
                     steps=((None, "text"), (1, MOVING)), no_value=NONE, width=4),
                fact("Hang", "Workloads that start or stop for longer than they should, by the conditions of the "
                     "alerts.", Query(f"count({important(f'({_STUCK})')}) or vector(0)"), steps=none_is_good(),
                     no_value=NONE, width=4, filled=True),
                fact("Crash", "Workloads with a container that crashes again and again, or ran out of memory lately.",
                     Query(f"count({important(f'({_crashing()})')}) or vector(0)"), steps=none_is_good(),
                     no_value=NONE, width=4, filled=True),
                fact("Drafts that end soon", "Running drafts that the platform stops within the hour.",
                     Query(f"count({important(_ENDS_SOON)}) or vector(0)"),
                     steps=none_is_good(colour=WARNING), no_value=NONE, width=4, filled=True),
            ]),
            Row("New versions", [
                course("Replacements that ended within an hour", "In the hour before each moment, by outcome. "
                       "Reverted: the record went away, and the version from before still serves.",
                       Query(f"sum by (outcome) (increase({_ENDED}[1h]) unless {UNIMPORTANT})", "{{outcome}}"),
                       unit="short", no_value=_NOTHING, width=8, colours=OUTCOMES, step=True),
                course("How long replacements took", "Quantiles of those that completed in the six hours before each "
                       "moment, over the accounts. Empty: none completed.",
                       *_quantiles(family("account_replacement_duration_seconds_bucket")), unit="s",
                       no_value=_NOTHING, width=8),
                course("How long starts took", "Quantiles of the starts of the six hours before each moment that were "
                       "seen from their beginning. Empty: none ended.",
                       *_quantiles(family("account_start_duration_seconds_bucket")), unit="s",
                       no_value=_NOTHING, width=8),
                listing("Under way", "Replacements that are under way, and since when. Red: longer than they should.",
                        [important(f"time() - {_STARTED}"),
                         f"{each(family('workload_replacement_status') + ' == 1', 'status')}\nand {WHICH} {_STARTED}"],
                        [_WORKLOAD, Column("status", "Status", width=160),
                         Column("A", "For", unit="s", width=110,
                                steps=((None, GOOD), (DEFAULTS["replacement_seconds"], BAD))), _ACCOUNT],
                        sort="For", width=12, height=7, hidden=["workload_id", "Value #B"]),
                listing("Did not make it", "When a replacement of each workload last failed or was taken back: the "
                        "version from before serves on.",
                        [important(f"1000 * {_LAST_FAILED}"),
                         f"{each(family('workload_artifact_info'), 'artifact_name', 'version')}\n"
                         f"and {WHICH} {_LAST_FAILED}"],
                        [_WORKLOAD, Column("A", "When", unit="dateTimeFromNow", width=125),
                         Column("artifact_name", "Still runs", width=140), Column("version", "Version", width=70),
                         Column("account", "Account", width=75)],
                        sort="When", width=12, height=7, hidden=["workload_id", "Value #B"]),
            ]),
            Row("Episodes", [
                course("How long starts, stops, failures and replacements took", "Quantiles of those that were over in "
                       "the six hours before each moment, of every importance. Diamonds are exemplars: each leads to "
                       "the trace of one. They need a Prometheus with exemplar storage, and a data source with "
                       "exemplarTraceIdDestinations.",
                       *_quantiles(_LASTED, "kind", exemplar=True), unit="s", no_value=_NOTHING, width=12, height=9),
                listing("How they ended", "Those that were over in the time that is shown, of every importance. Error: "
                        "the platform took the workload away.",
                        [f"round(sum by (kind, outcome) (increase({_EPISODES}[$__range]))) > 0"],
                        [Column("kind", "What"), Column("outcome", "Outcome", width=110,
                                                        texts={name: (name, colour) for name, colour in ENDS.items()}),
                         Column("A", "Times", width=70)],
                        sort="Times", no_value=_NOTHING, width=5, height=9),
                listing("Goes on", "Starts, stops, failures and replacements that are not over, the oldest first.",
                        [important(f"1000 * {_OPEN}")],
                        [_WORKLOAD, Column("kind", "What", width=100),
                         Column("A", "Since", unit="dateTimeFromNow", width=125), _ACCOUNT],
                        sort="Since", descending=False, width=7, height=9, hidden=["workload_id"]),
            ]),
            Row("States", [
                course("What happened within an hour", "Transitions in the hour before each moment, by kind.",
                       Query(_HAPPENED, "{{transition}}"),
                       unit="short", no_value=_NOTHING, width=12, height=9, colours=_COLOURS, table=True),
                listing("Hang", "Workloads that start or stop for longer than they should.",
                        [important(f"time() - {_SINCE}\nand {WHICH} ({_STUCK})"),
                         f"{_STATUSES}\nand {WHICH} ({_STUCK})"],
                        [_WORKLOAD, Column("status", "Status", texts=STATE_TEXTS, width=120),
                         Column("A", "For", unit="s", width=100), _ACCOUNT],
                        sort="For", width=12, height=9, hidden=["workload_id", "Value #B"]),
                listing("Drafts and their end", "Drafts that run, and how long until the platform stops them.",
                        [important(f"{_EXPIRY} - time()")],
                        [_WORKLOAD, Column("A", "Ends in", unit="s", width=110,
                                           steps=((None, BAD), (DEFAULTS["draft_seconds"], GOOD))), _ACCOUNT],
                        sort="Ends in", descending=False, width=12, height=7, hidden=["workload_id"],
                        no_value="no draft"),
                listing("No longer listed", "Workloads that two complete sweeps did not find, for an hour: deleted, or "
                        "no longer shared with the token's user.",
                        [important(f"1000 * {_GONE}")],
                        [Column("workload", "Workload"), Column("status", "Was", texts=STATE_TEXTS, width=110),
                         Column("answer", "The API says", width=110),
                         Column("A", "Since", unit="dateTimeFromNow", width=140), _ACCOUNT],
                        sort="Since", width=12, height=7, hidden=["workload_id"]),
            ]),
            Row("Crashes", [
                course("Restarts an hour: the five worst", "Restarts of containers, those of replaced pods included.",
                       Query(f"topk(5, {important(_restarts())})", "{{workload}}"), unit="short", no_value=NONE,
                       width=12, link=to_workload("__field.labels")),
                listing("How containers ended", "Ends that were seen in the time that is shown, by reason. OOMKilled: "
                        "for lack of memory.",
                        [important(f"round({_terminations()}) > 0")],
                        [_WORKLOAD, Column("reason", "Reason", width=140), Column("A", "Times", width=80), _ACCOUNT],
                        sort="Times", width=12, hidden=["workload_id"]),
            ]),
        ],
    )  # fmt: skip


def _outcomes(*outcomes: str) -> str:
    told = family("workload_replacements_total", outcome="|".join(outcomes))
    return f"round(sum(increase({told}[$__range]) unless {UNIMPORTANT}))"


def _failed() -> str:
    return _outcomes("errored", "reverted")


def _completed() -> str:
    return _outcomes("completed")


def _crashing() -> str:
    return f"({condition('DataRobotContainerCrashLooping')}) or ({condition('DataRobotContainerOOMKilled')})"


def _terminations() -> str:
    told = family("container_terminations_total")
    return each(f"increase({told}[$__range])", "reason", aggregate="sum")


def _restarts() -> str:
    told = family("container_restarts_total")
    return f"round({each(f'increase({told}[1h])', aggregate='sum')}) > 0"
