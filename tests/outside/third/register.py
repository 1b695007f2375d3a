"""The register of the third stories, which were written from the API's contract and public reports of outages."""

from functools import partial
from typing import Any

from tests.outside.story import Story, story

THIRD: dict[str, Story] = {}
third = partial(story, suite=THIRD)


def scaling(least: int, most: int, target: float = 4.0) -> dict[str, Any]:
    """Autoscaling by concurrent requests per replica."""
    return {"enabled": True, "minReplicaCount": least, "maxReplicaCount": most, "cooldownPeriodMinutes": None,
            "policies": [{"scalingMetric": "httpRequestsConcurrency", "target": target}]}  # fmt: skip
