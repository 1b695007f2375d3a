"""``healthcheck``: whether the running daemon is healthy, for container health checks.

It runs every few seconds, so it imports little.
"""

from __future__ import annotations

import sys

from exporter.cli.context import Context
from exporter.cli.flags import add_web_flags as add_flags  # noqa: F401 — part of a command
from exporter.cli.own_server import request, tls_problem
from exporter.cli.web_settings import daemon_address


def run(context: Context) -> int:
    address = daemon_address(context)
    if address.client_certificate:  # this command has none, but a daemon that requires one is alive
        text = tls_problem(address.listen)
        healthy = not text
    else:
        status, text = request(address.listen, address.tls, "/-/healthy")
        healthy = status in (200, 401)  # 401: it is alive, and requires basic auth
    if healthy:
        return 0
    print(f"workload-exporter: {text}", file=sys.stderr)
    return 1
