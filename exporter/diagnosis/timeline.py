"""The timeline of a workload: episodes, events, replacements and alerts of the last days, as far as they are kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from exporter.diagnosis.fleet_table import lasted
from exporter.diagnosis.phrases import clock
from exporter.fleet.episodes import Episode
from exporter.fleet.history import KEPT_SECONDS, HistoryEntry, episode_entry, local
from exporter.fleet.workload_state import WorkloadState
from exporter.masking import scrubbed


class TimelineEntry(NamedTuple):
    """Something that happened at `at`, in seconds since the epoch. `bad`: a failure."""

    at: float
    kind: str
    text: str
    bad: bool = False


_CAUSES = {
    "crashed": "a container terminated and was restarted",
    "errored": "it failed",
    "recovered": "it recovered",
    "stopped": "it was stopped",
    "restarted": "it was started again",
    "draft_expired": "its time as a draft was over",
    "deleted": "it was deleted",
    "timeout": "it lasted for more than a week",
    "flapping": "too many to list each",
}
"""Causes and outcomes of episodes that are not clear by themselves."""


def timeline(state: WorkloadState, now: float) -> tuple[TimelineEntry, ...]:
    """What happened, latest first."""
    moments = [each for each in _moments(state, now) if now - each.at < KEPT_SECONDS]
    return tuple(sorted(moments, key=lambda each: -each.at))


def _moments(state: WorkloadState, now: float) -> Iterator[TimelineEntry]:
    ledger, tracker = state.ledger, state.ledger.tracker
    for entry in ledger.history:
        yield from _of_entry(entry, now)
    for over in tracker.over:
        yield from _of_entry(episode_entry(over, state.ahead), now)
    for episode in (*tracker.episodes, *filter(None, [tracker.flapping])):
        yield _beginning(episode.kind, local(episode.opened, state.ahead), episode)
    yield TimelineEntry(ledger.first, "exporter", "first observed by this exporter")
    if state.vanished is not None:
        yield TimelineEntry(state.vanished, "exporter", "no longer listed", bad=True)


def _of_entry(entry: HistoryEntry, now: float) -> Iterator[TimelineEntry]:
    name, text = scrubbed(entry.name), scrubbed(entry.text)
    times = f" ({entry.count} times since {clock(entry.began, now)})" if entry.count > 1 and entry.began else ""
    if entry.kind == "event":
        yield TimelineEntry(entry.at, "event", f"{name}{f': {text}' if text else ''}{times}")
        return
    took = f" after {lasted(entry.at - entry.began)}" if entry.began is not None else ""
    if entry.kind == "alert":
        ended = entry.began is not None
        yield TimelineEntry(entry.at, "alert", f"{name} ({text}) {f'ended{took}' if ended else 'fires'}", not ended)
        if entry.began is not None:
            yield TimelineEntry(entry.began, "alert", f"{name} ({text}) fires", bad=True)
        return
    cause, kind = _CAUSES.get(text, text.replace("_", " ")), _kind(name)
    if times or text == "crashed" or entry.began is None or entry.at - entry.began < 1:
        yield TimelineEntry(entry.at, kind, f"{name}: {cause}{times}", entry.bad)
        return
    yield TimelineEntry(entry.at, kind, f"{name} ended{took}: {cause}", entry.bad)
    yield _beginning(name, entry.began)


def _beginning(name: str, at: float, episode: Episode | None = None) -> TimelineEntry:
    """The begin of an episode; one that is not over shows its latest status."""
    status = episode.states[-1].status if episode is not None and episode.states else ""
    state = f", {'now ' + scrubbed(status) if status else 'not over'}" if episode is not None else ""
    return TimelineEntry(at, _kind(name), f"{name} began{state}", name == "failure")


def _kind(name: str) -> str:
    return "replacement" if name == "replacement" else "episode"
