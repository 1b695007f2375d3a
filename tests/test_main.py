"""The command line as a person meets it: words, exit codes, signals. Each command is a real process."""

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

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporter.__main__ import COMMANDS, main
from exporter.simulator import Simulator


def process(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DATAROBOT_")}
    return subprocess.Popen(
        [sys.executable, "-m", "exporter", *arguments],
        env=kept | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*arguments: str, **environment: str) -> tuple[int, str, str]:
    child = process(*arguments, **environment)
    out, err = child.communicate(timeout=60)
    return child.returncode, out, err


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


def test_once_prints_one_complete_sweep_that_the_parser_reads(api: Simulator) -> None:
    status, out, err = run("once", **account(api))
    assert (status, "sweep complete" in err) == (0, True)
    families = {family.name: family for family in text_string_to_metric_families(out)}
    assert len(families["datarobot_workload_info"].samples) >= 119
    assert families["datarobot_exporter_api_up"].samples[0].value == 1
    assert api.token not in out + err


def test_once_fails_with_the_reason_in_words(api: Simulator) -> None:
    status, out, err = run("once", **account(api) | {"DATAROBOT_API_TOKEN": "wrong"})
    assert status == 1
    assert "the sweep was not complete: account default: auth: GET /workloads answered 401: Invalid API key" in err
    assert 'datarobot_exporter_api_up{account="default"} 0.0' in out


def test_bad_settings_are_told_all_at_once_and_nothing_is_opened(tmp_path: Path) -> None:
    file = tmp_path / "exporter.yaml"
    file.write_text("accounts: [{endpont: x}]\nsweep: {interval: soon}\n")
    for command in ("run", "check", "once"):
        status, out, err = run(command, f"--config.file={file}")
        assert (status, out) == (2, "")
        assert "accounts[0].endpont (line 1): unknown setting; did you mean endpoint?" in err
        assert "sweep.interval (line 2): give a duration such as 30s, 5m or 1h30m" in err


def test_without_a_token_one_is_told_what_to_set_and_where_the_demo_is() -> None:
    status, _, err = run()
    assert status == 2
    assert "DATAROBOT_API_TOKEN is not set; put the API token into it" in err
    assert "workload-exporter demo" in err


def test_check_says_that_settings_are_good_and_asks_nothing(api: Simulator) -> None:
    before = api.requests.total()
    status, out, _ = run("check", **account(api))
    assert (status, f"settings are good: account default at {api.url}/api/v2" in out) == (0, True)
    assert api.requests.total() == before


def test_check_online_asks_each_route_and_names_the_right_that_is_missing(api: Simulator) -> None:
    api.odd = {"forbidden@/workloads/{id}/stats", "absent@/quotas"}
    status, out, err = run("check", "--online", **account(api))
    assert (status, err) == (0, "")
    assert re.search(r"ok +/workloads: \d+ workloads, 0 rejects", out)
    assert re.search(r"ok +/workloads/\{id\}/protons/\{pid\}/statusDetails: 200", out)
    assert re.search(r"ok +/workloads/\{id\}/replacement: no replacement under way", out)
    assert re.search(
        r"NO +/workloads/\{id\}/stats: .*403.*needs the role user on the workload; without it: no req", out
    )
    assert re.search(r"NO +/quotas: .*404.*; without it: no quotas", out)


def test_check_online_fails_when_the_list_does_not_answer(api: Simulator) -> None:
    api.odd = {"unauthorized"}
    status, out, _ = run("check", "--online", **account(api))
    assert (status, "FAIL  GET /workloads answered 401: Invalid API key" in out) == (1, True)


def test_plan_says_what_a_fleet_costs_and_whether_it_fits(api: Simulator, tmp_path: Path) -> None:
    status, out, _ = run("plan", "--workloads=250")
    assert (status, "3 list pages a sweep" in out, "6.0 a minute of 600" in out) == (0, True, True)
    file = tmp_path / "exporter.yaml"
    file.write_text("accounts: [{token: x, requests_per_second: 1}]\nsweep: {interval: 5s, stale_after: 15m}\n")
    _, out, _ = run("plan", f"--config.file={file}", "--workloads=1000")
    assert "DOES NOT FIT: raise accounts[].requests_per_second above 2.0, or sweep.interval above 10 s" in out
    status, out, _ = run("plan", **account(api))
    assert re.search(r"account default: 1\d\d workloads, 2 list pages a sweep", out)
    status, _, err = run("plan", **account(api) | {"DATAROBOT_ENDPOINT": "http://127.0.0.1:1"})
    assert (status, "the size of the fleet is not known: GET /workloads failed" in err) == (1, True)


def test_help_teaches_each_command(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], *([command] for command in COMMANDS)):
        with pytest.raises(SystemExit) as exit_:
            main([*arguments, "--help"])
        assert exit_.value.code == 0
        out = capsys.readouterr().out
        assert "Exit status: 0 done" in out
        assert "usage: workload-exporter" in out


def test_a_flag_that_does_not_exist_is_a_usage_error() -> None:
    status, _, err = run("run", "--web.listen")
    assert (status, err.startswith("usage: workload-exporter run ")) == (2, True)


def test_docs_prints_the_reference() -> None:
    assert run("docs", "metrics")[1].startswith("# Metrics\n")


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


class Running:
    """A daemon as a process, read while it runs."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.address = free_address()
        self.child = process(*arguments, f"--web.listen-address={self.address}", **environment)
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.client = httpx.Client(base_url=f"http://{self.address}", trust_env=False)

    def _read(self) -> None:
        assert self.child.stderr is not None
        self.lines.extend(iter(self.child.stderr.readline, ""))

    def until(self, path: str, words: str, method: str = "GET") -> str:
        """Ask until the answer holds `words`; the process makes the progress, so only the clock can be waited for."""
        deadline = time.monotonic() + 30
        text = ""
        while time.monotonic() < deadline:
            try:
                text = self.client.request(method, path).text
                if words in text:
                    return text
            except httpx.TransportError:
                pass
            time.sleep(0.05)  # between two questions to a process that tells nothing by itself
        raise AssertionError(f"{words!r} not in {text[-2000:]} {''.join(self.lines)}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float, str]:
        """Exit status, seconds it took, and what was logged."""
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_daemon_serves_becomes_ready_and_stops_with_0_within_five_seconds(
    api: Simulator, number: signal.Signals
) -> None:
    running = Running("run", **account(api))
    running.until("/-/ready", "ready\n")
    running.until("/metrics", 'datarobot_workload_status{account="default",status="running",workload="healthy-0"')
    assert run("healthcheck", f"--web.listen-address={running.address}")[0] == 0
    held = socket.create_connection(("127.0.0.1", int(running.address.rpartition(":")[2])))
    status, took, log = running.stop(number)
    held.close()
    assert (status, took < 5) == (0, True)
    assert 'msg="sweep complete" account=default' in log
    assert "msg=stopping" in log
    assert "\x1b" not in log
    assert api.token not in log


def test_healthcheck_says_why_it_fails() -> None:
    status, _, err = run("healthcheck", f"--web.listen-address={free_address()}")
    assert (status, "/-/healthy cannot be reached: " in err) == (1, True)


def test_an_address_that_is_taken_ends_the_daemon_with_words(api: Simulator) -> None:
    address = api.url.removeprefix("http://")
    status, _, err = run("run", f"--web.listen-address={address}", **account(api))
    assert status == 1
    assert f"workload-exporter: {address} is taken; stop the other program or give --web.listen-address" in err


@pytest.mark.parametrize("ask", ["signal", "http"])
def test_the_settings_are_read_again_and_a_bad_file_changes_nothing(api: Simulator, tmp_path: Path, ask: str) -> None:
    file = tmp_path / "exporter.yaml"
    good = f"accounts: [{{name: eu, endpoint: '{api.url}', token: {api.token}}}]\nweb: {{debug_config: true}}\n"
    file.write_text(good)
    running = Running("run", f"--config.file={file}", "--log.format=json")

    def reload() -> None:
        if ask == "signal":
            running.child.send_signal(signal.SIGHUP)
        else:
            running.client.post("/-/reload")

    running.until("/metrics", 'datarobot_exporter_api_up{account="eu"} 1.0')
    assert "token: '**********'" in running.until("/debug/config", "endpoint")
    file.write_text("accounts: [{odd: 1}]")
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
    assert '"msg": "bad settings; the old ones stay in force", "problem": "accounts[0].odd (line 1): unknown' in log
    assert '"msg": "settings reloaded"' in log


def test_the_demo_runs_with_nothing_given() -> None:
    running = Running("demo", "--demo.workloads=10", "--demo.speed=60", "--demo.seed=3")
    running.until("/-/ready", "ready\n")
    text = running.until("/metrics", 'workload="crash-loop-1"')
    assert text.count("\ndatarobot_workload_info{") >= 9
    status, _, log = running.stop(signal.SIGINT)
    assert status == 0
    assert log.startswith("A SIMULATION, no DataRobot is asked: 10 workloads that tell stories, at http://127.0.0.1:")


def test_no_secret_is_anywhere(tmp_path: Path) -> None:
    """A canary as the token, an API that refuses it: it is in no answer, no log line and no error."""
    canary = "canary-8c1f"
    with Simulator(workloads=10) as simulator:
        environment = {"DATAROBOT_ENDPOINT": simulator.url, "DATAROBOT_API_TOKEN": canary}
        running = Running("run", "--log.level=debug", **environment)
        seen = [running.until("/metrics", 'datarobot_exporter_api_up{account="default"} 0.0')]
        seen += [running.client.get(path).text for path in ("/", "/-/ready", "/-/healthy", "/debug/config", "/nothing")]
        *_, log = running.stop()
        once = run("once", **environment)
        online = run("check", "--online", **environment)
    assert canary not in "".join([*seen, log, *map(str, once), *map(str, online)])
