"""Labels from the tags of workloads, as the settings select them.

A tag becomes the label ``tag_NAME``, as a label of a pod becomes ``label_NAME`` in kube-state-metrics. Users choose
names and values of tags, so their number is limited per account: `census` counts them, `admitted` decides which become
labels, and `tag_labels` returns those of a workload.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from exporter.api import models
from exporter.api.models import Tag, Workload

PREFIX = "tag_"
MAX_NAME_CHARACTERS = 64
"""Characters of a tag's name that its label has."""
MAX_NAMES = 64
"""Labels from tags per account: a wildcard may match any number of names."""
_EMAIL = re.compile(r"[^\s@]@[^\s@]")
Labels = tuple[tuple[str, str], ...]
"""Label names and values, sorted by name."""


class TagSelection(NamedTuple):
    """Which tags become labels. In `names`, ``*`` stands for any text; `max_values`: distinct values per tag."""

    names: tuple[str, ...] = ()
    max_values: int = 200

    def covers(self, name: str) -> bool:
        """Whether a tag of this name is selected. Case, blanks and hyphens do not matter. No address is."""
        return not is_personal(name) and any(_pattern(each).fullmatch(_folded(name)) for each in self.names)


class Admission(NamedTuple):
    """Label name -> the values in use. `left_out`: name of the tag and reason -> how many values, or names, are not.

    Reasons: ``limit``, ``email`` (it looks like an address), and, for the tag ``*``, ``names``.
    """

    values: Mapping[str, frozenset[str]] = {}
    left_out: Mapping[tuple[str, str], int] = {}


def label_name(tag: str) -> str:
    """The label of a tag: its name with ``_`` for every character that labels cannot have."""
    return PREFIX + re.sub(r"[^a-z0-9_]", "_", _folded(tag))


def _folded(name: str) -> str:
    return re.sub(r"[-\s]+", "_", name.strip().casefold())[:MAX_NAME_CHARACTERS]


@lru_cache(256)
def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, _folded(name).split("*"))))


def is_personal(value: str) -> bool:
    """Whether a value may be, or contain, an e-mail address: an ``@`` between two characters that are no blanks."""
    return _EMAIL.search(value) is not None


@lru_cache(1 << 10)  # most workloads share their tags with others
def _labels(tags: tuple[Tag, ...], selection: TagSelection) -> Labels | None:
    """The labels of these tags, also those that are not admitted; None if a name or a value is unknown.

    Tags that lead to the same label are numbered in the order of their names and values.
    """
    chosen = set[tuple[str, str]]()
    for tag in tags:
        if tag.name is None or (tag.value is None and selection.covers(tag.name)):
            return None
        if tag.value and selection.covers(tag.name):
            chosen.add((tag.name, tag.value))
    taken, found = {label_name(name) for name, _ in chosen}, dict[str, str]()
    for name, value in sorted(chosen):
        label, number = label_name(name), 1
        while label in found or (number > 1 and label in taken):
            number += 1
            label = f"{label_name(name)}_{number}"
        found[label] = value
    return tuple(sorted(found.items()))


def census(workloads: Iterable[Workload], selection: TagSelection) -> Iterator[tuple[str, str, Workload]]:
    """Each label that the tags of these workloads lead to."""
    for workload in workloads:
        for name, value in _labels(workload.tags or (), selection) or ():
            yield name, value, workload


def admitted(
    found: Mapping[str, Collection[str]],
    before: Admission,
    selection: TagSelection,
    oldest: Callable[[], Mapping[tuple[str, str], float]],
) -> Admission:
    """Which of the names and values in `found` become labels.

    What was admitted before stays as long as it is in use. Free places are given to the values whose oldest workload
    was created first (`oldest`), so that after a restart they are the same.
    """
    literal = [label_name(name) for name in selection.names if "*" not in name]
    names = sorted(found, key=lambda name: (name not in literal, name not in before.values, name))
    left_out: dict[tuple[str, str], int] = {}
    if len(names) > MAX_NAMES:
        left_out["*", "names"] = len(names) - MAX_NAMES
    values: dict[str, frozenset[str]] = {}
    for name in names[:MAX_NAMES]:
        tag, there = name.removeprefix(PREFIX), {value for value in found[name] if not is_personal(value)}
        if len(there) < len(found[name]):
            left_out[tag, "email"] = len(found[name]) - len(there)
        if len(there) > selection.max_values:
            left_out[tag, "limit"] = len(there) - selection.max_values
            there = _first(name, there, before.values.get(name, frozenset()), selection.max_values, oldest)
        values[name] = frozenset(there)
    return Admission(values, left_out)


def _first(
    name: str,
    there: set[str],
    before: frozenset[str],
    limit: int,
    oldest: Callable[[], Mapping[tuple[str, str], float]],
) -> set[str]:
    created = oldest()
    return set(sorted(there, key=lambda value: (value not in before, created[name, value], value))[:limit])


def oldest(workloads: Iterable[Workload], selection: TagSelection) -> Mapping[tuple[str, str], float]:
    """When the oldest workload with each label was created, in seconds since the epoch; infinite if unknown."""
    found: dict[tuple[str, str], float] = defaultdict(lambda: math.inf)
    for name, value, workload in census(workloads, selection):
        created = models.timestamp(workload.created_at)
        found[name, value] = min(found[name, value], math.inf if created is None else created)
    return found


def tag_labels(workload: Workload, selection: TagSelection, admission: Admission) -> Labels | None:
    """The labels of a workload that are admitted; None: none are selected, or its tags are unknown."""
    if not selection.names or workload.tags is None:
        return None
    labels = _labels(workload.tags, selection)
    if labels is None or all(value in admission.values.get(name, ()) for name, value in labels):
        return labels
    return tuple((name, value) for name, value in labels if value in admission.values.get(name, ()))
