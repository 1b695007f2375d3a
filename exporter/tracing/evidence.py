"""The data that belongs to one episode: its start and end, and the pods, container runs and events within it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from exporter.api import models
from exporter.fleet.episodes import BAD_OUTCOMES, Episode, EpisodeTracker, PodFacts, ProtonTimes, Run
from exporter.tracing.identity import SLACK_SECONDS
from exporter.tracing.times import span_time, to_ns

OLD_SECONDS = 3600.0
"""Seconds before the first observation from which reported times count as belonging to earlier episodes."""


class Evidence:
    """Selects from a tracker what belongs to one ended episode. `skew`: seconds that the API's clock is ahead."""

    def __init__(self, tracker: EpisodeTracker, episode: Episode, skew: float) -> None:
        assert episode.ended is not None
        self.tracker, self.episode, self.skew = tracker, episode, skew
        self.failed = episode.outcome in BAD_OUTCOMES
        self.start = span_time(episode.opened, self._start_times(), skew)
        ended = span_time(episode.ended, self._end_times(), skew)
        self.end = ended if ended.ns >= self.start.ns else self.start._replace(source="derived")

    # reported times of the start and the end

    def _protons(self) -> frozenset[str]:
        if self.episode.kind == "replacement":
            return frozenset(self.episode.candidates)
        return frozenset((self.episode.proton,)) - {""}

    def _proton_times(self, field: str) -> Iterator[float | None]:
        for proton in sorted(self._protons()):
            yield models.timestamp(getattr(self.tracker.protons.get(proton, ProtonTimes()), field))

    def _event_times(self, *words: str) -> Iterator[float]:
        for event in self.tracker.events.values():
            if event.at is not None and any(word in models.folded(event.type) for word in words):
                yield event.at

    def _start_times(self) -> Iterator[float | None]:
        kind = self.episode.kind
        if kind in ("start", "replacement"):
            yield from (at for at in self._proton_times("created") if self._new(at))
        if kind == "start":
            yield from self._likely(self._event_times("started", "created"))
            yield from self._first_pod_time() if self.episode.opened.last is None else ()
        elif kind == "stop":
            yield from self._likely(self._event_times("stopp"))
        elif kind == "failure":
            yield from self._likely(run.finished for _, _, run in self.runs())

    def _likely(self, reported: Iterable[float]) -> list[float]:
        """Possible start times, the most likely first.

        If the start was not observed, reported times may belong to other episodes.
        """
        if self.episode.opened.last is not None:
            return sorted(reported)
        return sorted((at for at in reported if at > self._old), reverse=True)

    @property
    def _old(self) -> float:
        return self.episode.opened.at + self.skew - OLD_SECONDS

    def _new(self, created: float | None) -> bool:
        """Whether a proton was created for this episode. If the start was not observed, it may be a restarted one."""
        if created is None or self.episode.opened.last is not None:
            return created is not None
        return created >= next(self._first_pod_time(), self.episode.opened.at + self.skew) - OLD_SECONDS

    def _first_pod_time(self) -> Iterator[float]:
        """Creation time of the first of the pods that were present at the first observation, if it is recent."""
        pods = (at for _, pod in self.pods() for at in (pod.created, *pod.conditions.values()) if at is not None)
        recent = [at for at in pods if at > self._old]
        yield from [min(recent)] if recent else []

    def _end_times(self) -> Iterator[float | None]:
        if self.episode.after == "running":
            yield from self._proton_times("since")

    # data within the episode

    def pods(self) -> list[tuple[str, PodFacts]]:
        """The pods of the episode's protons, with their names."""
        return [(name, pod) for name, pod in self.tracker.pods.items() if pod.proton in self._protons()]

    def runs(self) -> Iterator[tuple[str, PodFacts, Run]]:
        """The finished container runs of these pods."""
        for name, pod in self.pods():
            for run in pod.runs:
                yield name, pod, run

    def within(self, at: float | None) -> bool:
        """Whether a reported time lies within the episode."""
        slack = to_ns(SLACK_SECONDS)
        return at is not None and self.start.ns - slack <= to_ns(at) <= self.end.ns + slack

    def created_here(self, pod: PodFacts) -> bool:
        """Whether a pod was created in this episode."""
        creates = self.episode.kind in ("start", "replacement")
        return creates and (pod.created is None or self.within(pod.created))

    def runs_within(self, pod: PodFacts) -> list[tuple[float, Run]]:
        """Runs of a pod's containers that started and ended within the episode, and their start times."""
        started = [(run.started, run) for run in pod.runs if run.started is not None]
        return [(at, run) for at, run in started if self.within(at) and self.within(run.finished)]

    def shown_pods(self) -> list[tuple[str, PodFacts]]:
        """The pods to show: those with problems first, then the slowest."""
        found = [(name, pod) for name, pod in self.pods() if self.created_here(pod) or self.runs_within(pod)]
        return sorted(found, key=lambda item: (not item[1].problem, -item[1].conditions.get("Ready", 0.0), item[0]))

    def proton_created(self, proton: str) -> float | None:
        """Reported creation time of a proton."""
        return models.timestamp(self.tracker.protons.get(proton, ProtonTimes()).created)

    # the failure

    def error_type(self) -> str:
        """What failed, of a closed set: the problem of a container, else how the episode ended."""
        episode = self.episode
        if episode.outcome == "error":
            return "Flapping" if episode.folded else "Interrupted"
        if any(run.reason == "OOMKilled" for _, _, run in self.runs() if self.within(run.finished)):
            return "OOMKilled"
        problems = sorted(pod.problem for _, pod in self.pods() if pod.problem and not pod.ready)
        if problems:
            return error_name(problems[0])
        if any(not pod.ready for _, pod in self.pods() if self.created_here(pod)):
            return "NotReady"
        if episode.kind == "replacement":
            return {"errored": "ReplacementErrored"}.get(episode.cause, "ReplacementReverted")
        return {"terminated": "Terminated", "flapping": "Flapping"}.get(episode.cause, "Errored")

    def message(self) -> str:
        """The API's message about the failure: that of the last event that has one."""
        found = [event for event in self.tracker.events.values() if event.message and self.within(event.at)]
        latest = max(found, key=lambda event: event.at or 0.0, default=None)
        return latest.message if latest is not None else ""


def error_name(reason: str) -> str:
    """The value of `error.type` for a reason."""
    return reason if reason and reason != "other" else "_OTHER"
