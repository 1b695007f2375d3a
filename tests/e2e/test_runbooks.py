"""Every command and every query of every runbook, pasted as it stands into a shell, against the demo.

`make test` pastes the commands of some pages, which include every kind of command, and `make test-all` those of all.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import yaml

from exporter.alerting.alerts import ALERTS
from exporter.runbooks.page import RUNBOOKS, page
from exporter.runbooks.parts import READY
from exporter.runbooks.shell import FUNCTIONS
from tests.components import component
from tests.e2e.servers import (
    Prometheus,
    Recorder,
    alertmanager,
    demo,
    eventually,
    free_port,
    prometheus,
    recorder,
    running,
)
from tests.receivers import HttpReceiver
from tests.test_runbooks import Block, shell_blocks

pytestmark = pytest.mark.real
UNKNOWN = "0" * 24
"""The id of no workload."""


class Paste(NamedTuple):
    """How the page of an alert is tried: on the workload of a story, and what its commands must print.

    `refused`: commands that must fail, with what they print.
    """

    story: str = "healthy"
    shows: tuple[str, ...] = ()
    refused: Mapping[str, str] = {}


_NO_REPLICA = {'dr_get "endpoints/': ": 503, refused or failed\n"}
PASTES = {
    "DataRobotWorkloadErrored": Paste("exit 0", ("CrashLoopBackOff", "no (0 of 1 replicas ready)", '"ready": false')),
    "DataRobotWorkloadTerminated": Paste("terminated", (": terminated", '"status": "terminated"')),
    "DataRobotWorkloadNoReadyReplica": Paste("nobody ready", ("no (0 of 2 replicas ready)", '"ready": false')),
    "DataRobotWorkloadStopped": Paste("suspended", (": suspended", '"status": "suspended"')),
    "DataRobotWorkloadUnreadable": Paste("bare", (": unknown",)),
    "DataRobotWorkloadVanished": Paste(
        "", refused={"workload-exporter explain": "none of ", "dr_get": ": 404, not found: an unknown id"}
    ),
    "DataRobotWorkloadNotServing": Paste("outage", ("server errors (5xx",)),
    "DataRobotWorkloadStuckStarting": Paste("not ready", (": launching", '"ready": false')),
    "DataRobotWorkloadImagePullFailing": Paste("image pull", ("The registry has no image", "manifest unknown")),
    "DataRobotPodSnapshotMissing": Paste("monitor frozen", ("(204: nothing is reported yet)",), _NO_REPLICA),
    "DataRobotDraftExpiring": Paste("draft about to end", ("a draft", '"status": "draft"')),
    "DataRobotImportantOnDraft": Paste("draft about to end", ('"status": "draft"',)),
    "DataRobotReplacementStuck": Paste(refused={'replacement/"': ": 404, not found"}),
    "DataRobotContainerCrashLooping": Paste("crash loop", ("CrashLoopBackOff", '"exitCode": 1')),
    "DataRobotContainerOOMKilled": Paste("out of memory", ("OOMKilled",)),
    "DataRobotWorkloadReplicasDegraded": Paste("degraded", ("2 of 3 replicas ready", '"ready": false')),
    "DataRobotAutoscalerSaturated": Paste("saturated autoscaler", ("4 of 4 replicas ready",)),
    "DataRobotWorkloadMemoryNearLimit": Paste("memory near its bundle", ("memory",)),
    "DataRobotBundleNotOffered": Paste("bundle withdrawn", ("cpu.legacy", '"useCases"')),
    "DataRobotFleetManyFailing": Paste("exit 0", ("CrashLoopBackOff",)),
    "DataRobotErrorBudgetBurnFast": Paste("server errors", ("server errors (5xx",)),
    "DataRobotErrorBudgetBurnSlow": Paste("server errors", ("server errors (5xx",)),
    "DataRobotLatencyBudgetBurn": Paste("slow", ("% slow",)),
    "DataRobotReadinessBudgetBurn": Paste("crash loop", ("CrashLoopBackOff",)),
    "DataRobotWorkloadLatencyHigh": Paste("slow", ("% slow",)),
    "DataRobotWorkloadRefusesCallers": Paste("callers refused", ("client errors (4xx)",)),
    "DataRobotWorkloadTrafficStopped": Paste(shows=('"simulated": true',)),
    "DataRobotApiUnreachable": Paste(shows=("\n200\n",)),
    "DataRobotExporterDown": Paste(shows=("healthy",)),
    "DataRobotDataStale": Paste(shows=("ready",)),
}
"""Pages that are not in it are tried on a healthy workload."""
ALWAYS = {
    "DataRobotWorkloadErrored",
    "DataRobotWorkloadNoReadyReplica",
    "DataRobotWorkloadStopped",
    "DataRobotWorkloadVanished",
    "DataRobotWorkloadNotServing",
    "DataRobotWorkloadImagePullFailing",
    "DataRobotPodSnapshotMissing",
    "DataRobotImportantOnDraft",
    "DataRobotReplacementStuck",
    "DataRobotContainerCrashLooping",
    "DataRobotFleetManyFailing",
    "DataRobotApiUnreachable",
}
"""Pages whose commands are pasted by `make test`, too."""
PASTED = [
    pytest.param(alert, id=alert.name, marks=[] if alert.name in ALWAYS else pytest.mark.exhaustive) for alert in ALERTS
]


class Scene(NamedTuple):
    prometheus: Prometheus
    environment: dict[str, str]
    workloads: dict[str, str]
    config: Path
    recorder: Recorder


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """The demo, Prometheus, an Alertmanager, and a daemon that notifies a receiver directly about the same fleet."""
    component("curl")
    component("amtool")
    folder = tmp_path_factory.mktemp("runbooks")
    port, api, direct = free_port(), free_port(), free_port()
    config = {
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [{"job_name": "datarobot", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}],
    }
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "RECEIVER": "on-call"}
    # At a tenth of the speed, the stories stay in their first step, however long the commands take.
    fleet = (f"--demo.api-address=127.0.0.1:{api}", "--demo.workloads=45", "--demo.speed=0.1")
    settings, routes = folder / "exporter.yaml", folder / "alertmanager.yml"
    routes.write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
    with (
        demo(folder, port, *fleet),
        prometheus(folder, config) as server,
        alertmanager(folder, routes) as manager,
        HttpReceiver() as receiver,
        recorder(lambda *_: (202, b"")) as changes,
    ):
        printed = eventually(lambda: re.findall(r"export (\w+)=(\S+)", (folder / "demo.log").read_text()), 30)
        assert [name for name, _ in printed] == ["DATAROBOT_ENDPOINT", "DATAROBOT_API_TOKEN"]
        environment |= dict(printed)
        endpoint, token = (value for _, value in printed)
        account = {"name": "demo", "endpoint": endpoint, "token": token}
        paging = {"who": "direct", "receivers": [{"name": "on-call", "kind": "webhook", "url": receiver.url}]}
        web = {"listen_address": [f"127.0.0.1:{direct}"]}
        settings.write_text(yaml.safe_dump({"accounts": [account], "paging": paging, "web": web}))
        daemon = (sys.executable, "-m", "exporter", "run", f"--config.file={settings}")
        with running(folder / "direct.log", *daemon):
            environment |= {"EXPORTER": f"http://127.0.0.1:{port}", "ALERTMANAGER": manager.url}
            crashed = eventually(
                lambda: server.query('datarobot_container_last_exit_code{workload=~"crash-loop.*"}'), 60
            )
            assert crashed, (folder / "demo.log").read_text()
            assert eventually(lambda: httpx.get(f"http://127.0.0.1:{direct}/-/ready").status_code == 200, 60)
            headers = {"authorization": f"Bearer {token}"}
            listed = httpx.get(f"{endpoint}/api/v2/workloads/?limit=100", headers=headers).json()["data"]
            workloads = {re.sub(r"-\d+$", "", each["name"]).replace("-", " "): each["id"] for each in listed}
            yield Scene(server, environment, workloads, settings, changes)


def pasted(scene: Scene, blocks: list[Block], workload: str) -> list[tuple[str, int, str]]:
    """Each block, with the exit status of its last command and its output, in one bash.

    A person replaces only the values of the variables, `...` among them. The simulated API refuses changes: blocks that
    call `dr_send` go to the recorder instead.
    """
    values = {
        "WORKLOAD_ID": workload,
        "OTHER_ID": workload,
        "ACCOUNT": "demo",
        "CONFIG": str(scene.config),
        "EXPORTER": scene.environment["EXPORTER"],
        "ARTIFACT_ID": "a" * 24,
        "IMPORTANCE": "low",
    }
    lines = ["exec 2>&1"]
    for _, text in blocks:
        with_values = re.sub(r"^export (\w+)=.*$", lambda m: f"export {m[1]}={values[m[1]]}", text, flags=re.MULTILINE)
        changes = re.search(r"^dr_send\b(?!\(\))", text, re.MULTILINE)
        lines.append(f"DATAROBOT_ENDPOINT={scene.recorder.url if changes else scene.environment['DATAROBOT_ENDPOINT']}")
        lines += [with_values, 'printf "\\n== %s\\n" $?']
    ran = subprocess.run(
        ["bash", "--norc", "-c", "\n".join(lines)],
        env=scene.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    *outputs, rest = re.split(r"\n== (\d+)\n", ran.stdout)
    assert (ran.returncode, rest, len(outputs)) == (0, "", 2 * len(blocks)), (ran.stdout[-500:], ran.stderr)
    return [(b.text, int(s), out) for b, out, s in zip(blocks, outputs[::2], outputs[1::2], strict=True)]


@pytest.fixture(scope="module")
def results(scene: Scene, request: pytest.FixtureRequest) -> dict[str, list[tuple[str, int, str]]]:
    """What the commands of each page print whose test is selected."""
    items: list[Any] = [*request.session.items]
    alerts = [item.callspec.params["alert"] for item in items if _pastes(item)]

    def of(alert: Any) -> list[tuple[str, int, str]]:
        story = PASTES.get(alert.name, Paste()).story
        return pasted(scene, shell_blocks(page(alert)), scene.workloads[story] if story else UNKNOWN)

    with ThreadPoolExecutor(4) as pool:
        return dict(zip([alert.name for alert in alerts], pool.map(of, alerts), strict=True))


def _pastes(item: Any) -> bool:
    return getattr(item, "function", None) is test_the_commands_of_a_page_work


@pytest.mark.parametrize("alert", PASTED)
def test_the_commands_of_a_page_work(results: dict[str, list[tuple[str, int, str]]], alert: Any) -> None:
    """`explain` has statuses of its own for a workload that is not well, and for one whose health is unknown."""
    name = alert.name
    expected, refused = PASTES.get(name, Paste()), dict[str, str]()
    for command, status, output in results[name]:
        key = next((key for key in expected.refused if key in command and command != f"{FUNCTIONS}\n"), None)
        if key is not None:
            refused[key] = expected.refused[key]
            assert status == 1, (command, output)
            assert expected.refused[key] in output, (command, output)
        else:
            good = (0, 3, 4, 5) if "workload-exporter explain" in command else (0,)
            assert status in good, (command, output)
        assert output.strip() or re.fullmatch(r"(export .*\n)+", command) or command == f"{FUNCTIONS}\n", command
    assert refused == expected.refused
    everything = "".join(output for _, _, output in results[name])
    assert [text for text in expected.shows if text not in everything] == [], everything


def test_changes_are_sent_as_documented(scene: Scene, results: dict[str, list[tuple[str, int, str]]]) -> None:
    sent = {(method, re.sub(r"[0-9a-f]{24}", "ID", path), body) for method, path, body in scene.recorder.received}
    assert sent == {
        ("POST", "/api/v2/workloads/ID/start", b""),
        ("POST", "/api/v2/workloads/ID/stop", b""),
        ("POST", "/api/v2/workloads/ID/promote", b""),
        (
            "POST",
            "/api/v2/workloads/ID/replacement",
            json.dumps({"artifactId": "a" * 24, "strategy": "rolling"}).encode(),
        ),
        ("DELETE", "/api/v2/workloads/ID/replacement", b""),
        ("PATCH", "/api/v2/workloads/ID", b'{"importance": "low"}'),
    }
    assert "(202: accepted)" in "".join(output for each in results.values() for _, _, output in each)


@pytest.mark.parametrize("alert", ALERTS, ids=[alert.name for alert in ALERTS])
def test_the_queries_of_a_page_are_answered_and_show_something_of_its_workload(scene: Scene, alert: Any) -> None:
    story = PASTES.get(alert.name, Paste()).story
    queries = re.findall(r"^ *```promql\n(.*?)^ *```$", page(alert), re.DOTALL | re.MULTILINE)
    names = {"WORKLOAD_ID": scene.workloads.get(story, UNKNOWN), "ACCOUNT": "demo"}
    answers = [
        scene.prometheus.query(re.sub(r"\b(WORKLOAD_ID|ACCOUNT)\b", lambda m: names[m[1]], query)) for query in queries
    ]
    # The demo's API responds well: nothing is rejected or fails, and nothing is wrong with the exporter.
    if story and alert.component != "exporter" and not alert.name.endswith("Unreadable") and queries:
        assert any(answers), queries


def test_a_query_for_several_families_shows_each_of_them(scene: Scene) -> None:
    """``or`` would show the first alone: their labels are the same."""
    found = scene.prometheus.query(READY.query.replace("WORKLOAD_ID", scene.workloads["crash loop"]))
    assert {series["metric"]["__name__"].removeprefix("datarobot_") for series in found} == {
        "workload_replicas_ready", "workload_replicas_live", "workload_replicas_min", "workload_replicas_max"
    }  # fmt: skip


def test_the_queries_about_a_crash_show_it(scene: Scene) -> None:
    """Not only answered: they show what the page promises."""
    query = next(each.query for each in RUNBOOKS["DataRobotContainerCrashLooping"].checks if "exit_code" in each.query)
    found = scene.prometheus.query(query.replace("WORKLOAD_ID", scene.workloads["crash loop"]))
    assert [series["value"][1] for series in found] == ["1"]


def test_the_failing_workloads_of_an_account_include_those_that_run_without_a_ready_replica(scene: Scene) -> None:
    query = RUNBOOKS["DataRobotFleetManyFailing"].checks[0].query.replace("ACCOUNT", "demo")
    found = {(each["metric"]["workload"], each["metric"]["status"]) for each in scene.prometheus.query(query)}
    stories = {(re.sub(r"-\d+$", "", workload), status) for workload, status in found}
    assert {("exit-0", "errored"), ("nobody-ready", "running"), ("from-the-future", "other")} <= stories
    assert not {"healthy", "scaled-to-zero"} & {story for story, _ in stories}
