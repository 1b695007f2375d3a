"""A PostgreSQL server from the system's packages."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg

from tests.components import component
from tests.e2e.servers import eventually, free_port

PASSWORD = "Pg/Pass+w0rd=x"


def _as_user() -> list[str]:
    """PostgreSQL refuses to run as root."""
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.getuid() == 0 else []


def _program(name: str) -> str:
    """The path of a program that Debian keeps out of the PATH."""
    return component(name, *map(str, sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))))


class Server:
    """A server on a Unix socket, where no password is needed, and on a port of loopback, where it is `PASSWORD`."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self._postgres: subprocess.Popen[bytes] | None = None
        self._schemas = 0

    @property
    def pid(self) -> int:
        assert self._postgres is not None
        return self._postgres.pid

    def start(self) -> None:
        """Start, and wait until connections are accepted."""
        program = _program("postgres")
        with (self.folder / "log").open("ab") as log:
            self._postgres = subprocess.Popen(
                [*_as_user(), program, "-D", str(self.folder / "data")], cwd=self.folder, stdout=log, stderr=log
            )
        assert eventually(self._accepts, 60), (self.folder / "log").read_text()

    def _accepts(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            return bool(self.execute("SELECT 1"))
        return False

    def stop(self) -> None:
        """Stop at once; the connections are lost."""
        if self._postgres is not None:
            self._postgres.send_signal(signal.SIGCONT)
            self._postgres.send_signal(signal.SIGQUIT)
            self._postgres.wait(timeout=30)
            self._postgres = None

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """The server does not run meanwhile."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def execute(self, sql: str) -> list[tuple[object, ...]]:
        """The rows of a statement of an administrator."""
        address = f"host={self.folder} port={self.port} user=postgres dbname=postgres"
        with psycopg.connect(address, autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    @contextlib.contextmanager
    def locked(self, table: str) -> Iterator[None]:
        """Another user of the database has locked a table meanwhile."""
        with psycopg.connect(f"host={self.folder} port={self.port} user=postgres dbname=postgres") as connection:
            connection.execute(f"LOCK TABLE {table}".encode())
            yield

    def url(self, schema: str = "", host: str = "") -> str:
        """The URL of a new schema, or of this one, for the user `exporter`; over the Unix socket without a host."""
        if not schema:
            self._schemas += 1
            schema = f"schema_{self._schemas}"
            self.execute(f"CREATE SCHEMA {schema} AUTHORIZATION exporter")
        host = host or str(self.folder).replace("/", "%2F")
        return f"postgresql://exporter@{host}:{self.port}/postgres?options=-csearch_path%3D{schema}"

    def sessions(self, signalled: signal.Signals | None = None) -> list[int]:
        """The processes that serve the user `exporter`, after they got a signal."""
        rows = self.execute("SELECT pid FROM pg_stat_activity WHERE usename = 'exporter'")
        found = [int(str(pid)) for (pid,) in rows]
        if signalled is not None:
            for pid in found:
                os.kill(pid, signalled)
        return found

    def end_sessions(self) -> None:
        """End the connections of the user `exporter`, as when the server restarts, and wait for it."""
        self.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'exporter'")
        assert eventually(lambda: not self.sessions(), 30)


@contextlib.contextmanager
def server() -> Iterator[Server]:
    """A running server with data of its own, which are removed at the end."""
    initdb = _program("initdb")
    folder = Path(tempfile.mkdtemp(prefix="postgresql-"))  # in a folder of pytest only its own user may enter
    try:
        (folder / "password").write_text(PASSWORD)
        if os.getuid() == 0:
            for path in (folder, folder / "password"):
                shutil.chown(path, pwd.getpwnam("nobody").pw_uid, pwd.getpwnam("nobody").pw_gid)
        flags = ["--username=postgres", "--auth-local=trust", "--auth-host=scram-sha-256", "--no-sync", "--no-locale"]
        flags += [f"--pwfile={folder / 'password'}", "--encoding=UTF8", f"--pgdata={folder / 'data'}"]
        done = subprocess.run([*_as_user(), initdb, *flags], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        made = Server(folder, free_port())
        settings = {"port": made.port, "listen_addresses": "'127.0.0.1'", "unix_socket_directories": f"'{folder}'"}
        settings |= {"fsync": "off", "shared_buffers": "16MB", "max_connections": 30, "autovacuum": "off"}
        with (folder / "data" / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = {value}\n" for name, value in settings.items())
        try:
            made.start()
            made.execute(f"CREATE ROLE exporter LOGIN PASSWORD '{PASSWORD}'")
            yield made
        finally:
            made.stop()
    finally:
        shutil.rmtree(folder)
