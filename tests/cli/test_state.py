"""``state copy``: a state in another place has the same contents."""

import re
import sqlite3
from pathlib import Path

import pytest

from exporter.state.postgresql import Postgresql
from exporter.state.sqlite import Sqlite
from exporter.state.store import Store, StoredPaging
from tests.cli.test_main import run
from tests.postgresql import PASSWORD, Server
from tests.state.test_contract import ALARM, LEDGER, NOTIFIED, SILENCE, TALLY, encoded, waiting

TEXT = "a\0b é"
PAGING = StoredPaging({TEXT: ALARM}, {"phone": {"a": NOTIFIED}}, {"x": SILENCE})
COUNTS = """\
table          copied unreadable
workload         1201          0
account             1          0
outbox              2          0
log_outbox          1          0
emitted             4          0
paging              3          0
"""


def filled(store: Store) -> None:
    """Close a store with something in every table."""
    store.commit("eu", {str(number): LEDGER for number in range(1200)}, TALLY, [encoded(3), encoded(1), encoded(2)])
    store.commit("us", {TEXT: LEDGER}, traces=[encoded(9)._replace(queue="log_outbox")])
    store.remove([store.batch(0, 1, 99, 99)[0].seq])
    store.save_paging(PAGING, StoredPaging())
    store.close()


def assert_filled(store: Store) -> None:
    assert (len(store.load("eu").ledgers), store.load("eu").tally) == (1200, TALLY)
    assert store.load("us").ledgers == {TEXT: LEDGER}
    assert store.load_paging() == PAGING
    assert waiting(store) == [1, 2]
    assert [row.trace for row in store.batch(0, 9, 9, 999, "log_outbox")] == [encoded(9).trace]
    store.commit("eu", {}, traces=[encoded(3), encoded(4)])  # that 3 was sent is known
    assert waiting(store) == [1, 2, 4]
    store.close()


def test_a_copy_of_a_file_has_its_contents(tmp_path: Path) -> None:
    source, target = tmp_path / "a.db", tmp_path / "b.db"
    filled(Store(source))
    assert run("state", "copy", str(source), str(target)) == (0, COUNTS, "")
    assert_filled(Store(target))
    assert_filled(Store(source))


@pytest.mark.real
def test_a_copy_in_postgresql_and_back_has_its_contents(postgresql: Server, tmp_path: Path) -> None:
    source, back, url, other = tmp_path / "a.db", tmp_path / "b.db", postgresql.url(), postgresql.url()
    filled(Store(source))
    assert run("state", "copy", str(source), url) == (0, COUNTS, "")
    assert run("state", "copy", url, other) == (0, COUNTS, "")
    assert run("state", "copy", other, str(back)) == (0, COUNTS, "")
    for store in (Store(Postgresql(url)), Store(Postgresql(other)), Store(back)):
        assert_filled(store)


@pytest.mark.real
def test_the_password_of_a_copy_comes_from_a_file(postgresql: Server, tmp_path: Path) -> None:
    source, password, url = tmp_path / "a.db", tmp_path / "password", postgresql.url(host="127.0.0.1")
    filled(Store(source))
    status, _, err = run("state", "copy", str(source), url)
    assert (status, "no password supplied" in err) == (1, True)
    assert run("state", "copy", str(source), url, f"--password-file={password}")[::2] == (
        2,
        f"workload-exporter: {password} cannot be read, or is empty\n",
    )
    password.write_text(PASSWORD)
    assert run("state", "copy", str(source), url, f"--password-file={password}") == (0, COUNTS, "")


def test_a_target_that_is_not_empty_stays_as_it_is(tmp_path: Path) -> None:
    source, target = tmp_path / "a.db", tmp_path / "b.db"
    filled(Store(source))
    store = Store(target)
    store.save_paging(PAGING, StoredPaging())
    store.close()
    status, out, err = run("state", "copy", str(source), str(target))
    assert (status, out) == (1, "")
    assert err == f"workload-exporter: {target} is not empty; choose another target, or remove its contents\n"
    store = Store(target)
    assert (store.load("eu").ledgers, store.load_paging()) == ({}, PAGING)
    store.close()


def test_damaged_rows_are_left_out_and_counted(tmp_path: Path) -> None:
    source, target = tmp_path / "a.db", tmp_path / "b.db"
    filled(Store(source))
    db = sqlite3.connect(source)
    db.execute("UPDATE workload SET id = CAST(x'ff' AS TEXT) WHERE id = '1'")
    db.execute("UPDATE workload SET ledger = 7 WHERE id = '2'")
    db.commit()
    db.close()
    status, out, _ = run("state", "copy", str(source), str(target))
    assert (status, re.findall(r"workload +(\d+) +(\d+)", out)) == (0, [("1199", "2")])


@pytest.mark.parametrize(
    ("source", "target", "status", "message"),
    [
        ("missing.db", "b.db", 1, "missing.db does not exist; name the file of state.path"),
        ("a.db", "nowhere/b.db", 1, "nowhere/b.db cannot be written: "),
        ("a.db", "a.db", 1, "a.db is in use by another process"),
        ("a.db", "postgresql://u@127.0.0.1:1/x", 1, "postgresql://u@127.0.0.1:1/x cannot be used: "),
        ("a.db", "postgresql://u:s3cret@127.0.0.1:1/x", 2, "argument TO: the URL contains a password"),
        ("https://127.0.0.1:1/x", "b.db", 2, "argument FROM: not a URL of PostgreSQL"),
    ],
)
def test_what_cannot_be_copied_is_reported(
    source: str, target: str, status: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Sqlite(Path("a.db")).close()
    found, out, err = run("state", "copy", source, target)
    assert (found, out) == (status, "")
    assert message in err
    assert "s3cret" not in err
    assert not Path("missing.db").exists()
