"""Settings of logging."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from exporter.settings.section import Section


class LogSettings(Section):
    """Logging to standard error."""

    level: Literal["debug", "info", "warn", "error"] = Field("info", description="Minimum level to log.")
    format: Literal["auto", "logfmt", "json"] = Field(
        "auto", description="`auto`: coloured logfmt on a terminal, logfmt elsewhere."
    )
