"""What every store does, wherever it is."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import msgspec
import pytest

from exporter.alerting.alarms import Alarm
from exporter.alerting.delivery_state import Notified
from exporter.alerting.silences import Silence
from exporter.fleet.ledger import Durations, Ledger, Tally
from exporter.state.database import StateError
from exporter.state.postgresql import LOCK_SECONDS, Postgresql
from exporter.state.store import REMEMBERED, EncodedTrace, Outbox, Store, StoredAccount, StoredPaging

LEDGER = Ledger(10.0, 20.0, "claims", "running", events={"started": 2})
TALLY = Tally(Durations().with_one(61.0))


class Place(Protocol):
    """Opens a store that is always the same."""

    def open(self, lock_seconds: float = ...) -> Store: ...


class File:
    def __init__(self, path: Path) -> None:
        self._path = path

    def open(self, lock_seconds: float = 0.0) -> Store:
        return Store(self._path)


class Schema:
    def __init__(self, url: str) -> None:
        self._url = url

    def open(self, lock_seconds: float = LOCK_SECONDS) -> Store:
        return Store(Postgresql(self._url, lock_seconds=lock_seconds))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "sqlite":
        return File(tmp_path / "state.db")
    return Schema(request.getfixturevalue("postgresql").url())


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    made = place.open()
    yield made
    made.close()


def test_committed_state_is_loaded_by_account_after_reopening(place: Place) -> None:
    store = place.open()
    store.commit("eu", {"a": LEDGER, "b": LEDGER}, TALLY)
    store.commit("us", {"a": Ledger(1.0, 1.0)})
    store.commit("eu", {"b": None})
    store.close()
    store = place.open()
    assert store.load("eu") == StoredAccount({"a": LEDGER}, TALLY)
    assert store.load("us") == StoredAccount({"a": Ledger(1.0, 1.0)})
    assert store.load("unknown") == StoredAccount()
    assert store.size > 0
    store.close()


def test_a_text_that_utf_8_cannot_encode_is_a_state_error(store: Store) -> None:
    with pytest.raises(StateError, match="was not written"):
        store.commit("eu", {"\ud83d": LEDGER})
    store.commit("eu", {"a": LEDGER})
    assert store.load("eu").ledgers == {"a": LEDGER}


def encoded(number: int, size: int = 10, spans: int = 3, at: float = 100.0) -> EncodedTrace:
    return EncodedTrace(bytes([number]) * 16, spans, bytes([number]) * size, at)


def waiting(store: Store) -> list[int]:
    """The numbers of the traces in the outbox."""
    return [row.trace[0] for row in store.batch(0, 1000, 10**6, 10**9)]


def test_traces_are_written_with_the_ledgers_and_queued_in_order(place: Place) -> None:
    store = place.open()
    store.commit("eu", {"a": LEDGER}, traces=[encoded(1), encoded(2, size=20, spans=4, at=90.0)])
    store.close()
    store = place.open()
    assert store.load("eu").ledgers == {"a": LEDGER}
    assert waiting(store) == [1, 2]
    assert store.outbox() == Outbox(traces=2, size=30, oldest=90.0)
    assert store.batch(0, 1, 99, 99)[0][1:] == (b"\1" * 16, 3, b"\1" * 10)
    store.close()


def test_a_trace_is_added_once_even_after_it_was_sent(store: Store) -> None:
    store.commit("eu", {}, traces=[encoded(1)])
    store.commit("eu", {}, traces=[encoded(1, size=50), encoded(2)])
    assert waiting(store) == [1, 2]
    store.remove([store.batch(0, 1, 99, 99)[0].seq])
    store.commit("eu", {}, traces=[encoded(1)])
    assert waiting(store) == [2]


def test_trace_ids_are_kept_for_thirty_days(store: Store) -> None:
    store.commit("eu", {}, traces=[encoded(1, at=100.0)])
    store.remove([1])
    for now, added in ((100.0 + REMEMBERED, []), (101.0 + REMEMBERED, [1])):
        store.forget(now)
        store.commit("eu", {}, traces=[encoded(1, at=now)])
        assert waiting(store) == added


@pytest.mark.parametrize(
    ("after", "traces", "spans", "size", "expected"),
    [
        (0, 99, 99, 99, [1, 2, 3]),
        (1, 99, 99, 99, [2, 3]),
        (0, 2, 99, 99, [1, 2]),
        (0, 99, 6, 99, [1, 2]),
        (0, 99, 99, 25, [1, 2]),
        (0, 99, 1, 1, [1]),  # a trace beyond the limits is sent alone
        (3, 99, 99, 99, []),
    ],
)
def test_a_batch_is_the_oldest_within_the_limits(
    store: Store, after: int, traces: int, spans: int, size: int, expected: list[int]
) -> None:
    store.commit("eu", {}, traces=[encoded(1), encoded(2), encoded(3)])
    assert [row.trace[0] for row in store.batch(after, traces, spans, size)] == expected


def test_sequence_numbers_are_not_reused(store: Store) -> None:
    store.commit("eu", {}, traces=[encoded(1), encoded(2)])
    seqs = [row.seq for row in store.batch(0, 9, 99, 99)]
    store.remove(seqs)
    store.commit("eu", {}, traces=[encoded(3)])
    assert [row.seq > max(seqs) for row in store.batch(0, 9, 99, 99)] == [True]


@pytest.mark.parametrize(
    ("max_bytes", "max_age", "dropped", "left"),
    [
        (30, 50.0, {"age": 0, "cap": 0}, [1, 2, 3]),
        (29, 50.0, {"age": 0, "cap": 3}, [2, 3]),
        (9, 50.0, {"age": 0, "cap": 9}, []),
        (30, 15.0, {"age": 6, "cap": 0}, [3]),
        (9, 15.0, {"age": 6, "cap": 3}, []),
    ],
)
def test_whole_traces_are_dropped_oldest_first_by_age_and_size(
    store: Store, max_bytes: int, max_age: float, dropped: dict[str, int], left: list[int]
) -> None:
    store.commit("eu", {}, traces=[encoded(1, at=100.0), encoded(2, at=110.0), encoded(3, at=120.0)])
    assert store.trim(max_bytes, max_age, now=130.0) == dropped
    assert waiting(store) == left


@pytest.mark.parametrize(
    ("max_bytes", "dropped", "left"), [(None, 0, [1, 2, 3, 4]), (40, 0, [1, 2, 3, 4]), (29, 6, [3, 4])]
)
def test_adding_traces_keeps_the_outbox_within_its_size(
    store: Store, max_bytes: int | None, dropped: int, left: list[int]
) -> None:
    store.commit("eu", {}, traces=[encoded(1), encoded(2)])
    assert store.commit("eu", {"a": LEDGER}, max_bytes=1) == 0  # nothing new
    assert store.commit("eu", {}, traces=[encoded(3), encoded(4)], max_bytes=max_bytes) == dropped
    assert waiting(store) == left


def test_log_records_have_a_queue_of_their_own_and_each_is_added_once(store: Store) -> None:
    logs = [encoded(number)._replace(queue="log_outbox") for number in (5, 6)]
    store.commit("eu", {}, traces=[encoded(1), *logs])
    store.commit("eu", {}, traces=[*logs, encoded(7, at=150.0)._replace(queue="log_outbox")])
    assert waiting(store) == [1]
    assert [row.trace[0] for row in store.batch(0, 9, 99, 999, "log_outbox")] == [5, 6, 7]
    assert store.outbox(queue="log_outbox") == Outbox(traces=3, size=30, oldest=100.0)
    store.move_times(10.0, (149.0, 151.0), "log_outbox")
    assert store.outbox(queue="log_outbox").oldest == 110.0
    store.remove([store.batch(0, 1, 99, 999, "log_outbox")[0].seq], "log_outbox")
    assert store.trim(10**9, 10.0, 121.0, "log_outbox") == {"age": 3, "cap": 0}
    assert store.trim(5, 10**9, 121.0, "log_outbox") == {"age": 0, "cap": 3}
    assert (store.outbox(queue="log_outbox").traces, waiting(store)) == (0, [1])
    assert store.outbox().oldest == 100.0


def test_an_unreadable_outbox_is_a_state_error(place: Place) -> None:
    store = place.open()
    with store._transaction() as db:
        db.execute("DROP TABLE outbox")
    for operation in (
        lambda: store.batch(0, 1, 1, 1),
        store.outbox,
        lambda: store.trim(1, 1.0, 1.0),
        lambda: store.remove([1]),
    ):
        with pytest.raises(StateError, match=r"the state was not (read from|written to) .*outbox"):
            operation()
    assert store.load("eu") == StoredAccount()
    store.close()


@pytest.mark.parametrize("operation", [lambda store: store.load("eu"), lambda store: store.commit("eu", {"a": LEDGER})])
def test_no_operation_of_a_closed_store_succeeds(place: Place, operation: Callable[[Store], object]) -> None:
    store = place.open()
    store.close()
    with pytest.raises(StateError):
        operation(store)


def test_a_second_exporter_is_refused_until_the_first_ends(place: Place) -> None:
    first = place.open()
    with pytest.raises(StateError, match=r"is in use by another .*; give each exporter"):
        place.open(lock_seconds=0.1)
    first.commit("eu", {"a": LEDGER})
    first.close()
    second = place.open()
    assert second.load("eu").ledgers == {"a": LEDGER}
    second.close()


def test_an_unreadable_row_loses_only_its_own_totals(place: Place) -> None:
    store = place.open()
    store.commit("eu", {"a": LEDGER, "b": LEDGER, "c": LEDGER}, TALLY)
    with store._transaction() as db:
        db.execute("UPDATE workload SET ledger = ? WHERE id = ?", (b"\xff", "b"))
        db.execute("UPDATE workload SET ledger = ? WHERE id = ?", (b'{"first": "x"}', "c"))
        db.execute("UPDATE account SET tally = ?", (b"[]",))
        db.execute("INSERT INTO paging (kind, id, value) VALUES (?, ?, ?)", ("alarm", "x", b"{"))
    assert store.load("eu") == StoredAccount({"a": LEDGER}, Tally(), 3)
    assert store.load_paging() == StoredPaging()
    store.close()


def test_any_text_that_utf_8_encodes_is_an_id(store: Store) -> None:
    ids = ["", "\0", "a\0b", "a\\0b", "é💥", "'; DROP TABLE workload", "%s ?", "n" * 2000]
    store.commit("eu", {each: Ledger(1.0, number) for number, each in enumerate(ids)})
    assert store.load("eu").ledgers == {each: Ledger(1.0, number) for number, each in enumerate(ids)}
    store.commit("eu", dict.fromkeys(ids))
    assert store.load("eu").ledgers == {}


def test_a_commit_may_be_large(store: Store) -> None:
    many = {str(number): LEDGER for number in range(5001)}
    store.commit("eu", many)
    assert store.load("eu").ledgers == many
    store.commit("eu", dict.fromkeys(many))
    assert store.load("eu").ledgers == {}


SILENCE = Silence({"workload_id": "w" * 24}, 2e9, "jo", "we know", 1e9)
ALARM = Alarm("DataRobotWorkloadErrored", "critical", {"account": "eu"}, 10.0, 20.0, 20.0)
NOTIFIED = Notified({"account": "eu"}, {"summary": "it fails"}, 10.0)


def test_changes_of_paging_are_written(place: Place) -> None:
    store = place.open()
    first = StoredPaging({"a\0": ALARM}, {"phone": {"a": NOTIFIED}}, {"x": SILENCE})
    store.save_paging(first, StoredPaging())
    store.save_paging(first, StoredPaging())  # the same again, as if the response to the first had been lost
    store.close()
    store = place.open()
    assert store.load_paging() == first
    second = StoredPaging({}, {"phone": {"b": NOTIFIED}}, {"x": msgspec.structs.replace(SILENCE, ends=1.0)})
    store.save_paging(second, first)
    assert store.load_paging() == second
    store.close()


def test_times_of_traces_are_moved_but_for_recent_ones(store: Store) -> None:
    store.commit("eu", {}, traces=[encoded(1, at=100.0), encoded(2, at=5000.0)])
    store.move_times(-50.0, (4990.0, 5000.0))
    assert store.outbox().oldest == 50.0
    assert store.trim(10**9, 4000.0, now=5000.0) == {"age": 3, "cap": 0}
    assert waiting(store) == [2]


def test_a_commit_that_is_repeated_changes_nothing(store: Store) -> None:
    for _ in range(2):  # as if the response to the first had been lost
        store.commit("eu", {"a": LEDGER, "b": None}, TALLY, [encoded(1)], 100)
    assert (store.load("eu"), waiting(store)) == (StoredAccount({"a": LEDGER}, TALLY), [1])
