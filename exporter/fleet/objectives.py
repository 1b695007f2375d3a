"""Objectives of workloads (service level objectives), and which workload has which one.

An objective is a target for the share of what is good within a window: responses without server error (availability),
time with a ready replica (readiness), requests that are fast enough (latency). Its error budget is 1 minus the target.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple, get_args

from exporter.api import models
from exporter.api.models import Workload
from exporter.fleet.selection import has_tags

ObjectiveKind = Literal["availability", "readiness", "latency"]
KINDS: tuple[ObjectiveKind, ...] = get_args(ObjectiveKind)
WINDOW_SECONDS = 28 * 86400.0


class Objective(NamedTuple):
    """The targets of a workload, as ratios; None: there is no such objective.

    `slower`: response time in seconds above which a request is slow, for `latency`. `window`: in seconds.
    """

    availability: float | None = None
    readiness: float | None = None
    latency: float | None = None
    slower: float | None = None
    window: float = WINDOW_SECONDS

    @property
    def targets(self) -> Iterator[tuple[ObjectiveKind, float]]:
        """Each kind that has a target."""
        for kind, target in zip(KINDS, self[:3], strict=True):
            if target is not None:
                yield kind, target

    @property
    def counts_requests(self) -> bool:
        """Whether its requests have to be counted."""
        return self.availability is not None or self.latency is not None


class ObjectiveRow(NamedTuple):
    """An objective, and the workloads that have it; empty: all. `name`: a pattern with the wildcards ``*`` and ``?``.

    Tags are those of `exporter.fleet.selection.Selection`: a workload must have all of them.
    """

    objective: Objective
    tags: Mapping[str, str | None] = {}
    importance: frozenset[str] = frozenset()
    name: str = ""
    accounts: frozenset[str] = frozenset()

    @property
    def matches_all(self) -> bool:
        """Whether no workload can lack this objective."""
        return not (self.accounts or self.importance or self.name.strip("*") or self.tags)

    def matches(self, account: str, workload: Workload) -> bool:
        """Whether a workload of an account has this objective, unless an earlier row matches it as well."""
        return (
            (not self.accounts or account in self.accounts)
            and (not self.importance or models.folded(workload.importance) in self.importance)
            and (not self.name or fnmatchcase(workload.name or "", self.name))
            and (not self.tags or has_tags(workload, self.tags))
        )


def objective_of(rows: Iterable[ObjectiveRow], account: str, workload: Workload) -> Objective | None:
    """The objective of a workload: that of the first row that matches it."""
    return next((row.objective for row in rows if row.matches(account, workload)), None)
