"""The simulated API: its stories by example, its laws, and every oddity over real HTTP."""

import contextlib
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.simulator import Simulator
from exporter.simulator.answers import ROUTES, Asked, Refused, routed
from exporter.simulator.oddities import ODDITIES
from exporter.simulator.stories import STORIES
from exporter.simulator.world import World

START = 1_795_000_000.0
SCHEMAS = json.loads((Path(__file__).parent / "schemas.json").read_text())


def ask(world: World, path: str, now: float, strict: bool = False, **query: str) -> Any:
    _, handler, ids = routed(path)
    return handler(Asked(world, {k: [v] for k, v in query.items()}, now, "http://dr.test", strict), *ids)


def world(size: int = 60, speed: float = 1.0, seed: int = 7) -> World:
    return World(size, seed, speed, START)


def listed(made: World, now: float, strict: bool = False) -> dict[str, Any]:
    items: list[Any] = []
    while len(items) < len(made.listed(now)):
        page = ask(made, "/workloads", now, strict, limit="100", offset=str(len(items)), serviceStats="true")
        items += page["data"]
    return {item["name"]: item for item in items}


def at(name: str) -> int:
    return next(n for n, story in enumerate(STORIES) if story.name == name)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_each_story_goes_through_its_steps_and_begins_again(story: Any) -> None:
    actor = world(speed=1.0).actor(at(story.name))
    if len(story.steps) == 1:
        assert actor.moment(START + 1e6).step is story.steps[0]
        return
    for turn in (0, 1):
        for number, step in enumerate(story.steps):
            told = actor.moment(actor.begin(turn, number) + step.seconds / 2)
            assert (told.round, told.step) == (turn, step)
            assert told.since == pytest.approx(actor.begin(turn, number))


def test_a_crash_loop_shows_as_real_servers_show_it() -> None:
    made = world()
    now = made.actor(1).begin(0, 0) + 300
    item = listed(made, now)["crash-loop-1"]
    (proton,) = ask(made, f"/workloads/{item['id']}/protons", now)["data"]
    (replica,) = ask(made, f"/workloads/{item['id']}/protons/{proton['id']}/statusDetails", now)["replicas"]
    (container,) = replica["containers"]
    assert (item["status"], replica["status"], container["status"]) == ("errored", "running", "waiting")
    assert (container["reason"], container["restartCount"], container["ready"]) == ("CrashLoopBackOff", 7, False)
    assert (container["lastState"]["reason"], container["lastState"]["exitCode"]) == ("Error", 1)


def test_a_reverted_replacement_never_leaves_running_and_only_an_event_tells() -> None:
    made, number = world(), at("reverted replacement")
    actor = made.actor(number)
    seen = []
    for step in range(4):
        now = actor.begin(0, step) + 1
        item = listed(made, now)[actor.name]
        seen.append((item["status"], (item["replacement"] or {}).get("status"), item["protonId"]))
    assert [told[:2] for told in seen] == [
        ("running", None),
        ("running", "initializing"),
        ("running", "awaiting_promotion"),
        ("running", None),
    ]
    assert len({proton for *_, proton in seen}) == 1
    events = ask(made, f"/workloads/{actor.id(actor.moment(now))}/events", now)["data"]
    newest = max(events, key=lambda event: event["timestamp"])
    assert newest["eventType"] == "Replacement Errored"
    assert newest["details"]["protonStatuses"]


def test_a_replacement_swaps_the_protons_and_the_old_one_drains() -> None:
    made = world()
    actor = made.actor(at("replacement"))
    before = listed(made, actor.begin(0, 0) + 1)[actor.name]["protonId"]
    now = actor.begin(0, 4) + 1
    workload = listed(made, now)[actor.name]
    protons = {p["id"]: p for p in ask(made, f"/workloads/{workload['id']}/protons", now)["data"]}
    assert protons[workload["protonId"]]["role"] == "active"
    assert (protons[before]["status"], "role" in protons[before]) == ("draining", False)


def test_a_proton_that_nobody_reported_on_answers_204() -> None:
    made = world()
    number = at("monitor frozen")
    workload = listed(made, START)[made.actor(number).name]
    with pytest.raises(Refused) as refused:
        ask(made, f"/workloads/{workload['id']}/protons/{workload['protonId']}/statusDetails", START)
    assert refused.value.status == 204


@pytest.mark.parametrize("speed", [1.0, 60.0])
def test_nothing_told_lies_in_the_future_and_a_draft_lives_eight_hours(speed: float) -> None:
    made = world(speed=speed)
    for now in (START, START + 100, START + 5000):
        text = json.dumps(list(listed(made, now).values()))
        for stamp in stamps_in(text):
            assert stamp <= now + 1e-3
    draft = made.actor(at("draft about to end"))
    assert draft.begin(0, 1) - draft.created(0) == pytest.approx(8 * 3600)


def stamps_in(text: str) -> list[float]:
    found = re.findall(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", text)
    return [datetime.fromisoformat(told).timestamp() for told in found]


def test_a_larger_fleet_has_the_same_first_workloads() -> None:
    small, large = world(30), world(500)
    for number in range(30):
        assert small.actor(number).id(small.actor(number).moment(START)) == large.actor(number).id(
            large.actor(number).moment(START)
        )
    assert world(seed=8).actor(0).id(world(seed=8).actor(0).moment(START)) != small.actor(0).id(
        small.actor(0).moment(START)
    )


def test_the_first_workloads_tell_every_story() -> None:
    size = len(STORIES)
    assert {world(size).actor(number).story.name for number in range(size)} == {story.name for story in STORIES}


@given(st.integers(0, 59), st.lists(st.floats(-1e5, 1e6), min_size=3, max_size=3))
def test_counts_of_adjacent_windows_add_up(number: int, moments: list[float]) -> None:
    made = world()
    a, b, c = sorted(START + moment for moment in moments)
    until = made.actor(number).requests_until
    assert (until(b) - until(a)) + (until(c) - until(b)) == until(c) - until(a)
    assert until(b) >= until(a)


def test_the_list_is_in_order_of_creation_and_filters_by_what_is_asked() -> None:
    made = world()
    created = [item["createdAt"] for item in listed(made, START).values()]
    assert created == sorted(created)
    running = ask(made, "/workloads", START, limit="100", status="errored")["data"]
    assert running
    assert {item["status"] for item in running} == {"errored"}
    assert ask(made, "/workloads", START, search="crash")["totalCount"] >= 1


@pytest.mark.parametrize(("query", "place"), [({"limit": "101"}, "limit"), ({"offset": "-1"}, "offset")])
def test_bad_paging_is_422(query: dict[str, Any], place: str) -> None:
    with pytest.raises(Refused) as refused:
        ask(world(), "/workloads", START, **query)
    assert refused.value.status == 422
    assert (refused.value.body or {})["detail"][0]["loc"] == ["query", place]


def check(schema: str, item: dict[str, Any]) -> None:
    assert set(item) <= set(SCHEMAS[schema]["keys"]), (schema, set(item) - set(SCHEMAS[schema]["keys"]))
    assert set(SCHEMAS[schema]["required"]) <= set(item), (schema, set(SCHEMAS[schema]["required"]) - set(item))


def test_strict_answers_have_the_keys_and_values_of_the_published_description_and_no_other() -> None:
    made = world(200)
    for now in (START, START + 1500, START + 9000):
        check("List", ask(made, "/workloads", now, strict=True))
        for item in listed(made, now, strict=True).values():
            check("WorkloadFormatted", item)
            assert item["status"] in SCHEMAS["ProtonStatus"]
            assert item.get("type", "service") in ("service", "nim")
            assert item.get("importance", "low") in ("critical", "high", "moderate", "low")
            if item["replacement"]:
                check("WorkloadReplacementFormatted", item["replacement"])
                assert item["replacement"]["status"] in SCHEMAS["ReplacementStatus"]
            for group in item["runtime"].get("containerGroups", ()):
                check("GroupRuntime", group)
                for policy in (group["autoscaling"] or {}).get("policies", ()):
                    check("AutoscalingPolicy", policy)
            path = f"/workloads/{item['id']}"
            if item["name"].startswith("consumer-only"):
                continue
            check("RequestMetrics", ask(made, f"{path}/stats", now, strict=True)["metrics"])
            for event in ask(made, f"{path}/events", now, strict=True)["data"]:
                check("WorkloadEvent", event)
            for record in ask(made, f"{path}/history", now, strict=True)["data"]:
                check("Replacement", record)
            for proton in ask(made, f"{path}/protons", now, strict=True)["data"]:
                check("ProtonFormatted", proton)
                check_pods(made, f"{path}/protons/{proton['id']}/statusDetails", now)


def check_pods(made: World, path: str, now: float) -> None:
    answered = False
    with contextlib.suppress(Refused):  # 204: nobody has reported yet
        details = ask(made, path, now, strict=True)
        answered = True
    for replica in details["replicas"] if answered else ():
        check("ReplicaDetail", replica)
        for condition in replica["conditions"]:
            check("ReplicaConditionDetail", condition)
        for container in replica["containers"]:
            check("ContainerStatusDetail", container)


@pytest.fixture(scope="module")
def shared() -> Iterator[Simulator]:
    with Simulator(workloads=30, clock=lambda: START) as simulator:
        yield simulator


@pytest.fixture
def simulator(shared: Simulator) -> Iterator[Simulator]:
    yield shared
    shared.odd = frozenset()


def get(simulator: Simulator, path: str, token: str = "demo-token", **params: str) -> httpx.Response:
    return httpx.get(
        f"{simulator.url}/api/v2{path}",
        params=params,
        headers={"authorization": f"Bearer {token}"},
        timeout=10,
        trust_env=False,
    )


def test_every_route_answers_over_http(simulator: Simulator) -> None:
    workload = get(simulator, "/workloads/", limit="2").json()["data"][0]
    for template, _ in ROUTES:
        path = template.replace("{id}", workload["id"]).replace("{pid}", workload["protonId"])
        answer = get(simulator, path.replace("{metric}", "totalRequests"))
        assert answer.status_code == (404 if template.endswith("/replacement") else 200), template


def test_a_wrong_token_is_refused_at_the_edge(simulator: Simulator) -> None:
    answer = get(simulator, "/workloads", token="wrong")
    assert (answer.status_code, answer.json()) == (401, {"message": "Invalid API key"})


def test_what_is_no_get_is_counted_and_refused() -> None:
    with Simulator(workloads=10) as simulator:
        answer = httpx.delete(f"{simulator.url}/api/v2/workloads/x/stats", trust_env=False)
        assert (answer.status_code, simulator.non_get_requests) == (405, 1)


def test_the_landing_page_says_that_it_is_a_simulation(simulator: Simulator) -> None:
    text = httpx.get(simulator.url, trust_env=False).text
    assert text.startswith("A SIMULATION")
    assert "crash-loop-1" in text


def seen(answer: httpx.Response, dated: bool) -> str:
    headers = sorted((name, value) for name, value in answer.headers.items() if dated or name != "date")
    return f"{answer.status_code} {headers} {answer.text}"


LONG = {"slow", "hanging", "huge", "cut"}
ELSEWHERE = {
    "old-events": "/workloads/{id}/events",
    "conditions-met-since": "/workloads/{id}/protons/{pid}/statusDetails",
    "no-roles": "/workloads/{id}/protons",
}


@pytest.mark.parametrize("name", [name for name in ODDITIES if name not in LONG])
def test_each_oddity_shows_in_an_answer(simulator: Simulator, name: str) -> None:
    actor = simulator.world.actor(at("replacement") if name == "old-events" else 0)
    moment = actor.moment(START)
    path = ELSEWHERE.get(name, "/workloads" if name in ("slash-required", "slash-redirect") else "/workloads/")
    path = path.replace("{id}", actor.id(moment)).replace("{pid}", actor.proton(moment))
    params = {"offset": "2", "limit": "20"} if path == "/workloads/" else {}
    dated = name == "clock-skew"
    before = seen(get(simulator, path, **params), dated)
    simulator.odd = {name}
    assert seen(get(simulator, path, **params), dated) != before


def test_an_oddity_may_hold_for_one_route(simulator: Simulator) -> None:
    simulator.odd = {"unavailable@/account/info"}
    assert (get(simulator, "/account/info/").status_code, get(simulator, "/version/").status_code) == (503, 200)


def test_an_oddity_that_does_not_exist_is_told(simulator: Simulator) -> None:
    with pytest.raises(ValueError, match="no oddity is called 'odd'; there are "):
        simulator.odd = {"odd"}


def test_a_connection_can_be_cut_midway(simulator: Simulator) -> None:
    simulator.odd = {"cut"}
    with pytest.raises(httpx.RemoteProtocolError):
        get(simulator, "/workloads/")


def test_the_simulator_stands_alone_and_ends_with_0() -> None:
    command = (sys.executable, "-m", "exporter.simulator", "--port=0", "--workloads=10")
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    assert child.stderr.readline().startswith("A SIMULATION at http://127.0.0.1:")
    child.stderr.readline()
    child.send_signal(signal.SIGTERM)
    status = child.wait(10)
    child.stderr.close()
    assert status == 0
