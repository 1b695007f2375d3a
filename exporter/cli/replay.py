"""``replay``: serves a recording as an API on loopback, for a daemon or for the other commands."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path

from exporter.cli.context import Context
from exporter.cli.flags import positive_number
from exporter.cli.run import run_daemon
from exporter.cli.terminal import safe
from exporter.collect.recording_file import read_recording
from exporter.recording.replay import Replay
from exporter.settings.accounts import AccountSettings
from exporter.settings.model import Settings
from exporter.settings.paging import PagingSettings
from exporter.simulator import Simulator
from exporter.simulator.oddities import SimulatedResponse

NOTE = "Replay of a recording: DataRobot is not contacted, and its names, ids and times are not the real ones."
_LINK = re.compile(rb'("(?:next|previous)": ?")https?://x[0-9a-f]{16}\.invalid')
_IDS = re.compile(r"x?[0-9a-f]{16,24}")
_JSON = (("content-type", "application/json"),)


class ReplayServer(Simulator):
    """Responds as recorded. `unknown` counts requests that were not recorded, by path without ids.

    Raises `RecordingError`, and OSError if the port is in use.
    """

    def __init__(
        self, path: Path, *, speed: float = 1.0, port: int = 0, clock: Callable[[], float] = time.time
    ) -> None:
        header, lines = read_recording(path)
        self.replay = Replay(header, lines, clock(), speed)
        self.unknown: Counter[str] = Counter()
        super().__init__(workloads=0, stories=(), clock=clock, port=port)

    def respond(self, method: str, path: str, query: str, headers: dict[str, str]) -> SimulatedResponse:
        """The recorded response to one request; 404 if there is none."""
        if method != "GET":
            return SimulatedResponse(405, _JSON, b'{"detail": "Method Not Allowed"}')
        if headers.get("authorization") != f"Bearer {self.token}" and path.strip("/") != "config":
            return SimulatedResponse(401, _JSON, b'{"message": "Invalid API key"}')
        answer = self.replay.answer(path, query, self.clock())
        if answer is None:
            self.unknown[_IDS.sub("ID", path)] += 1
            return SimulatedResponse(404, _JSON, b'{"detail": "not recorded"}')
        sent = dict(answer.headers)
        if answer.date is not None:
            sent["date"] = formatdate(answer.date, usegmt=True)
        body = _LINK.sub(lambda match: match[1] + self.url.encode(), answer.body)
        return SimulatedResponse(answer.status, tuple(sent.items()), body, cut=not answer.status)

    @property
    def introduction(self) -> str:
        """How to use it, as lines to paste."""
        return (
            f"REPLAY of {self.replay.seconds / 60:.0f} min at {self.replay.speed:g} times the speed; "
            "afterwards, the last responses stay\n"
            f"export DATAROBOT_ENDPOINT={self.url}\n"
            f"export DATAROBOT_API_TOKEN={self.token}"
        )

    def print_unknown(self) -> None:
        """Print the requests that were not recorded."""
        for path, number in self.unknown.most_common():
            print(f"workload-exporter: not recorded: {safe(path)}, requested {number} times", file=sys.stderr)


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="a recording made by `workload-exporter record`")
    parser.add_argument(
        "--speed", type=positive_number, default=1.0, metavar="X", help="play it X times as fast; default 1"
    )
    parser.add_argument("--port", type=int, default=0, metavar="PORT", help="port on 127.0.0.1; default: a free one")


def run(context: Context) -> int:
    options = context.options
    server = ReplayServer(options.file, speed=options.speed, port=options.port)
    server.serve(lambda: print(server.introduction, flush=True))
    server.print_unknown()
    return 0


def run_replay(context: Context, path: Path, speed: float) -> int:
    """Run the daemon against a recording, without paging."""
    with ReplayServer(path, speed=speed) as server:
        account = AccountSettings.model_validate(
            {"name": "replay", "endpoint": server.url, "token": server.token, "requests_per_second": 100}
        )

        def replayed() -> Settings:
            paging = PagingSettings.model_validate({})  # what was recorded must not wake anyone
            return context.settings("replaced").model_copy(update={"accounts": (account,), "paging": paging})

        settings = replayed()
        introduction = f"{server.introduction}\nOpen http://{settings.web.listen_address[0]}/; stop with Ctrl-C."
        status = run_daemon(settings, replayed, NOTE, context.settings_files, introduction)
        server.print_unknown()
        return status
