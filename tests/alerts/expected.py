"""What each incident of the simulator should cause, judged by what happens in it and not by what the exporter does."""

from typing import NamedTuple


class Expected(NamedTuple):
    """Notifications of an incident; times are in minutes since its story began.

    `loudest` is the highest severity, empty for no notification at all. Its first notification is between `first` and
    `last`; if `last` is 0, it may be missing. No incident opens after `well`, when the workload has recovered.
    `cause` is part of the text of at least one notification.
    """

    loudest: str = ""
    first: float = 0.0
    last: float = 0.0
    well: float = 1e9
    cause: str = ""


NOTHING = Expected()
EXPECTED = {
    "killed every six minutes": Expected("warning", 10, 20, 71, "memory"),
    "serves three of eight minutes": Expected("critical", 3, 12, 65, "exit code 1"),
    "preempted again and again": Expected("warning", 10, 17, 65, "evicted"),
    "crash loop with minimum zero": Expected("critical", 12, 20, 31, "exit code 1"),
    "status flaps": NOTHING,
    "sidecar heals": Expected("critical", 12, 17, 30, "image"),
    "status recovers late": Expected("critical", 12, 17, 30, "exit code 1"),
    "every answer an error": Expected("critical", 11, 16, 27.5, "server error"),
    "node lost": Expected("critical", 11, 16, 63.5, "lost contact with the node"),
    "cold start refused": NOTHING,
    "credential expired": Expected("critical", 21, 36, 66, "server error"),
    "running but deaf": Expected("critical", 4, 9, 24, "server error"),
    "readiness lost": Expected("critical", 37, 42, 62, "readiness probes"),
    "short loss of readiness": NOTHING,
    "quarantined": Expected("critical", 12, 16, 41, "exit code 1"),
    "failed": Expected("critical", 12, 16, 41, "exit code 1"),
    "pending for an hour": Expected("warning", 8, 17, 65, "GPU"),
    "scheduled for an hour": Expected("warning", 10, 22, 65, "reports nothing"),
    "updating while it serves": NOTHING,
    "pods unknown": NOTHING,
    "importance raised": Expected("critical", 29.5, 32, 51, "exit code 1"),
    "pods not reported": Expected("critical", 12, 16, 31, "exit code 1"),
    "suspended by the platform": Expected("warning", 10, 20, 51, "suspended"),
    "killed at its stop": NOTHING,
    "image pruned": Expected("critical", 17, 22, 47, "registry"),
    "candidate crashes": Expected("warning", 22, 30, 35, "exit code 1"),
    "candidate dropped before its event": Expected("warning", 24, 30, 35, "exit code 1"),
    "retried at once": Expected("warning", 24, 0, 35, "exit code 1"),
    "failure with a moved timestamp": Expected("warning", 24, 30, 35, "exit code 1"),
    "two records of one failure": Expected("warning", 22, 30, 35, "exit code 1"),
    "cancelled": NOTHING,
    "cancelled without a trace": NOTHING,
    "long warm-up": NOTHING,
    "replacement without an end": Expected("warning", 40, 50, 80, "readiness probe"),
    "initializing while it serves": NOTHING,
    "draining refused": Expected("critical", 23, 28, 32, "exit code 1"),
    "two versions for good": NOTHING,
    "retiring version": NOTHING,
    "in an enclave": Expected("warning", 19, 26, 30, "placement"),
    "bundle for jobs": Expected("warning", 10, 80, 90, "cpu.job"),
    "autoscaler at work": NOTHING,
    "node drained": NOTHING,
    "deleted after it failed to start": NOTHING,
    "out of memory at night": Expected("warning", 59, 66, 115, "memory"),
}
