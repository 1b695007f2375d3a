"""The command line: run (default) and once."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from urllib.parse import urlsplit

from exporter import __version__
from exporter.shell.daemon import Options, once, run


def base_url(endpoint: str) -> str:
    """``https://HOST/api/v2`` of an endpoint given with or without ``/api/v2``. Raises ValueError."""
    parts = urlsplit(endpoint.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"DATAROBOT_ENDPOINT is {endpoint!r}; give a URL such as https://app.datarobot.com/api/v2")
    return endpoint.strip().rstrip("/").removesuffix("/api/v2") + "/api/v2"


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 done, 1 the sweep failed, 2 bad settings."""
    parser = argparse.ArgumentParser(
        "workload-exporter",
        description="Prometheus metrics for DataRobot workloads. Reads DATAROBOT_ENDPOINT and DATAROBOT_API_TOKEN.",
    )
    parser.add_argument(
        "command",
        nargs="?",
        choices=("run", "once"),
        default="run",
        help="run: sweep and serve (default); once: one sweep, metrics on standard output",
    )
    parser.add_argument("--web.listen-address", dest="listen", default="127.0.0.1:10142", metavar="HOST:PORT")
    parser.add_argument("--sweep.interval", dest="interval", type=float, default=30.0, metavar="SECONDS")
    parser.add_argument("--version", action="version", version=f"workload-exporter {__version__}")
    given = parser.parse_args(arguments)
    problems: list[str] = []
    base = ""
    try:
        base = base_url(os.environ.get("DATAROBOT_ENDPOINT", "https://app.datarobot.com/api/v2"))
    except ValueError as error:
        problems.append(str(error))
    token = os.environ.get("DATAROBOT_API_TOKEN", "")
    if not token:
        problems.append("DATAROBOT_API_TOKEN is not set; create a key in DataRobot under API keys and tools")
    host, _, port = given.listen.rpartition(":")
    if not port.isdecimal():
        problems.append(f"--web.listen-address is {given.listen!r}; give HOST:PORT, such as 127.0.0.1:10142")
    if not given.interval > 0:
        problems.append("--sweep.interval must be above 0")
    if problems:
        for problem in problems:
            print(f"workload-exporter: {problem}", file=sys.stderr)
        return 2
    logging.basicConfig(level=logging.INFO, format="%(asctime)s level=%(levelname)s %(message)s")
    for noisy in ("httpx", "apscheduler"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    options = Options(base, token, host.strip("[]") or "0.0.0.0", int(port), given.interval)  # noqa: S104 — ":PORT" asks for it
    if given.command == "run":
        asyncio.run(run(options))
        return 0
    page, failure = asyncio.run(once(options))
    sys.stdout.buffer.write(page)
    if failure:
        print(f"workload-exporter: the sweep was not complete: {failure}", file=sys.stderr)
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main())
