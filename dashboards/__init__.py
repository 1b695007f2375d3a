"""Grafana dashboards, written in Python; `python -m dashboards` writes their JSON beside this file."""

from collections.abc import Mapping

from dashboards import capacity, fleet, health, lifecycle, workload
from dashboards.board import written

FILES: Mapping[str, str] = {
    f"{made.uid}.json": written(made)
    for made in (fleet.made(), workload.made(), capacity.made(), lifecycle.made(), health.made())
}
"""Every dashboard, by the name of its file."""
