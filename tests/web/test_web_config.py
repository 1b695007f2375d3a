"""The web-config file: TLS and basic auth over real sockets, and error messages."""

import asyncio
import contextlib
import os
import shutil
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvloop

from exporter.settings.problems import BadSettings
from exporter.web.application import ServerLimits
from exporter.web.server import Server
from exporter.web.web_config import WebSecurity, read_web_config
from tests.components import component
from tests.web.serving import Served

HASH = "$2b$04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy"  # of: open sesame


def certificate(folder: Path, name: str = "server", host: str = "127.0.0.1", days: int = 2) -> None:
    """A self-signed certificate ``name.pem`` with its key ``name.key``."""
    subprocess.run(
        [
            *(
                component("openssl"),
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
            ),
            *("-days", str(days), "-subj", f"/CN={name}", "-addext", f"subjectAltName=IP:{host}"),
            *("-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.pem")),
        ],
        check=True,
        capture_output=True,
    )


def problems(folder: Path, text: str) -> list[str]:
    file = folder / "web.yml"
    file.write_text(text)
    with pytest.raises(BadSettings) as raised:
        read_web_config(file)
    return [str(problem).removeprefix(f"{file}: ") for problem in raised.value.problems]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tls_server_conf: {}", "tls_server_conf (line 1): unknown setting; did you mean tls_server_config?"),
        (
            "basic_auth_users: {a: secret}",
            "basic_auth_users.a (line 1): not a bcrypt hash; create one with: htpasswd -nBC 10",
        ),
        (f"basic_auth_users: {{a: '$2b$32${HASH[7:]}'}}", "basic_auth_users.a (line 1): not a bcrypt hash"),
        (f"basic_auth_users: {{a: '$2b$04${'9' * 53}'}}", "basic_auth_users.a (line 1): not a bcrypt hash"),
        ("http_server_config: {http2: true}", "http_server_config.http2 (line 1): HTTP/2 is not supported"),
        ("tls_server_config: {cert_file: a}", "tls_server_config.key_file (line 1): is required"),
        (
            "tls_server_config: {cert_file: a, key_file: b}",
            "tls_server_config (line 1): cannot be used: [Errno 2] No such",
        ),
        (
            "tls_server_config: {cert_file: a, key_file: b, client_auth_type: RequireAnyClientCert}",
            "tls_server_config.client_auth_type (line 1): must be 'NoClientCert', ",
        ),
        ("basic_auth_users: [", "invalid YAML: "),
    ],
)
def test_each_error_names_its_place(tmp_path: Path, text: str, expected: str) -> None:
    (problem,) = problems(tmp_path, text)
    assert expected in problem


def test_a_hash_is_never_shown(tmp_path: Path) -> None:
    assert HASH not in "".join(problems(tmp_path, f"basic_auth_users: {{a: '{HASH}'}}\nodd: 1"))


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("client_auth_type: RequireAndVerifyClientCert", "needs client_ca_file"),
        ("cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]", "unknown cipher suites TLS_RSA_WITH_RC4_128_SHA"),
        ("client_ca_file: nothing.pem", "No such file"),
    ],
)
def test_unusable_tls_settings_are_reported(tmp_path: Path, more: str, expected: str) -> None:
    certificate(tmp_path)
    (problem,) = problems(tmp_path, f"tls_server_config: {{cert_file: server.pem, key_file: server.key, {more}}}")
    assert expected in problem


def test_a_key_that_does_not_match_is_reported(tmp_path: Path) -> None:
    certificate(tmp_path)
    certificate(tmp_path, "other")
    (problem,) = problems(tmp_path, "tls_server_config: {cert_file: server.pem, key_file: other.key}")
    assert "check that they are readable PEM files and that the key matches" in problem


async def nothing(_: int) -> None:
    """Default of `before` and `after`."""


class Secured:
    """A server with a web-config file; `get` sends requests with or without a client certificate."""

    def __init__(
        self,
        folder: Path,
        text: str,
        limits: ServerLimits = ServerLimits(),  # noqa: B008 — immutable
    ) -> None:
        self.folder, self.file = folder, folder / "web.yml"
        self.file.write_text(text)
        self.security = WebSecurity(self.file)
        self.served = Served(limits=limits)
        self.served.application.passwords = self.security.passwords

    def get(
        self,
        *requests: dict[str, Any],
        scheme: str = "https",
        cert: tuple[str, str] | None = None,
        path: str = "/metrics",
        before: Callable[[int], Awaitable[Any]] = nothing,
        after: Callable[[int], Awaitable[Any]] = nothing,
    ) -> list[int]:
        async def inside() -> list[int]:
            server = Server(self.served.application, ["127.0.0.1:0"], lambda: self.security.tls)
            running = asyncio.create_task(server.run_until_stopped())
            context = ssl.create_default_context()
            if scheme == "https":
                context.load_verify_locations(self.folder / "server.pem")
            if cert:
                context.load_cert_chain(self.folder / cert[0], self.folder / cert[1])
            port = server.addresses[0][1]
            try:
                await before(port)
                async with httpx.AsyncClient(verify=context, trust_env=False) as client:
                    url = f"{scheme}://127.0.0.1:{port}{path}"
                    return [(await client.get(url, **request)).status_code for request in requests]
            finally:
                await after(port)
                server.stop()
                await running

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as the daemon
            return runner.run(inside())


TLS = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n"


def test_tls_is_served_and_plain_http_is_not(tmp_path: Path) -> None:
    certificate(tmp_path)
    secured = Secured(
        tmp_path, TLS + "  min_version: TLS12\n  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]\n"
    )
    assert secured.get({}) == [200]
    with pytest.raises(httpx.TransportError):
        secured.get({}, scheme="http")


def test_a_client_certificate_is_required_and_verified(tmp_path: Path) -> None:
    certificate(tmp_path)
    certificate(tmp_path, "client")
    certificate(tmp_path, "stranger")
    secured = Secured(tmp_path, TLS + "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: client.pem\n")
    assert secured.get({}, cert=("client.pem", "client.key")) == [200]
    for cert in (None, ("stranger.pem", "stranger.key")):
        with pytest.raises(httpx.TransportError):
            secured.get({}, cert=cert)


def test_unfinished_tls_handshakes_do_not_lock_out_clients(tmp_path: Path) -> None:
    certificate(tmp_path)
    secured = Secured(tmp_path, TLS)
    opened = []

    async def strangers(port: int) -> None:
        opened.extend([await asyncio.open_connection("127.0.0.1", port) for _ in range(ServerLimits().connections)])

    async def the_first_is_closed(port: int) -> None:
        with contextlib.suppress(ConnectionResetError):
            assert await opened[0][0].read() == b""
        for _, writer in opened:
            writer.transport.abort()

    assert secured.get({}, before=strangers, after=the_first_is_closed) == [200]
    assert secured.served.closed == {"idle": 1}


def test_a_slow_tls_handshake_is_aborted(tmp_path: Path) -> None:
    certificate(tmp_path)
    secured = Secured(tmp_path, TLS, ServerLimits(head_seconds=0.1))

    async def stranger(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(ConnectionResetError):
            async with asyncio.timeout(10):
                assert await reader.read() == b""
        writer.close()

    assert secured.get({}, before=stranger) == [200]
    assert secured.served.closed == {"slow_head": 1}


@pytest.mark.parametrize("path", ["/metrics", "/"])
def test_only_a_user_with_the_password_is_accepted(tmp_path: Path, path: str) -> None:
    secured = Secured(tmp_path, f"basic_auth_users: {{prometheus: '{HASH}'}}\n")
    assert secured.get(
        {},
        {"auth": ("prometheus", "open sesame")},
        {"auth": ("prometheus", "open sesame")},
        {"auth": ("prometheus", "wrong")},
        {"auth": ("nobody", "open sesame")},
        {"headers": {"authorization": "Basic ???"}},
        {"headers": {"authorization": "Bearer x"}},
        scheme="http",
        path=path,
    ) == [401, 200, 200, 401, 401, 401, 401]


def refresh(security: WebSecurity) -> None:
    """Apply what has changed: at the second call it has not changed again, at the third what is new in it neither."""

    async def thrice() -> None:
        for _ in range(3):
            await security.refresh()

    asyncio.run(thrice())


SESAME = {"auth": ("a", "open sesame")}


def test_a_changed_file_and_certificate_are_applied_unless_invalid(tmp_path: Path) -> None:
    certificate(tmp_path)
    secured = Secured(tmp_path, TLS)
    assert secured.get({}) == [200]
    secured.file.write_text(TLS + f"basic_auth_users: {{a: '{HASH}'}}\n")
    certificate(tmp_path, days=3)
    refresh(secured.security)
    assert secured.get({}, SESAME) == [401, 200]
    secured.file.write_text("odd: 1")
    refresh(secured.security)
    assert secured.get({}, SESAME) == [401, 200]


def test_a_new_client_authority_is_applied(tmp_path: Path) -> None:
    for name in ("server", "client", "other"):
        certificate(tmp_path, name)
    shutil.copy(tmp_path / "client.pem", tmp_path / "ca.pem")
    secured = Secured(tmp_path, TLS + "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n")
    assert secured.get({}, cert=("client.pem", "client.key")) == [200]
    shutil.copy(tmp_path / "other.pem", tmp_path / "ca.pem")
    refresh(secured.security)
    assert secured.get({}, cert=("other.pem", "other.key")) == [200]
    with pytest.raises(httpx.TransportError):
        secured.get({}, cert=("client.pem", "client.key"))


def test_changed_tls_settings_are_applied(tmp_path: Path) -> None:
    certificate(tmp_path)
    secured = Secured(tmp_path, "basic_auth_users: {}\n")
    assert secured.get({}, scheme="http") == [200]
    secured.file.write_text(TLS)
    refresh(secured.security)
    assert secured.get({}) == [200]


def test_a_certificate_whose_key_is_not_there_yet_is_applied_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    certificate(tmp_path)
    secured = Secured(tmp_path, TLS)
    certificate(tmp_path, "next")
    key = (tmp_path / "next.key").rename(tmp_path / "key")
    secured.file.write_text(TLS.replace("server.", "next."))
    for _ in range(3):
        refresh(secured.security)
    assert secured.get({}) == [200]
    assert caplog.text.count("invalid web config; the old one stays in force") == 1
    key.rename(tmp_path / "next.key")
    refresh(secured.security)
    with pytest.raises(httpx.TransportError):  # it trusts the old certificate only
        secured.get({})


@pytest.mark.parametrize("first", ["server.pem", "server.key"])
def test_a_certificate_and_its_key_are_replaced_in_any_order_and_half_of_one_is_never_used(
    tmp_path: Path, first: str
) -> None:
    for folder in ("old", "new"):
        (tmp_path / folder).mkdir()
        certificate(tmp_path / folder)
    for name in ("server.pem", "server.key"):
        shutil.copy(tmp_path / "old" / name, tmp_path)
    secured = Secured(tmp_path, TLS)
    second = "server.key" if first == "server.pem" else "server.pem"

    def served(folder: str) -> bool:
        """Whether a client that trusts only this certificate is served."""
        secured.folder = tmp_path / folder
        try:
            return secured.get({}) == [200]
        except httpx.TransportError:
            return False

    for name, checks in ((first, 3), (second, 1)):
        whole = (tmp_path / "new" / name).read_text()
        for text in (whole[:60], whole):
            (tmp_path / name).write_text(text)
            for _ in range(checks):
                asyncio.run(secured.security.refresh())
            assert served("old")
    refresh(secured.security)
    assert (served("old"), served("new")) == (False, True)


def test_files_that_a_changed_file_names_may_still_be_written(tmp_path: Path) -> None:
    for name in ("server", "next", "client"):
        certificate(tmp_path, name)
    secured = Secured(tmp_path, TLS)
    ca, own = tmp_path / "ca.pem", (tmp_path / "client.pem").read_text()
    ca.write_text((tmp_path / "next.pem").read_text())  # the first of two authorities
    secured.file.write_text(TLS + "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n")
    for _ in range(2):
        asyncio.run(secured.security.refresh())
    ca.write_text(ca.read_text() + own)
    asyncio.run(secured.security.refresh())
    assert secured.get({}) == [200]  # no client certificate is required yet
    refresh(secured.security)
    assert secured.get({}, cert=("client.pem", "client.key")) == [200]


@pytest.mark.parametrize("text", ["", TLS, f"basic_auth_users: {{a: '{HASH}'}}\n"], ids=["all", "users", "TLS"])
def test_protection_is_removed_at_the_next_start_only(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    certificate(tmp_path)
    secured = Secured(tmp_path, TLS + f"basic_auth_users: {{a: '{HASH}'}}\n")
    secured.file.write_text(text)
    refresh(secured.security)
    assert secured.get({}, SESAME) == [401, 200]
    problems = [vars(record)["fields"]["problem"] for record in caplog.records]
    assert problems
    assert all(problem.endswith(": removed, which takes effect at the next start") for problem in problems)


def test_a_file_that_is_being_written_is_not_applied_yet(tmp_path: Path) -> None:
    secured = Secured(tmp_path, f"basic_auth_users: {{a: '{HASH}'}}\n")
    secured.file.write_text("basic_auth_users: {b: ")
    asyncio.run(secured.security.refresh())
    secured.file.write_text(f"basic_auth_users: {{b: '{HASH}'}}\n")
    asyncio.run(secured.security.refresh())
    assert secured.get(SESAME, {"auth": ("b", "open sesame")}, scheme="http") == [200, 401]
    asyncio.run(secured.security.refresh())
    assert secured.get(SESAME, {"auth": ("b", "open sesame")}, scheme="http") == [401, 200]


def test_a_disk_that_hangs_delays_no_request(tmp_path: Path) -> None:
    secured = Secured(tmp_path, f"basic_auth_users: {{a: '{HASH}'}}\n")
    secured.file.unlink()
    os.mkfifo(secured.file)  # opening it waits for a writer

    async def hang(_: int) -> None:
        hanging = asyncio.create_task(secured.security.refresh())
        await asyncio.sleep(0)  # let the other tasks run
        await secured.security.refresh()  # one at a time
        assert not hanging.done()

    async def release(_: int) -> None:
        await asyncio.to_thread(secured.file.write_text, "odd: 1")

    assert secured.get({}, SESAME, scheme="http", before=hang, after=release) == [401, 200]


def test_a_file_that_never_opens_does_not_keep_the_process_from_ending(tmp_path: Path) -> None:
    secured = Secured(tmp_path, f"basic_auth_users: {{a: '{HASH}'}}\n")
    secured.file.unlink()
    os.mkfifo(secured.file)

    async def hang() -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                await secured.security.refresh()

    asyncio.run(hang())  # at its end, it waits for the threads of the default executor
    secured.file.write_text("odd: 1")


@pytest.mark.parametrize("word", ["false", "no", "off"])
def test_http2_accepts_the_false_values_of_go(tmp_path: Path, word: str) -> None:
    file = tmp_path / "web.yml"
    file.write_text(f"http_server_config: {{http2: {word}}}")
    http = read_web_config(file).http_server_config
    assert http is not None
    assert http.http2 is False
