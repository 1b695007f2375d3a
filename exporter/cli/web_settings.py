"""The address of the running daemon.

Of the settings, only `web` is read: a daemon that keeps its old settings after a failed reload is healthy, and can
silence alerts, whatever the other settings in the file are.
"""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from exporter.cli.context import Context
from exporter.cli.flags import add_web_flags
from exporter.settings.problems import Problem
from exporter.settings.values import DEFAULT_ADDRESS, listen_address

FIRST_PROCESS = Path("/proc/1/cmdline")
"""The command line of the first process, which in a container is usually the daemon."""


class DaemonAddress(NamedTuple):
    """The first listen address, whether TLS is configured, and whether clients need a certificate."""

    listen: str
    tls: bool = False
    client_certificate: bool = False


def daemon_address(context: Context, first_process: Path = FIRST_PROCESS) -> DaemonAddress:
    """The address in the flags and the settings. Raises `BadSettings` if `web` is invalid.

    A command without any flags about them, such as the health check of a container image, uses those of the daemon
    that is the first process.
    """
    options = vars(context.options)
    names = ("config_file", "web.listen_address", "web.config_file")
    if not any(options[name] for name in names):
        with suppress(OSError):  # not Linux, or not accessible
            options |= {name: value for name, value in daemon_flags(first_process.read_bytes()).items() if value}
    return _web_settings(options) or _validated_web_settings(context)


def daemon_flags(command_line: bytes) -> dict[str, Any]:
    """The flags about settings and HTTP server in a command line, by destination. Empty: it is not this program's.

    The command line is that of ``/proc``: each argument ends with a NUL.
    """
    arguments = command_line.decode(errors="replace").split("\0")[:-1]
    names = [Path(argument).name for argument in arguments]
    if "workload-exporter" in names:
        own = arguments[names.index("workload-exporter") + 1 :]
    elif "-m" in arguments and arguments[arguments.index("-m") + 1 :][:1] == ["exporter"]:
        own = arguments[arguments.index("-m") + 2 :]
    else:
        return {}
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False, allow_abbrev=False)
    add_web_flags(parser)
    try:
        return vars(parser.parse_known_args(own)[0])
    except argparse.ArgumentError:
        return {}


def _web_settings(options: dict[str, Any]) -> DaemonAddress | None:
    """The address, without validation of other settings. None if `web` may be invalid."""
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
        return DaemonAddress(addresses[0].strip())
    tls = _mapping(Path(config_file), "tls_server_config") if isinstance(config_file, str) else None
    if tls is None:
        return None
    return DaemonAddress(addresses[0].strip(), bool(tls), tls.get("client_auth_type") == "RequireAndVerifyClientCert")


def _mapping(file: Path, key: str) -> dict[str, object] | None:
    """A mapping in a YAML file, empty if it is absent. None if the file or the value is invalid."""
    from exporter.settings.yaml_file import read  # here: without a file, no YAML library is needed

    problems: list[Problem] = []
    value = read(file, problems)[0].get(key)
    if problems or not isinstance(value, dict | None):
        return None
    return value or {}


def _validated_web_settings(context: Context) -> DaemonAddress:
    """The same from the validated settings. Raises `BadSettings`."""
    from exporter.web.web_config import read_web_config  # here: it imports pydantic

    web = context.settings("replaced").web
    tls = None if web.config_file is None else read_web_config(web.config_file).tls_server_config
    required = tls is not None and tls.client_auth_type == "RequireAndVerifyClientCert"
    return DaemonAddress(web.listen_address[0], tls is not None, required)
