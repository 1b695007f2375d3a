"""Requests to the HTTP server of the running daemon."""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import ssl
import urllib.error
import urllib.request

from exporter import redaction
from exporter.failures import MARGIN_BYTES, MAX_BODY_BYTES, beginning, one_line
from exporter.settings.values import listen_address

LOGIN = "WORKLOAD_EXPORTER_LOGIN"
"""The environment variable with ``USER:PASSWORD`` for a daemon that requires basic auth."""


def request(
    address: str,
    tls: bool,
    path: str,
    *,
    method: str = "GET",
    login: str = "",
    timeout: float = 5.0,
    accept: str = "*/*",
) -> tuple[int, str]:
    """Status and body of the response of the server at a listen address; status 0 and the reason if there is none.

    The text of an error response has its URL and status in front. `login` is ``USER:PASSWORD`` for basic auth; it is
    removed from the text, because another program may listen at the address. `timeout` is in seconds. `accept`: media
    type.
    """
    secrets = redaction.Secrets()
    secrets.learn(login, redaction.login)
    host, port = _reachable(address)
    shown = f"[{host}]" if ":" in host else host
    url = f"http{'s' if tls else ''}://{shown}:{port}{path}"
    https = urllib.request.HTTPSHandler(context=_any_certificate())
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), https, _NoRedirects)
    # `web.hosts` always includes localhost.
    headers = {"x-requested-by": "workload-exporter", "host": "localhost", "accept": accept}
    prepared = urllib.request.Request(url, method=method, headers=headers)  # noqa: S310 — always http or https
    if login:
        prepared.add_header("authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    place = url.partition("?")[0]
    try:
        with opener.open(prepared, timeout=timeout) as response:
            return response.status, secrets.clean(response.read()).decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        with error:
            body = beginning(error.read(MAX_BODY_BYTES + MARGIN_BYTES), secrets.clean).decode("utf-8", "replace")
            return error.code, f"{place} returned {error.code}: {one_line(body)}"
    except Exception as error:  # noqa: BLE001 — what listens there need not speak HTTP
        reason = secrets.text(str(getattr(error, "reason", error)))
        return 0, f"{place} cannot be reached: {one_line(reason)}"


def request_with_login(
    address: str, tls: bool, path: str, *, method: str = "GET", timeout: float = 5.0, accept: str = "*/*"
) -> tuple[int, str]:
    """`request` with the login in the environment, if there is one; the text of a 401 says how to give it, and that of
    a server that cannot be reached how to give another address.
    """
    status, text = request(
        address, tls, path, method=method, login=os.environ.get(LOGIN, ""), timeout=timeout, accept=accept
    )
    hints = {
        401: f"; set {LOGIN}=USER:PASSWORD",
        0: "; if the daemon listens elsewhere: --web.listen-address=HOST:PORT",
    }
    return status, text + hints.get(status, "")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect is an error: another host must not receive the login."""

    def redirect_request(self, *_: object) -> None:
        return None


def tls_problem(address: str, timeout: float = 5.0) -> str:
    """The reason why no TLS server responds at a listen address; empty: one does. `timeout` is in seconds.

    This does not need the client certificate that the server may require.
    """
    host, port = _reachable(address)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        _any_certificate().wrap_bio(incoming, outgoing).do_handshake()
    try:
        with socket.create_connection((host, port), timeout) as connection:
            connection.sendall(outgoing.read())
            response = connection.recv(1)
    except OSError as error:
        return f"{address} cannot be reached: {error}"
    return "" if response in _TLS_RECORDS else f"{address} does not respond with TLS"


_TLS_RECORDS = (b"\x15", b"\x16")
"""First byte of an alert and of a handshake message (RFC 8446 5.1)."""


def _reachable(address: str) -> tuple[str, int]:
    """Host and port at which a listen address can be reached from this machine."""
    host, port = listen_address(address)
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port  # noqa: S104 — not bound


def _any_certificate() -> ssl.SSLContext:
    """A context that accepts every certificate: that of the daemon need not be for this address."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
