"""The state file: what is committed is there after any end, and each kind of bad file has its clear answer."""

import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from exporter.core.ledger import Durations, Ledger, Tally
from exporter.shell import store as module
from exporter.shell.store import State, StateError, Store

LEDGER = Ledger(10.0, 20.0, "claims", "running", events={"started": 2})
TALLY = Tally(Durations().with_one(61.0))


def reopened(path: Path) -> Store:
    return Store(path)


def test_what_was_committed_is_there_after_reopening_and_accounts_are_apart(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = Store(path)
    store.commit("eu", {"a": LEDGER, "b": LEDGER}, TALLY)
    store.commit("us", {"a": Ledger(1.0, 1.0)})
    store.commit("eu", {"b": None})
    store.close()
    store = reopened(path)
    assert store.load("eu") == State({"a": LEDGER}, TALLY)
    assert store.load("us") == State({"a": Ledger(1.0, 1.0)})
    assert store.load("nobody") == State()
    assert store.size > 0
    store.close()


def test_without_a_path_the_state_lives_in_memory() -> None:
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
        from exporter.core.ledger import Ledger
        from exporter.shell.store import Store
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
    path.write_bytes(b"this is no database, " * 500)


def newer(path: Path) -> None:
    db = sqlite3.connect(path)
    db.executescript("CREATE TABLE future (a); PRAGMA user_version = 99;")
    db.close()


def foreign(path: Path) -> None:
    db = sqlite3.connect(path)
    db.executescript("CREATE TABLE theirs (a);")
    db.close()


@pytest.mark.parametrize(
    ("make", "words"), [(damaged, "not a database"), (newer, "newer exporter"), (foreign, "another program")]
)
def test_a_file_that_cannot_be_used_is_refused_with_a_remedy_or_set_aside_as_configured(
    make: object, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "state.db"
    make(path)  # type: ignore[operator]
    before = path.read_bytes()
    with pytest.raises(StateError, match=f"{words}.*set_aside"):
        Store(path)
    assert path.read_bytes() == before
    store = Store(path, set_aside=True)
    assert store.aside is not None
    assert store.aside.read_bytes() == before
    store.commit("eu", {"a": LEDGER})
    assert store.load("eu").ledgers == {"a": LEDGER}
    store.close()


def test_a_folder_that_is_not_there_is_refused_whatever_is_configured(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"cannot be written.*check the folder"):
        Store(tmp_path / "nowhere" / "state.db", set_aside=True)


def test_a_second_process_on_the_same_file_is_refused(tmp_path: Path) -> None:
    first = Store(tmp_path / "state.db")
    with pytest.raises(StateError, match="in use by another process"):
        Store(tmp_path / "state.db", set_aside=True)
    first.close()


def test_a_row_that_cannot_be_read_costs_that_workload_only(tmp_path: Path) -> None:
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
    assert store.load("eu") == State({"a": LEDGER}, Tally(), 2)
    store.close()


def test_a_full_disk_fails_the_commit_whole_and_the_next_one_may_succeed(tmp_path: Path) -> None:
    # A limit on the size of a file stands for the full disk: the write itself fails, as it would there.
    store = Store(tmp_path / "state.db")
    store.commit("eu", {"a": LEDGER})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (max(store.size, 1), hard))
        many = {str(number): Ledger(1.0, 1.0, "x" * 200) for number in range(2000)}
        with pytest.raises(StateError, match="was not written"):
            store.commit("eu", many)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert list(store.load("eu").ledgers) == ["a"]
    store.commit("eu", many)
    assert len(store.load("eu").ledgers) == 2001
    store.close()


def test_a_read_only_file_is_refused_with_a_remedy() -> None:
    code = """
        import os, sys
        from pathlib import Path
        from exporter.shell.store import Store, StateError
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
