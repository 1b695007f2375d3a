"""The register of the further stories, which were written from the API's contract and docs/alerts.md alone."""

from functools import partial
from typing import Any

from tests.outside.story import Story, story

FURTHER: dict[str, Story] = {}
further = partial(story, suite=FURTHER)


def scaling(least: int, most: int, target: float = 4.0) -> dict[str, Any]:
    """Autoscaling by concurrent requests per replica."""
    policies = [{"scalingMetric": "httpRequestsConcurrency", "target": target}]
    return {"enabled": True, "minReplicaCount": least, "maxReplicaCount": most, "cooldownPeriodMinutes": None,
            "policies": policies}  # fmt: skip
