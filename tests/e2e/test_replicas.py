"""Real processes that share accounts: whatever happens to one of them, the other serves and pages for it."""

import json
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import Popen
from typing import NamedTuple

import psycopg
import pytest

from exporter.simulator import Simulator
from exporter.state.leases import LEASE_SECONDS
from tests import http
from tests.e2e.servers import eventually, free_port, running
from tests.postgresql import Server

pytestmark = [pytest.mark.real, pytest.mark.long]
ACCOUNTS = ["asia", "eu", "us"]
PATIENCE = LEASE_SECONDS + 45.0


class Replica(NamedTuple):
    url: str
    process: Popen[bytes]

    def held(self) -> set[str]:
        """The accounts that it has by its metrics; the empty name is what all share."""
        page = http.get(f"{self.url}/metrics").text
        return {*re.findall(r'^datarobot_exporter_unit_held\{account="(\w*)"\} 1\.0$', page, re.MULTILINE)}

    def remaining(self) -> float:
        """Seconds for which it may rely on its leases."""
        page = http.get(f"{self.url}/metrics").text
        (found,) = re.findall(r"^datarobot_exporter_lease_remaining_seconds (\S+)$", page, re.MULTILINE)
        return float(found)

    def workloads(self, account: str) -> set[str]:
        """The ids of the workloads that it serves of an account."""
        page = http.get(f"{self.url}/metrics").text
        found = re.findall(rf'^datarobot_workload_info\{{account="{account}".*?workload_id="(\w+)"', page, re.MULTILINE)
        return {*found}

    def served(self) -> set[str]:
        """The accounts of which it serves workloads."""
        page = http.get(f"{self.url}/metrics").text
        return {*re.findall(r'^datarobot_workload_info\{account="(\w+)"', page, re.MULTILINE)}


@contextmanager
def replica(folder: Path) -> Iterator[Replica]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    flags = (
        f"--config.file={folder / 'exporter.yaml'}", f"--web.listen-address=127.0.0.1:{port}",
        "--shard=auto", f"--advertise-url={url}",
    )  # fmt: skip
    with running(folder / f"log-{port}", sys.executable, "-m", "exporter", "run", *flags) as process:
        yield Replica(url, process)


@pytest.fixture
def folder(postgresql: Server, tmp_path: Path) -> Iterator[Path]:
    with ExitStack() as stack:
        apis = [stack.enter_context(Simulator(workloads=20)) for _ in ACCOUNTS]
        settings = {
            "accounts": [
                {"name": name, "endpoint": api.url, "token": api.token}
                for name, api in zip(ACCOUNTS, apis, strict=True)
            ],
            "sweep": {"interval": "2s"},
            "detail": {"enabled": False},
            "state": {"url": postgresql.url()},
        }
        (tmp_path / "exporter.yaml").write_text(json.dumps(settings))
        yield tmp_path


def all_served_once(*replicas: Replica, each_serves: bool = False) -> bool:
    served = [each.served() for each in replicas]
    if each_serves and not all(served):
        return False
    return sorted(account for each in served for account in each) == ACCOUNTS and all(
        each.held() - {""} == accounts for each, accounts in zip(replicas, served, strict=True)
    )


def even(*replicas: Replica) -> bool:
    """Whether no account moves any more, if there are no others."""
    counts = [len(each.held()) for each in replicas]
    return sum(counts) == len(ACCOUNTS) + 1 and max(counts) - min(counts) <= 1


def test_two_replicas_share_the_accounts_and_take_over_from_one_that_is_killed_paused_or_stopped(folder: Path) -> None:
    with replica(folder) as first:
        assert eventually(lambda: all_served_once(first), PATIENCE)
        with replica(folder) as second:
            assert eventually(lambda: even(first, second) and all_served_once(first, second), PATIENCE)
            link = f'held by another replica: <a href="{second.url}/"'
            assert eventually(lambda: link in http.get(first.url).text, PATIENCE), "the page is made every five seconds"
            (account, *_) = sorted(second.served())
            (workload, *_) = sorted(second.workloads(account))
            at, there = (f"{url}/workloads/{workload}?account={account}" for url in (first.url, second.url))
            linked = f'href="{there}"'
            assert eventually(lambda: linked in http.get(at).text, PATIENCE), "it knows the holder after its next turn"
            assert http.get(at).status_code == 404
            assert http.get(there).status_code == 200

            second.process.send_signal(signal.SIGSTOP)
            assert eventually(lambda: all_served_once(first), PATIENCE)
            second.process.send_signal(signal.SIGCONT)
            assert eventually(lambda: all_served_once(first, second, each_serves=True), PATIENCE)

            second.process.kill()
            assert eventually(lambda: all_served_once(first), PATIENCE)
        with replica(folder) as third:
            assert eventually(lambda: all_served_once(first, third, each_serves=True), PATIENCE)
            first.process.send_signal(signal.SIGTERM)
            first.process.wait(PATIENCE)
            with psycopg.connect(json.loads((folder / "exporter.yaml").read_text())["state"]["url"]) as database:
                holders = database.execute("SELECT DISTINCT url FROM replica").fetchall()
            assert holders == [(third.url,)], "it gives its leases back before it ends"
            assert eventually(lambda: all_served_once(third), PATIENCE)


def test_while_the_database_is_away_both_serve_and_afterwards_none_has_lost_an_account(
    folder: Path, postgresql: Server
) -> None:
    with replica(folder) as first, replica(folder) as second:
        assert eventually(lambda: even(first, second) and all_served_once(first, second), PATIENCE)
        before = first.held(), second.held()
        with postgresql.down():
            assert eventually(lambda: first.remaining() == second.remaining() == 0.0, PATIENCE)
            assert (first.served(), second.served()) == tuple(accounts - {""} for accounts in before)
        assert eventually(lambda: first.remaining() > 0.0 and second.remaining() > 0.0, PATIENCE)
        assert (first.held(), second.held()) == before


def test_an_exporter_that_does_not_share_is_refused_beside_replicas(folder: Path) -> None:
    with replica(folder) as first:
        assert eventually(lambda: all_served_once(first), PATIENCE)
        log, flag = folder / "log", f"--config.file={folder / 'exporter.yaml'}"
        with running(log, sys.executable, "-m", "exporter", "run", flag) as alone:
            assert alone.wait(30) == 1
        assert "is in use by another exporter; give each exporter a database" in log.read_text()
