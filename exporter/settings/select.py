"""Settings that select workloads."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import SchemaError

from exporter.fleet.selection import name_pattern
from exporter.settings.section import Importance, Section, Tag

_MAX_SHARDS = 10_000


def _regular_expression(given: str) -> str:
    try:
        name_pattern(given)
    except SchemaError as error:
        reason = str(error).strip().splitlines()[-1].removeprefix("error: ")
        raise ValueError(f"not a regular expression in the syntax of Prometheus: {reason}") from None
    return given


def _shard(given: str) -> str:
    if given == "auto":
        return given
    number, slash, count = given.partition("/")
    if not slash or not number.isdecimal() or not count.isdecimal() or not int(number) < int(count):
        raise ValueError("not a shard; use I/N with I from 0 to N-1, such as 0/3, or auto")
    if int(count) > _MAX_SHARDS:
        raise ValueError(f"too many shards; the maximum is {_MAX_SHARDS}")
    return given


class SelectSettings(Section):
    """Which workloads are monitored; the others are only counted. Empty: all."""

    tags: tuple[Tag, ...] = Field(
        (), description="Tags that a workload must have, all of them: `name=value`, or `name` for any value."
    )
    importance: tuple[Importance, ...] = Field(
        (), description="Importance of workloads, such as `critical` and `high`."
    )
    name: Annotated[str, AfterValidator(_regular_expression)] = Field(
        "", description="Regular expression (RE2, as in Prometheus) that must match the whole name."
    )
    creators: tuple[str, ...] = Field((), description="Ids or user names of creators of workloads.")
    shard: Annotated[str, AfterValidator(_shard)] = Field(
        "0/1",
        description="`I/N`: this exporter monitors shard I of N, counted from 0. `auto`: replicas with one `state.url` "
        "share the accounts.",
    )

    @property
    def leased(self) -> bool:
        """Whether this exporter monitors the accounts of which it has a lease."""
        return self.shard == "auto"

    @property
    def shard_numbers(self) -> tuple[int, int]:
        """The number of this shard, and the number of shards."""
        number, _, count = ("0/1" if self.leased else self.shard).partition("/")
        return int(number), int(count)
