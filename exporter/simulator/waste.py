"""WASTE: stories of workloads that cost money for nothing, and of an account that grows, for the demo.

They are no part of `STORIES`: none of them is an incident.
"""

from __future__ import annotations

from collections.abc import Mapping

from exporter.simulator.stories import FOREVER, MINUTE, Story, StoryStep, starting

PRICES: Mapping[str, float] = {
    "cpu.small": 0.05,
    "cpu.medium": 0.20,
    "cpu.legacy": 0.18,
    "gpu.l4.small": 1.10,
    "gpu.a10g.medium": 2.40,
}
"""Invented prices of a replica per hour, by bundle."""
RUNNING = (StoryStep(FOREVER, "running"),)
APPEARS_AFTER = 0.02
"""Share of the first step of a young workload that is left at the start."""


def created_after(minutes: float) -> tuple[StoryStep, ...]:
    """The steps of a workload that is created some minutes after the start, and stays."""
    return (
        StoryStep(minutes * MINUTE / APPEARS_AFTER, "running", listed=False, serves=False),
        *starting(minutes=1),
        StoryStep(FOREVER, "running"),
    )


def _growth(minutes: int) -> Story:
    shows = f"a workload that is created after {minutes} minutes: the account fills up"
    return Story(
        f"new after {minutes} minutes",
        shows,
        created_after(minutes),
        once=True,
        young=True,
        rounds_ids=True,
        importance="low",
    )


WASTE: tuple[Story, ...] = (
    Story("idle model", "a large model on GPUs that no one calls", RUNNING, importance="low", type="nim",
          bundle="gpu.a10g.medium", replicas=2, requests=0, cpu_share=0.02),
    Story("idle trial", "the remains of a trial on a GPU", RUNNING, importance="low", type="nim",
          bundle="gpu.l4.small", replicas=1, requests=0, cpu_share=0.01),
    Story("idle service", "a service without callers", RUNNING, importance="moderate", replicas=3, requests=0,
          cpu_share=0.01),
    Story("oversized", "a service with far more CPU and memory than it uses", RUNNING, importance="moderate",
          replicas=8, cpu_share=0.08, memory_share=0.06),
    Story("undersized", "a service that uses nearly all of its CPU", RUNNING, importance="moderate",
          bundle="cpu.small", replicas=3, cpu_share=0.97),
    Story("costly", "a busy model on many GPUs", RUNNING, importance="high", type="nim", bundle="gpu.a10g.medium",
          replicas=4, requests=3000, cpu_share=0.5),
    *(_growth(minutes) for minutes in range(1, 9)),
)  # fmt: skip
