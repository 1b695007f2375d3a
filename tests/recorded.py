"""A recording that is played instead of the simulator, for stages in virtual time, and plays that are recorded."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from email.utils import formatdate
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

from exporter.collect.recording_file import RecordingFile, read_recording
from exporter.paging.pager import Pager
from exporter.recording.fields import LOGS
from exporter.recording.lines import Lines
from exporter.recording.redactor import Redactor
from exporter.recording.replay import Replay
from exporter.simulator import SimulatedApi
from exporter.simulator.oddities import SimulatedResponse
from exporter.tracing.builder import Tracing
from tests.alerts.played import Notified, paged
from tests.stage import START, Stage
from tests.trees import tree

KEY = bytes(range(32))
TRACING = Tracing("https://dr.example.test")


class Replayed:
    """A server that responds as recorded; in place of a `SimulatedApi` of a stage."""

    token, ahead = "replay-token", 0.0

    def __init__(self, file: Path) -> None:
        self.replay = Replay(*read_recording(file), START)
        self.clock: Callable[[], float] = lambda: START
        self.unknown: Counter[str] = Counter()

    def respond(self, method: str, path: str, query: str, headers: dict[str, str]) -> SimulatedResponse:
        answer = self.replay.answer(path, query, self.clock())
        if answer is None:
            self.unknown[path.split("/")[-2]] += 1
            return SimulatedResponse(404, (), b'{"detail": "not recorded"}')
        sent = dict(answer.headers)
        if answer.date is not None:
            sent["date"] = formatdate(answer.date, usegmt=True)
        return SimulatedResponse(answer.status, tuple(sent.items()), answer.body, cut=not answer.status)


class Unchanged(Redactor):
    """Redacts nothing, to compare a play with its replay."""

    def __init__(self, started: float) -> None:
        super().__init__(KEY, started)
        self.shift = 0.0

    def json(self, value: Any, route: str) -> Any:
        return value

    def replacement(self, text: str) -> str:
        return text


class _Invertible(Redactor):
    """Notes which text each replacement stands for. `originals`: by replacement."""

    def __init__(self) -> None:
        super().__init__(KEY, START)
        self.shift = 0.0
        self.originals: dict[str, str] = {}

    def replacement(self, text: str) -> str:
        found = super().replacement(text)
        self.originals[found] = text
        return found


class Redacted:
    """A simulated API of which all responses are redacted as in a recording, and requests converted back."""

    def __init__(self, simulator: SimulatedApi) -> None:
        self._api, self._redactor = simulator, _Invertible()
        self.token, self.ahead = simulator.token, 0.0

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "clock":
            self._api.clock = value

    def respond(self, method: str, path: str, query: str, headers: dict[str, str]) -> SimulatedResponse:
        originals = self._redactor.originals
        path = "/".join(originals.get(part, part) for part in path.split("/"))
        pairs = [(name, originals.get(value, value)) for name, value in parse_qsl(query)]
        answer = self._api.respond(method, path, urlencode(pairs), headers)
        if not answer.body:
            return answer
        route = LOGS if path.rstrip("/").endswith("/logs") else ""
        return answer._replace(body=json.dumps(self._redactor.json(json.loads(answer.body), route)).encode())


class Played(NamedTuple):
    """The samples after each sweep, the notifications, and the traces as text."""

    samples: list[dict[str, str]]
    notified: Sequence[Notified]
    traces: list[str]


def play(
    server: Any, seconds: float, record: Path | None = None, *, each: int = 1, redactor: Redactor | None = None
) -> Played:
    """Sweep a server for so long, with paging and traces; `record`: the file to record it to.

    `each`: after how many sweeps the samples are kept. `redactor`: that of the recording.
    """
    samples: list[dict[str, str]] = []
    traces: list[str] = []
    sweeps = 0

    async def staged(stage: Stage, pager: Pager) -> None:
        file: RecordingFile | None = None
        if record is not None:
            file = RecordingFile(record, Lines(redactor or Redactor(KEY, stage.wall)), lambda: stage.wall)
            stage.client.record = file.add

        async def evaluate() -> None:
            nonlocal sweeps
            sweeps += 1
            await pager.evaluate()
            await pager.notify()
            if sweeps % each == 0:
                samples.append(stage.samples())

        await stage.run(seconds, evaluate)
        made = stage.monitor.pending().traces
        traces.extend(tree(each.trace, round(START * 1e9)) for each in made if each.trace is not None)
        if file is not None:
            file.close()
            assert not file.problem

    return Played(samples, paged(server, staged, tracing=TRACING), traces)
