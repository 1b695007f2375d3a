"""Responses with invalid parts: nothing crashes, every sweep counts, and nothing invalid is shown as valid.

`make test` tries some 12,000, `make test-all` ten times as many.
"""

import asyncio
import json
import math
from random import Random
from typing import Any

import httpx
import msgspec
import pytest

from exporter.alerting.rules import Options
from exporter.api import models
from exporter.api.decoding import NotDecodable, one, page
from exporter.api.details import AccountInfo, AggregateStats, ComputeBundle, Event, Quota, SharedRole, Stats
from exporter.api.models import Replacement, Workload
from exporter.api.pods import Pods, Proton, StatusDetails
from exporter.clock import Clock
from exporter.collect.account_monitor import AccountMonitor, Plan
from exporter.collect.account_state import AccountState
from exporter.collect.client import Client
from exporter.diagnosis.diagnosis import diagnosis
from exporter.diagnosis.fleet_table import fleet_table
from exporter.diagnosis.wording import text
from exporter.failures import DETAIL_LENGTH, detail
from exporter.fleet.apply import received
from exporter.fleet.reconcile import Snapshot
from exporter.fleet.workload_state import WorkloadState
from exporter.metrics.exposition import Exposition
from exporter.metrics.registry import FAMILIES
from exporter.simulator import SimulatedApi
from exporter.telemetry.report import Report
from tests.daemon.test_daemon import START, Time
from tests.examples import page as listed
from tests.mutated import NASTY, mangled, mutated

pytestmark = pytest.mark.long

EACH = 500
"""Answers of one kind with one seed."""
SEEDS = [*range(2), *(pytest.param(seed, marks=pytest.mark.exhaustive) for seed in range(2, 20))]
OPTIONS = Options()
KINDS: dict[str, Any] = {
    "/workloads": Workload,
    "/workloads/{id}": Workload,
    "/workloads/{id}/protons": Proton,
    "/workloads/{id}/protons/{pid}/statusDetails": StatusDetails,
    "/workloads/{id}/events": Event,
    "/workloads/{id}/stats": Stats,
    "/workloads/{id}/history": Replacement,
    "/workloads/{id}/sharedRoles": SharedRole,
    "/quotas": Quota,
    "/workloads/stats": AggregateStats,
    "/account/info": AccountInfo,
    "/mlops/compute/bundles": ComputeBundle,
}


@pytest.fixture(scope="module")
def answers() -> dict[str, bytes]:
    """One answer of each route as the simulator gives it."""
    simulator = SimulatedApi(workloads=12, clock=lambda: START)

    def get(path: str, query: str = "") -> bytes:
        return simulator.respond("GET", f"/api/v2{path}", query, {"authorization": f"Bearer {simulator.token}"}).body

    (chosen, *_) = [each for each in json.loads(get("/workloads/"))["data"] if each["status"] == "running"]
    places = {"id": chosen["id"], "pid": chosen["protonId"]}
    queries = {"/quotas": f"resourceType=workload&resourceId={chosen['id']}"}
    slash = {"/workloads/{id}/protons/{pid}/statusDetails": ""}
    return {r: short(get(r.format(**places) + slash.get(r, "/"), queries.get(r, ""))) for r in KINDS}


def short(body: bytes) -> bytes:
    """A list of no more than two items."""
    value = json.loads(body)
    return json.dumps(value | {"data": value["data"][:2]} if isinstance(value.get("data"), list) else value).encode()


def decoded(route: str, body: bytes) -> list[Any]:
    kind = KINDS[route]
    try:
        if b'"data"' in body and route not in ("/workloads/stats",):
            return list(page(body, kind).items)
        return [one(body, kind).value]
    except NotDecodable:
        return []


def leaves(value: Any) -> list[Any]:
    """All numbers and texts of a decoded value."""
    if isinstance(value, dict):
        return [leaf for pair in value.items() for part in pair for leaf in leaves(part)]
    if isinstance(value, list | tuple):
        return [leaf for part in value for leaf in leaves(part)]
    return [value]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("route", KINDS)
def test_any_response_is_read_or_rejected_and_no_invalid_value_gets_through(
    answers: dict[str, bytes], route: str, seed: int
) -> None:
    random = Random(f"{route} {seed}")
    for _ in range(EACH * 20 // len(KINDS) // 2):
        for item in decoded(route, mutated(random, answers[route])):
            for leaf in leaves(msgspec.to_builtins(item)):
                if isinstance(leaf, str):
                    leaf.encode()  # no half of a character is left
                elif isinstance(leaf, float):
                    assert math.isfinite(leaf)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_read_of_broken_answers_can_be_counted_shown_and_explained(
    answers: dict[str, bytes], seed: int
) -> None:
    random = Random(f"shown {seed}")
    page_, parts = Exposition(FAMILIES), {"events": "/workloads/{id}/events"}
    state = WorkloadState("acme", decoded("/workloads", answers["/workloads"])[0])
    for turn in range(25):
        read = decoded("/workloads", mutated(random, answers["/workloads"]))
        state = state._replace(workload=msgspec.structs.replace(read[0], id="w") if read else state.workload)
        protons = tuple(decoded("/workloads/{id}/protons", mutated(random, answers["/workloads/{id}/protons"])))
        route = "/workloads/{id}/protons/{pid}/statusDetails"
        snapshots = {each.id: next(iter(decoded(route, mutated(random, answers[route]))), None) for each in protons}
        now = START + 30.0 * turn
        state, _ = received(state, "pods", Pods(protons, snapshots), now)
        for part, of in parts.items():
            state, _ = received(state, part, tuple(decoded(of, mutated(random, answers[of]))), now)
        page_.update([state])
        page_.text().decode()
        text(diagnosis(state, now, OPTIONS)).encode()
        fleet_table([], OPTIONS, now)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_words_of_any_error_body_are_one_short_line(seed: int) -> None:
    random = Random(f"errors {seed}")
    bodies = [
        b'{"detail": [{"loc": ["query", "limit"], "msg": "must be at most 100", "type": "t"}]}',
        b'{"message": "Invalid API key"}',
        b'{"detail": ["a", "b"], "error": {"code": 5}}',
        b"<html><style>x</style><body><h1>502 Bad Gateway</h1></body></html>",
    ]
    for _ in range(EACH):
        words = detail(mutated(random, bodies[0]) if random.random() < 0.5 else mangled(random, random.choice(bodies)))
        words.encode()
        assert 0 < len(words) <= DETAIL_LENGTH
        assert words.isprintable() or "\\" in words or not any(c in words for c in "\n\r\t\x1b\x00")


class Fleet:
    """Twenty workloads whose states change before every sweep; `broken` breaks the list, `routes` the routes by id."""

    def __init__(self, random: Random) -> None:
        self.random, self.time = random, Time()
        self.truth = {f"w{number:02}": self.facts() for number in range(20)}
        self.body = b""
        self.report = Report(0.0)
        account = self.report.account("acme", 30.0, 10.0)
        clock = self.time.clock
        client = Client(
            "http://api.test/api/v2", lambda: "s3cret", account, rate=1e6, transport=httpx.MockTransport(self.answer),
            steady=clock.steady, pause=clock.pause,
        )  # fmt: skip
        self.monitor = AccountMonitor(AccountState(Snapshot("acme")), client, account, Plan(1e9), Clock(*clock[:3]))

    def facts(self) -> dict[str, Any]:
        status = self.random.choice(("running", "errored", "stopped", "failed", "launching"))
        return {"status": status, "name": "n", "importance": "critical", "requestStats": {"errorRate": 0.0}}

    def answer(self, request: httpx.Request) -> httpx.Response:
        i = request.url.path.rstrip("/").rpartition("/")[2]
        if i == "workloads":
            return httpx.Response(200, content=self.body)
        if i not in self.truth:
            return httpx.Response(404, content=b'{"detail": "Not Found"}')
        if self.random.random() < 0.3:
            return httpx.Response(400, content=mangled(self.random, b'{"detail": [{"loc": 5, "msg": "x"}]}'))
        return httpx.Response(200, content=json.dumps({"id": i, **self.truth[i]}).encode())

    def items(self) -> list[dict[str, Any]]:
        return [{"id": i, **facts} for i, facts in self.truth.items()]

    async def sweep(self) -> None:
        self.time.pass_(30.0)
        await self.monitor.sweep()

    def counted(self, name: str) -> float:
        found = [
            sample.value
            for family in self.report.registry.collect()
            for sample in family.samples
            if sample.name == f"datarobot_exporter_{name}"
        ]
        return sum(found)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_broken_item_is_what_it_really_is_or_is_marked_as_held_and_never_vanishes(seed: int) -> None:
    async def work() -> None:
        random = Random(f"items {seed}")
        fleet = Fleet(random)
        fleet.body = listed(*fleet.items())
        await fleet.sweep()
        for _ in range(EACH // 5):
            fleet.truth = {i: fleet.facts() for i in fleet.truth}
            items = fleet.items()
            for item in random.sample(items, random.randint(1, 3)):
                field = random.choice(("id", "status", "name", "importance", "requestStats", "tags"))
                odd = [value for value in NASTY if field in ("name", "tags") or not isinstance(value, str | int)]
                item[field] = random.choice(odd)
            fleet.body = listed(*items)
            await fleet.sweep()
            known = fleet.monitor.snapshot
            assert (known.failure, known.workloads.keys()) == ("", fleet.truth.keys())
            for i, state in known.workloads.items():
                if "$" not in state.held and "status" not in state.held:
                    shown = state.workload.status
                    assert shown == fleet.truth[i]["status"] or (shown is None and {"id": i}.items() <= nulls(items, i))
        await fleet.monitor.close()

    asyncio.run(work())


def nulls(items: list[dict[str, Any]], i: str) -> Any:
    """The item of a workload if its status was reported as null, which is a report that there is none."""
    return next((item.items() for item in items if item["id"] == i and item["status"] is None), {}.items())


@pytest.mark.parametrize("seed", SEEDS)
def test_every_sweep_ends_with_a_result_for_any_list(seed: int) -> None:
    async def work() -> None:
        random = Random(f"lists {seed}")
        fleet = Fleet(random)
        for number in range(1, EACH // 5 + 1):
            fleet.body = mutated(random, listed(*fleet.items()))
            before = fleet.monitor.snapshot.succeeded
            await fleet.sweep()
            known = fleet.monitor.snapshot
            assert known.attempted == fleet.time.wall
            assert fleet.counted("sweeps_total") == number
            assert fleet.counted("api_up") == (0 if known.failure else 1)
            assert known.succeeded == (before if known.failure else known.attempted)
            assert known.failure != "internal"
            assert all(models.folded(state.workload.status) for state in known.workloads.values())
        await fleet.monitor.close()

    asyncio.run(work())
