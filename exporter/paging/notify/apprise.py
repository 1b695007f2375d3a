"""Some two hundred services by Apprise, by its URLs: a message for what fires, and one for what has ended.

Source: Apprise's documentation of its URLs, and of its types of notifications: failure, warning, info, success.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import quote

from exporter import redaction
from exporter.alerting.notification import Notification
from exporter.apprise_process import Answer
from exporter.failures import beginning, detail, one_line, retry_after
from exporter.paging.notify import text
from exporter.paging.notify.contract import Sent
from exporter.paging.notify.post import MAX_RETRY_AFTER_SECONDS, Budget, trust, verdict
from exporter.redaction import Secrets
from exporter.settings.problems import BadSettings, Problem
from exporter.settings.receivers import AppriseSettings

MESSAGES_PER_MINUTE = 20
"""Telegram's limit of messages to one group, the lowest of the common services."""
START_SECONDS = 30.0
"""Maximum time until the process can send."""
ANSWER_SECONDS = 1.0
"""Time after the timeout of a request until the process is killed: Apprise's own error says more."""
MAX_ANSWER_BYTES = 2**20
_SCHEME = re.compile(r"[a-zA-Z][\w+.-]*://.")
_TYPES = {"critical": "failure", "warning": "warning"}
_COMMAND = (sys.executable, "-P", "-m", "exporter.apprise_process")
_MISSING = "kind apprise needs Apprise, which is not installed; pip install 'datarobot-workload-exporter[notify]'"


class Apprise:
    """One URL. `steady` is the clock of its budget. Raises `BadSettings` if it cannot be used, or without Apprise."""

    def __init__(
        self,
        settings: AppriseSettings,
        severity_label: str = "severity",
        steady: Callable[[], float] = time.monotonic,
        secrets: Secrets | None = None,
    ) -> None:
        self.name = settings.name
        self._url, self._severity_label = settings.source("url"), severity_label
        self.budget = Budget(MESSAGES_PER_MINUTE, 60.0, steady)
        self._secrets = secrets or Secrets()
        self._ca_file = None if settings.ca_file is None else str(settings.ca_file)
        self._timeout = settings.timeout
        if importlib.util.find_spec("apprise") is None:
            raise BadSettings([Problem("paging.receivers.kind", f"of {self.name}: {_MISSING}")])
        trust(settings)
        if url := self._url():
            self._check(url)

    def _check(self, url: str) -> None:
        found = subprocess.run(  # noqa: S603 — our own program
            _COMMAND, input=self._receiver(url), capture_output=True, timeout=START_SECONDS, check=False
        )
        answer: Answer = json.loads(found.stdout or b"{}")
        if not answer.get("accepted"):
            what = f"of {self.name} cannot be used by Apprise: {self._clean(answer, url)}"
            raise BadSettings([Problem("paging.receivers.url", what)])

    async def send(self, notifications: Sequence[Notification], now: float) -> list[Sent]:  # noqa: ARG002 — see `Notifier`
        """See `Notifier`: one message for what fires and one for what has ended."""
        results: dict[str, Sent] = {}
        groups = [[each for each in notifications if (each.ended is None) is fires] for fires in (True, False)]
        async for group, sent in self._each_sent([group for group in groups if group]):
            results |= {each.key: sent._replace(key=each.key) for each in group}
        return [results[each.key] for each in notifications]

    async def _each_sent(
        self, groups: Sequence[Sequence[Notification]]
    ) -> AsyncIterator[tuple[Sequence[Notification], Sent]]:
        """Each group with its result: after a failure, the next ones have the same and are not sent."""
        url, sent = self._url(), Sent("", "delivered")
        async with _process() as process:
            for number, group in enumerate(groups):
                if sent.fate == "delivered":
                    sent = self.budget.take() or await self._sent(process, url, group, is_first=number == 0)
                else:
                    sent = sent._replace(maybe=False)
                yield group, sent

    async def _sent(
        self, process: asyncio.subprocess.Process, url: str, group: Sequence[Notification], *, is_first: bool
    ) -> Sent:
        if not _SCHEME.match(url):
            return Sent("", "again", "refused", "not sent: give a URL of Apprise, such as mailto://… or ntfy://…")
        scheme = f"{url.partition(':')[0].lower()}://…"
        try:
            if is_first:
                ready = await _answer(process, self._receiver(url), START_SECONDS)
                if not ready.get("accepted"):
                    words = f"{scheme} was not sent: Apprise cannot use the URL: {self._clean(ready, url)}"
                    return Sent("", "again", "refused", words)
            sending = _line(message(group, self._severity_label))
            answer = await _answer(process, sending, self._timeout + ANSWER_SECONDS)
        except TimeoutError:
            return Sent("", "again", "timeout", f"{scheme} got no response within {self._timeout:g} s", maybe=True)
        return self._result(scheme, answer, url)

    def _result(self, scheme: str, answer: Answer, url: str) -> Sent:
        what = " ".join(filter(None, [scheme, self._secrets.text(answer.get("request", ""), *_parts(url))]))
        if answer.get("accepted"):
            return Sent("", "delivered", "", f"{what} was accepted")
        if "status" not in answer:
            words = f"{what} failed: {self._clean(answer, url) or 'Apprise gives no reason'}"
            lasting, reason = answer.get("lasting", not answer.get("reason")), answer.get("reason", "refused")
            return Sent("", "failed" if lasting else "again", reason, words, maybe=answer.get("maybe", False))
        fate, reason = verdict(answer["status"], accepted=False)
        words = f"{what} returned {answer['status']}"
        if reason == "redirect":
            words += ": a redirect, which is not followed"
        elif body := answer["body"].encode("latin-1").strip():
            words += f": {detail(beginning(body, lambda body: self._secrets.clean(body, *_parts(url))))}"
        after = retry_after(answer["headers"], time.time()) if fate == "again" else None
        return Sent("", fate, reason, words, None if after is None else min(after, MAX_RETRY_AFTER_SECONDS))

    def _receiver(self, url: str) -> bytes:
        return _line({"url": url, "ca_file": self._ca_file, "timeout": self._timeout})

    def _clean(self, answer: Answer, url: str) -> str:
        return one_line(self._secrets.text(answer.get("text", ""), *_parts(url)))

    async def aclose(self) -> None:
        """See `Notifier`: nothing is open between two calls."""


def message(group: Sequence[Notification], severity_label: str) -> dict[str, Any]:
    """The message about a group that fires or has ended, in both styles: which one is used depends on the service."""
    listed = text.ranked(group, severity_label)
    blocks = {name: [text.lines(each, style) for each in listed] for name, style in _STYLES.items()}
    title = blocks["text"][0][0]
    if len(listed) == 1:
        blocks = {name: [lines[1:] or lines] for name, (lines,) in blocks.items()}
    else:
        title = text.summary(listed, _STYLES["text"])
    if group[0].ended is None:
        kind = _TYPES.get(listed[0].labels.get(severity_label, ""), "info")
    else:
        kind = "success" if any(each.heading == "resolved" for each in group) else "info"
    return {"type": kind, "title": title, **blocks}


_MENTIONS = str.maketrans({"@": "＠", "<": "‹", ">": "›"})  # noqa: RUF001 — these characters mention no one
_MARKUP = re.compile(r"[!-/:-?\[-`{-~]")


def _plain(given: str) -> str:
    """Text without mentions, and links with a text of their own, for services that find them in any text."""
    return text.one_line(given).translate(_MENTIONS).replace("](", "] (")


def _markdown(given: str) -> str:
    """The same, with the escapes of CommonMark."""
    return _MARKUP.sub(r"\\\g<0>", text.one_line(given).translate(_MENTIONS))


def _link(given: str, url: str) -> str:
    target = re.sub(r"[^!-~]|[()<>@\\]", lambda found: quote(found[0]), url)
    return f"[{_markdown(given)}]({target})"


_STYLES = {
    "text": text.Style(_plain, str, _plain, lambda given, url: f"{_plain(given)}: {url}"),
    "markdown": text.Style(
        _markdown, lambda given: f"**{given}**", lambda given: f"`{text.one_line(given).replace('`', '')}`", _link
    ),
}


@asynccontextmanager
async def _process() -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that sends, and ends with the context."""
    process = await asyncio.create_subprocess_exec(
        *_COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, limit=MAX_ANSWER_BYTES
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _answer(process: asyncio.subprocess.Process, line: bytes, seconds: float) -> Answer:
    """The answer to a line. Raises TimeoutError."""
    assert process.stdin is not None
    assert process.stdout is not None
    async with asyncio.timeout(seconds):
        process.stdin.write(line)
        answer: Answer = json.loads(await process.stdout.readline() or b'{"text": "the process has ended"}')
        return answer


def _line(given: object) -> bytes:
    return json.dumps(given).encode() + b"\n"


def _parts(url: str) -> Iterator[str]:
    return (part.text for part in redaction.service_url(url))
