"""Settings of events as log records."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from exporter.settings.collector import PATH, PATH_DESCRIPTION, CollectorSettings, CollectorUrl, PlainPath
from exporter.settings.section import Duration, Section

EventKind = Literal["event", "transition", "episode", "alert"]


class EventPushSettings(CollectorSettings):
    """Events of workloads as log records of OpenTelemetry. None without an `endpoint`."""

    endpoint: Annotated[str, CollectorUrl] = Field(
        "",
        description="URL of an OpenTelemetry collector to which events of workloads are sent as log records, such as "
        "`http://collector:4318`. Empty: none are. See docs/otlp.md.",
    )
    path: Annotated[str, PlainPath] = Field("/v1/logs", pattern=PATH, description=PATH_DESCRIPTION)
    kinds: tuple[EventKind, ...] = Field(
        ("event", "transition", "episode", "alert"),
        description="What becomes a log record: events that the API reports, transitions of workloads, ended episodes, "
        "and alerts of direct paging.",
    )
    max_bytes: int = Field(
        50_000_000,
        gt=0,
        le=1_000_000_000_000,
        description="Maximum bytes of log records that wait to be sent; beyond it, the oldest are dropped.",
    )
    max_age: Duration = Field(
        604800.0, le=2592000, description="How long a log record may wait to be sent before it is dropped."
    )


class EventSettings(Section):
    """What happens to workloads, for others to receive."""

    otlp: EventPushSettings = Field(
        default_factory=lambda: EventPushSettings.model_validate({}), description="Events as log records, by OTLP."
    )
