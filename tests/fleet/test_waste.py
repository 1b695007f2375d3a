"""What a workload costs, when it is idle, and which bundle fits it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from exporter.api.details import RequestMetrics
from exporter.api.models import Bundle, Group, RequestStats, Runtime, Workload
from exporter.api.pods import Pods, Proton, Replica, StatusDetails
from exporter.fleet.ledger import Ledger, UsageHistory
from exporter.fleet.waste import Sizing, Waste, cost_per_hour, idle_since, sizing, waste
from exporter.fleet.workload_state import Costs, Details, Window, WorkloadState
from exporter.timestamps import rfc3339
from tests.make import container, pods, replica

DAY = 86400.0
NOW = 100 * DAY
SMALL, MEDIUM, LARGE = Bundle("small", 1.0, 1000), Bundle("medium", 4.0, 4000), Bundle("large", 16.0, 16000)
GPU, BIG_GPU = Bundle("gpu", 4.0, 4000, 1, "nvidia", "l4"), Bundle("big-gpu", 8.0, 8000, 1, "nvidia", "l4")
CATALOGUE = {bundle.id or "": bundle for bundle in (SMALL, MEDIUM, LARGE, GPU, BIG_GPU)}
PRICES = {"small": 0.1, "medium": 0.5, "large": 2.0, "gpu": 3.0, "big-gpu": 5.0}


def pod(name: str = "pod", **facts: Any) -> Replica:
    """A ready pod."""
    return replica(container(), name=name, **facts)


TWO_PODS = pods(pod("a"), pod("b"), running_since=rfc3339(NOW - 30 * DAY))


def at(days: float) -> str:
    """The timestamp of some days ago."""
    return rfc3339(NOW - days * DAY)


def state(
    bundle: Bundle | None = MEDIUM,
    *,
    ledger: Mapping[str, Any] = {},
    details: Mapping[str, Any] = {},
    costs: Mapping[str, Any] = {},
    catalogue: Mapping[str, Bundle] | None = CATALOGUE,
    groups: tuple[Group, ...] = (),
    **workload: Any,
) -> WorkloadState:
    """A workload with two replicas and no request for 20 days."""
    of: dict[str, Any] = {
        "id": "w",
        "status": "running",
        "proton_id": "p",
        "runtime": Runtime(container_groups=groups or (Group(replica_count=2, resolved_bundle=bundle),)),
        "request_stats": RequestStats(total_requests=0),
        "last_response": at(20),
        "created_at": at(60),
    }
    return WorkloadState(
        "acme",
        Workload(**{**of, **workload}),
        Ledger(**{"first": 0.0, "since": NOW - 40 * DAY, **ledger}),
        Details(**{"pods": TWO_PODS, "windows": {"5m": quiet()}, **details}),
        catalogue=catalogue,
        costs=Costs(**{"bundles": PRICES, **costs}),
    )


def quiet(requests: int | None = 0, end: float = NOW) -> Window:
    return Window(end - 300, end, RequestMetrics(requests))


TWO_VERSIONS = Pods(
    (Proton(id="p", status="running"), Proton(id="q", status="draining")),
    {name: StatusDetails(replicas=(pod(name=name),)) for name in "pq"},
)


@pytest.mark.parametrize(
    ("of", "cost"),
    [
        (state(), 1.0),
        (state(costs={"bundles": {"medium": 0}}), 0.0),
        (state(details={"pods": TWO_VERSIONS}), 1.0),
        (state(details={"pods": pods(pod(status="succeeded"))}), 0.0),  # stopped
        (state(costs={"bundles": {}}), None),
        (state(costs={"bundles": {"small": 0.1}}), None),
        (state(Bundle(None, 4.0, 4000)), None),
        (state(None), None),
        (state(details={"pods": None}), None),
        (state(details={"pods": Pods((Proton(id="p"),), {"p": None})}), None),
        (state(groups=(Group(resolved_bundle=SMALL), Group(resolved_bundle=MEDIUM))), None),
    ],
)
def test_a_workload_costs_the_price_of_its_live_pods(of: WorkloadState, cost: float | None) -> None:
    assert cost_per_hour(of) == cost


NEVER: dict[str, Any] = {"last_response": None}


@pytest.mark.parametrize(
    ("of", "days"),
    [
        (state(), 20),
        (state(last_response=at(2)), None),
        (state(last_response=at(3)), 3),
        (state(last_response=at(2), costs={"idle_after": DAY}), 2),
        (state(request_stats=RequestStats(total_requests=0, last_request_at=at(12))), 12),
        (state(request_stats=None), 20),
        (state(last_response=at(45)), 30),  # it was started later
        (state(last_response=at(45), details={"pods": pods(pod())}), 40),  # observed for so long
        # no request was ever reported
        (state(**NEVER), 30),
        (state(**NEVER, updated_at=at(10)), 10),
        (state(**NEVER, ledger={"reset_at": NOW - 9 * DAY}), 9),
        (state(**NEVER, request_stats=None), None),
        (state(**NEVER, request_stats=RequestStats()), None),
        (state(**NEVER, request_stats=RequestStats(total_requests=7)), None),
        # the statistics
        (state(details={"windows": {}}), None),
        (state(details={"windows": {"5m": quiet(None)}}), None),
        (state(details={"windows": {"5m": quiet(1)}}), None),
        (state(details={"windows": {"5m": quiet(0), "1h": quiet(4, NOW - 60)}}), 20),
        (state(details={"windows": {"5m": quiet(0, NOW - 60), "1h": quiet(4)}}), None),
        # what is allocated
        (state(status="stopped"), None),
        (state(status="Hibernating", ledger={"group": "up"}), 20),
        (state(details={"pods": None, "windows": {"5m": quiet()}}), None),
        (state(details={"pods": Pods((Proton(id="p"),), {"p": None}), "windows": {"5m": quiet()}}), None),
        (state(details={"pods": pods(replica(container(ready=False)))}), None),  # it cannot respond
        (state(details={"pods": pods(), "windows": {"5m": quiet()}}), None),
    ],
)
def test_a_workload_is_idle_if_it_has_ready_pods_and_no_request_is_reported_for_long(
    of: WorkloadState, days: float | None
) -> None:
    assert idle_since(of) == (None if days is None else NOW - days * DAY)


def used(
    cpu: float | None, memory: float | None, peak: float | None = None, *, bundle: str = "medium", days: float = 2
) -> dict[str, Any]:
    """A ledger in which a replica used these shares of its bundle for some days."""
    history = UsageHistory(
        bundle, NOW - days * DAY, NOW, b"", (cpu, memory, None), (cpu, memory if peak is None else peak, None)
    )
    return {"usage": history}


OVER, UNDER = "oversized", "undersized"


@pytest.mark.parametrize(
    ("of", "found"),
    [
        (state(ledger=used(0.1, 0.1)), (OVER, "small")),
        (state(ledger=used(0.3, 0.1)), None),  # 1.2 cores do not fit into one
        (state(ledger=used(0.2, 0.2)), (OVER, "small")),  # four fifths of it
        (state(ledger=used(0.2, 0.1, peak=0.25)), None),  # the peak of the memory counts
        (state(ledger=used(0.5, 0.5)), None),
        (state(ledger=used(0.9, 0.9)), None),
        (state(ledger=used(1.0, 0.5)), (UNDER, "large")),
        (state(ledger=used(0.1, 1.0)), (UNDER, "large")),
        (state(LARGE, ledger=used(1.0, 0.5, bundle="large")), (UNDER, "")),
        (state(LARGE, ledger=used(0.05, 0.05, bundle="large")), (OVER, "small")),
        (state(LARGE, ledger=used(0.2, 0.2, bundle="large")), (OVER, "medium")),
        (state(SMALL, ledger=used(0.01, 0.01, bundle="small")), None),
        # what is not known
        (state(), None),
        (state(None, ledger=used(0.1, 0.1)), None),
        (state(ledger=used(None, 0.1)), None),
        (state(ledger=used(0.1, None)), None),
        (state(Bundle("medium", None, 4000), ledger=used(0.1, 0.1)), None),
        (state(Bundle("medium", 4.0, None), ledger=used(0.1, 0.1)), None),
        (state(ledger=used(0.1, 0.1, bundle="large")), None),
        (state(ledger=used(0.1, 0.1, days=0.9)), None),
        (state(ledger=used(0.1, 0.1, days=0), costs={"min_history": 0}), (OVER, "small")),
        (state(catalogue=None, ledger=used(0.1, 0.1)), None),
        (state(catalogue=None, ledger=used(1.0, 0.1)), (UNDER, "")),
        # GPUs stay the same
        (state(BIG_GPU, ledger=used(0.1, 0.1, bundle="big-gpu")), (OVER, "gpu")),
        (state(GPU, ledger=used(0.01, 0.01, bundle="gpu")), None),
        # without prices, a smaller bundle is one that has less
        (state(LARGE, ledger=used(0.2, 0.2, bundle="large"), costs={"bundles": {}}), (OVER, "medium")),
        (state(LARGE, ledger=used(0.2, 0.2, bundle="large"), costs={"bundles": {"medium": 1.0}}), (OVER, "medium")),
        (state(ledger=used(0.1, 0.1), costs={"bundles": {"small": 0.7, "medium": 0.5}}), None),  # not cheaper
        (
            state(ledger=used(0.1, 0.1), costs={"bundles": {}}, catalogue={"x": Bundle("x", 1.0, 9000)}),
            None,  # less CPU, but more memory
        ),
        (state(ledger=used(0.1, 0.1), costs={"bundles": {}}, catalogue={"x": Bundle("x", 4.0, 4000)}), None),
        (state(ledger=used(0.1, 0.1), catalogue={"x": Bundle("x"), "small": SMALL}), (OVER, "small")),
    ],
)
def test_a_bundle_is_too_large_or_too_small_for_what_was_used(of: WorkloadState, found: tuple[str, str] | None) -> None:
    assert sizing(of) == found


BUSY: dict[str, Any] = {"details": {"windows": {"5m": quiet(9)}}}


@pytest.mark.parametrize(
    ("of", "lost"),
    [
        (state(), Waste("idle", 730.0)),
        (state(ledger=used(0.1, 0.1)), Waste("idle", 730.0)),
        (state(ledger=used(0.1, 0.1), **BUSY), Waste("oversized", 584.0)),  # two replicas for 0.1 instead of 0.5
        (state(**BUSY), None),
        (state(ledger=used(1.0, 0.1), **BUSY), None),
        (state(ledger=used(0.1, 0.1), costs={"bundles": {"medium": 0.5}}, **BUSY), None),
        (state(costs={"bundles": {}}), None),
        (state(costs={"bundles": {"medium": 0}}), None),
        (
            state(
                ledger=used(0.1, 0.1),
                costs={"bundles": PRICES | {"small": 0.5}},
                catalogue={"small": SMALL},
                **BUSY,
            ),
            None,
        ),
    ],
)
def test_waste_is_the_cost_of_idleness_or_of_too_large_a_bundle(of: WorkloadState, lost: Waste | None) -> None:
    found = waste(of)
    assert (found and found.reason) == (lost and lost.reason)
    assert found is None or lost is None or found.per_month == pytest.approx(lost.per_month)


def test_a_saving_is_not_known_while_two_versions_have_different_bundles() -> None:
    other = Runtime(container_groups=(Group(resolved_bundle=LARGE),))
    protons = (Proton(id="p", status="running"), Proton(id="q", status="draining", runtime=other))
    two = Pods(protons, {name: StatusDetails(replicas=(pod(name=name),)) for name in "pq"})
    busy = {"windows": {"5m": quiet(9)}}
    of = state(ledger=used(0.1, 0.1), details={"pods": two, **busy})
    assert cost_per_hour(of) == 2.5
    assert waste(of) is None
    assert Sizing("oversized", "small") == sizing(of)
    assert msgspec.structs.asdict(of.ledger)["usage"] == of.ledger.usage


PAGE = (Path(__file__).parents[2] / "docs" / "capacity-and-cost.md").read_text()
GIB = 1024**3
OF_PAGE = {
    "cpu.small": Bundle("cpu.small", 1.0, GIB // 2),
    "cpu.medium": Bundle("cpu.medium", 2.0, 4 * GIB),
    "gpu.l4.small": Bundle("gpu.l4.small", 4.0, 16 * GIB, 1),
}


def rows_of_the_example() -> list[dict[str, str]]:
    lines = [line.strip("| ").split(" | ") for line in PAGE.partition("## An example")[2].splitlines() if "|" in line]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]


@pytest.mark.parametrize("row", rows_of_the_example(), ids=lambda row: row["Workload"])
def test_the_numbers_of_the_example_in_the_documentation_are_right(row: dict[str, str]) -> None:
    (prices,) = re.findall(r"bundles: {(.*)}", PAGE)
    bundle, days = OF_PAGE[row["Bundle"]], re.match(r"\d+", row["Last request"])
    cpu, memory = (float(row[name].removesuffix(" %")) / 100 for name in ("CPU, 95th percentile", "Memory, peak"))
    of = state(
        bundle,
        ledger=used(cpu, memory, bundle=row["Bundle"]),
        details={
            "pods": pods(*(pod(name=str(n)) for n in range(int(row["Live pods"])))),
            "windows": {"5m": quiet(0 if days else 9)},
        },
        costs={"bundles": {name: float(price) for name, price in (each.split(": ") for each in prices.split(", "))}},
        catalogue=OF_PAGE,
        last_response=at(float(days[0]) if days else 0),
    )
    found, lost = sizing(of), waste(of)
    finding = lost.reason if lost and lost.reason == "idle" else found.finding if found else "-"
    shown = {
        "Cost per hour": f"{cost_per_hour(of):.2f}",
        "Finding": finding,
        "Fits": found.fitting if found and finding != "idle" else "-",
        "Waste per month": f"{lost.per_month:.2f}" if lost else "-",
    }
    assert shown == {name: row[name] for name in shown}
