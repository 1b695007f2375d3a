"""What commands show of a response of the daemon, or of another program at its address."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from exporter.cli.context import Context
from exporter.cli.main import parser
from exporter.cli.own_server import request
from exporter.cli.silence import run
from exporter.redaction import Secrets

TERMINAL = "a\x1b]0;b\x07\x9b31m\r\nc"
SHOWN = "a ]0;b 31m c"


@contextmanager
def responding(status: int, body: str = "", location: str = "") -> Iterator[tuple[str, list[str]]]:
    """A server with one response; yields its address, and the hosts and paths that it receives."""
    received = list[str]()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            received.append(f"{self.headers['host']}{self.path}")
            self.send_response(status)
            self.send_header("content-length", str(len(body.encode())))
            if location:
                self.send_header("location", location)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Not on standard error."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}", received
        finally:
            server.shutdown()
            thread.join()


def silences(address: str) -> int:
    options = parser("silence").parse_args(["silence", "list", f"--web.listen-address={address}"])
    return run(Context(options, Secrets()))


def test_silences_contain_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    silence = {"id": "i", "ends": "e", "matchers": {"account": TERMINAL}, "author": TERMINAL, "comment": TERMINAL}
    with responding(200, json.dumps([silence])) as (address, _):
        assert silences(address) == 0
    assert capsys.readouterr().out == f"i  until e  account={SHOWN}  ({SHOWN}: {SHOWN})\n"


def test_errors_contain_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    with responding(500, TERMINAL) as (address, _):
        assert silences(address) == 1
    assert capsys.readouterr().err.endswith(f" returned 500: {SHOWN}\n")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed_with_the_login(status: int) -> None:
    with responding(200) as (other, received), responding(status, location=f"http://{other}/") as (address, _):
        found, _ = request(address, False, "/-/silences", login="jo:secret")
    assert (found, received) == (status, [])


def test_the_daemon_is_addressed_by_a_name_that_it_always_accepts() -> None:
    with responding(200, "healthy") as (address, received):
        assert request(address, False, "/-/healthy") == (200, "healthy")
    assert received == ["localhost/-/healthy"]
