"""Runbooks: each alert has a page, each page has its parts, and its links and commands lead somewhere.

`tests/e2e/test_runbooks.py` runs the commands.
"""

import json
import re
from textwrap import dedent
from typing import NamedTuple

import pytest

from exporter.alerting.alerts import ALERTS, BY_NAME, Component
from exporter.alerting.subjects import EXPORTER_ALERTS, SWEEP_ALERTS
from exporter.metrics.account_families import ACCOUNTS
from exporter.metrics.registry import FAMILIES
from exporter.runbooks.page import RUNBOOKS, MissingRunbook, page, pages
from exporter.runbooks.parts import NO_ACTION, PODS_NOT_REPORTED, RESTART
from exporter.runbooks.shell import FUNCTIONS
from exporter.telemetry.own_metrics import OWN_METRICS, PREFIX

PAGES = pages()
HEADINGS = [
    *("Meaning", "Impact", "Is it urgent?", "First 5 minutes", "Likely causes", "Fix", "Silence", "Escalate"),
    *("Reason for the threshold", "How it resolves"),
]
OF_WORKLOADS = [alert.name for alert in ALERTS if alert.component == "workload"]
CHANGES = {
    ("POST", "workloads/ID/start"): [],
    ("POST", "workloads/ID/stop"): [],
    ("POST", "workloads/ID/promote"): [],
    ("POST", "workloads/ID/replacement"): ["artifactId", "strategy"],
    ("DELETE", "workloads/ID/replacement"): [],
    ("PATCH", "workloads/ID"): ["importance"],
}
"""The documented API calls that change something, with the keys of their bodies."""


ONLY_RULES = {
    "DataRobotExporterDown",
    "DataRobotAccountNotHeld",
    "DataRobotExporterLeasesExpired",
    "DataRobotApiRateLimited",
    "DataRobotApiUnknownAnswers",
    "DataRobotExporterDetailsStale",
}
METRICS = {family.name for family in FAMILIES} | {family.name for family in ACCOUNTS}
METRICS |= {PREFIX + own.name + ("_total" if own.kind == "counter" else "") for own in OWN_METRICS}
METRICS |= {"datarobot_workload_autoscaling_", "datarobot_exporter_series"}
"""The last two are the beginnings of patterns."""


class Block(NamedTuple):
    section: str
    text: str


def shell_blocks(text: str) -> list[Block]:
    """The blocks of a page that are pasted into a shell, in order."""
    parts = re.split(r"^## (.*)\n", text, flags=re.MULTILINE)
    return [
        Block(section, dedent(block))
        for section, part in zip(parts[1::2], parts[2::2], strict=True)
        for _, block in re.findall(r"^( *)```bash\n(.*?)^ *```$", part, re.DOTALL | re.MULTILINE)
    ]


def test_every_alert_has_its_page_and_no_page_is_without_an_alert() -> None:
    assert set(RUNBOOKS) == {alert.name for alert in ALERTS}
    assert set(PAGES) == {f"{name}.md" for name in RUNBOOKS} | {"README.md"}


@pytest.mark.parametrize("name", sorted(RUNBOOKS))
def test_a_page_has_all_its_parts_and_none_is_empty(name: str) -> None:
    parts = re.split(r"^## (.*)\n", PAGES[f"{name}.md"], flags=re.MULTILINE)
    assert parts[1::2] == HEADINGS
    assert all(part.strip() for part in parts[2::2])
    assert RUNBOOKS[name].checks
    assert RUNBOOKS[name].symptoms


@pytest.mark.parametrize("name", OF_WORKLOADS)
def test_the_first_step_for_a_workload_is_its_diagnosis(name: str) -> None:
    variables, first, *_ = shell_blocks(PAGES[f"{name}.md"])
    assert variables.text == "export WORKLOAD_ID=...\nexport CONFIG=\n"
    assert first.text.startswith("workload-exporter explain $WORKLOAD_ID --log-lines=20")
    steps = PAGES[f"{name}.md"].partition("## First 5 minutes")[2]
    assert re.search(r"^(\d+)\. ", steps, re.MULTILINE)[0] == "1. "  # type: ignore[index]  # a match is required
    assert steps.index("1. ") < steps.index(first.text.strip()) < steps.index("\n2. ")


@pytest.mark.parametrize("name", sorted(RUNBOOKS))
def test_a_page_has_the_commands_that_silence_its_alert_unless_it_must_not_be_silenced(name: str) -> None:
    commands = [block.text for block in shell_blocks(PAGES[f"{name}.md"]) if block.section == "Silence"]
    if RUNBOOKS[name].silence.startswith("Never"):
        assert commands == []
        return
    labels = {"workload": " workload_id=$WORKLOAD_ID", "account": " account=$ACCOUNT", "exporter": ""}
    matchers = f"alertname={name}{labels[BY_NAME[name].component]}"
    expected = [f"amtool silence add {matchers}", f"workload-exporter silence add {matchers}"]
    shown = [re.sub(r" --(for|duration)=2h .*", "", command, flags=re.DOTALL) for command in commands]
    assert shown == (expected[:1] if name in ONLY_RULES else expected)


def test_the_alerts_that_only_an_alertmanager_can_silence_are_those_that_direct_paging_cannot_evaluate() -> None:
    assert {alert.name for alert in ALERTS if alert.component == "exporter"} - ONLY_RULES == {
        *SWEEP_ALERTS,
        *EXPORTER_ALERTS,
    }


@pytest.mark.parametrize("name", sorted(RUNBOOKS))
def test_the_queries_of_a_page_use_existing_metrics(name: str) -> None:
    queries = re.findall(r"^ *```promql\n(.*?)^ *```$", PAGES[f"{name}.md"], re.DOTALL | re.MULTILINE)
    used = {found for query in queries for found in re.findall(r"\bdatarobot_\w+", query)}
    assert {re.sub("_(sum|count|bucket)$", "", each) for each in used} <= METRICS, "renamed or removed?"


@pytest.mark.parametrize("name", sorted(RUNBOOKS))
def test_a_fix_names_a_command_a_setting_a_place_in_the_console_or_the_people_who_can_act(name: str) -> None:
    vague = [
        symptom.fix
        for symptom in RUNBOOKS[name].symptoms
        if not (symptom.actions or re.search(r"`|\]\(", symptom.fix) or symptom.fix.startswith(NO_ACTION))
    ]
    assert vague == []


@pytest.mark.parametrize("name", sorted(RUNBOOKS))
def test_commands_change_nothing_before_the_fix_and_then_only_by_documented_calls(name: str) -> None:
    for section, text in shell_blocks(PAGES[f"{name}.md"]):
        calls = re.findall(r"^dr_send (\S+) \"(\S+?)\"(?: (.*))?$", text, re.MULTILINE)
        assert len(calls) == len(re.findall(r"^dr_send\b(?!\(\))", text, re.MULTILINE))
        assert section == "Fix" or not calls
        for method, path, body in calls:
            keys = CHANGES[method, re.sub(r"\$\w+", "ID", path)]
            assert list(json.loads(body[1:-1].replace('\\"', '"')) if body else []) == keys


@pytest.mark.parametrize("name", sorted(RUNBOOKS))
def test_the_shell_functions_are_defined_once_before_they_are_used(name: str) -> None:
    blocks = [text for _, text in shell_blocks(PAGES[f"{name}.md"])]
    using = [n for n, text in enumerate(blocks) if re.search(r"\bdr_\w+", text)]
    assert [n for n in using if blocks[n] == f"{FUNCTIONS}\n"] == using[:1]


@pytest.mark.parametrize("name", sorted(RUNBOOKS))
def test_a_block_has_no_comments_because_an_interactive_zsh_takes_them_for_arguments(name: str) -> None:
    assert [text for _, text in shell_blocks(PAGES[f"{name}.md"]) if re.search(r"(^|\s)#", text)] == []


@pytest.mark.parametrize("name", sorted(RUNBOOKS))
def test_the_first_block_sets_the_variables_that_the_others_use(name: str) -> None:
    blocks = [text for _, text in shell_blocks(PAGES[f"{name}.md"]) if text != f"{FUNCTIONS}\n"]
    used = {found for text in blocks for found in re.findall(r"\$\{?([A-Z_]+)\b(?!:[-?])", text)}
    assert used <= {found for text in blocks for found in re.findall(r"^export (\w+)=", text, re.MULTILINE)}
    assert not used or blocks[0].startswith("export ")


def test_console_links_are_the_two_that_are_known_to_exist() -> None:
    links = {link for text in PAGES.values() for link in re.findall(r"console-nextgen/[\w/-]*", text)}
    paths = ("overview", "activity-log/otel-logs")
    assert links == {f"console-nextgen/workloads/WORKLOAD_ID/{path}" for path in paths}


def test_a_page_gives_no_advice_that_cannot_work() -> None:
    def fixes(name: str) -> dict[str, str]:
        return {symptom.sign: symptom.fix for symptom in RUNBOOKS[f"DataRobot{name}"].symptoms}

    suspended = fixes("WorkloadStopped")["The status is `suspended`."]
    assert "ignores a start" in suspended
    assert "cannot be started" in fixes("WorkloadTerminated")["No person did it."]
    assert "Do not start it" in fixes("WorkloadStuckStopping")["Containers are still running."]
    stuck = PAGES["DataRobotReplacementStuck.md"]
    assert "`keepOldVersionMinutes` has no effect" in stuck
    pull = PAGES["DataRobotWorkloadImagePullFailing.md"]
    assert "Starting the workload again cannot help" in pull
    assert PODS_NOT_REPORTED.actions == (RESTART,), "the API ignores a start of what it regards as running"


def anchors(page: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", PAGES[page], re.MULTILINE)
    return {re.sub(r"[^\w-]", "", heading.lower().replace(" ", "-")) for heading in headings}


def test_links_between_pages_lead_to_a_page_and_a_heading_that_are_there() -> None:
    for place, text in PAGES.items():
        links = re.findall(r"\]\(([^)]*)\)", text)
        for link in links:
            page, _, anchor = link.partition("#")
            if page == "../../deploy/workload-exporter.service":
                continue
            assert (page or place) in PAGES, link
            assert not anchor or anchor in anchors(page or place), link


def test_the_words_of_a_page_follow_its_alert() -> None:
    page = PAGES["DataRobotReplacementFailed.md"]
    assert "Severity: warning. Fires after 1m." in page
    assert "`replacement_failed_seconds` is 30m: the previous version still serves" in page
    assert "By itself 30m after the failure" in page
    assert "it keeps its state for at most 10m" in page
    assert "11m after its condition was last met" in PAGES["DataRobotWorkloadNotServing.md"]
    assert "off by default" in PAGES["DataRobotWorkloadTrafficStopped.md"]


@pytest.mark.parametrize(
    ("component", "where"),
    [
        ("workload", "WORKLOADS in exporter/runbooks/workloads.py"),
        ("account", "WORKLOADS in exporter/runbooks/workloads.py"),
        ("exporter", "EXPORTERS in exporter/runbooks/exporters.py"),
    ],
)
def test_an_alert_without_a_runbook_is_an_error_that_names_it_and_the_file_to_edit(
    component: Component, where: str
) -> None:
    with pytest.raises(MissingRunbook) as error:
        page(ALERTS[0]._replace(name="DataRobotNew", component=component))
    assert str(error.value) == f"alert DataRobotNew has no runbook: add an entry 'DataRobotNew' to {where}"
