"""The server over real sockets: what is answered, in which form, and who is cut."""

import asyncio
import contextlib
import gc
import gzip
import re
import subprocess
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from exporter.metrics.exposition import Body
from exporter.web import server
from exporter.web.metrics_page import Published, Publisher
from exporter.web.server import Application, Limits, Server, accepts_gzip, bound, content_type
from tests.components import component

PAGE = Publisher().publish(
    [Body("a", b"# TYPE a gauge\n", b"# TYPE a gauge\n", (b"a 1.0\n" * 1000,)), Body("b", b"# B\n", b"# B2\n", ())],
    b"own 2.0\n",
    b"own 2.0\n",
)


class Asked:
    """An application whose facts a test may change, and what it counted."""

    def __init__(self, page: Published = PAGE, limits: Limits = Limits()) -> None:  # noqa: B008 — immutable
        self.age, self.why, self.problems = 0.0, "", list[str]()
        self.config: str | None = None
        self.episodes: list[dict[str, object]] | None = None
        self.counted: list[tuple[str, str]] = []
        self.refused, self.closed = Counter[str](), Counter[str]()
        self.front_ready: asyncio.Event | None = None
        self.application = Application(
            metrics_path="/metrics",
            reload=self.reload,
            heartbeat_age=lambda: self.age,
            not_ready=lambda: self.why,
            front=self.front,
            config=lambda: self.config,
            episodes=lambda: self.episodes,
            targets=list,
            silences=lambda _, __: [],
            count=lambda path, code: self.counted.append((path, code)),
            refused=lambda reason: self.refused.update([reason]),
            closed=lambda reason: self.closed.update([reason]),
            limits=limits,
        )
        self.application.publish(page)

    async def reload(self) -> list[str]:
        return self.problems

    async def front(self, query: str) -> bytes:
        if self.front_ready is not None:
            await self.front_ready.wait()
        return f"<p>{query}".encode()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[tuple[str, int]]:
        server = self.server = Server(self.application, ["127.0.0.1:0"])
        (address, *_) = server.addresses
        running = asyncio.create_task(server.run_until_stopped())
        try:
            yield address
        finally:
            server.stop()
            await running

    def serve(self, work: Callable[[str, int], Awaitable[Any]]) -> Any:
        async def inside() -> Any:
            async with self.serving() as (host, port):
                return await work(host, port)

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as the daemon
            return runner.run(inside())

    async def idle(self) -> None:
        """Wait until the server has been asked something and has ended every connection."""
        while not self.counted or self.server.server_state.connections:  # noqa: ASYNC110 — it tells nobody
            await asyncio.sleep(0.01)  # between two looks

    def ask(self, method: str, path: str, **headers: str) -> httpx.Response:
        async def work(host: str, port: int) -> httpx.Response:
            async with httpx.AsyncClient(base_url=f"http://{host}:{port}", trust_env=False) as client:
                return await client.request(method, path, headers=headers)

        answer: httpx.Response = self.serve(work)
        return answer


def test_metrics_are_served_as_text_with_their_length() -> None:
    answer = Asked().ask("GET", "/metrics", **{"accept-encoding": "identity"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert answer.text == "# TYPE a gauge\n" + "a 1.0\n" * 1000 + "# B\nown 2.0\n"
    assert answer.headers["content-length"] == str(len(answer.content))
    assert answer.headers["vary"] == "accept, accept-encoding"


def test_openmetrics_ends_with_eof() -> None:
    answer = Asked().ask("GET", "/metrics", accept="application/openmetrics-text;version=1.0.0")
    assert answer.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.text.endswith("# B2\nown 2.0\n# EOF\n")


def test_head_has_the_headers_and_no_body() -> None:
    answer = Asked().ask("HEAD", "/metrics", **{"accept-encoding": "identity"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) > 6000


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/nothing", 404, None),
        ("POST", "/metrics", 405, "GET, HEAD"),
        ("DELETE", "/", 405, "GET, HEAD"),
        ("GET", "/-/reload", 405, "POST, PUT"),
        ("GET", "/debug/config", 404, None),
        ("GET", "/debug/episodes", 404, None),
    ],
)
def test_what_is_not_there_is_404_and_what_may_not_be_done_is_405(
    method: str, path: str, status: int, allow: str | None
) -> None:
    asked = Asked()
    answer = asked.ask(method, path)
    assert (answer.status_code, answer.headers.get("allow")) == (status, allow)
    assert asked.counted == [(path if path != "/nothing" else "other", str(status))]


def test_health_is_the_heartbeat_of_the_page_and_says_how_old_it_is() -> None:
    asked = Asked()
    assert asked.ask("GET", "/-/healthy").text == "healthy\n"
    asked.age = 61.0
    answer = asked.ask("GET", "/-/healthy")
    assert (answer.status_code, "61 s ago" in answer.text) == (503, True)


def test_readiness_says_why_not() -> None:
    asked = Asked()
    asked.why = "account eu: no complete sweep yet"
    answer = asked.ask("GET", "/-/ready")
    assert (answer.status_code, answer.text) == (503, "not ready: account eu: no complete sweep yet\n")


def test_reload_answers_500_with_the_problems() -> None:
    asked = Asked()
    assert asked.ask("POST", "/-/reload").text == "reloaded\n"
    asked.problems = ["sweep.interval: bad"]
    answer = asked.ask("PUT", "/-/reload")
    assert (answer.status_code, "sweep.interval: bad" in answer.text) == (500, True)


def test_the_settings_are_shown_only_where_enabled() -> None:
    asked = Asked()
    asked.config = "accounts: []\n"
    assert asked.ask("GET", "/debug/config").text == "accounts: []\n"


def test_the_episodes_under_way_are_json_and_shown_only_where_enabled() -> None:
    asked = Asked()
    asked.episodes = [{"kind": "start", "trace_id": None}]
    answer = asked.ask("GET", "/debug/episodes")
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.text == '[{"kind":"start","trace_id":null}]'


def test_the_front_page_is_made_for_its_query_and_lets_in_no_script_but_its_own() -> None:
    answer = Asked().ask("GET", "/?q=a%20b&state=failed")
    assert answer.text == "<p>q=a%20b&state=failed"
    policy = dict(part.partition(" ")[::2] for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert re.fullmatch(r"'sha256-[\w+/]+='", policy["script-src"])
    assert re.fullmatch(r"'sha256-[\w+/]+='", policy["style-src"])
    assert (answer.headers["referrer-policy"], answer.headers["cache-control"]) == ("no-referrer", "no-store")


def test_head_of_the_front_page_has_its_length_and_no_body() -> None:
    answer = Asked().ask("HEAD", "/?q=a")
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "6")


@pytest.mark.parametrize(
    ("accept", "told"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        (  # as Prometheus 2.42 asks
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
            "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
        (  # as Prometheus 3 asks
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;"
            "version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
        ),
        (  # as Prometheus asks with native histograms on
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,"
            "text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            "text/plain; version=0.0.4; charset=utf-8",
        ),
        ("application/openmetrics-text;version=9.0.0", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text;q=0,text/plain;q=0.1", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text; version=0.0.1", "application/openmetrics-text; version=0.0.1; charset=utf-8"),
        ("application/openmetrics-text;escaping=\x00", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
    ],
)
def test_the_format_is_the_one_asked_for_dearest(accept: str, told: str) -> None:
    assert content_type(accept) == told


@given(st.text(max_size=200))
def test_no_header_makes_negotiation_fail(header: str) -> None:
    assert content_type(header).split(";")[0] in ("text/plain", "application/openmetrics-text")
    assert accepts_gzip(header) in (True, False)


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("*", True),
        ("*;q=0", False),
        ("", False),
        ("identity", False),
    ],
)
def test_gzip_is_sent_to_who_takes_it(header: str, taken: bool) -> None:
    assert accepts_gzip(header) is taken


def test_curl_reads_the_whole_stitched_page(tmp_path: Path) -> None:
    async def work(host: str, port: int) -> bytes:
        command = (component("curl"), "--silent", "--noproxy", "*", "--compressed", f"http://{host}:{port}/metrics")
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        out, _ = await process.communicate()
        return out

    assert Asked().serve(work) == b"".join(PAGE.text)


async def talk(host: str, port: int, *sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    for part in sent:
        writer.write(part)
    answer = await reader.read()
    writer.close()
    return answer


def test_a_head_that_is_too_long_is_refused() -> None:
    long = b"GET /metrics HTTP/1.1\r\nhost: x\r\n" + b"x-odd: " + b"y" * 40_000
    assert Asked().serve(lambda host, port: talk(host, port, long)).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("begun", [b"", b"GET /metrics HT", b"GET /metrics HTTP/1.1\r\nhost: x\r\n"])
def test_a_client_that_never_finishes_its_head_is_cut(begun: bytes) -> None:
    asked = Asked(limits=Limits(head_seconds=0.05))
    assert asked.serve(lambda host, port: talk(host, port, begun)) == b""


def test_a_client_that_does_not_read_is_cut() -> None:
    big = Publisher().publish([Body("a", b"", b"", (b"x" * 25_000_000,))], b"", b"")
    asked = Asked(big, Limits(write_seconds=0.1))

    async def work(host: str, port: int) -> bool:
        reader, writer = await asyncio.open_connection(host, port, limit=1024)
        writer.write(b"GET /metrics HTTP/1.1\r\nhost: x\r\naccept-encoding: identity\r\n\r\n")
        await asked.idle()  # the server ends the connection, nobody else will
        size = 0
        try:
            while part := await reader.read(1 << 20):
                size += len(part)
        except ConnectionResetError:
            return size < 25_000_000
        finally:
            writer.close()
        return size < 25_000_000

    assert asked.serve(work)


class Held:
    """A connection that a test holds, from an address of its choice."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def answer(self) -> tuple[int, int]:
        """The status of the next answer, and the size of its body."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        body = 0 if b"content-length" not in head else len(await self.reader.readexactly(size))
        return int(head.split()[1]), body

    async def ask(self, request: bytes) -> int:
        self.writer.write(request)
        return (await self.answer())[0]

    async def is_closed(self) -> bool:
        """Whether the server has closed it. The server must be done with it: an open one is read for ever."""
        try:
            return await self.reader.read(1) == b""
        except ConnectionResetError:
            return True


class Opened(Protocol):
    """Opens a connection, sends something, and has it closed when the test is over."""

    async def __call__(self, sent: bytes = b"", address: str = "127.0.0.1") -> Held: ...


@contextlib.asynccontextmanager
async def visited(asked: Asked) -> AsyncIterator[Opened]:
    """A server to which clients can come."""
    held: list[Held] = []
    async with asked.serving() as (host, port):

        async def opened(sent: bytes = b"", address: str = "127.0.0.1") -> Held:
            held.append(Held(*await asyncio.open_connection(host, port, local_addr=(address, 0))))
            held[-1].writer.write(sent)
            return held[-1]

        try:
            yield opened
        finally:
            for each in held:
                each.writer.transport.abort()


def meet(asked: Asked, work: Callable[[Opened], Awaitable[Any]]) -> Any:
    """What comes of it when clients do this."""

    async def inside() -> Any:
        async with visited(asked) as opened, asyncio.timeout(20):
            return await work(opened)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as the daemon
        return runner.run(inside())


def get(path: str, *headers: str, version: str = "1.1", method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/{version}", "host: x", *headers, "", ""]).encode()


CLOSE = "connection: close"
PROMPT = ("/metrics", "/-/healthy", "/-/ready")
MOST, ORDINARY = Limits().connections, Limits().connections - Limits().reserved
LARGE = Publisher().publish([Body("a", b"", b"", (b"x" * 25_000_000,))], b"", b"")
ALL_OF_LARGE = get("/metrics", "accept-encoding: identity")


async def prompt_statuses(opened: Opened) -> set[int]:
    """What new clients get that ask for metrics and health, in every form of a request."""
    asked = [get(path, *close) for path in PROMPT for close in ((), (CLOSE,))]
    asked += [get(path, method="HEAD") for path in PROMPT] + [get(path, version="1.0") for path in PROMPT]
    statuses = set()
    for request in asked:
        client = await opened(request)
        head = await client.reader.readuntil(b"\r\n\r\n")
        statuses.add(int(head.split()[1]))
    return statuses


@pytest.mark.parametrize(
    ("sent", "rest"),
    [
        (b"", get("/-/healthy")),
        (b"GET /metrics HTTP/1.1\r\nhost", b": x\r\n\r\n"),
        (get("/-/healthy"), get("/-/healthy")),
    ],
    ids=["nothing was sent", "half a head was sent", "a request was answered"],
)
def test_a_new_connection_is_served_and_the_one_that_is_idle_longest_is_closed(sent: bytes, rest: bytes) -> None:
    asked = Asked()

    async def work(opened: Opened) -> tuple[list[int], list[bool], int]:
        held = []
        for _ in range(MOST):
            held.append(await opened(sent))
            if sent.endswith(b"\r\n\r\n"):
                await held[-1].answer()
        scrapers = [await opened() for _ in PROMPT]
        statuses = [await each.ask(get(path)) for each, path in zip(scrapers, PROMPT, strict=True)]
        closed = [await each.is_closed() for each in held[:3]]
        return statuses, closed, await held[3].ask(rest)

    assert meet(asked, work) == ([200, 200, 200], [True, True, True], 200)
    assert asked.closed == {"idle": 3}


@pytest.mark.parametrize("hang_up", [False, True], ids=["clients wait", "clients hang up"])
def test_slow_requests_leave_room_for_metrics_and_health(hang_up: bool) -> None:
    asked = Asked()

    async def work(opened: Opened) -> tuple[set[int], list[int]]:
        asked.front_ready = asyncio.Event()
        slow = [await opened(get("/")) for _ in range(ORDINARY)]
        while len(asked.server.server_state.tasks) < ORDINARY:  # noqa: ASYNC110 — it tells nobody
            await asyncio.sleep(0)
        if hang_up:
            for each in slow:
                each.writer.close()
        found = await prompt_statuses(opened)
        one_more = await opened(get("/"))
        refused = await one_more.reader.read()
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1\r\n" in refused
        asked.front_ready.set()
        return found, [] if hang_up else [(await each.answer())[0] for each in slow]

    assert meet(asked, work) == ({200}, [] if hang_up else [200] * ORDINARY)
    assert (asked.refused, asked.closed) == ({"busy": 1}, {})
    assert ("/", "503") in asked.counted


@pytest.mark.parametrize("request_", [ALL_OF_LARGE, get("/metrics", "accept-encoding: identity", CLOSE)])
def test_clients_that_do_not_read_give_way_to_one_that_does(request_: bytes) -> None:
    asked = Asked(LARGE)

    async def work(opened: Opened) -> tuple[set[int], tuple[int, int]]:
        for _ in range(MOST):
            await opened(request_)
        while len(asked.counted) < MOST:  # noqa: ASYNC110 — it tells nobody
            await asyncio.sleep(0)
        answer = await (await opened(ALL_OF_LARGE)).answer()
        assert asked.closed == {"unread": 1}
        return await prompt_statuses(opened), answer

    assert meet(asked, work) == ({200}, (200, 25_000_000))


def test_nobody_pushes_out_another_address_by_opening_many_connections() -> None:
    asked = Asked()

    async def work(opened: Opened) -> list[int]:
        scraper = await opened(address="127.0.0.2")
        before = await scraper.ask(get("/metrics"))
        strangers = [await opened(get("/-/healthy")) for _ in range(2 * MOST)]
        await strangers[-1].answer()
        return [before, await scraper.ask(get("/metrics"))]

    assert meet(asked, work) == [200, 200]
    assert asked.closed == {"idle": MOST + 1}


def test_a_client_that_has_read_its_answer_may_be_idle_for_longer_than_it_may_read() -> None:
    asked = Asked(LARGE, Limits(write_seconds=1.5))

    async def work(opened: Opened) -> int:
        scraper = await opened()
        await scraper.ask(ALL_OF_LARGE)
        await scraper.ask(get("/-/healthy"))
        await opened(ALL_OF_LARGE)  # after the scraper, so that its time is over later
        while not asked.closed:  # noqa: ASYNC110 — it tells nobody
            await asyncio.sleep(0.01)
        return await scraper.ask(get("/-/healthy"))

    assert meet(asked, work) == 200
    assert asked.closed == {"slow_read": 1}


@pytest.mark.parametrize("more", [get("/metrics"), get("/"), b"GET /met"], ids=["a scrape", "another page", "a part"])
def test_more_requests_do_not_give_a_client_more_time_to_read_or_more_answers_in_memory(more: bytes) -> None:
    asked = Asked(LARGE, Limits(write_seconds=0.2, head_seconds=0.1))

    async def work(opened: Opened) -> int:
        client = await opened(ALL_OF_LARGE)
        while not asked.counted or asked.server.server_state.connections:
            client.writer.write(more)
            await asyncio.sleep(0.01)
        return len(asked.counted)

    assert meet(asked, work) == 1


def test_a_request_sent_before_the_answer_to_the_last_ends_the_connection_after_that_answer() -> None:
    async def work(host: str, port: int) -> bytes:
        return await talk(host, port, get("/-/healthy") + get("/metrics") + get("/-/ready"))

    answered = Asked().serve(work)
    assert answered.count(b"HTTP/1.1 200 OK") == 1
    assert answered.endswith(b"healthy\n")


def test_a_connection_that_has_ended_leaves_no_garbage() -> None:
    """The daemon takes what it knows out of garbage collection for an hour; cycles would pile up for as long."""
    asked = Asked()

    def alive() -> int:
        return sum(isinstance(each, server.Protocol) for each in gc.get_objects())

    async def work(opened: Opened) -> tuple[int, int]:
        for request in (get("/metrics"), get("/"), get("/metrics", CLOSE), get("/nothing"), b"GET /met"):
            client = await opened(request)
            if request.endswith(b"\r\n\r\n"):
                await client.answer()
            client.writer.transport.abort()
        during = alive()
        while asked.server.server_state.connections or asked.server.server_state.tasks:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await asyncio.sleep(0)
        return during, alive()

    gc.collect()
    gc.disable()
    try:
        during, after = meet(asked, work)
    finally:
        gc.enable()
    assert during > 0
    assert after == 0


def test_an_address_that_is_taken_is_named() -> None:
    (held,) = bound(["127.0.0.1:0"])
    address = f"127.0.0.1:{held.getsockname()[1]}"
    with pytest.raises(OSError, match=f"{address} is taken; stop the other program"):
        bound(["127.0.0.1:0", address])
    held.close()


def test_an_address_of_another_machine_is_named() -> None:
    with pytest.raises(OSError, match=r"192\.0\.2\.1:1 cannot be listened on: "):
        bound(["192.0.2.1:1"])


bodies = st.lists(st.binary(max_size=400), min_size=1, max_size=4)


@given(st.lists(bodies, min_size=1, max_size=4), st.binary(max_size=50))
def test_after_any_changes_the_gzip_form_is_one_member_of_the_same_bytes(pages: list[list[bytes]], tail: bytes) -> None:
    publisher = Publisher()
    for page in pages:
        families = [Body(str(n), b"h%d\n" % n, b"o%d\n" % n, (samples,)) for n, samples in enumerate(page)]
        made = publisher.publish(families, tail, tail)
        text = b"".join(b"h%d\n%s" % (n, samples) for n, samples in enumerate(page)) + tail
        openmetrics = b"".join(b"o%d\n%s" % (n, samples) for n, samples in enumerate(page)) + tail + b"# EOF\n"
        for plain, packed, expected in (
            (made.text, made.text_gzip, text),
            (made.openmetrics, made.openmetrics_gzip, openmetrics),
        ):
            assert b"".join(plain) == expected
            assert one_member(packed) == expected


def one_member(packed: bytes) -> bytes:
    """What a client sees that reads one gzip member and no more."""
    unpacker = zlib.decompressobj(31)
    out: bytes = unpacker.decompress(packed)
    assert unpacker.eof
    assert unpacker.unused_data == b""
    assert gzip.decompress(packed) == out
    return out


def test_small_parts_are_put_together_and_large_ones_are_not_copied() -> None:
    large = b"x" * 300_000
    made = Publisher().publish([Body("a", b"h", b"h", (large,)), Body("b", b"i", b"i", (b"y",))], b"t", b"t")
    assert made.text == (b"h", large, b"iyt")
    assert made.text[1] is large
    assert made.sizes["text", "identity"] == 300_004
