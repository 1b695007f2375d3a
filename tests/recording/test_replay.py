"""Lines of a recording, and the responses of its replay."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from exporter.recording.lines import Exchange, Header, Lines, NotARecording, RecordedLine, TextCounts, read
from exporter.recording.redactor import Redactor
from exporter.recording.replay import LEFT_OUT, RecordedAnswer, Replay

KEY = bytes(range(32))
STARTED = 1_795_000_040.0
RECORDED = 1_577_836_800.0 + STARTED % 60
LIST, ONE = "/api/v2/workloads/", "/api/v2/workloads/w/stats/"


class Recorded:
    """A recording that is made line by line, `at` seconds after its start."""

    def __init__(self) -> None:
        self._lines = Lines(Redactor(KEY, STARTED), "1.2.3")
        self.lines = [self._lines.header()]

    def add(
        self, at: float, body: Any, path: str = LIST, *, status: int = 200, date: float | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
        one = Exchange("/workloads", path, params or {}, status, {"content-type": "application/json"}, encoded)
        self.lines.append(self._lines.line(one, STARTED + at, None if date is None else STARTED + date))

    def replay(self, starts: float = RECORDED, speed: float = 1.0) -> Replay:
        return Replay(*read([*self.lines, self._lines.counts()]), starts, speed)


def body(answer: RecordedAnswer | None) -> Any:
    assert answer is not None
    return json.loads(answer.body)


def test_the_answer_is_the_latest_one_at_that_time_or_else_the_first() -> None:
    made = Recorded()
    for at in (10, 20, 30):
        made.add(at, {"count": at})
    replay = made.replay()
    counts = {
        seconds: body(replay.answer(LIST, "", RECORDED + seconds))["count"] for seconds in (0.0, 10.0, 19.9, 20.0, 99.0)
    }
    assert counts == {0: 10, 10: 10, 19.9: 10, 20: 20, 99: 30}
    assert replay.seconds == 30


def test_an_unknown_request_has_no_answer() -> None:
    made = Recorded()
    made.add(1, {"count": 1}, params={"limit": 100})
    replay = made.replay()
    assert replay.answer(LIST, "limit=100", RECORDED) is not None
    assert replay.answer(LIST, "limit=10", RECORDED) is None
    assert replay.answer(ONE, "limit=100", RECORDED) is None


def test_status_headers_and_date_are_as_they_were() -> None:
    made = Recorded()
    made.add(1, {"detail": "no"}, status=403, date=4)
    made.add(1, b"", "/config/", status=0)
    replay = made.replay()
    refused, lost = replay.answer(LIST, "", RECORDED + 7), replay.answer("/config/", "", RECORDED)
    assert refused is not None
    assert (refused.status, refused.headers) == (403, {"content-type": "application/json"})
    assert refused.date == RECORDED + 7 + 3
    assert lost is not None
    assert (lost.status, lost.body, lost.date) == (0, b"", None)


def test_a_body_that_is_repeated_is_recorded_once() -> None:
    made = Recorded()
    for at, count in ((1, 5), (2, 5), (3, 6), (4, 5)):
        made.add(at, {"count": count})
    assert [b'"count"' in line for line in made.lines] == [False, True, False, True, True]
    replay = made.replay()
    assert [body(replay.answer(LIST, "", RECORDED + at))["count"] for at in (1, 2, 3, 4)] == [5, 5, 6, 5]
    del made.lines[1]
    assert body(made.replay().answer(LIST, "", RECORDED + 2))["count"] == 6


@pytest.mark.parametrize("given", [b"<html>Ann</html>", b'{"cut": ', b"[" * 100_000, b"\xff"])
def test_of_a_body_that_is_not_json_nothing_stays(given: bytes) -> None:
    made = Recorded()
    made.add(1, given)
    answer = made.replay().answer(LIST, "", RECORDED)
    assert answer is not None
    assert answer.body == LEFT_OUT


def test_times_and_ids_are_by_the_clock_of_the_replay() -> None:
    made, starts = Recorded(), 1_900_000_000.0
    made.add(60, {"createdAt": "2026-11-18T11:08:20Z", "id": f"{int(STARTED):08x}{'0' * 16}"})
    replay = made.replay(starts)
    assert 0 <= replay.starts - starts < 60
    assert (replay.starts - RECORDED) % 60 == 0
    found = body(replay.answer(LIST, "", starts))
    assert found["createdAt"] == "2030-03-17T17:48:20Z"
    assert int(found["id"][:8], 16) == replay.starts
    path = f"/api/v2/workloads/{found['id']}/"
    made.add(70, {"count": 1}, f"/api/v2/workloads/{int(STARTED):08x}{'0' * 16}/")
    assert body(made.replay(starts).answer(path, "", starts))["count"] == 1


def test_at_another_speed_what_happened_is_nearer_to_the_start_and_what_was_before_is_not() -> None:
    made = Recorded()
    made.add(120, {"since": "2026-11-18T11:09:20Z", "createdAt": "2026-11-18T10:07:20Z"})
    made.add(240, {"count": 2})
    replay = made.replay(speed=4.0)
    assert body(replay.answer(LIST, "", RECORDED + 30)) == {
        "since": "2020-01-01T00:00:50Z", "createdAt": "2019-12-31T23:00:20Z",
    }  # fmt: skip
    assert body(replay.answer(LIST, "", RECORDED + 60)) == {"count": 2}


def test_statistics_of_another_window_are_those_of_the_requested_one() -> None:
    made = Recorded()
    window = {"startTime": "2026-11-18T11:00:00Z", "endTime": "2026-11-18T11:05:00Z"}
    period = {"start": window["startTime"], "end": window["endTime"]}
    made.add(1, {"period": period, "count": 7}, ONE, params=window)
    made.add(2, {"count": 8}, LIST, params=window)
    replay = made.replay()
    path = ONE.replace("/w/", f"/{Redactor(KEY, STARTED).replacement('w')}/")
    moved = "startTime=2019-12-31T23:53:00Z&endTime=2019-12-31T23:58:00Z"
    same = body(replay.answer(path, moved, RECORDED + 1))
    assert same == {"period": {"start": "2019-12-31T23:53:00Z", "end": "2019-12-31T23:58:00Z"}, "count": 7}
    other = "startTime=2020-01-01T00:00:00%2B00:00&endTime=2020-01-01T00:05:00Z"
    assert body(replay.answer(path, other, RECORDED + 1)) == {
        "period": {"start": "2020-01-01T00:00:00+00:00", "end": "2020-01-01T00:05:00Z"}, "count": 7,
    }  # fmt: skip
    assert body(replay.answer(LIST, other, RECORDED + 1)) == {"count": 8}


def test_a_recording_is_read_to_its_last_complete_line() -> None:
    made = Recorded()
    made.add(1, {"count": 1})
    header, lines = read([*made.lines, b'{"at": 2, "path"'])
    assert (header.exporter, header.started) == ("1.2.3", RECORDED)
    assert [type(line) for line in lines] == [RecordedLine]
    counts = TextCounts({"a": 1}, {})
    assert list(read([made.lines[0], b'{"kept":{"a":1},"replaced":{}}'])[1]) == [counts]


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ([], "first line"),
        ([b"PK\x03"], "first line"),
        ([b'{"format": 99, "started": 1.0}'], "format 99"),
    ],
)
def test_what_is_not_a_recording_is_refused(lines: list[bytes], problem: str) -> None:
    with pytest.raises(NotARecording, match=problem):
        read(lines)


def test_the_header_states_when_the_recording_starts_in_2020() -> None:
    assert read(Recorded().lines)[0] == Header(1, RECORDED, "1.2.3")
