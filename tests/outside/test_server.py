"""The server of the outside stories: it responds in each story, and its numbers are those of the timelines."""

import json
from typing import Any

import pytest

from tests.outside.containers import Crashes, PullFails
from tests.outside.harness import START
from tests.outside.server import World
from tests.outside.stories import STORIES
from tests.outside.world import Load


def get(world: World, minute: float, path: str, query: str = "") -> tuple[int, Any]:
    world.clock = lambda: START + minute * 60
    answer = world.respond("GET", f"/api/v2/{path}", query, {"authorization": f"Bearer {world.token}"})
    return answer.status, json.loads(answer.body) if answer.body else None


@pytest.mark.parametrize("name", STORIES)
def test_each_story_has_a_sentence_and_a_list_at_any_time(name: str) -> None:
    world = STORIES[name].world()
    assert STORIES[name].says.endswith(".")
    world.faults.clear()
    for minute in range(0, int(STORIES[name].minutes), 15):
        status, body = get(world, minute, "workloads/", "limit=100&serviceStats=true")
        assert status == 200
        assert body["data"]


def test_a_page_ends_at_the_limit_and_names_the_next_one() -> None:
    world = World()
    for number in range(5):
        world.workload(f"w{number}")
    _, first = get(world, 1, "workloads", "limit=3")
    _, second = get(world, 1, "workloads/", "limit=3&offset=3")
    assert first["next"].endswith("/api/v2/workloads/?limit=3&offset=3")
    assert (first["count"], second["count"], second["next"], second["totalCount"]) == (3, 2, None, 5)
    assert get(world, 1, "workloads", "limit=101")[0] == 422


def test_statistics_are_the_traffic_of_the_window() -> None:
    world = World()
    one = world.workload("w", load=Load(rpm=60, failed=0))
    one.gets(20, failed=0.5)
    window = "startTime=2026-11-18T11:16:40Z&endTime=2026-11-18T11:36:40Z"
    _, body = get(world, 40, f"workloads/{one.id}/stats/", window)
    assert body["metrics"]["totalRequests"] == pytest.approx(1200, rel=0.03)
    assert body["metrics"]["serverErrors"] == pytest.approx(300, rel=0.05)


def test_statistics_follow_the_version_that_serves() -> None:
    world = World()
    one = world.workload("w", load=Load(rpm=60))
    one.rollout(10)
    _, before = get(world, 10, f"workloads/{one.id}/stats", "startTime=2026-11-18T10:00:00Z")
    _, after = get(world, 12, f"workloads/{one.id}/stats", "startTime=2026-11-18T10:00:00Z")
    assert before["metrics"]["totalRequests"] > 4000
    assert after["metrics"]["totalRequests"] == 0


def test_requests_without_a_ready_pod_fail() -> None:
    world = World()
    one = world.workload("w", load=Load(rpm=60))
    one.all_pods(10, Crashes(1))
    window = "startTime=2026-11-18T11:17:40Z&endTime=2026-11-18T11:21:40Z"
    _, body = get(world, 20, f"workloads/{one.id}/stats", window)
    assert body["metrics"]["serverErrors"] == body["metrics"]["totalRequests"] > 200


def test_a_crash_loop_is_reported_as_in_the_recorded_responses() -> None:
    world = World()
    one = world.workload("w", pods=1)
    one.all_pods(10, Crashes(1))
    _, body = get(world, 14, f"workloads/{one.id}/protons/{one.current(14).id}/statusDetails")
    [replica] = body["replicas"]
    [container] = replica["containers"]
    assert (body["overallStatus"]["state"], replica["status"]) == ("errored", "running")
    assert (container["reason"], container["ready"], container["lastState"]["exitCode"]) == (
        "CrashLoopBackOff",
        False,
        1,
    )
    assert container["restartCount"] > 3


def test_a_fresh_version_has_no_snapshot() -> None:
    world = World()
    one = world.workload("w", since=10, first=PullFails())
    path = f"workloads/{one.id}/protons/{one.current(11).id}/statusDetails"
    assert get(world, 10.05, path) == (204, None)
    assert get(world, 11, path)[1]["replicas"][0]["status"] == "pending"


def test_a_rollout_has_a_record_while_it_is_active_and_an_event_after() -> None:
    world = World()
    one = world.workload("w")
    one.rollout(10, result="Errored", behaviour=Crashes(1, up=False))
    assert get(world, 9, f"workloads/{one.id}/replacement")[0] == 404
    assert get(world, 12, f"workloads/{one.id}/replacement")[1]["status"] == "initializing"
    assert get(world, 16, f"workloads/{one.id}/replacement")[0] == 404
    [event] = get(world, 16, f"workloads/{one.id}/events/")[1]["data"]
    assert event["eventType"] == "Replacement Errored"
    assert int(event["id"][:8], 16) == START + 900
    assert get(world, 16, f"workloads/{one.id}/events/", "orderBy=x")[0] == 422


def test_a_wrong_token_is_refused() -> None:
    assert World().respond("GET", "/api/v2/workloads", "", {}).status == 401
