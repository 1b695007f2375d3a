"""Generated files and locked names are up to date, and the documentation matches the code."""

import ast
import re
from pathlib import Path
from typing import get_args

import pytest

from exporter.alerting.alerts import ALERTS
from exporter.alerting.rules import DEFAULT, expression, levels
from exporter.alerting.subjects import EXPORTER_ALERTS, SWEEP_ALERTS
from exporter.docs import CHART, files
from exporter.metrics.account_families import ACCOUNTS, AccountFamily
from exporter.metrics.family import COMMON_LABELS, Family
from exporter.metrics.registry import FAMILIES
from exporter.paging.notify import KINDS
from exporter.settings.loader import load
from exporter.settings.receivers import RECEIVERS
from exporter.telemetry.own_metrics import OWN_METRICS, PREFIX
from tests.alerts.cases import CASES

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def generated() -> dict[str, str]:
    """All generated files as they should be, by place."""
    return files((ROOT / CHART / "values.schema.json").read_text())


def test_the_generated_files_are_up_to_date(generated: dict[str, str]) -> None:
    assert [place for place, text in generated.items() if (ROOT / place).read_text() != text] == [], "run `make docs`"


def test_there_are_no_other_runbook_files(generated: dict[str, str]) -> None:
    existing = {str(file.relative_to(ROOT)) for file in (ROOT / "alerts/runbooks").iterdir()}
    assert existing == {place for place in generated if place.startswith("alerts/runbooks/")}


def test_every_alert_uses_existing_metrics() -> None:
    ours = {family.name for family in FAMILIES} | {family.name for family in ACCOUNTS}
    ours |= {PREFIX + own.name + ("_total" if own.kind == "counter" else "") for own in OWN_METRICS}
    for alert in ALERTS:
        ((_, condition), *_) = levels(alert)
        used = set(re.findall(r"datarobot_\w+", expression(alert, condition, DEFAULT)))
        assert used or alert.name in ("DataRobotWatchdog", "DataRobotExporterDown")
        assert used <= ours, alert.name
        assert re.fullmatch(r"DataRobot[A-Za-z]{1,31}", alert.name), alert.name


def test_names_types_and_labels_of_families_are_locked() -> None:
    """Rules and dashboards depend on stable names: change the lock intentionally, with a line in the change log."""
    ours: list[tuple[str, str, tuple[str, ...]]] = [(f.name, f.kind, (*COMMON_LABELS, *f.labels)) for f in FAMILIES]
    ours += [(f.name, f.kind, ("account", *f.labels)) for f in ACCOUNTS]
    ours += [(PREFIX + o.name, o.kind, o.labels) for o in OWN_METRICS]
    now = [f"{name} {kind} {','.join(sorted(labels))}" for name, kind, labels in sorted(ours)]
    locked = (ROOT / "tests" / "families.lock").read_text().splitlines()
    assert [line for line in now if line not in locked] == [], "add these lines to tests/families.lock"
    assert [line for line in locked if line not in now] == [], "these metrics changed or were removed"
    assert locked == now, "sort tests/families.lock"


def test_every_alert_has_a_case() -> None:
    missing = {alert.name for alert in ALERTS} - {case.alert for case in CASES} - {"DataRobotWatchdog"}
    assert missing == set(), "add a case to tests/alerts/cases.py"


def test_names_of_metrics_are_unique_and_valid() -> None:
    rows: list[Family | AccountFamily] = [*FAMILIES, *ACCOUNTS]
    assert len({family.name for family in rows}) == len(rows)
    for family in rows:
        assert re.fullmatch(r"datarobot_[a-z_]+", family.name)
        assert family.help.endswith("."), family.name
        assert family.source, family.name
        assert family.absence, family.name


def test_every_dependency_has_a_reason() -> None:
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    first, last = lines.index("dependencies = ["), lines.index("[project.scripts]")
    for line in lines[first + 1 : last]:
        if line.startswith('  "'):
            assert "# " in line, line


def test_the_api_client_can_only_send_get_requests() -> None:
    """One module uses httpx for the API, and its only call that sends has the method GET as a literal.

    The other modules that use httpx send traces and notifications and do not access accounts, or what they are given,
    or respond in place of the simulated API.
    """
    users = {
        str(file.relative_to(ROOT / "exporter")): file.read_text()
        for file in (ROOT / "exporter").rglob("*.py")
        if re.search(r"^\s*(import|from) (httpx|aiohttp|requests|urllib3|http\.client)", file.read_text(), re.MULTILINE)
    }
    others = {
        "apprise_process.py",
        "cli/simulated_transport.py",
        "http_client.py",
        "otlp/transport.py",
        "paging/notify/post.py",
    }
    assert users.keys() == {"collect/client.py", *others}
    assert sent(users["collect/client.py"]) == ["'GET', _with_query(url, params)", "request"]
    assert sent(users["otlp/transport.py"]) == ["'POST', self._url"]
    assert sent(users["http_client.py"]) == []
    assert sent(users["cli/simulated_transport.py"]) == []
    assert sent(users["apprise_process.py"]) == []
    assert sent(users["paging/notify/post.py"]) == ["'POST', to.url"]
    for module in others:
        assert not re.search(r"\b(accounts?|token|/api/v2)\b", users[module], re.IGNORECASE)


def sent(module: str) -> list[str]:
    """The arguments of each call that creates or sends a request with httpx."""
    return [
        ", ".join(map(ast.unparse, node.args))
        for node in ast.walk(ast.parse(module))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and (ast.unparse(node.func) == "httpx.Request" or ast.unparse(node.func.value) == "http")
        and node.func.attr != "aclose"
    ]


# -- docs/traces.md

TRACES = (ROOT / "docs" / "traces.md").read_text()


def shown(block: str) -> str:
    """The content of a code block of docs/traces.md."""
    (found,) = re.findall(rf"^```{block}\n(.*?)^```$", TRACES, re.MULTILINE | re.DOTALL)
    return str(found)


def test_the_documented_trace_is_that_of_the_story() -> None:
    golden = (ROOT / "tests" / "golden" / "traces" / "start-of-14-minutes.txt").read_text().split("\n\n")[1]
    expected = re.findall(r"^( *)(.+?)  \+(\S+) s, (\S+) s, (\S+)", golden, re.MULTILINE)
    documented = re.findall(r"^( *)(.+?) +\+(\S+) s +(\S+) s  (\S+)$", shown("trace start-of-14-minutes"), re.MULTILINE)
    assert documented == [
        (depth, name, f"{float(a):.0f}", f"{float(b):.0f}", src) for depth, name, a, b, src in expected
    ]


def test_the_documented_settings_send_traces(tmp_path: Path) -> None:
    file = tmp_path / "exporter.yaml"
    file.write_text(shown("yaml settings"))
    secret = {"DATAROBOT_API_TOKEN": "t", "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20k"}
    traces = load(file, secret).traces
    assert (traces.endpoint, traces.protocol) == ("http://collector:4317", "grpc")
    assert [*traces.headers] == ["authorization"]


def test_the_documented_metrics_of_traces_exist() -> None:
    ours = {PREFIX + own.name + ("_total" if own.kind == "counter" else "") for own in OWN_METRICS}
    assert {*re.findall(r"`(datarobot_exporter_\w+)", TRACES)} <= ours


# -- docs/paging.md

PAGING = (ROOT / "docs" / "paging.md").read_text()
SECRETS = {
    "DATAROBOT_API_TOKEN": "t",
    "PAGERDUTY_KEY": "k" * 32,
    "SLACK_WEBHOOK": "https://hooks.slack.test/services/x",
    "TICKETS_URL": "https://tickets.test/new",
    "TICKETS_SECRET": "s",
    "DEAD_MANS_SWITCH": "https://snitch.test/x",
    "MAIL_URL": "mailto://127.0.0.1:10025?from=a@b.test&to=c@b.test",
    "PHONE_URL": "ntfys://ntfy.example.test/topic",
}


@pytest.mark.parametrize(("kind", "block"), re.findall(r"^```yaml (\w+)\n(.*?)^```$", PAGING, re.MULTILINE | re.DOTALL))
def test_the_documented_settings_configure_paging(tmp_path: Path, kind: str, block: str) -> None:
    file = tmp_path / "exporter.yaml"
    file.write_text(block)
    paging = load(file, SECRETS).paging
    (receiver,) = paging.receivers
    assert receiver.kind == ("webhook" if kind == "watchdog" else kind)
    assert paging.who in ("direct", "both")


def test_every_kind_of_receiver_has_a_notifier_and_is_documented() -> None:
    kinds = {kind for receiver in RECEIVERS for kind in get_args(receiver.model_fields["kind"].annotation)}
    assert kinds == {*KINDS}, "add a row to KINDS in exporter/paging/notify/__init__.py"
    documented = {*re.findall(r"^```yaml (\w+)$", PAGING, re.MULTILINE)} - {"watchdog"}
    assert documented == kinds, "add a block to docs/paging.md, such as ```yaml webhook"


def test_alerts_that_need_prometheus_are_listed() -> None:
    listed = re.search(r"<!-- only prometheus -->\n((?:- `\w+`\n)+)", PAGING)
    assert listed is not None
    own = {alert.name for alert in ALERTS if alert.component == "exporter"}
    assert {*re.findall(r"\w+", listed[1])} == own - {*SWEEP_ALERTS, *EXPORTER_ALERTS}


def test_the_documented_page_is_that_of_a_story() -> None:
    (page,) = re.findall(r"^```page crash-loop\n(.*?)^```$", PAGING, re.MULTILINE | re.DOTALL)
    golden = (ROOT / "tests" / "golden" / "pages" / "crash-loop.txt").read_text()
    assert page in golden


def test_the_documented_metrics_and_alerts_of_paging_exist() -> None:
    ours = {PREFIX + own.name + ("_total" if own.kind == "counter" else "") for own in OWN_METRICS}
    assert {*re.findall(r"`(datarobot_exporter_\w+)", PAGING)} <= ours
    assert {*re.findall(r"`(DataRobot\w+)`", PAGING)} <= {alert.name for alert in ALERTS}
