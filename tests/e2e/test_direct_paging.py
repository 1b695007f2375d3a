"""The daemon as a process that pages by itself: receivers that fail in every way, kill -9 at bad moments, Alertmanagers
that die, and a Prometheus with the shipped rules beside it. Each incident opens once and ends once.

Alerts are kept for seconds instead of minutes.
"""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.alerting.alerts import ALERTS
from exporter.simulator import Simulator
from exporter.simulator.stories import STORIES
from tests import counts, http
from tests.e2e.servers import Alertmanager, Prometheus, alertmanager, eventually, free_port, prometheus
from tests.receivers import HALF, HANG, Answer, HttpReceiver

KEY = "k" * 32
STORY = {story.name: story for story in STORIES}
ALERT, OF_THE_ACCOUNT = "DataRobotWorkloadErrored", "DataRobotAccountWorkloadLimitNear"
THROTTLED, LATER, BROKEN = Answer(429), Answer(429, headers={"Retry-After": "1"}), Answer(500)
TAKEN, OK = Answer(202, b'{"status":"success"}'), Answer(200, b"ok")


KEPT_FOR_SECONDS = {alert.name: max(alert.keep) / 60 for alert in ALERTS}


class Daemon:
    """The daemon as a process, which may be killed and started again; two workloads of critical importance."""

    def __init__(self, folder: Path, simulator: Simulator, paging: Mapping[str, Any]) -> None:
        self.folder, self.simulator = folder, simulator
        self.url = f"http://127.0.0.1:{free_port()}"
        account = {"name": "acme", "endpoint": simulator.url, "token": simulator.token, "requests_per_second": 200}
        settings = {
            "accounts": [account],
            "sweep": {"interval": "1s"},
            "state": {"path": str(folder / "state.db")},
            "alerts": {
                "wait": {ALERT: "1s", OF_THE_ACCOUNT: "1s"},
                "keep": KEPT_FOR_SECONDS,
                "thresholds": {"limit_ratio": 0.5},
            },
            "paging": dict(paging),
        }
        self.file = folder / "exporter.yaml"
        self.file.write_text(yaml.safe_dump(settings))
        for number in (0, 1):
            simulator.world.actor(number).importance = "critical"
        self.play("healthy")
        self.process: subprocess.Popen[bytes] | None = None

    def play(self, story: str, *numbers: int) -> None:
        """Workloads, all if none is named, that live through a story from now on."""
        for number in numbers or (0, 1):
            self.simulator.world.actor(number).story = STORY[story]

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        command = (sys.executable, "-m", "exporter", "run", f"--config.file={self.file}")
        address = f"--web.listen-address={self.url.removeprefix('http://')}"
        with (self.folder / "exporter.log").open("ab") as log:
            self.process = subprocess.Popen((*command, address), stdout=log, stderr=log)
        ready = eventually(lambda: http.get(f"{self.url}/-/ready").status_code == 200, 30)
        assert ready, (self.folder / "exporter.log").read_text()[-2000:]

    def kill(self) -> None:
        """End it without a word."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(timeout=10)

    def metric(self, series: str) -> str | None:
        """The value of one series of ours."""
        page = http.get(f"{self.url}/metrics").text
        samples = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
        return samples.get(f"datarobot_exporter_{series}")


@contextmanager
def daemon(folder: Path, paging: Mapping[str, Any]) -> Iterator[Daemon]:
    """A daemon on a simulated API, started."""
    with Simulator(workloads=2, seed=11) as simulator:
        made = Daemon(folder, simulator, paging)
        made.start()
        try:
            yield made
        finally:
            made.kill()


def incidents(receiver: HttpReceiver) -> dict[str, list[str]]:
    """What PagerDuty would show: alert and workload -> its incident opened and closed, in order."""
    found: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    for received in list(receiver.accepted):
        event = json.loads(received.body)
        key, action = event["dedup_key"], event["event_action"]
        if action == "trigger":
            names[key] = f"{event['payload']['class']} {event['payload']['source']}"
        tracker = found.setdefault(names[key], [])
        if not tracker or tracker[-1] != action:  # a trigger of an open incident changes it, and an end ends it once
            tracker.append(action)
    return found


def messages(receiver: HttpReceiver) -> list[str]:
    """What Slack would show: the first line of each alert in each message."""
    return [each["fallback"] for one in list(receiver.accepted) for each in json.loads(one.body)["attachments"]]


def of_alert(incidents: Mapping[str, list[str]]) -> list[list[str]]:
    return [tracker for name, tracker in incidents.items() if name.startswith(ALERT)]


@pytest.mark.long
def test_through_failures_and_kills_every_incident_opens_once_and_ends_once(tmp_path: Path) -> None:
    with HttpReceiver(THROTTLED, LATER, BROKEN) as pagerduty, HttpReceiver(LATER, HALF, BROKEN) as slack:
        pagerduty.answer = HANG
        slack.answer = OK
        who = [
            {"name": "page", "kind": "pagerduty", "url": f"{pagerduty.url}/v2/enqueue", "routing_key": KEY},
            {"name": "team", "kind": "slack", "webhook_url": f"{slack.url}/services/x"},
        ]
        receivers = [each | {"severities": ["critical"], "timeout": "2s"} for each in who]
        paging = {"who": "direct", "receivers": receivers, "log_lines": 2}
        delivered = 'notifications_total{fate="delivered",receiver="team"}'
        with daemon(tmp_path, paging) as ours:
            ours.play("exit 0")
            # It is killed while PagerDuty hangs, after every other kind of failed response.
            assert eventually(lambda: len(pagerduty.received) >= 4, 30)
            assert incidents(pagerduty) == {}
            assert eventually(lambda: len(messages(slack)) == 2, 30)
            # It must have read the response and stored that: until then, it does not know what arrived.
            assert eventually(lambda: float(ours.metric(delivered) or 0) >= 2, 30)
            ours.kill()
            # One of the two is then refused for good: the other goes through all the same.
            pagerduty.poison = ours.simulator.world.actor(1).name.encode()
            pagerduty.script.append(HALF)
            pagerduty.answer = TAKEN
            ours.start()
            assert eventually(lambda: of_alert(incidents(pagerduty)) == [["trigger"]], 30)
            triggers = [json.loads(each.body) for each in list(pagerduty.accepted)]
            logs = [each["payload"]["custom_details"]["Log"] for each in triggers if each["payload"]["class"] == ALERT]
            assert logs
            assert all("simulated: " in each for each in logs)
            refused = 'notification_failures_total{reason="bad_request",receiver="page"}'
            assert eventually(lambda: float(ours.metric(refused) or 0) >= 1, 30)
            # What was refused is tried again after the next start; what was delivered is not.
            ours.kill()
            pagerduty.poison = b""
            ours.start()
            assert eventually(lambda: of_alert(incidents(pagerduty)) == [["trigger"]] * 2, 30)
            # The alerts end while no receiver listens, and the daemon is killed before it delivers that.
            pagerduty.answer = slack.answer = BROKEN
            before = len(pagerduty.received)
            ours.play("healthy")
            assert eventually(lambda: len(pagerduty.received) > before, 30)
            ours.kill()
            pagerduty.answer, slack.answer = TAKEN, OK
            ours.start()
            assert eventually(lambda: of_alert(incidents(pagerduty)) == [["trigger", "resolve"]] * 2, 30)
            assert eventually(lambda: len(messages(slack)) >= 4, 30)
            actions = [json.loads(each.body)["event_action"] for each in pagerduty.accepted]
    opened = incidents(pagerduty)
    # Each was not merely one incident: no notice that was taken was sent twice.
    assert sorted(actions) == ["resolve"] * len(opened) + ["trigger"] * len(opened)
    assert [line.split("*")[1] for line in messages(slack)] == ["FIRING"] * 2 + ["RESOLVED"] * 2
    counts.numbers["direct incidents opened and closed"] = len(opened)


def named(server: Alertmanager, name: str) -> list[dict[str, str]]:
    """The labels of the alerts of a name that fire there."""
    return [each["labels"] for each in server.alerts() if each["labels"]["alertname"] == name]


def of_prometheus(theirs: Prometheus, name: str) -> list[dict[str, str]]:
    """The labels of the alerts of a name that fire by its rules."""
    alerts = theirs.get("alerts")["alerts"]
    return [each["labels"] for each in alerts if each["state"] == "firing" and each["labels"]["alertname"] == name]


QUIET = {"route": {"receiver": "none"}, "receivers": [{"name": "none"}]}


@pytest.mark.real
def test_two_alertmanagers_receive_the_same_and_one_that_was_killed_receives_it_again(tmp_path: Path) -> None:
    config, ports = tmp_path / "alertmanager.yml", (free_port(), free_port())
    config.write_text(json.dumps(QUIET))
    folders = [tmp_path / str(port) for port in ports]
    for folder in folders:
        folder.mkdir()
    receiver = {
        "name": "am",
        "kind": "alertmanager",
        "urls": [f"http://127.0.0.1:{port}" for port in ports],
        "repeat_interval": "1s",
    }
    with ExitStack() as stack:
        one, two = (stack.enter_context(alertmanager(f, config, p)) for f, p in zip(folders, ports, strict=True))
        ours = stack.enter_context(daemon(tmp_path, {"who": "direct", "receivers": [receiver]}))
        ours.play("exit 0", 0)
        assert eventually(lambda: named(one, ALERT) and named(two, ALERT), 30)
        received = named(one, ALERT)
        assert named(two, ALERT) == received
        assert len(received) == 1
        one.process.kill()
        one.process.wait(10)
        assert eventually(
            lambda: float(ours.metric(f'notification_failing_seconds{{receiver="am@{one.url[7:]}"}}') or 0), 20
        )
        again = stack.enter_context(alertmanager(folders[0], config, ports[0]))
        assert eventually(lambda: named(again, ALERT), 30) == received
        # Killed and started again, the exporter sends the same alert with the same start.
        began = {each["startsAt"] for each in two.alerts() if each["labels"]["alertname"] == ALERT}
        ours.kill()
        ours.start()
        time.sleep(2)  # two evaluations that could send it as new
        assert {each["startsAt"] for each in two.alerts() if each["labels"]["alertname"] == ALERT} == began
        assert named(again, ALERT) == named(two, ALERT) == received
        ours.play("healthy", 0)
        assert eventually(lambda: not named(again, ALERT) and not named(two, ALERT), 30)


@pytest.mark.real
def test_an_alert_sent_directly_equals_that_of_prometheus(tmp_path: Path) -> None:
    config = tmp_path / "alertmanager.yml"
    config.write_text(json.dumps(QUIET))
    with alertmanager(tmp_path, config) as server:
        am = {"name": "am", "kind": "alertmanager", "urls": [server.url], "repeat_interval": "1s"}
        with daemon(tmp_path, {"who": "both", "receivers": [am]}) as ours:
            command = (sys.executable, "-m", "exporter", "rules", f"--config.file={ours.file}")
            rules = tmp_path / "datarobot.rules.yml"
            rules.write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
            scraping = {
                "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
                "rule_files": [str(rules)],
                "scrape_configs": [
                    {"job_name": "datarobot", "static_configs": [{"targets": [ours.url.removeprefix("http://")]}]}
                ],
                "alerting": {
                    "alertmanagers": [{"static_configs": [{"targets": [server.url.removeprefix("http://")]}]}]
                },
            }
            ours.play("exit 0", 0)
            with prometheus(tmp_path, scraping, "--rules.alert.resend-delay=2s") as theirs:
                for name in (ALERT, OF_THE_ACCOUNT, "DataRobotWatchdog"):
                    (labels,) = eventually(partial(of_prometheus, theirs, name), 30)
                    assert eventually(partial(named, server, name), 20) == [labels], name
                # Both have sent: it is still one alert.
                sent = f'notifications_total{{fate="delivered",receiver="am@{server.url[7:]}"}}'
                assert float(ours.metric(sent) or 0) > 3
                page = http.get(f"{theirs.url}/metrics").text
                assert float(re.findall(r"^prometheus_notifications_sent_total.* (\S+)$", page, re.MULTILINE)[0]) > 0
                assert len(named(server, ALERT)) == len(named(server, OF_THE_ACCOUNT)) == 1
                annotations = [each["annotations"] for each in server.alerts() if each["labels"]["alertname"] == ALERT]
                assert annotations[0]["summary"] == "A workload has failed."
