"""Damaged responses: only what is damaged is lost, all of it is counted, and nothing counts as healthier than before.

What must remain of a damaged response is what is read of the same response without the damaged values. Seeds are fixed
and in the names of the tests. `make test` tries some thousand bodies, `make test-all` a million more.
"""

import json
import time
from random import Random
from typing import Any, NamedTuple

import msgspec
import pytest

from exporter.api.decoding import REJECT_REASONS, NotDecodable, Reject, one, page
from exporter.api.details import (
    AccountInfo,
    AggregateStats,
    ComputeBundle,
    Event,
    LogRecord,
    OtelValue,
    Quota,
    SharedRole,
    Stats,
)
from exporter.api.models import Replacement, Workload
from exporter.api.pods import Proton, StatusDetails, overview
from exporter.simulator import SimulatedApi
from tests.damaged import TEXT, damaged, made
from tests.examples import payload
from tests.mutated import mangled, mutated

SHORT, LONG = 40, 2500
SEEDS = [(0, SHORT), *(pytest.param(seed, LONG, marks=pytest.mark.exhaustive) for seed in range(1, 6))]
SLOWEST_SECONDS = 1.0
"""CPU time for the slowest body; usual ones take a thousandth of it."""


class Shape(NamedTuple):
    """A response as servers send it, and its class; `listed`: it is a list."""

    value: Any
    kind: Any
    listed: bool


def listed(*items: Any) -> dict[str, Any]:
    return {"totalCount": len(items), "count": len(items), "next": None, "previous": None, "data": list(items)}


def pod(phase: str, *conditions: tuple[str, bool]) -> dict[str, Any]:
    """A pod that is not ready although its container is: only its phase or its conditions report it."""
    reported = [{"type": name, "value": value, "reason": "x"} for name, value in conditions]
    container = {"name": "main", "status": "running", "ready": True, "restartCount": 0}
    return {"name": phase, "status": phase, "conditions": reported, "containers": [container]}


UNREADY = [
    pod("running", ("PodScheduled", True), ("Ready", False)),
    pod("running", ("Ready", False)),
    pod("unknown"),
    pod("pending"),
    pod("failed"),
    pod("succeeded", ("Initialized", True)),
]


def examples() -> dict[str, Shape]:
    """Shapes of example responses."""
    found = {
        "workloads": Shape(listed(payload("P02"), payload("P05")), Workload, True),
        "flat runtime": Shape(listed(payload("P04"), payload("P03")), Workload, True),
        "statistics": Shape(payload("P18"), Stats, False),
        "totals": Shape(
            payload("P21")[1] if isinstance(payload("P21"), list) else payload("P21"), AggregateStats, False
        ),
        "events": Shape(payload("P22"), Event, True),
        "older events": Shape(payload("P23"), Event, True),
        "limits": Shape(payload("P24"), AccountInfo, False),
        "bundles": Shape(payload("P25"), ComputeBundle, True),
        "usage": Shape(payload("P26"), OtelValue, True),
        "log": Shape(payload("P27"), LogRecord, True),
        "quotas": Shape(payload("P29"), Quota, True),
        "history": Shape(payload("P32"), Replacement, True),
        "unready pods": Shape({"replicas": UNREADY}, StatusDetails, False),
    }
    for name in ("P08", "P09", "P10", "P11", "P12", "P13", "P14", "P15"):
        value = payload(name)
        if isinstance(value, dict) and "replicas" in value:
            found[f"pods {name}"] = Shape(value, StatusDetails, False)
    return found


def simulated() -> dict[str, Shape]:
    """Shapes of responses of the simulator."""
    simulator = SimulatedApi(workloads=12, clock=lambda: 1.8e9)

    def get(path: str) -> Any:
        headers = {"authorization": f"Bearer {simulator.token}"}
        return json.loads(simulator.respond("GET", f"/api/v2{path}", "", headers).body)

    workloads = get("/workloads/")
    chosen = next(each for each in workloads["data"] if each["status"] == "running")
    path = f"/workloads/{chosen['id']}"
    short = workloads | {"data": workloads["data"][:2]}
    return {
        "simulated workloads": Shape(short, Workload, True),
        "simulated workload": Shape(chosen, Workload, False),
        "simulated protons": Shape(get(f"{path}/protons/"), Proton, True),
        "simulated pods": Shape(get(f"{path}/protons/{chosen['protonId']}/statusDetails"), StatusDetails, False),
        "simulated grants": Shape(get(f"{path}/sharedRoles/"), SharedRole, True),
    }


SHAPES = examples() | simulated()
KINDS = sorted({(shape.kind, shape.listed) for shape in SHAPES.values()}, key=str)


class Read(NamedTuple):
    """What was read of a body: its items, and its rejects."""

    items: tuple[Any, ...]
    rejects: tuple[Reject, ...]


def read(body: bytes, kind: Any, is_list: bool) -> Read | None:
    """None: the body is rejected as a whole."""
    began = time.process_time()
    try:
        if is_list:
            items, rejects, *_ = page(body, kind)
            return Read(items, rejects)
        value, rejects = one(body, kind)
        return Read((value,), rejects)
    except NotDecodable:
        return None
    finally:
        assert time.process_time() - began < SLOWEST_SECONDS


def normal(value: Any) -> Any:
    """Plain values; a text with a replacement character counts as any other."""
    if isinstance(value, str):
        return TEXT if TEXT in value else value
    if isinstance(value, list | tuple):
        return [normal(each) for each in value]
    if isinstance(value, dict):
        return {key: normal(each) for key, each in value.items()}
    return value


def check(shape: Shape, random: Random) -> None:
    broken = damaged(random, shape.value, shape.kind, is_list=shape.listed)
    whole = read(json.dumps(shape.value).encode(), shape.kind, shape.listed)
    expected = read(broken.rest, shape.kind, shape.listed)
    found = read(broken.body, shape.kind, shape.listed)
    assert whole is not None
    of_id = "$.id" in broken.reasons  # then the item as a whole is lost, and counted
    if expected is None or (of_id and not shape.listed):
        return
    assert found is not None, broken.body
    # Nothing else is lost.
    kept = [each for each in normal(msgspec.to_builtins(found.items)) if each.get("id") != TEXT]
    wanted = [each for each in normal(msgspec.to_builtins(expected.items)) if each.get("id") != TEXT]
    assert kept == wanted, broken.body
    # What is lost is counted, where it is and why, and nothing that is not lost.
    lost = {(each.path, each.reason) for each in found.rejects}
    before = {(each.path, each.reason) for each in whole.rejects}
    damage = {(place, reason) for place, reasons in broken.reasons.items() for reason in reasons}
    assert of_id or damage <= lost, (damage, lost, broken.body)
    assert lost - before - damage <= ({("$.id", "missing"), ("$.id", "type")} if of_id else set()), (lost, broken.body)
    # Nothing is healthier than it was.
    if shape.kind is StatusDetails and not broken.changed:
        assert overview(found.items[0]).ready <= overview(whole.items[0]).ready, broken.body


@pytest.mark.parametrize(("seed", "count"), SEEDS)
@pytest.mark.parametrize("name", SHAPES)
def test_a_damaged_value_of_a_response_loses_only_itself(name: str, seed: int, count: int) -> None:
    random = Random(f"{name} {seed}")
    for _ in range(count):
        check(SHAPES[name], random)


@pytest.mark.parametrize(("seed", "count"), SEEDS)
@pytest.mark.parametrize(("kind", "is_list"), KINDS)
def test_a_damaged_value_of_a_made_response_loses_only_itself(kind: Any, is_list: bool, seed: int, count: int) -> None:
    random = Random(f"{kind.__name__} {seed}")
    for _ in range(count // 2):
        value = listed(*(made(random, kind) for _ in range(2))) if is_list else made(random, kind)
        check(Shape(value, kind, is_list), random)


@pytest.mark.parametrize(("seed", "count"), SEEDS)
@pytest.mark.parametrize(("kind", "is_list"), KINDS)
def test_a_tolerant_parser_reads_of_a_valid_response_what_a_strict_one_does(
    kind: Any, is_list: bool, seed: int, count: int
) -> None:
    random = Random(f"{kind.__name__} {seed}")
    for _ in range(count // 2):
        value = listed(*(made(random, kind) for _ in range(2))) if is_list else made(random, kind)
        strict = read(json.dumps(value).encode(), kind, is_list)
        for unread in (b"NaN", b"nil"):
            body = json.dumps(value | {"unread": "~"}).encode().replace(b'"~"', unread)
            assert read(body, kind, is_list) == strict, body


@pytest.mark.parametrize(("seed", "count"), SEEDS)
@pytest.mark.parametrize("name", SHAPES)
def test_a_cut_or_mangled_response_is_rejected_or_read(name: str, seed: int, count: int) -> None:
    random = Random(f"mangled {name} {seed}")
    shape = SHAPES[name]
    body = json.dumps(shape.value).encode()
    for _ in range(count):
        assert read(body[: random.randrange(1, len(body))], shape.kind, shape.listed) is None
        found = read(random.choice((mangled, mutated))(random, body), shape.kind, shape.listed)
        for reject in found.rejects if found is not None else ():
            assert reject.reason in REJECT_REASONS
            assert "[0]" not in reject.path
