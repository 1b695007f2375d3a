"""`healthcheck` finds the daemon with its real address and requirements, and reports what is not healthy."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import bcrypt
import pytest
import uvloop

from exporter.cli.context import Context
from exporter.cli.healthcheck import run
from exporter.cli.main import parser
from exporter.cli.own_server import tls_problem
from exporter.cli.web_settings import DaemonAddress, daemon_address
from exporter.redaction import Secrets
from exporter.web.server import Server
from exporter.web.web_config import WebSecurity
from tests.web.serving import Served
from tests.web.test_web_config import TLS, certificate

CLIENT = "  client_ca_file: client.pem\n  client_auth_type: "
AUTH = f"basic_auth_users: {{scraper: '{bcrypt.hashpw(b'x', bcrypt.gensalt(4)).decode()}'}}\n"


def context(*flags: str) -> Context:
    return Context(parser("healthcheck").parse_args(["healthcheck", *flags]), Secrets())


def checked(folder: Path, web: str, served: Served | None = None, *flags: str) -> int:
    """The exit status for a server with this web-config file."""
    for name in ("server", "client"):
        certificate(folder, name)
    file = folder / "web.yml"
    file.write_text(web)
    served = served or Served()

    async def inside() -> int:
        security = WebSecurity(file)
        served.application.passwords = security.passwords
        server = Server(served.application, ["127.0.0.1:0"], lambda: security.tls)
        running = asyncio.create_task(server.run_until_stopped())
        port = server.addresses[0][1]
        try:
            address = f"--web.listen-address=:{port}"
            return await asyncio.to_thread(run, context(address, f"--web.config.file={file}", *flags))
        finally:
            server.stop()
            await running

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as the daemon
        return runner.run(inside())


@pytest.mark.parametrize(
    "web",
    [
        "{}",
        AUTH,
        TLS,
        TLS + AUTH,
        TLS + CLIENT + "VerifyClientCertIfGiven\n",
        TLS + CLIENT + "RequireAndVerifyClientCert\n",
        TLS + CLIENT + "RequireAndVerifyClientCert\n  max_version: TLS12\n",
        TLS + CLIENT + "RequireAndVerifyClientCert\n" + AUTH,
    ],
    ids=[
        "plain",
        "auth",
        "TLS",
        "TLS, auth",
        "optional certificate",
        "required",
        "required, TLS 1.2",
        "required, auth",
    ],
)
def test_a_daemon_is_healthy_regardless_of_what_it_requires_of_clients(tmp_path: Path, web: str) -> None:
    assert checked(tmp_path, web) == 0


def test_a_daemon_without_recent_metrics_is_not_healthy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    served = Served()
    served.age = 99.0
    assert checked(tmp_path, TLS, served) == 1
    assert "returned 503: not healthy: the metrics were last updated 99 s ago" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("login", "reason", "said"),
    [
        ("scraper:x", "", ""),
        ("scraper:x", "account prod: not swept yet", "returned 503: not ready: account prod: not swept yet"),
        ("", "", "returned 401: Unauthorized; set WORKLOAD_EXPORTER_LOGIN=USER:PASSWORD"),
    ],
)
def test_readiness_is_requested_with_the_login_in_the_environment(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    login: str,
    reason: str,
    said: str,
) -> None:
    served = Served()
    served.reason = reason
    monkeypatch.setenv("WORKLOAD_EXPORTER_LOGIN", login)
    assert checked(tmp_path, TLS + AUTH, served, "--ready") == bool(said)
    shown = capsys.readouterr().err
    assert said in shown
    assert login not in shown or not login


def test_a_server_that_requires_a_certificate_must_respond_with_tls(tmp_path: Path) -> None:
    async def plain(host: str, port: int) -> str:
        return await asyncio.to_thread(tls_problem, f"{host}:{port}")

    assert Served().serve(plain).endswith(" does not respond with TLS")
    assert " cannot be reached: " in tls_problem("127.0.0.1:1")


def line(*arguments: str) -> bytes:
    return b"".join(argument.encode() + b"\0" for argument in arguments)


PYTHON = "/opt/exporter/bin/python"
SCRIPT = "/opt/exporter/bin/workload-exporter"


@pytest.mark.parametrize(
    ("arguments", "address"),
    [
        ((PYTHON, SCRIPT, "run", "--web.listen-address=:8080"), ":8080"),
        ((PYTHON, SCRIPT, "--web.listen-address", "[::1]:8080", "--state.path", "x"), "[::1]:8080"),
        (
            (PYTHON, "-m", "exporter", "demo", "--demo.speed=60", "--web.listen-address=:1", "--web.listen-address=:2"),
            ":1",
        ),
        (("/sbin/docker-init", "--", "workload-exporter", "run", "--web.listen-address=:8080"), ":8080"),
        ((PYTHON, SCRIPT, "run"), "127.0.0.1:10142"),
        ((PYTHON, SCRIPT, "run", "--web.listen-address"), "127.0.0.1:10142"),
        ((PYTHON, "-m"), "127.0.0.1:10142"),
        (("/sbin/init", "--web.listen-address=:8080"), "127.0.0.1:10142"),
        ((), "127.0.0.1:10142"),
    ],
)
def test_without_flags_those_of_the_first_process_are_used(
    tmp_path: Path, arguments: Sequence[str], address: str
) -> None:
    file = tmp_path / "cmdline"
    file.write_bytes(line(*arguments))
    assert daemon_address(context(), file) == DaemonAddress(address)


def test_its_own_flags_replace_those_of_the_first_process(tmp_path: Path) -> None:
    file = tmp_path / "cmdline"
    file.write_bytes(line(SCRIPT, "run", "--web.listen-address=:8080", "--web.config.file=absent"))
    assert daemon_address(context("--web.listen-address=:9090"), file) == DaemonAddress(":9090")


def test_files_named_by_the_first_process_are_read(tmp_path: Path) -> None:
    settings, web, file = tmp_path / "exporter.yaml", tmp_path / "web.yml", tmp_path / "cmdline"
    settings.write_text(f"web: {{listen_address: [':8080'], config_file: {web}}}\n")
    web.write_text(TLS + CLIENT + "RequireAndVerifyClientCert\n")
    file.write_bytes(line(SCRIPT, "run", f"--config.file={settings}"))
    assert daemon_address(context(), file) == DaemonAddress(":8080", True, True)


def test_without_a_first_process_the_default_is_used(tmp_path: Path) -> None:
    assert daemon_address(context(), tmp_path / "absent") == DaemonAddress("127.0.0.1:10142")
