"""Compares a server with what the exporter knows about the API: the data of ``verify``."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from exporter.api.assumptions import ASSUMPTIONS, Assumption, Decision, Judgement, Verdict
from exporter.api.clock_skew import Skew
from exporter.api.decoding import NotDecodable, Reject
from exporter.api.details import (
    AccountInfo,
    AggregateStats,
    ComputeBundle,
    Event,
    OtelValue,
    Quota,
    SharedRole,
    Stats,
    event_kind,
)
from exporter.api.models import ApiObject, Replacement, Workload
from exporter.api.pods import Proton, StatusDetails
from exporter.api.unknown_fields import unknown_fields
from exporter.cli.check import ROUTES, Finding, check_routes
from exporter.collect.account_state import AccountState
from exporter.collect.client import ApiError, ApiResponse, Client, Params
from exporter.collect.fetchers import ACCOUNT_FETCHERS, FETCHERS, Poll, failure_reason
from exporter.collect.sweep import sweep
from exporter.fleet import evidence
from exporter.fleet.apply import received
from exporter.fleet.reconcile import Snapshot, Sweep, unknown_values
from exporter.fleet.workload_state import WorkloadState

QUANTILES = (0.5, 0.95)
PARTS = ("pods", "stats_5m", "stats_3d", "usage", "events", "quotas", "replacement", "sharing")
"""The parts that are read of each workload; the statistics before the usage, which is compared with them."""
ROUNDS = 3
"""How often the totals of the account are read: so many decide about an assumption."""
READ_TWICE = 8
"""Workloads of which pods are read twice: two reports can be compared."""
KINDS: Mapping[str, type[ApiObject]] = {
    "/workloads": Workload,
    "/workloads/{id}/protons": Proton,
    "/workloads/{id}/protons/{pid}/statusDetails": StatusDetails,
    "/workloads/{id}/events": Event,
    "/workloads/{id}/stats": Stats,
    "/workloads/{id}/replacement": Replacement,
    "/workloads/{id}/history": Replacement,
    "/workloads/{id}/sharedRoles": SharedRole,
    "/workloads/stats": AggregateStats,
    "/account/info": AccountInfo,
    "/mlops/compute/bundles": ComputeBundle,
    "/otel/workload/{id}/metrics/autocollectedValues": OtelValue,
    "/quotas": Quota,
}
"""The objects of the responses, by route."""
Progress = Callable[[int, int, str], None]
"""Called before each step with the steps done, their number, and what is read."""


class Timing(NamedTuple):
    """How long the successful requests to a route took, in seconds."""

    requests: int
    median: float
    longest: float


class Verified(NamedTuple):
    """What is known about one account. `failure`: reason why its list could not be read; empty: it was.

    `unknown`: route -> paths of fields. `values`: field -> values that are not documented, and how often.
    """

    findings: Sequence[Finding]
    failure: str = ""
    workloads: int = 0
    sampled: int = 0
    judgement: Judgement = Judgement()
    unknown: Mapping[str, Sequence[str]] = {}
    values: Mapping[str, Counter[str]] = {}
    rejects: Mapping[tuple[str, str], int] = {}
    times: Mapping[str, Timing] = {}
    offset: float | None = None
    release: str = ""
    api_version: str = ""

    @property
    def routes(self) -> tuple[Finding, ...]:
        """The findings about routes."""
        return tuple(each for each in self.findings if each.route)

    def verdicts(self) -> tuple[tuple[Assumption, Verdict, Decision], ...]:
        """Each assumption with its verdict and the evidence."""
        return tuple((row, self.judgement.verdict(row), self.judgement.decision(row)) for row in ASSUMPTIONS)

    @property
    def as_expected(self) -> bool:
        """Whether each route can be read, nothing was rejected, and no assumption is contradicted."""
        contradicted = any(verdict == "contradicted" for _, verdict, _ in self.verdicts())
        return not (contradicted or self.rejects or any(each.result == "refused" for each in self.routes))


class MeasuringClient(Client):
    """A client that notes how long requests take, which fields of responses are unknown, and the API's clock."""

    def __init__(self, *given: Any, wall: Callable[[], float] = time.time, **named: Any) -> None:
        super().__init__(*given, **named)
        self.seconds: dict[str, list[float]] = {}
        self.unknown: dict[str, set[str]] = {}
        self.skew = Skew()
        self._wall = wall

    async def get(self, route: str, params: Params | None = None, **places: str) -> ApiResponse:
        """See `Client.get`."""
        response = await super().get(route, params, **places)
        self.seconds.setdefault(route, []).append(response.seconds)
        if response.date is not None:
            self.skew = self.skew.with_response(response.date, self._wall() - response.seconds / 2, response.seconds)
        if route in KINDS and (fields := unknown_fields(response.body, KINDS[route])):
            self.unknown.setdefault(route, set()).update(fields)
        return response


class _Verification:
    """Reads an account once, in the order of `run`."""

    def __init__(
        self, client: MeasuringClient, sample: int, slow: float, progress: Progress, wall: Callable[[], float]
    ) -> None:
        self._client, self._sample, self._slow, self._wall = client, sample, slow, wall
        self._progress, self._done = progress, 0
        self._steps = 1 + len(ROUTES)
        self._state = AccountState(Snapshot("verify"))
        self._rejects: Counter[tuple[str, str]] = Counter()
        self._values: dict[str, Counter[str]] = {}

    def _step(self, text: str) -> None:
        self._progress(self._done, self._steps, text)
        self._done += 1

    async def run(self) -> Verified:
        """Everything about the account. Does not raise `ApiError`."""
        findings: list[Finding] = []
        self._step("/workloads")
        async for finding in check_routes(self._client):
            findings.append(finding)
            self._step(finding.route)
        failed = next((each.reason for each in findings if not each.good), "")
        if failed:
            return self._verified(findings, failed)
        result = await sweep(self._client)
        if result.failure:
            text = f"  FAIL  {result.message}"
            findings.append(Finding(False, text, "/workloads", "refused", result.failure))
            return self._verified(findings, result.failure)
        self._apply(result)
        chosen = varied(self._state.workloads.values(), self._sample)
        again = chosen[:READ_TWICE]
        self._steps = self._done + len(ACCOUNT_FETCHERS) + ROUNDS + len(chosen) * len(PARTS) + len(again)
        await self._account()
        for i in chosen:
            for part in PARTS:
                self._step(part)
                await self._part(i, part)
        for i in again:
            self._step("pods")
            await self._part(i, "pods")
        return self._verified(findings, "", len(chosen))

    def _apply(self, result: Sweep) -> None:
        self._state.skew = self._client.skew
        self._state.apply_sweep(result, self._wall())
        self._reject("workloads", result.rejects)
        self._values.update({field: found for field, found in unknown_values(result.workloads).items() if found})

    async def _account(self) -> None:
        for part in ACCOUNT_FETCHERS:
            self._step(part)
            await self._account_part(part)
        for number in range(ROUNDS):
            self._step("totals")
            if number:
                await self._account_part("totals")
            fleet = evidence.totals(self._state.workloads.values(), self._state.account.replicas_limit)
            # Each round has responses of its own, even within one second.
            self._state.judge(evidence.of_account(self._state.account, fleet, self._wall() + number))

    async def _account_part(self, part: str) -> None:
        try:
            fields, rejects = await ACCOUNT_FETCHERS[part](self._client)
        except (ApiError, NotDecodable) as error:
            self._failed(part, error)
        else:
            self._reject(part, rejects)
            self._state.replace_account(self._state.account._replace(**fields))

    async def _part(self, workload: str, part: str) -> None:
        before, now = self._state.workloads[workload], self._wall()
        try:
            value, rejects = await FETCHERS[part](Poll(self._client, before, now, QUANTILES, self._slow))
        except (ApiError, NotDecodable) as error:
            self._failed(part, error)
            self._state.judge(evidence.of_failure(workload, part, failure_reason(error)))
            return
        self._reject(part, rejects)
        if value is None:
            return
        if part == "events":
            others = Counter(each.reported_type for each in value if event_kind(each) == "other")
            if others:
                self._values.setdefault("event", Counter()).update(others)
        after, entry = received(before, part, value, now)
        self._state.replace(after, entry)
        self._state.judge(evidence.of_part(before, after, part, value, now))

    def _failed(self, part: str, error: ApiError | NotDecodable) -> None:
        if isinstance(error, NotDecodable):
            self._reject(part, [Reject("$", error.reason)])

    def _reject(self, part: str, rejects: Iterable[Reject]) -> None:
        self._rejects.update((f"{part} {reject.path}", reject.reason) for reject in rejects)

    def _verified(self, findings: Sequence[Finding], failure: str, sampled: int = 0) -> Verified:
        client, account = self._client, self._state.account
        self._state.judge(evidence.of_routes(client.other_forms, self._wall()) if client.seconds else ())
        return Verified(
            findings,
            failure,
            len(self._state.workloads),
            sampled,
            self._state.judgement,
            {route: sorted(found) for route, found in sorted(client.unknown.items())},
            self._values,
            dict(sorted(self._rejects.items())),
            {route: Timing(len(each), median(each), max(each)) for route, each in sorted(client.seconds.items())},
            client.skew.offset,
            account.release,
            account.api_version,
        )


async def verified(
    client: MeasuringClient,
    sample: int,
    slow: float,
    progress: Progress = lambda *_: None,
    wall: Callable[[], float] = time.time,
) -> Verified:
    """Read an account, and `sample` of its workloads with all their details. `slow`: threshold of slow requests, in
    seconds. Does not raise `ApiError`.
    """
    return await _Verification(client, sample, slow, progress, wall).run()


def varied(states: Iterable[WorkloadState], number: int) -> list[str]:
    """The ids of a sample of workloads that differ: one of each status, kind of artifact and way of scaling in turn."""
    by_kind: dict[tuple[object, ...], list[str]] = {}
    for state in states:
        workload = state.workload
        artifact, runtime = workload.artifact, workload.runtime
        groups = runtime.container_groups or () if runtime is not None else ()
        scaled = any(group.autoscaling is not None for group in groups)
        kind = (workload.status, artifact.status if artifact is not None else None, scaled)
        by_kind.setdefault(kind, []).append(workload.id)
    chosen: list[str] = []
    while len(chosen) < number and any(by_kind.values()):
        chosen += [ids.pop(0) for ids in by_kind.values() if ids]
    return chosen[:number]
