"""Notifications as lines of a message, for receivers that people read: Slack, and those reached by Apprise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from exporter.alerting.notification import Notification

MAX_EVIDENCE_LINES, MAX_LINE_CHARACTERS = 6, 300
_ORDER = ("critical", "warning", "info", "none")


class Style(NamedTuple):
    """How a service marks up text. `plain` makes text of any origin one line that contains no markup and no mentions;
    the others get text that is plain. `link` gets a text and a URL.
    """

    plain: Callable[[str], str]
    strong: Callable[[str], str]
    code: Callable[[str], str]
    link: Callable[[str, str], str]


def ranked(notifications: Sequence[Notification], severity_label: str) -> list[Notification]:
    """Firing ones by severity, then resolved ones."""

    def rank(notification: Notification) -> tuple[bool, int]:
        name = notification.labels.get(severity_label, "none")
        return notification.ended is not None, _ORDER.index(name) if name in _ORDER else len(_ORDER)

    return sorted(notifications, key=rank)


def summary(notifications: Sequence[Notification], style: Style) -> str:
    """One line for ranked notifications: how many fire or have ended, and the first one's title."""
    count = Counter(notification.heading for notification in notifications)
    text = ", ".join(f"{count[status]} {status}" for status in ("firing", "resolved", "ended") if count[status])
    return f"{text}: {style.plain(notifications[0].title)}{' …' if notifications[1:] else ''}"


def lines(notification: Notification, style: Style) -> list[str]:
    """What a person needs to read, the title first."""
    found = [f"{style.strong(notification.heading.upper())} {style.plain(notification.title)}"]
    found += [style.plain(notification.lasting)] if notification.lasting else []
    if notification.ended is None:
        texts = notification.annotations
        if texts.get("summary"):
            found.append(style.plain(texts["summary"]))
        evidence = notification.evidence[:MAX_EVIDENCE_LINES]
        found += [f"{style.plain(title)}: {style.plain(text)}" for title, text in evidence]
        if texts.get("note"):
            found.append(f"Note: {style.plain(texts['note'])}")
        for title, name in (("Details", "explain"), ("Silence", "silence")):
            if texts.get(name):
                found.append(f"{title}: {style.code(texts[name])}")
    links = [style.link(text, url) for text, url in notification.links if url.startswith(("https://", "http://"))]
    return [*found, " · ".join(links)] if links else found


def one_line(text: str) -> str:
    """A text as one line of limited length."""
    line = " ".join(text.split())
    return line if len(line) <= MAX_LINE_CHARACTERS else line[: MAX_LINE_CHARACTERS - 1] + "…"
