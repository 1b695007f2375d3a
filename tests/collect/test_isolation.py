"""One workload whose routes fail: the list is read on time, and the details of all other workloads stay fresh."""

from itertools import pairwise

import pytest

from tests.collect.test_poller import STATUS_DETAILS, counted, polled, steady
from tests.stage import Stage, played, simulated

pytestmark = pytest.mark.long

FAULTS = (
    "unavailable-seconds",
    "throttled",
    "unauthorized",
    "hanging",
    "huge",
    "cut",
    "error-text",
    "truncated",
    "nested",
)
ROUTES = (
    "/workloads/{id}", "/workloads/{id}/protons", "/workloads/{id}/events", "/workloads/{id}/stats",
    "/workloads/{id}/replacement", "/workloads/{id}/sharedRoles", "/otel/workload/{id}/metrics/autocollectedValues",
    STATUS_DETAILS,
)  # fmt: skip
SECONDS, EVERY = 700.0, 30.0


MANY = ("hanging", "throttled")
OFTEN = ("unavailable-seconds", "throttled", "hanging", "huge")
CASES = [
    *((fault, (STATUS_DETAILS,)) for fault in OFTEN),
    *((fault, ROUTES) for fault in MANY),
    *(pytest.param(fault, (STATUS_DETAILS,), marks=pytest.mark.exhaustive) for fault in FAULTS if fault not in OFTEN),
    *(pytest.param(fault, ROUTES, marks=pytest.mark.exhaustive) for fault in FAULTS if fault not in MANY),
]


@pytest.mark.parametrize(
    ("fault", "routes"), CASES, ids=lambda each: each if isinstance(each, str) else f"{len(each)} routes"
)
def test_a_workload_whose_routes_fail_neither_delays_nor_hides_the_others(fault: str, routes: tuple[str, ...]) -> None:
    async def play(stage: Stage) -> None:
        await stage.run(120.0)
        (broken, proton), *others = steady(stage).items()
        assert len(others) >= 2
        simulator.odd = {f"{fault}@{route.format(id=broken, pid=proton)}" for route in routes}
        await stage.run(120.0 + SECONDS)
        # The list: on time, complete, and the account is up.
        lists = [sent.at for sent in stage.sent if sent.path == "/api/v2/workloads"]
        assert max(later - sooner for sooner, later in pairwise(lists)) <= EVERY + 1.0
        assert not stage.monitor.message
        assert counted(stage, "api_up") == 1.0
        for route in ("*", "details", *ROUTES):
            assert not counted(stage, "api_paused_until_timestamp_seconds", endpoint=route)
        # The others: requested as often as ever, fresh and shown.
        requested = polled(stage.sent, "protons")
        for other, _ in others:
            assert max(later - sooner for sooner, later in pairwise(requested[other])) <= 300.0 + EVERY
            fresh = stage.monitor.workloads[other].details.fresh
            assert (fresh["pods"], fresh["events"], fresh["stats_5m"]) == (True, True, True)
        assert {state.workload.id for state in stage.monitor.visible()} >= set(stage.monitor.workloads)
        # The broken one: still listed with its status; what fails is not shown as fresh, and is there again soon.
        state = stage.monitor.workloads[broken]
        assert state.workload.status == "running"
        if fault != "nested":
            assert "pods" in state.details.failed
        simulator.odd = frozenset()
        await stage.run(120.0 + SECONDS + 330.0)
        assert "pods" not in stage.monitor.workloads[broken].details.failed

    simulator = simulated(20)
    played(play, simulator, rate=10.0)
