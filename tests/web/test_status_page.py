"""The status page as HTML: what stands where, what is escaped, what is asked for by its query."""

import asyncio
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.alerting.rules import DEFAULT, Options
from exporter.api.models import Group, Runtime, Workload
from exporter.api.pods import Condition, Pods
from exporter.diagnosis.fleet_table import Choice, fleet_table
from exporter.fleet.ledger import Ledger, Tally
from exporter.fleet.workload_state import Account, Details, WorkloadState
from exporter.metrics.account_families import AccountFacts, use
from exporter.web.status_page import AccountStatus, Status, StatusPage, address, chosen_by, page
from tests.make import container, pods, replica, sight

NOW = 1_795_000_000.0
READY = replica(container())
LOST = replica(container(), status="unknown", conditions=(Condition(type="Ready"),))
EVIL = '<script>alert(1)</script>"onmouseover="alert(2)'


def state(name: str = "name", told: Pods | None = None, account: str = "eu", **facts: Any) -> WorkloadState:
    parts = {part: facts.pop(part) for part in ("vanished",) if part in facts}
    runtime = Runtime(container_groups=(Group(replica_count=2),))
    workload = Workload(
        **{"id": "w1", "name": name, "status": "running", "proton_id": "p", "runtime": runtime, **facts}
    )
    return sight(workload, NOW - 3600, 1.0, account=account, details=Details(pods=told), **parts)


def account(
    *fleet: WorkloadState, name: str = "eu", succeeded: float | None = NOW - 12.0, failure: str = ""
) -> AccountStatus:
    known = AccountFacts(Account(name), use(fleet), Tally())
    return AccountStatus(name, "https://dr.test", known, fleet, succeeded, failure, 30.0, 900.0)


def status(*accounts: AccountStatus, options: Options = DEFAULT, note: str = "") -> Status:
    return Status("1.2.3", accounts, NOW - 60, NOW, options, ("/metrics", "/-/ready"), note)


class Parsed(HTMLParser):
    """The elements of a page: links as (address, text), rows of its tables as texts of their cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.links: list[tuple[str, str]] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self._inside: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside.append(tag)
        if tag == "a":
            self.links.append((dict(attrs)["href"] or "", ""))
        elif tag == "tr":
            self.rows.append([])
        elif tag == "td":
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        while self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "script" in self._inside or "style" in self._inside:
            return
        self.text += data
        if "a" in self._inside:
            href, text = self.links[-1]
            self.links[-1] = href, text + data
        if "td" in self._inside:
            self.rows[-1][-1] += data


def html(told: Status, query: str = "") -> str:
    of = fleet_table(((each.known, each.fleet) for each in told.accounts), told.options, told.now)
    return page(told, of, chosen_by(query))


def parsed(told: Status, query: str = "") -> Parsed:
    return Parsed(html(told, query))


def test_a_workload_is_a_row_and_links_to_its_console() -> None:
    told = parsed(status(account(state("front", pods(READY, READY), importance="high"))))
    assert told.rows[-1] == ["running", "frontw1 · logs", "1 h", "2 / 2", "high", ""]
    assert ("https://dr.test/console-nextgen/workloads/w1/overview", "front") in told.links
    assert ("https://dr.test/console-nextgen/workloads/w1/activity-log/otel-logs", "logs") in told.links


def test_what_is_not_told_is_said_so() -> None:
    bare = WorkloadState("eu", Workload(id="w1"), Ledger(NOW - 5.0, NOW - 5.0))
    told = parsed(status(account(bare)))
    assert told.rows[-1] == [
        "unknown",
        "w1w1 · logs",
        "over 5 s",
        "? / ?",
        "not told",
        "its status is unknown",
    ]


@pytest.mark.parametrize(
    ("of", "kind"),
    [
        (state("a", pods(READY, READY)), "up"),
        (state("a", None), "untold"),
        (state("a", pods(READY)), "warning"),
        (state("a", pods(READY, LOST)), "untold"),
        (state("a", pods(READY, READY, LOST)), "up"),
        (state("a", pods()), "critical"),
        (state("a", None, status="stopped"), "off"),
        (state("a", None, status="errored"), "failed"),
        (state("a", None, status="errored", importance="high"), "critical"),
    ],
)
def test_only_what_runs_and_is_known_to_be_ready_is_green(of: WorkloadState, kind: str) -> None:
    assert re.findall(r'<tr><td><span class="badge (\w+)">', html(status(account(of)))) == [kind]


@pytest.mark.parametrize(
    ("accounts", "color"),
    [
        ([account(state("a", pods(READY, READY)))], "1e8e3e"),
        ([account(state("a", None))], "80868b"),
        ([account(state("a", pods(READY, READY)), succeeded=NOW - 100)], "80868b"),
        ([account(state("a", pods(READY)))], "f29900"),
        ([account(state("a", pods()))], "d93025"),
        ([account(succeeded=None)], "80868b"),
    ],
)
def test_the_tab_is_green_only_where_all_is_known_and_well(accounts: list[AccountStatus], color: str) -> None:
    (icon,) = [attributes["href"] for tag, attributes in parsed(status(*accounts)).tags if tag == "link"]
    assert f"%23{color}" in (icon or "")


def test_one_that_vanished_has_no_links_and_no_replicas() -> None:
    told = parsed(status(account(state("front", vanished=NOW - 60))))
    assert told.rows[-1] == ["vanished", "frontw1", "1 min", "", "not told", "WorkloadVanishedno longer listed"]
    assert not [href for href, _ in told.links if "console-nextgen" in href]


def test_names_and_ids_are_text_wherever_they_stand() -> None:
    evil = state(EVIL, id=EVIL, status=EVIL, importance=EVIL)
    told = parsed(status(account(evil, name="eu", failure=EVIL), note=EVIL), "q=alert")
    assert [attributes for tag, attributes in told.tags if tag == "script"] == [{}], "our own, and no other"
    assert not [name for _, attributes in told.tags for name in attributes if name.startswith("on")]
    assert told.text.count(EVIL) >= 4
    for href, _ in told.links:
        assert href.startswith(("https://", "?", "./")), href
    assert not [href for href, _ in told.links if '"' in href or "<" in href]


@given(st.text(), st.text(min_size=1))
def test_no_name_breaks_out_of_its_place(name: str, id_: str) -> None:
    tags = [tag for tag, _ in parsed(status(account(state("plain", id="id")))).tags]
    assert [tag for tag, _ in parsed(status(account(state(name, id=id_)))).tags] == tags


def test_an_alert_that_holds_is_told_with_its_runbook_where_a_browser_can_open_it() -> None:
    failed = account(state(status="errored"))
    told = parsed(status(failed, options=DEFAULT._replace(runbooks="https://docs.test/runbooks/")))
    assert ("https://docs.test/runbooks/DataRobotWorkloadErrored.md", "WorkloadErrored") in told.links
    assert ("?q=DataRobotWorkloadErrored", "WorkloadErrored 1") in told.links
    assert "the condition of the alert is true at this moment" in told.text
    named = parsed(status(failed), "q=DataRobotWorkloadErrored")
    assert "A workload has failed. Runbook: alerts/runbooks/DataRobotWorkloadErrored.md" in named.text
    script = status(failed, options=DEFAULT._replace(runbooks="javascript:alert(1)//"))
    assert not [href for href, _ in parsed(script, "q=DataRobotWorkloadErrored").links if "javascript" in href]


@pytest.mark.parametrize(
    ("facts", "cells"),
    [
        ({}, ["1", "12 s ago", "none"]),
        ({"failure": "timeout & more"}, ["1", "12 s ago", "timeout & more"]),
        ({"succeeded": NOW - 600, "failure": "x"}, ["1", "10 min ago", "x"]),
        ({"succeeded": NOW - 901, "failure": "x"}, ["withdrawn: too old", "15 min ago", "x"]),
        ({"succeeded": None}, ["not told yet", "none yet", "the first sweep has not ended yet"]),
    ],
)
def test_an_account_says_how_old_it_is_and_what_is_wrong(facts: dict[str, Any], cells: list[str]) -> None:
    told = parsed(status(account(state(), **facts)))
    (row,) = [row for row in told.rows if row and row[0].startswith("eu")]
    assert row == ["euhttps://dr.test", *cells]


def test_where_no_workload_is_known_the_page_says_that_and_not_that_all_is_well() -> None:
    told = parsed(status(account(succeeded=None)))
    assert "No workload is known, so nothing can be said." in told.text
    assert "No workload is known." in told.text


def test_of_several_accounts_each_row_says_whose_it_is() -> None:
    us = account(state("b", account="us", id="2"), name="us")
    told = parsed(status(account(state("a", id="1")), us))
    assert sorted(row[1] for row in told.rows[-2:]) == ["aeu · 1 · logs", "bus · 2 · logs"]


def test_a_page_of_a_large_fleet_is_bounded_and_says_how_much_there_is() -> None:
    fleet = [state(f"workload-{number:05}", id=f"{number:024}") for number in range(10_000)]
    text = html(status(account(*fleet)), "sort=workload&page=3")
    told = Parsed(text)
    assert len(text) < 200_000
    assert told.rows[3][1].startswith("workload-00200")
    assert "201 to 300 of 10,000" in told.text
    assert ("?sort=workload&page=2", "the page before") in told.links
    assert ("?sort=workload&page=4", "the next page") in told.links


@pytest.mark.parametrize(
    ("query", "choice"),
    [
        ("", Choice()),
        ("q=a%20b&state=failed&sort=-since&page=2", Choice("a b", "failed", "-since", 2)),
        ("q=&state=nonsense&sort=nonsense&page=-1", Choice()),
        ("page=" + "9" * 400, Choice()),
        ("q=" + "a" * 1000, Choice("a" * 200)),
        ("&".join("a=1" for _ in range(100)), Choice()),
        ("q=%ff%00", Choice("\ufffd\x00")),
    ],
)
def test_what_a_query_asks_for(query: str, choice: Choice) -> None:
    assert chosen_by(query) == choice


@given(
    st.text(max_size=200),
    st.sampled_from(["", "failed", "trouble"]),
    st.sampled_from(["", "-since"]),
    st.integers(1, 99),
)
def test_an_address_asks_for_its_choice(words: str, state: str, sort: str, number: int) -> None:
    choice = Choice(words.strip(), state, sort, number)
    assert chosen_by(address(choice).removeprefix("?")) == choice


def test_everybody_who_looks_at_once_is_answered_from_one_board() -> None:
    asked = []

    def told() -> Status:
        asked.append(1)
        return status(account(state()))

    async def look() -> set[bytes]:
        front = StatusPage(told)
        return set(await asyncio.gather(*(front("") for _ in range(5))))

    assert (len(asyncio.run(look())), len(asked)) == (1, 1)
