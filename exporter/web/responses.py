"""Requests and responses of the HTTP server, and content negotiation."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

Headers = list[tuple[bytes, bytes]]
Rows = list[dict[str, object]]
"""A JSON array of objects."""


class HttpRequest(NamedTuple):
    """A request; `query` is the part after the question mark, still encoded; `path` is decoded."""

    headers: Headers
    query: str
    method: str = "GET"
    path: str = ""


class HttpResponse(NamedTuple):
    """A status code, headers without Content-Length, and a body in parts."""

    status: int
    headers: Headers
    body: tuple[bytes, ...]


def plain(status: int, text: str, *headers: tuple[bytes, bytes]) -> HttpResponse:
    """A text response."""
    return HttpResponse(status, [(b"content-type", b"text/plain; charset=utf-8"), *headers], (text.encode(),))


def html(status: int, page: bytes, policy: str, referrer: str = "no-referrer") -> HttpResponse:
    """An HTML page with its Content-Security-Policy. `referrer`: its Referrer-Policy."""
    headers = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-security-policy", policy.encode()),
        (b"referrer-policy", referrer.encode()),
        (b"cross-origin-opener-policy", b"same-origin"),
    ]
    return HttpResponse(status, headers, (page,))


def encoded(rows: Rows) -> bytes:
    """Rows as JSON."""
    return json.dumps(rows, separators=(",", ":")).encode()


def json_body(body: bytes, status: int = 200) -> HttpResponse:
    """A JSON response."""
    return HttpResponse(status, [(b"content-type", b"application/json; charset=utf-8")], (body,))


def wants_json(accept: str) -> bool:
    """Whether an Accept header names JSON and not HTML, as that of a script does and that of a browser does not."""
    return "application/json" in accept.lower() and "text/html" not in accept.lower()


def header(headers: Headers, name: bytes) -> str:
    """The values of a header, joined by commas; empty if it is absent."""
    return b",".join(value for key, value in headers if key == name).decode("latin-1")


_HOST = re.compile(rb"[\w.~%!$&'()*+,;=:\[\]-]*")


def rejection(headers: Headers, version: str, most_bytes: int) -> int:
    """The status with which a request is rejected because of its head; 0: it is valid.

    It has one valid Host header, or with a version of HTTP before 1.1 at most one (RFC 9112 3.2), and no longer body.
    """
    hosts = 0
    for name, value in headers:
        if name == b"host":
            hosts += 1
            if not _HOST.fullmatch(value):
                return 400
        elif name == b"content-length" and int(value) > most_bytes:
            return 413
    return 0 if hosts == 1 or (not hosts and version != "1.1") else 400


def addressed(headers: Headers, names: Collection[str]) -> bool:
    """Whether the Host header, which is valid, is one of the names, an IP address, ``localhost``, empty or absent.

    Only a name can be made to resolve to this server by a stranger, whose web page could then read what it serves.
    """
    host = header(headers, b"host").lower()
    name = host.partition(":")[0].removesuffix(".")
    return name in ("", "localhost", *names) or host.startswith("[") or re.fullmatch(r"[\d.]+", name) is not None


def _weight(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            return float(value) if re.fullmatch(r"\s*[01](\.\d{0,3})?\s*", value) else 0.0
    return 1.0


@functools.lru_cache(maxsize=256)
def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header accepts gzip (RFC 9110 12.5.3): named, or by ``*``, and not with q=0."""
    codings = (part.split(";") for part in accept_encoding.casefold().split(","))
    weights = {name.strip(): _weight(parameters) for name, *parameters in codings}
    return weights.get("gzip", weights.get("*", 0.0)) > 0


TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version={}; charset=utf-8"


@functools.lru_cache(maxsize=256)
def content_type(accept: str) -> str:
    """The Content-Type for an Accept header (RFC 9110 12.5.1): the most preferred of the supported formats, else text.

    Our names are valid in every escaping scheme, so the requested scheme is returned.
    """
    best, best_weight = TEXT, 0.0
    for part in accept.split(","):
        kind, *parameters = (piece.strip() for piece in part.casefold().split(";"))
        values = dict(p.partition("=")[::2] for p in parameters)
        weight = _weight(parameters)
        offer = ""
        if kind == "application/openmetrics-text" and values.get("version", "1.0.0") in ("1.0.0", "0.0.1"):
            offer = OPENMETRICS.format(values.get("version", "1.0.0"))
            if re.fullmatch(r"[a-z0-9-]+", values.get("escaping", "")):
                offer += f"; escaping={values['escaping']}"
        elif kind in ("text/plain", "text/*", "*/*"):
            offer = TEXT
        if offer and weight > best_weight:
            best, best_weight = offer, weight
    return best
