"""Replicas that share many accounts: who holds what, what it costs, and how long a takeover takes.

Real processes, a real PostgreSQL and an API that serves lists from memory, all on one machine. CPU time is compared,
not wall time.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from benchmarks.account_lists import name, token
from exporter.state.leases import LEASE_SECONDS
from tests.e2e.servers import free_port
from tests.postgresql import Server, server

POLL_SECONDS = 0.25
PATIENCE = 600.0
_FLUSHED = b"\x00\x00\xff\xff"
"""Ends each part of the compressed page; the own metrics are the last part, and are compressed without them."""
LOG = """
    CREATE TABLE public.lease_log (at timestamptz, account text, before text, holder text, old bigint, new bigint);
    CREATE FUNCTION public.log_lease() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
        INSERT INTO public.lease_log
            VALUES (clock_timestamp(), NEW.account, OLD.holder, NEW.holder, OLD.epoch, NEW.epoch);
        RETURN NULL;
    END $$;
    CREATE TRIGGER log_lease AFTER UPDATE ON {schema}.lease FOR EACH ROW EXECUTE FUNCTION public.log_lease();
"""
UNLAWFUL = """
    SELECT count(*) FROM public.lease_log WHERE new < old OR (holder IS NOT NULL AND holder IS DISTINCT FROM before
    AND new <> old + 1) OR (holder IS NULL AND new <> old)
"""
"""Changes of a lease that are neither a takeover, which increases its epoch, nor a release."""
REPEATED = """
    SELECT count(*) FROM (SELECT account, new FROM public.lease_log WHERE holder IS NOT NULL
    GROUP BY account, new HAVING count(DISTINCT holder) > 1) AS shared
"""
"""Epochs of an account that two replicas had."""


SIZE = """
    SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'schema_1'::regnamespace
"""


class Window(NamedTuple):
    """What was measured while nothing moved. CPU in seconds of all replicas, MB of each, sweeps of all accounts.

    `uneven`: samples in which an account did not have exactly one holder by the metrics of all replicas.
    """

    seconds: float
    cpu: float
    resident: list[float]
    sweeps: int
    swept: int
    requests: int
    commits: float
    samples: int
    uneven: int


class Measured(NamedTuple):
    """`windows` by number of replicas, seconds of moves, and of the database its bytes and unlawful changes."""

    windows: Mapping[int, Window]
    takeover: float
    taken: int
    even: float
    joined: float
    left: float
    slowest_renewal: float
    bytes: int
    changes: int
    unlawful: int


class _Replica:
    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = (folder / f"log-{self.port}").open("wb")
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "exporter", "run", f"--config.file={folder / 'exporter.yaml'}"),
                *(f"--web.listen-address=127.0.0.1:{self.port}", f"--advertise-url={self.url}", "--shard=auto"),
            ],
            stdout=self._log,
            stderr=self._log,
        )

    def cpu(self) -> float:
        """CPU seconds since its start."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident(self) -> float:
        """Resident memory in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def ready(self) -> bool:
        """Whether it serves all accounts that it monitors."""
        with suppress(OSError):
            return bool(_get(f"{self.url}/-/ready"))
        return False

    def own_metrics(self) -> list[str]:
        """The lines of its metrics about itself, which end the page."""
        page = _get(f"{self.url}/metrics", gzip=True)
        end = page.rindex(_FLUSHED)
        part = page[page.rindex(_FLUSHED, 0, end) + len(_FLUSHED) : end + len(_FLUSHED)]
        return zlib.decompress(part + b"\x03\x00", -15).decode().split("\n")

    def held(self) -> list[str]:
        """The accounts that are its own by its metrics."""
        lines = [line for line in self.own_metrics() if line.startswith('datarobot_exporter_unit_held{account="a')]
        return [line.split('"')[1] for line in lines if line.endswith(" 1.0")]

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)
        self._log.close()


def _get(url: str, *, gzip: bool = False) -> bytes:
    headers = {"accept-encoding": "gzip"} if gzip else {}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as response:
        return bytes(response.read())


class _Trial:
    """The replicas that run. The holder of an account is the name of a replica in the database."""

    def __init__(self, database: Server, api: str, folder: Path, accounts: int, interval: float) -> None:
        self._database, self._api, self._folder, self._interval = database, api, folder, interval
        self.accounts = accounts
        self.replicas: list[_Replica] = []
        self.slowest_renewal = 0.0

    def start(self, count: int) -> None:
        self.replicas += [_Replica(self._folder) for _ in range(count)]

    def counts(self) -> dict[str, dict[str, float]]:
        counts: dict[str, dict[str, float]] = json.loads(_get(f"{self._api}/counts"))
        return counts

    def holders(self) -> dict[str, str]:
        """Accounts that are held by replicas that run, with the URL of these; the empty name is what all share."""
        rows = self._database.execute(
            "SELECT l.account, r.url, extract(epoch FROM clock_timestamp() - r.expires)::float8 "
            "FROM schema_1.lease l JOIN schema_1.replica r ON r.name = l.holder"
        )
        running = {each.url for each in self.replicas}
        for _, url, late in rows:
            if url in running:
                self.slowest_renewal = max(self.slowest_renewal, float(str(late)) + LEASE_SECONDS)
        return {str(account): str(url) for account, url, _ in rows if url in running}

    def settled(self, *, since: float = 0.0, of: frozenset[str] = frozenset(), even: bool = True) -> bool:
        """Whether all accounts are held, evenly, and served, and those `of` were swept after `since`."""
        holders = self.holders()
        spread = Counter(holders.values())
        counts = [spread[each.url] for each in self.replicas]
        if len(holders) <= self.accounts or (even and max(counts) - min(counts) > 1):
            return False
        last = self.counts()["last"]
        return all(last.get(each, 0.0) > since for each in of) and all(each.ready() for each in self.replicas)

    def until(self, condition: Callable[[], bool], what: str) -> float:
        """Seconds until it is true."""
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > PATIENCE:
                raise TimeoutError(f"after {PATIENCE:g} s: not yet {what}")
            time.sleep(POLL_SECONDS)  # between two requests: processes do not signal that they are done
        seconds = time.monotonic() - began
        print(f"  {what}: {seconds:.1f} s", file=sys.stderr, flush=True)
        return seconds

    def window(self) -> Window:
        """Measure for one interval of sweeps, after one in which everything calmed down."""
        time.sleep(self._interval / 2)  # sweeps and commits that the last move caused
        commits, cpu, before = self._commits(), [each.cpu() for each in self.replicas], self.counts()
        began, samples, uneven = time.monotonic(), 0, 0
        while (left := began + self._interval - time.monotonic()) > 0:
            held = sorted(account for each in self.replicas for account in each.held())
            samples, uneven = samples + 1, uneven + (held != [name(number) for number in range(self.accounts)])
            self.holders()
            time.sleep(min(1.0, max(0.0, left)))  # between two samples
        seconds, after = time.monotonic() - began, self.counts()
        sweeps = {each: after["complete"][each] - before["complete"].get(each, 0) for each in after["complete"]}
        found = Window(
            seconds=seconds,
            cpu=sum(each.cpu() for each in self.replicas) - sum(cpu),
            resident=[each.resident() for each in self.replicas],
            sweeps=int(sum(sweeps.values())),
            swept=sum(count > 0 for count in sweeps.values()),
            requests=int(float(str(after["requests"])) - float(str(before["requests"]))),
            commits=(self._commits() - commits) / seconds,
            samples=samples,
            uneven=uneven,
        )
        print(f"  {found}", file=sys.stderr, flush=True)
        return found

    def _commits(self) -> int:
        query = "SELECT xact_commit FROM pg_stat_database WHERE datname = 'postgres'"
        return int(str(self._database.execute(query)[0][0]))


@contextmanager
def _trial(accounts: int, workloads: int, interval: float) -> Iterator[tuple[_Trial, Server]]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port = free_port()
        command = [sys.executable, "-m", "benchmarks.account_lists", str(port), str(accounts), str(workloads)]
        api = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        stack.callback(api.wait)
        stack.callback(api.terminate)
        database = stack.enter_context(server())
        database.execute("ALTER SYSTEM SET autovacuum = on")
        database.execute("SELECT pg_reload_conf()")
        assert api.stdout is not None
        api.stdout.readline()
        url = f"http://127.0.0.1:{port}"
        settings = {
            "accounts": [{"name": name(number), "endpoint": url, "token": token(number)} for number in range(accounts)],
            "sweep": {"interval": interval, "stale_after": 10 * interval},
            "detail": {"enabled": False},
            "state": {"url": database.url()},
        }
        (folder / "exporter.yaml").write_text(json.dumps(settings))
        trial = _Trial(database, url, folder, accounts, interval)
        try:
            yield trial, database
        finally:
            for each in trial.replicas:
                each.stop()


def measured(accounts: int, workloads: int, interval: float) -> Measured:
    """One replica, then four, of which one is killed and started again, then two."""
    with _trial(accounts, workloads, interval) as (trial, database):
        windows: dict[int, Window] = {}
        trial.start(1)
        trial.until(lambda: bool(database.execute("SELECT to_regclass('schema_1.lease')")[0][0]), "a schema")
        database.execute(LOG.format(schema="schema_1"))
        trial.until(trial.settled, "served by one replica")
        windows[1] = trial.window()
        trial.start(3)
        joined = trial.until(trial.settled, "even after three replicas were added")
        windows[4] = trial.window()
        victim = trial.replicas.pop()
        taken, takeover = _killed(trial, victim, database)
        trial.start(1)
        even = trial.until(trial.settled, "even after it was started again")
        stopped, trial.replicas = trial.replicas[2:], trial.replicas[:2]
        for each in stopped:
            each.process.send_signal(signal.SIGTERM)
        left = trial.until(trial.settled, "even after two replicas were stopped")
        for each in stopped:
            each.stop()
        windows[2] = trial.window()
        return Measured(
            windows=windows,
            takeover=takeover,
            taken=taken,
            even=even,
            joined=joined,
            left=left,
            slowest_renewal=trial.slowest_renewal,
            bytes=_number(database, SIZE),
            changes=_number(database, "SELECT count(*) FROM public.lease_log"),
            unlawful=_number(database, UNLAWFUL) + _number(database, REPEATED),
        )


def _killed(trial: _Trial, victim: _Replica, database: Server) -> tuple[int, float]:
    """The number of accounts of a replica, and the seconds from the end of its lease until all are served again."""
    victim.process.kill()
    victim.process.wait()
    killed = time.time()
    rows = database.execute(
        "SELECT l.account, extract(epoch FROM r.expires)::float8 FROM schema_1.lease l JOIN schema_1.replica r "
        f"ON r.name = l.holder WHERE r.url = '{victim.url}' AND l.account <> ''"
    )
    accounts = frozenset(str(account) for account, _ in rows)
    trial.until(lambda: trial.settled(since=killed, of=accounts, even=False), f"{len(accounts)} accounts taken over")
    return len(accounts), time.time() - float(str(rows[0][1]))


def _number(database: Server, query: str) -> int:
    return int(str(database.execute(query)[0][0]))
