"""Names and texts are plain technical English: `tests.words` lists the words to avoid, and what to write instead."""

import ast
import re
from collections import defaultdict
from itertools import groupby

import pytest

from exporter.metrics.account_families import ACCOUNTS
from exporter.metrics.registry import FAMILIES
from exporter.telemetry.own_metrics import OWN_METRICS
from tests.words import ALLOWED_NAMES, ROOT, dashboard, of_name, of_text, offences, places, prose, python, room

ROOMS = {name: [*files] for name, files in groupby(places(), key=room)}


@pytest.mark.parametrize("name", sorted(ROOMS))
def test_a_folder_contains_no_banned_words(name: str) -> None:
    found = [str(offence) for place in ROOMS[name] for offence in offences(place)]
    assert not found, "banned words (tests/words.py):\n" + "\n".join(found)


def test_public_classes_of_the_exporter_have_distinct_names() -> None:
    defined = defaultdict(list)
    for place in (place for place in places() if re.match(r"exporter/.*\.py", place)):
        for node in ast.parse((ROOT / place).read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                defined[node.name].append(f"{place}:{node.lineno}")
    twice = {name: found for name, found in defined.items() if len(found) > 1}
    assert twice == {}, "rename one of them"


HELP = {family.name: family.help for family in FAMILIES}
HELP |= {family.name: family.help for family in ACCOUNTS}
HELP |= {metric.name: metric.help for metric in OWN_METRICS}
UNITS = {"seconds": "second", "bytes": "byte", "ratio": "ratio|divided by|fraction|share", "cores": "core|CPU"}


@pytest.mark.parametrize("name", HELP)
def test_help_is_a_noun_phrase_that_names_the_unit(name: str) -> None:
    text = HELP[name]
    assert text.endswith("."), "end it with a full stop"
    assert re.match(r"[A-Z]|1 (if|while|when|for)\b", text), "begin with a capital letter, or with `1 if …, else 0`"
    first = re.match(r"\w+", text)
    assert first is not None
    assert first[0] not in {
        *("Whether", "How", "What", "When", "While", "If", "Where", "Who", "Why", "Which", "Is", "Are", "Does", "Has"),
        *("The", "A", "An", "This", "It", "There", "Returns", "Shows", "Counts", "Gives", "Contains", "Indicates"),
    }, "begin with a noun: 'Failed API requests by reason.', or with `1 if …, else 0`"
    for suffix, word in UNITS.items():
        if suffix in name.split("_"):
            assert re.search(word, text, re.IGNORECASE), f"name the unit, {suffix}"
    if "timestamp" in name.split("_"):
        assert "seconds since the epoch" in text, "name the unit: in seconds since the epoch"


# -- the scanner


@pytest.mark.parametrize(
    "code",
    [
        "def was_told(): ...",
        "async def tells(): ...",
        "class ToldBy: ...",
        "def send(told=1): ...",
        "def send(*, told): ...",
        "lambda told: 1",
        "told = 1",
        "told: int = 1",
        "for told in (): ...",
        "(a, *told) = ()",
        "with open('x') as told: ...",
        "self.told_type = 1",
        "import x as told",
        "from x import y as told",
        "TOLD_AT = 1",
        "[told for told in ()]",
        "(told := 1)",
        "match x:\n    case int() as told: ...",
        "match x:\n    case [*told]: ...",
        "'''What was told.'''",
        "x = 'What was told'",
        "x = f'{1} was told {2}'",
        "x = 1  # as it was told",
    ],
)
def test_a_banned_word_in_code_is_found_and_named_with_its_place(code: str) -> None:
    found = [*python("exporter/x.py", f"import y\n{code}\n")]
    assert found, code
    for offence in found:
        assert re.match(r"exporter/x\.py:[23]: '(tells?|told)'", str(offence), re.IGNORECASE)
        assert "write instead: report" in str(offence)


@pytest.mark.parametrize(
    "code",
    [
        "x.told(1)",  # a name that another module defines is found there
        "toldme = threshold = bold = 1",
        "dashboard = runbook = gateway = log_tail = outlook = 1",
        "LANE = 'lane'",
        "{'told': 1}",
        "x = 'told'",
    ],
)
def test_names_of_others_parts_of_words_and_keys_are_no_offence(code: str) -> None:
    assert [*python("exporter/x.py", code)] == []


def test_the_name_of_a_module_is_scanned() -> None:
    assert [str(offence).partition(";")[0] for offence in python("dashboards/troubles.py", "")] == [
        "dashboards/troubles.py:1: 'troubles'"
    ]


def test_the_line_of_a_word_in_a_docstring_is_its_own() -> None:
    (offence,) = python("exporter/x.py", '"""First.\n\nThen it is told.\n"""\n')
    assert str(offence).startswith("exporter/x.py:3: 'told'")


def test_prose_is_scanned_without_code_in_backticks() -> None:
    assert [str(offence)[:15] for offence in prose("docs/x.md", "`told` is a key.\nIt is told.\n")] == [
        "docs/x.md:2: 't"
    ]


def test_titles_and_descriptions_of_a_dashboard_are_scanned() -> None:
    text = '{"panels": [\n{"title": "What is told",\n"targets": [{"expr": "told is not text"}]}]}'
    assert [(offence.line, offence.word) for offence in dashboard("dashboards/x.json", text)] == [(2, "told")]


@pytest.mark.parametrize(
    "text",
    [
        "Requests by why.",
        "It is no heartbeat.",
        "While the condition holds",
        "What it holds for",
        "The detail lane",
        "Rings once",
        "Whoever asks",
        "at each look",
        "when it comes no more",
        "Told",
    ],
)
def test_a_banned_phrase_is_found(text: str) -> None:
    assert [*of_text(text)]


@pytest.mark.parametrize(
    "text",
    [
        "Text that looks like a token.",
        "Look at the logs.",
        'sweep_complete{lane="status"}',
        "There is no proton, and it is no longer listed.",
        "A row holds the condition; it holds at most ten.",
        "Troubleshooting, a tollbooth, a runbook and a dashboard.",
        "Restarts of containers, and why they ended.",
        "By the way, of course.",
    ],
)
def test_ordinary_english_is_no_offence(text: str) -> None:
    assert [*of_text(text)] == []


def test_each_exception_is_needed() -> None:
    allowed = {**ALLOWED_NAMES}
    ALLOWED_NAMES.clear()
    try:
        assert all(of_name(name) for name in allowed)
    finally:
        ALLOWED_NAMES.update(allowed)
