"""Classification of failed requests: a reason from a fixed set, and one line of text. For all HTTP clients."""

from __future__ import annotations

import email.utils
import json
import re
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

DETAIL_LENGTH = 200
MAX_BODY_BYTES = 65536
"""Maximum bytes of an error body to use."""
MARGIN_BYTES = 4096
"""Bytes to read beyond that, so that no secret at the cut is incomplete."""
REASONS = (
    "timeout dns connect tls auth forbidden not_found absent redirect throttled server_error bad_request too_large "
    "decode incomplete internal"
).split()
"""Reasons of failed requests and sweeps."""
STATUS_REASONS = {401: "auth", 403: "forbidden", 404: "not_found", 429: "throttled"}
_HINTS = {
    "dns": "the host name cannot be resolved: ",
    "tls": "TLS handshake failed: ",
    "connect": "connection failed or closed: ",
}


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    visited: set[int] = set()
    while error is not None and id(error) not in visited:
        yield error
        visited.add(id(error))
        error = error.__cause__ or error.__context__


def failure_of(error: BaseException, clean: Callable[[str], str]) -> tuple[str, str]:
    """The reason why a request failed, one of `REASONS`, and one line of text.

    `clean` removes secrets: an error may quote a header that cannot be sent, or the server's response.
    """
    reason = _reason(error)
    return reason, one_line(_HINTS.get(reason, "") + clean(str(error)))


def _reason(error: BaseException) -> str:
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


def printable(text: str) -> str:
    """The text without control characters, which a terminal would obey, and without lone surrogates."""
    return re.sub(r"[\x00-\x20\x7f-\x9f\ud800-\udfff]+", " ", text).strip()


def one_line(text: str) -> str:
    """The text without control characters and lone surrogates, cut to `DETAIL_LENGTH` characters."""
    return printable(text)[:DETAIL_LENGTH]


def detail(body: bytes) -> str:
    """The message in an error body: `detail`, `message` or `error` of JSON, else the text. In linear time."""
    text = body[:MAX_BODY_BYTES].decode("utf-8", "replace")
    try:
        message = _message(json.loads(text))
    except (ValueError, RecursionError):
        message = _without_tags(text)
    return one_line(message) or "(no message)"


def _message(message: object) -> str:
    if isinstance(message, dict):
        message = next((message[key] for key in ("detail", "message", "error") if message.get(key)), message)
    return "; ".join(map(_item_text, message)) if isinstance(message, list) else str(message)


def _item_text(item: object) -> str:
    """One error of a list, as in a 422 response: place (`loc`) and message (`msg`), if it has them."""
    if not isinstance(item, dict) or "msg" not in item:
        return str(item)
    loc = item.get("loc")
    where = ".".join(map(str, loc)) if isinstance(loc, list) else str(loc or "")
    return f"{where}: {item['msg']}"


_TAG = re.compile(r"<(/?)(style\b|script\b)?[^<>]*+>", re.IGNORECASE)


def _without_tags(html: str) -> str:
    """The text of a page without tags, styles and scripts."""
    kept, end, hidden = list[str](), 0, False
    for tag in _TAG.finditer(html):
        kept += [] if hidden else [html[end : tag.start()]]
        end = tag.end()
        hidden = not tag[1] if tag[2] else hidden
    return " ".join(kept if hidden else [*kept, html[end:]])


def beginning(body: bytes, clean: Callable[[bytes], bytes]) -> bytes:
    """The start of a body, without secrets.

    It is cleaned before it is cut. The end of a body that was cut before is omitted: half a secret is not found.
    """
    return clean(body) if len(body) <= MAX_BODY_BYTES else clean(body[: MAX_BODY_BYTES + MARGIN_BYTES])[:-MARGIN_BYTES]


def date(header: str | None) -> float | None:
    """Seconds since the epoch of an HTTP date; None if it is absent or invalid."""
    try:
        return email.utils.parsedate_to_datetime(header).timestamp() if header else None
    except (ValueError, OverflowError):
        return None


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait by a Retry-After header (RFC 9110 10.2.3: seconds or an HTTP date); None if there is none.

    A date is by the clock of the server, which its Date header shows; `now` is our time, if it sends none. Names of
    `headers` are case-insensitive or in lower case.
    """
    header = headers.get("retry-after", "").strip()
    if header.isdecimal():
        return float(header)
    moment = date(header)
    if moment is None:
        return None
    sent = date(headers.get("date"))
    return max(0.0, moment - (now if sent is None else sent))
