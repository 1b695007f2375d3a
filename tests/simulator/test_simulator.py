"""The simulated API: its stories by example, its laws, and every oddity over real HTTP."""

import contextlib
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.simulator import Simulator
from exporter.simulator.answers import ROUTES, Asked, Refused, routed, stamp
from exporter.simulator.oddities import ODDITIES
from exporter.simulator.stories import DRAFT_LIFETIME, STORIES
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
    state = []
    for step in range(4):
        now = actor.begin(0, step) + 1
        item = listed(made, now)[actor.name]
        state.append((item["status"], (item["replacement"] or {}).get("status"), item["protonId"]))
    assert [told[:2] for told in state] == [
        ("running", None),
        ("running", "initializing"),
        ("running", "awaiting_promotion"),
        ("running", None),
    ]
    assert len({proton for *_, proton in state}) == 1
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


def stamps_in(text: str) -> list[float]:
    found = re.findall(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", text)
    return [datetime.fromisoformat(told).timestamp() for told in found]


class EvaluationContext(NamedTuple):
    """What a reader saw of one workload at a moment: all that its routes tell, and of pods what each proton's tells."""

    now: float
    item: dict[str, Any]
    protons: dict[str, dict[str, Any]]
    pods: dict[str, dict[str, Any]]
    records: list[dict[str, Any]]
    texts: list[str]


def look(made: World, number: int, now: float) -> EvaluationContext:
    def asked(part: str) -> Any:
        try:
            return ask(made, f"{path}{part}", now)
        except Refused:  # no pods yet, no replacement, or not for this token
            return {}

    path = f"/workloads/{made.actor(number).id(made.actor(number).moment(now))}"
    item, protons = ask(made, path, now), asked("/protons").get("data", [])
    details = [asked(f"/protons/{proton['id']}/statusDetails") for proton in protons]
    pods = {replica["name"]: replica for detail in details for replica in detail.get("replicas", ())}
    records = [item["replacement"], asked("/replacement"), *asked("/history").get("data", ())]
    texts = [json.dumps(told) for told in (item, protons, details, records, asked("/events"), asked("/related"))]
    return EvaluationContext(
        now, item, {each["id"]: each for each in protons}, pods, [each for each in records if each], texts
    )


def looks(name: str, speed: float = 1.0) -> list[EvaluationContext]:
    """Three looks at each step of two rounds of a story, where it may be looked at."""
    made, number = world(speed=speed), at(name)
    actor, steps = made.actor(number), made.actor(number).story.steps
    moments = [
        actor.begin(turn, index) + part * (step.seconds or 3600) / speed
        for turn in (0, 1)
        for index, step in enumerate(steps)
        if step.listed
        for part in (0.01, 0.5, 0.99)
    ]
    return [look(made, number, now) for now in (moments if any(step.seconds for step in steps) else moments[:3])]


def told_of(state: list[EvaluationContext], part: str) -> dict[str, list[dict[str, Any]]]:
    """What each proton, or pod, told of itself from one look to the next."""
    told: dict[str, list[dict[str, Any]]] = {}
    for each in state:
        for name, thing in getattr(each, part).items():
            told.setdefault(name, []).append(thing)
    return told


each_story = pytest.mark.parametrize("name", [story.name for story in STORIES])


@each_story
def test_a_proton_was_created_once_and_not_before_its_workload(name: str) -> None:
    state = looks(name)
    for told in told_of(state, "protons").values():
        assert len({proton["createdAt"] for proton in told}) == 1
    for each in state:
        assert all(proton["createdAt"] >= each.item["createdAt"] for proton in each.protons.values())


@each_story
def test_a_proton_tells_since_when_it_runs_while_it_does_and_the_same_until_it_stops(name: str) -> None:
    for told in told_of(looks(name), "protons").values():
        for proton in told:
            assert (proton["runningSince"] is not None) == (proton["status"] in ("running", "draining"))
            assert proton["runningSince"] is None or proton["runningSince"] >= proton["createdAt"]
        runs = groupby(proton["runningSince"] for proton in told)
        since = [began for began, _ in runs if began]
        assert since == sorted(set(since))
        for before, after in pairwise(told):
            if before["runningSince"] and after["runningSince"]:
                assert before["runningSince"] == after["runningSince"]


@each_story
def test_a_pod_started_once_and_tells_when_the_truth_about_it_last_changed(name: str) -> None:
    for told in told_of(looks(name), "pods").values():
        assert len({pod["startedAt"] for pod in told}) == 1
        for pod in told:
            times = [condition["lastTransitionTime"] for condition in pod["conditions"]]
            times += [container["startedAt"] for container in pod.get("containers", ())]
            assert all(pod["startedAt"] is None or time is None or time >= pod["startedAt"] for time in times)
        for before, after in pairwise(told):
            for then, now in zip(before["conditions"], after["conditions"], strict=True):
                same = then["value"] == now["value"]
                assert (then["lastTransitionTime"] == now["lastTransitionTime"]) == same
            for then, now in zip(before.get("containers", ()), after.get("containers", ()), strict=True):
                if then["status"] == now["status"] and then["restartCount"] == now["restartCount"]:
                    assert (then["startedAt"], then["lastState"]) == (now["startedAt"], now["lastState"])


@each_story
def test_pods_that_are_gone_do_not_come_back(name: str) -> None:
    state = looks(name)
    for pod in told_of(state, "pods"):
        there = [there for there, _ in groupby(pod in each.pods for each in state)]
        assert there.count(True) == 1


@each_story
def test_a_replacement_tells_the_same_times_wherever_it_is_told(name: str) -> None:
    records: dict[str, list[dict[str, Any]]] = {}
    for each in looks(name):
        for record in each.records:
            records.setdefault(record["id"], []).append(record)
    for told in records.values():
        assert len({(record["createdAt"], record["candidateArtifactId"]) for record in told}) == 1
        assert len({record["switchedAt"] for record in told} - {None}) <= 1
        for before, after in pairwise(told):
            assert before["switchedAt"] in (None, after["switchedAt"])


@each_story
@pytest.mark.parametrize("speed", [1.0, 60.0])
def test_no_time_lies_in_the_future_of_its_reader(name: str, speed: float) -> None:
    for each in looks(name, speed):
        assert max(time for text in each.texts for time in stamps_in(text)) <= each.now + 1e-3


def at_steps(name: str, *places: tuple[int, int]) -> tuple[Any, list[EvaluationContext]]:
    """A workload, and a look at it shortly after a step of a round began."""
    made = world()
    actor = made.actor(at(name))
    return actor, [look(made, actor.number, actor.begin(turn, index) + 1) for turn, index in places]


@pytest.mark.parametrize(("name", "came", "switched"), [("replacement", 1, 3), ("settings change", 1, 2)])
def test_a_candidate_stays_itself_when_it_comes_to_serve_and_runs_from_then_on(
    name: str, came: int, switched: int
) -> None:
    actor, state = at_steps(name, (0, came), (0, switched), (0, switched + 1), (1, 0), (1, switched + 1))
    candidate = next(key for key, proton in state[0].protons.items() if proton["role"] == "candidate")
    told = [each.protons[candidate] for each in state]
    assert [proton.get("role") for proton in told] == ["candidate", "active", "active", "active", None]
    assert {proton["createdAt"] for proton in told} == {stamp(actor.begin(0, came))}
    assert told[0]["runningSince"] is None
    assert {proton["runningSince"] for proton in told[1:]} == {stamp(actor.begin(0, switched))}
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
def test_a_proton_runs_since_its_last_start_or_since_its_workload_was_created(
    name: str, place: tuple[int, int], began: tuple[int, int] | None
) -> None:
    actor, (state,) = at_steps(name, place)
    since = state.protons[state.item["protonId"]]["runningSince"]
    assert since == (stamp(actor.begin(*began)) if began else state.item["createdAt"])


def test_a_start_brings_new_pods_and_a_stop_leaves_them_listed() -> None:
    actor, (runs, stopped, starts, again) = at_steps("start of 14 minutes", (0, 3), (0, 5), (1, 1), (1, 3))
    assert [len(each.protons) for each in (runs, stopped, starts, again)] == [1, 1, 1, 1]
    assert runs.protons.keys() == again.protons.keys()
    assert runs.pods.keys() == stopped.pods.keys() != starts.pods.keys() == again.pods.keys()
    (pod,) = again.pods.values()
    times = {condition["type"]: condition["lastTransitionTime"] for condition in pod["conditions"]}
    assert pod["startedAt"] == times["PodScheduled"] == stamp(actor.begin(1, 1))
    assert pod["containers"][0]["startedAt"] == times["Ready"] == stamp(actor.begin(1, 3))


def test_the_last_response_came_before_the_stop_however_long_that_lasts() -> None:
    actor, state = at_steps("stop and start", (1, 1), (1, 2), (1, 3), (1, 4), (1, 5))
    assert {each.item["lastResponse"] for each in state} == {stamp(actor.begin(1, 1))}


@pytest.mark.parametrize("speed", [1.0, 60.0])
def test_a_draft_is_stopped_eight_hours_after_it_began_to_run(speed: float) -> None:
    made, number = world(speed=speed), at("draft about to end")
    for turn in (0, 1):
        stop = made.actor(number).begin(turn, 1)
        (proton,) = look(made, number, stop - 1).protons.values()
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


def state(answer: httpx.Response, dated: bool) -> str:
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
    before = state(get(simulator, path, **params), dated)
    simulator.odd = {name}
    assert state(get(simulator, path, **params), dated) != before


def test_an_oddity_may_hold_for_one_route(simulator: Simulator) -> None:
    simulator.odd = {"unavailable@/account/info"}
    assert (get(simulator, "/account/info/").status_code, get(simulator, "/version/").status_code) == (503, 200)


def test_an_oddity_may_hold_for_one_object(simulator: Simulator) -> None:
    odd, other = (simulator.world.actor(number).id(simulator.world.actor(number).moment(START)) for number in (0, 1))
    simulator.odd = {f"unavailable-seconds@/workloads/{odd}/events"}
    refused = get(simulator, f"/workloads/{odd}/events/")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "300")
    assert get(simulator, f"/workloads/{other}/events/").status_code == 200


STATUS_DETAILS = "/workloads/{id}/protons/{pid}/statusDetails"


def details(simulator: Simulator, story: str) -> dict[str, int]:
    """What statusDetails of each proton of a workload answers now: role -> status."""
    actor = simulator.world.actor(at(story))
    moment = actor.moment(simulator.clock())
    roles = {0: "active", 1: "candidate", -1: "outgoing"}
    return {
        roles[seat.ahead]: get(simulator, f"/workloads/{actor.id(moment)}/protons/{proton}/statusDetails").status_code
        for proton, seat in actor.seats(moment).items()
    }


def test_an_oddity_may_hold_for_the_protons_of_one_role(simulator: Simulator) -> None:
    actor = simulator.world.actor(at("replacement"))
    begin = actor.begin(1, 4)  # one drains
    simulator.clock = lambda: begin + 60
    try:
        assert details(simulator, "replacement") == {"active": 200, "outgoing": 200}
        simulator.odd = {f"error-text@{STATUS_DETAILS}#outgoing", f"forbidden@{STATUS_DETAILS}#candidate"}
        assert details(simulator, "replacement") == {"active": 200, "outgoing": 500}
        assert get(simulator, f"/workloads/{actor.id(actor.moment(begin + 60))}/protons/").status_code == 200
    finally:
        simulator.clock = lambda: START


@pytest.mark.parametrize(
    ("step", "answers"), [(0, {"active": 200}), (2, {"active": 500, "outgoing": 200}), (3, {"active": 500})]
)
def test_a_step_of_a_story_may_have_oddities_of_its_own(step: int, answers: dict[str, int]) -> None:
    with Simulator(workloads=len(STORIES), clock=lambda: START) as simulator:
        begin = simulator.world.actor(at("serving unreadable")).begin(1, step)
        simulator.clock = lambda: begin + 60
        assert details(simulator, "serving unreadable") == answers
        assert details(simulator, "healthy") == {"active": 200}


def test_the_oddities_of_stories_exist() -> None:
    routes = {template for template, _ in ROUTES}
    for story in STORIES:
        for step in story.steps:
            for odd in step.odd:
                name, _, place = odd.partition("@")
                assert name in ODDITIES
                assert place.partition("#")[0] in routes


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
