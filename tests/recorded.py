"""A recording that is played instead of the simulator, for stages in virtual time, and plays that are recorded."""

from collections import Counter
from collections.abc import Callable, Sequence
from email.utils import formatdate
from pathlib import Path
from typing import Any, NamedTuple

from exporter.collect.recording_file import RecordingFile, read_recording
from exporter.paging.pager import Pager
from exporter.recording.lines import Lines
from exporter.recording.redactor import Redactor
from exporter.recording.replay import Replay
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


class Played(NamedTuple):
    """The samples after each sweep, the notifications, and the traces as text."""

    samples: list[dict[str, str]]
    notified: Sequence[Notified]
    traces: list[str]


def play(server: Any, seconds: float, record: Path | None = None, *, each: int = 1) -> Played:
    """Sweep a server for so long, with paging and traces; `record`: the file to record it to.

    `each`: after how many sweeps the samples are kept.
    """
    samples: list[dict[str, str]] = []
    traces: list[str] = []
    sweeps = 0

    async def staged(stage: Stage, pager: Pager) -> None:
        file: RecordingFile | None = None
        if record is not None:
            file = RecordingFile(record, Lines(Redactor(KEY, stage.wall)), lambda: stage.wall)
            stage.client._record = file.add

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
