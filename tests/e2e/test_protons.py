"""The daemon as a process and an API over real sockets that reports the pods of some protons only.

Six workloads say that they run. Five of them crash-loop: they page alike, whatever the version does that drains. Of the
sixth the version that serves cannot be read: its health is unknown, and the page says so.
"""

import html
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from exporter.simulator import Simulator
from exporter.simulator.stories import CRASHING, FOREVER, READY, SimulatedPods, Story, StoryStep
from tests import http
from tests.e2e.servers import eventually
from tests.e2e.test_direct_paging import KEY, TAKEN, Daemon, incidents
from tests.receivers import HttpReceiver

ALERT = "DataRobotContainerCrashLooping"
DETAILS = "@/workloads/{id}/protons/{pid}/statusDetails"


def story(name: str, outgoing: str, active: SimulatedPods = CRASHING, *odd: str) -> Story:
    """A critical workload that says that it runs, with a version that drains unless `outgoing` is empty."""
    step = StoryStep(FOREVER, "running", active, outgoing=outgoing, odd=odd)
    return Story(name, "", (step,), importance="critical", replicas=1)


pytestmark = pytest.mark.long
CRASHES = (
    story("alone", ""),
    story("draining", "draining"),
    story("draining fails", "draining", CRASHING, f"error-text{DETAILS}#outgoing"),
    story("draining refused", "draining", CRASHING, f"forbidden{DETAILS}#outgoing"),
    story("draining truncated", "draining", CRASHING, f"truncated{DETAILS}#outgoing"),
)
UNKNOWN = story("serving fails", "draining", READY, f"error-text{DETAILS}#active")


class Ran:
    """A daemon that has paged, the pages of its receiver, and what it serves."""

    def __init__(self, ours: Daemon, pagerduty: HttpReceiver) -> None:
        self.simulator = ours.simulator
        self.incidents = incidents(pagerduty)
        self.evidence = {
            each["payload"]["source"]: each["payload"]["custom_details"]
            for each in (json.loads(received.body) for received in pagerduty.accepted)
        }
        self.metrics = http.get(f"{ours.url}/metrics").text
        page = http.get(f"{ours.url}/").text
        self.rows = [
            html.unescape(re.sub(r"<[^>]*>", " ", row)) for row in re.findall(r"<tr>.*?</tr>", page, re.DOTALL)
        ]

    def explained(self, name: str) -> tuple[int, Any]:
        """The exit status of `explain`, and its JSON."""
        account = {"DATAROBOT_ENDPOINT": self.simulator.url, "DATAROBOT_API_TOKEN": self.simulator.token}
        command = [sys.executable, "-m", "exporter", "explain", name, "--json"]
        done = subprocess.run(command, env={**os.environ, **account}, capture_output=True, text=True, check=False)
        return done.returncode, json.loads(done.stdout)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    folder = tmp_path_factory.mktemp("protons")
    stories = (*CRASHES, UNKNOWN)
    with Simulator(workloads=len(stories), seed=11) as simulator, HttpReceiver() as pagerduty:
        pagerduty.answer = TAKEN
        receiver = {"name": "page", "kind": "pagerduty", "url": f"{pagerduty.url}/v2/enqueue", "routing_key": KEY}
        ours = Daemon(folder, simulator, {"who": "direct", "receivers": [receiver | {"severities": ["critical"]}]})
        settings = yaml.safe_load(ours.file.read_text())
        ours.file.write_text(yaml.safe_dump(settings | {"alerts": {"wait": {ALERT: "1s"}}}))
        for number, each in enumerate(stories):
            actor = simulator.world.actor(number)
            actor.story, actor.name, actor.importance = each, each.name.replace(" ", "-"), "critical"
            actor.origin -= 600  # it has crashed before
        ours.start()
        try:
            assert eventually(lambda: len(incidents(pagerduty)) >= len(CRASHES), 40), incidents(pagerduty)
            assert eventually(lambda: http.get(f"{ours.url}/metrics").text.count("proton_unreadable{") == 4, 40)
            yield Ran(ours, pagerduty)
        finally:
            ours.kill()


def test_a_crash_loop_pages_in_any_state_of_the_draining_version(ran: Ran) -> None:
    assert ran.incidents == {f"{ALERT} {each.name.replace(' ', '-')}": ["trigger"] for each in CRASHES}


def test_a_page_names_the_version_that_could_not_be_read_and_the_reason(ran: Ran) -> None:
    said = {name: details.get("Unknown", "") for name, details in ran.evidence.items()}
    words = sorted(re.sub(r"[0-9a-f]{24}", "ID", each) for each in said.values())
    assert words == [
        "",
        "",
        "pods: outgoing version ID: access is denied (403); give the token's user the role `user` on the workload",
        "pods: outgoing version ID: server error (5xx), which is common while a version drains",
        "pods: outgoing version ID: the response cannot be decoded",
    ]
    assert all("exit code 1" in details["Likely cause"] for details in ran.evidence.values())


def test_metrics_say_what_is_unreadable_and_that_it_is_not_fresh(ran: Ran) -> None:
    unreadable = re.findall(
        r'proton_unreadable\{account="acme",reason="(\w+)",role="(\w+)",workload="([\w-]+)"', ran.metrics
    )
    assert sorted(unreadable) == [
        ("decode", "outgoing", "draining-truncated"),
        ("forbidden", "outgoing", "draining-refused"),
        ("server_error", "active", "serving-fails"),
        ("server_error", "outgoing", "draining-fails"),
    ]
    fresh = dict(re.findall(r'workload_fresh\{account="acme",part="pods",workload="([\w-]+)".*\} (\S+)', ran.metrics))
    assert fresh == {each.name.replace(" ", "-"): "1.0" for each in CRASHES} | {"serving-fails": "0.0"}
    ready = re.findall(r'proton_replicas_ready\{.*role="(\w+)",workload="serving-fails"', ran.metrics)
    assert ready == ["outgoing"]


def test_the_status_page_says_which_version_could_not_be_read(ran: Ran) -> None:
    (row,) = [row for row in ran.rows if "serving-fails" in row]
    assert re.search(r"pods not read: serving version [0-9a-f]{24}: server error \(5xx\)", row)
    assert "? / 1" in row
    (row,) = [row for row in ran.rows if "draining-refused" in row]
    assert re.search(r"pods not read: outgoing version [0-9a-f]{24}: access is denied \(403\)", row)
    assert "0 / 1" in row


@pytest.mark.parametrize(
    ("name", "status", "cause", "unreadable"),
    [
        ("draining", 4, "exit_error_unchanged", []),
        ("draining-fails", 4, "exit_error_unchanged", [("outgoing", "server_error")]),
        ("draining-refused", 4, "exit_error_unchanged", [("outgoing", "forbidden")]),
        ("serving-fails", 5, "pods_failed", [("active", "server_error")]),
    ],
)
def test_explain_exits_as_what_is_known_demands(
    ran: Ran, name: str, status: int, cause: str, unreadable: list[tuple[str, str]]
) -> None:
    exited, explained = ran.explained(name)
    assert (exited, explained["known"], explained["likely_cause"]["name"]) == (status, status != 5, cause)
    assert [(each["version"], each["reason"]) for each in explained["unreadable"]] == unreadable
    assert "role `user`" not in explained["next_step"]
