"""Output of `explain` at selected moments of each story, in tests/golden/explain. Review it as an on-call engineer.

The first part uses only what the API reports at that moment, as the command does; the second is the evidence of a page
by a daemon that has run for half an hour. `UPDATE_GOLDEN=1 pytest tests/cli/test_explain.py` writes the files.
"""

from pathlib import Path

import pytest

from exporter.alerting.rules import DEFAULT
from exporter.cli.explain import explained
from exporter.cli.find import WorkloadNotFound
from exporter.diagnosis.diagnosis import diagnosis
from exporter.diagnosis.wording import evidence, text
from exporter.fleet.objectives import Objective, ObjectiveRow
from exporter.fleet.workload_state import WINDOWS
from exporter.settings.accounts import AccountSettings
from exporter.simulator import SimulatedApi
from exporter.simulator.stories import STORIES, Story, StoryStep
from tests.goldens import check_golden
from tests.one_story import OneStory
from tests.stage import START, Stage, played

pytestmark = pytest.mark.long

GOLDEN = Path(__file__).parent.parent / "golden" / "explain"
MONITORED = 1800.0
"""Maximum seconds that the daemon has run before."""
MOMENTS: dict[str, tuple[float, ...]] = {
    "crash loop": (12,),
    "start of 14 minutes": (1.5, 10),
    "replacement": (21.5, 25),
    "reverted replacement": (23, 25, 30),
    "out of memory": (50,),
    "unschedulable GPU": (20,),
    "draft about to end": (450, 485),
    "no bundle for it": (31, 35),
    "stop and start": (10.5, 15, 22),
    "interrupted": (34,),
    "deleted": (17,),
    "slow start": (6, 26),
    "silent revert": (23, 26.5, 31),
    "settings change": (21, 25),
    "woken from zero": (5, 10.5, 20),
    "promoted": (125,),
    "access lost": (30,),
    "not stopping": (15, 45),
    "monitor frozen": (25,),
    "draining unreadable": (26,),
    "serving unreadable": (26, 40),
}
"""Minutes after the start of a story; the others: ten."""


def explanation(story: Story, ahead: float = 0.0) -> str:
    """The golden text of a story. `ahead`: seconds that the API's clock is ahead."""
    return f"{story.shows}\n" + "".join(
        _explained_at(story, 60 * minutes, ahead) for minutes in MOMENTS.get(story.name, (10,))
    )


def _explained_at(story: Story, moment: float, ahead: float, objectives: tuple[ObjectiveRow, ...] = ()) -> str:
    parts = [f"\n=== {moment / 60:g} min ===\n"]
    monitored = min(MONITORED, moment)
    simulator = SimulatedApi(workloads=1)
    simulator.world = world = OneStory(story)
    simulator.ahead = ahead
    actor = world.actor(0)
    if story.seconds != float("inf"):
        actor.origin = START - (moment - monitored)
        world._numbers = {} if story.rounds_ids else {actor.id(actor.moment(START)): 0}

    async def play(stage: Stage) -> None:
        await stage.run(monitored - 1)
        try:
            account = AccountSettings.model_validate(
                {"name": "acme", "endpoint": "https://dr.example.test", "token": "t"}
            )
            found = await explained(
                [(account, stage.client)], actor.name, DEFAULT, 2.0, clock=lambda: stage.wall, objectives=objectives
            )
            parts.append(text(found))
        except WorkloadNotFound as error:
            parts.append(f"{error}\n")
        known = stage.monitor.snapshot
        for state in (*known.workloads.values(), *known.missing.values(), *known.gone.values()):
            rows = evidence(diagnosis(state, stage.wall, DEFAULT))
            parts.append("\n--- a page ---\n" + "".join(f"{title}: {words}\n" for title, words in rows))

    played(play, simulator, objectives=objectives)
    return "".join(parts)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_explain_names_the_cause_of_each_story(story: Story) -> None:
    file = GOLDEN / f"{story.name.replace(' ', '-')}.txt"
    words = explanation(story)
    check_golden(file, words)


def test_explain_shows_all_windows_on_which_an_alert_about_the_error_budget_rests() -> None:
    days = 4 * 86400.0
    failing = Story("fails", "some requests fail for days", (StoryStep(days, "running", server_errors=0.04),))
    found = " ".join(_explained_at(failing, days - 3600, 0.0).partition("--- a page ---")[0].split())
    assert "DataRobotErrorBudgetBurnSlow" in found
    assert [window for window in WINDOWS if f"% over {window}" in found] == [w for w in WINDOWS if w != "5m"]


def test_the_objective_in_the_settings_says_how_many_server_errors_are_allowed() -> None:
    failing = Story("fails", "some requests fail for days", (StoryStep(4 * 86400.0, "running", server_errors=0.04),))
    demanded = (ObjectiveRow(Objective(availability=0.99)),)
    assert "1.00% allowed" in _explained_at(failing, 3 * 86400.0, 0.0, demanded)
    tolerated = (ObjectiveRow(Objective(availability=0.9)),)
    assert "% allowed" not in _explained_at(failing, 3 * 86400.0, 0.0, tolerated)


@pytest.mark.parametrize("ahead", [300.0, -300.0])
@pytest.mark.parametrize("name", ["crash loop", "reverted replacement", "stop and start", "draft about to end"])
def test_an_explanation_does_not_depend_on_the_clock_of_the_api(name: str, ahead: float) -> None:
    story = next(story for story in STORIES if story.name == name)
    assert explanation(story, ahead) == (GOLDEN / f"{name.replace(' ', '-')}.txt").read_text()


def test_every_golden_file_has_a_story() -> None:
    assert {file.stem for file in GOLDEN.glob("*.txt")} == {story.name.replace(" ", "-") for story in STORIES}
