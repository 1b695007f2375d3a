"""Offset of the API's clock: Date headers of responses with the resulting offset."""

import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import exporter
from exporter.api.clock_skew import MAX_SAMPLES, Skew

NOW = 1_795_000_000.0
SHARES = st.floats(0, 1)
"""Position of the header between request (0) and response (1)."""
REQUESTS = st.lists(st.tuples(st.floats(0, 60), st.floats(0, 0.999), SHARES), min_size=1, max_size=30)
"""Seconds since the previous request, duration of the request, and the position of the header."""


def after(requests: list[tuple[float, float, float]], ahead: float, skew: Skew = Skew(), now: float = NOW) -> Skew:  # noqa: B008
    """The offset after these requests to a server whose clock is `ahead` by some seconds."""
    for pause, seconds, share in requests:
        now += pause
        skew = skew.with_response(math.floor(now + share * seconds + ahead), now + seconds / 2)
        now += seconds
    return skew


def test_the_offset_is_unknown_before_the_first_response() -> None:
    assert Skew().offset is None


@pytest.mark.parametrize(
    ("said", "offset"),
    [
        ([(100.0, 100.5)], 0.0),
        ([(3700.0, 100.5)], 3600.0),
        ([(100.0, 100.5), (101.0, 131.5), (102.0, 102.5)], 0.0),
        ([(100.0, 103.5), (110.0, 114.5)], -3.5),
    ],
    ids=["the same", "an hour ahead", "one answer that took a minute", "behind"],
)
def test_the_offset_follows_from_date_headers(said: list[tuple[float, float]], offset: float) -> None:
    skew = Skew()
    for date, middle in said:
        skew = skew.with_response(date, middle)
    assert skew.offset == offset


@given(REQUESTS, st.sampled_from([-3600.0, -3.0, 0.0, 3.0, 3600.0]) | st.floats(-3600, 3600))
def test_an_offset_is_found_within_a_second_at_any_latency_below_one(
    requests: list[tuple[float, float, float]], ahead: float
) -> None:
    found = after(requests, ahead).offset
    assert found is not None
    assert abs(found - ahead) <= 1.0


@given(
    REQUESTS,
    st.lists(st.tuples(st.floats(0, 60), st.floats(0, 0.999), SHARES), min_size=MAX_SAMPLES, max_size=MAX_SAMPLES),
    st.floats(-3600, 3600),
    st.floats(-3600, 3600),
)
def test_a_clock_step_is_followed_after_twenty_responses(
    before: list[tuple[float, float, float]], since: list[tuple[float, float, float]], old: float, new: float
) -> None:
    found = after(since, new, after(before, old), now=NOW + 10_000).offset
    assert found is not None
    assert abs(found - new) <= 1.0


def counted(*offsets: float, seconds: float = 0.0) -> list[float]:
    """What counts after each response of a clock that is ahead by these offsets."""
    skew, found = Skew(), []
    for offset in offsets:
        skew = skew.with_response(NOW + offset - 0.5, NOW, seconds)
        found.append(skew.counts)
    return found


@pytest.mark.parametrize(
    ("offset", "counts"), [(0.0, 0.0), (2.0, 0.0), (-2.0, 0.0), (2.1, 2.0), (-3.0, -3.0), (300.4, 300.0)]
)
def test_local_time_is_corrected_if_the_clocks_differ_by_more_than_two_seconds(offset: float, counts: float) -> None:
    assert counted(offset) == [counts]


def test_the_correction_does_not_follow_the_noise_of_the_offset() -> None:
    """Otherwise every reported time would change with each sweep."""
    assert counted(300.0, 301.4, 299.0, 298.3, 301.9) == [300.0] * 5
    assert counted(2.4, 1.9, 1.5, 2.9, 0.6) == [2.0] * 5
    assert counted(0.0, 1.9, -1.9, 2.0, -2.0) == [0.0] * 5


def test_a_step_of_the_clock_is_corrected_after_three_responses() -> None:
    assert counted(*[300.0] * 20, 0.0, 0.0, 0.0)[-4:] == [300.0, 300.0, 300.0, 0.0]


def test_a_slow_response_proves_no_offset() -> None:
    """Its header was written at some moment of the request."""
    assert counted(-30.0, -30.0, seconds=60.0) == [0.0, 0.0]
    assert counted(300.0, seconds=60.0) == [300.0]


RAW = re.compile(r"(?<![\w.\"])(?:models\.)?timestamp\(")
MAY_CONVERT = {
    "api": "decodes",
    "tracing": "traces have the times that the API reports, whatever the exporter's clock shows",
    "fleet/observations.py": "episodes keep reported times for traces",
    "fleet/transitions.py": "episodes keep reported times for traces",
    "fleet/workload_state.py": "WorkloadState.at",
    "fleet/counting.py": "subtracts the offset",
    "fleet/reconcile.py": "subtracts the offset",
    "fleet/replacements.py": "subtracts the offset",
    "fleet/evidence.py": "compares reported times with each other",
    "fleet/tag_labels.py": "compares reported times with each other",
    "collect/fetchers.py": "compares reported with requested times",
    "diagnosis/diagnosis.py": "subtracts the offset",
    "diagnosis/log_signs.py": "compares lines of a log; with local times only by the hour",
    "diagnosis/pod_problems.py": "subtracts the offset",
    "diagnosis/wording.py": "quotes the log",
}
"""Where a reported time becomes a number, and why its offset is not forgotten. All others use `WorkloadState.at`.
After a quote, it is a function of PromQL.
"""


def test_reported_times_are_compared_with_local_ones_only_after_the_offset_is_subtracted() -> None:
    root = Path(exporter.__file__).parent
    found = {file.relative_to(root).as_posix() for file in root.rglob("*.py") if RAW.search(file.read_text())}
    found = {"/".join(name.split("/")[:1]) if name.split("/")[0] in ("api", "tracing") else name for name in found}
    assert {name for name in found if not name.startswith("simulator/")} == MAY_CONVERT.keys()


def test_nothing_is_corrected_before_the_first_response() -> None:
    assert (Skew().offset, Skew().counts) == (None, 0.0)


@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_when_the_local_clock_is_set_the_offset_moves_with_it(step: float) -> None:
    requests = [(30.0, 0.1, 0.5)] * 8
    before = after(requests, ahead=300.0)
    moved = before.moved(step)
    assert moved.counts == 300.0 - step
    assert moved.offset == pytest.approx((before.offset or 0.0) - step)
    assert after(requests, 300.0 - step, moved, NOW + step).counts == 300.0 - step
