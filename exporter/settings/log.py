"""Settings of logging."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from exporter.settings.section import Section


class LogSettings(Section):
    """What is logged to standard error, and how."""

    level: Literal["debug", "info", "warn", "error"] = Field("info", description="Least level to log.")
    format: Literal["auto", "logfmt", "json"] = Field(
        "auto", description="`auto`: coloured logfmt on a terminal, plain logfmt elsewhere."
    )
