"""Which steps of a story belong to which replacement."""

from __future__ import annotations

from collections.abc import Sequence

from exporter.simulator.stories import StoryStep

ENDED = ("completed", "errored", "failed", "cancelled", "canceled")
"""Statuses of a replacement record that is no longer active but still reported."""


def rollouts(steps: Sequence[StoryStep]) -> list[list[int]]:
    """Numbers of the steps of each replacement of a round: those with its record, and the one with its event."""
    found: list[list[int]] = []
    for number, step in enumerate(steps):
        active = bool(step.replacement) and step.replacement not in ENDED
        before = steps[number - 1] if number else None
        if active and (before is None or not before.replacement or before.replacement in ENDED):
            found.append([number])
        elif active or step.replacement:
            found[-1].append(number)
        elif step.event:
            reported = not found or any(steps[each].event for each in found[-1])
            if reported:
                found.append([number])
            else:
                found[-1].append(number)
    return found
