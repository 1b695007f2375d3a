"""The status page as HTML: contents, escaping, query strings."""

import asyncio
import csv
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.alerting.rules import DEFAULT, Options
from exporter.api.models import Group, Runtime, Tag, Workload
from exporter.api.pods import PodCondition, Pods
from exporter.diagnosis.fleet_table import Choice, fleet_table
from exporter.fleet import serving
from exporter.fleet.ledger import Ledger, Tally
from exporter.fleet.workload_state import Account, Details, WorkloadState
from exporter.metrics.account_families import AccountFacts, Use, use
from exporter.web.status_page import AccountStatus, Status, StatusPage, address, choice_of, page
from tests.make import container, pods, replica, sight

NOW = 1_795_000_000.0
READY = replica(container())
LOST = replica(container(), status="unknown", conditions=(PodCondition(type="Ready"),))
EVIL = '<script>alert(1)</script>"onmouseover="alert(2)'


def state(name: str = "name", reported: Pods | None = None, account: str = "eu", **facts: Any) -> WorkloadState:
    """A running workload; `reported`: its pods, as first read ten minutes ago."""
    parts = {part: facts.pop(part) for part in ("vanished",) if part in facts}
    runtime = Runtime(container_groups=(Group(replica_count=2),))
    workload = Workload(
        **{"id": "w1", "name": name, "status": "running", "proton_id": "p", "runtime": runtime, **facts}
    )
    made = sight(workload, NOW - 3600, 1.0, account=account, details=Details(pods=reported), **parts)
    return made if reported is None else serving.pods_read(made, NOW - 600)


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


def html(shown: Status, query: str = "") -> str:
    table = fleet_table(((each.known, each.fleet) for each in shown.accounts), shown.options, shown.now)
    return page(shown, table, choice_of(query))


def parsed(shown: Status, query: str = "") -> Parsed:
    return Parsed(html(shown, query))


def test_accounts_of_another_replica_link_to_it() -> None:
    others = (("us", "http://exporter-1:10142"), ("asia", ""), ("africa", None))
    found = parsed(status(account())._replace(elsewhere=others))
    assert found.rows[2:5] == [
        ["us", "held by another replica: http://exporter-1:10142"],
        ["asia", "held by another replica, whose web.advertise_url is not set"],
        ["africa", "held by no replica"],
    ]
    assert ("http://exporter-1:10142/", "http://exporter-1:10142") in found.links


def test_a_workload_is_a_row_and_links_to_its_page_and_its_console() -> None:
    shown = parsed(status(account(state("front", pods(READY, READY), importance="high"))))
    assert shown.rows[-1] == ["running", "frontw1 · console · logs", "1 h", "2 / 2", "high", ""]
    assert ("./workloads/w1?account=eu", "front") in shown.links
    assert ("https://dr.test/console-nextgen/workloads/w1/overview", "console") in shown.links
    assert ("https://dr.test/console-nextgen/workloads/w1/activity-log/otel-logs", "logs") in shown.links


def test_the_owner_of_a_workload_is_shown_and_found() -> None:
    owned = state("front", pods(READY, READY), tags=(Tag("team", "Claims & co"), Tag("stage", "test")))
    shown = status(account(owned, state("back", pods(READY, READY), id="w2")))
    shown = shown._replace(options=shown.options._replace(owner_tags=("team",)))
    assert [row[1] for row in parsed(shown).rows[-2:]] == [
        "backw2 · console · logs",
        "frontw1 · console · logs · Claims & co",
    ]
    assert [row[1] for row in parsed(shown, "?q=claims").rows[-1:]] == ["frontw1 · console · logs · Claims & co"]


def test_each_chosen_tag_is_an_input_of_the_form_beside_an_empty_one_and_stays_in_the_links() -> None:
    tagged = state("front", pods(READY, READY), tags=(Tag("team", "a"), Tag("env", "b&c")))
    shown = parsed(status(account(tagged, state("back", id="w2"))), "tag=team%3Da&tag=env%3Db%26c")
    inputs = [given["value"] for tag, given in shown.tags if tag == "input" and given["name"] == "tag"]
    assert inputs == ["team=a", "env=b&c", ""]
    assert [row[1] for row in shown.rows[-1:]] == ["frontw1 · console · logs"]
    assert ("?tag=team%3Da&tag=env%3Db%26c&sort=since", "For") in shown.links
    five = parsed(status(account(tagged)), "&".join(f"tag={n}" for n in range(5)))
    assert len([tag for tag, given in five.tags if tag == "input" and given["name"] == "tag"]) == 5
    assert "No matching workloads." in five.text


def test_unreported_values_are_shown_as_unknown() -> None:
    bare = WorkloadState("eu", Workload(id="w1"), Ledger(NOW - 5.0, NOW - 5.0))
    shown = parsed(status(account(bare)))
    assert shown.rows[-1] == [
        "unknown",
        "w1w1 · console · logs",
        "over 5 s",
        "? / ?",
        "unknown",
        "its status is unknown",
    ]


@pytest.mark.parametrize(
    ("shown", "kind"),
    [
        (state("a", pods(READY, READY)), "up"),
        (state("a", None), "unknown"),
        (state("a", pods(READY)), "warning"),
        (state("a", pods(READY, LOST)), "unknown"),
        (state("a", pods(READY, READY, LOST)), "up"),
        (state("a", pods()), "critical"),
        (state("a", None, status="stopped"), "off"),
        (state("a", None, status="errored"), "failed"),
        (state("a", None, status="errored", importance="high"), "critical"),
    ],
)
def test_only_running_workloads_with_ready_pods_are_green(shown: WorkloadState, kind: str) -> None:
    assert re.findall(r'<tr><td><span class="badge (\w+)">', html(status(account(shown)))) == [kind]


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
def test_the_icon_is_green_only_if_everything_is_known_and_healthy(accounts: list[AccountStatus], color: str) -> None:
    (icon,) = [attributes["href"] for tag, attributes in parsed(status(*accounts)).tags if tag == "link"]
    assert f"%23{color}" in (icon or "")


def test_a_vanished_workload_has_no_link_to_the_console_and_no_replicas() -> None:
    shown = parsed(status(account(state("front", vanished=NOW - 60))))
    assert shown.rows[-1] == ["vanished", "frontw1", "1 min", "", "unknown", "WorkloadVanishedno longer listed"]
    assert not [href for href, _ in shown.links if "console-nextgen" in href]


def test_names_and_ids_are_escaped_everywhere() -> None:
    evil = state(EVIL, id=EVIL, status=EVIL, importance=EVIL)
    shown = parsed(status(account(evil, name="eu", failure=EVIL), note=EVIL), "q=alert")
    assert [attributes for tag, attributes in shown.tags if tag == "script"] == [{}], "only our own script"
    assert not [name for _, attributes in shown.tags for name in attributes if name.startswith("on")]
    assert shown.text.count(EVIL) >= 4
    for href, _ in shown.links:
        assert href.startswith(("https://", "?", "./")), href
    assert not [href for href, _ in shown.links if '"' in href or "<" in href]


@given(st.text(), st.text(min_size=1))
def test_no_name_adds_markup(name: str, id_: str) -> None:
    tags = [tag for tag, _ in parsed(status(account(state("plain", id="id")))).tags]
    assert [tag for tag, _ in parsed(status(account(state(name, id=id_)))).tags] == tags


def test_an_alert_condition_met_links_its_runbook_on_this_server_unless_the_settings_name_another_place() -> None:
    failed = account(state(status="errored"))
    shown = parsed(status(failed, options=DEFAULT._replace(runbooks="https://docs.test/runbooks/")))
    assert ("https://docs.test/runbooks/DataRobotWorkloadErrored.md", "WorkloadErrored") in shown.links
    assert ("?q=DataRobotWorkloadErrored", "WorkloadErrored 1") in shown.links
    assert "the condition of the alert is true now" in shown.text
    named = parsed(status(failed), "q=DataRobotWorkloadErrored")
    assert "A workload has failed. Runbook" in named.text
    assert ("./runbooks/DataRobotWorkloadErrored", "Runbook") in named.links
    assert ("./runbooks/DataRobotWorkloadErrored", "WorkloadErrored") in named.links
    script = status(failed, options=DEFAULT._replace(runbooks="javascript:alert(1)//"))
    assert not [href for href, _ in parsed(script, "q=DataRobotWorkloadErrored").links if "javascript" in href]


USE = "1no forecast: no recent complete sweep"


@pytest.mark.parametrize(
    ("facts", "cells"),
    [
        ({}, ["1", USE, "12 s ago", "none"]),
        ({"failure": "timeout & more"}, ["1", USE, "12 s ago", "timeout & more"]),
        ({"succeeded": NOW - 600, "failure": "x"}, ["1", USE, "10 min ago", "x"]),
        ({"succeeded": NOW - 901, "failure": "x"}, ["withdrawn: too old", USE, "15 min ago", "x"]),
        ({"succeeded": None}, ["no data yet", USE, "none yet", "first sweep not finished yet"]),
    ],
)
def test_an_account_shows_its_age_and_problems(facts: dict[str, Any], cells: list[str]) -> None:
    shown = parsed(status(account(state(), **facts)))
    (row,) = [row for row in shown.rows if row and row[0].startswith("eu")]
    assert row == ["euhttps://dr.test", *cells]


@pytest.mark.parametrize(
    ("used", "limit", "cell"),
    [
        (Use(48, full=NOW + 10 * 86400, forecast_from=NOW - 60), 60,
         "48 of 60full on 2026-11-28 11:06 UTC, in 10 d, if the trend goes on"),
        (Use(60, full=NOW, forecast_from=NOW - 60), 60, "60 of 60the limit is reached"),
        (Use(48, forecast_from=NOW + 3600), 60,
         "48 of 60no forecast before 2026-11-18 12:06 UTC: observed for less than costs.min_history"),
        (Use(48, forecast_from=NOW), 60, "48 of 60not full within a year if the trend goes on"),
        (Use(48, forecast_from=NOW), 0, "48no forecast: no limit, or none reported"),
        (None, None, "?no forecast: no recent complete sweep"),
    ],
)  # fmt: skip
def test_an_account_shows_its_limit_and_when_it_is_full_or_the_reason_that_it_is_unknown(
    used: Use | None, limit: int | None, cell: str
) -> None:
    known = AccountFacts(Account("eu", workloads_limit=limit), used, Tally())
    shown = parsed(status(account(state())._replace(known=known)))
    (row,) = [row for row in shown.rows if row and row[0].startswith("eu")]
    assert row[2] == cell


def test_without_workloads_the_page_does_not_claim_that_all_is_well() -> None:
    shown = parsed(status(account(succeeded=None)))
    assert "No workloads known yet, so no alert is evaluated." in shown.text
    assert "No workloads." in shown.text


def test_with_several_accounts_each_row_names_its_account() -> None:
    us = account(state("b", account="us", id="2"), name="us")
    shown = parsed(status(account(state("a", id="1")), us))
    assert sorted(row[1] for row in shown.rows[-2:]) == ["aeu · 1 · console · logs", "bus · 2 · console · logs"]


def test_a_page_of_a_large_fleet_is_bounded_and_shows_the_total() -> None:
    fleet = [state(f"workload-{number:05}", id=f"{number:024}") for number in range(10_000)]
    text = html(status(account(*fleet)), "sort=workload&page=3")
    shown = Parsed(text)
    assert len(text) < 200_000
    assert shown.rows[3][1].startswith("workload-00200")
    assert "201 to 300 of 10,000" in shown.text
    assert ("?sort=workload&page=2", "previous page") in shown.links
    assert ("?sort=workload&page=4", "next page") in shown.links


@pytest.mark.parametrize(
    ("query", "choice"),
    [
        ("", Choice()),
        ("q=a%20b&state=failed&sort=-since&page=2", Choice("a b", "failed", "-since", 2)),
        ("tag=team%3Da&tag=&tag=env&tag=team=a", Choice(tags=("team=a", "env"))),
        ("&".join(f"tag={n}" for n in range(9)), Choice(tags=("0", "1", "2", "3", "4"))),
        ("tag=" + "a" * 1000, Choice(tags=("a" * 200,))),
        ("q=&state=nonsense&sort=nonsense&page=-1", Choice()),
        ("page=" + "9" * 400, Choice()),
        ("q=" + "a" * 1000, Choice("a" * 200)),
        ("&".join("a=1" for _ in range(100)), Choice()),
        ("q=%ff%00", Choice("\ufffd\x00")),
    ],
)
def test_the_choice_in_a_query_string(query: str, choice: Choice) -> None:
    assert choice_of(query) == choice


@given(
    st.text(max_size=200),
    st.sampled_from(["", "failed", "trouble"]),
    st.sampled_from(["", "-since"]),
    st.integers(1, 99),
    st.lists(st.text(min_size=1).map(str.strip).filter(bool), max_size=5, unique=True),
)
def test_an_address_contains_its_choice(words: str, state: str, sort: str, number: int, tags: list[str]) -> None:
    choice = Choice(words.strip(), state, sort, number, tuple(tags))
    assert choice_of(address(choice).removeprefix("?")) == choice


def exported(shown: Status, query: str = "") -> tuple[list[dict[str, str]], dict[str, Any]]:
    """The CSV and the JSON of a query."""

    async def both() -> tuple[bytes, bytes]:
        front = StatusPage(lambda: shown)
        return await front.csv(query), await front.json(query)

    as_csv, as_json = asyncio.run(both())
    return [*csv.DictReader(as_csv.decode().splitlines())], json.loads(as_json)


def test_the_lists_have_all_rows_that_the_page_selects_in_its_order_and_the_page_links_to_them() -> None:
    fleet = [state(f"workload-{number:05}", id=f"{number:024}") for number in range(250)]
    shown = status(account(*fleet, state("other", id="o", tags=(Tag("team", "a"),))))
    query = "q=workload&sort=-workload&page=2"
    rows, listed = exported(shown, query)
    assert [row["workload"] for row in rows] == [f"workload-{number:05}" for number in reversed(range(250))]
    assert [row["workload"] for row in listed["workloads"]] == [row["workload"] for row in rows]
    links = parsed(shown, query).links
    assert ("./workloads.csv?q=workload&sort=-workload", "CSV") in links
    assert ("./workloads.json?q=workload&sort=-workload", "JSON") in links
    assert [row["workload"] for row in exported(shown, "tag=team=a")[0]] == ["other"]
    assert ("./workloads.csv", "CSV") in parsed(shown).links


def test_a_list_says_which_accounts_are_not_in_it() -> None:
    shown = status(
        account(state("a"), name="eu"),
        account(name="new", succeeded=None, failure="timeout"),
        account(name="old", succeeded=NOW - 901.0),
    )
    shown = shown._replace(elsewhere=(("us", "http://exporter-1:10142"), ("asia", ""), ("africa", None)))
    rows, listed = exported(shown)
    assert [(row["account"], row["workload"], row["status"], row["reasons"]) for row in rows] == [
        ("eu", "a", "running", ""),
        ("new", "", "unknown", "no complete sweep yet: timeout"),
        ("old", "", "unknown", "withdrawn: too old"),
        ("us", "", "unknown", "held by another replica: http://exporter-1:10142"),
        ("asia", "", "unknown", "held by another replica"),
        ("africa", "", "unknown", "held by no replica"),
    ]
    assert [(each["account"], each["listed"], each["problem"]) for each in listed["accounts"]] == [
        ("eu", True, None),
        ("new", False, "no complete sweep yet: timeout"),
        ("old", False, "withdrawn: too old"),
        ("us", False, "held by another replica: http://exporter-1:10142"),
        ("asia", False, "held by another replica"),
        ("africa", False, "held by no replica"),
    ]


def test_concurrent_requests_share_one_fleet_table() -> None:
    calls = []

    def current() -> Status:
        calls.append(1)
        return status(account(state()))

    async def requests() -> set[bytes]:
        front = StatusPage(current)
        return set(await asyncio.gather(*(front("") for _ in range(5))))

    assert (len(asyncio.run(requests())), len(calls)) == (1, 1)
