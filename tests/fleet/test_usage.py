"""What replicas used of their bundle in the last seven days."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from exporter.api.details import OtelValue
from exporter.api.models import Bundle, Group, Runtime, Workload
from exporter.fleet.apply import received
from exporter.fleet.ledger import Ledger, UsageHistory
from exporter.fleet.usage import (
    BOUNDS,
    CPU,
    DAYS,
    GPU,
    MEMORY,
    RESOURCES,
    SAMPLE_SECONDS,
    Resource,
    by_level,
    sampled,
    share,
)
from exporter.fleet.workload_state import Details, WorkloadState
from tests.make import pods, replica

DAY = 86400.0
GROUP = Group(replica_count=2, resolved_bundle=Bundle("b", 4.0, 1000, 1))
CPUS = Group(replica_count=2, resolved_bundle=Bundle("c", 4.0, 1000, 0))
TWO_PODS = pods(replica(name="a"), replica(name="b"))


def state(*usage: OtelValue, groups: tuple[Group, ...] = (GROUP,), **details: Any) -> WorkloadState:
    workload = Workload(id="w", status="running", proton_id="p", runtime=Runtime(container_groups=groups))
    return WorkloadState("acme", workload, Ledger(0.0, 0.0), Details(usage=usage, **{"pods": TWO_PODS, **details}))


def cores(value: float | None, level: str | None = "pod") -> OtelValue:
    return OtelValue("container.cpu.usage", "cores", current_value=value, level=level)


@pytest.mark.parametrize(
    ("of", "resource", "used"),
    [
        (state(cores(1.0)), CPU, 0.25),
        (state(cores(1.0), cores(7.0, "workload")), CPU, 0.25),
        (state(cores(4.0, "workload")), CPU, 0.5),
        (state(cores(4.0, "workload"), pods=None), CPU, None),
        (state(cores(4.0, "workload"), pods=pods()), CPU, None),
        (state(cores(4.0, None)), CPU, None),
        (state(cores(None)), CPU, None),
        (state(), CPU, None),
        (state(cores(1.0)), MEMORY, None),
        (state(OtelValue("memory", "bytes", current_value=100, level="pod")), MEMORY, 0.1),
        (state(cores(1.0), groups=(GROUP, GROUP)), CPU, None),
        (state(cores(1.0), groups=(Group(replica_count=2, resolved_bundle=Bundle("b")),)), CPU, None),
        (state(OtelValue("gpu", "percentage", current_value=40, level="pod")), GPU, 0.4),
        (state(OtelValue("gpu", "ratio", current_value=0, level="pod"), groups=(CPUS,)), GPU, None),
        (state(OtelValue("gpu", "ratio", current_value=0.3, level="pod"), groups=()), GPU, None),
        (state(OtelValue("gpu", "ratio", current_value=0.3, level="workload")), GPU, 0.3),
    ],
)
def test_the_use_of_a_replica_is_a_share_of_its_bundle(of: WorkloadState, resource: Resource, used: float) -> None:
    assert share(of, resource) == used


def after(samples: Sequence[tuple[float, WorkloadState]]) -> UsageHistory | None:
    """The history after usage was read at these times."""
    history: UsageHistory | None = None
    for now, each in samples:
        ledger = msgspec.structs.replace(each.ledger, usage=history)
        history = sampled(each._replace(ledger=ledger), now)
    return history


def quantiles(history: UsageHistory | None) -> tuple[object, object]:
    assert history is not None
    return history.p95[0], history.peak[0]


def test_the_95th_percentile_and_the_peak_are_rounded_up_to_the_bounds_of_buckets() -> None:
    busy = [(n * SAMPLE_SECONDS, state(cores(0.9))) for n in range(95)]
    peaks = [((95 + n) * SAMPLE_SECONDS, state(cores(3.5))) for n in range(6)]
    assert quantiles(after(busy)) == (0.25, 0.25)
    assert quantiles(after([*busy, *peaks[:5]])) == (0.25, 0.9)
    assert quantiles(after([*busy, *peaks])) == (0.9, 0.9)
    assert quantiles(after([(0.0, state(cores(0.0)))])) == (0.01, 0.01)
    assert quantiles(after([(0.0, state(cores(16.0)))])) == (2.0, 2.0)


def test_a_value_counts_if_fifteen_minutes_have_passed() -> None:
    first = after([(0.0, state(cores(1.0)))])
    assert after([(0.0, state(cores(1.0))), (SAMPLE_SECONDS - 1, state(cores(4.0)))]) == first
    assert quantiles(after([(0.0, state(cores(1.0))), (SAMPLE_SECONDS, state(cores(4.0)))])) == (1.0, 1.0)


def test_a_day_counts_for_seven_days() -> None:
    peak = (12 * 3600.0, state(cores(4.0)))
    later = [(day * DAY, state(cores(1.0))) for day in range(1, 8)]
    assert quantiles(after([peak, *later[:6]])) == (1.0, 1.0)
    assert quantiles(after([peak, *later])) == (0.25, 0.25)
    assert quantiles(after([peak, (30 * DAY, state(cores(1.0)))])) == (0.25, 0.25)


def test_it_is_known_for_how_long_the_use_was_observed() -> None:
    def observed(*days: float) -> float:
        history = after([(day * DAY, state(cores(1.0))) for day in days])
        assert history is not None
        return (history.last - history.first) / DAY

    assert observed(0.5) == 0.0
    assert observed(0.5, 2.5) == 2.0
    assert observed(0.5, 2.5, 10.25) == 6.25
    assert observed(0.5, 30.5) == 6.5  # of days without values nothing is known: their use counts as that of the others


def test_another_bundle_starts_a_new_history() -> None:
    larger = Group(replica_count=2, resolved_bundle=Bundle("c", 8.0, 1000, 1))
    history = after([(0.0, state(cores(4.0))), (60.0, state(cores(1.0), groups=(larger,)))])
    assert history is not None
    assert (history.bundle, history.first, *quantiles(history)) == ("c", 60.0, 0.15, 0.15)


@pytest.mark.parametrize(
    "unknown",
    [
        state(),
        state(cores(1.0), groups=()),
        state(cores(1.0), groups=(Group(replica_count=2, resolved_bundle=Bundle(None, 4.0, 1000)),)),
    ],
)
def test_what_is_not_known_is_not_counted(unknown: WorkloadState) -> None:
    assert after([(0.0, unknown)]) is None
    before = after([(0.0, state(cores(1.0)))])
    assert after([(0.0, state(cores(1.0))), (DAY, unknown)]) == before


def test_the_history_has_a_fixed_size_and_its_counts_do_not_overflow() -> None:
    history = after([(n * SAMPLE_SECONDS, state(cores(1.0))) for n in range(700)])
    assert history is not None
    assert len(history.counts) == DAYS * len(RESOURCES) * len(BOUNDS) == 315
    assert len(msgspec.json.encode(history)) < 600
    full = msgspec.structs.replace(history, counts=b"\xff" * 315)
    again = sampled(state(cores(1.0))._replace(ledger=Ledger(0.0, 0.0, usage=full)), history.last + SAMPLE_SECONDS)
    assert again is not None
    assert max(again.counts) == 255


def test_a_read_of_the_usage_adds_to_the_history_and_one_that_is_not_due_keeps_the_ledger() -> None:
    before = state()
    now, _ = received(before, "usage", (cores(1.0),), 50.0)
    assert quantiles(now.ledger.usage) == (0.25, 0.25)
    assert received(now, "usage", (cores(2.0),), 60.0)[0].ledger is now.ledger


def test_nanocores_that_are_found_to_be_thousandths_are_read_as_such() -> None:
    used = OtelValue("container.cpu.usage", "nanocores", current_value=500.0, level="pod")
    assert by_level(state(used), CPU) == {"pod": pytest.approx(5e-7)}
    readings = frozenset({"nanocores_are_thousandths"})
    assert by_level(state(used)._replace(readings=readings), CPU) == {"pod": 0.5}
    assert by_level(state(cores(0.5))._replace(readings=readings), CPU) == {"pod": 0.5}
