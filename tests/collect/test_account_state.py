"""A sweep is applied to the state of an account in small steps, between which details are polled."""

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.api.assumptions import Indication
from exporter.api.models import Tag, Workload
from exporter.collect.account_state import STEP_WORKLOADS, AccountState
from exporter.fleet.history import HistoryEntry
from exporter.fleet.objectives import Objective, ObjectiveRow
from exporter.fleet.reconcile import Snapshot, Sweep
from exporter.fleet.tag_labels import TagSelection
from exporter.fleet.workload_state import Details
from exporter.metrics.account_families import Use

ROWS = (
    ObjectiveRow(Objective(0.9), name="w*1"),
    ObjectiveRow(Objective(0.8), name="w*2"),
)
DAY = 86400.0
COUNT = 2 * STEP_WORKLOADS + 50
POLLED = Details(failed={"pods": "timeout"})
STATUSES = ("running", "errored", "stopped")


def sweep(statuses: Sequence[str]) -> Sweep:
    """All workloads of the list, with these statuses in turn."""
    there = (Workload(id=f"w{number}", name="w", status=statuses[number % len(statuses)]) for number in range(COUNT))
    return Sweep(tuple(each for each in there if each.status), ())


@given(
    st.lists(st.sampled_from(["", *STATUSES]), min_size=1, max_size=5),
    st.lists(st.sampled_from(["", *STATUSES]), min_size=1, max_size=5),
    st.dictionaries(st.integers(0, 9), st.sets(st.integers(0, COUNT - 1), max_size=3), max_size=5),
)
def test_details_that_are_polled_between_the_steps_of_a_sweep_are_kept(
    first: list[str], second: list[str], polled: dict[int, set[int]]
) -> None:
    at_once, in_steps = AccountState(Snapshot("acme")), AccountState(Snapshot("acme"))
    for state in (at_once, in_steps):
        state.apply_sweep(sweep(first), 1000.0)

    def poll(state: AccountState, step: int) -> None:
        for number in polled.get(step, ()):
            if (known := state.workloads.get(f"w{number}")) is not None:
                state.replace(known._replace(details=POLLED))

    for step in polled:
        poll(at_once, step)
    at_once.apply_sweep(sweep(second), 1030.0)
    for step, _ in enumerate(in_steps.sweep_steps(sweep(second), 1030.0)):
        poll(in_steps, step)
    for step in polled:
        poll(at_once, step)
        poll(in_steps, step)
    assert in_steps.workloads == at_once.workloads
    assert in_steps.snapshot.missing.keys() == at_once.snapshot.missing.keys()
    assert in_steps.snapshot.tally == at_once.snapshot.tally
    assert in_steps.use == at_once.use


def test_a_step_of_a_sweep_concerns_a_limited_number_of_workloads_and_the_totals_change_at_its_end() -> None:
    state, uses = AccountState(Snapshot("acme")), list[Use | None]()
    for _ in state.sweep_steps(sweep(["running"]), 1000.0):
        uses.append(state.use)
    assert uses == [None] * (2 * 3 + 1)
    assert state.use == Use(COUNT, 0, 0, forecast_from=1000.0 + DAY)


def test_the_history_of_a_workload_is_kept_by_sweeps_and_written_also_while_it_is_not_listed() -> None:
    state = AccountState(Snapshot("acme"))
    for turn, statuses in enumerate([["running"], ["", "running"], ["", "running"], ["", "running"]]):
        state.apply_sweep(sweep(statuses), 1000.0 + turn)
        state.written(state.pending())
        state.add_history("w0", HistoryEntry(1000.0 + turn, "alert", f"A{turn}"), 1000.0 + turn)
        state.add_history("unknown", HistoryEntry(1000.0, "alert", "A"), 1000.0)
        assert list(state.pending().ledgers) == ["w0"]
    assert [each.name for each in state.snapshot.gone["w0"].ledger.history] == ["A0", "A1", "A2", "A3"]


def test_a_clock_that_is_set_moves_the_times_of_the_state_by_whole_seconds() -> None:
    state = AccountState(Snapshot("acme"))
    state.follow_clock(1000.0, 0.0)
    state.apply_sweep(sweep(["running"]), 1000.0)
    before, written = state.workloads["w1"].ledger, state.pending()
    state.written(written)
    for wall, steady, since, ahead in (
        (1030.4, 30.0, 1000.0, 0.0),  # no step, but the usual corrections
        (4660.5, 60.0, 4600.0, -3600.0),
        (4690.6, 90.0, 4600.0, -3600.0),
        (1120.0, 120.0, 1000.0, 0.0),
    ):
        state.follow_clock(wall, steady)
        assert (state.workloads["w1"].ledger.since, state.skew.counts) == (since, ahead)
    assert state.workloads["w1"].ledger == before


def test_moved_ledgers_are_written() -> None:
    state = AccountState(Snapshot("acme"))
    state.follow_clock(1000.0, 0.0)
    state.apply_sweep(sweep(["running"]), 1000.0)
    state.written(state.pending())
    assert not state.pending()
    state.follow_clock(4600.0, 0.0)
    assert {each.since for each in state.pending().ledgers.values() if each is not None} == {4600.0}


def test_a_clock_that_is_set_while_a_sweep_is_applied_moves_the_times_after_it() -> None:
    state = AccountState(Snapshot("acme"))
    state.follow_clock(1000.0, 0.0)
    for _ in state.sweep_steps(sweep(["running"]), 1000.0):
        state.follow_clock(4600.0, 0.0)
    state.follow_clock(4600.0, 0.0)
    assert {each.ledger.since for each in state.workloads.values()} == {4600.0}


def test_a_copy_of_the_state_follows_the_clock_too() -> None:
    state = AccountState(Snapshot("acme"))
    state.follow_clock(1000.0, 0.0)
    state.apply_sweep(sweep(["running"]), 1000.0)
    copy = state.copy()
    copy.follow_clock(4600.0, 0.0)
    assert (copy.workloads["w1"].ledger.since, state.workloads["w1"].ledger.since) == (4600.0, 1000.0)


def tagged(*teams: str) -> Sweep:
    return Sweep(tuple(Workload(id=team, name="w", tags=(Tag("team", team),)) for team in teams), ())


def labels(state: AccountState) -> list[object]:
    return [each.tag_labels for _, each in sorted(state.workloads.items())]


def test_selected_tags_are_labels_after_a_sweep_and_at_once_after_a_change_of_the_settings() -> None:
    state = AccountState(Snapshot("acme"))
    state.apply_sweep(tagged("a", "b"), 1000.0)
    assert labels(state) == [None, None]
    state.select_tags(TagSelection(("team",), max_values=1))
    assert labels(state) == [(("tag_team", "a"),), ()]
    assert state.admission.left_out == {("team", "limit"): 1}
    state.apply_sweep(tagged("b", "c"), 1030.0)
    assert labels(state) == [(("tag_team", "b"),), ()]
    copy = state.copy()
    copy.apply_sweep(tagged("a", "b"), 1060.0)
    assert labels(copy) == [(), (("tag_team", "b"),)], "a value in use stays in use in a copy"
    state.select_tags(TagSelection())
    assert labels(state) == [None, None]
    assert state.admission.left_out == {}


def objectives(state: AccountState) -> list[float | None]:
    found = (each.objective for each in state.workloads.values())
    return [objective.availability if objective is not None else None for objective in found]


def named(*names: str) -> Sweep:
    return Sweep(tuple(Workload(id=f"w{n}", name=name, status="running") for n, name in enumerate(names)), ())


def test_workloads_have_the_objective_that_the_settings_in_force_demand() -> None:
    state = AccountState(Snapshot("acme"))
    state.apply_sweep(named("w1", "w2", "w3"), 1000.0)
    assert objectives(state) == [None, None, None]
    state.use_objectives(ROWS)
    assert objectives(state) == [0.9, 0.8, None]
    state.apply_sweep(named("w1", "w1", "w2", "w1"), 1030.0)  # renamed, and a new one
    assert objectives(state) == [0.9, 0.9, 0.8, 0.9]
    assert objectives(state.copy()) == [0.9, 0.9, 0.8, 0.9]
    state.use_objectives(ROWS[1:])
    assert objectives(state) == [None, None, 0.8, None]
    state.use_objectives(())
    assert objectives(state) == [None, None, None, None]


def test_evidence_that_cannot_be_found_is_logged_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Iterator[Indication]:
        yield Indication("quotas_of_workloads", "quotas_refused", "w", "400")
        raise ZeroDivisionError

    state = AccountState(Snapshot("acme"))
    before = state.judgement
    assert (state.judge(broken()), state.judgement is before) == ((), True)
    assert "assumptions could not be judged" in caplog.text
