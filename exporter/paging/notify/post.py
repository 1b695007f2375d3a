"""Sends one POST to a receiver, and derives the result of a notification from the response.

URLs, keys and headers never appear in a message. Source: RFC 9110; documentation of Alertmanager, PagerDuty and Slack.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

import httpx

from exporter import __version__, redaction
from exporter.failures import (
    MARGIN_BYTES,
    MAX_BODY_BYTES,
    beginning,
    detail,
    failure_of,
    one_line,
    retry_after,
    status_reason,
)
from exporter.http_client import HttpClient, start_of_body
from exporter.paging.notify.contract import Sent
from exporter.settings.problems import BadSettings, Problem
from exporter.settings.receivers import ReceiverSettings
from exporter.settings.values import is_url
from exporter.trust import trusted

logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs every URL at info, and some are secrets

MAX_RETRY_AFTER_SECONDS = 300.0
"""Maximum seconds of a Retry-After that is honoured: a page must not be delayed longer."""
_JSON = {"content-type": "application/json"}
_STATUS_REASONS = {400: "bad_request", 408: "timeout", 410: "not_found", 413: "too_large", 422: "bad_request"}
"""Reasons of statuses beside `exporter.failures.STATUS_REASONS`."""


def encoded(body: object) -> bytes:
    """Compact JSON in UTF-8; characters that UTF-8 cannot encode are replaced."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


class Budget:
    """At most `most` requests in any `seconds`. `steady` is the clock."""

    def __init__(self, most: int, seconds: float, steady: Callable[[], float] = time.monotonic) -> None:
        self._times: deque[float] = deque(maxlen=most)
        self._most, self._seconds, self._steady = most, seconds, steady

    def take(self) -> Sent | None:
        """None: a request may be sent, and is counted. Else the result of its notification."""
        now = self._steady()
        if len(self._times) == self._most and now < self._times[0] + self._seconds:
            words = f"not sent: at most {self._most} requests in {self._seconds:g} s"
            return Sent("", "again", "throttled", words, self._times[0] + self._seconds - now, postponed=True)
        self._times.append(now)
        return None


class Address(NamedTuple):
    """A URL, how it is shown, and secrets of the request to remove from messages; headers are never shown."""

    url: str
    shown: str
    secrets: Sequence[str] = ()


def hidden(url: str, *secrets: str) -> Address:
    """An address of whose URL only the host is shown."""
    if not is_url(url):
        return Address("", "to a secret URL")
    parts = urlsplit(url)
    of_url = (part.text for part in redaction.url(url))
    return Address(url, f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/…", (*of_url, *secrets))


def trust(receiver: ReceiverSettings) -> ssl.SSLContext:
    """What a receiver's client trusts. Raises `BadSettings` for certificates that cannot be used."""
    try:
        return trusted(receiver.ca_file)
    except OSError as error:
        what = f"of {receiver.name} cannot be used: {one_line(str(error))}; give a PEM file"
        raise BadSettings([Problem("paging.receivers.ca_file", what)]) from error


class Post:
    """Sends bodies, one at a time. Redirects are not followed: secrets go to the configured host and nowhere else.

    `secrets` and those of the request are removed from responses before anything reads them.
    Raises `BadSettings` for certificates that cannot be used.
    """

    def __init__(self, receiver: ReceiverSettings, secrets: redaction.Secrets | None = None) -> None:
        self._secrets = secrets or redaction.Secrets()
        self._timeout = receiver.timeout
        self._http = HttpClient(
            {"user-agent": f"workload-exporter/{__version__}", "accept-encoding": "identity"},
            timeout=receiver.timeout,
            trusted=trust(receiver),
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def send(
        self,
        to: Address,
        body: bytes,
        headers: Mapping[str, str] = MappingProxyType({}),
        *,
        message: Callable[[bytes], str] = detail,
        accepted: Callable[[bytes], bool] = lambda _: True,
    ) -> Sent:
        """Result of posting a JSON body; the key is left empty.

        `message` extracts the receiver's message from a response; `accepted`: whether the body of a 2xx means
        acceptance.
        """
        what = f"POST {to.shown}"
        of_headers = (part.text for name, value in headers.items() for part in redaction.header(name, value))
        own = (*to.secrets, *of_headers)
        if not to.url:
            return Sent("", "again", "refused", f"{what} was not sent: give a URL with http:// or https:// and a host")
        written = False

        async def content() -> AsyncIterator[bytes]:
            nonlocal written
            yield body
            written = True  # httpx continues only after it has written the body

        head = {**_JSON, **headers, "content-length": str(len(body))}
        http = self._http
        try:
            async with (
                asyncio.timeout(self._timeout),
                http.stream("POST", to.url, content=content(), headers=head) as response,
            ):
                body_read = await start_of_body(response, MAX_BODY_BYTES + MARGIN_BYTES)
        except (TimeoutError, httpx.TimeoutException):
            return Sent("", "again", "timeout", f"{what} got no response within {self._timeout:g} s", maybe=written)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            reason, text = failure_of(error, lambda text: self._secrets.text(text, *own))
            return Sent("", "again", reason, f"{what} failed: {text}", maybe=written)
        fate, reason = verdict(response.status_code, accepted=accepted(body_read))
        words = f"{what} returned {response.status_code}"
        if reason == "redirect":
            words += ": a redirect, which is not followed"
        elif body_read.strip():
            words += f": {message(beginning(body_read, lambda body: self._secrets.clean(body, *own)))}"
        after = retry_after(response.headers, time.time()) if fate == "again" else None
        return Sent("", fate, reason, words, None if after is None else min(after, MAX_RETRY_AFTER_SECONDS))


def verdict(status: int, *, accepted: bool) -> tuple[Literal["delivered", "again", "failed"], str]:
    """Fate and reason of a notification by the status of a response; `accepted`: what the body of a 2xx means."""
    if 200 <= status < 300:
        return ("delivered", "") if accepted else ("failed", "refused")
    if 300 <= status < 400:
        return "failed", "redirect"
    if status >= 500:
        return "again", "server_error"
    return "again" if status in (408, 429) else "failed", status_reason(status, _STATUS_REASONS, other="refused")
