"""One POST to a receiver, and what its answer means for a notice. URLs, keys and headers never get into words.

Source: RFC 9110; what Alertmanager, PagerDuty and Slack document of their answers.
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
from exporter.failures import beginning, detail, failure_of, one_line, retry_after, some_of, status_reason
from exporter.paging.notify.contract import Sent
from exporter.settings.problems import BadSettings, Problem
from exporter.settings.receivers import ReceiverSettings
from exporter.settings.values import is_url

logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs every URL at info, and some are secrets

LONGEST = 300.0
"""Maximum seconds of a Retry-After that is honoured: a page must not be delayed longer."""
_JSON = {"content-type": "application/json"}
_STATUS_REASONS = {400: "bad_request", 408: "timeout", 410: "not_found", 413: "too_large", 422: "bad_request"}
"""Reasons of statuses beside `exporter.failures.STATUS_REASONS`."""


def encoded(body: object) -> bytes:
    """JSON of anything; what is no Unicode text is replaced."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


class Budget:
    """At most `most` requests in any `seconds`. `steady` is the clock."""

    def __init__(self, most: int, seconds: float, steady: Callable[[], float] = time.monotonic) -> None:
        self._times: deque[float] = deque(maxlen=most)
        self._most, self._seconds, self._steady = most, seconds, steady

    def take(self) -> Sent | None:
        """None: a request may go, and is counted. Else what becomes of its notice."""
        now = self._steady()
        if len(self._times) == self._most and now < self._times[0] + self._seconds:
            words = f"not sent: at most {self._most} requests in {self._seconds:g} s"
            return Sent("", "again", "throttled", words, self._times[0] + self._seconds - now)
        self._times.append(now)
        return None


class Address(NamedTuple):
    """A URL, how it is shown, and secrets of the request that may not be; headers are never shown anyway."""

    url: str
    shown: str
    secrets: Sequence[str] = ()


def hidden(url: str, *secrets: str) -> Address:
    """An address whose URL is a secret, but for its host."""
    if not is_url(url):
        return Address("", "to a secret URL")
    parts = urlsplit(url)
    of_url = (part.text for part in redaction.url(url))
    return Address(url, f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/…", (*of_url, *secrets))


class Post:
    """Sends bodies, one at a time. Redirects are not followed: secrets go to the configured host and nowhere else.

    What a receiver sends is cleaned of `secrets` and of those of the request before anything reads it.
    Raises `BadSettings` for certificates that cannot be used.
    """

    def __init__(self, receiver: ReceiverSettings, secrets: redaction.Secrets | None = None) -> None:
        self._secrets = secrets or redaction.Secrets()
        trusted = ssl.create_default_context()
        try:
            if receiver.ca_file is not None:
                trusted.load_verify_locations(receiver.ca_file)
        except OSError as error:
            what = f"of {receiver.name} cannot be used: {one_line(str(error))}; give a PEM file"
            raise BadSettings([Problem("paging.receivers.ca_file", what)]) from error
        self._timeout = receiver.timeout
        self._http = httpx.AsyncClient(
            headers={"user-agent": f"workload-exporter/{__version__}", "accept-encoding": "identity"},
            timeout=receiver.timeout,
            follow_redirects=False,
            verify=trusted,
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
        said: Callable[[bytes], str] = detail,
        taken: Callable[[bytes], bool] = lambda _: True,
    ) -> Sent:
        """Result of posting a JSON body; the key is left empty.

        `said` extracts the receiver's message from a response; `taken` decides whether the body of a success means
        acceptance.
        """
        what = f"POST {to.shown}"
        of_headers = (part.text for name, value in headers.items() for part in redaction.header(name, value))
        own = (*to.secrets, *of_headers)
        if not to.url:
            return Sent("", "again", "refused", f"{what} was not tried: give one with http:// or https:// and a host")
        out = False

        async def content() -> AsyncIterator[bytes]:
            nonlocal out
            yield body
            out = True  # nobody asks for more before what was yielded is written

        head = {**_JSON, **headers, "content-length": str(len(body))}
        http = self._http
        try:
            async with (
                asyncio.timeout(self._timeout),
                http.stream("POST", to.url, content=content(), headers=head) as response,
            ):
                answer = await some_of(response)
        except (TimeoutError, httpx.TimeoutException):
            return Sent("", "again", "timeout", f"{what} got no response within {self._timeout:g} s", maybe=out)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            reason, words = failure_of(error, lambda text: self._secrets.text(text, *own))
            return Sent("", "again", reason, f"{what} failed: {words}", maybe=out)
        fate, reason = _verdict(response.status_code, taken(answer))
        words = f"{what} returned {response.status_code}"
        if reason == "redirect":
            words += ": a redirect, which is not followed"
        elif answer.strip():
            words += f": {said(beginning(answer, lambda body: self._secrets.clean(body, *own)))}"
        asked = retry_after(response.headers.get("retry-after"), time.time()) if fate == "again" else None
        return Sent("", fate, reason, words, None if asked is None else min(asked, LONGEST))


def _verdict(status: int, taken: bool) -> tuple[Literal["delivered", "again", "failed"], str]:
    if 200 <= status < 300:
        return ("delivered", "") if taken else ("failed", "refused")
    if 300 <= status < 400:
        return "failed", "redirect"
    if status >= 500:
        return "again", "server_error"
    return "again" if status in (408, 429) else "failed", status_reason(status, _STATUS_REASONS, other="refused")
