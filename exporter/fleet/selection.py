"""Which workloads this exporter monitors: selected by the settings, and in its shard."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from pydantic_core import SchemaValidator, core_schema

from exporter.api import models
from exporter.api.models import Workload


class Selection(NamedTuple):
    """What is selected; empty means all. A tag without a value selects those that have it at all."""

    tags: Mapping[str, str | None] = {}
    importance: tuple[str, ...] = ()
    name: str = ""
    """A regular expression that the whole name matches, as Prometheus anchors them."""
    creators: tuple[str, ...] = ()
    shard: int = 0
    shards: int = 1


@lru_cache(16)
def name_pattern(expression: str) -> SchemaValidator:
    """A validator of names that a regular expression matches as a whole. Raises `pydantic_core.SchemaError`.

    Its engine takes linear time, as that of Prometheus: Python's would take hours for some expressions and names.
    """
    return SchemaValidator(core_schema.str_schema(pattern=f"^(?:{expression})$"))


def in_shard(workload_id: str, shard: int, shards: int) -> bool:
    """Whether a workload belongs to a shard: each id belongs to exactly one, the same in every process."""
    digest = hashlib.blake2b(workload_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % shards == shard


def selected(workload: Workload, chosen: Selection) -> bool:
    """Whether the settings select a workload, regardless of its shard."""
    if chosen.importance and models.folded(workload.importance) not in chosen.importance:
        return False
    if chosen.name and not name_pattern(chosen.name).isinstance_python(workload.name or ""):
        return False
    creator = workload.creator
    if chosen.creators and (creator is None or not {creator.id, creator.username} & {*chosen.creators}):
        return False
    return has_tags(workload, chosen.tags)


def has_tags(workload: Workload, wanted: Mapping[str, str | None]) -> bool:
    """Whether a workload has all of these tags, each with its value; None: with any value."""
    tags = {tag.name: tag.value for tag in workload.tags or ()}
    return all(name in tags and value in (None, tags[name]) for name, value in wanted.items())
