"""Runbooks: each alert has a page, each page has its parts, and what it links to is there."""

import re

import pytest

from exporter.alerting.alerts import ALERTS, Component
from exporter.runbooks.page import RUNBOOKS, MissingRunbook, page, pages

PAGES = pages()
HEADINGS = [
    *("Meaning", "Impact", "Who is affected", "First 5 minutes", "Likely causes", "Fix", "When to silence"),
    *("Reason for the threshold", "How it resolves"),
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


def anchors(page: str) -> set[str]:
    return {heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ (.*)$", PAGES[page], re.MULTILINE)}


def test_links_between_pages_lead_to_a_page_and_a_heading_that_are_there() -> None:
    links = [link for page in PAGES.values() for link in re.findall(r"\]\(([^)]*)\)", page)]
    assert any("#" in link for link in links)
    for link in links:
        page, _, anchor = link.partition("#")
        assert page in PAGES, link
        assert not anchor or anchor in anchors(page), link


def test_the_words_of_a_page_follow_its_alert() -> None:
    page = PAGES["DataRobotReplacementFailed.md"]
    assert "Severity: critical if the workload is of critical importance, else warning. Fires immediately." in page
    assert "`replacement_failed_seconds` is 30m: the old version still serves" in page
    assert "By itself 30m after the failure" in page
    assert "it keeps its state for at most 10m" in page
    assert "5m after its condition was last met" in PAGES["DataRobotWorkloadNotServing.md"]
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
