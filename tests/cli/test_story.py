"""A story with its commentary: golden commentaries, what each kind of step is called, and time that passes faster.

`UPDATE_GOLDEN=1 pytest tests/cli/test_story.py` regenerates tests/golden/commentaries.
"""

import asyncio
import math
import random
from pathlib import Path

import pytest

from exporter.cli.paced_loop import PacedLoop
from exporter.cli.story_play import MAX_AFTER, play, played_seconds
from exporter.cli.story_text import Said, happened, lines
from exporter.simulator.incidents import ALL_STORIES
from exporter.simulator.stories import CRASHING, CREATING, NONE, OOM, READY, UNSCHEDULABLE, StoryStep
from tests.cli.test_main import run
from tests.goldens import check_golden
from tests.stage import START

GOLDEN = Path(__file__).parent.parent / "golden" / "commentaries"
STORY = {story.name: story for story in ALL_STORIES}
RUNNING = StoryStep(60, "running")


def said(name: str) -> list[Said]:
    """The commentary on a story, played without waiting."""
    random.seed(7)  # requests that failed are repeated after a random time
    found: list[Said] = []
    play(STORY[name], math.inf, START, found.append)
    return found


@pytest.mark.long
@pytest.mark.parametrize("name", ["crash loop", "reverted replacement", "deleted"])
def test_the_commentary_on_a_story(name: str) -> None:
    text = "".join(f"{line}\n" for each in said(name) for line in lines(each))
    check_golden(GOLDEN / f"{name.replace(' ', '-')}.txt", text)
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", STORY)
def test_each_story_is_played_to_its_end(name: str) -> None:
    found = said(name)
    times = [each.at for each in found]
    assert times == sorted(times)
    assert (found[0].who, found[-1].who) == ("fleet", "play")
    assert times[-1] <= played_seconds(STORY[name]) + MAX_AFTER + 60


@pytest.mark.parametrize(
    ("before", "step", "expected"),
    [
        (None, RUNNING, ["status running; pods: ready"]),
        (RUNNING, RUNNING._replace(seconds=5), []),
        (RUNNING, StoryStep(0, "errored", CRASHING), [
            "status errored; pods: CrashLoopBackOff, back-off restarting failed container, last exit Error (1)"]),
        (RUNNING, StoryStep(0, "running", OOM), ["status running; pods: ready, last exit OOMKilled (137) (1 of them)"]),
        (RUNNING, StoryStep(0, "running", NONE), ["status running; pods: none"]),
        (RUNNING, StoryStep(0, "submitted", None), ["status submitted; pods: not reported yet"]),
        (None, StoryStep(0, "submitted", UNSCHEDULABLE), [
            f"status submitted; pods: not ready, not scheduled, {UNSCHEDULABLE.message}"]),
        (RUNNING, RUNNING._replace(candidate=("launching", CREATING)), [
            "a new version is launching; its pods: ContainerCreating"]),
        (RUNNING._replace(candidate=("warming", READY)), RUNNING, ["the new version is gone"]),
        (RUNNING._replace(candidate=("warming", READY)), RUNNING._replace(proton=1, outgoing="draining"), [
            "the new version serves", "the other version is draining"]),
        (RUNNING, RUNNING._replace(proton=1), ["its version is a new one"]),
        (RUNNING, RUNNING._replace(event="Replacement Errored", message="no node"), [
            "event Replacement Errored: no node"]),
        (RUNNING, RUNNING._replace(server_errors=0.9, load=2.0), [
            "90 % of responses are server errors (5xx)", "its load is 2 times the usual one"]),
        (RUNNING, RUNNING._replace(importance="low", odd=("slow@/quotas",)), [
            "its importance is low", "the API responds unusually: slow@/quotas"]),
        (RUNNING, RUNNING._replace(listed=False), ["the workload does not exist"]),
        (RUNNING, RUNNING._replace(listed=False, hidden=True), ["it is no longer shared with the user of the token"]),
        (RUNNING._replace(listed=False), RUNNING, ["status running; pods: ready"]),
    ],
)  # fmt: skip
def test_what_a_step_changes(before: StoryStep | None, step: StoryStep, expected: list[str]) -> None:
    assert list(happened(before, step)) == expected


def test_a_part_of_the_commentary_begins_with_its_time_in_minutes_and_seconds() -> None:
    part = Said(3725.4, "page", "FIRING", (("Next step", "word " * 14),))
    assert list(lines(part)) == [
        " 62:05  PAGE      FIRING",
        "                  Next step: word word word word word word word word word word",
        "                    word word word word",
    ]


@pytest.mark.parametrize("speed", [math.inf, 1000.0])
def test_time_passes_only_while_the_loop_waits_and_as_fast_as_wanted(speed: float) -> None:
    async def waits() -> list[float]:
        loop = asyncio.get_running_loop()
        times = [loop.time()]
        for seconds in (5.0, 0.5):
            await asyncio.sleep(seconds)  # virtual time, which is what is tested
            times.append(loop.time())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 60)
        return [*times, loop.time()]

    with asyncio.Runner(loop_factory=lambda: PacedLoop(speed)) as runner:
        assert runner.run(waits()) == pytest.approx([0.0, 5.0, 5.5, 65.5], abs=0.1)


def test_what_others_do_in_threads_is_done_at_once() -> None:
    async def work() -> int:
        with pytest.raises(ValueError, match="abc"):
            await asyncio.to_thread(int, "abc")
        return await asyncio.to_thread(int, "7")

    with asyncio.Runner(loop_factory=lambda: PacedLoop(math.inf)) as runner:
        assert runner.run(work()) == 7


def test_the_stories_are_listed_and_one_is_played_by_its_name() -> None:
    status, out, err = run("demo", "--list-stories")
    assert (status, err, len(out.splitlines())) == (0, "", len(ALL_STORIES))
    assert "\ncrash loop " in out
    status, out, err = run("demo", "--story=exit-0", "--demo.speed=1e5")  # a hyphen need not be quoted
    assert (status, err) == (0, "")
    assert out.startswith(
        "SIMULATION, DataRobot is not contacted.\n"
        "exit 0: a container that exits with code 0 immediately and is restarted\nrepeatedly\n"
        "service, importance moderate, 1 replica; 40 min, played in 0 s\n\n  0:00  fleet     status errored; "
    )
    assert "PAGE      FIRING warning: DataRobotContainerCrashLooping: exit-0-0" in out
    assert out.endswith(" 40:00  play      the story does not end; the play does\n")


def test_a_story_that_does_not_exist_is_an_error_with_similar_names() -> None:
    status, out, err = run("demo", "--story=crash lop")
    assert (status, out) == (2, "")
    assert err == "workload-exporter: no story is called crash lop; similar: crash loop; see --list-stories\n"
