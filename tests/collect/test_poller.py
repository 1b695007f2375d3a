"""The detail poller against the simulator, in virtual time: the budget, the ages, and what is requested when."""

import bisect
import re
from collections import Counter
from itertools import pairwise

import pytest

from exporter.api.models import status_group
from exporter.fleet.polling import PART_NAMES, Policy
from exporter.simulator import SimulatedApi
from exporter.simulator.stories import STORIES
from exporter.telemetry.own_metrics import OWN_METRICS
from tests.one_story import OneStory
from tests.stage import START, Sent, Stage, played, simulated


def polled(sent: list[Sent], part: str) -> dict[str, list[float]]:
    """When each workload was requested on a route that ends in `part`."""
    found: dict[str, list[float]] = {}
    for request in sent:
        if match := re.fullmatch(rf"/api/v2/workloads/([0-9a-f]+)/{part}", request.path):
            found.setdefault(match[1], []).append(request.at)
    return found


def most_within(times: list[float], seconds: float) -> int:
    """The most requests in any stretch of so many seconds."""
    ordered = sorted(times)
    return max(bisect.bisect_left(ordered, at + seconds) - place for place, at in enumerate(ordered))


@pytest.mark.long
@pytest.mark.parametrize(("workloads", "rate"), [(200, 1.0), pytest.param(1000, 5.0, marks=pytest.mark.exhaustive)])
def test_a_fleet_with_a_request_for_two_hundred_workloads_a_second_for_an_hour(workloads: int, rate: float) -> None:
    hour, interval = 3600.0, 30.0
    turned: dict[str, float] = {}
    group_of: dict[str, str] = {}
    came: dict[str, tuple[float, float]] = {}

    async def play(stage: Stage) -> None:
        async def note() -> None:
            for i, state in stage.monitor.workloads.items():
                group = status_group(state.workload.status)
                if group == "failed" and group_of.get(i, group) != group:
                    turned[i] = stage.now
                group_of[i] = group
                came[i] = came.get(i, (stage.now, 0.0))[0], stage.now

        await stage.run(hour, note)
        times = [request.at for request in stage.sent if request.at <= hour]
        assert len(times) <= rate * hour + 1
        for seconds in (1, 10, 60, 600):
            assert most_within(times, seconds) <= rate * seconds + 1
        assert len(times) >= 0.95 * rate * hour  # and none of the budget is left over while there is work
        pods = polled(stage.sent, "protons")
        # Every workload that was listed for long enough was polled; the first turn takes what the budget allows.
        assert {i for i, (first, last) in came.items() if last - first > 1200.0} <= pods.keys()
        assert len(turned) >= 3
        for i, at in turned.items():
            first = min((requested for requested in pods.get(i, []) if requested >= at - 1), default=float("inf"))
            if at < hour - interval:
                assert first - at <= interval + 1 / rate, (i, at, first)
        # What the budget leaves after the list, over what all parts would take at their intervals: the turns' length.
        load = next(
            s.value for f in stage.report.registry.collect() for s in f.samples if s.name.endswith("load_ratio")
        )
        policy = Policy()
        oldest = max(
            b - a for requested in pods.values() for a, b in zip(requested, [*requested[1:], hour], strict=True)
        )
        assert oldest <= 4 * policy.interval * max(1.0, load) + interval

    simulator = simulated(workloads, speed=4)
    played(play, simulator, rate=rate)


def test_the_poller_gives_priority_to_the_list() -> None:
    """A sweep takes its pages' time and a little of the poller's trickle, however much the poller has to do."""
    took: list[float] = []

    async def play(stage: Stage) -> None:
        stage.monitor.start()
        for _ in range(4):
            began = stage.now
            await stage.monitor.sweep()
            took.append(stage.now - began)
            await stage.run(stage.now + 20, interval=1000)

    simulator = simulated(300)
    played(play, simulator, rate=5.0)
    alone = 3 / 5
    assert max(took[1:]) <= alone + 4.0


def test_every_part_of_every_workload_is_polled_and_none_before_its_interval() -> None:
    async def play(stage: Stage) -> None:
        await stage.run(120.0)
        for state in stage.monitor.workloads.values():
            if not state.workload.name or not state.workload.name.startswith("consumer"):
                assert {"pods", "events", "sharing", "quotas"} <= state.details.fresh.keys(), state.workload.name
        steady = {
            i for i, state in stage.monitor.workloads.items() if (state.workload.name or "").startswith("healthy")
        }
        assert steady
        requested = Counter({i: len(times) for i, times in polled(stage.sent, "protons").items()})
        assert {requested[i] for i in steady} == {1}

    simulator = simulated(len(STORIES))
    played(play, simulator)


@pytest.mark.parametrize(
    ("odd", "part", "reason"),
    [
        ("absent@/workloads/{id}/protons", "pods", "not_found"),
        ("error-text@/workloads/{id}/events", "events", "server_error"),
        ("truncated@/workloads/{id}/stats", "stats_5m", "decode"),
        ("no-data@/workloads/{id}/sharedRoles", "sharing", "decode"),
        ("forbidden@/quotas", "quotas", "forbidden"),
        ("empty@/account/info", "limits", "decode"),
    ],
)
def test_a_part_that_fails_is_counted_and_withheld_and_does_not_affect_the_others(
    odd: str, part: str, reason: str
) -> None:
    async def play(stage: Stage) -> None:
        simulator.odd = frozenset({odd})
        await stage.run(100.0)
        text = stage.report.text().decode()
        assert f'detail_look_failures_total{{account="acme",part="{part}",reason="{reason}"}}' in text
        fresh = Counter(p for state in stage.monitor.workloads.values() for p in state.details.fresh)
        assert part not in fresh
        assert {"pods", "events", "stats_5m", "sharing", "quotas"} - {part} <= fresh.keys()

    simulator = simulated(20)
    played(play, simulator)


@pytest.mark.parametrize("oddity", ["truncated", "forbidden", "absent", "error-text"])
def test_what_was_read_before_is_polled_again_soon_after_a_failure_even_if_its_interval_is_long(oddity: str) -> None:
    """Two minutes of bad responses must not count for an interval of fifteen minutes."""

    async def play(stage: Stage) -> None:
        await stage.run(3550.0)
        simulator.odd = frozenset({f"{oddity}@/workloads/{{id}}/events", f"{oddity}@/workloads/{{id}}/protons"})
        await stage.run(3670.0)
        (state,) = stage.monitor.workloads.values()
        assert {*state.details.failed, *state.details.refused} == {"pods", "events"}
        simulator.odd = frozenset()
        await stage.run(3820.0)
        (state,) = stage.monitor.workloads.values()
        assert (state.details.failed, state.details.refused) == ({}, frozenset())

    simulator = simulated(1)
    played(play, simulator, policy=Policy(interval=900.0))


def test_what_keeps_failing_is_polled_less_and_less_often_until_its_interval() -> None:
    async def play(stage: Stage) -> None:
        await stage.run(100.0)
        simulator.odd = frozenset({"truncated@/workloads/{id}/sharedRoles"})
        await stage.run(3.5 * 3600.0)
        (times,) = polled(stage.sent, "sharedRoles").values()
        waits = [round(b - a, -1) for a, b in pairwise(times)][1:]
        assert waits[:6] == [60, 120, 240, 480, 960, 1920]
        assert waits[6:] == [3600]

    simulator = simulated(1)
    played(play, simulator)


@pytest.mark.parametrize(
    "oddity", ["lone-surrogate", "not-a-number", "out-of-range", "raw-tab", "not-utf8", "nested", "byte-order-mark"]
)
def test_what_a_strict_decoder_refuses_costs_no_part_of_the_details(oddity: str) -> None:
    async def play(stage: Stage) -> None:
        simulator.odd = frozenset({oddity})
        await stage.run(100.0)
        assert "detail_look_failures_total{" not in stage.report.text().decode()
        fresh = {part for state in stage.monitor.workloads.values() for part in state.details.fresh}
        assert {"pods", "events", "stats_5m", "sharing", "quotas"} <= fresh

    simulator = simulated(8)
    played(play, simulator)


def test_a_list_of_details_with_an_item_that_cannot_be_read_proves_nothing_of_what_it_lacks() -> None:
    async def play(stage: Stage) -> None:
        simulator.odd = frozenset({"no-id@/mlops/compute/bundles", "no-id@/workloads/{id}/sharedRoles"})
        await stage.run(100.0)
        text = stage.report.text().decode()
        for part in ("bundles", "sharing"):
            assert f'detail_look_failures_total{{account="acme",part="{part}",reason="decode"}}' in text
        assert "datarobot_workload_bundle_offered{" not in stage.page()
        assert "datarobot_workload_grants{" not in stage.page()

    simulator = simulated(8)
    played(play, simulator)


def test_a_route_that_the_server_lacks_is_requested_once_an_hour() -> None:
    async def play(stage: Stage) -> None:
        simulator.odd = frozenset({"absent@/workloads/{id}/protons"})
        await stage.run(3000.0)
        requests = sum(map(len, polled(stage.sent, "protons").values()))
        assert 0 < requests <= 2 * 6  # either form, to three and those under way

    simulator = simulated(20)
    played(play, simulator, policy=Policy(parts=frozenset({"pods"})))


STATUS_DETAILS = "/workloads/{id}/protons/{pid}/statusDetails"


def counted(stage: Stage, name: str, **labels: str) -> float:
    """The value of a metric of the exporter; 0 if it has no sample with these labels, which must be its own."""
    (family,) = (each for each in OWN_METRICS if each.name == name.removesuffix("_total"))
    assert {"account", *labels} == {*family.labels}
    value = stage.report.registry.get_sample_value(f"datarobot_exporter_{name}", {"account": "acme", **labels})
    return value or 0.0


def steady(stage: Stage) -> dict[str, str]:
    """The ids of steady workloads, and of their versions."""
    there = stage.monitor.workloads.values()
    return {
        state.workload.id: state.workload.proton_id or ""
        for state in there
        if (state.workload.name or "").startswith(
            ("healthy", "saturated", "server-errors", "memory", "slow-20", "autoscal")
        )
    }


@pytest.mark.long
@pytest.mark.parametrize("oddity", ["unavailable-seconds", "throttled"])
def test_a_workload_whose_details_are_refused_costs_the_others_nothing(oddity: str) -> None:
    """503 with Retry-After: 300, or 429 without, for one workload; the details of the others stay as fresh as ever."""

    async def play(stage: Stage) -> None:
        await stage.run(60.0)
        refused, *others = steady(stage).items()
        assert len(others) >= 4
        simulator.odd = {f"{oddity}@/workloads/{refused[0]}/protons/{refused[1]}/statusDetails"}
        await stage.run(1500.0)
        fresh = {i: state.details.fresh.get("pods") for i, state in stage.monitor.workloads.items()}
        assert [fresh[i] for i, _ in others] == [True] * len(others)
        assert not fresh[refused[0]]
        requested = polled(stage.sent, "protons")
        for i, _ in others:
            assert max(b - a for a, b in pairwise(requested[i])) <= 300.0 + 30.0
        assert counted(stage, "sweep_failures_total", lane="status", reason="throttled") == 0

    simulator = simulated(40)
    played(play, simulator)


@pytest.mark.long
def test_a_part_whose_route_is_paused_costs_nothing_and_comes_back_after_the_pause() -> None:
    async def play(stage: Stage) -> None:
        await stage.run(60.0)
        fleet = len(stage.monitor.workloads)
        before = len(stage.sent)
        simulator.odd = {f"throttled@{STATUS_DETAILS}"}
        await stage.run(1500.0)
        throttled = [request for request in stage.sent[before:] if request.status == 429]
        listed = [at for times in polled(stage.sent[before:], "protons").values() for at in times]
        # Three workloads, then about ten pauses (5, 10, … 300 s), with no more requests in each than are sent at once.
        assert 8 <= len(throttled) <= 3 + 10 * 3
        assert len(listed) <= len(throttled) + 10 * 3
        assert counted(stage, "detail_look_failures_total", part="pods", reason="throttled") > 0
        assert counted(stage, "detail_stale", part="pods") >= 0.9 * fleet
        for part in ("events", "stats_5m", "usage"):
            assert counted(stage, "detail_stale", part=part) == 0
        until = counted(stage, "api_paused_until_timestamp_seconds", endpoint=STATUS_DETAILS)
        assert 0 < until - stage.wall <= 300.0
        assert counted(stage, "sweeps_total", lane="status") >= 50
        simulator.odd = frozenset()
        await stage.run(until - START + 60.0)
        assert counted(stage, "detail_stale", part="pods") == 0

    simulator = simulated(40)
    played(play, simulator)


def test_a_poller_sends_nothing_while_every_request_is_paused() -> None:
    async def play(stage: Stage) -> None:
        await stage.run(5.0)
        simulator.odd = {"throttled"}
        await stage.run(200.0)
        polls = sum(counted(stage, "detail_looks_total", part=part) for part in PART_NAMES)
        sent = len(stage.sent)
        await stage.run(400.0)
        assert len(stage.sent) - sent <= 5
        assert sum(counted(stage, "detail_looks_total", part=part) for part in PART_NAMES) - polls <= 3 * len(
            PART_NAMES
        )

    simulator = simulated(300)
    played(play, simulator, rate=10.0)


def test_a_part_that_is_no_longer_reported_is_withdrawn_and_shown_again_later() -> None:
    async def play(stage: Stage) -> None:
        await stage.run(60.0)
        assert "datarobot_proton_replicas_ready{" in stage.page()
        simulator.odd = frozenset({"bad-gateway@/workloads/{id}/protons"})
        await stage.run(1400.0)
        page = stage.page()
        assert "datarobot_proton_replicas_ready{" not in page
        assert 'datarobot_workload_fresh{account="acme",part="pods",' in page
        assert "datarobot_container_restarts_total{" in page  # what was counted stays true
        assert "datarobot_workload_window_requests{" in page
        simulator.odd = frozenset()
        await stage.run(1600.0)
        assert "datarobot_proton_replicas_ready{" in stage.page()

    simulator = simulated(12)
    played(play, simulator)


def test_a_refusal_of_a_part_that_is_no_longer_polled_is_forgotten() -> None:
    story = next(each for each in STORIES if each.name == "replacement")

    async def play(stage: Stage) -> None:
        refused = 'datarobot_workload_access_refused{account="acme",part="replacement",'
        await stage.run(20 * 60.0)
        simulator.odd = frozenset({"forbidden@/workloads/{id}/replacement"})
        await stage.run(21 * 60.0)
        assert refused in stage.page()
        await stage.run(26 * 60.0)  # the replacement is over
        assert refused not in stage.page()

    simulator = SimulatedApi(workloads=1)
    simulator.world = OneStory(story)
    played(play, simulator)


def test_extras_that_the_budget_does_not_allow_are_dropped_and_reported() -> None:
    async def play(stage: Stage) -> None:
        await stage.run(400.0)
        text = stage.report.text().decode()
        values = dict(
            re.findall(r'detail_dropped_workloads\{account="acme",extra="(\w+)",importance="low"\} (\S+)', text)
        )
        assert float(values["quantiles"]) > 0

    simulator = simulated(100)
    played(play, simulator, rate=1.0)


@pytest.mark.long
def test_a_vanished_workload_is_requested_and_distinguished_from_one_no_longer_shared() -> None:
    values: set[str] = set()

    async def play(stage: Stage) -> None:
        async def note() -> None:
            values.update(re.findall(r'vanished_timestamp_seconds\{account="acme",answer="(\w*)"', stage.page()))

        await stage.run(3600.0, note)
        assert values == {"not_found", "forbidden"}

    simulator = simulated(len(STORIES))
    played(play, simulator, policy=Policy(parts=frozenset({"events"})))
