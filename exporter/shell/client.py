"""GET answers of one account's Workload API, and nothing but GET.

The token goes to the configured scheme and host only: redirects are not followed, and links of an answer are used
only when they lead back to the same place. No message of ours holds the token or a query string.
"""

from __future__ import annotations

import asyncio
import email.utils
import json
import random
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self

import httpx

DETAIL_LENGTH = 256
RETRIES = 2
BODY_LIMIT = 32 * 1024 * 1024


class ApiError(Exception):
    """A GET that brought no usable answer: `reason` from a closed set, the status (0: none), the server's words."""

    def __init__(self, reason: str, message: str, status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.status = status
        self.retry_after = retry_after

    @property
    def transient(self) -> bool:
        """Whether the same GET may succeed soon: network trouble, 429, 5xx."""
        return self.reason in ("timeout", "connect", "throttled", "server_error")


REASONS = (
    "timeout connect tls auth forbidden not_found redirect throttled server_error bad_request too_large decode "
    "incomplete"
).split()


class Observer(Protocol):
    """Who counts the requests."""

    def request(self, endpoint: str, code: str, seconds: float) -> None: ...
    def retry(self, endpoint: str, reason: str) -> None: ...
    def wait(self, reason: str, seconds: float) -> None: ...


class Client:
    """One account: base URL, token, budget. `get` is its one method.

    `base` is ``https://HOST/api/v2``; `rate` is in requests per second, `concurrency` in requests at once.
    """

    def __init__(
        self,
        base: str,
        token: str,
        observer: Observer,
        *,
        rate: float = 10.0,
        concurrency: int = 4,
        timeout: float = 30.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._base = base
        self._observer = observer
        self._http = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
            timeout=timeout,
            follow_redirects=False,
            transport=transport,
            limits=httpx.Limits(max_connections=concurrency),
        )
        self._spacing = 1.0 / rate
        self._turn = 0.0
        self._slots = asyncio.Semaphore(concurrency)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self._http.aclose()

    async def get(self, endpoint: str, params: Mapping[str, str | int] | None = None) -> bytes:
        """The body of a 200 (or an empty one for 204). `endpoint` is a path below the base, such as ``/workloads/``.

        Raises `ApiError` when the retries are used up or the answer is final.
        """
        for attempt in range(RETRIES + 1):
            try:
                async with self._slots:
                    await self._budget()
                    return await self._once(endpoint, params or {})
            except ApiError as error:
                if error.retry_after is not None or error.reason == "throttled":
                    # The whole account pauses: other requests would be refused as well.
                    self._turn = max(self._turn, time.monotonic() + min(error.retry_after or 5.0, 300.0))
                if not error.transient or attempt == RETRIES:
                    raise
                self._observer.retry(endpoint, error.reason)
                await asyncio.sleep(random.uniform(0.1, 0.5 * 2**attempt))  # noqa: S311 — jitter, no secret
        raise AssertionError("the loop returns or raises")

    async def _budget(self) -> None:
        now = time.monotonic()
        self._turn = max(self._turn, now)
        pause, self._turn = self._turn - now, self._turn + self._spacing
        if pause > 0:
            self._observer.wait("budget", pause)
            await asyncio.sleep(pause)

    async def _once(self, endpoint: str, params: Mapping[str, str | int]) -> bytes:
        began = time.monotonic()
        code = "error"
        try:
            async with self._http.stream("GET", self._base + endpoint, params=dict(params)) as response:
                code = str(response.status_code)
                body = await self._body(endpoint, response)
        except httpx.TimeoutException as error:
            raise ApiError("timeout", f"GET {endpoint} was not answered in time") from error
        except httpx.HTTPError as error:
            reason = "tls" if "SSL" in str(error) or "certificate" in str(error) else "connect"
            raise ApiError(reason, f"GET {endpoint} failed: {str(error)[:DETAIL_LENGTH]}") from error
        finally:
            self._observer.request(endpoint, code, time.monotonic() - began)
        if response.status_code in (200, 204):
            return body
        raise _refused(endpoint, response, body)

    async def _body(self, endpoint: str, response: httpx.Response) -> bytes:
        chunks: list[bytes] = []
        size = 0
        async for chunk in response.aiter_bytes():
            size += len(chunk)
            if size > BODY_LIMIT:
                raise ApiError("too_large", f"GET {endpoint} answered more than {BODY_LIMIT} bytes")
            chunks.append(chunk)
        return b"".join(chunks)


def _refused(endpoint: str, response: httpx.Response, body: bytes) -> ApiError:
    status = response.status_code
    reason = {401: "auth", 403: "forbidden", 404: "not_found", 429: "throttled"}.get(status)
    if reason is None:
        reason = "server_error" if status >= 500 else "redirect" if 300 <= status < 400 else "bad_request"
    return ApiError(
        reason,
        f"GET {endpoint} answered {status}: {detail(body)}",
        status,
        retry_after(response.headers.get("retry-after"), time.time()),
    )


def detail(body: bytes) -> str:
    """The server's own words in an error body: detail, message or error of JSON of any shape, else the text."""
    text = body[:65536].decode("utf-8", "replace")
    try:
        told = json.loads(text)
    except ValueError:
        told = text
    if isinstance(told, dict):
        told = next((told[key] for key in ("detail", "message", "error") if told.get(key)), told)
    if isinstance(told, list):
        told = "; ".join(
            f"{'.'.join(map(str, item.get('loc', ())))}: {item.get('msg', '')}" if isinstance(item, dict) else str(item)
            for item in told
        )
    return " ".join(str(told).split())[:DETAIL_LENGTH] or "(no words)"


def retry_after(header: str | None, now: float) -> float | None:
    """Seconds to wait by a Retry-After header (RFC 9110 10.2.3: seconds or an HTTP date); None if there is none."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header.strip())
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - now)
    except ValueError:
        return None
