"""The simulated API: its stories by example, what is true of all stories, and each oddity over HTTP."""

import contextlib
import functools
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.simulator import Simulator
from exporter.simulator.incidents import ALL_STORIES
from exporter.simulator.oddities import ODDITIES
from exporter.simulator.request import ErrorResponse, SimulatedRequest, stamp
from exporter.simulator.routes import ROLES, ROUTES, routed
from exporter.simulator.stories import DRAFT_LIFETIME, STORIES
from exporter.simulator.world import World

START = 1_795_000_000.0
SCHEMAS = json.loads((Path(__file__).parent / "schemas.json").read_text())


def get_json(world: World, path: str, now: float, strict: bool = False, **query: str) -> Any:
    _, handler, ids = routed(path)
    return handler(SimulatedRequest(world, {k: [v] for k, v in query.items()}, now, "http://dr.test", strict), *ids)


def world(size: int = 60, speed: float = 1.0, seed: int = 7) -> World:
    return World(size, seed, speed, START)


def world_of_all_stories(speed: float = 1.0) -> World:
    return World(len(ALL_STORIES), 7, speed, START, ALL_STORIES)


def listed(made: World, now: float, strict: bool = False) -> dict[str, Any]:
    items: list[Any] = []
    while len(items) < len(made.listed(now)):
        page = get_json(made, "/workloads", now, strict, limit="100", offset=str(len(items)), serviceStats="true")
        items += page["data"]
    return {item["name"]: item for item in items}


def at(name: str) -> int:
    return next(n for n, story in enumerate(ALL_STORIES) if story.name == name)


@pytest.mark.parametrize("story", ALL_STORIES, ids=lambda story: story.name)
def test_each_story_runs_through_its_steps_and_repeats_unless_it_happens_once(story: Any) -> None:
    actor = world_of_all_stories().actor(at(story.name))
    if len(story.steps) == 1:
        assert actor.moment(START + 1e6).step is story.steps[0]
        return
    for turn in (0,) if story.once else (0, 1):
        for number, step in enumerate(story.steps):
            moment = actor.moment(actor.begin(turn, number) + step.seconds / 2)
            assert (moment.round, moment.step) == (turn, step)
            assert moment.since == pytest.approx(actor.begin(turn, number))
    if story.once:
        assert actor.moment(START + 1e6).step is story.steps[-1]


def test_a_crash_loop_is_reported_as_by_real_servers() -> None:
    made = world()
    now = made.actor(1).begin(0, 0) + 300
    item = listed(made, now)["crash-loop-1"]
    (proton,) = get_json(made, f"/workloads/{item['id']}/protons", now)["data"]
    (replica,) = get_json(made, f"/workloads/{item['id']}/protons/{proton['id']}/statusDetails", now)["replicas"]
    (container,) = replica["containers"]
    assert (item["status"], replica["status"], container["status"]) == ("errored", "running", "waiting")
    assert (container["reason"], container["restartCount"], container["ready"]) == ("CrashLoopBackOff", 7, False)
    assert (container["lastState"]["reason"], container["lastState"]["exitCode"]) == ("Error", 1)


def test_a_reverted_replacement_stays_running_and_only_an_event_reports_it() -> None:
    made, number = world(), at("reverted replacement")
    actor = made.actor(number)
    state = []
    for step in range(4):
        now = actor.begin(0, step) + 1
        item = listed(made, now)[actor.name]
        state.append((item["status"], (item["replacement"] or {}).get("status"), item["protonId"]))
    assert [values[:2] for values in state] == [
        ("running", None),
        ("running", "initializing"),
        ("running", "awaiting_promotion"),
        ("running", None),
    ]
    assert len({proton for *_, proton in state}) == 1
    events = get_json(made, f"/workloads/{actor.id(actor.moment(now))}/events", now)["data"]
    newest = max(events, key=lambda event: event["timestamp"])
    assert newest["eventType"] == "Replacement Errored"
    assert newest["details"]["protonStatuses"]


def test_a_replacement_swaps_the_protons_and_the_old_one_drains() -> None:
    made = world()
    actor = made.actor(at("replacement"))
    before = listed(made, actor.begin(0, 0) + 1)[actor.name]["protonId"]
    now = actor.begin(0, 4) + 1
    workload = listed(made, now)[actor.name]
    protons = {p["id"]: p for p in get_json(made, f"/workloads/{workload['id']}/protons", now)["data"]}
    assert protons[workload["protonId"]]["role"] == "active"
    assert (protons[before]["status"], "role" in protons[before]) == ("draining", False)


def test_a_proton_without_pod_report_returns_204() -> None:
    made = world()
    number = at("monitor frozen")
    workload = listed(made, START)[made.actor(number).name]
    with pytest.raises(ErrorResponse) as refused:
        get_json(made, f"/workloads/{workload['id']}/protons/{workload['protonId']}/statusDetails", START)
    assert refused.value.status == 204


def timestamps_in(text: str) -> list[float]:
    found = re.findall(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", text)
    return [datetime.fromisoformat(text).timestamp() for text in found]


class Observation(NamedTuple):
    """The responses of all routes of one workload at a moment. `protons` and `pods` are by id and name."""

    now: float
    item: dict[str, Any]
    protons: dict[str, dict[str, Any]]
    pods: dict[str, dict[str, Any]]
    records: list[dict[str, Any]]
    texts: list[str]


def observe(made: World, number: int, now: float) -> Observation:
    def part_of(part: str) -> Any:
        try:
            return get_json(made, f"{path}{part}", now)
        except ErrorResponse:  # no pods yet, no replacement, or not accessible
            return {}

    path = f"/workloads/{made.actor(number).id(made.actor(number).moment(now))}"
    item, protons = get_json(made, path, now), part_of("/protons").get("data", [])
    details = [part_of(f"/protons/{proton['id']}/statusDetails") for proton in protons]
    pods = {replica["name"]: replica for detail in details for replica in detail.get("replicas", ())}
    records = [item["replacement"], part_of("/replacement"), *part_of("/history").get("data", ())]
    texts = [json.dumps(each) for each in (item, protons, details, records, part_of("/events"), part_of("/related"))]
    return Observation(
        now, item, {each["id"]: each for each in protons}, pods, [each for each in records if each], texts
    )


@functools.cache
def observations(name: str, speed: float = 1.0) -> list[Observation]:
    """Three observations of each step of two rounds of a story, while the workload is listed."""
    made, number = world_of_all_stories(speed), at(name)
    actor, steps = made.actor(number), made.actor(number).story.steps
    moments = [
        actor.begin(turn, index) + part * (step.seconds or 3600) / speed
        for turn in ((0,) if actor.story.once else (0, 1))
        for index, step in enumerate(steps)
        if step.listed
        for part in (0.01, 0.5, 0.99)
    ]
    return [observe(made, number, now) for now in (moments if any(step.seconds for step in steps) else moments[:3])]


def history_of(state: list[Observation], part: str) -> dict[str, list[dict[str, Any]]]:
    """The successive reports about each proton, or each pod."""
    reports: dict[str, list[dict[str, Any]]] = {}
    for each in state:
        for name, thing in getattr(each, part).items():
            reports.setdefault(name, []).append(thing)
    return reports


each_story = pytest.mark.parametrize("name", [story.name for story in ALL_STORIES])


@each_story
def test_a_proton_was_created_once_and_not_before_its_workload(name: str) -> None:
    state = observations(name)
    for reports in history_of(state, "protons").values():
        assert len({proton["createdAt"] for proton in reports}) == 1
    for each in state:
        assert all(proton["createdAt"] >= each.item["createdAt"] for proton in each.protons.values())


@each_story
def test_runningsince_is_reported_while_a_proton_runs_and_does_not_change(name: str) -> None:
    for reports in history_of(observations(name), "protons").values():
        for proton in reports:
            assert (proton["runningSince"] is not None) == (proton["status"] in ("running", "draining"))
            assert proton["runningSince"] is None or proton["runningSince"] >= proton["createdAt"]
        runs = groupby(proton["runningSince"] for proton in reports)
        since = [began for began, _ in runs if began]
        assert since == sorted(set(since))
        for before, after in pairwise(reports):
            if before["runningSince"] and after["runningSince"]:
                assert before["runningSince"] == after["runningSince"]


@each_story
def test_a_pod_starts_once_and_its_conditions_have_the_time_of_their_last_change(name: str) -> None:
    for reports in history_of(observations(name), "pods").values():
        assert len({pod["startedAt"] for pod in reports}) == 1
        for pod in reports:
            times = [condition["lastTransitionTime"] for condition in pod["conditions"]]
            times += [container["startedAt"] for container in pod.get("containers", ())]
            assert all(pod["startedAt"] is None or time is None or time >= pod["startedAt"] for time in times)
        for before, after in pairwise(reports):
            for then, now in zip(before["conditions"], after["conditions"], strict=True):
                same = then["value"] == now["value"]
                assert (then["lastTransitionTime"] == now["lastTransitionTime"]) == same
            for then, now in zip(before.get("containers", ()), after.get("containers", ()), strict=True):
                if then["status"] == now["status"] and then["restartCount"] == now["restartCount"]:
                    assert (then["startedAt"], then["lastState"]) == (now["startedAt"], now["lastState"])


@each_story
def test_removed_pods_do_not_return(name: str) -> None:
    state = observations(name)
    for pod in history_of(state, "pods"):
        there = [there for there, _ in groupby(pod in each.pods for each in state)]
        assert there.count(True) == 1


@each_story
def test_all_routes_report_the_same_times_of_a_replacement(name: str) -> None:
    records: dict[str, list[dict[str, Any]]] = {}
    for each in observations(name):
        for record in each.records:
            records.setdefault(record["id"], []).append(record)
    for reports in records.values():
        assert len({(record["createdAt"], record["candidateArtifactId"]) for record in reports}) == 1
        assert len({record["switchedAt"] for record in reports} - {None}) <= 1
        for before, after in pairwise(reports):
            assert before["switchedAt"] in (None, after["switchedAt"])


@each_story
@pytest.mark.parametrize("speed", [1.0, 60.0])
def test_no_reported_time_is_in_the_future(name: str, speed: float) -> None:
    for each in observations(name, speed):
        assert max(time for text in each.texts for time in timestamps_in(text)) <= each.now + 1e-3


def at_steps(name: str, *places: tuple[int, int]) -> tuple[Any, list[Observation]]:
    """A workload, and observations of it one second after the given steps (round, index) started."""
    made = world_of_all_stories()
    actor = made.actor(at(name))
    return actor, [observe(made, actor.number, actor.begin(turn, index) + 1) for turn, index in places]


@pytest.mark.parametrize(("name", "came", "switched"), [("replacement", 1, 3), ("settings change", 1, 2)])
def test_a_candidate_keeps_its_id_when_it_starts_to_serve_and_runs_since_then(
    name: str, came: int, switched: int
) -> None:
    actor, state = at_steps(name, (0, came), (0, switched), (0, switched + 1), (1, 0), (1, switched + 1))
    candidate = next(key for key, proton in state[0].protons.items() if proton["role"] == "candidate")
    reports = [each.protons[candidate] for each in state]
    assert [proton.get("role") for proton in reports] == ["candidate", "active", "active", "active", None]
    assert {proton["createdAt"] for proton in reports} == {stamp(actor.begin(0, came))}
    assert reports[0]["runningSince"] is None
    assert {proton["runningSince"] for proton in reports[1:]} == {stamp(actor.begin(0, switched))}
    (record,) = (record for record in state[-1].records if candidate in record["candidateProtonIds"])
    assert record["createdAt"] == stamp(actor.begin(0, came))
    assert record["switchedAt"] == stamp(actor.begin(0, switched))


def test_a_failed_replacement_was_never_switched() -> None:
    _, (state,) = at_steps("reverted replacement", (0, 3))
    assert {record["switchedAt"] for record in state.records} == {None}


@pytest.mark.parametrize(
    ("name", "place", "began"),
    [
        ("healthy", (0, 0), None),
        ("access lost", (0, 0), None),
        ("stop and start", (0, 0), (-1, 6)),
        ("stop and start", (0, 6), (0, 6)),
        ("start of 14 minutes", (1, 3), (1, 3)),
        ("slow start", (1, 4), (1, 4)),
        ("interrupted", (0, 0), (0, 0)),
        ("interrupted", (1, 0), (1, 0)),
        ("replacement", (0, 0), (-1, 3)),
        ("promoted", (0, 1), (0, 0)),
    ],
)
def test_runningsince_is_the_last_start_or_the_creation_of_the_workload(
    name: str, place: tuple[int, int], began: tuple[int, int] | None
) -> None:
    actor, (state,) = at_steps(name, place)
    since = state.protons[state.item["protonId"]]["runningSince"]
    assert since == (stamp(actor.begin(*began)) if began else state.item["createdAt"])


def test_a_start_creates_new_pods_and_a_stop_keeps_them_listed() -> None:
    actor, (runs, stopped, starts, again) = at_steps("start of 14 minutes", (0, 3), (0, 5), (1, 1), (1, 3))
    assert [len(each.protons) for each in (runs, stopped, starts, again)] == [1, 1, 1, 1]
    assert runs.protons.keys() == again.protons.keys()
    assert runs.pods.keys() == stopped.pods.keys() != starts.pods.keys() == again.pods.keys()
    (pod,) = again.pods.values()
    times = {condition["type"]: condition["lastTransitionTime"] for condition in pod["conditions"]}
    assert pod["startedAt"] == times["PodScheduled"] == stamp(actor.begin(1, 1))
    assert pod["containers"][0]["startedAt"] == times["Ready"] == stamp(actor.begin(1, 3))


def test_the_last_response_is_before_the_stop_regardless_of_its_duration() -> None:
    actor, state = at_steps("stop and start", (1, 1), (1, 2), (1, 3), (1, 4), (1, 5))
    assert {each.item["lastResponse"] for each in state} == {stamp(actor.begin(1, 1))}


@pytest.mark.parametrize("speed", [1.0, 60.0])
def test_a_draft_is_stopped_eight_hours_after_it_started_running(speed: float) -> None:
    made, number = world(speed=speed), at("draft about to end")
    for turn in (0, 1):
        stop = made.actor(number).begin(turn, 1)
        (proton,) = observe(made, number, stop - 1).protons.values()
        assert proton["runningSince"] == stamp(stop - DRAFT_LIFETIME)


def test_a_larger_fleet_has_the_same_first_workloads() -> None:
    small, large = world(30), world(500)
    for number in range(30):
        assert small.actor(number).id(small.actor(number).moment(START)) == large.actor(number).id(
            large.actor(number).moment(START)
        )
    assert world(seed=8).actor(0).id(world(seed=8).actor(0).moment(START)) != small.actor(0).id(
        small.actor(0).moment(START)
    )


def test_the_first_workloads_cover_every_story() -> None:
    size = len(STORIES)
    assert {world(size).actor(number).story.name for number in range(size)} == {story.name for story in STORIES}


@given(st.integers(0, 59), st.lists(st.floats(-1e5, 1e6), min_size=3, max_size=3))
def test_counts_of_adjacent_windows_add_up(number: int, moments: list[float]) -> None:
    made = world()
    a, b, c = sorted(START + moment for moment in moments)
    until = made.actor(number).requests_until
    assert (until(b) - until(a)) + (until(c) - until(b)) == until(c) - until(a)
    assert until(b) >= until(a)


def test_the_list_is_in_order_of_creation_and_can_be_filtered() -> None:
    made = world()
    created = [item["createdAt"] for item in listed(made, START).values()]
    assert created == sorted(created)
    running = get_json(made, "/workloads", START, limit="100", status="errored")["data"]
    assert running
    assert {item["status"] for item in running} == {"errored"}
    assert get_json(made, "/workloads", START, search="crash")["totalCount"] >= 1


@pytest.mark.parametrize(("query", "place"), [({"limit": "101"}, "limit"), ({"offset": "-1"}, "offset")])
def test_invalid_paging_returns_422(query: dict[str, Any], place: str) -> None:
    with pytest.raises(ErrorResponse) as refused:
        get_json(world(), "/workloads", START, **query)
    assert refused.value.status == 422
    assert (refused.value.body or {})["detail"][0]["loc"] == ["query", place]


def check(schema: str, item: dict[str, Any]) -> None:
    assert set(item) <= set(SCHEMAS[schema]["keys"]), (schema, set(item) - set(SCHEMAS[schema]["keys"]))
    assert set(SCHEMAS[schema]["required"]) <= set(item), (schema, set(SCHEMAS[schema]["required"]) - set(item))


def test_strict_responses_have_exactly_the_keys_and_values_of_the_published_description() -> None:
    made = world(200)
    for now in (START, START + 1500, START + 9000):
        check("List", get_json(made, "/workloads", now, strict=True))
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
            check("RequestMetrics", get_json(made, f"{path}/stats", now, strict=True)["metrics"])
            for event in get_json(made, f"{path}/events", now, strict=True)["data"]:
                check("WorkloadEvent", event)
            for record in get_json(made, f"{path}/history", now, strict=True)["data"]:
                check("Replacement", record)
            for proton in get_json(made, f"{path}/protons", now, strict=True)["data"]:
                check("ProtonFormatted", proton)
                check_pods(made, f"{path}/protons/{proton['id']}/statusDetails", now)


def check_pods(made: World, path: str, now: float) -> None:
    reported = False
    with contextlib.suppress(ErrorResponse):  # 204: there is no pod report yet
        details = get_json(made, path, now, strict=True)
        reported = True
    for replica in details["replicas"] if reported else ():
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


def test_every_route_responds_over_http(simulator: Simulator) -> None:
    workload = get(simulator, "/workloads/", limit="2").json()["data"][0]
    for template, _ in ROUTES:
        path = template.replace("{id}", workload["id"]).replace("{pid}", workload["protonId"])
        response = get(simulator, path.replace("{metric}", "totalRequests"))
        assert response.status_code == (404 if template.endswith("/replacement") else 200), template


def test_a_wrong_token_returns_401(simulator: Simulator) -> None:
    response = get(simulator, "/workloads", token="wrong")
    assert (response.status_code, response.json()) == (401, {"message": "Invalid API key"})


def test_methods_other_than_get_are_counted_and_refused() -> None:
    with Simulator(workloads=10) as simulator:
        response = httpx.delete(f"{simulator.url}/api/v2/workloads/x/stats", trust_env=False)
        assert (response.status_code, simulator.non_get_requests) == (405, 1)


def test_the_landing_page_says_that_it_is_a_simulation(simulator: Simulator) -> None:
    text = httpx.get(simulator.url, trust_env=False).text
    assert text.startswith("A SIMULATION")
    assert "crash-loop-1" in text


def state(response: httpx.Response, dated: bool) -> str:
    headers = sorted((name, value) for name, value in response.headers.items() if dated or name != "date")
    return f"{response.status_code} {headers} {response.text}"


LONG = {"slow", "hanging", "huge", "cut"}
ELSEWHERE = {
    "old-events": "/workloads/{id}/events",
    "conditions-met-since": "/workloads/{id}/protons/{pid}/statusDetails",
    "no-roles": "/workloads/{id}/protons",
    "mean-response-time": "/workloads/{id}/stats",
    "millicores": "/otel/workload/{id}/metrics/autocollectedValues",
    "all-active": "/workloads/stats/",
    "replica-limit": "/account/info",
    "plain-event-ids": "/workloads/{id}/events",
    "restarted": "/workloads/{id}/protons",
    "never-restarted": "/workloads/{id}/protons",
    "heartbeat": "/workloads/{id}/protons/{pid}/statusDetails",
}


@pytest.mark.parametrize("name", [name for name in ODDITIES if name not in LONG])
def test_each_oddity_changes_a_response(simulator: Simulator, name: str) -> None:
    actor = simulator.world.actor(at("replacement") if name in ("old-events", "plain-event-ids") else 0)
    moment = actor.moment(START)
    path = ELSEWHERE.get(name, "/workloads" if name in ("slash-required", "slash-redirect") else "/workloads/")
    path = path.replace("{id}", actor.id(moment)).replace("{pid}", actor.proton(moment))
    params = {"offset": "2", "limit": "20", "serviceStats": "true"} if path == "/workloads/" else {}
    params |= {"responseTimeQuantile": "0.9"} if path.endswith("/stats") and name in ELSEWHERE else {}
    dated = name == "clock-skew"
    before = state(get(simulator, path, **params), dated)
    simulator.odd = {name}
    assert state(get(simulator, path, **params), dated) != before


def test_an_oddity_can_apply_to_one_route(simulator: Simulator) -> None:
    simulator.odd = {"unavailable@/account/info"}
    assert (get(simulator, "/account/info/").status_code, get(simulator, "/version/").status_code) == (503, 200)


def test_an_oddity_can_apply_to_one_object(simulator: Simulator) -> None:
    odd, other = (simulator.world.actor(number).id(simulator.world.actor(number).moment(START)) for number in (0, 1))
    simulator.odd = {f"unavailable-seconds@/workloads/{odd}/events"}
    refused = get(simulator, f"/workloads/{odd}/events/")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "300")
    assert get(simulator, f"/workloads/{other}/events/").status_code == 200


STATUS_DETAILS = "/workloads/{id}/protons/{pid}/statusDetails"


def details(simulator: Simulator, story: str) -> dict[str, int]:
    """Status codes of statusDetails of all protons of a workload, by role."""
    actor = simulator.world.actor(at(story))
    moment = actor.moment(simulator.clock())
    return {
        ROLES[found.ahead]: get(simulator, f"/workloads/{actor.id(moment)}/protons/{proton}/statusDetails").status_code
        for proton, found in actor.protons_at(moment).items()
    }


def test_an_oddity_can_apply_to_the_protons_of_one_role(simulator: Simulator) -> None:
    actor = simulator.world.actor(at("replacement"))
    begin = actor.begin(1, 4)  # one proton is draining
    simulator.clock = lambda: begin + 60
    try:
        assert details(simulator, "replacement") == {"active": 200, "outgoing": 200}
        simulator.odd = {f"error-text@{STATUS_DETAILS}#outgoing", f"forbidden@{STATUS_DETAILS}#candidate"}
        assert details(simulator, "replacement") == {"active": 200, "outgoing": 500}
        assert get(simulator, f"/workloads/{actor.id(actor.moment(begin + 60))}/protons/").status_code == 200
    finally:
        simulator.clock = lambda: START


@pytest.mark.parametrize(
    ("step", "expected"), [(0, {"active": 200}), (2, {"active": 500, "outgoing": 200}), (3, {"active": 500})]
)
def test_a_step_of_a_story_can_have_its_own_oddities(step: int, expected: dict[str, int]) -> None:
    with Simulator(workloads=len(STORIES), clock=lambda: START) as simulator:
        begin = simulator.world.actor(at("serving unreadable")).begin(1, step)
        simulator.clock = lambda: begin + 60
        assert details(simulator, "serving unreadable") == expected
        assert details(simulator, "healthy") == {"active": 200}


def test_the_oddities_of_stories_exist() -> None:
    routes = {template for template, _ in ROUTES}
    for story in ALL_STORIES:
        for step in story.steps:
            for odd in step.odd:
                name, _, place = odd.partition("@")
                assert name in ODDITIES
                assert place.partition("#")[0] in routes


@pytest.mark.parametrize("ahead", [300.0, -300.0])
def test_the_clock_of_the_api_can_differ_from_that_of_the_client(simulator: Simulator, ahead: float) -> None:
    number = at("reverted replacement")
    actor = simulator.world.actor(number)
    workload, ended = actor.id(actor.moment(START)), actor.begin(1, 3)
    window = {"startTime": stamp(START - 3600 + ahead), "endTime": stamp(START + ahead)}
    simulator.clock = lambda: ended + 60
    paths = [f"/workloads/{workload}/{part}" for part in ("", "protons", "history", "stats")]
    equal = [get(simulator, path, startTime=stamp(START - 3600), endTime=stamp(START)) for path in paths]
    try:
        simulator.ahead = ahead
        for path, same in zip(paths, equal, strict=True):
            moved = get(simulator, path, **window)
            assert timestamps_in(moved.text) == [pytest.approx(each + ahead) for each in timestamps_in(same.text)]
        date = parsedate_to_datetime(moved.headers["date"]).timestamp()
        assert date == pytest.approx(ended + 60 + ahead, abs=1)
    finally:
        simulator.ahead, simulator.clock = 0.0, lambda: START


@pytest.mark.parametrize(
    ("name", "step"), [("candidate crashes", 3), ("replacement without an end", 1)], ids=["new id", "same id"]
)
def test_the_id_of_an_event_contains_the_time_at_which_its_record_was_created(name: str, step: int) -> None:
    made = world_of_all_stories()
    actor = made.actor(at(name))
    workload, now = actor.id(actor.moment(START)), actor.begin(0, len(actor.story.steps) - 1) + 60
    (event,) = get_json(made, f"/workloads/{workload}/events", now)["data"]
    assert int(event["id"][:8], 16) == int(actor.begin(0, step))


def test_an_unknown_oddity_is_an_error(simulator: Simulator) -> None:
    with pytest.raises(ValueError, match=r"Unknown oddity 'odd'\. Oddities: "):
        simulator.odd = {"odd"}


def test_a_connection_can_be_closed_in_the_middle_of_a_response(simulator: Simulator) -> None:
    simulator.odd = {"cut"}
    with pytest.raises(httpx.RemoteProtocolError):
        get(simulator, "/workloads/")


def test_the_simulator_command_serves_until_sigterm_and_exits_with_0() -> None:
    command = (sys.executable, "-m", "exporter.simulator", "--port=0", "--workloads=10")
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    assert child.stderr.readline().startswith("A SIMULATION at http://127.0.0.1:")
    child.stderr.readline()
    child.send_signal(signal.SIGTERM)
    status = child.wait(10)
    child.stderr.close()
    assert status == 0


def test_a_link_to_the_console_leads_to_a_page_that_says_what_it_is() -> None:
    with Simulator(workloads=1, explained=lambda workload: f"<b>{workload}</b>: crashed") as simulator:
        for place, words in (("overview", "the overview of this workload"), ("activity-log/otel-logs", "the log")):
            page = httpx.get(f"{simulator.url}/console-nextgen/workloads/a%3Cb/{place}", trust_env=False)
            assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
            for text in (
                "a simulation, not DataRobot",
                words,
                "explain a&lt;b</code>",
                "&lt;b&gt;a&lt;b&lt;/b&gt;: crashed",
            ):
                assert text in page.text
        for path in ("/console-nextgen/workloads/", "/console-nextgen/workloads/w1/absent"):
            assert httpx.get(f"{simulator.url}{path}", trust_env=False).status_code == 404
    with Simulator(workloads=1) as alone:
        page = httpx.get(f"{alone.url}/console-nextgen/workloads/w1/overview", trust_env=False)
        assert ("<pre>" in page.text, "explain w1</code> shows is what the exporter knows of it" in page.text) == (
            False,
            True,
        )
