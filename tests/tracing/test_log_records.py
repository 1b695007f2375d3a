"""What happened since a ledger was last written, as log records."""

from typing import Any

import pytest

from exporter.api.models import Workload
from exporter.fleet.episodes import Episode, EpisodeTracker, Mark, Past, StatusChange
from exporter.fleet.history import HistoryEntry
from exporter.fleet.ledger import Ledger
from exporter.fleet.workload_state import WorkloadState
from exporter.tracing.builder import Tracing
from exporter.tracing.log_records import EventRecord, Logging, WorkloadLog, log_of

NOW, SECOND = 2000.0, 10**9
ALL = frozenset({"event", "transition", "episode", "alert"})
LOGGING = Logging(Tracing("https://dr.test", "app-{id}", {"env": "prod"}), ALL)
FAILED = HistoryEntry(1900.0, "event", "Workload Failed", "image a:1 not found; token=abc")


def ledger(*history: HistoryEntry, first: float = 1000.0, **more: Any) -> Ledger:
    return Ledger(first, first, status="running", history=history, **more)


def state(after: Ledger, ahead: float = 0.0) -> WorkloadState:
    return WorkloadState("eu", Workload(id="w1", name="one", importance="high"), after, ahead=ahead)


def log(before: Ledger | None, after: Ledger, logging: Logging = LOGGING, ahead: float = 0.0) -> WorkloadLog | None:
    return log_of(before, state(after, ahead), NOW, logging)


def records(*args: Any, **more: Any) -> tuple[EventRecord, ...]:
    found = log(*args, **more)
    return found.records if found is not None else ()


def test_an_event_is_a_record_with_its_time_and_masked_text_in_the_resource_of_traces() -> None:
    found = log(ledger(), ledger(FAILED))
    assert found is not None
    assert {name: found.resource[name] for name in ("service.name", "datarobot.workload.id", "env")} == {
        "service.name": "app-w1", "datarobot.workload.id": "w1", "env": "prod"
    }  # fmt: skip
    (record,) = found.records
    assert (record.name, record.severity) == ("datarobot.workload.event", "ERROR")
    assert (record.at, record.observed) == (1900 * SECOND, 2000 * SECOND)
    assert record.body == "Workload Failed: image a:1 not found; token=[…]"
    assert {name: value for name, value in record.attributes.items() if name != "log.record.uid"} == {
        "datarobot.event.name": "Workload Failed", "datarobot.account": "eu", "datarobot.count": 1,
        "datarobot.workload.importance": "high",
    }  # fmt: skip
    assert (record.trace, record.span) == (b"", b"")


@pytest.mark.parametrize(
    ("entry", "severity", "body"),
    [
        (HistoryEntry(1900.0, "event", "Workload Started"), "INFO", "Workload Started"),
        (HistoryEntry(1900.0, "episode", "start", "success", 1800.0), "INFO", "workload start ended: success"),
        (HistoryEntry(1900.0, "episode", "failure", "crashed", bad=True), "ERROR", "workload failure ended: crashed"),
        (HistoryEntry(1900.0, "alert", "DataRobotX", "critical"), "ERROR", "DataRobotX is firing (critical)"),
        (HistoryEntry(1900.0, "alert", "DataRobotX", "warning"), "WARN", "DataRobotX is firing (warning)"),
        (HistoryEntry(1900.0, "alert", "DataRobotX", "info"), "INFO", "DataRobotX is firing (info)"),
        (HistoryEntry(1900.0, "alert", "DataRobotX", "critical", 1850.0), "INFO", "DataRobotX has ended (critical)"),
    ],
)
def test_each_entry_of_the_history_is_a_record(entry: HistoryEntry, severity: str, body: str) -> None:
    (record,) = records(ledger(), ledger(entry))
    assert (record.severity, record.body) == (severity, body)
    assert record.attributes.get("datarobot.duration") == (None if entry.began is None else 1900.0 - entry.began)


def test_a_transition_is_a_record_at_the_time_of_the_new_status_or_of_the_observation() -> None:
    before = ledger(transitions={"started": 1})
    errored = Ledger(1000.0, 1950.0, status="errored", transitions={"started": 1, "errored": 1})
    (record,) = records(before, errored)
    assert (record.name, record.body, record.severity) == (
        "datarobot.workload.transition", "workload errored", "ERROR"
    )  # fmt: skip
    assert (record.at, record.attributes["datarobot.workload.status"]) == (1950 * SECOND, "errored")
    (replaced,) = records(before, ledger(transitions={"started": 1, "replaced": 1}))
    assert (replaced.at, replaced.severity) == (NOW * SECOND, "INFO")


def test_nothing_happens_twice_and_nothing_is_logged_from_before_the_first_observation() -> None:
    after = ledger(FAILED, transitions={"started": 1})
    assert log(after, after) is None
    assert log(None, ledger(HistoryEntry(900.0, "event", "Workload Failed"))) is None
    assert len(records(None, after)) == 2
    forgotten = ledger(FAILED, first=1.0)
    assert len(records(forgotten, ledger(FAILED))) == 1
    again = HistoryEntry(1990.0, "event", FAILED.name, FAILED.text, began=1900.0, count=2)
    (record,) = records(after, ledger(again, transitions={"started": 1}))
    assert record.attributes["datarobot.count"] == 2


def test_only_the_selected_kinds_are_logged() -> None:
    assert log(ledger(), ledger(FAILED), LOGGING._replace(kinds=frozenset({"alert"}))) is None


def test_the_same_happening_has_the_same_id_and_another_one_another() -> None:
    def uid(*args: Any) -> object:
        return records(*args)[0].attributes["log.record.uid"]

    assert uid(ledger(), ledger(FAILED)) == uid(ledger(transitions={"x": 1}), ledger(FAILED))
    other = HistoryEntry(1901.0, "event", FAILED.name, FAILED.text)
    assert uid(ledger(), ledger(FAILED)) != uid(ledger(), ledger(other))


PAST = Past("key", "failure", "0a" * 16, "0b" * 8, 1895.0, 1905.0)


@pytest.mark.parametrize(
    ("past", "ahead", "expected"),
    [
        (PAST, 0.0, ("0a" * 16, "0b" * 8)),
        (PAST, 3600.0, ("", "")),  # times of traces are by the clock of the API
        (Past("key", "failure", "0a" * 16, "0b" * 8, 5495.0, 5505.0), 3600.0, ("0a" * 16, "0b" * 8)),
        (Past("key", "failure", "0a" * 16, "0b" * 8, 1895.0, 1905.0, sent=False), 0.0, ("", "")),
    ],
)
def test_a_record_has_the_ids_of_the_trace_in_whose_time_it_happened(
    past: Past, ahead: float, expected: tuple[str, str]
) -> None:
    after = ledger(FAILED, tracker=EpisodeTracker(past=(past,)))
    (record,) = records(ledger(), after, LOGGING._replace(traced=True), ahead=ahead)
    assert (record.trace.hex(), record.span.hex()) == expected
    (untraced,) = records(ledger(), after, ahead=ahead)
    assert untraced.trace == b""


def test_a_record_of_an_episode_has_the_ids_of_its_own_trace_which_may_have_other_times() -> None:
    own = Past("own", "start", "0c" * 16, "0d" * 8, 1700.0, 1880.0)
    entry = HistoryEntry(1900.0, "episode", "start", "success", 1720.0)
    for past, expected in (((own, PAST), "0c"), ((PAST,), "0a")):
        after = ledger(entry, tracker=EpisodeTracker(past=past))
        (record,) = records(ledger(), after, LOGGING._replace(traced=True))
        assert record.trace.hex() == expected * 16


@pytest.mark.parametrize(
    ("opened", "replacement", "ratio", "known"),
    [(1850.0, "r1", 1.0, True), (1950.0, "r1", 1.0, False), (1850.0, "r1", 0.0, False), (1850.0, "", 1.0, False)],
)
def test_a_record_of_an_open_episode_has_the_id_of_its_future_trace_once_that_is_certain(
    opened: float, replacement: str, ratio: float, *, known: bool
) -> None:
    mark = Mark(opened, opened - 30)
    episode = Episode("replacement", mark, "running", (StatusChange("running", mark),), replacement=replacement)
    tracing = LOGGING.tracing._replace(ratio=ratio)
    after = ledger(FAILED, tracker=EpisodeTracker(rollout=episode))
    (record,) = records(ledger(), after, Logging(tracing, ALL, traced=True))
    assert (bool(record.trace), record.span) == (known, b"")
