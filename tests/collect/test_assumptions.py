"""Assumptions about the API in a fleet that is monitored in virtual time: verdicts, warnings, and metrics."""

from typing import Any

import pytest

from exporter.api.assumptions import ASSUMPTIONS, BY_ID
from exporter.simulator.stories import FOREVER, HOUR, MINUTE, NONE, STORIES, Story, StoryStep, starting
from tests.stage import Stage, played, simulated

BY_NAME = {story.name: story for story in STORIES}
OTHERWISE = {
    "list-error-share": ("list_error_rate_in_percent", "list_error_rate_fraction"),
    "list-of-a-day": ("list_window_of_seven_days", "list_window_shorter"),
    "mean-response-time": ("response_time_is_quantile", "response_time_mean"),
    "millicores": ("nanocores_are_billionths", "nanocores_are_thousandths"),
    "all-active": ("active_unless_stopped", "active_always"),
    "replica-limit": ("replica_limit_of_workload", "replica_limit_other"),
    "plain-event-ids": ("event_id_has_time", "event_id_without_time"),
    "heartbeat": ("pod_report_time_of_change", "pod_report_time_of_report"),
    "unprocessable@/quotas": ("quotas_of_workloads", "quotas_refused"),
    "slash-forbidden": ("routes_end_with_slash", "routes_end_otherwise"),
}
"""Oddities of the simulator, and the assumptions that they contradict."""


class Judged:
    """What a play shows: readings, verdicts on /metrics, samples of workloads, and warnings."""

    def __init__(self, caplog: pytest.LogCaptureFixture, until: float, workloads: int, **fleet: Any) -> None:
        self.readings: dict[str, str] = {}
        self.series: dict[str, float] = {}
        self._report: Any = None
        caplog.clear()

        async def play(stage: Stage) -> None:
            await stage.run(until, interval=60.0)
            judgement = stage.monitor.state.judgement
            self.readings = {row.id: judgement.decision(row).reading for row in ASSUMPTIONS}
            self.series = {series: float(value) for series, value in stage.samples().items()}
            self._report = stage.report

        played(play, simulated(workloads, **fleet))
        records = [record for record in caplog.records if "an assumption" in record.message]
        self.warned = [record.fields["assumption"] for record in records if record.levelname == "WARNING"]  # type: ignore[attr-defined]  # the log adds it

    def verdict(self, assumption: str) -> list[str]:
        labels = ({"account": "acme", "assumption": assumption, "verdict": v} for v in VERDICTS)
        name = "datarobot_exporter_assumption"
        return [each["verdict"] for each in labels if self._report.registry.get_sample_value(name, each) == 1]

    def of(self, family: str) -> dict[str, float]:
        """The values of a family by its labels."""
        name = f"datarobot_{family}{{"
        return {series.removeprefix(name): value for series, value in self.series.items() if series.startswith(name)}


VERDICTS = ("confirmed", "contradicted", "unknown")


@pytest.fixture(scope="module")
def fleets() -> dict[str, Judged]:
    return {}


def fleet(fleets: dict[str, Judged], caplog: pytest.LogCaptureFixture, name: str) -> Judged:
    if name not in fleets:
        odd = OTHERWISE if name == "otherwise" else ()
        fleets[name] = Judged(caplog, 15 * MINUTE, 45, odd=odd)
    return fleets[name]


@pytest.mark.long
def test_an_api_that_answers_as_assumed_confirms_what_a_quarter_of_an_hour_can_show(
    fleets: dict[str, Judged], caplog: pytest.LogCaptureFixture
) -> None:
    judged = fleet(fleets, caplog, "as assumed")
    confirmed = {row.id for row in ASSUMPTIONS if judged.readings[row.id] == row.readings[0].name}
    assert {row.id for row in ASSUMPTIONS} - confirmed == {
        "replica_limit_of_workload",
        "draft_time_from_start",
        "drafts_are_stopped",
        "start_resets_running_since",
    }
    assert judged.warned == []
    assert (judged.verdict("event_id_has_time"), judged.verdict("draft_time_from_start")) == (
        ["confirmed"],
        ["unknown"],
    )


@pytest.mark.long
def test_an_api_that_answers_otherwise_contradicts_each_assumption_with_one_warning(
    fleets: dict[str, Judged], caplog: pytest.LogCaptureFixture
) -> None:
    judged = fleet(fleets, caplog, "otherwise")
    expected = dict(OTHERWISE.values())
    assert {row: judged.readings[row] for row in expected} == expected
    assert sorted(judged.warned) == sorted(expected)
    assert all(judged.verdict(row) == ["contradicted"] for row in expected)


@pytest.mark.long
def test_metrics_are_right_in_both_readings(fleets: dict[str, Judged], caplog: pytest.LogCaptureFixture) -> None:
    assumed, otherwise = (fleet(fleets, caplog, name) for name in ("as assumed", "otherwise"))
    cores = assumed.of("workload_cpu_usage_cores")
    assert len(cores) > 20
    assert otherwise.of("workload_cpu_usage_cores") == pytest.approx(cores, rel=0.1)
    assert otherwise.of("workload_window_response_seconds") == {}
    assert assumed.of("workload_window_response_mean_seconds") == {}
    quantiles = assumed.of("workload_window_response_seconds")
    medians = {labels.replace('quantile="0.5",', ""): each for labels, each in quantiles.items() if '"0.5"' in labels}
    assert otherwise.of("workload_window_response_mean_seconds").items() >= medians.items() > set()
    assert assumed.of("account_workloads_active")['account="acme"}'] < 45
    assert otherwise.of("account_workloads_active") == {'account="acme"}': len(otherwise.of("workload_info"))}
    assert otherwise.of("workload_replicas_limit") == otherwise.of("account_workload_replicas_limit") == {}


@pytest.mark.parametrize(
    ("odd", "assumption", "reading", "until", "speed", "story"),
    [
        ("list-of-a-month", "list_window_of_seven_days", "list_window_longer", 15 * MINUTE, 1, BY_NAME["healthy"]),
        (
            "restarted",
            "draft_time_from_start",
            "draft_time_from_creation",
            12 * MINUTE,
            60,
            "draft",
        ),
        ("", "drafts_are_stopped", "drafts_are_stopped", 12 * MINUTE, 60, "draft"),
        ("", "drafts_are_stopped", "drafts_are_deleted", 14 * MINUTE, 60, "deleted"),
        ("", "start_resets_running_since", "start_resets_running_since", 30 * MINUTE, 1, "restarts"),
        ("never-restarted", "start_resets_running_since", "start_keeps_running_since", 30 * MINUTE, 1, "restarts"),
        ("", "zero_replicas_without_start", "zero_replicas_starting", 1.3 * HOUR, 1, "asleep"),
    ],
)
def test_an_assumption_that_takes_a_story_of_its_own(
    caplog: pytest.LogCaptureFixture, odd: str, assumption: str, reading: str, until: float, speed: float, story: Any
) -> None:
    restarts = Story(
        "restarts",
        "a workload that is stopped and started again",
        (
            StoryStep(5 * MINUTE, "running"),
            StoryStep(5 * MINUTE, "stopped", NONE, serves=False),
            *starting(),
            StoryStep(2 * HOUR, "running"),
        ),
    )
    asleep = BY_NAME["scaled to zero"]._replace(steps=(StoryStep(FOREVER, "launching", NONE, serves=False),))
    draft = BY_NAME["draft about to end"]
    deleted = draft._replace(steps=(draft.steps[0], StoryStep(4 * HOUR, "stopped", listed=False)))
    draft = draft._replace(steps=(draft.steps[0], draft.steps[1]._replace(seconds=4 * HOUR)))
    played_story = {"restarts": restarts, "asleep": asleep, "draft": draft, "deleted": deleted}.get(story, story)
    judged = Judged(caplog, until, 3, stories=(played_story,) * 3, speed=speed, odd={odd} - {""})
    assert judged.readings[assumption] == reading
    is_assumed = BY_ID[assumption].readings[0].name == reading
    assert (assumption in judged.warned) is not is_assumed
    if story == "asleep":
        assert set(judged.of("workload_scaled_to_zero").values()) == {1.0}
