"""The fleet of every run, and when what happens to it. All times are in units, of a minute unless time is real."""

from __future__ import annotations

from exporter.simulator import SimulatedApi
from exporter.simulator.stories import CREATING, READY, WARMING, SimulatedPods, Story, StoryStep

FAULT_BEGINS = 3.5
"""Units after the start at which the fault begins, when everything is known."""
END = 28.0
"""Units after the start at which all pages of an undisturbed run have ended."""
BYSTANDER, FAILS_DURING, FAILS_AFTER = "bystander-0", "fails-during-1", "fails-after-2"


def stories(unit: float) -> tuple[Story, ...]:
    """One workload each. What happens during a fault of four units can still be read after it."""

    def step(units: float, status: str, pods: SimulatedPods | None = READY, **more: object) -> StoryStep:
        return StoryStep(units * unit, status, pods, **more)  # type: ignore[arg-type]  # names of its fields

    last = step(1000, "running")
    errored = step(7, "errored", SimulatedPods(ready=False), serves=False)
    # At most one restart within a fault: the API reports only the reason of the last one.
    oom = SimulatedPods(last=("OOMKilled", 137), restart_every=6 * unit, only=1)
    return (
        Story("bystander", "is healthy throughout", (StoryStep(0.0, "running"),), importance="critical"),
        Story(
            "fails during",
            "fails during the fault",
            (step(4, "running"), errored, last),
            importance="critical",
            once=True,
        ),
        Story(
            "fails after",
            "fails after the fault",
            (step(9, "running"), errored._replace(seconds=2 * unit), last),
            importance="critical",
            once=True,
        ),
        Story("restarts", "restarts once during the fault", (step(1000, "running", oom),), importance="low", once=True),
        Story(
            "replaced",
            "its replacement completes during the fault",
            (
                step(1, "running"),
                step(1, "running", candidate=("initializing", None), replacement="initializing"),
                step(4, "running", candidate=WARMING, replacement="awaiting_promotion"),
                step(4, "running", proton=1, outgoing="draining", event="Replacement Completed"),
                step(1000, "running", proton=1),
            ),
            importance="low",
            once=True,
            renumbered=False,
        ),
        Story(
            "reverted",
            "its replacement fails after the fault",
            (
                step(9, "running"),
                step(1, "running", candidate=("initializing", None), replacement="initializing"),
                step(
                    2, "running", candidate=("launching", SimulatedPods(ready=False)), replacement="awaiting_promotion"
                ),
                step(1000, "running", event="Replacement Errored", message="its pods are errored", evidence=True),
            ),
            importance="low",
            once=True,
        ),
        Story(
            "restarted",
            "stops before the fault and starts after it",
            (
                step(1, "running"),
                step(1, "stopping", SimulatedPods(ready=False), serves=False),
                step(7, "stopped", SimulatedPods(live=0), serves=False),
                step(1, "submitted", None, serves=False),
                step(3, "launching", CREATING, serves=False),
                last,
            ),
            importance="low",
            once=True,
        ),
    )


def simulated(unit: float, start: float) -> SimulatedApi:
    """A simulated API of this fleet, whose stories begin soon after `start`: nothing happens near a sweep."""
    shows = stories(unit)
    simulator = SimulatedApi(workloads=len(shows), stories=shows, clock=lambda: start)
    for number in range(len(shows)):
        simulator.world.actor(number).origin = start + unit / 2
    return simulator
