"""Silences: alerts with given label values of which receivers get no new notifications until a given time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches

from exporter.alerting.notification import Notification
from exporter.errors import ExporterError
from exporter.fleet.episodes import Stored

MAX_SILENCES = 500
MAX_SILENCE_SECONDS = 366 * 86400.0
NOT_LABELS = ("for", "author", "comment")
"""Parameters of a request for a silence that are not labels to match."""


class Silence(Stored, frozen=True):
    """No new notifications about alerts whose labels have all these values. Times in seconds since the epoch."""

    matchers: Mapping[str, str]
    ends: float
    author: str
    comment: str = ""
    began: float = 0.0


class BadSilence(ExporterError):
    """Raised for a silence that cannot be created; its text names the reason and a remedy."""


def silenced(notification: Notification, silences: Iterable[Silence], now: float) -> bool:
    """Whether a silence matches the labels of a notification at `now`."""
    return any(
        now < silence.ends and all(notification.labels.get(name) == value for name, value in silence.matchers.items())
        for silence in silences
    )


def concerns(silence: Silence, labels: Mapping[str, str], now: float) -> bool:
    """Whether a silence matches alerts of a subject with these labels at `now`, all of them or some."""
    return now < silence.ends and all(labels.get(name, value) == value for name, value in silence.matchers.items())


def new_silence(
    parameters: Mapping[str, str], seconds: float, label_names: Collection[str], existing: int, now: float
) -> Silence:
    """The requested silence.

    `parameters` are ``author``, ``comment``, and the labels to match; `seconds` is the duration that ``for`` gives, 0
    if it is not readable; `label_names` are the labels that alerts have; `existing` is the number of silences.
    Raises BadSilence.
    """
    matchers = {name: value for name, value in parameters.items() if name not in NOT_LABELS}
    author = parameters.get("author", "")
    if not matchers or not author or not seconds > 0:
        raise BadSilence("Give at least one label, for=DURATION and author=NAME; comment is optional.")
    for name, value in matchers.items():
        if "*" in value or value.startswith("~"):
            raise BadSilence(f"{name}: patterns are not supported; give the exact value, such as workload_id=ID.")
        if name not in label_names:
            similar = get_close_matches(name, label_names, 1)
            hint = f"did you mean {similar[0]!r}?" if similar else f"labels: {', '.join(label_names)}."
            raise BadSilence(f"No alert has the label {name!r}; {hint}")
    if seconds > MAX_SILENCE_SECONDS:
        raise BadSilence(f"A silence lasts at most {MAX_SILENCE_SECONDS / 86400:.0f} days.")
    if existing >= MAX_SILENCES:
        raise BadSilence(f"There are already {MAX_SILENCES} silences, the maximum; end one first.")
    return Silence(matchers, now + seconds, author, parameters.get("comment", ""), now)
