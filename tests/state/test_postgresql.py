"""The state in PostgreSQL: one exporter at a time, and a server that restarts, hangs, refuses or lies."""

import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from exporter.settings.problems import BadSettings
from exporter.settings.state import StateSettings
from exporter.state.database import RESPONSE_SECONDS, StateError
from exporter.state.leases import LEASE_SECONDS
from exporter.state.opened import check_url, open_database, open_store
from exporter.state.postgresql import IDLE_SECONDS, LOCK_SECONDS, VERSION, Postgresql
from exporter.state.store import Store
from tests.e2e.servers import eventually
from tests.postgresql import PASSWORD, Server
from tests.state.test_contract import LEDGER, encoded, waiting

real = pytest.mark.real


@contextmanager
def opened(
    url: str,
    password: str = "",
    lock_seconds: float = LOCK_SECONDS,
    response_seconds: float = RESPONSE_SECONDS,
    shared: bool = False,
) -> Iterator[Store]:
    database = Postgresql(
        url, lambda: password, lock_seconds=lock_seconds, response_seconds=response_seconds, shared=shared
    )
    store = Store(database)
    try:
        yield store
    finally:
        store.close()


def problem(operation: Callable[[], object]) -> str:
    with pytest.raises(StateError) as raised:
        operation()
    return str(raised.value)


def problem_of_opening(url: str, password: str = "") -> str:
    return problem(lambda: Postgresql(url, lambda: password, lock_seconds=0.1))


# -- one exporter


@real
def test_of_several_exporters_that_start_at_once_one_gets_the_state(postgresql: Server) -> None:
    url = postgresql.url()

    def start(_: int) -> Postgresql | str:
        try:
            return Postgresql(url, lock_seconds=0.5)
        except StateError as error:
            return str(error)

    with ThreadPoolExecutor(5) as pool:
        started = list(pool.map(start, range(5)))
    (one,) = [each for each in started if isinstance(each, Postgresql)]
    assert sum("in use by another exporter;" in each for each in started if isinstance(each, str)) == 4
    store = Store(one)
    store.commit("eu", {"a": LEDGER})
    assert store.load("eu").ledgers == {"a": LEDGER}
    store.close()


@real
def test_an_exporter_waits_until_the_session_of_the_previous_one_has_ended(postgresql: Server) -> None:
    url = postgresql.url()
    first = Postgresql(url)
    ending = threading.Timer(0.2, first.close)
    ending.start()
    with opened(url, lock_seconds=20.0) as store:
        store.commit("eu", {"a": LEDGER})
    ending.join()


@real
def test_schemas_of_one_database_are_independent(postgresql: Server) -> None:
    with opened(postgresql.url()) as one, opened(postgresql.url()) as two:
        one.commit("eu", {"a": LEDGER}, traces=[encoded(1)])
        assert (two.load("eu").ledgers, waiting(two)) == ({}, [])


@real
def test_after_another_exporter_has_used_the_state_it_is_not_overwritten(postgresql: Server) -> None:
    url = postgresql.url()
    with opened(url, lock_seconds=0.1) as paused:
        paused.commit("eu", {"a": LEDGER})
        postgresql.end_sessions()
        with opened(url) as other:
            assert "in use by another exporter, or a lost" in problem(lambda: paused.commit("eu", {"a": None}))
            assert other.load("eu").ledgers == {"a": LEDGER}
        assert "meanwhile; restart the exporter" in problem(lambda: paused.commit("eu", {"a": None}))
        assert "meanwhile; restart the exporter" in problem(lambda: paused.load("eu"))
    with opened(url) as store:
        assert store.load("eu").ledgers == {"a": LEDGER}


# -- the schema


@real
@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ("CREATE TABLE {}.account (name text)", "there are tables of another program; give the exporter a database or"),
        (
            "CREATE TABLE {0}.workload_exporter AS SELECT 99 AS version, 0 AS epoch; "
            "ALTER TABLE {0}.workload_exporter OWNER TO exporter",
            f"written by a newer exporter (schema 99, supported: {VERSION}); use that version",
        ),
        ("DROP SCHEMA {}", "there is no schema for its tables; create it"),
        ("REVOKE CREATE ON SCHEMA {0} FROM exporter; ALTER SCHEMA {0} OWNER TO postgres; "
         "GRANT USAGE ON SCHEMA {0} TO exporter", "permission denied for schema"),
    ],
)  # fmt: skip
def test_a_schema_that_cannot_be_used_is_refused_and_stays_as_it_is(
    postgresql: Server, contents: str, message: str
) -> None:
    url = postgresql.url()
    schema = url.rpartition("%3D")[2]
    for statement in contents.format(schema).split("; "):
        postgresql.execute(statement)
    tables = f"SELECT count(*) FROM pg_tables WHERE schemaname = '{schema}'"
    before = postgresql.execute(tables)
    assert message in problem_of_opening(url)
    assert postgresql.execute(tables) == before


# -- the server


@real
@pytest.mark.parametrize(
    ("operation", "result"),
    [
        (lambda store: store.commit("eu", {"b": LEDGER}) or sorted(store.load("eu").ledgers), ["a", "b"]),
        (lambda store: store.load("eu").ledgers, {"a": LEDGER}),
        (lambda store: store.load_paging().alarms, {}),
        (lambda store: store.outbox().traces, 1),
        (waiting, [1]),
    ],
    ids=["commit", "load", "load_paging", "outbox", "batch"],
)
def test_after_a_pool_or_a_restart_has_ended_the_idle_session_the_next_operation_succeeds(
    operation: Callable[[Store], object], result: object, postgresql: Server
) -> None:
    url = postgresql.url()
    with opened(url) as store:
        store.commit("eu", {"a": LEDGER}, traces=[encoded(1)])
        postgresql.end_sessions()
        assert operation(store) == result
        assert "in use by another exporter" in problem_of_opening(url)


@real
def test_threads_that_find_the_session_ended_share_the_next_connection(postgresql: Server) -> None:
    database = Postgresql(postgresql.url(), shared=True)
    postgresql.end_sessions()
    together = threading.Barrier(8)

    def read(_: int) -> object:
        together.wait()
        with database.reading() as db:
            return db.execute("SELECT 7").fetchone()

    with ThreadPoolExecutor(8) as threads:
        assert [*threads.map(read, range(8))] == [(7,)] * 8
    assert database.connections == 2
    database.close()


@real
def test_what_follows_the_end_of_a_session_within_a_transaction_is_not_written(postgresql: Server) -> None:
    insert = "INSERT INTO workload VALUES ('eu', ?, ?)"
    database = Postgresql(postgresql.url())
    store = Store(database)

    def interrupted() -> None:
        with database.transaction() as db:
            db.execute(insert, (b"a", b"{}"))
            postgresql.end_sessions()
            db.execute(insert, (b"b", b"{}"))

    assert "was not written" in problem(interrupted)
    with database.reading() as db:
        assert db.execute("SELECT id FROM workload").fetchall() == []
    store.close()


@real
def test_while_the_server_is_down_operations_fail_and_then_succeed(postgresql: Server) -> None:
    with opened(postgresql.url()) as store:
        store.commit("eu", {"a": LEDGER}, traces=[encoded(1)])
        with postgresql.down():
            for operation in (lambda: store.commit("eu", {"a": None}), lambda: store.load("eu"), store.outbox):
                assert re.search(r"cannot be used: .*; check state\.url", problem(operation))
        assert (store.load("eu").ledgers, waiting(store)) == ({"a": LEDGER}, [1])
        store.commit("eu", {"a": None})
        assert store.load("eu").ledgers == {}


@real
def test_a_read_only_server_is_read_and_written_again_once_it_permits_it(postgresql: Server) -> None:
    with opened(postgresql.url()) as store:
        store.commit("eu", {"a": LEDGER})
        postgresql.execute("ALTER ROLE exporter SET default_transaction_read_only = on")
        postgresql.end_sessions()
        assert "read-only transaction" in problem(lambda: store.commit("eu", {"a": None}))
        assert store.load("eu").ledgers == {"a": LEDGER}
        postgresql.execute("ALTER ROLE exporter RESET default_transaction_read_only")
        assert "read-only transaction" in problem(lambda: store.commit("eu", {"a": None}))
        store.commit("eu", {"a": None})
        assert store.load("eu").ledgers == {}


@real
def test_an_operation_of_a_server_that_hangs_is_given_up(postgresql: Server) -> None:
    with opened(postgresql.url(), response_seconds=1.0, lock_seconds=0.1) as store:
        store.commit("eu", {"a": LEDGER})
        hanging = postgresql.sessions(signal.SIGSTOP)
        try:
            assert "no response for 1 s" in problem(lambda: store.commit("eu", {"a": None}))
            assert "a lost connection of this one has not ended yet" in problem(lambda: store.commit("eu", {"a": None}))
        finally:
            postgresql.sessions(signal.SIGCONT)
        assert eventually(lambda: hanging[0] not in postgresql.sessions(), 30)
        assert store.load("eu").ledgers == {"a": LEDGER}


@real
def test_a_statement_that_waits_for_another_user_of_the_table_is_given_up(postgresql: Server) -> None:
    url = postgresql.url()
    with opened(url, lock_seconds=0.1) as store:
        store.commit("eu", {"a": LEDGER})
        with postgresql.locked(url.rpartition("%3D")[2] + ".workload"):
            assert "lock timeout" in problem(lambda: store.commit("eu", {"a": None}))
        assert store.load("eu").ledgers == {"a": LEDGER}


@real
@pytest.mark.parametrize(("shared", "seconds"), [(False, "20s"), (True, "10s")])
def test_a_replica_that_is_paused_within_a_transaction_blocks_others_for_less_than_a_lease(
    shared: bool, seconds: str, postgresql: Server
) -> None:
    assert IDLE_SECONDS < LEASE_SECONDS
    database = Postgresql(postgresql.url(), shared=shared)
    with database.reading() as db:
        assert db.execute("SHOW idle_in_transaction_session_timeout").fetchone() == (seconds,)
    database.close()


# -- passwords


@real
def test_the_password_comes_from_a_file_and_a_new_one_is_used_when_it_connects_again(
    postgresql: Server, tmp_path: Path
) -> None:
    url, password = postgresql.url(host="127.0.0.1"), tmp_path / "password"
    password.write_text(f"{PASSWORD}\n")
    settings = StateSettings.model_validate({"url": url, "password_file": password})
    store = open_store(settings)
    store.commit("eu", {"a": LEDGER})
    store.close()
    password.write_text("another one")
    shown = problem(lambda: open_store(settings))
    assert 'password authentication failed for user "exporter"' in shown
    assert "another one" not in shown


@real
def test_the_password_may_be_in_the_password_file_of_postgresql(
    postgresql: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, file = postgresql.url(host="127.0.0.1"), tmp_path / "pgpass"
    monkeypatch.setenv("PGPASSFILE", str(file))
    assert "no password supplied" in problem_of_opening(url)
    file.write_text(f"127.0.0.1:{postgresql.port}:*:exporter:{PASSWORD}\n")
    file.chmod(0o600)
    with opened(url) as store:
        store.commit("eu", {"a": LEDGER})


@real
def test_the_parameters_of_libpq_apply(postgresql: Server) -> None:
    url = f"{postgresql.url(host='127.0.0.1')}&sslmode=require"
    assert "server does not support SSL, but SSL was required" in problem_of_opening(url, PASSWORD)


@contextmanager
def echoing() -> Iterator[int]:
    """The port of a server that requests the password in plain text, and refuses it with a message that repeats it.

    Source: PostgreSQL documentation, "Message Formats".
    """

    def serve() -> None:
        with suppress(OSError):  # it is closed
            while True:
                with server.accept()[0] as connection, suppress(OSError):
                    while int.from_bytes(connection.recv(8)[4:]) in (80877103, 80877104):
                        connection.sendall(b"N")  # no TLS, no GSSAPI
                    connection.recv(4096)
                    connection.sendall(b"R\0\0\0\x08\0\0\0\x03")
                    password = connection.recv(4096)[5:-1]
                    fields = b"SFATAL\0VFATAL\0C28P01\0Mno user has " + password + b"\0\0"
                    connection.sendall(b"E" + (len(fields) + 4).to_bytes(4) + fields)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize("given", ["settings", "environment"])
def test_a_password_that_the_server_repeats_is_not_shown(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD if given == "environment" else "not-used")
    with echoing() as port:
        shown = problem_of_opening(f"postgresql://u@127.0.0.1:{port}/x", PASSWORD if given == "settings" else "")
    assert "no user has ***" in shown
    assert PASSWORD not in shown


# -- without a server


def test_an_address_where_no_server_listens_is_an_error_with_a_remedy() -> None:
    shown = problem_of_opening("postgresql://u@127.0.0.1:1/x")
    assert re.search(r"^postgresql://u@127\.0\.0\.1:1/x cannot be used: .*refused.*; check state\.url", shown)


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("postgresql://h/x?sslmod=require", 'invalid URI query parameter: "sslmod"'),
        ("postgresql://h/x?connect_timeout=5", ""),
    ],
)
def test_parameters_are_checked_without_a_connection(url: str, what: str) -> None:
    settings = StateSettings.model_validate({"url": url})
    if not what:
        check_url(settings)
        return
    with pytest.raises(BadSettings, match=f"^state.url: {re.escape(what)}"):
        check_url(settings)


def test_without_psycopg_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "exporter.state.postgresql", None)
    with pytest.raises(BadSettings, match=r"pip install 'datarobot-workload-exporter\[postgres\]'"):
        check_url(StateSettings.model_validate({"url": "postgresql://h/x"}))
    with pytest.raises(StateError, match=r"^postgresql://h/x cannot be used: .*\[postgres\]'"):
        open_database("postgresql://h/x")
