"""Measurement of the event loop's lag."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from exporter.telemetry.report import Report

INTERVAL_SECONDS = 0.1
"""Seconds between two measurements."""


async def measure_lag(report: Report, steady: Callable[[], float]) -> None:
    """Measure how late the event loop runs what is due, until cancelled."""
    while True:
        began = steady()
        await asyncio.sleep(INTERVAL_SECONDS)  # the excess over this time is the lag
        report.observe("event_loop_lag_seconds", max(0.0, steady() - began - INTERVAL_SECONDS))
