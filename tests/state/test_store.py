"""The state file: committed state survives, and unusable files are reported."""

import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from exporter.alerting.silences import Silence
from exporter.fleet.ledger import Durations, Ledger, Tally
from exporter.state import database as module
from exporter.state.database import StateError
from exporter.state.store import REMEMBERED, EncodedTrace, Outbox, Store, StoredAccount, StoredPaging
from exporter.state.write_ahead_log import lost_transactions
from tests.disks import full_disk

LEDGER = Ledger(10.0, 20.0, "claims", "running", events={"started": 2})
TALLY = Tally(Durations().with_one(61.0))


def reopened(path: Path) -> Store:
    return Store(path)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "state.db")
    yield made
    made.close()


def test_committed_state_is_loaded_by_account_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = Store(path)
    store.commit("eu", {"a": LEDGER, "b": LEDGER}, TALLY)
    store.commit("us", {"a": Ledger(1.0, 1.0)})
    store.commit("eu", {"b": None})
    store.close()
    store = reopened(path)
    assert store.load("eu") == StoredAccount({"a": LEDGER}, TALLY)
    assert store.load("us") == StoredAccount({"a": Ledger(1.0, 1.0)})
    assert store.load("unknown") == StoredAccount()
    assert store.size > 0
    store.close()


def test_without_a_path_the_state_is_in_memory() -> None:
    store = Store(None)
    store.commit("eu", {"a": LEDGER})
    assert store.load("eu").ledgers == {"a": LEDGER}
    assert store.size == 0
    store.close()


def test_a_kill_between_commits_loses_nothing_committed(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    code = """
        import os, signal, sys
        from pathlib import Path
        from exporter.fleet.ledger import Ledger
        from exporter.state.store import Store
        store = Store(Path(sys.argv[1]))
        for number in range(20):
            store.commit("eu", {str(number): Ledger(float(number), 0.0)})
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    store = reopened(path)
    assert len(store.load("eu").ledgers) == 20
    store.close()


def damaged(path: Path) -> None:
    path.write_bytes(b"not a database, " * 500)


def newer(path: Path) -> None:
    db = sqlite3.connect(path)
    db.executescript("CREATE TABLE future (a); PRAGMA user_version = 99;")
    db.close()


def foreign(path: Path) -> None:
    db = sqlite3.connect(path)
    db.executescript("CREATE TABLE theirs (a);")
    db.close()


@pytest.mark.parametrize(
    ("make", "message"), [(damaged, "not a database"), (newer, "newer exporter"), (foreign, "another program")]
)
def test_an_unusable_file_is_refused_with_a_remedy_or_set_aside(make: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    make(path)  # type: ignore[operator]
    before = path.read_bytes()
    with pytest.raises(StateError, match=f"{message}.*set_aside"):
        Store(path)
    assert path.read_bytes() == before
    store = Store(path, set_aside=True)
    assert store.aside is not None
    assert store.aside.read_bytes() == before
    store.commit("eu", {"a": LEDGER})
    assert store.load("eu").ledgers == {"a": LEDGER}
    store.close()


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"cannot be written.*check the folder"):
        Store(tmp_path / "nowhere" / "state.db", set_aside=True)


def test_a_second_process_on_the_same_file_is_refused(tmp_path: Path) -> None:
    first = Store(tmp_path / "state.db")
    with pytest.raises(StateError, match="in use by another process"):
        Store(tmp_path / "state.db", set_aside=True)
    first.close()


def test_an_unreadable_row_loses_only_its_own_totals(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = Store(path)
    store.commit("eu", {"a": LEDGER, "b": LEDGER}, TALLY)
    store.close()
    db = sqlite3.connect(path)
    db.execute("UPDATE workload SET ledger = ? WHERE id = 'b'", (b'{"first": "x"}',))
    db.execute("UPDATE account SET tally = ?", (b"[]",))
    db.commit()
    db.close()
    store = reopened(path)
    assert store.load("eu") == StoredAccount({"a": LEDGER}, Tally(), 2)
    store.close()


def test_on_a_full_disk_a_commit_fails_as_a_whole_and_can_be_retried(store: Store) -> None:
    store.commit("eu", {"a": LEDGER})
    many = {str(number): Ledger(1.0, 1.0, "x" * 2000) for number in range(2000)}
    with full_disk(store), pytest.raises(StateError, match="was not written"):
        store.commit("eu", many)
    assert list(store.load("eu").ledgers) == ["a"]
    store.commit("eu", many)
    assert len(store.load("eu").ledgers) == 2001


def test_what_was_paged_is_remembered_on_a_full_disk(store: Store) -> None:
    store.commit("eu", {str(number): Ledger(1.0, 1.0, "x" * 2000) for number in range(1000)})
    before = StoredPaging()
    with full_disk(store):
        with pytest.raises(StateError, match="was not written"):
            store.commit("eu", {f"more {number}": Ledger(1.0, 1.0, "x" * 2000) for number in range(2000)})
        for number in range(300):
            name, silence = f"{number}", Silence({"workload_id": "w" * 24}, 2e9, "jo", "we know", 1e9)
            now = before._replace(silences={**before.silences, name: silence})
            store.save_paging(now, before)
            before = now
    assert store.load_paging().silences.keys() == before.silences.keys()


def test_a_file_that_was_removed_is_written_again_with_all_of_its_contents(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = Store(path)
    store.commit("eu", {"a": LEDGER}, TALLY)
    path.unlink()
    store.commit("eu", {"b": LEDGER})
    store.close()
    store = reopened(path)
    assert store.load("eu") == StoredAccount({"a": LEDGER, "b": LEDGER}, TALLY)
    store.close()
    assert [file.name for file in tmp_path.iterdir()] == ["state.db"]


def test_no_other_user_can_read_the_files(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = Store(path)
    store.commit("eu", {"a": LEDGER}, TALLY)
    assert {file.name: file.stat().st_mode & 0o077 for file in tmp_path.iterdir()} == {"state.db": 0, "state.db-wal": 0}
    path.unlink()
    store.commit("eu", {"b": LEDGER})
    assert path.stat().st_mode & 0o077 == 0
    store.close()


def test_the_mode_of_an_existing_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    Store(path).close()
    path.chmod(0o640)  # such as for a backup by another user
    Store(path).close()
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_file_in_place_of_the_state_is_left_alone_and_reported(tmp_path: Path) -> None:
    path, other = tmp_path / "state.db", tmp_path / "other.db"
    Store(other).close()
    store = Store(path)
    store.commit("eu", {"a": LEDGER})
    other.replace(path)
    with pytest.raises(StateError, match=r"was replaced by another file; restart the exporter"):
        store.commit("eu", {"b": LEDGER})
    store.close()
    store = reopened(path)
    assert store.load("eu").ledgers == {}
    store.close()


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("UPDATE workload SET ledger = x'ff' WHERE id = 'b'", StoredAccount({"a": LEDGER}, TALLY, 1)),
        ("UPDATE workload SET ledger = CAST(x'ff' AS TEXT) WHERE id = 'b'", StoredAccount({"a": LEDGER}, TALLY, 1)),
        ("UPDATE workload SET id = CAST(x'ff' AS TEXT) WHERE id = 'b'", StoredAccount({"a": LEDGER}, TALLY, 1)),
        ("UPDATE workload SET ledger = 7 WHERE id = 'b'", StoredAccount({"a": LEDGER}, TALLY, 1)),
        (
            "UPDATE account SET tally = CAST(x'ff' AS TEXT)",
            StoredAccount({"a": LEDGER, "b": LEDGER}, Tally(), 1),
        ),
    ],
)
def test_a_row_with_invalid_text_is_left_out(change: str, found: StoredAccount, tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = Store(path)
    store.commit("eu", {"a": LEDGER, "b": LEDGER}, TALLY)
    store.close()
    db = sqlite3.connect(path)
    db.execute(change)
    db.execute("INSERT INTO paging VALUES ('silence', CAST(x'ff' AS TEXT), x'7b7d')")
    db.commit()
    db.close()
    store = reopened(path)
    assert store.load("eu") == found
    assert store.load_paging() == StoredPaging()
    store.close()


def test_a_text_that_utf_8_cannot_encode_is_a_state_error(store: Store) -> None:
    with pytest.raises(StateError, match="was not written"):
        store.commit("eu", {"\ud83d": LEDGER})
    store.commit("eu", {"a": LEDGER})
    assert store.load("eu").ledgers == {"a": LEDGER}


def killed_with_log(folder: Path) -> tuple[Path, Path]:
    """The state and the write-ahead log of a process that was killed after twenty commits."""
    path, log = folder / "state.db", folder / "state.db-wal"
    store = Store(path)
    for number in range(20):
        store.commit("eu", {str(number): Ledger(float(number), 0.0)})
    copies = [(file, file.read_bytes()) for file in (path, log)]
    store.close()
    for file, content in copies:
        file.write_bytes(content)
    return path, log


def test_transactions_lost_by_a_damaged_write_ahead_log_are_counted(tmp_path: Path) -> None:
    path, log = killed_with_log(tmp_path)
    assert lost_transactions(log) == 0
    content = bytearray(log.read_bytes())
    page = int.from_bytes(content[8:12], "big")
    content[32 + 10 * (24 + page) + 100] ^= 1
    log.write_bytes(content)
    store = reopened(path)
    left = len(store.load("eu").ledgers)
    assert 0 < left < 20
    assert store.lost == 20 - left
    store.close()
    assert reopened(path).lost == 0


@pytest.mark.parametrize("content", [b"", b"no log" * 10, (0x377F0682).to_bytes(4, "big") + bytes(28)])
def test_what_is_no_write_ahead_log_has_lost_nothing(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(content)
    assert lost_transactions(tmp_path / "log") == 0


def test_an_incomplete_last_transaction_was_never_committed(tmp_path: Path) -> None:
    path, log = killed_with_log(tmp_path)
    content = bytearray(log.read_bytes())
    page = int.from_bytes(content[8:12], "big")
    salts = bytes(content[16:24])
    frames = 0
    while content[32 + frames * (24 + page) + 8 :][:8] == salts:
        frames += 1
    content[32 + (frames - 1) * (24 + page) + 8] ^= 1  # as if its header had not been written
    log.write_bytes(content)
    store = reopened(path)
    assert (len(store.load("eu").ledgers), store.lost) == (19, 0)
    store.close()


def test_a_read_only_file_is_refused_with_a_remedy() -> None:
    code = """
        import os, sys
        from pathlib import Path
        from exporter.state.database import StateError
        from exporter.state.store import Store
        if os.geteuid() == 0:
            os.setuid(65534)  # root may write anywhere
        try:
            Store(Path(sys.argv[1]), set_aside=True)
        except StateError as error:
            print(error)
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "state.db")
        Store(path).close()
        path.chmod(0o444)
        Path(folder).chmod(0o555)
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code), str(path)], check=True, capture_output=True, text=True
        )
        Path(folder).chmod(0o755)
    assert "cannot be written" in done.stdout
    assert "check the folder and its permissions" in done.stdout


def test_each_version_of_the_schema_has_its_migration() -> None:
    assert len(module.MIGRATIONS) == module.VERSION


def encoded(number: int, size: int = 10, spans: int = 3, at: float = 100.0) -> EncodedTrace:
    return EncodedTrace(bytes([number]) * 16, spans, bytes([number]) * size, at)


def waiting(store: Store) -> list[int]:
    """The numbers of the traces in the outbox."""
    return [row.trace[0] for row in store.batch(0, 1000, 10**6, 10**9)]


def test_a_file_of_version_1_is_migrated_with_its_contents(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    db = sqlite3.connect(path)
    db.executescript(f"{module.MIGRATIONS[0]} PRAGMA user_version = 1;")
    db.execute("INSERT INTO workload VALUES ('eu', 'a', ?)", (msgspec.json.encode(LEDGER),))
    db.commit()
    db.close()
    store = reopened(path)
    assert store.load("eu") == StoredAccount({"a": LEDGER})
    store.commit("eu", {}, traces=[encoded(1)])
    assert waiting(store) == [1]
    store.close()


def test_traces_are_written_with_the_ledgers_and_queued_in_order(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = Store(path)
    store.commit("eu", {"a": LEDGER}, traces=[encoded(1), encoded(2, size=20, spans=4, at=90.0)])
    store.close()
    store = reopened(path)
    assert store.load("eu").ledgers == {"a": LEDGER}
    assert waiting(store) == [1, 2]
    assert store.outbox() == Outbox(traces=2, size=30, oldest=90.0)
    assert store.batch(0, 1, 99, 99)[0][1:] == (b"\1" * 16, 3, b"\1" * 10)
    store.close()


def test_a_trace_is_added_once_even_after_it_was_sent(store: Store) -> None:
    store.commit("eu", {}, traces=[encoded(1)])
    store.commit("eu", {}, traces=[encoded(1, size=50), encoded(2)])
    assert waiting(store) == [1, 2]
    store.remove(store.batch(0, 1, 99, 99)[0].seq)
    store.commit("eu", {}, traces=[encoded(1)])
    assert waiting(store) == [2]


def test_trace_ids_are_kept_for_thirty_days(store: Store) -> None:
    store.commit("eu", {}, traces=[encoded(1, at=100.0)])
    store.remove(1)
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
    store.remove(2)
    store.commit("eu", {}, traces=[encoded(3)])
    assert [row.seq for row in store.batch(0, 9, 99, 99)] == [3]


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


def test_old_trace_ids_are_found_by_an_index(store: Store) -> None:
    (plan,) = store._database.connection.execute("EXPLAIN QUERY PLAN DELETE FROM emitted WHERE at < 1").fetchall()
    assert "USING" in plan[-1]
    assert "emitted_at" in plan[-1]


def test_a_full_disk_fails_ledgers_and_traces_together(store: Store) -> None:
    store.commit("eu", {"a": LEDGER}, traces=[encoded(1)])
    with full_disk(store), pytest.raises(StateError, match="was not written"):
        store.commit("eu", {"b": LEDGER}, traces=[encoded(2, size=10**7)])
    assert (list(store.load("eu").ledgers), waiting(store)) == (["a"], [1])
    store.commit("eu", {"b": LEDGER}, traces=[encoded(2, size=10**7)])
    assert (sorted(store.load("eu").ledgers), waiting(store)) == (["a", "b"], [1, 2])


def test_an_unreadable_outbox_is_a_state_error(store: Store) -> None:
    store._database.connection.execute("DROP TABLE outbox")
    for operation in (
        lambda: store.batch(0, 1, 1, 1),
        store.outbox,
        lambda: store.trim(1, 1.0, 1.0),
        lambda: store.remove(1),
    ):
        with pytest.raises(StateError, match=r"the state was not (read from|written to) .*no such table"):
            operation()


def test_reading_a_closed_store_is_a_state_error(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    store.close()
    with pytest.raises(StateError, match=r"the state was not read from .*state\.db: "):
        store.load("eu")
