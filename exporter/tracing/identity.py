"""Ids of traces and spans: hashes of reported data, so that two exporters produce the same ids."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from exporter.api import models
from exporter.fleet.episodes import Episode, EpisodeTracker, Mark, ProtonTimes

SLACK_SECONDS = 2.0
"""How far a reported time may lie outside the two sweeps between which the change happened: clocks differ."""
_VERSION = "wx-trace/1"


def digest(size: int, *parts: str) -> bytes:
    """The first `size` bytes of the SHA-256 of the parts, each prefixed with its length, so that no two lists collide.

    Never all zeros, which OTLP does not allow as an id.
    """
    packed = b"".join(len(data).to_bytes(4, "big") + data for part in parts for data in [part.encode()])
    found = hashlib.sha256(packed).digest()[:size]
    return found if any(found) else digest(size, *parts, "0")


def trace_id(host: str, workload: str, kind: str, key: Iterable[str]) -> bytes:
    """The id of the trace of an episode."""
    return digest(16, _VERSION, host, workload, kind, *key)


def span_id(trace: bytes, *path: str) -> bytes:
    """The id of a span, from its path in the trace."""
    return digest(8, "wx-span/1", trace.hex(), *path)


def identity(tracker: EpisodeTracker, episode: Episode, skew: float = 0.0) -> tuple[tuple[str, ...], bool]:
    """The key of an episode among those of its kind, and whether the API reported it.

    A run is identified by its proton and its start, and so are the start and the recovery that led to it; a first start
    by its proton alone, another one by its first pod, a replacement by its id. Without reported data the local time is
    used: it survives a restart, but differs between exporters.
    """
    local = ("local", f"{episode.opened.at:.3f}"), False
    if episode.kind == "deletion":
        return ("deleted",), True
    if episode.kind == "replacement":
        name = episode.replacement or next(iter(episode.candidates), "")
        return ((name,), True) if name else local
    if episode.cause == "crashed":
        return (episode.proton, episode.since, *episode.candidates), True
    if episode.recalled and episode.kind == "start":
        return (episode.proton, episode.since), True
    if episode.kind == "stop" or (episode.kind == "failure" and episode.since):
        return ((episode.proton, episode.since), True) if episode.since else local
    proton = tracker.protons.get(episode.proton, ProtonTimes())
    ended = episode.ended or episode.opened
    since, created = models.timestamp(proton.since), models.timestamp(proton.created)
    ran = episode.cause == "recovered" or (episode.kind == "start" and episode.outcome == "success")
    if ran and _between(since, episode.opened, ended, skew):
        return (episode.proton, proton.since), True
    if created is not None and (episode.kind == "failure" or _between(created, episode.opened, ended, skew)):
        return (episode.proton, "first"), True
    pods = ((pod.created, name) for name, pod in tracker.pods.items() if pod.proton == episode.proton)
    found = [(at, name) for at, name in pods if at is not None and _between(at, episode.opened, ended, skew)]
    return ((episode.proton, min(found)[1]), True) if found else local


def numbered(
    tracker: EpisodeTracker, episode: Episode, key: tuple[str, ...], *, reported: bool
) -> tuple[tuple[str, ...], bool]:
    """The key of an episode, with a number appended if it was used before, and whether the API reported all of it.

    Nothing that the API reports about a second failure of one run is the same for all exporters: it reports only the
    last termination of a container, and `updatedAt` changes with any edit.
    """
    used = tracker.numbers.get(count_key(episode, key), 0)
    return ((*key, f"#{used + 1}"), False) if used else (key, reported)


def count_key(episode: Episode, key: tuple[str, ...]) -> str:
    """The key under which `EpisodeTracker.numbers` counts episodes of one kind and key."""
    return "|".join((episode.kind, *key))


def _between(at: float | None, opened: Mark, ended: Mark, skew: float) -> bool:
    if at is None:
        return False
    begin = opened.last if opened.last is not None else opened.at - models.DRAFT_LIFETIME_SECONDS
    return begin + skew - SLACK_SECONDS <= at <= ended.at + skew + SLACK_SECONDS
