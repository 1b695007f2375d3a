"""Responses are merged into the workload state, and withdrawn if too old or refused."""

from typing import Any

import pytest

from exporter.api.details import RequestMetrics, SharedRole
from exporter.api.models import Workload
from exporter.api.pods import Pods, Proton, StatusDetails
from exporter.fleet.apply import Shared, failed, received, refused, withdrawn
from exporter.fleet.ledger import Ledger
from exporter.fleet.objective_counts import ObjectiveCounts, RequestCount, Totals
from exporter.fleet.objectives import Objective
from exporter.fleet.workload_state import Details, Window, WorkloadState
from tests.make import container, pods, replica, sight

RUNNING = sight(Workload(id="w", status="running", proton_id="p"))
READY = pods(replica(container()))


def after(part: str, value: Any, state: WorkloadState = RUNNING, now: float = 100.0) -> WorkloadState:
    return received(state, part, value, now)[0]


def window(start: float, end: float, requests: int, *protons: str) -> Window:
    return Window(start, end, RequestMetrics(total_requests=requests), (), protons)


def test_a_received_part_is_kept_and_fresh() -> None:
    state = after("pods", READY)
    assert (state.details.pods, state.details.fresh, state.details.polled) == (READY, {"pods": True}, {})
    assert state.ledger.restarts == {"main": 0}


def test_an_unchanged_response_leaves_the_same_object() -> None:
    state = after("pods", READY)
    assert after("pods", READY, state, 200.0) is state


def test_poll_times_are_kept_while_a_workload_is_not_steady() -> None:
    broken = after("pods", pods(replica(container(ready=False))))
    assert broken.details.polled == {"pods": 100.0}
    assert after("pods", READY, broken).details.polled == {}


def test_a_refused_part_is_withdrawn_and_marked() -> None:
    state = refused(after("pods", READY), "pods")
    assert (state.details.pods, state.details.refused, state.details.fresh) == (None, frozenset({"pods"}), {})
    assert refused(state, "pods") is state
    assert after("pods", READY, state).details.refused == frozenset()
    again = refused(failed(state, "pods", "server_error"), "pods")
    assert (again.details.refused, again.details.failed) == (frozenset({"pods"}), {})


def test_an_old_part_is_withdrawn_as_not_fresh_and_an_unwanted_one_removed() -> None:
    state = after("stats_5m", window(0, 300, 5), after("pods", READY))
    old = withdrawn(state, ["pods", "stats_5m"])
    assert (old.details.pods, old.details.windows) == (None, {})
    assert old.details.fresh == {"pods": False, "stats_5m": False}
    assert withdrawn(state, (), ["stats_5m"]).details.fresh == {"pods": True}
    assert withdrawn(refused(state, "pods"), (), ["pods"]).details.refused == frozenset()
    assert withdrawn(old, ["events"]).ledger == state.ledger  # the counts stay


def test_grants_are_kept_and_their_changes_counted() -> None:
    grants = (SharedRole(id="a", role="OWNER"),)
    state = after("sharing", Shared(grants, ("x",)))
    state = after("sharing", Shared(grants, ("y",)), state)
    assert (state.details.grants, state.ledger.sharing_changes) == (grants, 1)


SERVES, DRAINS = Proton("p", status="running", role="active"), Proton("o", status="draining")


def partly(**unread: str) -> Pods:
    """A serving and a draining proton with a crash-looping pod each, except for unread ones."""
    snapshot = StatusDetails(replicas=(replica(container(ready=False, status="waiting", reason="CrashLoopBackOff")),))
    return Pods((SERVES, DRAINS), {p: None if p in unread else snapshot for p in ("p", "o")}, unread)


def test_pods_without_those_of_the_serving_proton_are_used_but_not_fresh() -> None:
    state = after("pods", partly(p="server_error"), after("pods", partly()), 200.0)
    assert state.details.fresh == {"pods": False}
    assert [proton.id for proton, _ in state.details.pods.replicas()] == ["o"] if state.details.pods else False
    assert state.details.polled == {"pods": 100.0}  # when it was read completely
    again = after("pods", partly(), state, 300.0)
    assert (again.details.fresh, again.details.polled) == ({"pods": True}, {"pods": 300.0})


def test_pods_without_those_of_another_proton_are_fresh() -> None:
    state = after("pods", partly(o="forbidden"))
    assert (state.details.fresh, state.details.refused) == ({"pods": True}, frozenset())


def test_the_reason_of_a_failed_part_is_kept_with_its_last_value_until_it_is_read_or_unwanted() -> None:
    state = failed(after("pods", READY), "pods", "server_error")
    assert (state.details.pods, state.details.fresh, state.details.failed) == (
        READY, {"pods": True}, {"pods": "server_error"}
    )  # fmt: skip
    assert failed(state, "pods", "server_error") is state
    assert failed(state, "pods", "timeout").details.failed == {"pods": "timeout"}
    assert after("pods", READY, state).details.failed == {}
    assert after("usage", (), state).details.failed == {"pods": "server_error"}
    assert withdrawn(state, ["pods"]).details.failed == {"pods": "server_error"}
    assert withdrawn(state, (), ["pods"]).details.failed == {}


@pytest.mark.parametrize(
    ("wide", "resets"),
    [
        (window(0, 3600, 40, "p"), 1),
        (window(0, 3600, 50, "p"), 0),
        (window(0, 3600, 40, "q"), 0),
        (window(3400, 3600, 40, "p"), 0),
    ],
    ids=["fewer than in a part of it", "as many", "of another proton", "of another time"],
)
def test_fewer_requests_than_in_a_window_within_mean_a_reset(wide: Window, resets: int) -> None:
    state = after("stats_5m", window(3300, 3600, 50, "p"))
    assert after("stats_1h", wide, state, 3700.0).ledger.resets == resets


def test_one_reset_is_counted_once() -> None:
    state = after("stats_5m", window(3300, 3600, 50, "p"))
    for _ in range(3):
        state = after("stats_1h", window(0, 3600, 0, "p"), state, 3700.0)
    assert (state.ledger.resets, state.ledger.reset_at) == (1, 3700.0)


@pytest.mark.parametrize("part", ["usage", "quotas", "events"])
def test_every_part_has_a_merge(part: str) -> None:
    assert after(part, ()).details.fresh == {part: True}


def demanded(**targets: float) -> WorkloadState:
    return RUNNING._replace(objective=Objective(**targets))


TEN = RequestCount(0.0, 60.0, 10.0, 2.0, 1.0)


def test_requests_count_for_a_workload_with_an_objective_only() -> None:
    counts = after("requests", TEN, demanded(availability=0.9)).ledger.objectives
    assert counts == ObjectiveCounts(100.0, 100.0, Totals(10, 2, 1), until=60.0)
    assert after("requests", TEN).ledger.objectives is None


def test_pods_count_for_an_objective_of_readiness_only() -> None:
    ready = after("pods", READY, after("pods", READY, demanded(readiness=0.9)), 160.0).ledger.objectives
    assert ready == ObjectiveCounts(100.0, 160.0, Totals(ready=60), read=160.0, ready=True)
    assert after("pods", READY).ledger.objectives is None
    assert after("pods", READY, demanded(availability=0.9)).ledger.objectives is None


def test_pods_of_a_workload_without_new_requests_move_the_window_of_its_objective_each_hour() -> None:
    state = after("requests", TEN, demanded(availability=0.9))
    times = [after("pods", READY, state, now).ledger.objectives for now in (3600.0, 3700.0)]
    assert [counts.at if counts is not None else None for counts in times] == [100.0, 3700.0]


def test_an_ended_replacement_is_removed() -> None:
    state = WorkloadState("eu", Workload(id="w", status="running"), Ledger(0.0, 0.0), Details(pods=Pods()))
    assert received(state, "replacement", None, 1.0)[0].details.fresh == {"replacement": True}
