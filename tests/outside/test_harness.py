"""The harness of the outside stories: a server with one healthy workload causes no notification, a dead one does."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from tests.outside.harness import START, Answer, notifications


class OneWorkload:
    """A list with one workload of a status; every other route responds with 404."""

    token = "t"
    ahead = 0.0
    clock: Callable[[], float]

    def __init__(self, status: Callable[[float], str]) -> None:
        self._status = status

    def respond(self, method: str, path: str, query: str, headers: Mapping[str, str]) -> Answer:
        if path.rstrip("/") != "/api/v2/workloads":
            return Answer(404, b'{"detail": "Not Found"}')
        at = datetime.fromtimestamp(START - 86400, UTC).isoformat()
        workload = {"id": "70aa00000000000000000001", "name": "scorer", "status": self._status(self.clock()),
                    "importance": "high", "createdAt": at, "updatedAt": at}  # fmt: skip
        return Answer(200, json.dumps({"data": [workload], "count": 1, "totalCount": 1, "next": None}).encode())


def test_a_healthy_workload_causes_no_notification() -> None:
    assert notifications(OneWorkload(lambda _: "running"), 30) == []


def test_a_failed_workload_causes_a_critical_notification() -> None:
    seen = notifications(OneWorkload(lambda now: "errored" if now > START + 600 else "running"), 30)
    assert [(each.status, each.severity, each.alert) for each in seen] == [
        ("firing", "critical", "DataRobotWorkloadErrored")
    ]
