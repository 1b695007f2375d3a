"""The versions of platform and API are read from their own routes; without them nothing fails."""

from typing import Any

import httpx
import pytest

from exporter.collect.client import ApiError, Client
from exporter.collect.fetchers import ACCOUNT_FETCHERS
from exporter.simulator.api import RELEASE
from tests.collect.test_client import World
from tests.stage import Stage, played, simulated

VERSION, CONFIG = httpx.Response(200, json={"versionString": "2.49.0"}), httpx.Response(200, text="11.14.0")
GONE, FAILS = httpx.Response(404), httpx.Response(500)


def read(version: httpx.Response, config: httpx.Response) -> tuple[dict[str, str], World]:
    def respond(request: httpx.Request) -> httpx.Response:
        made = config if request.url.path.rstrip("/") == "/config" else version
        return httpx.Response(made.status_code, content=made.content)

    async def platform(client: Client) -> Any:
        return await ACCOUNT_FETCHERS["platform"](client)

    world = World(respond)
    fields, rejects = world.run(platform)
    assert rejects == ()
    return fields, world


@pytest.mark.parametrize(
    ("version", "config", "fields"),
    [
        (VERSION, CONFIG, {"api_version": "2.49.0", "release": "11.14.0"}),
        (VERSION, GONE, {"api_version": "2.49.0"}),
        (VERSION, FAILS, {"api_version": "2.49.0"}),
        (GONE, CONFIG, {"release": "11.14.0"}),
        (GONE, GONE, {}),
        (VERSION, httpx.Response(200, text="<html>"), {"api_version": "2.49.0", "release": ""}),
    ],
    ids=["both", "no config", "config fails", "no version", "none", "a web page"],
)
def test_what_can_be_read_is_used(version: httpx.Response, config: httpx.Response, fields: dict[str, str]) -> None:
    assert read(version, config)[0] == fields


def test_a_failure_of_both_is_one_of_the_part() -> None:
    with pytest.raises(ApiError, match="500"):
        read(FAILS, FAILS)


def test_the_release_is_read_outside_the_api_and_without_the_token() -> None:
    sent = [request for _, request in read(VERSION, CONFIG)[1].sent]
    assert {request.url.path.rstrip("/"): "authorization" in request.headers for request in sent} == {
        "/api/v2/version": True,
        "/config": False,
    }


def test_versions_are_served_and_read_once_an_hour() -> None:
    async def play(stage: Stage) -> None:
        await stage.run(3500.0)
        labels = f'account="acme",api_version="2.50.0",release="{RELEASE}"'
        assert stage.samples()[f"datarobot_account_platform_info{{{labels}}}"] == "1.0"
        paths = [sent.path for sent in stage.sent]
        assert (paths.count("/config"), paths.count("/api/v2/version")) == (1, 1)

    simulator = simulated(1)
    played(play, simulator)
