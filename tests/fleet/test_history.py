"""The history of a workload: what is kept of it, for how long, and how many entries."""

from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.fleet.episodes import Episode, EpisodeKind, Mark
from exporter.fleet.history import (
    KEPT_SECONDS,
    MAX_ENTRIES,
    MAX_TEXT_CHARS,
    EntryKind,
    History,
    HistoryEntry,
    episode_entry,
    event_entry,
    with_entry,
)

NOW = 1_000_000.0


def history(*entries: HistoryEntry, now: float = NOW) -> History:
    found: History = ()
    for each in entries:
        found = with_entry(found, each, now)
    return found


def event(at: float, name: str = "Scaled", text: str = "") -> HistoryEntry:
    return HistoryEntry(at, "event", name, text)


def alert(at: float, began: float | None = None, name: str = "A", severity: str = "critical") -> HistoryEntry:
    return HistoryEntry(at, "alert", name, severity, began)


@pytest.mark.parametrize(
    ("entries", "kept"),
    [
        pytest.param([event(10, "b"), event(5, "a")], [event(5, "a"), event(10, "b")], id="sorted by time"),
        pytest.param(
            [event(5), event(7), event(9)],
            [HistoryEntry(9, "event", "Scaled", began=5, count=3)],
            id="the same one after the other is one entry",
        ),
        pytest.param(
            [event(5), event(7, text="by a user")],
            [event(5), event(7, text="by a user")],
            id="another text is another entry",
        ),
        pytest.param(
            [event(5), event(7, "Started"), event(9)],
            [event(5), event(7, "Started"), event(9)],
            id="the same later is another entry",
        ),
        pytest.param([event(7), event(5)], [event(5), event(7)], id="an earlier one is not counted with a later one"),
        pytest.param([alert(5), alert(9, began=5)], [alert(9, began=5)], id="the end of an alert replaces its start"),
        pytest.param(
            [alert(5), alert(6, name="B"), alert(7, severity="warning"), alert(9, began=5)],
            [alert(6, name="B"), alert(7, severity="warning"), alert(9, began=5)],
            id="and no other",
        ),
        pytest.param([alert(9, began=5)], [alert(9, began=5)], id="an end without its start"),
        pytest.param(
            [alert(5), alert(6, began=5), alert(8), alert(9, began=8)],
            [alert(6, began=5), alert(9, began=8)],
            id="alerts are not counted together",
        ),
        pytest.param([event(5 - KEPT_SECONDS)], [], id="too old"),
    ],
)
def test_entries_are_kept(entries: Iterable[HistoryEntry], kept: list[HistoryEntry]) -> None:
    assert history(*entries, now=10.0) == tuple(kept)


def test_what_is_too_old_goes_with_the_next_entry() -> None:
    old = history(event(5.0), now=10.0)
    assert history(event(6.0 + KEPT_SECONDS, "b"), now=6.0 + KEPT_SECONDS) == (event(6.0 + KEPT_SECONDS, "b"),)
    assert with_entry(old, event(5.0 + KEPT_SECONDS, "b"), 5.0 + KEPT_SECONDS) == (event(5.0 + KEPT_SECONDS, "b"),)


@given(
    st.lists(
        st.builds(
            HistoryEntry,
            st.floats(0, 2 * KEPT_SECONDS),
            st.sampled_from(["event", "alert"]),
            st.sampled_from("abc"),
            began=st.none() | st.floats(0, KEPT_SECONDS),
        ),
        max_size=80,
    )
)
def test_any_history_is_bounded_sorted_and_recent(entries: list[HistoryEntry]) -> None:
    now = 2 * KEPT_SECONDS
    found = history(*entries, now=now)
    assert len(found) <= MAX_ENTRIES
    assert list(found) == sorted(found, key=lambda each: each.at)
    assert all(now - each.at < KEPT_SECONDS for each in found)


def test_of_too_many_entries_the_latest_are_kept() -> None:
    found = history(*(event(float(number), f"e{number}") for number in range(MAX_ENTRIES + 5)), now=100.0)
    assert [each.name for each in found] == [f"e{number}" for number in range(5, MAX_ENTRIES + 5)]


def test_a_long_text_is_cut_between_words_so_that_no_half_of_a_secret_is_kept() -> None:
    words = "word " * 30 + "token=" + "x" * 100
    entry = event_entry(5.0, "T" * 500, words)
    assert entry.text == "word " * 30 + "..."
    assert entry.name == "..."
    assert len(entry.text) <= MAX_TEXT_CHARS
    assert event_entry(5.0, "Scaled", "short") == event(5.0, text="short")


@pytest.mark.parametrize(
    ("episode", "entry"),
    [
        (
            Episode("failure", Mark(100.0), ended=Mark(160.0), outcome="failure", cause="recovered"),
            HistoryEntry(160.0, "episode", "failure", "recovered", 100.0, bad=True),
        ),
        (
            Episode("start", Mark(100.0, None, 95.0), ended=Mark(200.0, None, 190.0), outcome="success"),
            HistoryEntry(185.0, "episode", "start", "success", 90.0),
        ),
        (
            Episode("flapping", Mark(100.0), ended=Mark(160.0), outcome="success", cause="flapping", folded=7),
            HistoryEntry(160.0, "episode", "flapping", "flapping", 100.0, 7),
        ),
    ],
    ids=["as observed", "as reported, by the local clock", "folded"],
)
def test_an_ended_episode_is_an_entry(episode: Episode, entry: HistoryEntry) -> None:
    assert episode_entry(episode, 5.0) == entry


KINDS: dict[EntryKind, EpisodeKind | str] = {"event": "Scaled", "episode": "failure", "alert": "DataRobotPodsNotReady"}


@pytest.mark.parametrize(("kind", "name"), KINDS.items())
def test_an_entry_is_small_in_the_state(kind: EntryKind, name: str) -> None:
    assert (
        msgspec.json.encode(HistoryEntry(5.0, kind, name)) == f'{{"at":5.0,"kind":"{kind}","name":"{name}"}}'.encode()
    )
