"""The client against plain functions as servers."""

import asyncio
from collections.abc import Callable

import httpx
import pytest

from exporter.core.step import Sweep
from exporter.shell.client import ApiError, Client, detail, retry_after
from exporter.shell.sweep import sweep
from tests.examples import page, payload

Server = Callable[[httpx.Request], httpx.Response]


class Counts:
    def __init__(self) -> None:
        self.codes: list[str] = []
        self.retries: list[str] = []

    def request(self, endpoint: str, code: str, seconds: float) -> None:
        self.codes.append(code)

    def retry(self, endpoint: str, reason: str) -> None:
        self.retries.append(reason)

    def wait(self, reason: str, seconds: float) -> None:
        pass


def swept(server: Server) -> Sweep:
    async def run() -> Sweep:
        transport = httpx.MockTransport(server)
        async with Client("https://dr.test/api/v2", "s3cret", Counts(), rate=1000, transport=transport) as client:
            return await sweep(client)

    return asyncio.run(run())


def fleet(request: httpx.Request, size: int = 250) -> httpx.Response:
    offset, limit = int(request.url.params["offset"]), int(request.url.params["limit"])
    items = [{"id": str(i)} for i in range(offset, min(size, offset + limit))]
    following = f"https://dr.test/api/v2/workloads/?offset={offset + limit}" if offset + limit < size else None
    return httpx.Response(200, content=page(*items, totalCount=size, next=following))


def test_a_sweep_lists_every_page_with_get_only_and_the_token_at_the_configured_host() -> None:
    requests: list[httpx.Request] = []

    def server(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return fleet(request)

    result = swept(server)
    assert [w.id for w in result.workloads] == [str(i) for i in range(250)]
    assert result.failure == ""
    assert {(r.method, r.url.host, r.headers["authorization"]) for r in requests} == {
        ("GET", "dr.test", "Bearer s3cret")
    }
    assert [r.url.params["offset"] for r in requests] == ["0", "100", "200"]


def test_a_next_to_another_host_is_never_followed() -> None:
    def server(request: httpx.Request) -> httpx.Response:
        assert request.url.host == "dr.test"
        done = request.url.params["offset"] != "0"
        return httpx.Response(200, content=page(*([] if done else [{"id": "a"}]), next="https://evil.test/?offset=1"))

    assert swept(server).failure == ""


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (httpx.Response(401, json=payload("P30")[0]), "auth"),
        (httpx.Response(403, json=payload("P30")[1]), "forbidden"),
        (httpx.Response(404, json={"detail": "gone"}), "not_found"),
        (httpx.Response(301, headers={"location": "https://evil.test/"}), "redirect"),
        (httpx.Response(422, json=payload("P30")[3]), "bad_request"),
        (httpx.Response(200, content=b""), "decode"),
        (httpx.Response(200, content=b'{"data": ['), "decode"),
        (httpx.Response(200, json={"count": 0}), "decode"),
        (httpx.Response(502, text="<html>bad gateway</html>"), "server_error"),
        (httpx.Response(200, content=page({"id": "a"}, totalCount=5)), "incomplete"),
    ],
)
def test_a_bad_answer_makes_the_sweep_fail_by_its_reason(answer: httpx.Response, failure: str) -> None:
    assert (
        swept(
            lambda request: httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)
        ).failure
        == failure
    )


def test_a_list_without_next_goes_on_to_its_total() -> None:
    def server(request: httpx.Request) -> httpx.Response:
        offset = int(request.url.params["offset"])
        return httpx.Response(200, json={"totalCount": 2, "data": [{"id": str(offset)}]})

    assert [w.id for w in swept(server).workloads] == ["0", "1"]


def test_a_page_that_repeats_for_ever_is_an_incomplete_sweep() -> None:
    body = page({"id": "a"}, next="https://dr.test/api/v2/workloads/?offset=1", totalCount=9)
    assert swept(lambda request: httpx.Response(200, content=body)).failure == "incomplete"


def test_a_rejected_item_is_counted_as_listed_and_the_sweep_is_complete() -> None:
    result = swept(lambda request: httpx.Response(200, content=page(5, {"id": "a"})))
    assert ([w.id for w in result.workloads], len(result.rejects), result.failure) == (["a"], 1, "")


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (httpx.ConnectError("Name or service not known"), "connect"),
        (httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED]"), "tls"),
        (httpx.ReadTimeout("slow"), "timeout"),
    ],
)
def test_trouble_on_the_way_makes_the_sweep_fail_by_its_reason(error: Exception, failure: str) -> None:
    def server(request: httpx.Request) -> httpx.Response:
        raise error

    assert swept(server).failure == failure


def test_a_transient_failure_is_tried_again() -> None:
    answers = iter([httpx.Response(503), httpx.Response(200, content=page({"id": "a"}))])
    assert [w.id for w in swept(lambda request: next(answers)).workloads] == ["a"]


def test_no_error_tells_the_token() -> None:
    async def run() -> ApiError:
        transport = httpx.MockTransport(lambda request: httpx.Response(401, text="no"))
        async with Client("https://dr.test/api/v2", "s3cret", Counts(), transport=transport) as client:
            with pytest.raises(ApiError) as raised:
                await client.get("/workloads/", {"limit": 1})
            return raised.value

    error = asyncio.run(run())
    assert "s3cret" not in str(error) + repr(error)
    assert str(error) == "GET /workloads/ answered 401: no"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"detail": "none"}', "none"),
        (b'{"detail": ["a", "b"]}', "a; b"),
        (b'{"detail": [{"loc": ["query", "limit"], "msg": "at most 100"}]}', "query.limit: at most 100"),
        (b'{"message": "Invalid API key"}', "Invalid API key"),
        (b"<html>\n502</html>", "<html> 502</html>"),
        (b"", "(no words)"),
    ],
)
def test_error_bodies_of_every_shape_become_words(body: bytes, words: str) -> None:
    assert detail(body) == words


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("Thu, 01 Jan 1970 00:00:30 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
        ("soon", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, 10.0) == seconds
