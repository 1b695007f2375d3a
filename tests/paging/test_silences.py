"""/-/silences of a daemon that pages: what it takes, and in which words it refuses the rest."""

import asyncio
import re
from collections.abc import Mapping

import httpx
import pytest

from exporter.alerting.silences import Silence
from exporter.clock import Clock
from exporter.daemon.daemon import Daemon
from exporter.settings.model import Settings
from exporter.state.store import Store, StoredPaging
from tests.daemon.parts import use_paging

NOW = 1_795_000_000.0
SETTINGS = Settings.model_validate(
    {
        "accounts": [{"endpoint": "http://127.0.0.1:1", "token": "t"}],
        "alerts": {"labels": {"team": "ml"}, "severity_label": "level"},
        "paging": {"who": "direct", "receivers": [{"name": "hook", "kind": "webhook", "url": "http://127.0.0.1:1"}]},
    }
)
INCOMPLETE = "Give at least one label, for=DURATION and author=NAME; comment is optional."
MADE = "workload_id=w1&for=2h&author=jo"


def requested(*requests: tuple[str, str], stored: Mapping[str, Silence] | None = None) -> list[httpx.Response]:
    """What a daemon with these silences answers to requests of a method and a query, one after another."""

    async def pause(_: float) -> None:
        await asyncio.Event().wait()

    async def work() -> list[httpx.Response]:
        store = Store(None)
        store.save_paging(StoredPaging({}, {}, stored or {}), StoredPaging({}, {}, {}))
        daemon = Daemon(SETTINGS, lambda: SETTINGS, store=store, clock=Clock(lambda: NOW, lambda: 0.0, pause))
        await use_paging(daemon, SETTINGS)
        assert daemon.paging.pager is not None
        transport, headers = httpx.ASGITransport(daemon.application), {"x-requested-by": "a test"}
        async with httpx.AsyncClient(transport=transport, base_url="http://exporter", headers=headers) as client:
            try:
                return [await client.request(method, f"/-/silences?{query}") for method, query in requests]
            finally:
                await daemon.paging.pager.close()

    return asyncio.run(work())


@pytest.mark.parametrize(
    "label", ["alertname", "account", "workload", "workload_id", "component", "job", "level", "team"]
)
def test_a_silence_is_made_by_any_label_that_alerts_have(label: str) -> None:
    (answer,) = requested(("POST", f"{label}=x%20y&for=1w&author=jo&comment="))
    (silence,) = answer.json()
    assert re.fullmatch(r"[0-9a-f]{8}", silence.pop("id"))
    assert silence.pop("alerts") == 0
    assert silence == {"matchers": {label: "x y"}, "ends": "2026-11-25T11:06:40+00:00", "author": "jo", "comment": ""}


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("account=acme&workload_id=&for=2h&author=jo", "workload_id has no value; give workload_id=VALUE"),
        ("account=acme&workload_id&for=2h&author=jo", "workload_id has no value; give workload_id=VALUE"),
        ("account=acme&account=other&for=2h&author=jo", "account is given twice; give one value"),
        ("account=acme&for=2h&author=jo&for=3h", "for is given twice; give one value"),
        ("workload_ids=w1&for=2h&author=jo", "No alert has the label 'workload_ids'; did you mean 'workload_id'?"),
        ("severity=critical&for=2h&author=jo",
         "No alert has the label 'severity'; labels: alertname, account, workload, workload_id, component, job, "
         "level, team."),
        ("=w1&account=acme&for=2h&author=jo",
         "No alert has the label ''; labels: alertname, account, workload, workload_id, component, job, level, team."),
        ("account=acme&for=99999999w&author=jo", "A silence lasts at most 366 days."),
        (f"account=acme&for={'9' * 400}w&author=jo", "A silence lasts at most 366 days."),
        ("account=acme&for=8785h&author=jo", "A silence lasts at most 366 days."),
        ("account=acme&for=nan&author=jo", INCOMPLETE),
        ("account=acme&for=0s&author=jo", INCOMPLETE),
        ("account=acme&for=2h", INCOMPLETE),
        ("for=2h&author=jo", INCOMPLETE),
    ],
)  # fmt: skip
def test_what_would_silence_more_than_is_meant_or_for_ever_is_refused_and_nothing_is_silenced(
    query: str, words: str
) -> None:
    refused, there = requested(("POST", query), ("GET", ""))
    assert (refused.status_code, refused.text) == (400, f"{words}\n")
    assert (there.status_code, there.json()) == (200, [])


def test_a_silence_may_last_a_year_that_is_a_leap_year() -> None:
    (answer,) = requested(("POST", "workload_id=w1&for=366d&author=jo"))
    assert [each["ends"] for each in answer.json()] == ["2027-11-19T11:06:40+00:00"]


def test_five_hundred_silences_hold_at_once_and_no_more() -> None:
    stored = {f"{n:08x}": Silence({"workload_id": f"w{n}"}, NOW + 60, "jo") for n in range(499)}
    last, more, ended, again = requested(
        ("POST", MADE), ("POST", MADE), ("DELETE", "id=00000000"), ("POST", MADE), stored=stored
    )
    assert (last.status_code, len(last.json())) == (200, 500)
    assert (more.status_code, more.text) == (400, "There are already 500 silences, the maximum; end one first.\n")
    assert (ended.status_code, again.status_code) == (200, 200)


@pytest.mark.parametrize("ends", [NOW + 99_999_999 * 604_800.0, 1e300])
def test_a_silence_without_an_end_that_was_stored_before_is_listed_and_can_be_ended(ends: float) -> None:
    stored = {"0ld": Silence({"account": "acme"}, ends, "jo")}
    listed, ended = requested(("GET", ""), ("DELETE", "id=0ld"), stored=stored)
    assert [(each["id"], each["ends"]) for each in listed.json()] == [("0ld", "9999-12-31T23:59:59+00:00")]
    assert (ended.status_code, ended.json()) == (200, [])


def test_a_silence_is_ended_by_its_name_given_once() -> None:
    for query, status, words in (
        ("id=", 400, "id has no value; give id=VALUE\n"),
        ("id=a&id=b", 400, "id is given twice; give one value\n"),
        ("id=a", 404, "There is no silence with this id.\n"),
    ):
        (answer,) = requested(("DELETE", query))
        assert (answer.status_code, answer.text) == (status, words)
