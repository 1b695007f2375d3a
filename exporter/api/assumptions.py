"""ASSUMPTIONS: what is assumed about the API although no source proves it, one row each, and how responses decide it.

A row has readings: ways in which the API may mean something. The first is assumed. Responses are evidence for one of
them (`exporter.fleet.evidence`); a response that fits several is evidence for none. `Judgement` counts it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

Verdict = Literal["confirmed", "contradicted", "unknown"]
VERDICTS: tuple[Verdict, ...] = ("confirmed", "contradicted", "unknown")
Readings = frozenset[str]
"""The names of readings in force that differ from the assumed ones."""
ASSUMED: Readings = frozenset()


class Reading(NamedTuple):
    """One meaning that the API may have, and what the exporter does while it is in force."""

    name: str
    effect: str


class Assumption(NamedTuple):
    """One row. `rests`: metrics and alerts that would be wrong; `evidence`: which responses decide, and how.

    `needed`: pieces of evidence in a row, about different subjects, that decide.
    """

    id: str
    assumed: str
    rests: str
    evidence: str
    readings: tuple[Reading, ...]
    needed: int = 3


class Indication(NamedTuple):
    """One response that fits only `reading`. `subject`: what it is about; the same subject counts once in a row.

    `text` has numbers only: no name, no id.
    """

    assumption: str
    reading: str
    subject: str
    text: str


ASSUMPTIONS: tuple[Assumption, ...] = (
    Assumption(
        "list_error_rate_in_percent",
        "`requestStats.errorRate` of the workload list is a percentage.",
        "which workloads with new errors are polled early",
        "A rate above 1 is a percentage. Otherwise the rates of all workloads, times their requests, have to add up to "
        "the failed requests of `GET /workloads/stats`, within a factor of three.",
        (
            Reading("list_error_rate_percent", "the rate is divided by 100"),
            Reading("list_error_rate_fraction", "the rate is taken as a share"),
        ),
    ),
    Assumption(
        "list_window_of_seven_days",
        "`requestStats` of the workload list cover the seven days of `GET /workloads/stats`.",
        "`datarobot_workload_list_*`; which workloads with new errors are polled early",
        "The requests of all workloads of the list are compared with the total of `GET /workloads/stats`: 0.8 to 1.25 "
        "of it is the same window, more than 1.5 a longer one. A workload with more requests in the statistics of six "
        "hours to three days than in the list has a shorter one.",
        (
            Reading("list_window_week", "a change is compared with the average of a week"),
            Reading("list_window_longer", "only the growth of the totals counts: no request leaves the window"),
            Reading("list_window_shorter", "a change is compared with the average of a day"),
        ),
    ),
    Assumption(
        "response_time_is_quantile",
        "`responseTime` of the statistics is the quantile that is requested.",
        "`datarobot_workload_window_response_seconds`, DataRobotWorkloadLatencyHigh",
        "Two quantiles of one window with at least 200 requests: if they differ by a fifth, it is a quantile; if both "
        "are the same number, it is not.",
        (
            Reading("response_time_quantile", "one sample for each quantile"),
            Reading(
                "response_time_mean",
                "no quantile is served, but `datarobot_workload_window_response_mean_seconds`; "
                "DataRobotWorkloadLatencyHigh cannot fire: use an objective for slow requests",
            ),
        ),
        needed=5,
    ),
    Assumption(
        "active_unless_stopped",
        "Workloads count as active, and towards the limit of the account, unless they are stopped, suspended, "
        "interrupted or terminated.",
        "`datarobot_account_workloads_active`, DataRobotAccountWorkloadLimitNear, DataRobotAccountFullSoon",
        "`workloads.active` of `GET /workloads/stats` is compared with the number of listed workloads by each way of "
        "counting. It is evidence if exactly one of them gives the same number. Not judged with `select`.",
        (
            Reading("active_unless_stopped", "stopped, suspended, interrupted and terminated workloads do not count"),
            Reading("active_if_running", "only workloads with the status `running` count"),
            Reading("active_always", "all workloads count"),
        ),
    ),
    Assumption(
        "replica_limit_of_workload",
        "`limits.maxWorkloadReplicas` is the limit of each single workload.",
        "`datarobot_workload_replicas_limit`, DataRobotWorkloadReplicaLimitNear",
        "If the replicas that all running workloads are allowed exceed it, and those of each single one do not, it is. "
        "If three or more running workloads are allowed more replicas, it is not.",
        (
            Reading("replica_limit_of_workload", "the limit is compared with the maximum of each workload"),
            Reading("replica_limit_other", "no limit of replicas is served"),
        ),
    ),
    Assumption(
        "draft_time_from_start",
        "The platform stops a draft eight hours after its proton started running.",
        "`datarobot_workload_draft_expiry_timestamp_seconds`, DataRobotDraftExpiring, the outcome of stops in traces",
        "A draft that was started again stops within 15 minutes of eight hours after its start, or after its creation. "
        "A draft that still runs half an hour after such a time disproves that reading.",
        (
            Reading("draft_time_from_start", "the expiry is eight hours after the proton started running"),
            Reading("draft_time_from_creation", "the expiry is eight hours after the creation of the workload"),
            Reading("draft_time_other", "no expiry is served: drafts run for longer"),
        ),
        needed=2,
    ),
    Assumption(
        "drafts_are_stopped",
        "The platform stops a draft at the end of its time, and does not delete it.",
        "DataRobotWorkloadVanished",
        "What a draft is within 15 minutes of the end of its time: listed as stopped, or no longer found (404).",
        (
            Reading("drafts_are_stopped", "a workload that is deleted then has vanished"),
            Reading("drafts_are_deleted", "a draft that is deleted then has not vanished"),
        ),
        needed=2,
    ),
    Assumption(
        "nanocores_are_billionths",
        "A CPU usage in `nanocores` is in billionths of a core.",
        "`datarobot_workload_cpu_usage_cores`, `datarobot_workload_autoscaling_load_ratio`, waste and bundles that fit",
        "A value that would be more than twice what the bundle has, if it were in thousandths, is in billionths. A "
        "value by which a request takes less than 10 microseconds of CPU, on average over five minutes, is not.",
        (
            Reading("nanocores_are_billionths", "the value is divided by 1,000,000,000"),
            Reading("nanocores_are_thousandths", "the value is divided by 1,000"),
        ),
    ),
    Assumption(
        "routes_end_with_slash",
        "Routes end with a slash, except for `statusDetails`.",
        "all requests",
        "A route that refuses the assumed form (404, 405, 422 or a redirect) and accepts the other one contradicts it.",
        (
            Reading("routes_end_with_slash", "each request succeeds with its first form"),
            Reading("routes_end_otherwise", "each route is requested in the form that it accepted, as in any case"),
        ),
        needed=1,
    ),
    Assumption(
        "quotas_of_workloads",
        "`GET /quotas` has quotas of workloads, with the resource type `workload`.",
        "`datarobot_workload_quota_limit`",
        "A quota with the id of the workload confirms it, 400 or 422 contradicts it. An empty list is neither.",
        (
            Reading("quotas_of_workloads", "quotas are served"),
            Reading("quotas_refused", "no quota is served, as for any part that cannot be read"),
        ),
    ),
    Assumption(
        "event_id_has_time",
        "The id of the event of a replacement is an ObjectId, with the time at which the record was created.",
        "the order of replacements, `datarobot_workload_replacements_total`, times of replacements in traces",
        "Whether the time in an id lies between the creation of the workload and the last update of the record.",
        (
            Reading("event_id_has_time", "the time in the id counts"),
            Reading("event_id_without_time", "the timestamp of the event counts, for each such event in any case"),
        ),
        needed=5,
    ),
    Assumption(
        "start_resets_running_since",
        "A workload that is started again has a proton with a new `runningSince`.",
        "ids of traces of starts and stops, `datarobot_workload_draft_expiry_timestamp_seconds`",
        "After a start that was observed, `runningSince` lies after the last time at which the workload was off, or "
        "before it.",
        (
            Reading("start_resets_running_since", "each start has a trace of its own"),
            Reading("start_keeps_running_since", "no other: traces of later starts may have the ids of earlier ones"),
        ),
        needed=2,
    ),
    Assumption(
        "zero_replicas_without_start",
        "A workload that is scaled to zero has no status of a start or of a failure.",
        "`datarobot_workload_scaled_to_zero`, DataRobotWorkloadNoReadyReplica, DataRobotWorkloadStuckStarting",
        "The status of a workload that may scale to zero and has no pods. That of a start counts after an hour without "
        "requests.",
        (
            Reading("zero_replicas_without_start", "a workload that starts is not scaled to zero"),
            Reading("zero_replicas_starting", "a workload without pods that may scale to zero is, also if it starts"),
        ),
        needed=2,
    ),
    Assumption(
        "pod_report_time_of_change",
        "`overallStatus.lastUpdated` of a pod report changes only when the pods do.",
        "`datarobot_proton_snapshot_timestamp_seconds`",
        "Two reports of the same pods: with the same time, half an hour ago, or with different ones.",
        (
            Reading("pod_report_time_of_change", "an old time does not count as stale"),
            Reading("pod_report_time_of_report", "no other: the time is served as reported"),
        ),
        needed=5,
    ),
)
BY_ID: Mapping[str, Assumption] = {row.id: row for row in ASSUMPTIONS}

NOT_JUDGED: tuple[tuple[str, str, str], ...] = (
    (
        "Requests that a quota rejects (429) are among the client errors of the statistics.",
        "DataRobotWorkloadRefusesCallers",
        "no response separates them",
    ),
    (
        "`serverErrorRate` and its like are shares, not percentages.",
        "nothing: shares are computed from counts",
        "they are not read",
    ),
    (
        "The limits of `GET /account/info` are those of the organisation, not of the user.",
        "DataRobotAccountWorkloadLimitNear: what is counted is a lower bound",
        "workloads of others are not visible",
    ),
    (
        "Statistics of a window are complete 90 seconds after its end.",
        "`datarobot_workload_window_*`: the last minute may lack requests",
        "each window is requested once",
    ),
    (
        "`suspended` is set by a person or by the platform; both are a stop.",
        "DataRobotWorkloadStopped",
        "no response says who it was",
    ),
    (
        "Without `Retry-After`, a request may be repeated after seconds.",
        "how fast the exporter recovers after a 429",
        "the API reports no limit",
    ),
)
"""What is assumed and no response can decide: the assumption, what rests on it, and why it is not judged."""


class Decision(NamedTuple):
    """What is known about one assumption: the `reading` that is decided, empty if none is, and the evidence for it.

    `run`: the reading for which there is evidence now, and about which `subjects`. `flips`: how often a decision has
    changed: each doubles the evidence that the next change takes, so that mixed responses do not change it for ever.
    """

    reading: str = ""
    text: str = ""
    run: str = ""
    subjects: frozenset[str] = frozenset()
    flips: int = 0

    def after(self, evidence: Indication) -> Decision:
        """The decision after one more piece of evidence."""
        if evidence.reading == self.reading:
            return self if not self.run else self._replace(run="", subjects=frozenset())
        kept = self.subjects if evidence.reading == self.run else frozenset()
        if evidence.subject in kept:
            return self
        subjects = kept | {evidence.subject}
        needed = BY_ID[evidence.assumption].needed * 2**self.flips
        if len(subjects) < needed:
            return self._replace(run=evidence.reading, subjects=subjects)
        return Decision(evidence.reading, evidence.text, flips=min(self.flips + 1, 8) if self.reading else 0)


UNDECIDED = Decision()


class Judgement(NamedTuple):
    """The decisions of one account by assumption; no key: there is no evidence."""

    decisions: Mapping[str, Decision] = {}

    def after(self, evidence: Iterable[Indication]) -> Judgement:
        """The judgement after more evidence; the same object if that changes nothing."""
        found: dict[str, Decision] | None = None
        for each in evidence:
            before = (self.decisions if found is None else found).get(each.assumption, UNDECIDED)
            after = before.after(each)
            if after is not before:
                found = {**self.decisions} if found is None else found
                found[each.assumption] = after
        return self if found is None else Judgement(found)

    def decision(self, row: Assumption) -> Decision:
        """What is known about an assumption."""
        return self.decisions.get(row.id, UNDECIDED)

    def verdict(self, row: Assumption) -> Verdict:
        """Whether an assumption is true, as far as is known."""
        reading = self.decision(row).reading
        return "unknown" if not reading else "confirmed" if reading == row.readings[0].name else "contradicted"

    @property
    def readings(self) -> Readings:
        """The readings in force that are not the assumed ones."""
        found = [row for row in ASSUMPTIONS if self.verdict(row) == "contradicted"]
        return frozenset(self.decision(row).reading for row in found) if found else ASSUMED


def effect(row: Assumption, reading: str) -> str:
    """What the exporter does while a reading is in force; empty: the assumed one is."""
    return next((each.effect for each in row.readings if each.name == reading), row.readings[0].effect)
