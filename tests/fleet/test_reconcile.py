"""Complete sweeps add and remove workloads, incomplete ones change nothing."""

import pytest

from exporter.api.decoding import One, Reject
from exporter.api.models import Replacement, Workload
from exporter.fleet.reconcile import (
    GONE_SHOWN_SECONDS,
    MAX_GONE,
    Snapshot,
    Sweep,
    ledgers,
    observed,
    recognised,
    resolved,
    restored,
    step,
    unclear,
    unknown_values,
    visible,
)
from exporter.fleet.workload_state import Details, WorkloadState


def sweep(*workloads: tuple[str, str], rejects: tuple[Reject, ...] = ()) -> Sweep:
    return Sweep(tuple(Workload(id=i, status=s) for i, s in workloads), rejects)


def after(*sweeps: Sweep) -> Snapshot:
    """The snapshot after these sweeps, at 10, 20, 30 … seconds."""
    known = Snapshot("acme")
    for number, each in enumerate(sweeps, 1):
        known = step(known, each, number * 10.0)
    return known


FAILED = Sweep((), (), "timeout")


def test_the_time_of_a_status_is_its_first_observation_and_survives_other_changes() -> None:
    known = after(sweep(("a", "running")), sweep(("a", "Running ")), sweep(("a", "errored")), sweep(("a", "errored")))
    assert known.workloads["a"].ledger.since == 30.0


def test_a_failed_sweep_changes_only_the_time_of_the_attempt() -> None:
    known = after(sweep(("a", "running")), FAILED, FAILED)
    assert list(known.workloads) == ["a"]
    assert (known.attempted, known.succeeded) == (30.0, 10.0)


def test_a_workload_absent_once_is_not_shown_and_absent_twice_has_vanished() -> None:
    both = sweep(("a", "running"), ("b", "running"))
    once = after(both, sweep(("a", "running")))
    assert (list(once.workloads), once.vanished) == (["a"], 0)
    twice = after(both, sweep(("a", "running")), sweep(("a", "running")), sweep(("a", "running")))
    assert (list(twice.workloads), twice.vanished) == (["a"], 1)


NUMBER = Reject("$.id", "type", "7")


def test_a_number_that_no_known_workload_has_is_no_id() -> None:
    known = after(sweep(("a", "running"), ("b", "running")))
    for _ in range(3):
        read = recognised(known, sweep(("a", "running"), ("7", "running"), rejects=(NUMBER,)))
        assert read.rejects == (Reject("$.id", "type", None),)
        known = step(known, read, 20.0)
        assert {*known.workloads} == {"a", "b"}
    assert (known.missing, known.gone, known.vanished) == ({}, {}, 0)


@pytest.mark.parametrize(
    "ids",
    [(), ("7",), ("7", "a"), ("5",)],
    ids=["nothing known", "that id known", "that id known among others", "known ids are numbers"],
)
def test_a_number_is_an_id_if_it_is_known_or_known_ids_are_numbers(ids: tuple[str, ...]) -> None:
    known = after(*[sweep(*((i, "running") for i in ids))] * len(ids[:1]))
    read = sweep(("7", "running"), rejects=(NUMBER,))
    assert recognised(known, read) is read


def test_a_workload_back_after_one_absence_has_not_vanished_and_keeps_its_time() -> None:
    known = after(sweep(("a", "running")), sweep(), sweep(("a", "running")))
    assert (known.workloads["a"].ledger.since, known.vanished) == (10.0, 0)


def test_results_computed_before_a_step_are_used_except_of_workloads_that_changed_meanwhile() -> None:
    known = after(
        sweep(("a", "running"), ("b", "running"), ("c", "running")), sweep(("b", "running"), ("c", "running"))
    )
    new = sweep(("a", "errored"), ("b", "errored"), ("c", "errored"), ("d", "running"))
    done = observed(known, new, new.workloads[:2], 30.0)
    assert list(done) == ["a", "b"]
    assert step(known, new, 30.0, done=done) == step(known, new, 30.0)
    replaced = known.workloads["b"]._replace(details=Details(fresh={"pods": True}))
    changed = known._replace(workloads={**known.workloads, "b": replaced})
    assert step(changed, new, 30.0, done=done) == step(changed, new, 30.0)
    assert step(changed, new, 30.0).workloads["b"].details.fresh == {"pods": True}


# -- unreadable list items

LOST = Reject("$.id", "missing")
NO_STATUS = Reject("$.status", "type", "a")


def held(known: Snapshot) -> dict[str, tuple[str | None, dict[str, float]]]:
    """Status and held fields of each workload."""
    return {i: (state.workload.status, dict(state.held)) for i, state in known.workloads.items()}


@pytest.mark.parametrize("reject", [Reject("$", "type"), LOST])
def test_an_item_without_an_id_may_be_any_workload_so_none_vanishes_and_none_is_fresh(reject: Reject) -> None:
    lost = sweep(("a", "errored"), rejects=(reject,))
    known = after(sweep(("a", "running"), ("b", "stopped")), lost, lost, lost)
    assert held(known) == {"a": ("errored", {}), "b": ("stopped", {"$": 20.0})}
    assert (dict(known.missing), known.vanished) == ({}, 0)
    assert held(step(known, sweep(("a", "errored"), ("b", "running")), 50.0))["b"] == ("running", {})


def test_an_item_without_an_id_may_be_a_missing_workload_too() -> None:
    known = after(sweep(("a", "running")), sweep(), sweep(rejects=(LOST,)), sweep(rejects=(LOST,)))
    assert (list(known.missing), known.vanished) == (["a"], 0)
    assert step(known, sweep(), 50.0).vanished == 1


def test_an_item_without_an_id_does_not_keep_workloads_that_do_not_exist() -> None:
    lost = sweep(rejects=(LOST,))._replace(absent=frozenset("b"))
    known = after(sweep(("a", "running"), ("b", "running")), lost, lost)
    assert (list(known.workloads), list(known.gone), known.vanished) == (["a"], ["b"], 1)


@pytest.mark.parametrize(
    ("known", "now", "ids"),
    [
        (after(sweep(("a", "running"), ("b", "running"))), sweep(("a", "running"), rejects=(LOST,)), ("b",)),
        (after(sweep(("a", "running")), sweep()), sweep(rejects=(LOST,)), ("a",)),
        (after(sweep(("a", "running"), ("b", "running"))), sweep(("a", "running")), ()),
        (after(sweep(("a", "running"))), sweep(("a", "running"), rejects=(NO_STATUS,)), ("a",)),
        (after(sweep()), sweep(("a", "running"), rejects=(NO_STATUS,)), ()),
        (after(sweep(("a", "running"))), sweep(("a", "running"), rejects=(Reject("$.tags", "type", "a"),)), ()),
    ],
)
def test_which_workloads_are_requested_by_their_ids(known: Snapshot, now: Sweep, ids: tuple[str, ...]) -> None:
    assert unclear(known, now) == ids


def test_a_workloads_own_route_replaces_its_unreadable_list_item() -> None:
    now = Sweep((Workload(id="a"),), (NO_STATUS, LOST))
    route = {
        "a": One(Workload(id="a", status="errored"), ()),
        "b": One(Workload(id="b"), (Reject("$.name", "type", "b"),)),
    }
    found = resolved(now, route, ["c"])
    assert {w.id: w.status for w in found.workloads} == {"a": "errored", "b": None}
    assert found.rejects == (LOST, Reject("$.name", "type", "b"))
    assert found.absent == {"c"}


def test_a_field_that_cannot_be_read_keeps_its_value_for_fifteen_minutes_and_is_then_unknown() -> None:
    known = after(sweep(("a", "errored")))
    blank = Sweep((Workload(id="a", name="n"),), (NO_STATUS,))
    state = []
    for now in (20.0, 920.0, 921.0, 1000.0):
        known = step(known, blank, now)
        workload = known.workloads["a"].workload
        state.append((workload.name, workload.status, dict(known.workloads["a"].held)))
    assert state == [
        ("n", "errored", {"status": 20.0}),
        ("n", "errored", {"status": 20.0}),
        ("n", None, {"status": 20.0}),
        ("n", None, {"status": 20.0}),
    ]
    assert step(known, blank, 1001.0).workloads["a"] is known.workloads["a"]
    assert held(step(known, sweep(("a", "errored")), 1001.0)) == {"a": ("errored", {})}


def test_an_item_that_cannot_be_read_at_all_keeps_its_name_and_importance_longer_than_its_state() -> None:
    first = Workload(id="a", name="n", importance="critical", status="running", proton_id="p")
    known = step(Snapshot("acme"), Sweep((first,), ()), 10.0)
    for now in (20.0, 920.0):
        known = step(known, sweep(rejects=(LOST,)), now)
        assert known.workloads["a"].workload == first
    known = step(known, sweep(rejects=(LOST,)), 921.0)
    assert known.workloads["a"].workload == Workload(id="a", name="n", importance="critical")
    assert step(known, sweep(rejects=(LOST,)), 922.0).workloads["a"] is known.workloads["a"]


def test_a_replacement_that_cannot_be_read_has_not_ended() -> None:
    rolling = Workload(id="a", status="running", proton_id="p", replacement=Replacement(status="switching"))
    known = step(Snapshot("acme"), Sweep((rolling,), ()), 10.0)
    blank = Sweep((Workload(id="a", status="running", proton_id="p"),), (Reject("$.replacement", "type", "a"),))
    known = step(step(known, blank, 20.0), blank, 800.0)
    assert known.workloads["a"].workload.replacement == Replacement(status="switching")
    assert dict(known.workloads["a"].ledger.transitions) == {}


def test_a_name_with_an_invalid_character_is_shown_with_a_replacement_character() -> None:
    known = after(sweep(("a", "running")))
    now = Sweep((Workload(id="a", name="caf\ufffd", status="running"),), (Reject("$.name", "text", "a"),))
    state = step(known, now, 20.0).workloads["a"]
    assert (state.workload.name, dict(state.held)) == ("caf\ufffd", {})


def test_workloads_are_shown_until_the_last_complete_sweep_is_too_old() -> None:
    known = after(sweep(("a", "running")), FAILED)
    assert [s.workload.id for s in visible(known, 900.0, 900.0)] == ["a"]
    assert list(visible(known, 901.0, 900.0)) == []
    assert list(visible(Snapshot("acme"), 0.0, 900.0)) == []


def test_a_vanished_workload_is_shown_as_such_for_an_hour_unless_it_comes_back() -> None:
    gone = after(sweep(("a", "errored")), sweep(), sweep())
    assert {s.workload.id: s.vanished for s in visible(gone, 0.0, 900.0)} == {"a": 30.0}
    assert list(visible(step(gone, sweep(), 30.0 + 3600.0), 0.0, 900.0)) == []
    back = step(gone, sweep(("a", "running")), 40.0)
    assert {s.workload.id: (s.vanished, s.ledger.first) for s in visible(back, 0.0, 900.0)} == {"a": (None, 10.0)}


def test_of_a_vanished_workload_only_its_ledger_is_kept_after_an_hour() -> None:
    item = Workload(id="a", name="chat", status="running", importance="high", endpoint="https://w.test/a")
    there = step(Snapshot("eu"), Sweep((item,), ()), 10.0)
    gone = step(step(there, sweep(), 20.0), sweep(), 30.0)
    gone = gone._replace(gone={"a": gone.gone["a"]._replace(gone_because="not_found")})
    shown = step(gone, sweep(), 30.0 + GONE_SHOWN_SECONDS - 1).gone["a"]
    assert shown.workload == item
    later = step(gone, sweep(), 30.0 + GONE_SHOWN_SECONDS)
    slim = later.gone["a"]
    assert (slim.workload, slim.ledger) == (Workload(id="a", name="chat", status="running"), shown.ledger)
    assert (slim.vanished, slim.gone_because) == (30.0, "not_found")
    assert step(later, sweep(), 40.0 + GONE_SHOWN_SECONDS).gone["a"] is slim
    back = step(later, Sweep((item,), ()), 40.0 + GONE_SHOWN_SECONDS).workloads["a"]
    assert (back.workload, back.vanished, back.ledger.first) == (item, None, 10.0)


def test_the_number_of_vanished_workloads_is_limited_and_the_oldest_are_forgotten() -> None:
    states = [WorkloadState("eu", Workload(id=f"{n}"), vanished=float(n)) for n in range(MAX_GONE + 5)]
    known = step(Snapshot("eu", gone={state.workload.id: state for state in states}), sweep(), float(MAX_GONE + 5))
    assert [*known.gone] == [f"{n}" for n in range(5, MAX_GONE + 5)]


def test_first_observations_of_a_workload_and_of_its_status_are_distinct() -> None:
    known = after(sweep(("a", "running")), sweep(("a", "errored")))
    assert (known.workloads["a"].ledger.since, known.workloads["a"].ledger.first) == (20.0, 10.0)


def test_the_reason_of_the_last_failure_is_kept_until_a_sweep_is_complete() -> None:
    assert after(sweep(), FAILED).failure == "timeout"
    assert after(sweep(), FAILED, sweep()).failure == ""


def test_unknown_values_are_counted_by_field() -> None:
    fleet = (
        Workload(id="a", status="Hibernating", importance="urgent", type="service"),
        Workload(id="b", status="hibernating", importance="LOW", type="agent"),
        Workload(id="c", status="pending", replacement=Replacement(status="paused")),
    )
    assert {field: dict(values) for field, values in unknown_values(fleet).items()} == {
        "status": {"Hibernating": 1, "hibernating": 1},
        "importance": {"urgent": 1},
        "type": {},
        "replacement.status": {"paused": 1},
    }


def test_a_restored_account_shows_nothing_continues_its_counts_and_forgets_no_workload_too_soon() -> None:
    before = after(
        sweep(("a", "running"), ("b", "running"), ("c", "running")), sweep(("a", "running"), ("b", "running"))
    )
    before = step(before, sweep(("a", "running"), ("b", "running")), 30.0)
    known = restored("acme", dict(ledgers(before)), before.tally)
    assert list(visible(known, 0.0, 900.0)) == []
    now = step(known, sweep(("a", "errored"), ("new", "submitted")), 40.0)
    assert {i: dict(s.ledger.transitions) for i, s in now.workloads.items()} == {
        "a": {"errored": 1},
        "new": {"started": 1},
    }
    assert now.workloads["a"].ledger.first == 10.0
    assert [list(now.missing), list(now.gone), now.vanished] == [["b"], ["c"], 0]
    then = step(now, sweep(("a", "errored"), ("c", "running")), 50.0)
    assert [list(then.missing), sorted(then.gone), then.vanished] == [["new"], ["b"], 1]
    assert dict(then.workloads["c"].ledger.transitions) == {"vanished": 1, "reappeared": 1}
    assert then.workloads["c"].ledger.first == 10.0


def test_durations_of_starts_are_tallied_for_the_account() -> None:
    known = after(sweep(("a", "stopped")), sweep(("a", "submitted")), sweep(("a", "running")))
    assert (sum(known.tally.starts.counts), known.tally.starts.sum) == (1, 10.0)


# -- workloads that are not selected


def test_a_workload_that_is_no_longer_selected_has_not_vanished() -> None:
    both = sweep(("a", "running"), ("b", "starting"))
    left = sweep(("a", "running"))._replace(unchosen=frozenset("b"))
    for known in (after(both, left, left), after(both, sweep(("a", "running")), left), after(both, sweep(), sweep())):
        now = step(known, left, 40.0)
        assert [i for i, _ in ledgers(now)] == ["a"]
        assert now.vanished == known.vanished
        assert not now.missing


def test_a_rejected_item_is_not_a_listed_workload_that_is_not_selected() -> None:
    left = sweep(rejects=(Reject("$", "type"),))._replace(unchosen=frozenset("b"))
    assert list(after(sweep(("a", "running"), ("b", "running")), left).workloads) == ["a"]


@pytest.mark.parametrize(
    ("created", "kinds"),
    [("1970-01-01T02:00:00Z", []), ("1970-01-01T02:47:00Z", ["start"]), (None, ["start"])],
)
@pytest.mark.parametrize("restart", [True, False])
def test_a_workload_created_long_before_the_last_sweep_without_it_existed_before(
    created: str | None, kinds: list[str], restart: bool
) -> None:
    known = step(step(Snapshot("acme"), sweep(("a", "running")), 9000.0), sweep(("a", "stopped")), 10_000.0)
    if restart:
        known = restored("acme", dict(ledgers(known)), known.tally)
    late = Sweep((Workload(id="b", status="running", created_at=created),), ())
    assert [each.kind for each in step(known, late, 10_030.0).workloads["b"].ledger.tracker.over] == kinds
