"""Settings of the HTTP server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from exporter.settings.section import Section
from exporter.settings.values import DEFAULT_ADDRESS, listen_address


def _address(given: str) -> str:
    listen_address(given)
    return given.strip()


def _host(given: str) -> str:
    name = given.strip().lower().removesuffix(".")
    if not re.fullmatch(r"[\w-]+(\.[\w-]+)*", name, re.ASCII):
        raise ValueError("not a host name; use one such as exporter.example.com, without scheme and port")
    return name


def _metrics_path(given: str) -> str:
    if given in ("/sd", "/workloads.csv", "/workloads.json") or given.startswith(
        ("/-/", "/debug/", "/workloads/", "/runbooks/")
    ):
        raise ValueError("another page of the exporter has this path; use one such as /metrics")
    return given


def _url(given: str) -> str:
    if not given:
        return given
    parts = urlsplit(given)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.query:
        raise ValueError("not a plain URL; use one such as http://exporter-0:10142")
    return given.rstrip("/")


class WebSettings(Section):
    """The exporter's own HTTP server."""

    listen_address: tuple[Annotated[str, BeforeValidator(lambda g: _address(g) if isinstance(g, str) else g)], ...] = (
        Field((DEFAULT_ADDRESS,), min_length=1, description="Addresses to listen on; `:PORT` listens on all addresses.")
    )
    hosts: tuple[Annotated[str, AfterValidator(_host)], ...] = Field(
        (),
        max_length=100,
        description="Names under which clients may address the server, besides IP addresses and `localhost`; requests "
        "with another name in `Host` are refused with 421. Empty: every name.",
    )
    telemetry_path: Annotated[str, AfterValidator(_metrics_path)] = Field(
        "/metrics", pattern=r"^/[^\s?#]+$", description="Path of the metrics."
    )
    config_file: Path | None = Field(
        None, description="TLS and basic auth, in the web-config format of the Prometheus exporter-toolkit."
    )
    advertise_url: Annotated[str, AfterValidator(_url)] = Field(
        "",
        description="URL at which this exporter can be reached, such as `http://exporter-0:10142`: with `select.shard: "
        "auto`, other replicas link to it.",
    )
    debug_config: bool = Field(
        False,
        description="Serve these settings without secrets at `/debug/config`, and open episodes with the ids of their "
        "future traces at `/debug/episodes`.",
    )
