"""The daemon as a process against a real HTTP server that answers as the API does."""

import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporter.__main__ import base_url, main
from exporter.shell.server import accepts_gzip
from tests.examples import page, payload


class Api(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        known = self.headers["Authorization"] == "Bearer s3cret"
        body = page(payload("P02"), payload("P04")) if known else b'{"message": "Invalid API key"}'
        self.send_response(200 if known else 401)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def api() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def command(api: str, *arguments: str, token: str = "s3cret") -> subprocess.Popen[bytes]:
    environment = os.environ | {"DATAROBOT_ENDPOINT": api, "DATAROBOT_API_TOKEN": token}
    return subprocess.Popen(
        [sys.executable, "-m", "exporter", *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_once_prints_one_complete_sweep_that_the_parser_reads(api: str) -> None:
    out, err = command(api, "once").communicate(timeout=30)
    families = {f.name: f for f in text_string_to_metric_families(out.decode())}
    assert {s.labels["workload"] for s in families["datarobot_workload_info"].samples} == {"bare", "roller"}
    assert families["datarobot_exporter_api_up"].samples[0].value == 1
    assert b"s3cret" not in out + err


def test_once_with_a_wrong_token_fails_and_says_why(api: str) -> None:
    process = command(api, "once", token="wrong")
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert b"the sweep was not complete: auth" in err


def test_the_daemon_serves_becomes_ready_and_stops_on_sigterm(api: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    process = command(api, "run", f"--web.listen-address={address}", "--sweep.interval=1")
    try:
        with httpx.Client(base_url=f"http://{address}", trust_env=False) as client:
            deadline = time.monotonic() + 30
            ready = 0
            while ready != 200 and time.monotonic() < deadline:
                try:
                    ready = client.get("/-/ready").status_code
                except httpx.ConnectError:
                    time.sleep(0.05)  # the process is starting: only the clock brings it nearer
            metrics = client.get("/metrics")
            assert 'datarobot_workload_status{account="default",status="running",workload="roller"' in metrics.text
            assert metrics.headers["content-encoding"] == "gzip"
            assert (
                client.get("/metrics", headers={"accept-encoding": "identity"}).headers.get("content-encoding") is None
            )
            assert client.head("/metrics").content == b""
            assert client.get("/nothing").status_code == 404
            assert client.post("/metrics").status_code == 405
            assert client.get("/-/healthy").status_code == 200
            assert client.get("/").status_code == 200
    finally:
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        _, err = process.communicate(timeout=30)
    assert time.monotonic() - began < 5
    assert process.returncode == 0, err
    assert b"s3cret" not in err


@pytest.mark.parametrize(
    "endpoint", ["https://app.test", "https://app.test/", "https://app.test/api/v2", " https://app.test/api/v2/ "]
)
def test_an_endpoint_is_taken_with_or_without_its_path(endpoint: str) -> None:
    assert base_url(endpoint) == "https://app.test/api/v2"


def test_every_bad_setting_is_told_at_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("DATAROBOT_ENDPOINT", "app.test")
    monkeypatch.delenv("DATAROBOT_API_TOKEN", raising=False)
    assert main(["run", "--web.listen-address=x", "--sweep.interval=0"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 4


@pytest.mark.parametrize(
    ("header", "taken"),
    [("gzip", True), ("br, GZIP;q=0.5", True), ("gzip;q=0", False), ("", False), ("identity", False)],
)
def test_gzip_is_sent_to_who_takes_it(header: str, taken: bool) -> None:
    assert accepts_gzip(header) is taken
