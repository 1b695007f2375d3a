"""The rows of the status page as JSON and CSV: keys, what is unknown, and texts that look like formulas."""

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.alerting.evaluation import ActiveAlert
from exporter.diagnosis.fleet_list import COLUMNS, ListedAccount, as_csv, as_json
from exporter.diagnosis.fleet_table import Row

AT = 1_795_000_000.0
EU = ListedAccount("eu", True, AT - 12, "")
FULL = Row(
    account="eu",
    id="w1",
    name="front",
    status="running",
    group="up",
    importance="high",
    since=AT - 3600,
    longer=True,
    ready=1,
    unknown=1,
    least=2,
    most=3,
    alerts=(ActiveAlert("DataRobotA", "critical"), ActiveAlert("DataRobotB", "warning")),
    reasons=("waiting: CrashLoopBackOff", "readiness not known"),
    urgency=0,
    owner="claims",
    pending=(ActiveAlert("DataRobotC", "critical"),),
)
BARE = Row("eu", "w2", "", "unknown", "indeterminate", "unknown", AT, False, None, 0, None, None, (), (), 7)


def listed(*rows: Row) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(as_json(AT, [EU], rows))["workloads"]
    return found


def cells(*rows: Row, accounts: tuple[ListedAccount, ...] = (EU,)) -> list[dict[str, str]]:
    return [*csv.DictReader(io.StringIO(as_csv(accounts, rows).decode(), newline=""))]


def test_a_workload_in_the_json() -> None:
    assert listed(FULL) == [
        {
            "account": "eu",
            "workload_id": "w1",
            "workload": "front",
            "status": "running",
            "group": "up",
            "since": "2026-11-18T10:06:40Z",
            "longer_than_known": True,
            "importance": "high",
            "owner": "claims",
            "ready": 1,
            "unknown": 1,
            "least": 2,
            "most": 3,
            "needs_attention": True,
            "alerts": [
                {"alert": "DataRobotA", "severity": "critical"},
                {"alert": "DataRobotB", "severity": "warning"},
            ],
            "reasons": ["waiting: CrashLoopBackOff", "readiness not known"],
            "pending": [{"alert": "DataRobotC", "severity": "critical"}],
        }
    ]
    assert tuple(listed(FULL)[0]) == COLUMNS


def test_what_is_not_known_is_null_or_an_empty_cell_and_never_zero() -> None:
    numbers = ("workload", "owner", "ready", "unknown", "least", "most")
    assert {name: listed(BARE)[0][name] for name in numbers} == dict.fromkeys(numbers)
    assert {name: cells(BARE)[0][name] for name in numbers} == dict.fromkeys(numbers, "")
    assert listed(FULL._replace(ready=0, unknown=0))[0]["ready"] == 0
    assert cells(FULL._replace(ready=0, unknown=0))[0]["ready"] == "0"


def test_a_workload_in_the_csv() -> None:
    (row,) = cells(FULL)
    assert row == {
        "account": "eu",
        "workload_id": "w1",
        "workload": "front",
        "status": "running",
        "group": "up",
        "since": "2026-11-18T10:06:40Z",
        "longer_than_known": "true",
        "importance": "high",
        "owner": "claims",
        "ready": "1",
        "unknown": "1",
        "least": "2",
        "most": "3",
        "needs_attention": "true",
        "alerts": "DataRobotA (critical); DataRobotB (warning)",
        "reasons": "waiting: CrashLoopBackOff; readiness not known",
        "pending": "DataRobotC (critical)",
    }


def test_accounts_show_how_old_their_data_is_and_whether_their_workloads_are_in_the_list() -> None:
    new = ListedAccount("new", False, None, "no complete sweep yet")
    found = json.loads(as_json(AT, [EU, new], []))
    assert (found["at"], found["workloads"]) == ("2026-11-18T11:06:40Z", [])
    assert found["accounts"] == [
        {"account": "eu", "listed": True, "last_complete_sweep": "2026-11-18T11:06:28Z", "problem": None},
        {"account": "new", "listed": False, "last_complete_sweep": None, "problem": "no complete sweep yet"},
    ]
    (row,) = cells(accounts=(EU, new))
    assert {name: text for name, text in row.items() if text} == {
        "account": "new",
        "status": "unknown",
        "reasons": "no complete sweep yet",
    }


FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1", '=HYPERLINK("http://x","y")']


@pytest.mark.parametrize("text", FORMULAS)
def test_a_text_that_could_be_a_formula_is_a_text(text: str) -> None:
    evil = FULL._replace(account=text, id=text, name=text, status=text, importance=text, owner=text, reasons=(text,))
    for row in cells(evil, accounts=(ListedAccount(text, False, None, text),)):
        assert not [cell for cell in row.values() if cell.startswith(tuple("=+-@\t\r\n\uff1d"))]
        assert row["account"] == f"'{text}"
    assert listed(evil)[0]["workload"] == text, "JSON is no spreadsheet"


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_name_is_one_cell_and_survives(name: str) -> None:
    (row,) = cells(FULL._replace(name=name))
    assert row["workload"] in (name, f"'{name}")
    assert listed(FULL._replace(name=name))[0]["workload"] == (name or None)


def test_a_text_that_is_no_valid_unicode_is_written() -> None:
    assert cells(FULL._replace(name="a\ud800b"))[0]["workload"] == "a?b"
