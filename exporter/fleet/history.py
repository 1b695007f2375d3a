"""History of a workload, for its page: events, ended episodes and alerts of the last days, bounded, in its ledger.

All times are seconds since the epoch, by the local clock.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from exporter.fleet.episodes import BAD_OUTCOMES, Episode, Mark, Stored

MAX_ENTRIES = 30
"""Entries per workload, the latest ones: each change of a ledger writes all of them. So many take 8 kB of memory, and
3 kB in the state.
"""
KEPT_SECONDS = 7 * 86400.0
MAX_TEXT_CHARS = 160
EntryKind = Literal["event", "episode", "alert"]


class HistoryEntry(Stored, frozen=True):
    """What happened at `at`, and began at `began` if it is over then.

    `name`: type of the event, kind of the episode, or name of the alert. `text`: message of the event, cause or outcome
    of the episode, or severity of the alert. `count`: number of the same entries one after the other; `at` is the
    time of the last one, `began` then that of the first.
    """

    at: float
    kind: EntryKind
    name: str
    text: str = ""
    began: float | None = None
    count: int = 1
    bad: bool = False


History = tuple[HistoryEntry, ...]
"""Oldest first."""


def with_entry(history: History, entry: HistoryEntry, now: float) -> History:
    """The history with one more entry, without those that are too old or too many.

    An entry that is the same as the latest but for its time is counted with it. The end of an alert replaces its start.
    """
    kept = [each for each in history if now - each.at < KEPT_SECONDS]
    if entry.kind == "alert" and entry.began is not None:
        kept = [each for each in kept if not _starts(each, entry)]
    last = kept[-1] if kept else None
    if last is not None and entry.kind != "alert" and _identity(last) == _identity(entry) and last.at <= entry.at:
        began = last.began if last.began is not None else last.at
        kept[-1] = msgspec.structs.replace(entry, began=began, count=last.count + entry.count)
    elif now - entry.at < KEPT_SECONDS:
        kept.append(entry)
    return tuple(sorted(kept, key=lambda each: each.at)[-MAX_ENTRIES:])


def _starts(entry: HistoryEntry, end: HistoryEntry) -> bool:
    """Whether an entry is the start of the alert that ends."""
    return entry.began is None and entry.at == end.began and _identity(entry) == _identity(end)


def _identity(entry: HistoryEntry) -> tuple[str, str, str]:
    return entry.kind, entry.name, entry.text


def event_entry(at: float, reported_type: str, message: str) -> HistoryEntry:
    """The entry of an event. Its texts are cut between words: half a secret could not be recognised and masked."""
    return HistoryEntry(at, "event", _cut(reported_type), _cut(message))


def episode_entry(episode: Episode, ahead: float) -> HistoryEntry:
    """The entry of an episode that is over. `ahead`: seconds that the API's clock is ahead."""
    assert episode.ended is not None
    return HistoryEntry(
        at=local(episode.ended, ahead),
        kind="episode",
        name=episode.kind,
        text=episode.cause or episode.outcome,
        began=local(episode.opened, ahead),
        count=max(1, episode.folded),
        bad=episode.outcome in BAD_OUTCOMES,
    )


def local(mark: Mark, ahead: float) -> float:
    """The time of a mark by the local clock: as reported, or else as observed."""
    return mark.at if mark.reported is None else mark.reported - ahead


def _cut(text: str) -> str:
    if len(text) <= MAX_TEXT_CHARS:
        return text
    return f"{text[: MAX_TEXT_CHARS - 4].rpartition(' ')[0]} ...".strip()
