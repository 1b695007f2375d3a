"""The address of the running daemon.

Of the settings, only `web` is read: a daemon that keeps its old settings after a failed reload is healthy, and can
silence alerts, whatever the other settings in the file are.
"""

from __future__ import annotations

from pathlib import Path

from exporter.cli.context import Context
from exporter.settings.problems import Problem
from exporter.settings.values import DEFAULT_ADDRESS, listen_address


def daemon_address(context: Context) -> tuple[str, bool]:
    """The first listen address, and whether TLS is configured. Raises `BadSettings` if `web` is invalid."""
    return _web_settings(context) or _validated_web_settings(context)


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
    from exporter.web.web_config import read_web_config  # here: it imports pydantic

    web = context.settings("replaced").web
    tls = web.config_file is not None and read_web_config(web.config_file).tls_server_config is not None
    return web.listen_address[0], tls
