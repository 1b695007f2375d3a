"""The state in a file: committed state survives, and unusable files are reported."""

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
from exporter.fleet.ledger import Ledger, Tally
from exporter.state import sqlite as module
from exporter.state.database import StateError
from exporter.state.store import Store, StoredAccount, StoredPaging
from exporter.state.write_ahead_log import lost_transactions
from tests.disks import full_disk
from tests.state.test_contract import LEDGER, TALLY, encoded, waiting


def reopened(path: Path) -> Store:
    return Store(path)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "state.db")
    yield made
    made.close()


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
    make(path)  # type: ignore[operator]  # a function
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
    db.execute("INSERT INTO paging (kind, id, value) VALUES ('silence', CAST(x'ff' AS TEXT), x'7b7d')")
    db.commit()
    db.close()
    store = reopened(path)
    assert store.load("eu") == found
    assert store.load_paging() == StoredPaging()
    store.close()


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


def test_old_trace_ids_are_found_by_an_index(store: Store) -> None:
    with store._reading() as db:
        (plan,) = db.execute("EXPLAIN QUERY PLAN DELETE FROM emitted WHERE at < 1").fetchall()
    assert "USING" in plan[-1]
    assert "emitted_at" in plan[-1]


def test_a_full_disk_fails_ledgers_and_traces_together(store: Store) -> None:
    store.commit("eu", {"a": LEDGER}, traces=[encoded(1)])
    with full_disk(store), pytest.raises(StateError, match="was not written"):
        store.commit("eu", {"b": LEDGER}, traces=[encoded(2, size=10**7)])
    assert (list(store.load("eu").ledgers), waiting(store)) == (["a"], [1])
    store.commit("eu", {"b": LEDGER}, traces=[encoded(2, size=10**7)])
    assert (sorted(store.load("eu").ledgers), waiting(store)) == (["a", "b"], [1, 2])
