"""``healthcheck``: whether the running daemon is healthy, for container health checks.

It runs every few seconds, so it imports little. Of the settings it reads only `web`: a daemon that keeps its old
settings after a failed reload is healthy.
"""

from __future__ import annotations

import sys
from pathlib import Path

from exporter.cli.context import Context
from exporter.cli.flags import add_web_flags as add_flags  # noqa: F401 — part of a command
from exporter.cli.own_server import request
from exporter.settings.problems import Problem
from exporter.settings.values import DEFAULT_ADDRESS, listen_address


def run(context: Context) -> int:
    address, tls = _web_settings(context) or _validated_web_settings(context)
    status, text = request(address, tls, "/-/healthy")
    if status in (200, 401):  # 401: it is alive, and requires basic auth
        return 0
    print(f"workload-exporter: {text}", file=sys.stderr)
    return 1


def _web_settings(context: Context) -> tuple[str, bool] | None:
    """The first listen address, and whether TLS is configured. None if `web` may be invalid."""
    options = vars(context.options)
    web = _mapping(options["config_file"], "web") if options["config_file"] else {}
    if web is None:
        return None
    addresses = options["web.listen_address"] or web.get("listen_address", [DEFAULT_ADDRESS])
    config_file = options["web.config_file"] or web.get("config_file")
    if not isinstance(addresses, list) or not addresses or not isinstance(addresses[0], str):
        return None
    try:
        listen_address(addresses[0])
    except ValueError:
        return None
    if config_file is None:
        return addresses[0].strip(), False
    tls = _mapping(Path(config_file), "tls_server_config") if isinstance(config_file, str) else None
    return None if tls is None else (addresses[0].strip(), bool(tls))


def _mapping(file: Path, key: str) -> dict[str, object] | None:
    """A mapping in a YAML file, empty if it is absent. None if the file or the value is invalid."""
    from exporter.settings.yaml_file import read  # here: without a file, no YAML library is needed

    problems: list[Problem] = []
    value = read(file, problems)[0].get(key)
    if problems or not isinstance(value, dict | None):
        return None
    return value or {}


def _validated_web_settings(context: Context) -> tuple[str, bool]:
    """The same from the validated settings. Raises `BadSettings`."""
    from exporter.cli.web_settings import uses_tls  # here: it imports pydantic

    settings = context.settings("replaced")
    return settings.web.listen_address[0], uses_tls(settings)
