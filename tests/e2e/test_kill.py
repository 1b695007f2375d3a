"""kill -9 at any moment: after all restarts the totals are those of a life without any."""

import random
import signal
from pathlib import Path

import pytest

from exporter.fleet.ledger import Ledger
from exporter.simulator import Simulator
from exporter.simulator.stories import STORIES
from exporter.state.store import Store
from tests.e2e.nursery import Nursery

START = 1_795_000_000.0
STEP, STEPS = 60.0, 60
WORKLOADS = 16


def totals(path: Path) -> dict[str, Ledger]:
    store = Store(path)
    try:
        return dict(store.load("acme").ledgers)
    finally:
        store.close()


def counted(ledger: Ledger) -> dict[str, object]:
    """What was counted, and the times that must not be forgotten."""
    names = "first since transitions outcomes events newest restarts terminations resets".split()
    return {name: getattr(ledger, name) for name in names}


@pytest.mark.long
@pytest.mark.parametrize("kills_wanted", [15, pytest.param(225, marks=pytest.mark.exhaustive)])
def test_kills_change_no_total(kills_wanted: int, tmp_path: Path) -> None:
    chance = random.Random(20261124)
    moments = [START + STEP * number for number in range(STEPS)]
    calm, killed = tmp_path / "calm.db", tmp_path / "killed.db"
    kills = 0
    now = START
    nursery = Nursery()
    with Simulator(workloads=WORKLOADS, clock=lambda: now) as simulator:
        url = simulator.url + "/api/v2"
        try:
            for now in moments:
                assert nursery.live(url, calm, now) == (True, 0)
            for number, moment in enumerate(moments):
                now, done = moment, False
                while not done:  # several lives a moment are cut short, the last one is not
                    cut = kills < kills_wanted * (number + 1) / len(moments)
                    lifetime = chance.uniform(0.0, 1.2) * nursery.usual if cut else None
                    done, status = nursery.live(url, killed, moment, lifetime)
                    kills += status == -signal.SIGKILL
                    assert status in (0, -signal.SIGKILL)
        finally:
            nursery.close()
        assert kills >= kills_wanted * 8 // 9
        before, after = totals(calm), totals(killed)
        assert {i: counted(ledger) for i, ledger in after.items()} == {i: counted(each) for i, each in before.items()}
        _as_the_script_says(simulator, after, moments)


def _as_the_script_says(simulator: Simulator, ledgers: dict[str, Ledger], moments: list[float]) -> None:
    """The same totals, worked out from the script alone."""
    checked, end = 0, moments[-1]
    for number in range(min(WORKLOADS, len(STORIES))):
        actor = simulator.world.actor(number)
        if actor.story.rounds_ids or actor.story.consumer:
            continue
        ledger = ledgers[actor.id(actor.moment(end))]
        events = [ended.end.step.event for ended in actor.reported_replacements(end) if ended.end.since > START]
        assert sum(ledger.events.values()) == len(events), ledger.name
        assert ledger.outcomes.get("completed", 0) == events.count("Replacement Completed"), ledger.name
        if actor.story.name == "out of memory":
            pods = actor.story.steps[0].pods
            assert pods is not None
            # Its pod lives on when the story starts again, in step with the restarts: they are evenly spaced.
            assert actor.story.seconds % pods.restart_every == 0
            first, last = (int((at - actor.origin) / pods.restart_every) for at in (moments[0], end))
            kills = last - first
            assert kills >= 3
            assert ledger.restarts["primary"] == kills
            assert ledger.terminations["primary"]["OOMKilled"] == kills
        checked += 1
    assert checked > 10
