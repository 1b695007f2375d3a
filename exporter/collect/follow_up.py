"""Requests by id for workloads about which the list of a sweep leaves a doubt."""

from __future__ import annotations

from exporter.api.decoding import One
from exporter.api.models import Workload
from exporter.collect.account_state import AccountState
from exporter.collect.client import Client
from exporter.collect.fetchers import COMMON_REASONS, by_id, gone_because
from exporter.fleet.counting import deleted
from exporter.fleet.reconcile import Snapshot, Sweep, lacking, recognised, resolved, unclear
from exporter.fleet.workload_state import WorkloadState

REQUESTS_PER_SWEEP = 10
"""Approximate number of workloads requested by id after one sweep, of each kind."""


class FollowUp:
    """Requests unreadable and vanished workloads by id. `confirms`: whether vanished ones are requested at all."""

    def __init__(self, client: Client, *, confirms: bool) -> None:
        self._client, self._confirms = client, confirms
        self._turns: dict[str, int] = {}
        """When a workload was last requested, as a number that grows."""
        self._answers: dict[str, str] = {}
        """Result of requesting a workload that the list lacks and that does not exist."""

    async def completed(self, sweep: Sweep, snapshot: Snapshot) -> Sweep:
        """The sweep with workloads that its list does not show, or not in a readable form, a few at a time.

        A list that lacks workloads which exist proves nothing about the others that it lacks.
        """
        sweep = recognised(snapshot, sweep)
        lost = lacking(snapshot, sweep) if self._confirms else ()
        self._answers = {i: reason for i, reason in self._answers.items() if i in lost or i in snapshot.gone}
        wanted = (*unclear(snapshot, sweep), *(i for i in lost if i not in self._answers))
        self._turns = {i: turn for i, turn in self._turns.items() if i in wanted}
        found: dict[str, One[Workload]] = {}
        absent: list[str] = []
        for i in sorted(wanted, key=lambda each: self._turns.get(each, 0))[:REQUESTS_PER_SWEEP]:
            self._turns[i] = max(self._turns.values(), default=0) + 1
            read, reason = await by_id(self._client, i)
            if read is not None:
                found[i] = read
            elif reason in COMMON_REASONS:
                break  # the next one would fail as well, and as slowly
            elif i in lost:
                self._answers[i] = reason if reason in ("not_found", "forbidden") else ""
            elif reason == "not_found":
                absent.append(i)
        if not found.keys().isdisjoint(lost):
            sweep = sweep._replace(doubted=frozenset(lost) - found.keys() - self._answers.keys())
        return resolved(sweep, found, absent) if found or absent else sweep

    async def confirm_gone(self, state: AccountState) -> None:
        """Request vanished workloads, a few at a time: deleted, or no longer shared with the token's user."""
        unconfirmed = [i for i, each in state.snapshot.gone.items() if self.is_unconfirmed(each)]
        answered = [i for i in unconfirmed if i in self._answers]
        for i in answered:
            state.set_gone_reason(i, self._answers.pop(i))
        for i in [i for i in unconfirmed if i not in answered][:REQUESTS_PER_SWEEP]:
            state.set_gone_reason(i, await gone_because(self._client, i))

    def is_unconfirmed(self, state: WorkloadState) -> bool:
        """Whether a vanished workload counts as deleted although the API has not confirmed it."""
        return self._confirms and state.gone_because != "not_found" and deleted(state.ledger)
