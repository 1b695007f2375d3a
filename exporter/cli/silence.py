"""``silence``: list, add or end silences of the running daemon."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import socket
import sys
from urllib.parse import urlencode

from exporter.cli.context import Context
from exporter.cli.flags import add_web_flags, duration
from exporter.cli.own_server import request_with_login
from exporter.cli.web_settings import daemon_address
from exporter.failures import printable
from exporter.web.query import query_problem

_METHODS = {"list": "GET", "add": "POST", "end": "DELETE"}


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_web_flags(parser)
    parser.add_argument("action", choices=tuple(_METHODS), help="`end` takes the id that `list` shows")
    parser.add_argument("which", nargs="*", metavar="LABEL=VALUE | ID", help="such as workload_id=… or alertname=…")
    parser.add_argument("--for", dest="length", type=_length, metavar="DURATION", help="such as 2h; required for `add`")
    parser.add_argument("--author", default=_user(), metavar="NAME", help="default: the current user and host")
    parser.add_argument("--comment", default="", metavar="TEXT", help="reason, for other people")


def _user() -> str:
    """The name of the current user, or its number: in the container it has no name; and that of the host."""
    try:
        name = os.environ.get("USER") or getpass.getuser()
    except (KeyError, OSError):
        name = f"uid-{os.getuid()}"
    return f"{name}@{socket.gethostname()}"


def _length(given: str) -> str:
    """A duration as given. Raises argparse.ArgumentTypeError."""
    if not duration(given) > 0:
        raise argparse.ArgumentTypeError("must be longer than 0")
    return given


def run(context: Context) -> int:
    parameters, problem = _parameters(context.options)
    if problem:
        print(f"workload-exporter: {problem}", file=sys.stderr)
        return 2
    action = context.options.action
    path = "/-/silences" + (f"?{urlencode(parameters)}" if parameters else "")
    address = daemon_address(context)
    status, text = request_with_login(address.listen, address.tls, path, method=_METHODS[action])
    if status != 200:
        print(f"workload-exporter: {text}", file=sys.stderr)
        return 1
    for each in json.loads(text):
        labels = " ".join(f"{name}={value}" for name, value in each["matchers"].items())
        by = f"({each['author']}: {each['comment'] or 'no comment'})"
        print("  ".join(map(printable, (each["id"], f"until {each['ends']}", labels, by))))
        if "alerts" in each:
            print(f"It matches {each['alerts']} of the alerts that fire now.")
    return 0


def _parameters(options: argparse.Namespace) -> tuple[list[tuple[str, str]], str]:
    """Parameters of the request, and what is wrong with the options (empty: nothing)."""
    if options.action == "list":
        return [], ""
    if options.action == "end":
        if len(options.which) != 1:
            return [], "give the id that `silence list` shows"
        parameters = [("id", options.which[0])]
        return parameters, query_problem(parameters)
    pairs = [each.partition("=") for each in options.which]
    if not (pairs and all(sign for _, sign, _ in pairs) and options.length and options.author):
        return [], "give LABEL=VALUE, --for DURATION and --author NAME"
    parameters = [(name, value) for name, _, value in pairs]
    parameters += [("for", options.length), ("author", options.author), ("comment", options.comment)]
    return parameters, query_problem(parameters)
