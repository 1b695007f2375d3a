"""Whom each story of the simulator wakes: tests/alerts/stories.txt, to be read.

All stories are played in virtual time, their pages stand in a real Prometheus, and the shipped rules look back on them.
`UPDATE_GOLDEN=1` writes the file anew.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.simulator.stories import STORIES
from tests.alerts.history import asked, fired, shipped
from tests.e2e.backfill import Pages, filled
from tests.e2e.servers import Prometheus
from tests.shell.stage import START, Stage, played, simulated

pytestmark = [pytest.mark.real, pytest.mark.long]
FILE = Path(__file__).with_name("stories.txt")
LASTS, EVERY = 9000.0, 30.0
RULES = [rule for rule in shipped() if rule["labels"]["component"] != "exporter"]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    pages = Pages(asked(RULES))
    with simulated(len(STORIES), seed=11) as simulator:

        async def play(stage: Stage) -> None:
            async def note() -> None:
                pages.add(stage.page(), stage.wall, 'job="datarobot"')

            await stage.run(LASTS + 1, note)

        played(play, simulator)
    with filled(tmp_path_factory.mktemp("stories"), pages, lookback="55s") as server:
        yield server


def _told(prometheus: Prometheus) -> str:
    rows: dict[str, set[str]] = {story.name: set() for story in STORIES}
    for rule in RULES:
        for one in fired(prometheus, rule, START, START + LASTS, EVERY):
            story = re.sub(r"-\d+$", "", one.labels.get("workload", "the account")).replace("-", " ")
            name = next((name for name in rows if name.replace("-", " ") == story), story)
            rows.setdefault(name, set()).add(f"  {one.severity} {one.alert}{' (goes on)' if one.ends is None else ''}")
    shows = {story.name: story.shows for story in STORIES}
    return "\n\n".join(
        "\n".join([f"{name}: {shows.get(name, '')}", *sorted(lines or {"  nobody"})]) for name, lines in rows.items()
    )


def test_a_story_wakes_whom_it_should_and_nobody_else(prometheus: Prometheus) -> None:
    text = _told(prometheus) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        FILE.write_text(text)
    assert text == FILE.read_text(), "if it is meant: UPDATE_GOLDEN=1, and read the difference"
