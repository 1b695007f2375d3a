"""The daemon with its state in PostgreSQL: it serves whatever the database does, and loses nothing."""

import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

import pytest

from exporter.simulator import Simulator
from exporter.state.postgresql import Postgresql
from exporter.state.store import Store
from tests import http
from tests.cli.test_main import run
from tests.e2e.servers import eventually, free_port, running
from tests.postgresql import PASSWORD, Server

SWEEPS = 'sweeps_total{account="eu",lane="status"}'
pytestmark = [pytest.mark.real, pytest.mark.long]


@pytest.fixture(scope="module")
def api() -> Iterator[Simulator]:
    with Simulator(workloads=40, speed=60) as made:
        yield made


class Exporter:
    """A running daemon."""

    def __init__(self, url: str, log: Path, process: Popen[bytes]) -> None:
        self._url, self._log, self.process = url, log, process

    @property
    def log(self) -> str:
        return self._log.read_text()

    def value(self, name: str) -> float | None:
        """The value of one of its own metrics; None: it has none."""
        found = re.search(rf"^datarobot_exporter_{name} (\S+)$", http.get(f"{self._url}/metrics").text, re.MULTILINE)
        return None if found is None else float(found[1])

    def until(self, name: str, above: float) -> float:
        """The value of a metric once it is greater."""
        assert eventually(lambda: (self.value(name) or 0.0) > above, 60), (name, self.value(name), self.log)
        return self.value(name) or 0.0


@pytest.fixture
def settings(api: Simulator, postgresql: Server, tmp_path: Path) -> Path:
    (tmp_path / "password").write_text(PASSWORD)
    file = tmp_path / "exporter.yaml"
    given = {
        "accounts": [{"name": "eu", "endpoint": api.url, "token": api.token, "requests_per_second": 200}],
        "sweep": {"interval": "1s"},
        "detail": {"enabled": False},
        "state": {"url": postgresql.url(host="127.0.0.1"), "password_file": str(tmp_path / "password")},
    }
    file.write_text(json.dumps(given))
    return file


@contextmanager
def exporter(settings: Path) -> Iterator[Exporter]:
    port, log = free_port(), settings.with_name("log")
    flags = (f"--config.file={settings}", f"--web.listen-address=127.0.0.1:{port}")
    with running(log, sys.executable, "-m", "exporter", "run", *flags) as process:
        yield Exporter(f"http://127.0.0.1:{port}", log, process)


def test_the_daemon_serves_while_the_database_restarts_is_read_only_or_hangs(
    settings: Path, postgresql: Server
) -> None:
    with exporter(settings) as daemon:
        commits = daemon.until("state_commits_total", 0.0)
        assert (daemon.value("state_size_bytes") or 0.0) > 0.0

        with postgresql.down():
            failures = daemon.until("state_commit_failures_total", 0.0)
            sweeps = daemon.until(SWEEPS, 0.0)
            daemon.until(SWEEPS, sweeps)
        commits = daemon.until("state_commits_total", commits)

        postgresql.execute("ALTER ROLE exporter SET default_transaction_read_only = on")
        postgresql.end_sessions()
        failures = daemon.until("state_commit_failures_total", failures + 1.0)
        postgresql.execute("ALTER ROLE exporter RESET default_transaction_read_only")
        commits = daemon.until("state_commits_total", commits)

        hanging = postgresql.sessions(signal.SIGSTOP)
        try:
            daemon.until("state_commit_failures_total", failures)
        finally:
            for pid in hanging:
                os.kill(pid, signal.SIGCONT)
        daemon.until("state_commits_total", commits)
    assert daemon.process.returncode == 0
    assert "the state cannot be written; retrying" in daemon.log
    assert PASSWORD not in daemon.log


def test_a_second_daemon_is_refused_and_a_killed_one_continues(settings: Path, postgresql: Server) -> None:
    state = json.loads(settings.read_text())["state"]

    def ledgers() -> int:
        store = Store(Postgresql(state["url"], lambda: PASSWORD))
        try:
            return len(store.load("eu").ledgers)
        finally:
            store.close()

    with exporter(settings) as daemon:
        daemon.until("state_commits_total", 0.0)
        status, out, err = run("run", f"--config.file={settings}", "--web.listen-address=127.0.0.1:0")
        assert (status, out) == (1, "")
        assert re.fullmatch(r"workload-exporter: postgresql://\S+ is in use by another exporter; give each .*\n", err)
        daemon.process.kill()
        daemon.process.wait()
    kept = ledgers()
    assert kept > 30
    with exporter(settings) as daemon:
        daemon.until("state_commits_total", 0.0)
        assert daemon.value('state_lost_total{kind="rows"}') in (None, 0.0)
    assert ledgers() >= kept


def test_check_accepts_the_settings_without_a_connection_and_shows_no_password(
    settings: Path, postgresql: Server
) -> None:
    status, out, err = run("check", f"--config.file={settings}")
    assert (status, err) == (0, "")
    assert "valid: state in postgresql://exporter@127.0.0.1:" in out
    assert PASSWORD not in out
