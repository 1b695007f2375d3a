"""Grafana dashboards, to_json in Python; `python -m dashboards` writes their JSON into this folder."""

from collections.abc import Mapping

from dashboards import capacity, fleet, health, lifecycle, objectives, workload
from dashboards.layout import to_json

FILES: Mapping[str, str] = {
    f"{built.uid}.json": to_json(built)
    for built in (
        fleet.build(),
        workload.build(),
        capacity.build(),
        lifecycle.build(),
        objectives.build(),
        health.build(),
    )
}
"""The JSON of every dashboard by file name."""
