"""Sending the outbox to a collector: which traces are sent, kept or dropped after each response."""

import asyncio
import contextlib
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exporter.otlp.encoding import EMPTY, encode
from exporter.otlp.sender import CHECK_SECONDS, DROPPED, FAILURES, Sender
from exporter.otlp.transport import Transport, transport
from exporter.otlp.verdict import Verdict
from exporter.settings.traces import TraceSettings
from exporter.state.postgresql import Postgresql
from exporter.state.rights import Rights
from exporter.state.store import EncodedTrace, Store
from exporter.telemetry.report import Report
from exporter.tracing.trace import Span, Trace
from tests.daemon.test_daemon import START, Time
from tests.disks import full_disk
from tests.postgresql import Server
from tests.receivers import DRIP, HALF, HANG, Answer, HttpReceiver, partly

DAY = 86400.0


def trace_of(number: int, spans: int = 2) -> Trace:
    root = Span(bytes([number, 1]) * 4, b"", f"trace {number}", 1, 2)
    children = (Span(bytes([number, n]) * 4, root.id, "child", 1, 2) for n in range(2, spans + 1))
    return Trace(bytes([number]) * 16, {"service.name": "w"}, (root, *children))


def encoded(number: int, at: float = START, spans: int = 2) -> EncodedTrace:
    return EncodedTrace(bytes([number]) * 16, spans, encode(trace_of(number, spans)), at)


def ids(*numbers: int) -> list[bytes]:
    return [bytes([number]) * 16 for number in numbers]


class Scripted:
    """A transport whose verdicts come from a function; it records the bodies."""

    def __init__(self, answer: Callable[[bytes], Verdict]) -> None:
        self.answer, self.bodies = answer, list[bytes]()

    def send(self, body: bytes) -> Verdict:
        self.bodies.append(body)
        return self.answer(body)

    def close(self) -> None:
        pass


class Stage:
    """An outbox, a sender, and a clock that only the pauses of the sender advance."""

    def __init__(self, transport: Transport, store: Store | None = None, **settings: Any) -> None:
        self.time, self.store, self.report = Time(), store or Store(None), Report(0.0)
        self.traces = TraceSettings.model_validate({"endpoint": "http://c.test"} | settings)
        self.sender = Sender(self.store, transport, self.report, self.traces, self.time.clock)

    def put(self, *numbers: int, spans: int = 2) -> None:
        self.store.commit("eu", {}, traces=[encoded(number, self.time.wall, spans) for number in numbers])

    async def turns(self, count: int) -> None:
        for _ in range(count):
            self.time.pass_(await self.sender.turn())

    async def until(self, seconds: float) -> None:
        """Run turns until `seconds` have passed."""
        end = self.time.steady + seconds
        while self.time.steady < end:
            self.time.pass_(max(await self.sender.turn(), 0.001))

    def value(self, name: str, label: str = "") -> float | None:
        found = re.search(rf"^datarobot_exporter_trace_{name}(\{{\w+=\"{label}\"\}})? (.*)$", self.page, re.MULTILINE)
        return float(found[2]) if found else None

    @property
    def page(self) -> str:
        return self.report.text().decode()

    @property
    def waiting(self) -> list[bytes]:
        return [row.trace for row in self.store.batch(0, 1000, 10**6, 10**9)]


def over_http(receiver: HttpReceiver, timeout: float = 5.0, **settings: Any) -> Stage:
    values: dict[str, Any] = {"endpoint": receiver.url, "timeout": timeout} | settings
    return Stage(transport(TraceSettings.model_validate(values)), **values)


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until other threads and tasks have made the condition true."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 — there is no event to wait for
            await asyncio.sleep(0.005)  # polling interval: real sockets take real time


ACCEPTED = Verdict("accepted", "ok")
AGAIN = Verdict("retry", "down", "connect")
BAD = Verdict("invalid", "bad", "bad_request")
REFUSED = Verdict("refused", "401", "auth")


def test_traces_are_sent_oldest_first_in_one_request_and_removed() -> None:
    async def work() -> None:
        with HttpReceiver() as receiver:
            stage = over_http(receiver)
            stage.put(1, 2, 3)
            await stage.turns(1)
            assert len(receiver.accepted) == 1
            assert receiver.traces == ids(1, 2, 3)
            assert stage.waiting == []
            assert stage.value("spans_sent_total") == 6
            assert stage.value("endpoint_up", "http/protobuf") == 1

    asyncio.run(work())


def test_requests_are_limited_in_spans_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        scripted = Scripted(lambda _: ACCEPTED)
        stage = Stage(scripted)
        stage.put(*range(1, 11), spans=100)
        await stage.turns(3)
        assert [body.count(b"service.name") for body in scripted.bodies] == [5, 5]
        assert stage.waiting == []

    asyncio.run(work())


FAULTS = [
    (Answer(302, b"", {"location": "https://x.test"}), "redirect", 300.0),
    (Answer(401), "auth", 300.0),
    (Answer(404), "not_found", 300.0),
    (Answer(429), "throttled", 1.0),
    (Answer(429, b"", {"retry-after": "40"}), "throttled", 40.0),
    (Answer(500), "server_error", 1.0),
    (Answer(503), "server_error", 1.0),
    (HANG, "timeout", 1.0),
    (DRIP, "timeout", 1.0),
    (HALF, "connect", 1.0),
]


@pytest.mark.parametrize(("fault", "reason", "pause"), FAULTS)
def test_after_each_fault_every_trace_arrives_once_with_the_same_bytes(
    fault: Answer, reason: str, pause: float, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        with HttpReceiver(fault, fault) as receiver:
            stage = over_http(receiver, timeout=1.0)
            stage.put(1, 2)
            began = stage.time.steady
            await stage.turns(1)
            assert stage.waiting == ids(1, 2)
            assert stage.value("endpoint_up", "http/protobuf") == 0
            while len(receiver.received) < 2:
                await stage.turns(1)
            assert pause / 2 <= stage.time.steady - began <= pause + CHECK_SECONDS
            stage.put(3)
            await stage.until(700.0)
            assert receiver.traces == ids(1, 2, 3)
            sent = {trace: each.body for each in receiver.received for trace in each.traces if each.body}
            assert b"".join(dict.fromkeys(sent.values())) == b"".join(encode(trace_of(n)) for n in (1, 2, 3))
            assert stage.value("export_failures_total", reason) == 2
            assert stage.value("spans_sent_total") == 6
            assert stage.value("endpoint_up", "http/protobuf") == 1
            assert all(stage.value("spans_dropped_total", each) == 0 for each in DROPPED)

    with caplog.at_level(logging.INFO, "exporter"):
        asyncio.run(work())
    messages = [record.message for record in caplog.records if record.name == "exporter"]
    assert messages == ["the collector does not accept traces", "the collector accepts traces again"]


def test_rejected_spans_are_counted_and_not_sent_again() -> None:
    async def work() -> None:
        with HttpReceiver(Answer(200, partly(1, "too old"))) as receiver:
            stage = over_http(receiver)
            stage.put(1, 2)
            await stage.turns(2)
            assert len(receiver.received) == 1
            assert (stage.value("spans_sent_total"), stage.value("spans_dropped_total", "rejected")) == (3, 1)

    asyncio.run(work())


@pytest.mark.parametrize("poison", [1, 5, 8])
def test_only_the_trace_that_the_collector_rejects_is_dropped(poison: int, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        with HttpReceiver() as receiver:
            receiver.poison = encode(trace_of(poison))
            stage = over_http(receiver)
            stage.put(*range(1, 9))
            await stage.turns(20)
            assert receiver.traces == ids(*(n for n in range(1, 9) if n != poison))
            assert stage.waiting == []
            assert stage.value("spans_dropped_total", "poison") == 2
            assert stage.value("spans_sent_total") == 14
            assert len(receiver.received) < 14

    asyncio.run(work())
    (line,) = [record for record in caplog.records if record.message.startswith("trace dropped")]
    assert line.__dict__["fields"]["trace_id"] == ids(poison)[0].hex()


def test_batches_shrink_to_what_the_collector_accepts() -> None:
    async def work() -> None:
        scripted = Scripted(lambda body: BAD if body.count(b"service.name") > 3 else ACCEPTED)
        stage = Stage(scripted)
        stage.put(*range(1, 41))
        await stage.turns(40)
        assert stage.waiting == []
        assert stage.value("spans_dropped_total", "poison") == 0
        assert len(scripted.bodies) < 30

    asyncio.run(work())


def test_a_server_that_rejects_everything_costs_no_trace(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        with HttpReceiver() as receiver:
            receiver.answer = Answer(400, b"plain HTTP was sent to an HTTPS port")
            stage = over_http(receiver)
            stage.put(1, 2, 3)
            await stage.until(DAY / 24)
            assert stage.waiting == ids(1, 2, 3)
            assert stage.value("endpoint_up", "http/protobuf") == 0
            receiver.answer = Answer()
            await stage.until(600.0)
            assert receiver.traces == ids(1, 2, 3)
            receiver.answer = Answer(400)  # after accepted traces, at most one is lost
            stage.put(4, 5, 6)
            await stage.until(600.0)
            assert stage.waiting in (ids(5, 6), ids(4, 5, 6))

    asyncio.run(work())
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert (
        "even to an empty request; traces are kept and sent again every five minutes"
        in errors[0].__dict__["fields"]["words"]
    )


def test_a_day_without_a_collector_loses_nothing_with_few_hundred_attempts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work() -> None:
        down = True
        scripted = Scripted(lambda _: AGAIN if down else ACCEPTED)
        stage = Stage(scripted)
        for hour in range(24):
            stage.put(hour + 1)
            await stage.until(3600.0)
        assert stage.waiting == ids(*range(1, 25))
        assert 288 <= len(scripted.bodies) <= 2 * 288 + 10
        assert stage.value("outbox_oldest_seconds") == pytest.approx(DAY, abs=300)
        assert (stage.value("outbox_traces"), stage.value("outbox_bytes")) == (24, stage.store.outbox().size)
        down = False
        await stage.until(310.0)
        assert stage.waiting == []
        assert stage.value("outbox_traces") == stage.value("outbox_oldest_seconds") == 0

    asyncio.run(work())
    assert len([record for record in caplog.records if record.message == "the collector does not accept traces"]) == 1


@pytest.mark.parametrize("days", [-30, 30])
def test_a_clock_that_is_set_drops_no_trace_and_changes_no_age(days: int) -> None:
    async def work() -> None:
        stage = Stage(Scripted(lambda _: AGAIN), max_age="1h")
        stage.put(1)
        await stage.until(600)
        stage.time.wall += days * DAY
        stage.put(2)
        await stage.until(600)
        assert stage.waiting == ids(1, 2)
        assert stage.value("outbox_oldest_seconds") == pytest.approx(1200, abs=30)
        await stage.until(2700)
        assert stage.waiting == ids(2)
        assert stage.value("spans_dropped_total", "age") == 2
        await stage.until(900)
        assert stage.waiting == []

    asyncio.run(work())


@pytest.mark.parametrize(
    ("limits", "reason", "kept"), [({"max_age": "6h30m"}, "age", 6), ({"max_bytes": 1000}, "cap", 4)]
)
def test_beyond_the_limits_the_oldest_traces_are_dropped_and_counted(
    limits: dict[str, Any], reason: str, kept: int
) -> None:
    async def work() -> None:
        stage = Stage(Scripted(lambda _: AGAIN), **limits)
        for hour in range(10):
            stage.put(hour + 1)
            await stage.until(3600.0)
        assert stage.waiting == ids(*range(11 - kept, 11))
        assert stage.value("spans_dropped_total", reason) == 2 * (10 - kept)

    asyncio.run(work())


def test_on_a_full_disk_traces_are_still_sent_and_none_twice(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        store = Store(tmp_path / "state.db")
        scripted = Scripted(lambda _: ACCEPTED)
        stage = Stage(scripted, store)
        stage.put(1, 2)
        with full_disk(store, spent=True):
            await stage.turns(3)
            assert (stage.value("export_failures_total", "state") or 0) >= 3
            assert stage.waiting == ids(1, 2)
            assert (stage.value("spans_sent_total"), stage.value("outbox_traces")) == (4, 0)
        stage.put(3)
        await stage.turns(2)
        assert scripted.bodies == [encode(trace_of(1)) + encode(trace_of(2)), encode(trace_of(3))]
        assert stage.waiting == []
        store.close()

    asyncio.run(work())
    assert [r.message for r in caplog.records] == ["the outbox cannot be used; retrying"]


@pytest.mark.real
@pytest.mark.parametrize("removed", [True, False], ids=["after the removal", "before the removal"])
def test_a_trace_that_another_replica_commits_late_is_sent(removed: bool, postgresql: Server) -> None:
    """Its number is lower than that of a trace that was sent already."""

    async def work() -> None:
        url = postgresql.url()
        ours, other = Postgresql(url, shared=True), Postgresql(url, shared=True)
        late = contextlib.ExitStack()

        def answer(body: bytes) -> Verdict:
            if not removed:
                late.close()
            return ACCEPTED

        scripted = Scripted(answer)
        stage = Stage(scripted, Store(ours))
        db = late.enter_context(other.transaction())
        row = bytes([1]) * 16, 2, encode(trace_of(1)), START
        db.execute("INSERT INTO outbox (trace, account, spans, size, body, created) VALUES (?, '', ?, 1, ?, ?)", row)
        stage.put(2)
        await stage.turns(1)
        late.close()
        await stage.turns(2)
        assert scripted.bodies == [encode(trace_of(2)), encode(trace_of(1))]
        assert stage.waiting == []
        stage.store.close()
        other.close()

    asyncio.run(work())


def test_without_traces_an_empty_request_regularly_checks_the_collector() -> None:
    async def work() -> None:
        scripted = Scripted(lambda _: ACCEPTED)
        stage = Stage(scripted)
        await stage.turns(1)
        assert stage.value("endpoint_up", "http/protobuf") == 1
        await stage.until(DAY / 24)
        assert 12 <= len(scripted.bodies) <= 13
        assert set(scripted.bodies) == {EMPTY}
        scripted.answer = lambda _: AGAIN
        await stage.until(300.0)
        assert stage.value("endpoint_up", "http/protobuf") == 0
        scripted.answer = lambda body: ACCEPTED if body else BAD  # some collectors reject empty requests
        stage.put(1)
        await stage.until(300.0)
        assert stage.waiting == []
        await stage.until(DAY / 24)
        assert stage.value("endpoint_up", "http/protobuf") == 1

    asyncio.run(work())


@pytest.mark.parametrize(("after", "pause"), [(0.0, 1.0), (45.0, 45.0), (10.0**9, 3600.0)])
def test_a_pause_requested_by_the_collector_is_kept_within_bounds(after: float, pause: float) -> None:
    async def work() -> None:
        times: list[float] = []

        def busy(_: bytes) -> Verdict:
            times.append(stage.time.steady)
            return AGAIN._replace(after=after)

        stage = Stage(Scripted(busy))
        stage.put(1)
        await stage.until(pause + 1)
        assert times[1] - times[0] == pytest.approx(pause)

    asyncio.run(work())


def test_every_reason_has_a_counter_from_the_start() -> None:
    async def work() -> None:
        stage = Stage(Scripted(lambda _: ACCEPTED))
        for reason in DROPPED:
            assert stage.value("spans_dropped_total", reason) == 0
        for reason in FAILURES:
            assert stage.value("export_failures_total", reason) == 0
        assert stage.value("spans_sent_total") == 0
        for name in ("outbox_traces", "outbox_bytes", "outbox_oldest_seconds"):
            assert stage.value(name) is None, "the outbox has not been read yet"

    asyncio.run(work())


def test_a_replica_that_does_not_send_traces_has_no_samples_of_outbox_and_collector() -> None:
    async def work() -> None:
        stage = Stage(Scripted(lambda _: ACCEPTED))
        names = ("outbox_traces", "outbox_bytes", "outbox_oldest_seconds")
        await stage.sender.turn()
        assert [stage.value(name) for name in names] == [0, 0, 0]
        # As if another replica had taken the lease.
        transport, rights = Scripted(lambda _: ACCEPTED), Rights(leased=True)
        await Sender(stage.store, transport, stage.report, stage.traces, stage.time.clock, rights).turn()
        assert [stage.value(name) for name in (*names, "endpoint_up")] == [None] * 4
        await stage.sender.turn()
        assert [stage.value(name) for name in names] == [0, 0, 0]

    asyncio.run(work())


# -- start and close


REQUESTED_PAUSE = AGAIN._replace(after=45.0)


@pytest.mark.parametrize(
    ("before", "last", "attempts", "left"),
    [
        (None, ACCEPTED, 1, []),
        (None, AGAIN, 1, ids(1)),
        (AGAIN, ACCEPTED, 2, []),  # a local pause is cut short
        (AGAIN, AGAIN, 2, ids(1)),
        (REQUESTED_PAUSE, ACCEPTED, 1, ids(1)),  # a requested one is kept
        (REFUSED, ACCEPTED, 1, ids(1)),
    ],
)
def test_close_makes_a_last_attempt_unless_the_collector_requested_a_pause(
    before: Verdict | None, last: Verdict, attempts: int, left: list[bytes]
) -> None:
    async def work() -> None:
        answers = [*filter(None, (before,)), last]
        scripted = Scripted(lambda _: answers[len(scripted.bodies) - 1])
        stage = Stage(scripted)
        stage.put(1)
        if before is not None:
            await stage.sender.turn()
        stage.sender.start()
        await stage.sender.close()
        assert (len(scripted.bodies), stage.waiting) == (attempts, left)

    asyncio.run(work())


def test_close_sends_nothing_without_start() -> None:
    async def work() -> None:
        scripted = Scripted(lambda _: ACCEPTED)
        stage = Stage(scripted)
        stage.put(1)
        await stage.sender.close()
        assert (scripted.bodies, stage.waiting) == ([], ids(1))

    asyncio.run(work())


def test_close_does_not_wait_for_a_hanging_collector() -> None:
    async def work() -> None:
        with HttpReceiver(HANG, HANG) as receiver:
            stage = over_http(receiver, timeout=60.0)
            stage.put(1)
            stage.sender.start()
            await eventually(lambda: bool(receiver.received))
            async with asyncio.timeout(60):
                await stage.sender.close(budget=0.1)
                await asyncio.get_running_loop().shutdown_default_executor()
            assert stage.waiting == ids(1)
            assert stage.value("endpoint_up", "http/protobuf") is None

    asyncio.run(work())


def test_a_running_sender_survives_unexpected_exceptions(caplog: pytest.LogCaptureFixture) -> None:
    def odd(body: bytes) -> Verdict:
        if len(scripted.bodies) == 1:
            raise ZeroDivisionError
        return ACCEPTED

    scripted = Scripted(odd)

    async def work() -> None:
        stage = Stage(scripted)
        stage.put(1)
        stage.sender.start()
        stage.sender.start()
        await eventually(lambda: len(scripted.bodies) > 1)
        await stage.sender.close()
        assert stage.waiting == []

    asyncio.run(work())
    assert "sending traces failed; they are kept" in caplog.text
