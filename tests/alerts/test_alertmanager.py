"""The shipped Alertmanager example: where alerts go, and what mutes what, in a real Alertmanager."""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.alerting.alerts import ALERTS, Alert
from exporter.alerting.limits import DEFAULTS
from tests.alerts.receivers import ALERTS as FOLDER
from tests.alerts.receivers import Receivers, example, receivers
from tests.components import component
from tests.e2e.servers import Alertmanager, alertmanager, eventually

FILE = FOLDER / "alertmanager.example.yml"
ROWS = {alert.name: alert for alert in ALERTS}
CONFIG: dict[str, Any] = yaml.safe_load(FILE.read_text())
SCALE = 50.0
"""A flush of pages every 1.2 s instead of every minute, of tickets every 6 s."""
FLUSH = 60 / SCALE


@pytest.mark.real
def test_amtool_takes_it() -> None:
    ran = subprocess.run([component("amtool"), "check-config", str(FILE)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_amlint_has_no_warning() -> None:
    """The receiver that notifies no one is empty on purpose."""
    options = ["check", "--strict", "--ignore", "empty-receiver", "--rules", str(FOLDER / "rules.yml"), str(FILE)]
    ran = subprocess.run(
        [Path(sys.executable).with_name("amlint"), *options], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout


RECEIVERS = {"critical": "page", "warning": "tickets", "info": "none", "none": "dead-mans-switch"}
ROUTES = [(alert.name, level.severity) for alert in ALERTS for level in alert.levels]


@pytest.mark.real
@pytest.mark.parametrize(("name", "severity"), ROUTES, ids=[f"{name}-{severity}" for name, severity in ROUTES])
def test_an_alert_goes_where_its_severity_says(name: str, severity: str) -> None:
    labels = {"alertname": name, "severity": severity, "component": ROWS[name].component}
    arguments = [f"{label}={value}" for label, value in labels.items()]
    command = [component("amtool"), "config", "routes", "test", f"--config.file={FILE}", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == RECEIVERS[severity]


VALUES: dict[str, Callable[[Alert], list[str]]] = {
    "alertname": lambda alert: [alert.name],
    "severity": lambda alert: [level.severity for level in alert.levels],
    "component": lambda alert: [alert.component],
}


def _named(matchers: list[str]) -> list[Alert]:
    """The alerts that matchers may mean."""
    found = list(ALERTS)
    for matcher in matchers:
        parts = re.match(r'(\w+)\s*(=~|=)\s*"?([^"]*)"?$', matcher)
        assert parts
        label, sign, value = parts.groups()
        pattern = value if sign == "=~" else re.escape(value)
        values = VALUES[label]
        found = [alert for alert in found if any(re.fullmatch(pattern, one) for one in values(alert))]
        for one in value.split("|") if sign == "=~" else ():
            assert any(one in values(alert) for alert in ALERTS), matcher
    return found


LABELS = {"workload": {"account", "workload", "workload_id"}, "account": {"account"}, "exporter": {"account"}}


@pytest.mark.parametrize("rule", CONFIG["inhibit_rules"], ids=lambda rule: rule["source_matchers"][-1][:60])
def test_both_sides_of_an_inhibition_are_there_and_have_the_labels_to_compare(rule: Mapping[str, Any]) -> None:
    sources, targets = _named(rule["source_matchers"]), _named(rule["target_matchers"])
    assert sources
    assert targets
    assert rule["equal"]
    for alert in (*sources, *targets):
        assert LABELS[alert.component] >= {*rule["equal"]}, alert.name
        assert alert.name not in ("DataRobotExporterDown", "DataRobotExporterReloadFailed"), "it has no account"


def test_an_alert_storm_fires_before_the_alerts_that_it_mutes() -> None:
    (rule,) = [rule for rule in CONFIG["inhibit_rules"] if "FleetManyFailing" in str(rule["source_matchers"])]
    assert all(ROWS["DataRobotFleetManyFailing"].wait < alert.wait for alert in _named(rule["target_matchers"]))


def test_a_cause_fires_before_its_consequences() -> None:
    """Except causes that take longer to confirm: a pod may soon be scheduled; it ends with its consequences."""
    pages, tickets = [rule for rule in CONFIG["inhibit_rules"] if "CrashLooping" in str(rule["source_matchers"])]
    slow = {"DataRobotWorkloadUnschedulable"}
    soon = {"DataRobotWorkloadNoReadyReplica", "DataRobotWorkloadNotServing", "DataRobotErrorBudgetBurnFast"}
    assert ROWS["DataRobotWorkloadNotServing"].wait + 60 <= ROWS["DataRobotErrorBudgetBurnFast"].wait
    for rule in (pages, tickets):
        for cause in _named(rule["source_matchers"]):
            for effect in _named(rule["target_matchers"]):
                assert cause.name in slow or effect.name in soon or cause.wait + 60 <= _earliest(effect)


def _earliest(alert: Alert) -> float:
    return alert.wait + (DEFAULTS["starting_seconds"] if alert.name == "DataRobotWorkloadStuckStarting" else 0)


def test_missing_data_mutes_no_page() -> None:
    for rule in CONFIG["inhibit_rules"]:
        if any(alert.component == "exporter" for alert in _named(rule["source_matchers"])):
            for alert in _named(rule["target_matchers"]):
                assert alert.component == "exporter" or "severity = warning" in rule["target_matchers"]


# -- in a real Alertmanager


class Chain:
    """An Alertmanager with the shipped example, and what its receivers got."""

    def __init__(self, server: Alertmanager, got: Receivers) -> None:
        self._server, self.got = server, got
        self._began = time.time()
        self.annotations: Mapping[str, str] = {}

    def _alert(self, name: str, severity: str, more: Mapping[str, str], **times: float) -> dict[str, Any]:
        row = ROWS[name]
        labels = {"alertname": name, "severity": severity, "component": row.component, "account": "acme", **more}
        if row.component == "workload":
            labels = {"workload": "churn", "workload_id": "w1", **labels}
        notes = {
            "summary": row.summary,
            "description": f"{row.name} of {labels.get('workload_id')}",
            "runbook_url": f"https://runbooks.example.test/{name}.md",
            "dashboard_url": "https://grafana.example.test/d/datarobot-workload?var-workload=w1",
            "status_url": "https://exporter.example.test/workloads/w1?account=acme",
            "trace_url": "https://jaeger.example.test/search?service=workload-w1&lookback=2d",
            "note": "Call 5678.",
            **self.annotations,
        }
        written = {key: datetime.fromtimestamp(at, UTC).isoformat() for key, at in times.items()}
        return {"labels": labels, "annotations": notes, **written}

    def fire(self, name: str, severity: str = "critical", **more: str) -> None:
        self._server.post(self._alert(name, severity, more, startsAt=self._began, endsAt=time.time() + 300))

    def end(self, name: str, severity: str = "critical", **more: str) -> None:
        self._server.post(self._alert(name, severity, more, startsAt=self._began, endsAt=time.time()))

    def incident(self, name: str, workload_id: str = "") -> list[str]:
        return self.got.incidents().get((name, workload_id), [])


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    with receivers() as got, alertmanager(tmp_path, example(tmp_path, got.url, SCALE)) as server:
        yield Chain(server, got)


ERRORED, PULL, STALE, FLEET = (
    f"DataRobot{name}" for name in ("WorkloadErrored", "WorkloadImagePullFailing", "DataStale", "FleetManyFailing")
)


@pytest.mark.real
def test_a_page_says_what_and_links_to_the_time_and_ends_when_the_alert_does(chain: Chain) -> None:
    chain.fire(ERRORED)
    assert eventually(lambda: chain.incident(ERRORED, "w1") == ["trigger"], 30)
    (event,) = chain.got.at("/pagerduty")
    assert event["payload"]["summary"] == "[FIRING] DataRobotWorkloadErrored: churn (account acme)"
    assert event["payload"]["severity"] == "critical"
    details = event["payload"]["custom_details"]
    description, explain, links, note, silence = details["what"].splitlines()
    assert description == "DataRobotWorkloadErrored of w1"
    assert explain == "Likely cause, next step and owner: workload-exporter explain w1 --log-lines=20"
    assert links.startswith("Runbook: https://runbooks.example.test/DataRobotWorkloadErrored.md Status: https://")
    assert "Status: https://exporter.example.test/workloads/w1?account=acme Dashboard: https://" in links
    assert links.endswith(" Traces: https://jaeger.example.test/search?service=workload-w1&lookback=2d")
    assert "Console:" not in links, "no rule says where it is"
    assert note == "Note: Call 5678."
    command = "amtool silence add --duration=2h --comment='...' alertname=DataRobotWorkloadErrored account=acme"
    assert silence == f"Silence: {command} workload_id=w1"
    assert details["status"] == "https://exporter.example.test/workloads/w1?account=acme"
    assert (details["silence"], details["note"]) == (f"{command} workload_id=w1", "Call 5678.")
    runbook, dashboard = event["links"]
    assert runbook["href"] == "https://runbooks.example.test/DataRobotWorkloadErrored.md"
    found = re.fullmatch(
        r"https://grafana.example.test/d/datarobot-workload\?var-workload=w1&from=(\d+)&to=now", dashboard["href"]
    )
    assert found
    assert abs(int(found[1]) / 1000 - (chain._began - 1800)) < 1
    chain.end(ERRORED)
    assert eventually(lambda: chain.incident(ERRORED, "w1") == ["trigger", "resolve"], 30)


@pytest.mark.real
def test_a_page_shows_the_evidence_of_an_alert_that_the_exporter_sends(chain: Chain) -> None:
    chain.annotations = {"evidence": "Likely cause: No node has a free GPU for it.\nOwner: claims"}
    chain.fire(ERRORED)
    assert eventually(lambda: chain.incident(ERRORED, "w1") == ["trigger"], 30)
    (event,) = chain.got.at("/pagerduty")
    _, cause, owner, explain, *_ = event["payload"]["custom_details"]["what"].splitlines()
    assert (cause, owner) == ("Likely cause: No node has a free GPU for it.", "Owner: claims")
    assert explain == "Details: workload-exporter explain w1 --log-lines=20"
    assert event["payload"]["custom_details"]["evidence"].startswith("Likely cause: ")


@pytest.mark.real
def test_each_workload_has_an_incident_of_its_own_and_tickets_are_grouped(chain: Chain) -> None:
    for workload in ("w1", "w2"):
        chain.fire(ERRORED, workload_id=workload)
        chain.fire("DataRobotContainerOOMKilled", "warning", workload_id=workload + "x", workload=workload)
    assert eventually(lambda: chain.incident(ERRORED, "w1") and chain.incident(ERRORED, "w2"), 30)
    assert eventually(chain.got.tickets, 30) == [("DataRobotContainerOOMKilled: account acme", False)]


@pytest.mark.real
def test_the_cause_pages_and_its_consequences_do_not(chain: Chain) -> None:
    for name in (PULL, ERRORED):
        chain.fire(name)
    chain.fire(ERRORED, workload_id="w2")
    assert eventually(lambda: chain.incident(ERRORED, "w2"), 30)
    assert eventually(lambda: chain.incident(PULL, "w1"), 30)
    assert not eventually(lambda: chain.incident(ERRORED, "w1"), 3 * FLUSH)


@pytest.mark.real
def test_only_the_cause_creates_a_ticket(chain: Chain) -> None:
    for name in (PULL, ERRORED):
        chain.fire(name, "warning")
    assert eventually(chain.got.tickets, 30) == [(f"{PULL}: churn (account acme)", False)]
    assert not eventually(lambda: len(chain.got.tickets()) > 1, 3 * FLUSH)


@pytest.mark.real
def test_in_an_alert_storm_only_the_account_pages_and_remaining_alerts_page_after_it(chain: Chain) -> None:
    chain.fire(FLEET)
    assert eventually(lambda: chain.incident(FLEET), 30)
    for number in range(6):
        chain.fire(ERRORED, workload_id=f"w{number}")
    assert not eventually(lambda: len(chain.got.incidents()) > 1, 3 * FLUSH)
    for number in range(5):
        chain.end(ERRORED, workload_id=f"w{number}")
    chain.end(FLEET)
    assert eventually(lambda: chain.incident(FLEET) == ["trigger", "resolve"], 30)
    assert eventually(lambda: chain.incident(ERRORED, "w5") == ["trigger"], 30)
    assert len(chain.got.incidents()) == 2


@pytest.mark.real
def test_a_page_ends_also_while_nothing_is_known_of_the_account(chain: Chain) -> None:
    chain.fire(ERRORED)
    assert eventually(lambda: chain.incident(ERRORED, "w1"), 30)
    chain.fire(STALE)
    assert eventually(lambda: chain.incident(STALE), 30)
    chain.end(ERRORED)
    assert eventually(lambda: chain.incident(ERRORED, "w1") == ["trigger", "resolve"], 30)


@pytest.mark.real
def test_a_muted_alert_is_resolved_once_it_is_not_muted_if_prometheus_still_sends_it(chain: Chain) -> None:
    """Alertmanager alone would not resolve it. It works because Prometheus sends resolved alerts for 15 minutes."""
    cause = "DataRobotWorkloadUnschedulable"
    chain.fire(ERRORED)
    assert eventually(lambda: chain.incident(ERRORED, "w1"), 30)
    chain.fire(cause)
    assert eventually(lambda: chain.incident(cause, "w1"), 30)
    chain.end(ERRORED)
    assert not eventually(lambda: chain.incident(ERRORED, "w1") == ["trigger", "resolve"], 3 * FLUSH)
    chain.end(cause)
    assert eventually(lambda: chain.incident(cause, "w1") == ["trigger", "resolve"], 30)
    assert not eventually(lambda: chain.incident(ERRORED, "w1") == ["trigger", "resolve"], 3 * FLUSH)
    chain.end(ERRORED)
    assert eventually(lambda: chain.incident(ERRORED, "w1") == ["trigger", "resolve"], 30)


@pytest.mark.real
def test_the_watchdog_is_sent_repeatedly(chain: Chain) -> None:
    chain.fire("DataRobotWatchdog", "none")
    assert eventually(lambda: len(chain.got.at("/dead-man")) >= 2, 20)
