"""With a canary in every text of the fleet, none is in a recording: nothing depends on which field has what."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from exporter.collect.recording_file import read_recording
from exporter.recording.lines import RecordedLine
from exporter.recording.times import TIMESTAMP
from exporter.simulator.oddities import SimulatedResponse
from tests.recorded import play
from tests.stage import simulated

pytestmark = pytest.mark.long

CANARY = "Kanarie7"
WORKLOADS = 20


def planted(value: Any, times: bool) -> Any:
    """A JSON value with a canary in every text and in every object; `times`: in times too."""
    if isinstance(value, dict):
        return {name: planted(each, times) for name, each in value.items()} | {CANARY: CANARY, "note": {CANARY: 1}}
    if isinstance(value, list):
        return [planted(each, times) for each in value]
    if isinstance(value, str) and (times or not TIMESTAMP.fullmatch(value)):
        return f"{value}{CANARY}"
    return value


class Planted:
    """A simulated API with canaries in its responses, also in ids, errors and headers."""

    def __init__(self, times: bool, known: bool, **odd: Any) -> None:
        self._api, self._times, self._known = simulated(WORKLOADS, **odd), times, known
        self.token, self.ahead = f"token-{CANARY}", 0.0

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "clock":
            self._api.clock = value

    def respond(self, method: str, path: str, query: str, headers: dict[str, str]) -> SimulatedResponse:
        given = headers | {"authorization": f"Bearer {self._api.token}"}
        answer = self._api.respond(method, path.replace(CANARY, ""), query.replace(CANARY, ""), given)
        try:
            body = json.loads(answer.body)
        except ValueError:
            return answer._replace(body=answer.body + CANARY.encode())
        new = json.dumps(self._names(body) if self._known else planted(body, self._times)).encode()
        return answer._replace(body=new, headers=(*answer.headers, ("server", CANARY), ("set-cookie", CANARY)))

    def _names(self, body: Any) -> Any:
        """Canaries only where people write something, so that the fleet is read as always."""
        free = (
            "name value description message detail email fullName username image endpoint address nodeAddress summary"
        )

        def walked(key: str, value: Any) -> Any:
            if isinstance(value, dict):
                mapped = key == "deployedImages"
                return {name: walked(key if mapped else name, each) for name, each in value.items()}
            if isinstance(value, list):
                return [walked(key, each) for each in value]
            wanted = isinstance(value, str) and key in (*free, "deployedImages")
            return f"{value} {CANARY}" if wanted and not TIMESTAMP.fullmatch(value) else value

        return walked("", body)


@pytest.mark.parametrize(
    ("facts", "least"),
    [
        ({"times": False, "known": False}, 5),
        ({"times": True, "known": False}, 5),
        ({"times": False, "known": True}, 100),
        ({"times": False, "known": False, "odd": ["forbidden", "old-events"]}, 1),
        ({"times": False, "known": False, "odd": ["bad-gateway"]}, 1),
    ],
    ids=["everywhere", "in times too", "in names and texts", "in refusals", "in what is not JSON"],
)
def test_no_canary_is_in_a_recording(facts: dict[str, Any], least: int, tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    play(Planted(**facts), 60, path)
    text = gzip.decompress(path.read_bytes())
    assert CANARY.casefold() not in text.decode().casefold()
    for secret in (b"token-", b"simulated", b"demo-token", b"Bearer", b"example.test", b"registry"):
        assert secret not in text
    assert sum(isinstance(line, RecordedLine) for line in read_recording(path)[1]) >= least
