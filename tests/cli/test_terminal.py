"""Text and keys of a terminal: nothing that others name can move the cursor, and nothing that is typed is lost."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.cli.terminal import ScreenSpan, as_text, drawn, fitted, keys, padded, safe, width


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain-1", "plain-1"),
        ("\x1b[2J\x07bell", "?[2J?bell"),
        ("two\nlines\tand\r", "two lines and "),
        ("\x9b31m", "?31m"),
        ("\u202eevil\u2066", "?evil?"),
        ("a\u200bb\ufeffc", "a?b?c"),
        ("\ud800lone", "?lone"),
        ("\ue000private\U000e0041", "?private?"),
        ("cafe\u0301", "café"),
        ("z\u0335\u0336\u0337\u0338\u0339", "z\u0335\u0336"),
        ("\u2764\ufe0f", "\u2764"),
        ("\u0301first", "first"),
        ("東京", "東京"),
    ],
)
def test_only_what_a_terminal_shows_in_its_place_stays(text: str, expected: str) -> None:
    assert safe(text) == expected


@pytest.mark.parametrize(
    ("text", "columns", "expected"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdefg", 6, "abcde~"),
        ("東京都庁", 8, "東京都庁"),
        ("東京都庁", 7, "東京都~"),
        ("東京都庁", 6, "東京~"),
        ("z\u0335\u0336ab", 3, "z\u0335\u0336ab"),
        ("abc", 1, "~"),
        ("abc", 0, ""),
    ],
)
def test_a_text_is_cut_to_columns_and_shows_that_it_is(text: str, columns: int, expected: str) -> None:
    assert fitted(text, columns) == expected


@given(st.text(), st.integers(0, 40))
def test_no_text_takes_more_columns_than_it_may_or_contains_what_a_terminal_obeys(text: str, columns: int) -> None:
    shown = fitted(text, columns)
    assert width(shown) <= columns
    assert not [each for each in shown if unicodedata.category(each)[0] == "C" or each in "\u2028\u2029"]
    assert width(padded(shown, columns)) == columns
    assert safe(shown) == shown


@pytest.mark.parametrize(
    ("received", "expected", "rest"),
    [
        ("jk/ä東", ["j", "k", "/", "ä", "東"], ""),
        ("\r\n\x7f\x08\x0c\x15", ["enter", "enter", "backspace", "backspace", "redraw", "clear"], ""),
        ("\x1b[A\x1b[B\x1bOC\x1bOD", ["up", "down", "right", "left"], ""),
        ("\x1b[5~\x1b[6~\x1b[1~\x1b[4~\x1b[H\x1bOF", ["page up", "page down", "home", "end", "home", "end"], ""),
        ("\x1b[1;5A", ["up"], ""),
        ("\x1b[15~\x1b[200~x", ["x"], ""),
        ("\x01\x02\x00", [], ""),
        ("a\x1b", ["a"], "\x1b"),
        ("a\x1b[", ["a"], "\x1b["),
        ("a\x1b[1;", ["a"], "\x1b[1;"),
        ("\x1bO", [], "\x1bO"),
        ("\x1bq", ["escape", "q"], ""),
        ("\x1b\x1b[A", ["escape", "up"], ""),
    ],
)
def test_keys_are_recognised_and_an_incomplete_sequence_waits_for_its_rest(
    received: str, expected: list[str], rest: str
) -> None:
    assert keys(received) == (expected, rest)


@given(st.text(max_size=20))
def test_any_input_is_read_to_its_end_or_up_to_an_escape(received: str) -> None:
    _, rest = keys(received)
    assert received.endswith(rest)
    assert not rest or rest[0] == "\x1b"


def test_each_part_of_a_line_is_set_to_its_column_with_its_style() -> None:
    line = (ScreenSpan(0, "!!", "critical"), ScreenSpan(3, "東", ""), ScreenSpan(6, "x", "reverse"))
    assert drawn(line, colour=True) == "\x1b[1G\x1b[1;31m!!\x1b[0m\x1b[4G東\x1b[7G\x1b[7mx\x1b[0m"
    assert drawn(line, colour=False) == "\x1b[1G\x1b[1m!!\x1b[0m\x1b[4G東\x1b[7G\x1b[7mx\x1b[0m"
    assert drawn((ScreenSpan(0, "w", "warning"),), colour=False) == "\x1b[1Gw"
    assert as_text([line, ()]) == "!! 東 x\n\n"
