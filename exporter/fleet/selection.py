"""Which workloads this exporter monitors: selected by the settings, and in its shard."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import NamedTuple

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


def in_shard(workload_id: str, shard: int, shards: int) -> bool:
    """Whether a workload belongs to a shard: each id belongs to exactly one, the same in every process."""
    digest = hashlib.blake2b(workload_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % shards == shard


def selected(workload: Workload, chosen: Selection) -> bool:
    """Whether the settings select a workload, regardless of its shard."""
    if chosen.importance and models.folded(workload.importance) not in chosen.importance:
        return False
    if chosen.name and re.fullmatch(chosen.name, workload.name or "") is None:
        return False
    creator = workload.creator
    if chosen.creators and (creator is None or not {creator.id, creator.username} & {*chosen.creators}):
        return False
    tags = {tag.name: tag.value for tag in workload.tags or ()}
    return all(name in tags and value in (None, tags[name]) for name, value in chosen.tags.items())
