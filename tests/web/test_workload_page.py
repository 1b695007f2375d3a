"""The page of a workload as HTML: contents, structure, escaping, and what is answered if there is none."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.alerting.rules import DEFAULT
from exporter.alerting.silences import Silence
from exporter.fleet.history import HistoryEntry
from exporter.fleet.ledger import Ledger
from exporter.fleet.workload_state import WorkloadState
from exporter.web.status_page import AccountStatus
from exporter.web.workload_page import FoundWorkload, Requested, WorkloadPages, account_of, rendered
from tests.make import container, pods, replica
from tests.web.test_status_page import EVIL, NOW, READY, Parsed, account, state

CRASHING = replica(
    container(status="waiting", reason="CrashLoopBackOff", ready=False, ended=("Error", 1, None)), name="pod-1"
)


def requested(*found: WorkloadState, accounts: tuple[AccountStatus, ...] = (), **facts: Any) -> Requested:
    """A request for the workload w1, which is in the accounts of `found`."""
    accounts = accounts or tuple(account(name=each.account) for each in found) or (account(),)
    by_name = {each.name: each for each in accounts}
    listed = facts.pop("listed", True)
    made = Requested(
        id="w1",
        account="",
        found=tuple(FoundWorkload(by_name[each.account], each, listed) for each in found),
        accounts=accounts,
        elsewhere=(),
        configured=tuple(by_name),
        options=DEFAULT,
        now=NOW,
        version="1.2.3",
    )
    return made._replace(**facts)


def parsed(given: Requested, code: int = 200) -> Parsed:
    status, text = rendered(given)
    assert status == code
    return Parsed(text)


def test_a_workload_shows_its_diagnosis_its_containers_and_its_links() -> None:
    options = DEFAULT._replace(
        runbooks="https://docs.test/", dashboards="https://grafana.test", traces="https://traces.test/{workload_id}"
    )
    shown = parsed(requested(state("front", pods(READY, CRASHING), importance="high"), options=options))
    for text in (
        "front running",
        "w1 · account eu · importance high · reload",
        "partly (1 of 2 replicas ready)",
        "running since 10:06 UTC (1 h)",
    ):
        assert text in shown.text
    assert ["serving", "running", "main", "waiting: CrashLoopBackOff", "no", "?", "Error, exit code 1"] in shown.rows
    assert ["serving", "running", "main", "running", "yes", "?", ""] in shown.rows
    links = {text: href for href, text in shown.links}
    assert links["Console"] == "https://dr.test/console-nextgen/workloads/w1/overview"
    assert links["Dashboard"] == "https://grafana.test/d/datarobot-workload?var-account=eu&var-workload=w1"
    assert links["Traces"] == "https://traces.test/w1"
    assert links["WorkloadReplicasDegraded"] == "https://docs.test/DataRobotWorkloadReplicasDegraded.md"
    assert links["All workloads"] == "../"


def as_json(given: Requested, code: int = 200) -> Any:
    async def made() -> tuple[int, bytes]:
        return await WorkloadPages(lambda _, __: given).json("w1", "")

    status, body = asyncio.run(made())
    assert status == code
    return json.loads(body)


def test_a_workload_as_json_has_the_diagnosis_as_data_and_as_text_and_the_timeline() -> None:
    event = HistoryEntry(NOW - 60, "event", "Replacement Errored", "no node", bad=True)
    ledger = Ledger(since=NOW - 3600, first=NOW - 7200, history=(event,))
    shown = as_json(requested(state("front", pods(READY, CRASHING), importance="high")._replace(ledger=ledger)))
    assert list(shown) == ["at", "text", "timeline", "diagnosis"]
    assert shown["at"] == "2026-11-18T11:06:40Z"
    assert shown["text"].startswith("front: running, 1 of 2 ready [")
    assert shown["timeline"][0] == {
        "at": "2026-11-18T11:05:40Z", "kind": "event", "text": "Replacement Errored: no node", "bad": False
    }  # fmt: skip
    assert (shown["diagnosis"]["workload"], shown["diagnosis"]["replicas"]["ready"]) == ("front", 1)


def test_a_workload_that_is_not_shown_is_json_with_the_reason() -> None:
    assert as_json(requested(), 404) == {"error": "no such workload"}
    unknown = requested(accounts=(account(succeeded=None),))
    assert as_json(unknown, 503) == {"error": "not known yet: no complete sweep"}
    both = requested(state(), state()._replace(account="us"))
    assert as_json(both, 300) == {"error": "several accounts have this workload; add ?account=: eu, us"}


def test_the_console_of_the_settings_replaces_that_of_the_endpoint() -> None:
    shown = parsed(requested(state(), options=DEFAULT._replace(console="https://console.test")))
    assert ("https://console.test/console-nextgen/workloads/w1/overview", "Console") in shown.links


def test_a_runbook_is_on_this_server_unless_the_settings_name_another_place() -> None:
    shown = parsed(requested(state(status="errored")))
    assert ("../runbooks/DataRobotWorkloadErrored.md", "Runbook DataRobotWorkloadErrored") in shown.links
    assert ("../runbooks/DataRobotWorkloadErrored", "WorkloadErrored") in shown.links
    script = requested(state(status="errored"), options=DEFAULT._replace(runbooks="javascript:alert(1)//"))
    assert not [href for href, _ in parsed(script).links if "javascript" in href]


def test_headings_landmarks_and_tables_can_be_navigated() -> None:
    shown = parsed(requested(state("front", pods(READY, CRASHING))))
    tags = [tag for tag, _ in shown.tags]
    assert [tag for tag in tags if tag in ("h1", "h2", "h3")] == ["h1", *["h2"] * tags.count("h2")]
    assert {"header", "main", "footer", "nav"} <= set(tags)
    assert tags.count("caption") == tags.count("table") == 2
    assert all("scope" in attributes for tag, attributes in shown.tags if tag == "th")
    ids = {attributes["id"] for _, attributes in shown.tags if "id" in attributes}
    named = {attributes["aria-labelledby"] for _, attributes in shown.tags if "aria-labelledby" in attributes}
    assert named <= ids
    assert "script" not in tags


def test_a_running_workload_of_which_no_pods_are_known_shows_that() -> None:
    assert "Replicas and containersNot known." in "".join(parsed(requested(state())).text.split("\n"))
    assert "No pods are reported." in parsed(requested(state("front", pods()))).text


def test_a_pod_without_containers_is_a_row() -> None:
    shown = parsed(requested(state("front", pods(replica(name="pod-1", status="pending")))))
    assert ["serving", "pending", "none reported", "", "no", "", ""] in shown.rows


def test_a_vanished_workload_is_shown_while_it_is_remembered() -> None:
    shown = parsed(requested(state("front", vanished=NOW - 7200)._replace(gone_because="forbidden")))
    assert "no longer listed since 09:06 UTC (2 h); the API responds with 403" in shown.text
    assert "Not shown: the workload has vanished." in shown.text


def test_a_workload_that_the_last_sweep_did_not_list_shows_that() -> None:
    assert "The last complete sweep did not list this workload." in parsed(requested(state(), listed=False)).text
    assert "did not list" not in parsed(requested(state())).text


def test_silences_that_match_its_alerts_are_shown_and_the_command_that_adds_one() -> None:
    silences = (
        Silence({"workload_id": "w1", "alertname": "A"}, NOW + 7200, "jane", "known"),
        Silence({"alertname": "B"}, NOW + 3600, "joe"),
        Silence({"workload_id": "w2"}, NOW + 3600, "other workload"),
        Silence({"account": "us"}, NOW + 3600, "other account"),
        Silence({"component": "exporter"}, NOW + 3600, "other subject"),
        Silence({"workload": "front"}, NOW - 1, "over"),
    )
    shown = parsed(requested(state("front"), silences=silences))
    rows = [row for row in shown.rows if "jane" in row or "joe" in row]
    assert rows == [["2026-11-18 12:06:40 UTC", "joe", ""], ["2026-11-18 13:06:40 UTC", "jane", "known"]]
    assert "workload_id=w1 alertname=A" in shown.text
    assert not [row for row in shown.rows if {"other workload", "other account", "other subject", "over"} & {*row}]
    assert "workload-exporter silence add account=eu workload_id=w1 --for=2h" in shown.text
    assert "form" not in [tag for tag, _ in shown.tags], "web pages change nothing"


def test_without_direct_paging_the_command_for_alertmanager_is_shown() -> None:
    shown = parsed(requested(state("front", id="it's")))
    assert "amtool silence add --duration=2h --comment='...' account=eu workload_id='it'\"'\"'s'" in shown.text
    assert "workload-exporter silence" not in shown.text


def test_data_that_is_out_of_date_shows_its_age_and_is_not_diagnosed_as_of_now() -> None:
    late = (account(succeeded=NOW - 600, failure="timeout"),)
    text = parsed(requested(state(), accounts=late)).text
    assert "Out of date: the last complete sweep of this account ended 10 min ago. timeout" in text
    assert "Read from the API: its item in the list 10 min ago · pods not yet · other details not yet" in text
    withdrawn = (account(succeeded=NOW - 1200, failure="timeout"),)
    text = parsed(requested(state(), accounts=withdrawn)).text
    assert "ended 20 min ago, and everything below is as of then. timeout" in text
    assert "Out of date" not in parsed(requested(state())).text


def test_the_ages_of_what_was_read_are_shown_and_not_when_the_page_was_made() -> None:
    given = requested(state())
    (found,) = given.found
    ages = {"pods": 45.0, "events": 70.0, "stats_1h": 1500.0}
    shown = parsed(given._replace(found=(found._replace(ages=ages),)))
    assert "its item in the list 12 s ago · pods 45 s ago · other details at most 25 min ago" in shown.text


def test_a_name_instead_of_an_id_is_404_and_links_the_workloads_of_this_name() -> None:
    fleets = (state("Front", id="w7"), state("back")), (state("front", id="w8", account="us"),)
    shown = parsed(requested(id="front ", fleets=fleets), 404)
    assert [link for link in shown.links if link[0].startswith("../workloads")] == [
        ("../workloads/w7?account=eu", "Front"),
        ("../workloads/w8?account=us", "front"),
    ]
    assert "Workloads of this name" not in parsed(requested(id="other", fleets=fleets), 404).text
    nameless = (state("", id="w9"),)
    assert "Workloads of this name" not in parsed(requested(id="", fleets=(nameless,)), 404).text


def test_an_id_that_several_accounts_have_is_a_choice() -> None:
    shown = parsed(requested(state("one"), state("two", account="us")), 300)
    assert ("../workloads/w1?account=eu", "eu") in shown.links
    assert ("../workloads/w1?account=us", "us") in shown.links


def test_an_unknown_id_is_404_and_says_where_it_was_searched_and_what_to_do() -> None:
    shown = parsed(requested(id="it's"), 404)
    assert "Workload not found: it's" in shown.text
    assert "Account eu: not in the sweep of 2026-11-18 11:06:28 UTC." in shown.text
    assert "workload-exporter explain 'it'\"'\"'s'" in shown.text


def test_before_the_first_complete_sweep_it_is_not_known_whether_there_is_such_a_workload() -> None:
    shown = parsed(requested(accounts=(account(succeeded=None, failure="timeout"),)), 503)
    assert "Workload not known yet: w1" in shown.text
    assert "Account eu: no sweep is complete yet: timeout." in shown.text


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("http://exporter-1:10142", "Account us: held by another replica: open it there."),
        ("", "Account us: held by another replica, whose web.advertise_url is not set."),
        (None, "Account us: held by no replica; one will take it over."),
    ],
)
def test_a_workload_of_an_account_of_another_replica_is_linked_there(url: str | None, text: str) -> None:
    shown = parsed(requested(elsewhere=(("us", url),)), 404)
    assert text in shown.text
    there = "http://exporter-1:10142/workloads/w1?account=us"
    assert [href for href, words in shown.links if words == "open it there"] == ([there] if url else [])


def test_an_account_that_the_settings_do_not_have_is_named_with_those_that_they_have() -> None:
    given = requested()._replace(account="asia", accounts=(), configured=("eu", "us"))
    assert "No account is called asia; accounts: eu, us." in parsed(given, 404).text


def test_names_and_ids_are_escaped_everywhere() -> None:
    evil = state(EVIL, pods(replica(container(EVIL), name=EVIL)), id=EVIL, status=EVIL, importance=EVIL)
    for code, given_request in (
        (200, requested(evil, id=EVIL, note=EVIL)),
        (300, requested(evil, evil, id=EVIL)),
        (404, requested(id=EVIL, account=EVIL, accounts=(account(failure=EVIL),), elsewhere=((EVIL, "http://x"),))),
        (404, requested()._replace(id=EVIL, account=EVIL, accounts=(), configured=(EVIL,))),
    ):
        shown = parsed(given_request, code)
        assert "script" not in [tag for tag, _ in shown.tags]
        assert not [name for _, attributes in shown.tags for name in attributes if name.startswith("on")]
        assert EVIL in shown.text
        for href, _ in shown.links:
            assert href.startswith(("https://", "http://x/", "../", "?")), href


@given(st.text(), st.text(min_size=1), st.text())
def test_no_text_of_the_api_adds_markup(name: str, id_: str, pod: str) -> None:
    def tags(name: str, id_: str, pod: str) -> list[str]:
        found = state(name, pods(replica(container(pod), name=pod)), id=id_)
        return [tag for tag, _ in parsed(requested(found, id=id_)).tags]

    assert tags(name, id_, pod) == tags("plain", "id", "pod")


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("", ""),
        ("account=eu", "eu"),
        ("account=a%20b&account=c", "c"),
        ("account=", ""),
        ("&".join("a=1" for _ in range(100)), ""),
    ],
)
def test_the_account_in_a_query_string(query: str, name: str) -> None:
    assert account_of(query) == name


def test_the_page_is_made_of_what_is_known_when_it_is_requested() -> None:
    def known(workload_id: str, name: str) -> Requested:
        return requested(state(f"{workload_id} of {name}"))

    status, body = asyncio.run(WorkloadPages(known)("w1", "account=eu"))
    assert (status, b"<h1>w1 of eu " in body) == (200, True)


@pytest.mark.parametrize("at", [-1e12, 1e15])
def test_a_time_that_no_calendar_has_is_shown_as_the_nearest_one(at: float) -> None:
    never = (Silence({"workload_id": "w1"}, at if at > 0 else NOW + 60, "jane", "", at),)
    ledger = Ledger(at, NOW, history=(HistoryEntry(at, "event", "Scaled"),))
    assert "jane" in parsed(requested(state("front")._replace(ledger=ledger), silences=never)).text
