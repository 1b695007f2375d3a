"""Requests are counted once each, for workloads with an objective, however often and late the API is polled."""

from exporter.fleet.objective_counts import ObjectiveCounts, Totals
from exporter.fleet.objectives import Objective, ObjectiveRow
from exporter.simulator.request_stats import window_counts
from tests.stage import START, Stage, played, simulated

ROWS = (ObjectiveRow(Objective(availability=0.999, latency=0.95, slower=2.0)),)
DAYS = 3 * 86400.0


def counts(stage: Stage) -> ObjectiveCounts:
    """The counts of the only workload."""
    (state,) = stage.monitor.workloads.values()
    assert state.ledger.objectives is not None
    return state.ledger.objectives


def truth(stage: Stage, start: float, end: float) -> Totals:
    served = window_counts(stage.simulator.world.actor(0), start, end)
    return Totals(served["totalRequests"], served["serverErrors"], served["slowRequests"])


def test_the_totals_are_those_of_the_api_since_three_days_before_the_first_poll() -> None:
    async def play(stage: Stage) -> None:
        await stage.run(60.0)
        first = counts(stage)
        assert first.totals == truth(stage, first.until - DAYS, first.until)
        await stage.run(7200.0)
        last = counts(stage)
        assert START + 7200 - 900 < last.until <= START + 7200 - 90
        assert last.totals == truth(stage, first.until - DAYS, last.until)
        assert last.totals.requests > first.totals.requests

    simulator = simulated(1)
    played(play, simulator, objectives=ROWS)


def test_requests_during_an_outage_of_the_route_are_counted_after_it() -> None:
    async def play(stage: Stage) -> None:
        await stage.run(60.0)
        begin = counts(stage).until - DAYS
        simulator.odd = frozenset({"error-text@/workloads/{id}/stats"})
        await stage.run(4 * 3600.0)
        before = counts(stage)
        simulator.odd = frozenset()
        await stage.run(6 * 3600.0)
        after = counts(stage)
        assert before.until < START + 600
        assert after.totals == truth(stage, begin, after.until)

    simulator = simulated(1)
    played(play, simulator, objectives=ROWS)


def test_a_clock_of_the_api_that_is_ahead_changes_nothing() -> None:
    async def play(stage: Stage) -> None:
        stage.ahead = 120.0
        await stage.run(3600.0)
        assert START + 3600 - 900 < counts(stage).until <= START + 3600 - 90

    simulator = simulated(1)
    played(play, simulator, objectives=ROWS)


def test_without_an_objective_nothing_is_counted_and_no_request_is_sent_for_it() -> None:
    async def play(stage: Stage) -> None:
        await stage.run(1300.0)
        (state,) = stage.monitor.workloads.values()
        assert state.ledger.objectives is None
        assert "requests" not in state.details.fresh

    simulator = simulated(1)
    played(play, simulator)


def test_a_workload_with_an_objective_of_latency_counts_slow_requests_by_it() -> None:
    queries: set[str] = set()

    async def play(stage: Stage) -> None:
        respond = stage.simulator.respond

        def recorded(method: str, path: str, query: str, headers: dict[str, str]) -> object:
            queries.update(part for part in query.split("&") if part.startswith("slowRequestsThreshold"))
            return respond(method, path, query, headers)

        stage.simulator.respond = recorded  # type: ignore[method-assign,assignment]  # the simulator's own entry
        await stage.run(60.0)

    simulator = simulated(1)
    played(play, simulator, objectives=(ObjectiveRow(Objective(latency=0.9, slower=0.25)),), slow=2.0)
    assert queries == {"slowRequestsThreshold=250"}
