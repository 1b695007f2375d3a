"""Settings of the state file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from exporter.settings.section import Section


class StateSettings(Section):
    """State that is kept across restarts: totals of workloads, and times of first observation."""

    path: Path | None = Field(
        None, description="SQLite file of the state. Without it, totals of workloads start from zero at each start."
    )
    on_trouble: Literal["refuse", "set_aside"] = Field(
        "refuse",
        description="If the file is damaged or from a newer version: `refuse` to start, or `set_aside`: rename it "
        "and start with an empty state.",
    )
