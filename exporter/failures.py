"""Why a request failed, in one word of a closed set and in one line of text. Shared by all that send requests."""

from __future__ import annotations

import email.utils
import json
import re
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

DETAIL_LENGTH = 200
SOME, EDGE = 65536, 4096
"""Bytes of a body that are worth reading for its words, and bytes at its end that go with it where it is cut."""
REASONS = (
    "timeout dns connect tls auth forbidden not_found absent redirect throttled server_error bad_request too_large "
    "decode incomplete internal"
).split()
"""Reasons of failed requests and sweeps."""
STATUS_REASONS = {401: "auth", 403: "forbidden", 404: "not_found", 429: "throttled"}
_HINTS = {
    "dns": "the host name is not known: ",
    "tls": "TLS was not agreed on: ",
    "connect": "no connection, or it was cut: ",
}


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = error.__cause__ or error.__context__


def trouble(error: BaseException, clean: Callable[[str], str]) -> tuple[str, str]:
    """Why a request failed: one of `REASONS`, and a text of one line.

    `clean` removes secrets: an error may quote a header that cannot be sent, or the server's response.
    """
    reason = _trouble(error)
    return reason, one_line(_HINTS.get(reason, "") + clean(str(error)))


def _trouble(error: BaseException) -> str:
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError):
            return "tls"
        if isinstance(cause, socket.gaierror):
            return "dns"
    text = str(error).casefold()
    if "ssl" in text or "certificate" in text:
        return "tls"
    unknown = ("name or service not known", "name resolution", "domain name not found")
    return "dns" if any(words in text for words in unknown) else "connect"


def status_reason(status: int, more: Mapping[int, str] = MappingProxyType({}), *, other: str) -> str:
    """The reason of a response with a status that means failure: by `more`, then `STATUS_REASONS`, then its class.

    `other`: the reason of any other 4xx.
    """
    if status in more:
        return more[status]
    if status in STATUS_REASONS:
        return STATUS_REASONS[status]
    return "server_error" if status >= 500 else "redirect" if 300 <= status < 400 else other


def one_line(text: str) -> str:
    """The text without control characters and halves of characters, cut to a length that a log line bears."""
    return re.sub(r"[\x00-\x20\x7f-\x9f\ud800-\udfff]+", " ", text).strip()[:DETAIL_LENGTH]


def detail(body: bytes) -> str:
    """The server's own words in an error body: detail, message or error of JSON of any shape, else the text."""
    text = body[:SOME].decode("utf-8", "replace")
    told: object = text
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        told = re.sub(r"<(style|script)\b.*?</\1>|<[^>]*>", " ", text, flags=re.DOTALL | re.IGNORECASE)
    if isinstance(told, dict):
        told = next((told[key] for key in ("detail", "message", "error") if told.get(key)), told)
    if isinstance(told, list):
        told = "; ".join(map(_item_words, told))
    return one_line(str(told)) or "(no message)"


def _item_words(item: object) -> str:
    """One error of a list, such as those of a 422: where (`loc`) and what (`msg`), if it is of that shape."""
    if not isinstance(item, dict) or "msg" not in item:
        return str(item)
    loc = item.get("loc")
    where = ".".join(map(str, loc)) if isinstance(loc, list) else str(loc or "")
    return f"{where}: {item['msg']}"


async def some_of(response: httpx.Response) -> bytes:
    """The body of an answer, or as much of it as `beginning` wants."""
    body = b""
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > SOME + EDGE:
            break
    return body


def beginning(body: bytes, clean: Callable[[bytes], bytes]) -> bytes:
    """As much of a body as is worth reading for its words, without secrets.

    It is cleaned before it is cut, and where it was cut already its end is left out: half a secret is not found.
    """
    return clean(body) if len(body) <= SOME else clean(body[: SOME + EDGE])[:-EDGE]


def date(header: str | None) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(header).timestamp() if header else None
    except (ValueError, OverflowError):
        return None


def retry_after(header: str | None, now: float) -> float | None:
    """Seconds to wait by a Retry-After header (RFC 9110 10.2.3: seconds or an HTTP date); None if there is none."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header.strip())
    moment = date(header)
    return None if moment is None else max(0.0, moment - now)
