"""``healthcheck``: whether the running daemon is healthy, or with ``--ready`` ready, for probes of containers.

It runs every few seconds, so it imports little.
"""

from __future__ import annotations

import argparse
import sys

from exporter.cli.context import Context
from exporter.cli.flags import add_web_flags
from exporter.cli.own_server import request, request_with_login, tls_problem
from exporter.cli.web_settings import daemon_address


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_web_flags(parser)
    parser.add_argument(
        "--ready", action="store_true", help="whether /metrics serves a complete sweep of every account; needs a login"
    )


def run(context: Context) -> int:
    address = daemon_address(context)
    if context.options.ready:
        status, text = request_with_login(address.listen, address.tls, "/-/ready")
        healthy = status == 200
    elif address.client_certificate:  # this command has none, but a daemon that requires one is alive
        text = tls_problem(address.listen)
        healthy = not text
    else:
        status, text = request(address.listen, address.tls, "/-/healthy")
        healthy = status in (200, 401)  # 401: it is alive, and requires basic auth
    if healthy:
        return 0
    print(f"workload-exporter: {text}", file=sys.stderr)
    return 1
