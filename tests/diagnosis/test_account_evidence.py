"""What a page says about an account: how many workloads fail, which, since when, and the likely one cause."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from exporter.alerting.alerts import ALERTS
from exporter.alerting.rules import DEFAULT, Options
from exporter.alerting.subjects import SWEEP_ALERTS, AccountFleet, SweepStatus
from exporter.api.details import RequestMetrics
from exporter.api.models import Artifact, Group, Runtime, Tag, Workload
from exporter.api.pods import PodCondition, Pods
from exporter.diagnosis.account_evidence import account_evidence
from exporter.diagnosis.diagnosis import diagnosis
from exporter.diagnosis.fleet_causes import FLEET_CAUSES, common, failing
from exporter.failures import REASONS
from exporter.fleet.ledger import Ledger, ServingRecord, Tally
from exporter.fleet.workload_state import Account, Details, Window, WorkloadState
from exporter.metrics.account_families import AccountFacts, use
from tests.make import container, pods, replica

NOW = 1_800_000_000.0  # 08:00 UTC
MANY = "DataRobotFleetManyFailing"
READY = pods(replica(container()))
UNREADY = pods(replica(container(ready=False)))
NO_GPU = pods(
    replica(
        status="pending",
        conditions=(PodCondition(type="PodScheduled", value=False, message="Insufficient nvidia.com/gpu"),),
    )
)
CRASHING = pods(replica(container(ready=False, status="waiting", reason="CrashLoopBackOff", ended=("Error", 1, None))))


def pulling(image: str = "registry.test/x:1", message: str = "i/o timeout") -> Pods:
    return pods(
        replica(container(ready=False, status="waiting", reason="ImagePullBackOff", image=image, message=message))
    )


def one(number: int, status: str = "running", reported: Pods | None = READY, **facts: Any) -> WorkloadState:
    """A workload that has had its status for ten minutes, in the bundle ``small``."""
    since, bundle = facts.pop("since", 600.0), facts.pop("bundle", "small")
    down, errors = facts.pop("down", None), facts.pop("errors", None)
    metrics = RequestMetrics(total_requests=1000, server_errors=errors, user_errors=0)
    windows = {"5m": Window(NOW - 400, NOW - 100, metrics)} if errors else {}
    group = Group(replica_count=1, resource_bundles=(bundle,))
    workload: dict[str, Any] = {
        "id": f"w{number}",
        "name": f"name-{number:02}",
        "proton_id": "p",
        "importance": "moderate",
    }
    return WorkloadState(
        "acme",
        Workload(**({**workload, "status": status, "runtime": Runtime(container_groups=(group,))} | facts)),
        Ledger(NOW - 86400, NOW - since, serving=ServingRecord(ready=True, down=down)),
        Details(pods=reported, windows=windows),
    )


def fleet(*states: WorkloadState, limit: int | None = None, failure: str = "", age: float = 20.0) -> AccountFleet:
    account = Account("acme", workloads_limit=limit)
    return AccountFleet(AccountFacts(account, use(states), Tally()), states, SweepStatus(failure, age, 30.0))


def said(alert: str, of: AccountFleet, options: Options = DEFAULT) -> dict[str, str]:
    lines = account_evidence(alert, of, options, NOW)
    assert len({title for title, _ in lines}) == len(lines) <= 12
    assert all(title and 0 < len(text) <= 300 for title, text in lines)
    return dict(lines)


def many(count: int, *given: Any, first: int = 0, **facts: Any) -> list[WorkloadState]:
    return [one(first + n, *given, **facts) for n in range(count)]


def test_a_page_about_many_failures_says_how_many_which_since_when_and_the_cause() -> None:
    states = [
        *many(9, "interrupted", None, since=480.0),
        *many(3, "interrupted", None, first=9, since=540.0, importance="critical"),
        *many(8, first=12),
        *many(3, "stopped", None, first=20),
    ]
    result = said(MANY, fleet(*states))
    assert [*result][:3] == ["Failing", "Likely cause", "Next step"]
    assert result == {
        "Likely cause": "The platform evicted them: it took their capacity for other workloads, or nodes were removed. "
        "The API does not report which.",
        "Next step": "Ask the platform administrators what happened to the nodes or the capacity. Then start the most "
        "important ones again: they do not start by themselves.",
        "Failing": "12 of 20 workloads (60%): 12 interrupted since 07:51 UTC (9 min)",
        "Workloads": "name-09, name-10, name-11, name-00, name-01, name-02, name-03, name-04, name-05, name-06; "
        "and 2 more",
    }


CASES: list[tuple[str, Sequence[WorkloadState]]] = [
    ("evicted", many(5, "interrupted", None)),
    ("registry", many(5, "errored", pulling())),
    ("images", [*many(3, "errored", pulling()), *many(3, "errored", pulling("other.test/y"), first=3)]),
    ("capacity", many(5, "errored", NO_GPU)),
    ("nodes", many(5, "running", pods(replica(container(), conditions=(
        PodCondition(type="Ready", value=False, last_transition_time="2027-01-15T07:50:00Z"),))), down=NOW - 300)),
    ("new_versions", [*(one(n, "errored", pods(
        replica(container(ready=False, status="waiting", reason="CrashLoopBackOff")),
        created_at="2027-01-15T07:50:00Z")) for n in range(5))]),
    ("dependency", [*many(4, "running", UNREADY, down=NOW - 300), *many(1, "errored", UNREADY, first=4)]),
    ("unreported", many(5, "errored", None)),
    ("one_problem", many(5, "errored", CRASHING)),
    ("several", [*many(3, "errored", CRASHING), *many(3, "errored", NO_GPU, first=3)]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "failing"), CASES, ids=[name for name, _ in CASES])
def test_the_common_cause_is_found(name: str, failing: Sequence[WorkloadState]) -> None:
    cause = next(each for each in FLEET_CAUSES if each.name == name)
    result = said(MANY, fleet(*failing, *many(5, first=20)))
    problem = " Its process exits with an error (exit code 1)." if name == "one_problem" else ""
    assert (result["Likely cause"], result["Next step"]) == (cause.text + problem, cause.next_step)


def test_every_common_cause_has_a_case_and_is_a_sentence() -> None:
    assert [each.name for each in FLEET_CAUSES] == [name for name, _ in CASES]
    for cause in FLEET_CAUSES:
        assert all(
            text[0].isupper() and text[-1] in ".?:" and len(text) <= 200 for text in (cause.text, cause.next_step)
        )


@pytest.mark.parametrize(
    ("failing", "others", "title", "words"),
    [
        (many(5, "errored", CRASHING, bundle="gpu"), many(3, first=9), "In common", "resource bundle gpu"),
        # What all others have too explains nothing.
        (many(5, "errored", CRASHING), many(3, first=9), "In common", None),
        (many(5, "errored", pulling()), many(3, first=9), "In common", "registry registry.test"),
        (many(5, "errored", CRASHING, artifact=Artifact(name="base", status="locked")), many(3, first=9), "In common",
         "artifact base"),
        (many(5, "errored", CRASHING), [], "Problems",
         "5 of 5: Its process exits with an error (exit code 1)."),
        ([*many(3, "errored", CRASHING), *many(2, "errored", NO_GPU, first=3)], [], "Problems",
         "3 of 5: Its process exits with an error (exit code 1). 2 with 1 other problem."),
        # The time since which no replica is ready, not since when the status is `running`.
        (many(5, "running", UNREADY, down=NOW - 300, since=8000.0), [], "Failing",
         "5 of 5 workloads (100%): 5 running without a ready replica since 07:55 UTC (5 min)"),
        ([one(1, "errored", CRASHING, since=7200.0), one(2, "errored", CRASHING, since=60.0)], [], "Failing",
         "2 of 2 workloads (100%): 2 errored, the first since 06:00 UTC, the last since 07:59 UTC"),
        ([one(1, "errored", CRASHING), one(2, "interrupted", None)], [], "Workloads",
         "name-01 (errored), name-02 (interrupted)"),
        (many(12, "errored", CRASHING, name="x" * 99), [], "Workloads", ", ".join(["x" * 36 + " ..."] * 6)
         + "; and 6 more"),
        (many(2, "errored", CRASHING), [one(9, "Hibernating"), one(10, reported=None)], "Not counted",
         "1 more whose status or pods are unknown"),
        (many(3), [], "Failing", "none at 08:00 UTC"),
    ],
)  # fmt: skip
def test_what_failing_workloads_have_in_common(
    failing: Sequence[WorkloadState], others: Sequence[WorkloadState], title: str, words: str | None
) -> None:
    assert said(MANY, fleet(*failing, *others)).get(title) == words


@pytest.mark.parametrize(
    ("of", "kind", "since"),
    [
        (one(1, "running", UNREADY, down=NOW - 300), "running without a ready replica", NOW - 300),
        (one(1, "launching", UNREADY, down=NOW - 300), "launching without a ready replica", NOW - 300),
        (one(1, "running", UNREADY), "running without a ready replica", None),
        (one(1, "running", READY, errors=900), "running with server errors (5xx)", None),
        (one(1, "errored", UNREADY, down=NOW - 300), "errored", NOW - 600),
        (one(1, "interrupted", None), "interrupted", NOW - 600),
        (one(1, "running", READY, errors=1), "running", NOW - 600),
    ],
)
def test_the_status_alone_does_not_say_what_fails(of: WorkloadState, kind: str, since: float | None) -> None:
    found = failing(diagnosis(of, NOW, DEFAULT), of)
    assert (found.kind, found.since) == (kind, since)


def test_the_owners_of_failing_workloads_are_named() -> None:
    states = [*many(3, "interrupted", None, tags=(Tag("team", "claims"),)), *many(2, "interrupted", None, first=3)]
    assert said(MANY, fleet(*states), DEFAULT._replace(owner_tags=("team",)))["Owner"] == "claims (3), unknown (2)"
    assert "Owner" not in said(MANY, fleet(*states))


def test_thousands_of_failures_are_one_short_page() -> None:
    result = said(MANY, fleet(*many(1000, "errored", CRASHING)))
    assert result["Failing"] == ("1000 of 1000 workloads (100%): 200 errored since 07:50 UTC (10 min), and 800 more")
    assert result["Workloads"].endswith("; and 990 more")


def test_a_limit_is_shown_with_its_numbers() -> None:
    result = said("DataRobotAccountWorkloadLimitNear", fleet(*many(23), *many(2, "stopped", first=30), limit=25))
    assert result["Limits"] == "at least 23 of 25 active workloads (92%); those not shared are not counted"
    assert "403" in result["Next step"]


@pytest.mark.parametrize("alert", SWEEP_ALERTS)
@pytest.mark.parametrize("failure", [*REASONS, "", "new"])
def test_a_page_about_sweeps_says_the_reason_how_old_the_data_is_and_what_follows(alert: str, failure: str) -> None:
    result = said(alert, fleet(*many(3), failure=failure, age=400.0))
    assert all(result[title].endswith(".") for title in ("Likely cause", "Next step"))
    assert result["Data"] == "the last complete sweep was at 07:53 UTC, 6 min ago"
    assert result["Effect"] == (
        "3 workloads are not monitored meanwhile: alerts about them that fire keep firing, and no new ones fire"
    )
    assert "Effect" not in said(alert, fleet(failure=failure))


UNREAD = "DataRobotAccountDetailsUnreadable"


def unread(number: int, reason: str, **facts: Any) -> WorkloadState:
    """A workload whose pods and events cannot be read; empty: they are denied, and were not before."""
    state = one(number, reported=None, **facts)
    parts = ("pods", "events")
    failed = state.details._replace(failed=dict.fromkeys(parts, reason))
    denied = state.details._replace(refused=frozenset(parts))
    ledger = msgspec.structs.replace(state.ledger, seen_events=())
    return state._replace(details=failed if reason else denied, ledger=ledger)


def test_a_page_about_details_that_cannot_be_read_names_them_and_the_reasons() -> None:
    states = [unread(1, ""), unread(2, "", importance="critical"), unread(3, "server_error"), *many(7, first=10)]
    assert said(UNREAD, fleet(*states)) == {
        "Unreadable": "the pods and events of 3 of 10 workloads",
        "Likely cause": "The API denies this token the pods and events of these workloads (403): the role of its user "
        "was reduced, or the routes were disabled for the account.",
        "Next step": "Give the token's user the role `user` on them again.",
        "Workloads": "name-02, name-01, name-03",
        "Reasons": "2 of them: access is denied (403); give the token's user the role `user` on the workload; "
        "1 of them: server error (5xx)",
        "Effect": "their replicas, crashes and requests are not monitored; their status still is",
    }
    assert said(UNREAD, fleet(*many(7))) == {"Unreadable": "none at 08:00 UTC"}


@pytest.mark.parametrize("reason", ["server_error", "decode", "too_large"])
def test_details_that_fail_for_one_reason_have_its_cause(reason: str) -> None:
    result = said(UNREAD, fleet(*[unread(n, reason) for n in range(3)]))
    assert "Reasons" not in result
    assert all(result[title].endswith(".") for title in ("Likely cause", "Next step"))


def test_a_rejected_token_is_named() -> None:
    result = said("DataRobotTokenRejected", fleet(failure="auth"))
    assert result["Likely cause"] == "The API rejects the token (401): it was revoked or has expired."


def test_every_alert_about_an_account_has_evidence() -> None:
    for alert in ALERTS:
        if alert.component == "account" and not alert.opt_in:
            assert said(alert.name, fleet(*many(3, "errored", CRASHING), limit=3)), alert.name
    assert said("DataRobotExporterDetailsStale", fleet()) == {}


def test_a_single_failing_workload_has_nothing_in_common_with_others() -> None:
    of = one(1, "errored")
    assert common([failing(diagnosis(of, NOW, DEFAULT), of)], []) == {}


def test_a_time_that_is_not_known_is_not_stated() -> None:
    lines = said(MANY, fleet(*[one(number, "running", READY, errors=900) for number in range(5)]))
    assert "5 running with server errors (5xx)" in " ".join(lines.values())
    assert "server errors (5xx) since" not in " ".join(lines.values())


def test_without_a_limit_no_share_of_it_is_stated() -> None:
    assert "Limits" not in said("DataRobotAccountWorkloadLimitNear", fleet(one(1)))
