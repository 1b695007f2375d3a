"""``demo --story``: one story of the simulator as text, while it is played."""

from __future__ import annotations

import difflib
import math
import sys
import textwrap
import time
from collections.abc import Iterator

from exporter.cli.story_play import importance, play, played_seconds
from exporter.cli.story_text import COLUMNS, lines
from exporter.diagnosis.fleet_table import lasted
from exporter.simulator.incidents import ALL_STORIES
from exporter.simulator.stories import Story

DEFAULT_SPEED = 60.0


def list_stories() -> int:
    """Print the names of all stories and what they show."""
    size = max(len(story.name) for story in ALL_STORIES)
    for story in ALL_STORIES:
        print(f"{story.name:{size}}  {story.shows}")
    return 0


def play_story(name: str, speed: float) -> int:
    """Play the story of a name and print the commentary; 2 if there is no such story."""
    story = next((each for each in ALL_STORIES if each.name == name.replace("-", " ")), None)
    if story is None:
        near = difflib.get_close_matches(name, [each.name for each in ALL_STORIES], 3, 0.6)
        similar = f"; similar: {', '.join(near)}" if near else ""
        print(f"workload-exporter: no story is called {name}{similar}; see --list-stories", file=sys.stderr)
        return 2
    for line in introduction(story, speed):
        print(line)
    play(story, speed, float(int(time.time())), lambda said: print("\n".join(lines(said)), flush=True))
    return 0


def introduction(story: Story, speed: float) -> Iterator[str]:
    """What the story is, and for how long it is played."""
    seconds = played_seconds(story)
    yield "SIMULATION, DataRobot is not contacted."
    yield from textwrap.wrap(f"{story.name}: {story.shows}", COLUMNS)
    replicas = "autoscaled" if story.replicas is None else f"{story.replicas} replica{'s' * (story.replicas != 1)}"
    kind = "draft" if story.draft else story.type
    took = "" if math.isinf(speed) else f", played in {lasted(seconds / speed)}"
    yield f"{kind}, importance {importance(story)}, {replicas}; {lasted(seconds)}{took}"
    yield ""
