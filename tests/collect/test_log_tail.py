"""Logs in pages: what a page shows of a response, and that each incident causes one request."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from exporter.alerting.notification import Notification
from exporter.api.details import LogRecord
from exporter.collect.client import Client
from exporter.collect.log_tail import MAX_KEPT, MAX_REQUESTS, SIGN_LINES, LogTail, read_log
from exporter.diagnosis.wording import log_words
from tests.collect.test_client import World
from tests.examples import payload


def notification(key: str = "a", began: float = 1.0, ended: float | None = None, **labels: str) -> Notification:
    shown = {"alertname": "X", "account": "acme", "workload_id": "w1"} | labels
    return Notification(key, shown, {}, began, ended, (("State", "errored"),))


def answering(text: str = "boom") -> World:
    data = [{"timestamp": "2026-11-20 10:17:57.101233+00:00", "level": "ERROR", "message": text}]
    return World(lambda _: httpx.Response(200, json={"data": data}))


def added(world: World, *turns: Sequence[Notification], patience: float = 5.0) -> list[list[str | None]]:
    """The log in each notice of each turn."""

    async def play(client: Client) -> list[list[str | None]]:
        log_tail = LogTail(lambda: {"acme": client}, 3, patience=patience)
        return [[dict(each.evidence).get("Log") for each in await log_tail.added(turn)] for turn in turns]

    shown: list[list[str | None]] = world.run(play)
    return shown


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (httpx.Response(200, json=payload("P27")), "10:17:57 ERROR exec /app/start: exec format error"),
        (httpx.Response(200, json={"data": []}),
         "no lines found; not every cluster collects logs"),
        (httpx.Response(200, json={"data": [{"message": str(n)} for n in range(9)]}), "2\n1\n0"),
        (httpx.Response(200, text="<html>"), "not available: the response is not JSON"),
        (httpx.Response(403, json={"message": "feature not enabled"}), "not available: GET /otel/workload/{id}/logs "),
    ],
)  # fmt: skip
def test_the_last_lines_are_shown_oldest_first_or_a_reason(answer: httpx.Response, words: str) -> None:
    shown: str = World(lambda _: answer).run(lambda client: read_log(client, "w1", 3)).text(3)
    assert shown.startswith(words)
    assert len(shown.splitlines()) <= 3


@pytest.mark.parametrize(
    ("shown", "line"),
    [
        (LogRecord("2026-11-20T10:17:57Z", "INFO", "ready"), "10:17:57 INFO ready"),
        (LogRecord(None, None, "ready"), "ready"),
        (LogRecord("no time", "WARN", "token=abc for me@example.test\nand on"), "WARN token=[…] for [e-mail] and on"),
        (LogRecord(None, "INFO", "la " * 500), "INFO" + " la" * 64 + " ..."),
    ],
)
def test_a_line_is_masked_and_bounded(shown: LogRecord, line: str) -> None:
    assert log_words([shown]) == line


def test_all_notifications_of_an_incident_contain_the_log_of_its_start_requested_once() -> None:
    world = answering()
    first, again, next_one = notification(began=1.0), notification(began=1.0), notification(began=9.0)
    assert added(world, [first], [again], [next_one]) == [["10:17:57 ERROR boom"]] * 3
    assert world.paths == ["/otel/workload/w1/logs/?limit=3"] * 2


@pytest.mark.parametrize(
    "shown",
    [notification(ended=5.0), notification(workload_id=""), notification(account="another")],
    ids=["it has ended", "it concerns no workload", "its account is not monitored any more"],
)
def test_no_log_is_requested_for_some_notifications(shown: Notification) -> None:
    world = answering()
    assert added(world, [shown]) == [[None]]
    assert world.paths == []


def test_in_a_storm_only_the_first_bring_their_logs() -> None:
    world = answering()
    (logs,) = added(world, [notification(str(n), workload_id=f"w{n}") for n in range(50)])
    assert [each is not None for each in logs] == [n < MAX_REQUESTS for n in range(50)]
    assert len(world.paths) == MAX_REQUESTS


def test_no_more_logs_are_remembered_than_are_needed() -> None:
    world = answering()
    many = [[notification(str(n))] for n in range(MAX_KEPT + 1)]
    added(world, *many, [notification("1")])
    assert len(world.paths) == MAX_KEPT + 1
    added(world, *many, [notification("0")])
    assert len(world.paths) == 2 * (MAX_KEPT + 1) + 1


def test_receivers_that_are_notified_at_the_same_time_share_one_log() -> None:
    async def play(client: Client) -> tuple[Sequence[Notification], Sequence[Notification]]:
        log_tail = LogTail(lambda: {"acme": client}, 3)
        return await asyncio.gather(log_tail.added([notification()]), log_tail.added([notification()]))

    world = answering()
    one, other = world.run(play)
    assert one == other
    assert dict(one[0].evidence)["Log"] == "10:17:57 ERROR boom"
    assert len(world.paths) == 1


def test_a_bug_is_reported_in_the_page_and_delays_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: httpx.Request) -> httpx.Response:
        raise RuntimeError("closed")

    assert added(World(broken), [notification()]) == [["not available: RuntimeError"]]
    assert "a log could not be requested" in caplog.text


def test_a_log_that_does_not_arrive_delays_no_page() -> None:
    async def never(_: httpx.Request) -> Any:
        await asyncio.Event().wait()

    async def play() -> list[str]:
        transport = httpx.MockTransport(never)
        async with Client("https://dr.test/api/v2", lambda: "t", answering(), transport=transport) as client:
            (shown,) = await LogTail(lambda: {"acme": client}, 3, patience=0.01).added([notification()])
            return [words for title, words in shown.evidence if title == "Log"]

    assert asyncio.run(play()) == ["not available: no response within 0.01 s"]


CAUSE, READ = ("Likely cause", "it fails"), ("Next step", "Check the end of its log.")
OTHER_STEP = ("Next step", "Ask for more GPUs.")


@pytest.mark.parametrize(
    ("lines", "signs", "evidence", "shown", "requested"),
    [
        (0, True, (CAUSE, READ, ("State", "up")),
         (CAUSE, READ, ("Log shows", "connection refused in the last line"), ("State", "up")),
         SIGN_LINES),
        (0, True, (CAUSE, OTHER_STEP), (CAUSE, OTHER_STEP), None),
        (0, False, (CAUSE, READ), (CAUSE, READ), None),
        (3, False, (CAUSE, READ), (CAUSE, READ, ("Log", "10:17:57 ERROR Connection refused")), 3),
        (3, True, (CAUSE, OTHER_STEP), (CAUSE, OTHER_STEP, ("Log", "10:17:57 ERROR Connection refused")), 3),
    ],
    ids=["the next step is to read the log", "the next step is another one", "signs are switched off",
         "only text is switched on", "text, but another next step"],
)  # fmt: skip
def test_signs_are_shown_after_the_next_step_if_that_is_to_read_the_log(
    lines: int,
    signs: bool,
    evidence: tuple[tuple[str, str], ...],
    shown: tuple[tuple[str, str], ...],
    requested: int | None,
) -> None:
    async def play(client: Client) -> tuple[tuple[str, str], ...]:
        log_tail = LogTail(lambda: {"acme": client}, lines, signs)
        (page,) = await log_tail.added([notification()._replace(evidence=evidence)])
        return page.evidence

    world = answering("Connection refused")
    assert world.run(play) == shown
    assert world.paths == ([] if requested is None else [f"/otel/workload/w1/logs/?limit={requested}"])


def test_a_log_that_cannot_be_read_adds_no_signs() -> None:
    async def play(client: Client) -> tuple[tuple[str, str], ...]:
        (page,) = await LogTail(lambda: {"acme": client}, 0).added([notification()._replace(evidence=(CAUSE, READ))])
        return page.evidence

    assert World(lambda _: httpx.Response(403, json={})).run(play) == (CAUSE, READ)


@pytest.mark.parametrize(("ahead", "age"), [(0.0, "; its last line is 2 h old"), (-7200.0, "")])
def test_the_age_of_a_log_is_by_the_clock_of_the_api(ahead: float, age: str) -> None:
    """Its line is of 10:17:57 by the API's clock; by ours, the incident began at 12:17:58."""
    began = datetime(2026, 11, 20, 12, 17, 58, tzinfo=UTC).timestamp()

    async def play(client: Client) -> str | None:
        log_tail = LogTail(lambda: {"acme": client}, 0, ahead=lambda _: ahead)
        (page,) = await log_tail.added([notification(began=began)._replace(evidence=(CAUSE, READ))])
        return dict(page.evidence).get("Log shows")

    assert answering("Connection refused").run(play) == f"connection refused in the last line{age}"


def test_a_log_is_read_with_the_new_client_if_a_reload_closes_the_old_one() -> None:
    world = answering()

    async def play(client: Client) -> Sequence[Notification]:
        old = Client("https://old.test", lambda: "s3cret", world)
        clients = {"acme": old}
        adding = asyncio.create_task(LogTail(lambda: clients, 3).added([notification()]))
        await asyncio.sleep(0)  # the request is about to be sent
        await old.aclose()
        clients["acme"] = client
        return await adding

    (shown,) = world.run(play)
    assert dict(shown.evidence)["Log"] == "10:17:57 ERROR boom"
