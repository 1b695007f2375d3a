"""Proxies of environment variables, which the HTTP library reads itself: what it cannot use must not stop a client."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, MutableMapping

from exporter.settings.problems import Problem
from exporter.settings.values import is_url

PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy")
_HOST = re.compile(r"\*?[\w.*-]+(:\d{1,5})?")


def proxy_problems(environment: Mapping[str, str]) -> Iterator[Problem]:
    """Proxies that cannot be used. Their URLs are not quoted: they may contain a password."""
    for name in PROXY_VARIABLES:
        for variable in (name, name.upper()):
            given = environment.get(variable, "").strip()
            url = given if "://" in given else f"http://{given}"
            if given and not is_url(url):
                what = "not the URL of an HTTP proxy; use one such as http://proxy.example:3128, or unset it"
                yield Problem(variable, what)


def remove_unusable_exceptions(environment: MutableMapping[str, str]) -> list[str]:
    """Remove the entries of NO_PROXY that the HTTP library does not support; returns them.

    It supports names, domains and IP addresses, and networks of IPv4. Brackets around an IPv6 address are removed.
    """
    removed: list[str] = []
    for variable in ("no_proxy", "NO_PROXY"):
        if variable not in environment:
            continue
        kept: list[str] = []
        for entry in filter(None, map(str.strip, environment[variable].split(","))):
            usable = _usable(entry)
            if usable:
                kept.append(usable)
            elif entry not in removed:
                removed.append(entry)
        environment[variable] = ",".join(kept)
    return removed


def _usable(entry: str) -> str:
    """The entry as the library can use it; empty: it cannot."""
    bare = entry.removeprefix("[").removesuffix("]")
    try:
        network = ipaddress.ip_network(bare, strict=False)
    except ValueError:
        return entry if _HOST.fullmatch(entry) or ("://" in entry and is_url(entry)) else ""
    return bare if network.version == 4 or "/" not in bare else ""
