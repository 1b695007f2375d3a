"""Requests in unusual forms, over real sockets: invalid ones, bodies, and what web pages in a browser may send."""

import logging
import re

import pytest

from exporter.web.application import ServerLimits
from exporter.web.responses import rejection
from tests.web.serving import LARGE, READ_LARGE, Client, Connect, Served, get, run_clients

MOST = ServerLimits().head_bytes
ALIVE = get("/-/healthy")


def request(line: str, *headers: str, body: str = "", host: str | None = "x") -> bytes:
    hosts = [] if host is None else [f"host: {host}"]
    return ("\r\n".join([line, *hosts, *headers, "", ""]) + body).encode("latin-1")


async def heads(client: Client) -> list[bytes]:
    """The status lines that a client receives until the server closes the connection."""
    return [line for line in (await client.reader.read()).split(b"\r\n") if line.startswith(b"HTTP/1.")]


def statuses(sent: bytes, served: Served | None = None) -> list[int]:
    """The status codes of all responses to what a client sends, until the server closes the connection."""

    async def work(connect: Connect) -> list[int]:
        return [int(line.split()[1]) for line in await heads(await connect(sent))]

    found: list[int] = run_clients(served or Served(), work)
    return found


CHUNKED = "transfer-encoding: chunked"
SMUGGLED = ALIVE.decode()
INVALID = {
    "garbage": bytes(range(256)),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 100,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "unknown method": request("FETCH /metrics HTTP/1.1"),
    "method in lower case": request("get /metrics HTTP/1.1"),
    "no path": request("GET http://x HTTP/1.1"),
    "CONNECT": request("CONNECT x.example.test:80 HTTP/1.1"),
    "characters beyond ASCII": request("GET /\xe9 HTTP/1.1"),
    "line feeds only": b"GET /metrics HTTP/1.1\nhost: x\n\n",
    "folded header": request("GET /metrics HTTP/1.1", "a: b\r\n c"),
    "NUL in a header": request("GET /metrics HTTP/1.1", "a: b\0"),
    "space before a colon": request("GET /metrics HTTP/1.1", "transfer-encoding : chunked"),
    "no host": request("GET /metrics HTTP/1.1", host=None),
    "two hosts": request("GET /metrics HTTP/1.1", "host: y"),
    "two hosts of HTTP/1.0": request("GET /metrics HTTP/1.0", "host: y"),
    "host with markup": request("GET /metrics HTTP/1.1", host="<b>"),
    "host with a path": request("GET /metrics HTTP/1.1", host="x/y"),
    "host beyond ASCII": request("GET /metrics HTTP/1.1", host="\xe9"),
    "length and chunks": request("POST / HTTP/1.1", "content-length: 6", CHUNKED, body=f"0\r\n\r\n{SMUGGLED}"),
    "two lengths": request("POST / HTTP/1.1", "content-length: 0", "content-length: 9", body=SMUGGLED),
    "two encodings": request("POST / HTTP/1.1", CHUNKED, "transfer-encoding: identity", body="0\r\n\r\n"),
    "unknown encoding": request("POST / HTTP/1.1", "transfer-encoding: xchunked", body=SMUGGLED),
    "negative length": request("POST / HTTP/1.1", "content-length: -1"),
    "length with a sign": request("POST / HTTP/1.1", "content-length: +3", body="abc"),
    "length beyond 64 bits": request("POST / HTTP/1.1", "content-length: 99999999999999999999"),
    "invalid chunk": request("GET /-/healthy HTTP/1.1", CHUNKED, body="zz\r\n"),
    "chunk that ends with a line feed": request("GET / HTTP/1.1", CHUNKED, body="1;a\nb\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize("sent", INVALID.values(), ids=INVALID.keys())
def test_an_invalid_request_is_rejected_once_counted_and_not_logged(
    sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    served = Served()
    with caplog.at_level(logging.DEBUG):
        assert statuses(sent, served) == [400]
    assert served.counted == [("other", "400")]
    assert caplog.records == []  # any client could fill the log


VALID = {
    "absolute form": request("GET http://other.example.test/-/healthy HTTP/1.1", "connection: close"),
    "HTTP/1.0 without a host": request("GET /-/healthy HTTP/1.0", host=None),
    "empty host": request("GET /-/healthy HTTP/1.1", "connection: close", host=""),
    "IPv6 host": request("GET /-/healthy HTTP/1.1", "connection: close", host="[::1]:10142"),
    "empty lines before it": b"\r\n\r\n" + request("GET /-/healthy HTTP/1.1", "connection: close"),
    "body in chunks": request("GET /-/healthy HTTP/1.1", CHUNKED, "connection: close", body="2\r\nab\r\n0\r\n\r\n"),
    "ranges and conditions": request(
        "GET /metrics HTTP/1.1", "range: bytes=0-1", "if-none-match: *", "connection: close"
    ),
    "requested upgrade": request("GET /metrics HTTP/1.1", "connection: upgrade", "upgrade: websocket"),
    "data after the last request": request("GET /metrics HTTP/1.1", "connection: close") + b"odd data",
}


@pytest.mark.parametrize("sent", VALID.values(), ids=VALID.keys())
def test_an_unusual_but_valid_request_is_served(sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        assert statuses(sent) == [200]
    assert caplog.records == []


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("OPTIONS", "/metrics", 405, "GET, HEAD"),
        ("OPTIONS", "/-/silences", 405, "GET, HEAD, POST, DELETE"),
        ("TRACE", "/", 405, "GET, HEAD"),
        ("HEAD", "/-/reload", 405, "POST, PUT"),
        ("OPTIONS", "*", 404, None),
        ("GET", "//other.example.test/", 404, None),
        ("GET", "/../../etc/passwd", 404, None),
        ("GET", "/%2e%2e/etc/passwd", 404, None),
        ("GET", "/./metrics", 404, None),
        ("GET", "/metrics%00", 404, None),
        ("GET", "/%ff", 404, None),
    ],
)
def test_other_methods_and_paths_are_refused_and_redirect_nowhere(
    method: str, path: str, status: int, allow: str | None
) -> None:
    async def work(connect: Connect) -> dict[bytes, bytes]:
        client = await connect(get(path, "connection: close", method=method))
        lines = (await client.reader.read()).partition(b"\r\n\r\n")[0].split(b"\r\n")
        return {b"status": lines[0].split()[1]} | dict(line.split(b": ", 1) for line in lines[1:])

    found = run_clients(Served(), work)
    assert (int(found[b"status"]), found.get(b"allow")) == (status, allow.encode() if allow else None)
    assert b"location" not in found


LINE = "POST /-/reload HTTP/1.1"
CHANGES = [("POST", "/-/reload"), ("POST", "/-/silences"), ("DELETE", "/-/silences")]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (request(LINE, f"content-length: {MOST + 1}"), 413),
        (request(LINE, f"content-length: {10**12}"), 413),
        (request(LINE, "expect: 100-continue", f"content-length: {10**12}"), 413),
        (request(LINE, CHUNKED, body=f"{MOST:x}\r\n{'y' * MOST}\r\n0\r\n\r\n"), 413),
        (request(LINE, f"a: {'y' * MOST}"), 431),
        (request(LINE, *["a: b"] * (MOST // 6)), 431),
        (request(f"GET /{'y' * MOST} HTTP/1.1"), 431),
    ],
    ids=["length", "large length", "expectation", "chunks", "long header", "many headers", "long path"],
)
def test_a_request_that_is_too_long_is_rejected_and_changes_nothing(sent: bytes, status: int) -> None:
    served = Served()
    assert statuses(sent, served) == [status]
    assert served.counted == [("other", str(status))]


def test_a_small_body_is_accepted_also_in_parts_and_after_an_expectation() -> None:
    async def work(connect: Connect) -> list[int]:
        client = await connect(request(LINE, "content-length: 4", "expect: 100-continue"))
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.writer.write(b"ab")
        client.writer.write(b"cd")
        return [(await client.response())[0], await client.request(ALIVE)]

    assert run_clients(Served(), work) == [200, 200]


@pytest.mark.parametrize(
    ("before", "rest"),
    [
        (b"", request(LINE, "content-length: 9")),
        (b"", request("GET /metrics HTTP/1.1", CHUNKED)),
        (ALIVE, b"\r\n"),
        (ALIVE, b"GET /"),
    ],
    ids=["no body", "no chunk", "an empty line after a request", "the beginning of a second request"],
)
def test_a_client_that_never_completes_a_request_is_disconnected(before: bytes, rest: bytes) -> None:
    served = Served(limits=ServerLimits(head_seconds=0.2))

    async def work(connect: Connect) -> bool:
        client = await connect(before)
        if before:
            await client.response()
        client.writer.write(rest)
        return await client.is_closed()

    assert run_clients(served, work)
    assert served.closed == {"slow_head": 1}


def test_what_follows_a_request_in_progress_adds_no_second_response() -> None:
    served = Served(LARGE)

    async def work(connect: Connect) -> bytes:
        client = await connect(READ_LARGE + b"\0\0\0")
        head = await client.reader.readuntil(b"\r\n\r\n")
        body = await client.reader.read()
        assert b"HTTP/1.1 400" not in body
        return head.split(b"\r\n")[0]

    assert run_clients(served, work) == b"HTTP/1.1 200 OK"


def test_data_after_a_refused_upgrade_does_not_keep_the_connection_open() -> None:
    sent = request("CONNECT /metrics HTTP/1.1") + b"\x05\x01\x00"
    assert statuses(sent) == [405]


@pytest.mark.parametrize(("method", "path"), CHANGES)
@pytest.mark.parametrize(
    ("header", "host"),
    [
        ("origin: http://other.example.test", "127.0.0.1:10142"),
        ("origin: http://other.example.test", "other.example.test"),  # a name that was made to resolve to this server
        ("origin: null", "127.0.0.1:10142"),
        ("origin: http://127.0.0.1:10142", "127.0.0.1:10142"),  # a page of another program at an earlier time
        ("sec-fetch-site: cross-site", "127.0.0.1:10142"),
        ("sec-fetch-site: same-origin", "127.0.0.1:10142"),
    ],
)
def test_a_web_page_cannot_change_anything(method: str, path: str, header: str, host: str) -> None:
    sent = request(f"{method} {path} HTTP/1.1", header, "x-requested-by: page", "connection: close", host=host)
    served = Served()
    assert statuses(sent, served) == [403]
    assert (served.reloads, served.silenced) == (0, [])


@pytest.mark.parametrize("path", ["/-/silences", "/metrics"])
@pytest.mark.parametrize("trailer", ["x-requested-by: curl", "host: y", "accept-encoding: gzip", "origin: http://x"])
def test_a_trailer_after_the_body_is_no_header(path: str, trailer: str) -> None:
    method = "POST" if path == "/-/silences" else "GET"
    head = f"{method} {path} HTTP/1.1"
    served = Served()

    async def work(connect: Connect) -> list[bytes]:
        responses = []
        for more in ("", f"{trailer}\r\n"):
            client = await connect(request(head, CHUNKED, body=f"1\r\na\r\n0\r\n{more}\r\n"))
            responses.append(await client.reader.readuntil(b"\r\n\r\n"))
        return responses

    without, with_trailer = (re.sub(rb"date: .*", b"", head) for head in run_clients(served, work))
    assert without == with_trailer
    assert served.silenced == []


@pytest.mark.parametrize(("method", "path"), CHANGES)
def test_other_clients_can(method: str, path: str) -> None:
    served = Served()
    assert statuses(request(f"{method} {path} HTTP/1.1", "x-requested-by: curl", "connection: close"), served) == [200]
    assert served.reloads + len(served.silenced) == 1


@pytest.mark.parametrize(
    "sent",
    [
        *(get(path, "connection: close") for path in ("/", "/metrics", "/sd", "/-/ready", "/nothing")),
        get("/metrics"),
        get("/-/reload", "origin: http://x", "connection: close", method="POST"),
        INVALID["garbage"],
        request(LINE, f"a: {'y' * MOST}"),
        request(LINE, f"content-length: {MOST + 1}"),
    ],
)
def test_every_response_has_the_headers_that_keep_it_from_other_pages_and_caches(sent: bytes) -> None:
    async def work(connect: Connect) -> bytes:
        head: bytes = await (await connect(sent)).reader.readuntil(b"\r\n\r\n")
        return head

    head = run_clients(Served(), work)
    for line in (b"x-content-type-options: nosniff", b"cross-origin-resource-policy: same-origin"):
        assert b"\r\n" + line + b"\r\n" in head
    assert b"\r\ncache-control: no-store\r\n" in head
    assert b"\r\ncontent-length: " in head
    assert b"\r\nserver:" not in head
    assert b"\r\naccess-control-allow-origin" not in head


@pytest.mark.parametrize(
    ("hosts", "version", "status"),
    [
        (["x"], "1.1", 0),
        (["x.example.test:10142"], "1.1", 0),
        (["[fe80::1]:1"], "1.1", 0),
        ([], "1.1", 400),
        ([], "1.0", 0),
        (["x", "x"], "1.0", 400),
        (["x", "x"], "1.1", 400),
        (["x y"], "1.1", 400),
        (["x@y"], "1.1", 400),
    ],
)
def test_the_host_of_a_request(hosts: list[str], version: str, status: int) -> None:
    headers = [(b"host", host.encode()) for host in hosts] + [(b"a", b"b c"), (b"content-length", b"9")]
    assert rejection(headers, version, 9) == status
    if not status:
        assert rejection(headers, version, 8) == 413


@pytest.mark.parametrize("query", ["comment=" + "a" * 1001, "&".join(["a=1"] * 51), "&" * 20_000])
def test_a_silence_with_long_values_or_many_parameters_is_refused(query: str) -> None:
    served = Served()
    sent = request(f"POST /-/silences?account=eu&{query} HTTP/1.1", "x-requested-by: curl", "connection: close")
    assert statuses(sent, served) == [400]
    assert served.silenced == []


@pytest.mark.parametrize("path", ["/metrics", "/metrics?"], ids=["immediate", "in a task"])
def test_only_the_beginning_of_a_long_accept_header_is_read(path: str) -> None:
    async def work(connect: Connect) -> list[bool]:
        found = []
        for before in ("a/b,", "a/b," * 300):
            headers = (f"accept: {before}application/openmetrics-text", f"accept-encoding: {before}gzip")
            head = await (await connect(get(path, *headers))).reader.readuntil(b"\r\n\r\n")
            found.append(b"openmetrics" in head)
            found.append(b"content-encoding: gzip" in head)
        return found

    assert run_clients(Served(), work) == [True, True, False, False]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("exporter.example.test", 200),
        ("Exporter.Example.Test.:10142", 200),
        ("localhost:10142", 200),
        ("127.0.0.1:10142", 200),
        ("[::1]:10142", 200),
        ("", 200),
        (None, 200),
        ("other.example.test", 421),
        ("other.example.test:10142", 421),
        ("exporter.example.test.other.test", 421),
        ("localhost.other.test", 421),
        ("127.0.0.1.other.test", 421),
    ],
)
@pytest.mark.parametrize("path", ["/metrics", "/"])
def test_with_configured_names_a_request_for_another_name_is_refused(host: str | None, status: int, path: str) -> None:
    served = Served()
    served.application.hosts = ("exporter.example.test",)
    version = "1.0" if host is None else "1.1"
    assert statuses(request(f"GET {path} HTTP/{version}", "connection: close", host=host), served) == [status]
