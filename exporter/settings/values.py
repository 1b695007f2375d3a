"""Values of settings as people write them: durations, URLs, addresses. Imports only the standard library."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from urllib.parse import parse_qsl, urlsplit

DEFAULT_ENDPOINT = "https://app.datarobot.com/api/v2"
DEFAULT_ADDRESS = "127.0.0.1:10142"
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d|w))+")


def seconds(given: object) -> object:
    """Seconds of a duration in the notation of Prometheus (``30s``, ``1h30m``) or of a number. Raises ValueError."""
    if not isinstance(given, str):
        return given
    if not _DURATION.fullmatch(given.strip()):
        raise ValueError("not a duration; use one such as 30s, 5m or 1h30m")
    return sum(float(n) * _UNITS[unit] for n, unit in re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)", given))


def base_url(endpoint: str) -> str:
    """``https://HOST/api/v2`` of an endpoint given with or without ``/api/v2``. Raises ValueError."""
    given = http_url(endpoint, DEFAULT_ENDPOINT, "set the token with token_file or the environment")
    return given.rstrip("/").removesuffix("/api/v2").rstrip("/") + "/api/v2"


def http_url(given: str, example: str, secrets: str) -> str:
    """An http or https URL with a host, without login, query and fragment. Raises ValueError.

    `example` and `secrets`, which says where secrets are set, are parts of the error.
    """
    try:
        parts = urlsplit(given.strip())
        parts.port  # noqa: B018 — reading it checks it
    except ValueError:  # its text may contain a password
        raise ValueError(f"not a valid URL; use one such as {example}") from None
    if parts.username or parts.password:
        raise ValueError(f"the URL contains a user name or password; {secrets}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"not a URL with http:// or https:// and a host; use one such as {example}")
    if parts.query or parts.fragment:
        raise ValueError(f"the URL has a query or fragment; use one such as {example}")
    return given.strip()


_HOSTS = re.compile(r"(?:(?:[^\s:@/\[\]]*|\[[^\s@/\]]*\])(?::\d*)?(?:,|$))*")


def postgresql_url(given: str) -> str:
    """A URL of a PostgreSQL database, possibly with several hosts, without a password. Raises ValueError.

    Source: PostgreSQL documentation, "Connection Strings".
    """
    example = "use one such as postgresql://exporter@db.example.com/exporter?sslmode=verify-full"
    try:
        parts = urlsplit(given.strip())
        names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    except ValueError:  # its text may contain a password
        raise ValueError(f"not a valid URL; {example}") from None
    user, _, hosts = parts.netloc.rpartition("@")
    if ":" in user or any(name.endswith("password") for name in names):
        raise ValueError("the URL contains a password; set it with password_file")
    if parts.scheme not in ("postgresql", "postgres") or "@" in parts.path or parts.fragment:
        raise ValueError(f"not a URL of PostgreSQL; {example}")
    if not _HOSTS.fullmatch(hosts) or not parts.path.count("/") <= 1:
        raise ValueError(f"not a URL of PostgreSQL, or one with unescaped characters; {example}")
    return given.strip()


def is_url(given: str) -> bool:
    """Whether this is an http or https URL with a host."""
    try:
        parts = urlsplit(given)
        parts.port  # noqa: B018 — reading it checks it
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and re.search(r"[^!-~]", given) is None


def host_of(url: str) -> str:
    """Host and port of a URL, in lower case; empty if it is not a URL."""
    return urlsplit(url).netloc.rpartition("@")[2].lower() if is_url(url) else ""


def listen_address(given: str) -> tuple[str, int]:
    """Host and port of ``HOST:PORT``, ``[::1]:PORT`` or ``:PORT`` (all addresses: empty host). Raises ValueError."""
    host, colon, port = given.strip().rpartition(":")
    if not colon or not port.isdecimal() or not int(port) < 65536 or (":" in host and not host.startswith("[")):
        raise ValueError(f"not HOST:PORT; use {DEFAULT_ADDRESS}, [::1]:10142, or :10142 for all addresses")
    return host.strip("[]"), int(port)


def tag_values(tags: Collection[str]) -> dict[str, str | None]:
    """Tags such as ``name=value`` or ``name`` as name -> value; None: any value."""
    return {name: value if equals else None for tag in tags for name, equals, value in [tag.partition("=")]}


def nearest(name: str, of: Collection[str]) -> str:
    """``; did you mean NAME?`` with the most similar name; empty if none is similar."""
    near = difflib.get_close_matches(name, of, 1)
    return f"; did you mean {near[0]!r}?" if near else ""
