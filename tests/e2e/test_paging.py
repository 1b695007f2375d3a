"""The whole chain at speed: stories, the daemon, Prometheus with the shipped rules, Alertmanager with the shipped
example, and receivers that log. Each story pages the right receivers, once for each incident, and each incident ends.
"""

import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest

from exporter.alerting.rules import Options, rules
from exporter.simulator import Simulator
from exporter.simulator.stories import STORIES
from tests import counts, http
from tests.alerts.receivers import Receivers, example, receivers
from tests.e2e.servers import alertmanager, eventually, free_port, prometheus, running

pytestmark = [pytest.mark.real, pytest.mark.long, pytest.mark.exhaustive]
SCALE = 30.0
"""A second here is half a minute there: one sweep, one scrape, one evaluation of the rules."""
LASTS = 75 * 60 / SCALE

CAUSES = {
    "crash loop": "DataRobotContainerCrashLooping",
    "draining unreadable": "DataRobotContainerCrashLooping",
    "exit 0": "DataRobotContainerCrashLooping",
    "image pull": "DataRobotWorkloadImagePullFailing",
    "nobody ready": "DataRobotWorkloadNoReadyReplica",
    "not ready": "DataRobotWorkloadStuckStarting",
    "outage": "DataRobotWorkloadNotServing",
    "server errors": "DataRobotErrorBudgetBurnFast",
    "unschedulable GPU": "DataRobotWorkloadUnschedulable",
}
"""Stories that page, and the alert about the cause."""
OUTAGES = {"DataRobotWorkloadNoReadyReplica", "DataRobotWorkloadErrored"}
"""Alerts about what follows. They may be the first: details are read later than the list, and here a second is half a
minute. The order without this is tested in tests/alerts/test_same_pages.py.
"""
TICKETS = {
    f"DataRobot{name}"
    for name in (
        "WorkloadInterrupted WorkloadVanished PodSnapshotMissing WorkloadStuckStopping "
        "ReplacementFailed ContainerOOMKilled WorkloadReplicasDegraded AutoscalerSaturated WorkloadMemoryNearLimit "
        "BundleNotOffered ApiUnknownAnswers DraftExpiring"
    ).split()
}
"""Alerts of which a ticket is written."""


class Scene(NamedTuple):
    simulator: Simulator
    got: Receivers


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder, port = tmp_path_factory.mktemp("paging"), free_port()
    with receivers() as got, Simulator(workloads=len(STORIES), seed=11, speed=SCALE) as simulator:
        account = {"name": "acme", "endpoint": simulator.url, "token_file": str(folder / "token")}
        (folder / "token").write_text(simulator.token)
        (folder / "exporter.yaml").write_text(json.dumps({
            "accounts": [account | {"requests_per_second": 200, "concurrency": 8}],
            "sweep": {"interval": "1s", "stale_after": "30s"}, "detail": {"interval": "10s"},
        }))  # fmt: skip
        shipped = Options(
            runbooks=f"{got.url}/", dashboards="https://grafana.example.test", console="https://dr.example.test",
            scale=SCALE,
        )  # fmt: skip
        (folder / "rules.json").write_text(json.dumps(rules(shipped)))
        command = (sys.executable, "-m", "exporter", "run", f"--config.file={folder / 'exporter.yaml'}")
        with (
            running(folder / "exporter.log", *command, f"--web.listen-address=127.0.0.1:{port}"),
            alertmanager(folder, example(folder, got.url, SCALE)) as server,
            prometheus(
                folder,
                {
                    "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
                    "rule_files": [str(folder / "rules.json")],
                    "scrape_configs": [
                        {"job_name": "datarobot", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
                    ],
                    "alerting": {
                        "alertmanagers": [{"static_configs": [{"targets": [server.url.removeprefix("http://")]}]}]
                    },
                },
                "--rules.alert.resend-delay=2s",
            ),
        ):
            yield Scene(simulator, got)


def story_of(workload: str) -> str:
    name = re.sub(r"-\d+$", "", workload)
    return next((story.name for story in STORIES if story.name.replace(" ", "-") == name), name)


def incidents(got: Receivers) -> dict[tuple[str, str], list[str]]:
    """(story, alert) -> the events that PagerDuty received, in order."""
    names = {event["payload"]["custom_details"]["workload_id"]: event["payload"]["component"]
             for event in got.at("/pagerduty") if event["event_action"] == "trigger"}  # fmt: skip
    return {(story_of(names[i]), alert): events for (alert, i), events in got.incidents().items()}


def paged(got: Receivers) -> dict[str, set[str]]:
    """Story -> the alerts that paged."""
    alerts: dict[str, set[str]] = {}
    for story, alert in incidents(got):
        alerts.setdefault(story, set()).add(alert)
    return alerts


def test_each_story_pages_the_right_receivers_once_and_each_incident_ends(scene: Scene) -> None:
    began = time.monotonic()
    assert eventually(lambda: CAUSES.keys() <= paged(scene.got).keys(), LASTS), paged(scene.got)
    # Let it go on, so that alerts that must not page have the time to.
    eventually(lambda: time.monotonic() - began > LASTS, LASTS)
    assert paged(scene.got).keys() == CAUSES.keys()
    for story, alerts in paged(scene.got).items():
        assert alerts <= {CAUSES[story], *OUTAGES}, story
    healthy = next(story for story in STORIES if story.name == "healthy")
    for number in range(len(STORIES)):
        scene.simulator.world.actor(number).story = healthy
    assert eventually(lambda: all(events[-1] == "resolve" for events in incidents(scene.got).values()), 120), incidents(
        scene.got
    )
    for events in incidents(scene.got).values():
        assert events == ["trigger", "resolve"] * (len(events) // 2)
    counts.numbers["incidents opened and closed"] = sum(len(events) for events in incidents(scene.got).values()) // 2


def test_tickets_are_written_for_what_can_wait(scene: Scene) -> None:
    names = {title.split(":")[0].split(" (")[0] for title, _ in scene.got.tickets()}
    assert names - {"DataRobotAccountWorkloadLimitNear"} == TICKETS  # once all are healthy, all are active


def test_the_links_of_a_page_lead_to_its_runbook_its_workload_and_its_time(scene: Scene) -> None:
    pages = [event for event in scene.got.at("/pagerduty") if event["event_action"] == "trigger"]
    assert pages
    for event in pages:
        details = event["payload"]["custom_details"]
        runbook, dashboard = (link["href"] for link in event["links"])
        assert http.get(runbook).status_code == 200
        assert Path(urlsplit(runbook).path).stem == event["payload"]["class"]
        url = urlsplit(dashboard)
        parameters = parse_qs(url.query)
        assert url.path == "/d/datarobot-workload"
        assert parameters["var-workload"] == [details["workload_id"]]
        assert parameters["var-account"] == ["acme"]
        assert time.time() - 3600 < int(parameters["from"][0]) / 1000 < time.time() - 1700
        assert (
            details["console"] == f"https://dr.example.test/console-nextgen/workloads/{details['workload_id']}/overview"
        )
        assert details["what"].startswith(f"Workload {event['payload']['component']} ")


def test_the_chain_sends_its_watchdog(scene: Scene) -> None:
    assert len(scene.got.at("/dead-man")) >= 2
