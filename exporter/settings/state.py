"""Settings of the state file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from exporter.settings.section import Section


class StateSettings(Section):
    """What is kept across restarts: when things were first seen, and all totals of workloads."""

    path: Path | None = Field(
        None, description="SQLite file of the state. Without it, totals of workloads begin anew at each start."
    )
    on_trouble: Literal["refuse", "set_aside"] = Field(
        "refuse",
        description="When the file is damaged or newer than this exporter: `refuse` to start, or `set_aside` the file "
        "under another name and begin anew.",
    )
