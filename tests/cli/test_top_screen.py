"""The screens of `top`: golden screens of 80 x 24 characters, what keys change, and that no name can break a screen.

`UPDATE_GOLDEN=1 pytest tests/cli/test_top_screen.py` regenerates tests/golden/top.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.cli.terminal import as_text, width
from exporter.cli.top_screen import TopView, chosen, lines, pressed, printed, selected
from exporter.cli.top_sources import SourceLost, decoded
from exporter.cli.top_table import SORTS, Explained, TopTable, TopTraffic, traffic_of
from tests.goldens import check_golden

GOLDEN = Path(__file__).parent.parent / "golden" / "top"
NOW = datetime(2026, 11, 30, 22, 31, 5, tzinfo=UTC)


def row(name: str, *, alerts: dict[str, str] | None = None, **facts: Any) -> dict[str, Any]:
    """A workload of /workloads.json that is up, unless `facts` say otherwise."""
    given = {
        "account": "eu", "workload_id": f"id-{name}", "workload": name, "status": "running", "group": "up",
        "since": "2026-11-28T20:31:05Z", "longer_than_known": False, "importance": "high", "owner": "claims",
        "ready": 2, "unknown": 0, "least": 2, "most": 2, "needs_attention": bool(alerts), "reasons": [],
        "alerts": [{"alert": f"DataRobot{alert}", "severity": severity} for alert, severity in (alerts or {}).items()],
    }  # fmt: skip
    return given | facts


FLEET = (
    row("churn", alerts={"ContainerOOMKilled": "warning", "WorkloadErrored": "critical"}, status="errored",
        group="failed", ready=0, since="2026-11-30T22:19:00Z", reasons=["waiting: CrashLoopBackOff"]),
    row("a-name-that-is-longer-than-its-column", alerts={"WorkloadSingleReplica": "info"}, needs_attention=False),
    row("scaled", least=1, most=4, ready=3, since="2026-11-30T22:30:41Z"),
    row("保険金請求スコアリングモデル", longer_than_known=True, since="2026-08-01T00:00:00Z"),
    row("lost", status="unknown", group="indeterminate", ready=None, least=None, most=None, needs_attention=True,
        reasons=["its status is unknown"], owner=None, importance="unknown"),
    row("\x1b[2J\x1b[31mred\nline\u202e", status="stopped", group="off", ready=0, importance="low", account="us"),
)  # fmt: skip


def body(rows: Any = FLEET, **account: Any) -> str:
    """The content of /workloads.json."""
    accounts = [{"account": "eu", "listed": True, "last_complete_sweep": "2026-11-30T22:30:55Z", "problem": None}]
    return json.dumps({"at": "2026-11-30T22:31:02Z", "accounts": [accounts[0] | account], "workloads": [*rows]})


def view(rows: Any = FLEET, **facts: Any) -> TopView:
    return TopView("daemon at 127.0.0.1:10142", decoded(body(rows), TopTable))._replace(**facts)


def after(given: TopView, *keys: str, height: int = 24) -> TopView:
    """The view after keys."""
    for key in keys:
        found = pressed(given, key, height)
        assert found is not None
        given = found
    return given


EXPLAINED = Explained(
    NOW,
    "churn: errored, 0 of 2 ready [critical]\nid-churn, account eu\n\nLikely cause  Its process exits.\n",
    decoded(
        json.dumps(
            {
                "at": "2026-11-30T22:31:02Z",
                "text": "",
                "timeline": [
                    {
                        "at": "2026-11-30T22:19:00Z",
                        "kind": "episode",
                        "text": "failure began, now errored",
                        "bad": True,
                    },
                    {"at": "2026-11-30T22:17:00Z", "kind": "event", "text": "Replacement Completed " * 5, "bad": False},
                ],
            }
        ),
        Explained,
    ).timeline,
)
LOST = (datetime(2026, 11, 30, 22, 30, 0, tzinfo=UTC), "http://127.0.0.1:10142/workloads.json cannot be reached")
SCREENS = {
    "table": view(),
    "waiting": view()._replace(table=None),
    "no workloads": view(()),
    "lost": view(lost=LOST),
    "filtered": after(view(), "/", *"eu crash"),
    "attention by name": after(view(), "a", "s", "down"),
    "incomplete": view(
        table=decoded(body(last_complete_sweep=None, listed=False, problem="auth: returned 401"), TopTable)
    ),
    "help": after(view(), "?"),
    "explain requested": after(view(), "enter"),
    "explain": after(view(), "enter")._replace(details=EXPLAINED),
    "explain failed": after(view(), "enter")._replace(details="/workloads/id-churn returned 404: no such workload"),
    "events": after(view(), "e")._replace(details=EXPLAINED),
}


@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_of_80_by_24_characters(name: str) -> None:
    check_golden(GOLDEN / f"{name.replace(' ', '-')}.txt", as_text(lines(SCREENS[name], 80, 24, NOW)))


TRAFFIC = {
    ("eu", "id-churn"): TopTraffic(1234.4, 0.25),
    ("eu", "id-scaled"): TopTraffic(0.8),
    ("eu", "id-lost"): TopTraffic(0.0, 0.0),
}


def test_a_wide_screen_has_more_columns() -> None:
    check_golden(GOLDEN / "wide.txt", as_text(lines(view(traffic=TRAFFIC), 150, 24, NOW)))


def test_the_requests_are_those_of_the_last_five_minutes() -> None:
    labels = 'account="eu",workload="a,window=\\"5m\\"}",workload_id'
    page = (
        "# TYPE datarobot_workload_window_requests_other gauge\n"
        f'datarobot_workload_window_requests_other{{{labels}="w1",window="5m"}} 1\n'
        "# HELP datarobot_workload_window_requests x\n# TYPE datarobot_workload_window_requests gauge\n"
        f'datarobot_workload_window_requests{{{labels}="w1",window="5m"}} 50\n'
        f'datarobot_workload_window_requests{{{labels}="w1",window="1h"}} 60\n'
        "# TYPE datarobot_workload_window_server_error_ratio gauge\n"
        f'datarobot_workload_window_server_error_ratio{{{labels}="w2",window="5m"}} 0.5\n'
    )
    assert traffic_of(page) == {("eu", "w1"): TopTraffic(10.0), ("eu", "w2"): TopTraffic(None, 0.5)}
    assert traffic_of("") == {}


def test_a_page_stays_with_its_workload_when_that_is_no_longer_in_the_table() -> None:
    page = after(view(), "down", "enter")._replace(details=EXPLAINED)
    gone = page._replace(table=decoded(body(FLEET[:1]), TopTable))
    heading = as_text(lines(gone, 80, 24, NOW)).splitlines()[0]
    assert heading.startswith("id-a-name-that-is-longer-than-its-column: explain")


def test_the_printed_table_has_all_columns_in_full() -> None:
    check_golden(GOLDEN / "printed.txt", "\n".join(printed(view(), NOW)) + "\n")


def test_there_is_no_golden_file_without_its_screen() -> None:
    names = {name.replace(" ", "-") for name in SCREENS} | {"wide", "printed"}
    assert {file.stem for file in GOLDEN.glob("*.txt")} == names


names = st.text(max_size=40)
hostile = st.builds(
    row, names, alerts=st.dictionaries(names, names, max_size=2), status=names, group=names, importance=names,
    owner=st.none() | names, account=names, reasons=st.lists(names, max_size=2), needs_attention=st.booleans(),
    ready=st.none() | st.integers(-1, 10**9), least=st.none() | st.integers(0, 10**9),
    longer_than_known=st.booleans(), since=st.sampled_from(["0001-01-01T00:00:00Z", "2026-11-30T22:00:00Z",
    "9999-12-31T23:59:59Z"]),
)  # fmt: skip
any_key = st.sampled_from(
    ["up", "down", "page up", "page down", "home", "end", "enter", "escape", "e", "/", "a", "s", "r", "?", "x",
     "backspace", "clear", "left", " "]
)  # fmt: skip


@given(st.lists(hostile, max_size=12), st.lists(any_key, max_size=12), st.integers(1, 160), st.integers(1, 40), names)
def test_with_any_names_and_keys_the_screen_is_filled_and_nothing_is_beyond_it(
    rows: list[dict[str, Any]], keys: list[str], columns: int, height: int, text: str
) -> None:
    shown: TopView = view(rows)
    for key in keys:
        shown = pressed(shown, key, height) or shown
    shown = shown._replace(details=Explained(NOW, text, EXPLAINED.timeline)) if shown.page else shown
    drawn = lines(shown, columns, height, NOW)
    assert len(drawn) <= height
    for line in drawn:
        end = 0
        for span in line:
            assert span.column >= end
            assert span.text.isprintable()
            end = span.column + width(span.text)
        assert end <= columns
    assert all(line.isprintable() for line in printed(shown, NOW))


def names_of(given: TopView) -> list[str]:
    return [each.name for each in chosen(given)]


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("worst", ["b", "a", "c"]),
        ("name", ["a", "b", "c"]),
        ("status", ["b", "c", "a"]),
        ("newest", ["c", "b", "a"]),
        ("ready", ["b", "c", "a"]),
        ("importance", ["a", "c", "b"]),
    ],
)
def test_rows_are_sorted_by_each_key(sort: str, expected: list[str]) -> None:
    rows = (
        row("b", status="errored", group="failed", ready=0, importance="new", since="2026-11-02T00:00:00Z"),
        row("a", ready=None, importance="critical", since="2026-11-01T00:00:00Z"),
        row("c", status="launching", group="starting", ready=1, importance="low", since="2026-11-03T00:00:00Z"),
    )
    assert names_of(view(rows, sort=sort)) == expected
    assert names_of(view(rows, sort=sort, descending=True)) == expected[::-1]


def test_s_goes_through_all_sort_keys_and_r_reverses() -> None:
    shown, found = view(), list[str]()
    for _ in SORTS:
        found.append(shown.sort)
        shown = after(shown, "s")
    assert (found, shown.sort) == (list(SORTS), "worst")
    assert after(shown, "r").descending


def test_the_selected_workload_stays_selected_when_the_table_changes() -> None:
    shown = after(view(), "down", "down")
    assert selected(shown) == chosen(shown)[2]
    changed = shown._replace(table=decoded(body(FLEET[::-1]), TopTable))
    found = selected(changed)
    assert found is not None
    assert found.name == "scaled"
    gone = shown._replace(table=decoded(body(FLEET[:2]), TopTable))
    assert selected(gone) == chosen(gone)[0]


def test_the_screen_follows_the_selected_row_and_is_filled_at_the_end() -> None:
    many = view([row(f"w{number:03}") for number in range(100)])

    def visible(given: TopView) -> list[str]:
        text = as_text(lines(given, 80, 24, NOW)).splitlines()[4:-1]
        return [line[3:].split()[0] for line in text]

    assert (visible(many)[0], len(visible(many))) == ("w000", 19)
    assert visible(after(many, "end"))[-1] == "w099"
    assert visible(after(many, "end", "home"))[0] == "w000"
    assert visible(after(many, *["down"] * 19))[-1] == "w019"
    assert visible(after(many, *["down"] * 19, "up"))[-1] == "w019"
    assert visible(after(many, "page down", "page down"))[-1] == "w038"


def test_words_are_typed_and_kept_or_dropped() -> None:
    typed = after(view(), "/", *"lonq", "backspace", "g")
    assert (typed.typing, typed.words, names_of(typed)) == (True, "long", ["a-name-that-is-longer-than-its-column"])
    assert after(typed, "enter")._replace(first=0) == typed._replace(typing=False)
    assert after(typed, "escape").words == ""
    assert after(typed, "clear", "up").words == ""
    assert after(typed, "enter", "escape").words == ""
    assert names_of(after(view(), "/", *"OOMKILLED eu")) == ["churn"]


def test_q_leaves_a_page_and_then_ends() -> None:
    page = after(view(), "enter")
    assert after(page, "q").page == ""
    assert pressed(after(page, "q"), "q", 24) is None
    assert after(page, "e").page == "events"
    assert after(after(view(), "?"), "escape").page == ""
    assert after(view(()), "enter").page == ""


def test_the_events_follow_the_latest_one_until_they_are_scrolled() -> None:
    one = EXPLAINED.timeline[0]
    many = Explained(NOW, "", (one,) * 50)
    shown = after(view(), "e")._replace(details=many)
    assert shown.scroll is None
    scrolled = after(shown, "up")
    assert scrolled.scroll == 50 - 22 - 1
    assert after(scrolled, "down").scroll is None
    assert after(shown, "home").scroll == 0


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "not found", '{"at": 1}', '{"at": "x", "accounts": [], "workloads": []}']
)
def test_an_answer_that_is_not_a_table_is_a_lost_source(text: str) -> None:
    with pytest.raises(SourceLost, match="not an exporter, or one of another release: "):
        decoded(text, TopTable)


def test_an_answer_of_a_later_release_with_more_keys_is_a_table() -> None:
    assert len(decoded(body([row("w", later=1)]), TopTable).workloads) == 1
