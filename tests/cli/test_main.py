"""The command line: output, exit statuses, signals. Commands that keep running are separate processes."""

import ast
import contextlib
import io
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar
from unittest import mock

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporter.cli.check import ROUTES
from exporter.cli.main import COMMANDS, main
from exporter.otlp.encoding import encode
from exporter.simulator import Simulator
from exporter.state.store import EncodedTrace, Store
from exporter.tracing.trace import Trace
from tests.e2e.servers import eventually, free_port
from tests.receivers import Answer, HttpReceiver


def command_environment(environment: dict[str, str]) -> dict[str, str]:
    """Our environment, but with settings of the exporter only from the test."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DATAROBOT_", "OTEL_"))}
    return kept | environment


def process(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "exporter", *arguments],
        env=command_environment(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextlib.contextmanager
def kept_logging() -> Iterator[None]:
    """Undo what a command changes about logging."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    own = logging.getLogger("exporter").level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.getLogger("exporter").setLevel(own)


def run(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a command that ends by itself; it runs in this process."""
    stdout, stderr = (io.TextIOWrapper(io.BytesIO(), write_through=True) for _ in range(2))
    with (
        mock.patch.dict(os.environ, command_environment(environment), clear=True),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
        kept_logging(),
    ):
        try:
            status = main(arguments)
        except SystemExit as exit_:  # raised by argparse
            status = int(exit_.code or 0)
    for stream in (stdout, stderr):
        stream.seek(0)
    return status, stdout.read(), stderr.read()


@pytest.fixture(scope="module")
def shared() -> Iterator[Simulator]:
    with Simulator(workloads=120) as simulator:
        yield simulator


@pytest.fixture
def api(shared: Simulator) -> Iterator[Simulator]:
    yield shared
    shared.odd = frozenset()


def account(api: Simulator) -> dict[str, str]:
    return {"DATAROBOT_ENDPOINT": api.url, "DATAROBOT_API_TOKEN": api.token}


def test_once_prints_one_complete_sweep_in_the_text_format(api: Simulator) -> None:
    status, out, err = run("once", **account(api))
    assert (status, "sweep complete" in err) == (0, True)
    families = {family.name: family for family in text_string_to_metric_families(out)}
    assert len(families["datarobot_workload_info"].samples) >= 119
    assert families["datarobot_exporter_api_up"].samples[0].value == 1
    assert api.token not in out + err


def test_once_fails_with_the_reason(api: Simulator) -> None:
    status, out, err = run("once", **account(api) | {"DATAROBOT_API_TOKEN": "wrong"})
    assert status == 1
    assert "incomplete sweep: account default: auth: GET /workloads returned 401: Invalid API key" in err
    assert 'datarobot_exporter_api_up{account="default"} 0.0' in out


def test_all_bad_settings_are_reported_at_once_and_nothing_is_opened(tmp_path: Path) -> None:
    file = tmp_path / "exporter.yaml"
    file.write_text("accounts: [{endpont: x}]\nsweep: {interval: soon}\n")
    for command in ("run", "check", "once"):
        status, out, err = run(command, f"--config.file={file}")
        assert (status, out) == (2, "")
        assert "accounts[0].endpont (line 1): unknown setting; did you mean endpoint?" in err
        assert "sweep.interval (line 2): not a duration; use one such as 30s, 5m or 1h30m" in err


def test_without_a_token_the_error_names_the_variable_and_the_demo() -> None:
    status, _, err = run()
    assert status == 2
    assert "DATAROBOT_API_TOKEN is not set; it must contain the API token" in err
    assert "workload-exporter demo" in err


def test_check_reports_valid_settings_and_sends_no_request(api: Simulator) -> None:
    before = api.requests.total()
    status, out, _ = run("check", **account(api))
    assert (status, f"valid: account default at {api.url}/api/v2" in out) == (0, True)
    assert api.requests.total() == before


def test_check_online_requests_each_route_and_names_the_missing_role(api: Simulator) -> None:
    api.odd = {"forbidden@/workloads/{id}/stats", "absent@/quotas"}
    status, out, err = run("check", "--online", **account(api))
    assert (status, err) == (0, "")
    assert re.search(r"ok +/workloads: \d+ workloads, 0 rejects", out)
    assert re.search(r"ok +/workloads/\{id\}/protons/\{pid\}/statusDetails: 200", out)
    assert re.search(r"ok +/workloads/\{id\}/replacement: no replacement in progress", out)
    assert re.search(
        r"NO +/workloads/\{id\}/stats: .*403.*needs the role user on the workload; without it: no req", out
    )
    assert re.search(r"NO +/quotas: .*404.*; without it: no quotas", out)


def test_check_online_requests_no_route_that_the_daemon_does_not_request() -> None:
    requested = {
        node.value
        for file in Path("exporter/collect").glob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert {route.template for route in ROUTES} <= requested


def test_check_online_fails_when_the_list_cannot_be_read(api: Simulator) -> None:
    api.odd = {"unauthorized"}
    status, out, _ = run("check", "--online", **account(api))
    assert (status, "FAIL  GET /workloads returned 401: Invalid API key" in out) == (1, True)


def test_check_sends_an_empty_request_to_the_collector_and_prints_its_response(api: Simulator) -> None:
    with HttpReceiver(Answer(), Answer(401, b"who?")) as receiver:
        environment = account(api) | {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}
        status, out, _ = run("check", **environment)
        assert (status, f"valid: traces to {receiver.url} with http/protobuf" in out) == (0, True)
        assert not receiver.received
        status, out, _ = run("check", "--online", **environment)
        assert (status, f"ok    POST {receiver.url}/v1/traces: accepted" in out) == (0, True)
        status, out, _ = run("check", "--online", **environment)
        assert (status, f"FAIL  POST {receiver.url}/v1/traces returned 401: who?; " in out) == (1, True)
        assert [each.body for each in receiver.received] == [b"", b""]


def test_a_test_page_goes_to_the_named_receiver_and_is_resolved(api: Simulator, tmp_path: Path) -> None:
    secret = "canary-77"
    with HttpReceiver(*[Answer(200, b"ok")] * 2, Answer(404, f"no_team {secret}".encode())) as receiver:
        file = tmp_path / "exporter.yaml"
        file.write_text(
            "paging:\n  receivers:\n"
            f"  - {{name: team, kind: slack, webhook_url: '{receiver.url}/{secret}'}}\n"
            "  - {name: am, kind: alertmanager, urls: ['http://127.0.0.1:1']}\n"
        )

        def command(*arguments: str) -> tuple[int, str, str]:
            return run(*arguments, f"--config.file={file}", **account(api))

        status, out, _ = command("check")
        assert status == 0
        team = "valid: receiver team (slack): critical, warning; not used: paging.who is rules\n"
        assert team in out
        assert "valid: receiver am (alertmanager): critical, warning, info, none; not used" in out
        command("check", "--online")
        assert not receiver.received
        status, out, err = command("notify", "test", "team", "--hold=10ms")
        assert (status, out.count("returned 200: ok\n"), err) == (0, 2, "")
        assert [b"DataRobotTestPage" in each.body for each in receiver.received] == [True, True]
        status, out, err = command("notify", "test", "team")
        assert (status, out, err) == (1, f"FAIL  team, paged: POST {receiver.url}/… returned 404: no_team ***\n", "")
        status, out, _ = command("notify", "test", "am")
        assert (status, out.startswith("FAIL  am@127.0.0.1:1, paged: POST http://127.0.0.1:1/api/v2/alerts f")) == (
            1,
            True,
        )
        status, _, err = command("notify", "test", "tem")
        found = "workload-exporter: paging.receivers: no receiver is called 'tem'; did you mean 'team'?\n"
        assert (status, err) == (2, found)
        assert command("notify", "test", "team", "--hold=soon")[0] == 2


def test_an_invalid_certificate_is_reported_before_anything_is_opened(api: Simulator) -> None:
    traces = {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://c.test", "OTEL_EXPORTER_OTLP_CERTIFICATE": __file__}
    for command in ("check", "run"):
        status, _, err = run(command, **account(api) | traces)
        assert (status, "traces.certificate: cannot be used: " in err) == (2, True)


def test_all_files_that_cannot_be_used_are_reported_before_a_state_file_is_made(api: Simulator, tmp_path: Path) -> None:
    file, web, bad = tmp_path / "exporter.yaml", tmp_path / "web.yml", __file__
    web.write_text("odd: 1\n")
    settings = {
        "accounts": [{"endpoint": api.url, "token": api.token, "ca_file": bad}],
        "state": {"path": str(tmp_path / "state.db")},
        "traces": {"endpoint": "https://collector.test", "certificate": bad},
        "paging": {"receivers": [{"name": "hook", "kind": "webhook", "url": "https://hook.test/x", "ca_file": bad}]},
        "web": {"config_file": str(web)},
    }
    file.write_text(json.dumps(settings))
    errors = []
    for command in ("check", "run"):
        status, _, err = run(command, f"--config.file={file}")
        assert status == 2
        errors.append([line for line in err.splitlines() if "to try it" not in line])
    assert errors[0] == errors[1]
    assert len(errors[0]) == 4
    assert {each.name for each in tmp_path.iterdir()} == {"exporter.yaml", "web.yml"}


def test_a_ca_file_without_certificates_is_reported_by_every_command_that_uses_the_api(
    api: Simulator, tmp_path: Path
) -> None:
    file = tmp_path / "exporter.yaml"
    file.write_text(f"accounts: [{{name: eu, endpoint: '{api.url}', token: {api.token}, ca_file: {__file__}}}]\n")
    before = api.requests.total()
    for command in ("check", "run", "once", "plan", "explain healthy-0"):
        status, out, err = run(*command.split(), f"--config.file={file}")
        assert (status, out) == (2, ""), command
        assert err.startswith("workload-exporter: accounts.ca_file: of eu cannot be used: ")
    assert api.requests.total() == before


def test_plan_counts_the_requests_that_objectives_cost(tmp_path: Path) -> None:
    def lines(objectives: str) -> str:
        file = tmp_path / "exporter.yaml"
        file.write_text(f"accounts: [{{token: x}}]\nobjectives: [{objectives}]\n")
        return run("plan", f"--config.file={file}", "--workloads=250")[1]

    def details(text: str) -> float:
        return float(re.findall(r"details: (\d+) API calls per minute", text)[0])

    without, every, some = lines(""), lines("{availability: 0.99}"), lines("{availability: 0.99, tags: [team]}")
    assert details(every) - details(without) == pytest.approx(25, abs=1)
    assert details(some) == details(without)
    assert "0.1 more for each workload with an objective by its name or tags: counting its requests\n" in some
    assert "by its name or tags" not in without + every


def test_plan_reports_the_cost_of_a_fleet_and_whether_it_fits(api: Simulator, tmp_path: Path) -> None:
    status, out, _ = run("plan", "--workloads=250")
    assert (status, "3 list pages per sweep" in out, "6.0 API calls per minute; the budget is 600" in out) == (
        0,
        True,
        True,
    )
    file = tmp_path / "exporter.yaml"
    file.write_text("accounts: [{token: x, requests_per_second: 1}]\nsweep: {interval: 5s, stale_after: 15m}\n")
    _, out, _ = run("plan", f"--config.file={file}", "--workloads=1000")
    assert "DOES NOT FIT: raise accounts[].requests_per_second above 2.0, or sweep.interval above 10 s" in out
    status, out, _ = run("plan", **account(api))
    assert re.search(r"account default: 1\d\d workloads, 2 list pages per sweep", out)
    status, _, err = run("plan", **account(api) | {"DATAROBOT_ENDPOINT": "http://127.0.0.1:1"})
    assert (status, "the size of the fleet is unknown: GET /workloads failed" in err) == (1, True)


@pytest.mark.parametrize(
    ("workload", "status", "words"),
    [
        ("healthy-0", 0, "Likely cause  No problem is known.\n"),
        ("bundle-withdrawn-36", 3, "the catalogue does not offer its resource bundle cpu.legacy to\n"),
        ("nobody-ready-35", 4, "nobody-ready-35: running, 0 of 2 ready [critical]\n"),
    ],
)
def test_explain_reports_the_cause_and_its_severity(api: Simulator, workload: str, status: int, words: str) -> None:
    returned, out, err = run("explain", workload, **account(api))
    assert (returned, err, words in out) == (status, "", True), out
    assert "\x1b" not in out
    assert f"Console: {api.url}/console-nextgen/workloads/" in out
    assert api.token not in out


def test_explain_prints_json_and_takes_an_id(api: Simulator) -> None:
    found = json.loads(run("explain", "Nobody-Ready-35", "--json", **account(api))[1])
    assert (found["workload"], found["likely_cause"]["name"]) == ("nobody-ready-35", "none_ready_for_long")
    before = api.requests["/workloads", 200]
    status, out, _ = run("explain", found["workload_id"], "--json", **account(api))
    assert (status, json.loads(out)["workload"]) == (4, "nobody-ready-35")
    assert api.requests["/workloads", 200] == before


def test_explain_prints_log_lines_on_request(api: Simulator) -> None:
    line = r"\nLog\n  \d\d:\d\d:\d\d INFO simulated: a workload with status running but no ready replica\n"
    assert re.search(line, run("explain", "nobody-ready-35", "--log-lines=3", **account(api))[1])
    found = json.loads(run("explain", "nobody-ready-35", "--log-lines=3", "--json", **account(api))[1])
    assert [each[9:] for each in found["log"]] == [
        "INFO simulated: a workload with status running but no ready replica"
    ]
    assert json.loads(run("explain", "nobody-ready-35", "--json", **account(api))[1])["log"] is None


def test_explain_lists_similar_names_and_ambiguous_ids(api: Simulator, tmp_path: Path) -> None:
    status, out, err = run("explain", "nobody-redy-35", **account(api))
    assert (status, out) == (1, "")
    assert re.search(
        r"none of 1\d\d workloads has the id or name nobody-redy-35\nworkload-exporter: similar names: nobody-ready-35",
        err,
    )
    status, _, err = run("explain", "0" * 24, **account(api))
    assert (status, f"has the id or name {'0' * 24}" in err) == (1, True)
    file = tmp_path / "exporter.yaml"
    rows = (f"{{name: {name}, endpoint: '{api.url}', token: {api.token}}}" for name in ("eu", "us"))
    file.write_text(f"accounts: [{', '.join(rows)}]\n")
    status, out, err = run("explain", "nobody-ready-35", f"--config.file={file}")
    assert (status, out, "2 workloads are called nobody-ready-35; give the id:" in err) == (1, "", True)
    assert re.search(r"  [0-9a-f]{24} running, account us\n", err)
    status, out, _ = run("explain", "nobody-ready-35", "--account=us", f"--config.file={file}")
    assert (status, ", account us, " in out) == (4, True)
    status, _, err = run("explain", "nobody-ready-35", "--account=uk", f"--config.file={file}")
    assert (status, "no account is called uk; accounts: eu, us" in err) == (2, True)


def test_explain_lists_what_the_api_refuses_and_reports_the_rest(api: Simulator) -> None:
    api.odd = {"forbidden@/workloads/{id}/events", "absent@/mlops/compute/bundles"}
    status, out, err = run("explain", "nobody-ready-35", "--json", **account(api))
    found = json.loads(out)
    assert (status, err, found["likely_cause"]["name"]) == (4, "", "none_ready_for_long")
    assert found["not_known"].keys() == {"events", "bundles", "settings"}
    assert found["not_known"]["events"].startswith("the API returned 403: ")
    api.odd = {"forbidden@/workloads/{id}/protons"}
    status, out, _ = run("explain", "nobody-ready-35", **account(api))
    assert (
        status,
        "Its health is unknown" in out,
        "give the token's user the role `user`" in " ".join(out.split()),
    ) == (5, True, True)
    assert "Unknown       pods: the API returned 403: " in out


@pytest.mark.parametrize(
    ("workload", "odd", "status", "words"),
    [
        ("nobody-ready-35", "error-text", 5, "The API responds with a server error (5xx)."),
        ("healthy-0", "truncated", 5, "The reason is under `Unknown`."),
        ("healthy-0", "forbidden", 5, "The API denies this token access to them (403)."),
        ("bundle-withdrawn-36", "error-text", 3, "The API responds with a server error (5xx)."),
        ("suspended-16", "error-text", 0, "It is suspended"),
        ("bare-23", "", 5, "the API reports no status"),
    ],
)
def test_explain_exits_with_0_only_if_the_workload_is_known_to_be_healthy(
    api: Simulator, workload: str, odd: str, status: int, words: str
) -> None:
    api.odd = {f"{odd}@/workloads/{{id}}/protons/{{pid}}/statusDetails"} if odd else set()
    returned, out, _ = run("explain", workload, **account(api))
    assert (returned, words in " ".join(out.split())) == (status, True), out
    assert ("role `user`" in " ".join(out.split())) == (odd == "forbidden")


def test_explain_fails_with_the_reason_if_the_list_cannot_be_read(api: Simulator) -> None:
    wrong = account(api) | {"DATAROBOT_API_TOKEN": "wrong"}
    for workload in ("nobody-ready-35", "0" * 24):
        status, out, err = run("explain", workload, **wrong)
        assert (status, out) == (1, "")
        assert re.fullmatch(r"workload-exporter: account default: GET /workloads\S* returned 401: Invalid.*\n", err)


@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_explain_uses_colour_on_a_terminal_unless_no_color_is_set(
    api: Simulator, environment: dict[str, str], coloured: bool
) -> None:
    terminal, end = os.openpty()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DATAROBOT_", "NO_COLOR"))}
    child = subprocess.Popen(
        [sys.executable, "-m", "exporter", "explain", "nobody-ready-35"],
        env=kept | account(api) | environment, stdout=end, stderr=end,
    )  # fmt: skip
    os.close(end)
    shown = b""
    with contextlib.suppress(OSError):  # reading a closed terminal fails
        while read := os.read(terminal, 65536):
            shown += read
    os.close(terminal)
    assert child.wait(timeout=60) == 4
    words = shown.decode()
    assert "requesting pods" in words
    assert ("\x1b[1;31mnobody-ready-35: running" in words) == coloured
    assert ("\x1b" in words) == coloured


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], *([command] for command in COMMANDS)):
        with pytest.raises(SystemExit) as exit_:
            main([*arguments, "--help"])
        assert exit_.value.code == 0
        out = capsys.readouterr().out
        assert "Exit status: 0 success" in out
        assert "usage: workload-exporter" in out


def test_an_unknown_flag_is_a_usage_error() -> None:
    status, _, err = run("run", "--web.listen")
    assert (status, err.startswith("usage: workload-exporter ")) == (2, True)
    suggestion = "did you mean '--web.listen-address'?"
    assert err.endswith(f"workload-exporter: error: unrecognized arguments: --web.listen; {suggestion}\n")


@pytest.mark.parametrize(
    ("given", "suggestion"),
    [
        (["run", "--port=80"], "; did you mean --web.listen-address=:PORT?"),
        (["check", "--config=x"], "; did you mean '--config.file'?"),
        (["run", "--level=debug"], "; did you mean '--log.level'?"),
        (["chek"], "; did you mean 'check'?"),
        (["run", "--zzz"], ""),
    ],
)
def test_an_error_of_usage_suggests_what_may_be_meant(given: list[str], suggestion: str) -> None:
    status, _, err = run(*given)
    assert (status, err.rstrip("\n").endswith(suggestion), "did you mean" in err) == (2, True, bool(suggestion))


@pytest.mark.parametrize("command", ["run", "demo", "waste", "objectives", "healthcheck"])
def test_a_flag_that_is_cut_short_or_misspelled_is_not_taken_for_another_one(command: str) -> None:
    status, _, err = run(command, "--web.listen-addres=127.0.0.1:9")
    assert (status, "unrecognized arguments: --web.listen-addres=127.0.0.1:9" in err) == (2, True)


@pytest.mark.parametrize("command", ["waste", "objectives"])
def test_a_daemon_that_cannot_be_reached_may_be_somewhere_else(command: str) -> None:
    status, out, err = run(command, "--web.listen-address=127.0.0.1:9")
    assert (status, out) == (1, "")
    assert err.startswith("workload-exporter: http://127.0.0.1:9/metrics cannot be reached: ")
    assert err.endswith("; if the daemon listens elsewhere: --web.listen-address=HOST:PORT\n")


def test_docs_prints_the_reference() -> None:
    assert run("docs", "metrics")[1].startswith("# Metrics\n")


def free_address() -> str:
    return f"127.0.0.1:{free_port()}"


class Running:
    """A daemon in a separate process; its standard error is read while it runs."""

    started: ClassVar[list["Running"]] = []

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.address = free_address()
        self.child = process(*arguments, f"--web.listen-address={self.address}", **environment)
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.client = httpx.Client(base_url=f"http://{self.address}", trust_env=False)
        self.started.append(self)

    def _read(self) -> None:
        assert self.child.stderr is not None
        self.lines.extend(iter(self.child.stderr.readline, ""))

    def until(self, path: str, words: str, method: str = "GET") -> str:
        """Send requests until the response contains `words`. Polling, because the process sends no notification."""
        deadline = time.monotonic() + 30
        text = ""
        while time.monotonic() < deadline:
            try:
                text = self.client.request(method, path).text
                if words in text:
                    return text
            except httpx.TransportError:
                pass
            time.sleep(0.05)  # between two requests
        raise AssertionError(f"{words!r} not in {text[-2000:]} {''.join(self.lines)}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float, str]:
        """Exit status, seconds until exit, and the log."""
        self.client.close()
        self.child.send_signal(number)
        began = time.monotonic()
        status = self.child.wait(timeout=30)
        took = time.monotonic() - began
        self._reader.join()
        for stream in (self.child.stdout, self.child.stderr):
            assert stream is not None
            stream.close()
        return status, took, "".join(self.lines)


@pytest.fixture(autouse=True)
def no_daemon_outlives_its_test() -> Iterator[None]:
    yield
    for running in Running.started:
        if running.child.poll() is None:
            running.stop(signal.SIGKILL)
    Running.started.clear()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_daemon_becomes_ready_and_stops_with_0_within_five_seconds(api: Simulator, number: signal.Signals) -> None:
    running = Running("run", **account(api))
    running.until("/-/ready", "ready\n")
    running.until("/metrics", 'datarobot_workload_status{account="default",status="running",workload="healthy-0"')
    assert run("healthcheck", f"--web.listen-address={running.address}")[0] == 0
    held = socket.create_connection(("127.0.0.1", int(running.address.rpartition(":")[2])))
    running.client.post("/-/reload")  # brings the page up to date
    running.until("/metrics", "datarobot_exporter_http_connections 2.0")
    for sample in ('connections_closed_total{reason="idle"}', 'requests_refused_total{reason="password_checks"}'):
        running.until("/metrics", f"datarobot_exporter_http_{sample} 0.0")
    status, took, log = running.stop(number)
    held.close()
    assert (status, took < 5) == (0, True)
    assert 'msg="sweep complete" account=default' in log
    assert "msg=stopping" in log
    assert "\x1b" not in log
    assert api.token not in log


def test_the_daemon_stops_in_time_while_the_collector_hangs_and_sends_later(api: Simulator, tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = Store(path)
    store.commit("default", {}, traces=[EncodedTrace(b"t" * 16, 1, encode(Trace(b"t" * 16, {}, ())), time.time())])
    store.close()
    environment = account(api) | {"OTEL_EXPORTER_OTLP_TIMEOUT": "60000"}
    with HttpReceiver(Answer(how="hang")) as receiver:
        environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = receiver.url
        running = Running("run", f"--state.path={path}", **environment)
        running.until("/metrics", "datarobot_exporter_trace_outbox_traces 1.0")
        running.until("/-/ready", "ready\n")
        status, took, _ = running.stop()
        assert (status, took < 5) == (0, True)
        running = Running("run", f"--state.path={path}", **environment)
        running.until("/metrics", 'datarobot_exporter_trace_endpoint_up{protocol="http/protobuf"} 1.0')
        running.until("/metrics", "datarobot_exporter_trace_outbox_traces 0.0")
        running.stop()
        lifecycle = {each.body for each in receiver.received if b"datarobot_exporter.lifecycle" in each.body}
        assert len(lifecycle) == 1  # the same bytes each time, beside traces of sweeps


def test_healthcheck_prints_the_reason_of_a_failure() -> None:
    status, _, err = run("healthcheck", f"--web.listen-address={free_address()}")
    assert (status, "/-/healthy cannot be reached: " in err) == (1, True)


def test_an_address_in_use_stops_the_daemon_with_a_message(api: Simulator) -> None:
    address = api.url.removeprefix("http://")
    child = process("run", f"--web.listen-address={address}", **account(api))
    _, err = child.communicate(timeout=60)
    assert child.returncode == 1
    assert (
        f"workload-exporter: {address} is in use; stop the other program or set another port with --web.listen-address"
        in err
    )


@pytest.mark.parametrize("trigger", ["signal", "http"])
@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("odd: 1", "accounts[0].odd (line 1): unknown"),
        (f"name: eu, token: t, ca_file: {__file__}", "accounts.ca_file: of eu cannot be used: "),
    ],
    ids=["unknown setting", "no certificate"],
)
def test_a_reload_applies_valid_settings_and_rejects_a_bad_file(
    api: Simulator, tmp_path: Path, trigger: str, bad: str, words: str
) -> None:
    file = tmp_path / "exporter.yaml"
    good = f"accounts: [{{name: eu, endpoint: '{api.url}', token: {api.token}}}]\nweb: {{debug_config: true}}\n"
    file.write_text(good)
    running = Running("run", f"--config.file={file}", "--log.format=json")

    def reload() -> None:
        if trigger == "signal":
            running.child.send_signal(signal.SIGHUP)
        else:
            running.client.post("/-/reload")

    running.until("/metrics", 'datarobot_exporter_api_up{account="eu"} 1.0')
    assert "token: '**********'" in running.until("/debug/config", "endpoint")
    file.write_text(f"accounts: [{{{bad}}}]")
    reload()
    running.until("/metrics", "datarobot_exporter_config_last_reload_successful 0.0")
    running.until("/metrics", 'datarobot_workload_info{account="eu"')
    file.write_text(good.replace("name: eu", "name: us"))
    reload()
    running.until("/metrics", 'datarobot_exporter_api_up{account="us"} 1.0')
    text = running.until("/metrics", "datarobot_exporter_config_last_reload_successful 1.0")
    assert 'datarobot_workload_info{account="eu"' not in text
    status, _, log = running.stop()
    assert status == 0
    assert '"msg": "invalid settings; the old ones stay in force", "problem": "' + words in log
    assert "Traceback" not in log
    assert '"msg": "settings reloaded"' in log


def paging(receiver: HttpReceiver, **more: object) -> str:
    """Settings for direct paging of a webhook."""
    settings = {"name": "hook", "kind": "webhook", "url": receiver.url} | more
    return f"sweep: {{interval: 1s}}\npaging: {json.dumps({'who': 'direct', 'receivers': [settings]})}\n"


def test_silences_of_a_running_daemon_are_added_listed_and_ended(api: Simulator, tmp_path: Path) -> None:
    file = tmp_path / "exporter.yaml"
    with HttpReceiver() as receiver:
        file.write_text(paging(receiver))
        running = Running("run", f"--config.file={file}", f"--state.path={tmp_path / 'state.db'}", **account(api))

        def silence(*arguments: str) -> tuple[int, str, str]:
            return run("silence", *arguments, f"--web.listen-address={running.address}", USER="jo")

        running.until("/-/ready", "ready\n")
        assert silence("list") == (0, "", "")
        status, out, _ = silence("add", "workload_id=w 1&x", "severity=critical", "--for=2h", "--comment=we know")
        name, _, rest = out.partition("  ")
        assert (status, bool(re.fullmatch(r"[0-9a-f]{8}", name))) == (0, True)
        until = r"until \S+\+00:00  workload_id=w 1&x severity=critical  \(jo@\S+: we know\)\n"
        assert re.fullmatch(until + r"It matches 0 of the alerts that fire now\.\n", rest)
        assert silence("list") == (0, out.splitlines(keepends=True)[0], "")
        running.until("/metrics", "datarobot_exporter_silences 1.0")
        for bad in (["add", "--for=2h"], ["add", "severity", "--for=2h"], ["add", "severity=critical"], ["end"]):
            assert silence(*bad)[0] == 2
        for length, words in (("soon", "not a duration"), ("2x", "not a duration"), ("0s", "must be longer than 0")):
            status, _, err = silence("add", "severity=critical", f"--for={length}")
            assert (status, f"error: argument --for: {words}" in err) == (2, True)
        status, _, err = silence("add", "workload=outage*", "--for=2h")
        assert (status, "returned 400: workload: patterns are not supported" in err) == (1, True)
        client = running.client
        assert client.get("/-/silences").json()[0]["matchers"] == {"workload_id": "w 1&x", "severity": "critical"}
        for method in ("POST", "DELETE"):  # as another site's page in a browser might
            refused = client.request(method, f"/-/silences?severity=critical&for=9h&author=x&id={name}")
            assert (refused.status_code, "Missing header X-Requested-By" in refused.text) == (403, True)
        assert client.put("/-/silences").status_code == 405
        running.stop()
        running = Running("run", f"--config.file={file}", f"--state.path={tmp_path / 'state.db'}", **account(api))
        running.until("/-/silences", name)
        assert silence("end", name) == (0, "", "")
        status, _, err = silence("end", name)
        assert (status, "returned 404: There is no silence with this id.\n" in err) == (1, True)
        running.stop()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["add", "account=acme", "workload_id=", "--for=2h"], "workload_id has no value; give workload_id=VALUE"),
        (["add", "account=a", "account=b", "--for=2h"], "account is given twice; give one value"),
        (["add", "account=a", "comment=b", "--for=2h"], "comment is given twice; give one value"),
        (["end", ""], "id has no value; give id=VALUE"),
    ],
)
def test_an_ambiguous_silence_is_rejected_before_any_request(given: list[str], words: str) -> None:
    assert run("silence", *given, USER="jo") == (2, "", f"workload-exporter: {words}\n")


def test_a_silence_needs_no_variable_with_the_name_of_the_user() -> None:
    """Without a daemon, the request fails, but not before it is sent."""
    status, _, err = run("silence", "add", "account=a", "--for=2h", "--web.listen-address=127.0.0.1:9", USER="")
    assert (status, "cannot be reached" in err) == (1, True)


def test_a_silence_needs_only_the_address_of_the_daemon_from_the_settings(tmp_path: Path) -> None:
    """After a failed reload, a daemon runs with its old settings; a night is no time to correct the new ones first."""
    file = tmp_path / "exporter.yaml"
    file.write_text("web: {listen_address: ['127.0.0.1:9']}\nsweep: {interval: often}\n")
    status, _, err = run("silence", "add", "account=a", "--for=2h", f"--config.file={file}")
    assert (status, "http://127.0.0.1:9/-/silences cannot be reached" in err) == (1, True)
    file.write_text("web: {listen_address: 9}\n")
    assert run("silence", "list", f"--config.file={file}")[0] == 2


def test_a_reload_changes_who_pages(api: Simulator, tmp_path: Path) -> None:
    file = tmp_path / "exporter.yaml"
    rules = f"accounts: [{{endpoint: '{api.url}', token: {api.token}}}]\n"
    with HttpReceiver() as first, HttpReceiver() as second:
        file.write_text(rules)
        running = Running("run", f"--config.file={file}")
        running.until("/-/ready", "ready\n")
        status, _, err = run("silence", "list", f"--web.listen-address={running.address}")
        assert (status, "404: Direct paging is off; see paging.who." in err) == (1, True)

        def reload(text: str) -> int:
            file.write_text(rules + text)
            return running.client.post("/-/reload").status_code

        def notified(receiver: HttpReceiver, since: int) -> bool:
            return bool(eventually(lambda: len(receiver.received) > since, 30))

        dead_man = {"alerts": ["DataRobotWatchdog"], "repeat_interval": "1s"}
        assert reload(paging(first, **dead_man)) == 200
        assert notified(first, 2)
        assert reload(paging(second, ca_file=__file__, **dead_man)) == 500
        assert "paging.receivers.ca_file: of hook cannot be used" in running.client.post("/-/reload").text
        assert notified(first, len(first.received) + 1)
        assert not second.received
        assert reload(paging(second, **dead_man)) == 200
        assert notified(second, 2)
        before = len(first.received)
        assert reload("") == 200
        running.until("/-/silences", "Direct paging is off")
        assert len(first.received) == before
        status, _, log = running.stop()
        assert (status, "Traceback" in log) == (0, False)


def test_the_demo_needs_no_settings() -> None:
    api_address = free_address()
    running = Running("demo", "--demo.workloads=10", "--demo.seed=3", f"--demo.api-address={api_address}")
    running.until("/-/ready", "ready\n")
    text = running.until("/metrics", 'workload="crash-loop-1"')
    assert text.count("\ndatarobot_workload_info{") >= 9
    assert 'tag_env="staging",tag_team="team-1",workload="crash-loop-1"' in text
    shown = running.client.get("/workloads.json?q=crash-loop-1").json()["workloads"][0]["workload_id"]
    console = httpx.get(f"http://{api_address}/console-nextgen/workloads/{shown}/overview", trust_env=False, timeout=30)
    assert "a simulation, not DataRobot" in console.text
    assert "<pre>crash-loop-1: errored" in console.text
    status, _, log = running.stop(signal.SIGINT)
    assert status == 0
    api, token = f"DATAROBOT_ENDPOINT=http://{api_address}", "DATAROBOT_API_TOKEN=demo-token"
    assert log.startswith(
        f"SIMULATION, DataRobot is not contacted: 10 workloads, API at http://{api_address}\n"
        f"Open http://{running.address}/ or http://{running.address}/metrics; stop with Ctrl-C.\n"
        "In another shell:\n"
        f"  workload-exporter top --web.listen-address={running.address}\n"
        f"  workload-exporter waste --web.listen-address={running.address}\n"
        f"  workload-exporter objectives --web.listen-address={running.address}\n"
        f"  {api} {token} workload-exporter explain crash-loop-1\n"
        "  workload-exporter demo --list-stories\n"
        "For the commands of runbooks, in a shell that you close afterwards, because in it `make run` monitors the "
        f"simulation:\n  export {api}\n  export {token}\n"
    )


def test_the_demo_names_its_address_only_if_the_port_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        status, _, err = run("demo", "--demo.workloads=1", f"--web.listen-address={taken}")
    remedy = "is in use; stop the other program or set another port with --web.listen-address"
    assert (status, err) == (1, f"workload-exporter: {taken} {remedy}\n")


def test_a_daemon_with_the_token_of_the_demo_says_that_it_monitors_a_simulation(api: Simulator) -> None:
    running = Running("run", **account(api))
    page = running.until("/", "the token of the demo: this monitors its simulation, not DataRobot")
    _, _, log = running.stop()
    for text in (page, log):
        assert "unset DATAROBOT_ENDPOINT DATAROBOT_API_TOKEN" in text


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--help"], {0, 141}),  # argparse ignores errors of its output
        (["docs"], {141}),
        (["rules"], {141}),
        (["check"], {141}),
        (["explain", "healthy-0"], {141}),
        (["once"], {141}),
    ],
    ids=lambda given: given[0] if isinstance(given, list) else "",
)
def test_a_command_whose_output_is_not_read_ends_without_a_message(
    api: Simulator, arguments: list[str], expected: set[int]
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as output:
        child = subprocess.run(
            [sys.executable, "-m", "exporter", *arguments],
            env=command_environment(account(api)),
            stdout=output,
            stderr=subprocess.PIPE,
            timeout=120,
        )
    printed = [line for line in child.stderr.decode().splitlines() if "msg=" not in line]  # log lines stay
    assert (child.returncode in expected, printed) == (True, [])


def test_output_that_cannot_be_written_is_an_error_with_its_reason() -> None:
    with Path("/dev/full").open("wb") as full:
        child = subprocess.run(
            [sys.executable, "-m", "exporter", "rules"],
            env=command_environment({}),
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=120,
        )
    lines = child.stderr.decode().splitlines()
    assert (child.returncode, len(lines), "No space left on device" in lines[0]) == (1, 1, True)


def test_no_output_contains_the_token(tmp_path: Path) -> None:
    """The token appears in no response, log line or error, even if the API rejects it."""
    canary = "canary-8c1f"
    with Simulator(workloads=10) as simulator:
        environment = {"DATAROBOT_ENDPOINT": simulator.url, "DATAROBOT_API_TOKEN": canary}
        running = Running("run", "--log.level=debug", **environment)
        state = [running.until("/metrics", 'datarobot_exporter_api_up{account="default"} 0.0')]
        state += [
            running.client.get(path).text for path in ("/", "/-/ready", "/-/healthy", "/debug/config", "/nothing")
        ]
        *_, log = running.stop()
        once = run("once", **environment)
        online = run("check", "--online", **environment)
    assert canary not in "".join([*state, log, *map(str, once), *map(str, online)])
