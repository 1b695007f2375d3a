"""CASES: for each alert what a page says when it is right to fire, what it says then, and what must leave it silent.

Pages are those of workload `churn` (w1) of account `acme`; each differs from `WELL` by what is named. Written by
hand from what an engineer would expect, not from the rules.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from tests.alerts.pages import (
    ACTIVE,
    CANDIDATE,
    DEGRADED,
    DENIED,
    DOWN,
    ENDED,
    FIRST,
    GONE,
    LEAST,
    LIVE,
    MOST,
    READY,
    READY_SINCE,
    RECOVERING,
    SINCE,
    START,
    STARTING,
    STATUSES,
    THIRD,
    UNKNOWN,
    A,
    P,
    W,
    X,
    artifact,
    burn,
    ended,
    errors,
    failing,
    fleet,
    importance,
    lacking,
    memory,
    of_another,
    of_candidate,
    of_second,
    pods,
    refused,
    requests,
    response,
    slow,
    slow_ratio,
    status,
    swept,
    target,
    waiting,
)
from tests.alerts.timeline import NOTHING, Ago, Grows, Lag, Page


class Also(NamedTuple):
    """Another page at which it fires; what is None is as in the case itself."""

    page: Page
    after: float | None = None
    severity: str | None = None
    says: str | Callable[[float], str] | None = None
    ends: float | None = None


class Case(NamedTuple):
    """One alert. `bad`: what differs from `WELL`; the alert fires `after` seconds plus its wait time.

    `who`: labels except severity and component. `says`: its description, or a function of the seconds since `bad`
    began. `also`: other pages at which it fires. `silent`: differences from `bad` with which it does not fire;
    `always`: if all was so from the start. `ends`: when it resolves by itself, in seconds since `bad` began.
    `lingers`: for how long it fires after `bad`, if its condition covers past samples. `held`: for how long its
    state is kept without data, if it is about the exporter. `wait` is in seconds, `keep` too, as critical and as
    warning. `well`: what differs from `WELL` before `bad`.
    """

    alert: str
    severity: str
    bad: Page
    says: str | Callable[[float], str]
    wait: float = 0
    after: float = 0
    keep: tuple[float, float] = (0, 0)
    who: Mapping[str, str] = {"account": "acme", "workload": "churn", "workload_id": "w1"}
    also: Mapping[str, Also] = {}
    silent: Mapping[str, Page] = {}
    always: Mapping[str, Page] = {}
    ends: float | None = None
    lingers: float = 0
    held: float = 0
    well: Page = NOTHING

    def keep_of(self, variant: Also) -> float:
        """For how long a variant fires after it is over."""
        return self.keep[(variant.severity or self.severity) != "critical"]


FLEET, DOWN_FOR, CAUSE, STATE, ERRORS = (900, 0), (840, 480), (780, 420), (720, 360), (660, 0)
A_START = (540, 180)
BUDGET, USE, MEMORY, INTERRUPTION = (540, 360), (0, 600), (0, 1800), (720, 480)
IDLE, UPDATED, MONTH = f"{W}idle_since_timestamp_seconds", f"{W}updated_timestamp_seconds", 2_592_000.0
WHO = "Workload churn (w1) of account acme "
ACCOUNT = {"account": "acme"}
NO_LABELS: Mapping[str, str] = {}
OWN: Page = {**target("availability", 0.99), **target("readiness", 0.9999)}
"""An objective that allows twice as many server errors as the threshold."""
NOT_SLOW: Page = {
    name: value for window in ("5m", "30m", "1h", "2h", "6h", "1d", "3d") for name, value in slow(0.0, window).items()
}
SCALED_TO_ZERO: Page = {**status("running"), **pods(0, least=0, live=0), f"{W}scaled_to_zero": 1.0}
STOPPED_BY_A_USER: Page = {
    **status("stopped"), **pods(0, live=0), f'{W}event_last_timestamp_seconds{{event="stopped"}}': Ago(100),
}  # fmt: skip


def softly(*pages: Page, severity: str = "warning") -> dict[str, Also]:
    """The variants that are no page but a ticket."""
    return {f"softly {number}": Also(page, severity=severity) for number, page in enumerate(pages)}


def other_statuses(*but: str) -> dict[str, Page]:
    """The siblings of a one-hot family."""
    return {f"status {name}": status(name) for name in STATUSES if name not in but}


def sizing(finding: str) -> Page:
    return {f'{W}sizing_info{{finding="{finding}",fitting_bundle_id="b"}}': 1.0}


def _days(seconds: float) -> str:
    """As `humanizeDuration` writes it."""
    days, rest = divmod(int(seconds), 86400)
    return f"{days}d {rest // 3600}h {rest % 3600 // 60}m {rest % 60}s"


def _minutes(seconds: float) -> str:
    return f"{seconds // 60:.0f}m {seconds % 60:.0f}s"


IMPORTANT = {"critical": Also(importance("critical"))}
TICKETS = softly(importance("moderate"), importance("low"), importance("other"))
CANDIDATES = {
    "only the candidate's are ready": Also(of_candidate(2)),
    "only the candidate's are unknown": Also(of_candidate(0, 2)),
}
NO_MINIMUM = {
    "none has to be ready, and none is": Also(pods(0, least=0, live=1)),
    "none has to be ready, and none is live": Also(pods(0, least=0, live=0), severity="warning"),
    "none has to be ready, only a candidate's are": Also({**pods(0, least=0, live=1), **of_candidate(2)}),
    "none has to be ready, only a candidate's are unknown": Also({**pods(0, least=0, live=1), **of_candidate(0, 2)}),
    "none has to be ready, only a candidate's are live": Also(
        {**pods(0, least=0, live=0), f"{P}replicas_live{{{CANDIDATE}}}": 1.0}, severity="warning"
    ),
    "none has to be ready, and a second one that serves is": Also(
        {**pods(0, least=0, live=1), **of_second(1)}, severity="warning"
    ),
    "none has to be ready, and a second one that serves may be": Also(
        {**pods(0, least=0, live=1), **of_second(0, 1)}, severity="warning"
    ),
    "none has to be ready, and none of a second one that serves is": Also(
        {**pods(0, least=0, live=0), **of_second(live=1)}
    ),
}
"""Of a workload without a minimum of replicas, it counts whether any of its pods is ready."""
SECONDS = {
    "those of a second one that serves are ready": Also(of_second(2), severity="warning"),
    "those of a second one that serves are unknown": Also(of_second(0, 2), severity="warning"),
}
HALVED = {
    "three of seven are ready": Also(pods(3, least=7, live=7)),
    "one of three is ready": Also(pods(1, least=3, live=3)),
    "one of three is ready, of a candidate all": Also({**pods(1, least=3, live=3), **of_candidate(3)}),
    "one of three is ready, of a candidate it is unknown": Also({**pods(1, least=3, live=3), **of_candidate(0, 3)}),
}
ONCE: Page = {**waiting("CrashLoopBackOff", 0), **status("launching"), ENDED: Lag(590), START: Lag(100)}
"""It exited once, and none of its replicas was ready since it was started."""
NIM, NIM_IN_CAPITALS = ({f"{W}info": None, f'{W}info{{workload_type="{name}"}}': 1.0} for name in ("nim", "NIM"))
FIRST_START: dict[str, Page] = {
    **{f"status {name}": status(name) for name in STARTING},
    "nearly too long": {START: Lag(890)},
    "nearly too long, with a GPU": {f"{W}replica_gpus": 1.0, START: Lag(2690)},
    "nearly too long, a NIM": {**NIM, START: Lag(2690)},
    "nearly too long, a NIM, in capitals": {**NIM_IN_CAPITALS, START: Lag(2690)},
    "a candidate's are ready": of_candidate(2),
    "it is unknown of a candidate's": of_candidate(0, 2),
    "none has to be ready": {**pods(0, least=0, live=1), DEGRADED: None},
}
NO_FIRST_START: dict[str, Page] = {
    "errored": status("errored"),
    "too long": {START: Lag(910)},
    "too long, no GPU": {f"{W}replica_gpus": 0.0, START: Lag(910)},
    "too long, with a GPU": {f"{W}replica_gpus": 1.0, START: Lag(2710)},
    "too long, a NIM": {**NIM, START: Lag(2710)},
    "too long, a NIM, in capitals": {**NIM_IN_CAPITALS, START: Lag(2710)},
    "one was ready before": {DOWN: Ago(0)},
    "one of three is ready": pods(1, least=3, live=3),
    "two of a second one that serves are ready, of five": {**pods(0, least=5), **of_second(2)},
    "two of a second one that serves are unknown, of five": {**pods(0, least=5), **of_second(0, 2)},
    "none has to be ready, too long": {**pods(0, least=0, live=1), DEGRADED: None, START: Lag(910)},
}
NO_FIRST_START_OF_ALL: dict[str, Page] = {
    "one of two is ready": {READY: 1.0},
    "readiness is unknown": {UNKNOWN: 1.0},
    "those of a second one that serves are ready": of_second(2),
    "those of a second one that serves are unknown": of_second(0, 2),
}
CRITICAL_ONLY = softly(importance("high"), importance("moderate"), importance("low"))

UNREAD = (("server_error", "decode"), ("decode", "too_large"), ("too_large", "server_error"))
OFF = ("stopped", "suspended", "interrupted", "terminated", "stopping", "draining")
BEGUN = f'{X}sweep_begin_timestamp_seconds{{lane="status"}}'
HELD_BY_A, HELD_BY_B = (f'{X}unit_held{{instance="{name}:1"}}' for name in "ab")
NEVER: Page = {f'{X}sweep_last_success_timestamp_seconds{{lane="status"}}': None}

MORE = fleet(**{f"more{number}": "running" for number in range(20)})
NOT_COUNTED = fleet(x="stopped", y="suspended", z="terminated")
ONLY_ERRORS: Page = {**fleet(a="running"), **requests(200), **errors(0.6)}
REJECTED: Page = {**requests(220), **errors(0.06), **refused(0.9)}
"""Nine of ten requests are rejected, and six of ten of the others fail."""
OF_ACCEPTED: dict[str, Page] = {
    "most requests are rejected, most others fail": REJECTED,
    "more are rejected in another window": {**REJECTED, **refused(0.99, "1h")},
}
NOT_OF_ACCEPTED: dict[str, Page] = {
    "too few are not rejected": {**REJECTED, **requests(190)},
    "half of what is not rejected fails": {**REJECTED, **errors(0.049)},
    "others are rejected in another window": {**REJECTED, **refused(0.0), **refused(0.9, "1h")},
    "others fail in another window": {**REJECTED, **errors(0.0), **errors(0.06, "1h")},
    "the requests of another window are not rejected": {**REJECTED, **requests(0), **requests(900, "1h")},
    "the share of rejected requests is not reported": {**requests(220), **errors(0.06)},
}
"""Four others of the account fail; of the fifth, only requests do."""

CASES: tuple[Case, ...] = (
    Case("DataRobotWorkloadErrored", "critical", {**status("errored"), **pods(0)}, wait=300, keep=STATE,
        says=WHO + "is errored or failed: it may serve only in part or not at all.",
        also={**IMPORTANT, **TICKETS, "status failed": Also(status("failed")),
            "its pods are unknown": Also(pods(None, live=None)), "readiness is unknown": Also({UNKNOWN: 2.0}),
            "two of five are ready": Also(pods(2, least=5, live=5)),
            "only a candidate's are ready": Also(of_candidate(2)),
            "those of a second one that serves are ready": Also(of_second(2), severity="warning"),
            "one of two is ready": Also(pods(1), severity="warning"),
            "all are ready": Also(pods(2), severity="warning"),
            "status failed, softly": Also({**status("failed"), **importance("low")}, severity="warning")},
        silent={**other_statuses("errored", "failed"),
            "stopped by a user": STOPPED_BY_A_USER, "at zero": SCALED_TO_ZERO}),
    Case("DataRobotWorkloadTerminated", "critical", status("terminated"), wait=60, ends=3600,
        says=WHO + "is terminated. This is final: it cannot be started again, only deleted and recreated.",
        also={**IMPORTANT, **TICKETS},
        silent={**other_statuses("terminated"), "a state from before the first observation": {FIRST: Ago(0)},
            "for more than an hour": {SINCE: Ago(3600)}}),
    Case("DataRobotWorkloadNoReadyReplica", "critical", {DOWN: Ago(0)}, wait=180, keep=DOWN_FOR,
        says=WHO + "has no ready replica although it should serve, whatever its status: its endpoint cannot respond.",
        also={"low": Also(importance("low")), "the desired number is not reported": Also({LEAST: None}),
            "starting": Also(status("launching")), "an unknown word": Also(status("other")),
            "errored": Also(status("errored")), "critical, an unknown word": Also({**status("other"),
                **importance("critical")}),
            **softly({**status("launching"), **importance("low")}, {**status("other"), **importance("moderate")}),
            "running for long enough": Also({SINCE: Lag(190), **importance("low")}),
            "running, not for long": Also({SINCE: Lag(170), **importance("low")}, severity="warning"),
            "too few requests fail": Also({**status("launching"), **importance("low"), **requests(19), **errors(0.6)},
                severity="warning"),
            "half of the requests fail": Also({**status("launching"), **importance("low"), **requests(20),
                **errors(0.5)}, severity="warning"),
            "most requests of another window fail": Also({**status("launching"), **importance("low"), **requests(200),
                **errors(0.6, "1h")}, severity="warning"),
            "many requests in another window": Also({**status("launching"), **importance("low"), **requests(9),
                **requests(900, "1h"), **errors(0.6)}, severity="warning"),
            "few requests, and most fail": Also({**status("launching"), **importance("low"), **requests(20),
                **errors(0.51)}),
            "most requests fail": Also({**status("launching"), **importance("low"), **requests(200), **errors(0.6)}),
            "none has to be ready, for long": Also({LEAST: 0.0}, after=720),
            "softly, none has to be ready, for long": Also({LEAST: 0.0, **status("launching"), **importance("low")},
                after=720, severity="warning")},
        silent={"it serves": {DOWN: None}, "not that long": {DOWN: Lag(170)},
            "none has to be ready": {LEAST: 0.0, DOWN: Lag(890)}}),
    Case("DataRobotWorkloadInterrupted", "critical", status("interrupted"), wait=180, keep=INTERRUPTION,
        says=WHO + "was interrupted: the platform evicted it. It stays down until it is started again.",
        also={**IMPORTANT, **TICKETS},
        silent={"not that long": {SINCE: Lag(170)},
            **other_statuses("interrupted"), "stopped by a user": STOPPED_BY_A_USER}),
    Case("DataRobotWorkloadStopped", "warning", {**status("stopped"), **pods(0, live=0)}, wait=300, ends=900,
        says=WHO + "was stopped or suspended within the last few minutes. If this was not intended, start it again; "
        "only the person or platform that suspended it can lift a suspension.",
        also={**IMPORTANT, "suspended": Also(status("suspended")),
            "an older stop": Also({f'{W}event_last_timestamp_seconds{{event="stopped"}}': Ago(301)}),
            "another event": Also({f'{W}event_last_timestamp_seconds{{event="started"}}': Ago(100)})},
        silent={**other_statuses("stopped", "suspended"), "stopped by a user": STOPPED_BY_A_USER,
            "stopped by a user a little before": {f'{W}event_last_timestamp_seconds{{event="stopped"}}': Ago(299)},
            "a draft at its end": artifact("draft"), "of no minimum": {LEAST: 0.0},
            "of no importance": importance("moderate"),
            "a state from before the first observation": {FIRST: Ago(0)}, "for long": {SINCE: Ago(900)}}),
    Case("DataRobotWorkloadUnreadable", "warning", {f'{W}fresh{{part="list"}}': 0.0}, wait=300, keep=STATE,
        says=WHO + "has values in the workload list that the exporter cannot read, or an unknown status and no pods "
        "reported, or its own routes fail or are denied. The last readable values are shown for up to 15 minutes; "
        "after that they are unknown.",
        also={"critical, and its status is not known any more": Also({**importance("critical"), **status("unknown")},
                severity="critical"),
            "critical": Also(importance("critical")), "unknown": Also(status("unknown")),
            "neither its status nor its pods are known": Also({f'{W}fresh{{part="list"}}': 1.0, **status("unknown"),
                **pods(None, live=None)}, after=360),
            "an unknown word, and its pods are not known": Also({f'{W}fresh{{part="list"}}': 1.0, **status("other"),
                **pods(None, live=None), **importance("critical")}, after=360, severity="critical"),
            "critical, neither its status nor its pods are known": Also({f'{W}fresh{{part="list"}}': 1.0,
                **status("unknown"), **pods(None, live=None), **importance("critical")}, 360, "critical"),
            "softly, an unknown word, and its pods are not known": Also({f'{W}fresh{{part="list"}}': 1.0,
                **status("other"), **pods(None, live=None)}, after=360),
            "only a candidate's pods are known": Also({f'{W}fresh{{part="list"}}': 1.0, **status("unknown"),
                **pods(None, live=None), f"{P}replicas_live{{{CANDIDATE}}}": 1.0}, after=360),
            "critical, only a candidate's pods are known": Also({f'{W}fresh{{part="list"}}': 1.0, **status("unknown"),
                **pods(None, live=None), f"{P}replicas_live{{{CANDIDATE}}}": 1.0, **importance("critical")}, 360,
                "critical"),
            **{f"its pods fail: {one}, its events: {other}": Also({f'{W}fresh{{part="list"}}': 1.0,
                **failing(pods=one, events=other)}) for one, other in UNREAD},
            **{f"critical, an unknown word, its pods fail: {one}, its events: {other}": Also({
                f'{W}fresh{{part="list"}}': 1.0, **status("other"), **importance("critical"),
                **failing(pods=one, events=other)}, severity="critical") for one, other in UNREAD},
            "its routes are denied": Also({f'{W}fresh{{part="list"}}': 1.0, **DENIED}),
            "its routes are denied, low": Also({f'{W}fresh{{part="list"}}': 1.0, **DENIED,
                **importance("low")}),
            "critical, an unknown word, its routes are denied": Also({f'{W}fresh{{part="list"}}': 1.0,
                **status("other"), **importance("critical"), **DENIED}, severity="critical"),
            "its routes fail, critical": Also({f'{W}fresh{{part="list"}}': 1.0, **importance("critical"),
                **failing(pods="decode", events="decode")})},
        silent={"its pods are known": {f'{W}fresh{{part="list"}}': 1.0, **status("unknown", Ago(600))},
            "those of a second one that serves are known": {f'{W}fresh{{part="list"}}': 1.0,
                **status("unknown", Ago(600)), **pods(None, live=None), **of_second(live=1)},
            "it runs, and its pods are not known": {f'{W}fresh{{part="list"}}': 1.0, **status("running", Ago(600)),
                **pods(None, live=None)},
            "its pods fail, the server has no events": {f'{W}fresh{{part="list"}}': 1.0,
                **failing(pods="decode", events="absent")},
            "its events fail, the server has no pods": {f'{W}fresh{{part="list"}}': 1.0,
                **failing(pods="absent", events="decode")},
            "only its pods fail": {f'{W}fresh{{part="list"}}': 1.0, **failing(pods="decode", usage="decode")},
            "only its events fail": {f'{W}fresh{{part="list"}}': 1.0, **failing(events="decode", usage="decode")},
            "the server has no routes": {f'{W}fresh{{part="list"}}': 1.0, **failing(pods="absent", events="absent")},
            "all routes of one that is not important fail": {f'{W}fresh{{part="list"}}': 1.0, **importance("moderate"),
                **failing(pods="decode", events="decode")},
            "its status was always unknown": {f'{W}fresh{{part="list"}}': 1.0, **status("unknown", Ago(600)),
                **pods(None, live=None), FIRST: Ago(600)},
            "unknown, not that long": {f'{W}fresh{{part="list"}}': 1.0, **status("unknown", Lag(290)),
                **pods(None, live=None)},
            "it can be read": {f'{W}fresh{{part="list"}}': 1.0}, "its pods are old":
            {f'{W}fresh{{part="list"}}': 1.0, f'{W}fresh{{part="pods"}}': 0.0}}),
    Case("DataRobotWorkloadVanished", "warning",
        {**GONE, f'{W}vanished_timestamp_seconds{{answer="not_found",status="running"}}': Ago(0)}, wait=60, ends=1800,
        says=WHO + "was running and is missing from two complete sweeps: it was deleted, or is no longer shared "
        "with the token's user.",
        also={"it is no longer shared": Also({
                f'{W}vanished_timestamp_seconds{{answer="not_found",status="running"}}': None,
                f'{W}vanished_timestamp_seconds{{answer="forbidden",status="running"}}': Ago(0)}),
            "the API does not respond": Also({
                f'{W}vanished_timestamp_seconds{{answer="not_found",status="running"}}': None,
                f'{W}vanished_timestamp_seconds{{answer="",status="running"}}': Ago(0)})},
        silent={"the API responds for its id": {
                f'{W}vanished_timestamp_seconds{{answer="not_found",status="running"}}': None,
                f'{W}vanished_timestamp_seconds{{answer="found",status="running"}}': Ago(0)},
            "it was stopped": {f'{W}vanished_timestamp_seconds{{answer="not_found",status="running"}}': None,
                f'{W}vanished_timestamp_seconds{{answer="not_found",status="stopped"}}': Ago(0)},
            "for half an hour": {f'{W}vanished_timestamp_seconds{{answer="not_found",status="running"}}': Ago(1800)},
            "only one sweep lacks it": {f'{W}vanished_timestamp_seconds{{answer="not_found",status="running"}}': None},
        }),
    Case("DataRobotWorkloadNotServing", "critical", {**requests(200), **errors(0.6)}, wait=60, keep=ERRORS,
        says=WHO + "responded to most requests of the last five minutes with status 500 or above, or to most "
        "requests that it did not reject.",
        also={**{name: Also(page) for name, page in OF_ACCEPTED.items()},
            "few but enough": Also(requests(20)), "low": Also(importance("low")),
            "an unknown word": Also(status("other")), "errored": Also(status("errored")),
            "ready for long": Also({READY_SINCE: Lag(301)})},
        silent={**NOT_OF_ACCEPTED, "half": errors(0.5),
            "too few requests": requests(19), "stopped by a user": STOPPED_BY_A_USER,
            **{f"status {name}": status(name) for name in OFF}, "just ready": {READY_SINCE: Lag(299)},
            "none is ready": {DOWN: Ago(0)},
            "in another window": {**errors(0.0), **errors(0.9, "1h")},
            "requests of another window": {**requests(0), **requests(900, "1h")}},
        well={**requests(200), **errors(0.01), **errors(0.0, "1h")}),
    Case("DataRobotWorkloadStuckStarting", "critical",
        {**status("launching"), **importance("critical"), **pods(0), START: Ago(0)},
        wait=120, keep=A_START,
        after=960,
        says=WHO + "is stuck: it has been starting for longer than any start should take.",
        also={**{name: Also(status(name)) for name in STARTING}, **CRITICAL_ONLY,
            **{f"softly {name}": Also({**status(name), **importance("high")}, severity="warning") for name in STARTING},
            "softly, with a GPU": Also({f"{W}replica_gpus": 1.0, **importance("high")}, 2760, "warning"),
            "softly, with no GPU": Also({f"{W}replica_gpus": 0.0, **importance("high")}, severity="warning"),
            "softly, a NIM": Also({f"{W}info": None, f'{W}info{{workload_type="nim"}}': 1.0,
                **importance("high")}, 2760, "warning"),
            "softly, a NIM, in capitals": Also({f"{W}info": None, f'{W}info{{workload_type="NIM"}}': 1.0,
                **importance("high")}, 2760, "warning"),
            "with a GPU": Also({f"{W}replica_gpus": 1.0}, 2760),
            "a NIM": Also({f"{W}info": None, f'{W}info{{workload_type="nim"}}': 1.0}, 2760),
            "a NIM, in capitals": Also({f"{W}info": None, f'{W}info{{workload_type="NIM"}}': 1.0}, 2760),
            "no GPU": Also({f"{W}replica_gpus": 0.0}),
            "it changes from word to word": Also({SINCE: Lag(30)}),
            "half of its replicas serve": Also({READY: 1.0}, severity="warning"),
            "one of three serves": Also(pods(1, least=3, live=3)),
            "three of seven serve": Also(pods(3, least=7, live=7)),
            "a candidate's are ready": Also(of_candidate(2)),
            "those of a second one serve": Also(of_second(2), severity="warning")},
        silent={**other_statuses(*STARTING), "a replacement": {f"{W}replacement_active": 1.0},
            "not that long": {START: Lag(890)}, "at zero": SCALED_TO_ZERO,
            "with a GPU, not that long": {f"{W}replica_gpus": 1.0, START: Lag(2690)},
            "a NIM, not that long": {f"{W}info": None, f'{W}info{{workload_type="nim"}}': 1.0, START: Lag(2690)}}),
    Case("DataRobotWorkloadUnschedulable", "critical", {**status("submitted"), **pods(0), **lacking("gpu")}, wait=600,
        keep=CAUSE,
        says=WHO + "has replicas that no node can run (1): GPUs, CPU, memory or a volume are not available.",
        also={**IMPORTANT, **TICKETS, **softly({READY: 1.0}), "of memory": Also({**lacking("memory")}),
            "of two": Also(lacking("gpu", 2), says=WHO + "has replicas that no node can run (2): GPUs, CPU, memory "
                "or a volume are not available."),
            "of a second one that serves": Also({**lacking("gpu", 0), **lacking("cpu", role="serving")}),
            "softly, of a second one that serves": Also({**lacking("gpu", 0), **lacking("cpu", role="serving"),
                **importance("low")}, severity="warning"),
            **CANDIDATES, **SECONDS,
            "one is wanted": Also({LEAST: 1.0}), "one is wanted, and there is none": Also(pods(0, least=1, live=0)),
            **NO_MINIMUM, **HALVED,
            "a candidate is unready": Also({READY: 1.0, UNKNOWN: 0.0,
                **of_candidate(0.0, 0.0)}, severity="warning"),
            "readiness is unknown": Also({UNKNOWN: 1.0}, severity="warning")},
        silent={"nothing lacks": lacking("gpu", 0),
            "of a candidate": {**lacking("gpu", 0), **lacking("cpu", role="candidate")},
            "nothing is reported": dict.fromkeys(lacking("gpu"))},
        well=lacking("gpu", 0)),
    *(Case(alert, "critical", {**status("errored"), **pods(0), **waiting(reasons[0])}, wait=240, keep=CAUSE,
        says=WHO + says.format(1),
        also={**IMPORTANT, **TICKETS, **softly({READY: 1.0}),
            **{reason: Also({**waiting(reasons[0], 0), **waiting(reason)}) for reason in reasons},
            "of two": Also(waiting(reasons[0], 2), says=WHO + says.format(2)),
            "of a second one that serves": Also({**waiting(reasons[0], 0), **waiting(reasons[0], role="serving")}),
            "softly, of a second one that serves": Also({**waiting(reasons[0], 0),
                **waiting(reasons[0], role="serving"), **importance("low")}, severity="warning"),
            **{f"softly {reason}": Also({**waiting(reasons[0], 0), **waiting(reason), **importance("low")},
                severity="warning") for reason in reasons},
            **CANDIDATES, **SECONDS,
            "one is wanted": Also({LEAST: 1.0}), "one is wanted, and there is none": Also(pods(0, least=1, live=0)),
            **NO_MINIMUM, **HALVED,
            "ours are ready, the candidate's not": Also({READY: 1.0, UNKNOWN: 0.0,
                **of_candidate(0.0, 0.0)}, severity="warning"),
            "readiness is unknown": Also({UNKNOWN: 1.0}, severity="warning")},
        silent={f"for {reason}": {**waiting(reasons[0], 0), **waiting(reason)}
            for reason in ("CrashLoopBackOff", "ContainerCreating", "PodInitializing", "other", others)}
            | {"of a candidate": {**waiting(reasons[0], 0), **waiting(reasons[0], role="candidate")}})
      for alert, says, others, reasons in (
        ("DataRobotWorkloadImagePullFailing",
            "has containers whose image cannot be pulled ({}): wrong name or tag, or no access to the registry.",
            "CreateContainerError",
            ("ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError",
                "RegistryUnavailable")),
        ("DataRobotContainerCannotStart",
            "has containers that cannot be created ({}): a secret, a variable, a volume or the command is wrong.",
            "ImagePullBackOff",
            ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")))),
    Case("DataRobotPodSnapshotMissing", "warning", {**status("provisioning"), **pods(None, live=None)},
        wait=60, keep=CAUSE,
        after=960,
        says=WHO + "is starting, but the platform has not reported anything new about its pods for a long time: its "
        "monitor may be stuck.",
        also={**{name: Also(status(name)) for name in STARTING},
            "an old picture": Also({**pods(0, live=0), f"{P}snapshot_timestamp_seconds{{{ACTIVE}}}": Ago(0)}),
            "an old picture, and a new one of a candidate": Also({**pods(0, live=0),
                f"{P}snapshot_timestamp_seconds{{{ACTIVE}}}": Ago(0),
                f"{P}snapshot_timestamp_seconds{{{CANDIDATE}}}": Lag(10)}),
            "an old picture without pods, a candidate with": Also({**pods(0, live=0),
                f"{P}snapshot_timestamp_seconds{{{ACTIVE}}}": Ago(0), f"{P}replicas_live{{{CANDIDATE}}}": 2.0}),
            "and that of a candidate": Also({f'{P}replicas_live{{proton_id="p2",role="candidate"}}': 1.0})},
        silent={**other_statuses(*STARTING), "told": pods(0, live=0), "not that long": {SINCE: Lag(890)},
            "reported for a second one that serves": of_second(live=0),
            "an old picture, and pods of a second one that serves": {**pods(0, live=0), **of_second(live=1),
                f"{P}snapshot_timestamp_seconds{{{ACTIVE}}}": Ago(0)},
            "an old picture of pods": {**pods(0), f"{P}snapshot_timestamp_seconds{{{ACTIVE}}}": Ago(0)},
            "reported recently": {**pods(0, live=0), f"{P}snapshot_timestamp_seconds{{{ACTIVE}}}": Lag(890)},
            "an old picture of the one before": {**pods(0, live=0),
                f'{P}snapshot_timestamp_seconds{{proton_id="p0",role="outgoing"}}': Ago(9000)},
            "we do not know": {f'{W}fresh{{part="pods"}}': 0.0},
            "another part is fresh": {f'{W}fresh{{part="pods"}}': 0.0, f'{W}fresh{{part="events"}}': 1.0}}),
    Case("DataRobotDraftExpiring", "warning", {**artifact("draft"), f"{W}draft_expiry_timestamp_seconds": Ago(-3599)},
        says=WHO + "runs a draft, which the platform stops eight hours after it started. Promote it to keep it "
        "running.",
        also={**IMPORTANT, "moderate": Also(importance("moderate"))},
        silent={"more than an hour": {f"{W}draft_expiry_timestamp_seconds": Lag(-3601)}, "low": importance("low"),
            "stopped by a user": STOPPED_BY_A_USER, **other_statuses("running")}),
    Case("DataRobotImportantOnDraft", "info", artifact("draft"), wait=1800,
        says=WHO + "has high or critical importance and runs a draft, which the platform stops after eight hours.",
        also=IMPORTANT,
        silent={"moderate": importance("moderate"), "stopped by a user": STOPPED_BY_A_USER,
            "locked": artifact("locked"), **other_statuses("running")}),
    Case("DataRobotWorkloadStuckStopping", "warning", status("stopping"), wait=60, after=1260, keep=STATE,
        says=WHO + "has been draining or stopping for longer than expected and still occupies its capacity.",
        also={"draining": Also(status("draining")), "low": Also(importance("low"))},
        silent={**other_statuses("stopping", "draining"), "not that long": {SINCE: Lag(1190)}}),
    Case("DataRobotReplacementFailed", "warning",
        {**importance("critical"), f"{W}replacement_failed_timestamp_seconds": Ago(0)}, wait=60, ends=1800,
        says=WHO + "was not replaced: the previous version still serves, although users may expect the new one.",
        also={"low": Also(importance("low"))},
        silent={"half an hour ago": {f"{W}replacement_failed_timestamp_seconds": Ago(1800)},
            "one under variant": {f"{W}replacement_failed_timestamp_seconds": None, f"{W}replacement_active": 1.0}}),
    Case("DataRobotReplacementStuck", "warning",
        {f"{W}replacement_active": 1.0, f"{W}replacement_deadline_timestamp_seconds": Ago(-1800)}, wait=60, after=1860,
        keep=STATE,
        says=WHO + "has been in replacement for longer than expected; two versions occupy capacity.",
        also={"low": Also(importance("low")), "for half a second": Also({
            f"{W}replacement_deadline_timestamp_seconds": Ago(-1799.5)}, after=1800)},
        silent={"over": {f"{W}replacement_active": 0.0},
            "not that long": {f"{W}replacement_deadline_timestamp_seconds": Lag(-10)}}),
    Case("DataRobotContainerCrashLooping", "critical",
        {**pods(0), DEGRADED: Ago(0), **waiting("CrashLoopBackOff")}, wait=240, keep=CAUSE,
        says=WHO + "has a container that exits soon after each start. Check its last exit code and its log.",
        also={**IMPORTANT, **TICKETS, "and ready all the same": Also({READY: 2.0, DEGRADED: None},
                severity="warning"),
            **NO_MINIMUM,
            **{f"{name}, again and again": variant._replace(page={**variant.page, **waiting("CrashLoopBackOff", 0),
                DEGRADED: None, ENDED: Lag(590), THIRD: Lag(1790)}) for name, variant in NO_MINIMUM.items()},
            **HALVED,
            **SECONDS,
            "softly, of a second one that serves": Also({**waiting("CrashLoopBackOff", 0),
                **waiting("CrashLoopBackOff", role="serving"), **importance("low")}, severity="warning"),
            "of a second one that serves": Also({**waiting("CrashLoopBackOff", 0),
                **waiting("CrashLoopBackOff", role="serving")}),
            "one of two is ready": Also({READY: 1.0}, severity="warning"),
            "again and again": Also({**waiting("CrashLoopBackOff", 0), READY: 2.0, DEGRADED: None, ENDED: Lag(590),
                THIRD: Lag(1790)}, severity="warning"),
            "between two starts": Also({**waiting("CrashLoopBackOff", 0), ENDED: Lag(590)}),
            **{f"{name}, between two starts": Also({**variant.page, **waiting("CrashLoopBackOff", 0), DEGRADED: None,
                ENDED: Lag(590)}) for name, variant in NO_MINIMUM.items() if not variant.severity},
            **{f"softly, {name}, between two starts": Also({**variant.page, **waiting("CrashLoopBackOff", 0),
                DEGRADED: None, ENDED: Lag(590), **importance("low")}, severity="warning")
                for name, variant in NO_MINIMUM.items() if not variant.severity},
            "again and again, and none was ready before": Also({**waiting("CrashLoopBackOff", 0), READY: 2.0,
                DEGRADED: None, ENDED: Lag(299), THIRD: Lag(1790), READY_SINCE: Lag(299)}),
            "again and again, and none was a while ago": Also({**waiting("CrashLoopBackOff", 0), READY: 2.0,
                DEGRADED: None, ENDED: Lag(299), THIRD: Lag(1790), READY_SINCE: Lag(301)}, severity="warning"),
            "again and again, but none lately": Also({**waiting("CrashLoopBackOff", 0), READY: 2.0,
                DEGRADED: None, ENDED: Lag(301), THIRD: Lag(1790), READY_SINCE: Lag(299)}, severity="warning"),
            **CANDIDATES,
            **{f"{name}, between two starts": Also({**waiting("CrashLoopBackOff", 0), ENDED: Lag(590), **variant.page})
                for name, variant in CANDIDATES.items()},
            **{f"softly, {name}, between two starts": Also({**waiting("CrashLoopBackOff", 0), ENDED: Lag(590),
                **variant.page, **importance("low")}, severity="warning") for name, variant in CANDIDATES.items()},
            "softly, between two starts": Also({**waiting("CrashLoopBackOff", 0), ENDED: Lag(590),
                **importance("low")}, severity="warning"),
            **{f"once, {name}": Also({**ONCE, **page}) for name, page in NO_FIRST_START.items()},
            **{f"softly, once, {name}": Also({**ONCE, **page, **importance("low")}, severity="warning")
                for name, page in {**NO_FIRST_START, **NO_FIRST_START_OF_ALL}.items()},
            **{f"once, {name}": Also({**ONCE, **page}, severity="warning")
                for name, page in NO_FIRST_START_OF_ALL.items()},
            "of one": Also({**pods(0, least=1, live=1)}),
            "readiness is unknown": Also({UNKNOWN: 1.0}, severity="warning"),
            "only the candidate is unready": Also({READY: 2.0, DEGRADED: None,
                **of_candidate(0.0, 0.0)}, severity="warning"),
            "readiness of the active one is unknown": Also({READY: None, UNKNOWN: None,
                **of_candidate(0.0, 0.0)}, severity="warning")},
        silent={"of a candidate": {**waiting("CrashLoopBackOff", 0), **waiting("CrashLoopBackOff", role="candidate")},
            **{f"once, {how}{name}": {**ONCE, **page, **rank} for name, page in FIRST_START.items()
                for how, rank in {"": NOTHING, "softly, ": importance("low")}.items()},
            "again and again, not that soon": {**waiting("CrashLoopBackOff", 0), READY: 2.0, DEGRADED: None,
                ENDED: Lag(30), THIRD: Lag(1810), READY_SINCE: Lag(20)},
            "again and again, a while ago": {**waiting("CrashLoopBackOff", 0), READY: 2.0, DEGRADED: None,
                ENDED: Lag(610), THIRD: Lag(1790), READY_SINCE: Lag(20)},
            "for another reason": {**waiting("CrashLoopBackOff", 0), **waiting("ImagePullBackOff")},
            "a while ago": {**waiting("CrashLoopBackOff", 0), ENDED: Lag(610)},
            "once, and ready again": {**waiting("CrashLoopBackOff", 0), **pods(2), DEGRADED: None, ENDED: Lag(30)},
            **{f"once: {name}": {**variant.page, **waiting("CrashLoopBackOff", 0), DEGRADED: None, ENDED: Lag(590)}
                for name, variant in NO_MINIMUM.items() if variant.severity},
            **{f"once, and just ready: {name}": {**variant.page, **waiting("CrashLoopBackOff", 0), DEGRADED: None,
                ENDED: Lag(30), READY_SINCE: Lag(30)} for name, variant in NO_MINIMUM.items() if variant.severity}}),
    Case("DataRobotContainerOOMKilled", "warning", ended("OOMKilled", Ago(0)), ends=1800,
        says=WHO + "has containers that were recently killed because they ran out of memory (1).",
        also={"low": Also(importance("low")), "of two": Also(ended("OOMKilled", Ago(0), 2), says=WHO + "has "
                "containers "
                "that were "
                "recently "
                "killed "
                "because they "
                "ran out of "
                "memory (2).")},
        silent={"half an hour ago": {ENDED: Ago(1800)},
            "for another reason": {**ended("OOMKilled", Ago(0), 0), **ended("Error", Ago(0))}}),
    Case("DataRobotWorkloadReplicasDegraded", "critical", {**pods(2, least=5, live=5), DEGRADED: Ago(0)},
        wait=600, keep=STATE,
        says=WHO + "serves with fewer ready replicas than the minimum in its settings.",
        also={**IMPORTANT, **TICKETS, "three of five": Also({READY: 3.0}, severity="warning"),
            "half": Also(pods(1), severity="warning"), "three of seven": Also(pods(3, least=7, live=7)),
            "one of three": Also(pods(1, least=3, live=3)),
            "one with unknown readiness": Also({UNKNOWN: 1.0}, severity="warning"),
            "one of a second one that serves": Also(of_second(1), severity="warning"),
            "one of a second one that serves may be": Also(of_second(0, 1), severity="warning"),
            "only one of a second one that serves": Also({READY: 0.0, **of_second(1)}),
            "only one of a second one that serves may be": Also({READY: 0.0, **of_second(0, 1)}),
            "only three of a second one that serves": Also({READY: 0.0, **of_second(3)}, severity="warning"),
            "only three of a second one that serves may be": Also({READY: 0.0, **of_second(0, 3)}, severity="warning"),
            "softly, the candidate's do not count": Also({**of_candidate(5, 5), **importance("low")},
                severity="warning"),
            "the candidate's do not count": Also(of_candidate(5, 5)), "errored": Also(status("errored")),
            "an unknown word": Also(status("other"))},
        silent={"all are ready": {READY: 5.0, DEGRADED: None}, "none is ready": {READY: 0.0},
            "not that long": {DEGRADED: Lag(590)},
            "none is ready, of a candidate all": {READY: 0.0, **of_candidate(5)},
            "none is ready, of a candidate it is unknown": {READY: 0.0, **of_candidate(0, 5)},
            **{f"status {name}": status(name) for name in (*STARTING, *OFF)},
            "none has to be": {LEAST: 0.0, DEGRADED: None}, "at zero": SCALED_TO_ZERO,
            "pods that are unknown": pods(None),
            "the candidate's are not ready": {READY: 5.0, DEGRADED: None, **of_candidate(1.0, 0.0)}}),
    Case("DataRobotWorkloadSingleReplica", "info", {**importance("critical"), **pods(1, 1, 1, 1)}, wait=3600,
        says=WHO + "is critical and limited to one replica: every crash and every eviction is an outage.",
        also={"a candidate runs, too": Also({f"{P}replicas_live{{{CANDIDATE}}}": 1.0})},
        silent={"high": importance("high"), "two may run": {MOST: 2.0},
            "a second one serves": of_second(live=1), "stopped": status("stopped"),
            "none may run": {MOST: 0.0}, "two run": {LIVE: 2.0}}),
    Case("DataRobotAutoscalerSaturated", "warning",
        {**pods(4, 1, 4, 4), f'{W}autoscaling_load_ratio{{scaling_metric="httpRequestsConcurrency"}}': 1.5},
        wait=900, keep=USE,
        says=WHO + "runs the maximum number of replicas of its autoscaler, and its load is 1.5 times the target.",
        also={"just so": Also({f'{W}autoscaling_load_ratio{{scaling_metric="httpRequestsConcurrency"}}': 1.0},
                says=WHO + "runs the maximum number of replicas of its autoscaler, and its load is 1 times the "
                "target."),
            "those of a second one that serves count": Also({LIVE: 3.0, **of_second(live=1)}),
            "the candidate's do not count": Also({f'{P}replicas_live{{proton_id="p2",role="candidate"}}': 7.0})},
        silent={"least is most": {LEAST: 4.0}, "room to grow": {LIVE: 3.0},
            "satisfied": {f'{W}autoscaling_load_ratio{{scaling_metric="httpRequestsConcurrency"}}': 0.99},
            "with those of the candidate": {LIVE: 3.0, f'{P}replicas_live{{proton_id="p2",role="candidate"}}': 4.0}},
        well={**pods(2, 1, 2, 4), f'{W}autoscaling_load_ratio{{scaling_metric="httpRequestsConcurrency"}}': 0.5}),
    Case("DataRobotWorkloadMemoryNearLimit", "warning", memory("pod", 95, 100), wait=900, keep=MEMORY,
        says=WHO + "uses 95% of the memory of its resource bundle.",
        also={"of all its pods": Also({**memory("pod", 10, 100), **memory("workload", 190, 100)}),
            "of its three pods": Also({**memory("pod", 10, 100), **memory("workload", 285, 100), LIVE: 3.0,
                f'{P}replicas_live{{proton_id="p2",role="candidate"}}': 9.0})},
        silent={"nine tenths, with a second one that serves": {**memory("pod", 10, 100),
                **memory("workload", 270, 100), **of_second(live=1)},
            "nine tenths": memory("pod", 90, 100), "nine tenths of all": {**memory("pod", 10, 100),
                **memory("workload", 180, 100)},
            "of a container": {**memory("pod", 10, 100), **memory("container", 990, 100)},
            "no bundle is reported": {f"{W}replica_memory_bytes": None}},
        well={**memory("pod", 40, 100), **memory("workload", 80, 100)}),
    Case("DataRobotBundleNotOffered", "warning", {f'{W}bundle_offered{{bundle_id="cpu.small"}}': 0.0}, wait=3600,
        keep=USE,
        says=WHO + "uses a resource bundle that is not in the catalogue: its next start may fail.",
        also={"one of two": Also({f'{W}bundle_offered{{bundle_id="cpu.large"}}': 1.0})},
        silent={"offered": {f'{W}bundle_offered{{bundle_id="cpu.small"}}': 1.0},
            "not reported": {f'{W}bundle_offered{{bundle_id="cpu.small"}}': None}},
        well={f'{W}bundle_offered{{bundle_id="cpu.small"}}': 1.0}),
    Case("DataRobotAccountWorkloadLimitNear", "warning", {f"{A}workloads_active": 23.0}, wait=900, keep=USE,
        who=ACCOUNT,
        says="Account acme uses at least 92% of its limit of active workloads. Workloads that are not shared with "
        "the token's user are not counted.",
        silent={"nine tenths": {f"{A}workloads_active": 22.5}, "no limit": {f"{A}workloads_limit": None}},
        well={f"{A}workloads_active": 10.0, f"{A}workloads_limit": 25.0}),
    Case("DataRobotWorkloadReplicaLimitNear", "warning",
        {LIVE: 46.0, LEAST: 1.0, MOST: 46.0, f"{W}replicas_limit": 50.0}, wait=900, keep=USE,
        says=WHO + "runs the maximum number of replicas of its autoscaler, which is 92% of the most that its account "
        "allows a workload: it cannot grow.",
        also={"those of a second one that serves count": Also({LIVE: 40.0, **of_second(live=6)}),
            "the candidate's do not count": Also({f'{P}replicas_live{{proton_id="p2",role="candidate"}}': 7.0})},
        silent={"nine tenths": {MOST: 45.0, LIVE: 45.0}, "no limit": {LIVE: 46.0, f"{W}replicas_limit": None},
            "below its maximum": {LIVE: 40.0}, "with the candidate's replicas": {LIVE: 40.0,
                f'{P}replicas_live{{proton_id="p2",role="candidate"}}': 46.0},
            "least is most": {LEAST: 46.0, LIVE: 46.0}},
        well={LIVE: 10.0, LEAST: 1.0, MOST: 46.0, f"{W}replicas_limit": 50.0}),
    Case("DataRobotAccountFullSoon", "warning", {f"{A}workloads_full_timestamp_seconds": Ago(-500_000)}, wait=21600,
        who=ACCOUNT,
        says=lambda after: "Account acme will reach its limit of active workloads in "
        f"{_days(500_000 - after)} if they grow as in the last days. Workloads that are not shared with the token's "
        "user are not counted.",
        silent={"in more than a week": {f"{A}workloads_full_timestamp_seconds": Lag(-605_000)},
            "no growth": {f"{A}workloads_full_timestamp_seconds": None}}),
    Case("DataRobotWorkloadIdle", "info", {IDLE: Ago(300_000)}, wait=3600,
        says=WHO + "has ready replicas, which cost money, and has received no request for longer than the setting "
        "`costs.idle_after`.",
        also={"with GPUs": Also({f"{W}replica_gpus": 1.0}, severity="warning"),
            "without GPUs": Also({f"{W}replica_gpus": 0.0})},
        silent={"not idle": {IDLE: None}}),
    Case("DataRobotWorkloadForgotten", "info", {IDLE: Ago(MONTH + 60), UPDATED: Ago(MONTH + 60)}, wait=3600,
        says=WHO + "has received no request and was not changed for a long time, or has been stopped for as long: it "
        "may be no longer needed.",
        also={"stopped": Also({**status("stopped", Ago(MONTH + 60)), IDLE: None, UPDATED: Ago(60)}),
            "suspended": Also({**status("suspended", Ago(MONTH + 60)), IDLE: None, UPDATED: Ago(60)})},
        silent={"idle for less": {IDLE: Lag(MONTH - 10)}, "changed since": {UPDATED: Lag(MONTH - 10)},
            "not idle": {IDLE: None}, "the last change is not reported": {UPDATED: None},
            "stopped for less": {**status("stopped", Lag(MONTH - 10)), IDLE: None},
            "errored for as long": {**status("errored", Ago(MONTH + 60)), IDLE: None}}),
    Case("DataRobotWorkloadOversized", "info", sizing("oversized"), wait=3600,
        says=WHO + "has used so little of its resource bundle in the last days that a cheaper one of the catalogue "
        "would be enough.",
        silent={"it fits": dict.fromkeys(sizing("oversized")),
            "undersized": {**dict.fromkeys(sizing("oversized")), **sizing("undersized")}}),
    Case("DataRobotWorkloadUndersized", "warning", sizing("undersized"), wait=3600,
        says=WHO + "has used nearly all CPU or memory of its resource bundle for more than a twentieth of the last "
        "days.",
        silent={"it fits": dict.fromkeys(sizing("undersized")),
            "oversized": {**dict.fromkeys(sizing("undersized")), **sizing("oversized")}}),
    Case("DataRobotFleetManyFailing", "critical",
        fleet(a="errored", b="errored", c="failed", d="interrupted", e="interrupted"), wait=30, keep=FLEET, who=ACCOUNT,
        says="Account acme has 5 failing workloads. Look for a common cause before investigating each one.",
        also={"down": Also({**fleet(a="running"), DOWN: Ago(0)}),
            **{f"only errors{name}": Also({**ONLY_ERRORS, **page}) for name, page in {"": NOTHING,
                ", few but enough": requests(20), ", ready for long": {READY_SINCE: Lag(310)},
                **{f", {name}": page for name, page in OF_ACCEPTED.items()}}.items()},
            "six of thirty": Also({DOWN: Ago(0), **MORE, **NOT_COUNTED, **fleet(g="running", h="launching",
                i="Hibernating")}, says="Account acme has 6 failing workloads. Look for a common cause "
                "before investigating each one."),
            **{f"of one {name}": Also(of_another("a", page)) for name, page in {
                "three of seven replicas serve": pods(3, least=7, live=7),
                "only a candidate's are ready": {**pods(0), **of_candidate(2)}}.items()},
            "and one more": Also(fleet(f="errored"), says="Account acme has 6 failing workloads. Look for a common "
                "cause before investigating each one.")},
        silent={"half of the replicas of one serve": of_another("a", pods(1)),
            "those of a second version of one serve": of_another("a", {**pods(0), **of_second(2)}),
            "four": fleet(a="running"), "four of ten": {**fleet(a="running"), f"{A}workloads_active": 10.0},
            "of a large account": MORE,
            "stopped by a user": fleet(a="stopped"), "starting": fleet(a="launching"),
            **{f"only errors, {name}": {**ONLY_ERRORS, **page} for name, page in {**NOT_OF_ACCEPTED,
                "just ready": {READY_SINCE: Lag(290)},
                "too few": requests(19), "half": errors(0.5), "of another window": {**errors(0.0), **errors(0.9, "1h")},
                "requests of another window": {**requests(0), **requests(900, "1h")},
                **{f"status {name}": status(name) for name in OFF if name != "interrupted"}}.items()}},
        well=fleet(a="running", b="running", c="running", d="running", e="running", f="running")),
    Case("DataRobotAccountDetailsUnreadable", "warning", {**of_another("a", DENIED),
        **of_another("b", failing(pods="server_error", events="decode")),
        **of_another("c", failing(pods="decode", events="too_large"))}, wait=240, keep=(0, 480), who=ACCOUNT,
        says="Account acme has 3 workloads whose pods and events cannot be read although the list can: their replicas, "
        "crashes and requests are not monitored.",
        also={"others do not count if they should not run": Also(NOT_COUNTED),
            "in another way": Also(of_another("c", {**dict.fromkeys(failing(pods="decode", events="too_large")),
                **failing(pods="too_large", events="server_error")})),
            "and one more": Also(failing(pods="decode", events="decode"), says="Account acme has 4 workloads whose "
                "pods and events cannot be read although the list can: their replicas, crashes and requests are not "
                "monitored.")},
        silent={"of a large account": fleet(p="running"),
            "two of five": {**of_another("a", {f"{W}access_reduced": None}),
                **dict.fromkeys(fleet(**dict.fromkeys("efghijklmn", "running")))},
            **{f"only the {part} of one fail": of_another("b", {other: None})
                for part, other in zip(("events", "pods"), failing(pods="server_error", events="decode"), strict=True)},
            "the server has no pods of one": of_another("c", {**dict.fromkeys(failing(pods="decode")),
                **failing(pods="absent")}),
            "the server has no events of one": of_another("c", {**dict.fromkeys(failing(events="too_large")),
                **failing(events="absent")})},
        well=fleet(**dict.fromkeys("abcdefghijklmn", "running"))),
    Case("DataRobotErrorBudgetBurnFast", "critical", {**errors(0.08), **errors(0.08, "1h")}, wait=120, keep=BUDGET,
        says=WHO + "responds to so many requests with server errors that its error budget will be used up within "
        "hours or days.",
        also={"few but enough": Also({**requests(20), **requests(125, "1h")}), "low": Also(importance("low")),
            "steadily": Also({**errors(0.033), **errors(0.033, "1h"), **errors(0.033, "30m"), **errors(0.033, "6h")}),
            "steadily, few but enough": Also({**requests(1), **errors(0.033), **errors(0.033, "1h"),
                **errors(0.033, "30m"), **errors(0.033, "6h"), **requests(50, "30m"), **requests(304, "6h")}),
            "an unknown word": Also(status("other")), "ready for long": Also({READY_SINCE: Lag(301)}),
            "down again and again, and just ready": Also({READY_SINCE: Lag(10), RECOVERING: Lag(1790)}),
            "down again and again, and now": Also({DOWN: Ago(0), RECOVERING: Lag(1790)}),
            "more than its own objective allows": Also({**OWN, **errors(0.15), **errors(0.15, "1h")}),
            "steadily more than its own objective allows": Also({**OWN, **errors(0.065), **errors(0.065, "1h"),
                **errors(0.065, "30m"), **errors(0.065, "6h")}),
            "an objective of something else": Also(target("readiness", 0.9)),
            "steadily, an objective of something else": Also({**target("readiness", 0.9), **errors(0.033),
                **errors(0.033, "1h"), **errors(0.033, "30m"), **errors(0.033, "6h")})},
        silent={**{f"less than its own objective allows in {window}": {**OWN, **errors(0.15), **errors(0.15, "1h"),
                **errors(0.12, window)} for window in ("5m", "1h")},
            **{f"steadily, less than its own objective allows in {window}": {**OWN, **errors(0.065),
                **errors(0.065, "1h"), **errors(0.065, "30m"), **errors(0.065, "6h"), **errors(0.05, window)}
                for window in ("5m", "30m", "6h")},
            "down again and again, but not lately": {DOWN: Ago(0), RECOVERING: Lag(1810)},
            "a moment": errors(0.07, "1h"), "it is over": errors(0.07),
            "too few errors": {**requests(124, "1h"), **errors(0.5, "6h")},
            "too few requests in the short window": requests(19),
            "steadily, less": {**errors(0.07), **errors(0.06, "1h"), **errors(0.06, "30m"), **errors(0.03, "6h")},
            "steadily, and over": {**errors(0.03), **errors(0.06, "30m"), **errors(0.06, "6h")},
            "steadily, and nearly over": {**errors(0.06), **errors(0.03, "30m"), **errors(0.06, "6h")},
            "steadily, too few errors": {**errors(0.033), **errors(0.033, "1h"), **errors(0.033, "30m"),
                **errors(0.033, "6h"), **requests(300, "6h"), **errors(0.5, "3d")},
            "steadily, too few requests": {**errors(0.033), **errors(0.033, "1h"), **errors(0.033, "30m"),
                **errors(0.033, "6h"), **requests(49, "30m")},
            "requests of another window": {**requests(0, "1h"), **requests(9000)},
            **{f"status {name}": status(name) for name in OFF}, "just ready": {READY_SINCE: Lag(299)},
            "none is ready": {DOWN: Ago(0)}},
        well={**errors(0), **errors(0, "30m"), **errors(0, "1h"), **errors(0, "6h"), **requests(40),
            **requests(200, "30m"), **requests(400, "1h"), **requests(2400, "6h")}),
    Case("DataRobotErrorBudgetBurnSlow", "warning",
        {**errors(0.017, "30m"), **errors(0.017, "2h"), **errors(0.017, "1d")}, wait=3600, keep=BUDGET,
        says=WHO + "has responded to more requests with server errors than its objective allows, for hours or days.",
        also={"few but enough": Also({**requests(50, "2h"), **requests(589, "1d")}),
            "a trickle": Also({**errors(0.0055, "30m"), **errors(0.0055, "6h"), **errors(0.0, "1d"),
                **errors(0.0055, "3d")}),
            "a trickle, few but enough": Also({**errors(0.0055, "30m"), **errors(0.0055, "6h"), **errors(0.0, "1d"),
                **errors(0.0055, "3d"), **requests(50, "6h"), **requests(1819, "3d")}),
            "more than its own objective allows": Also({**OWN, **errors(0.033, "30m"), **errors(0.033, "2h"),
                **errors(0.033, "1d")}),
            "a trickle, more than its own objective allows": Also({**OWN, **errors(0.011, "30m"), **errors(0.011, "6h"),
                **errors(0.0, "1d"), **errors(0.011, "3d")}),
            "an objective of something else": Also(target("readiness", 0.9)),
            "a trickle, an objective of something else": Also({**target("readiness", 0.9), **errors(0.0055, "30m"),
                **errors(0.0055, "6h"), **errors(0.0, "1d"), **errors(0.0055, "3d")})},
        silent={**{f"less than its own objective allows in {window}": {**OWN, **errors(0.033, "30m"),
                **errors(0.033, "2h"), **errors(0.033, "1d"), **errors(0.025, window)}
                for window in ("30m", "2h", "1d")},
            **{f"a trickle, less than its own objective allows in {window}": {**OWN, **errors(0.011, "30m"),
                **errors(0.011, "6h"), **errors(0.0, "1d"), **errors(0.011, "3d"), **errors(0.009, window)}
                for window in ("30m", "6h", "3d")},
            "over for half an hour": errors(0.015, "30m"), "over for two hours": errors(0.015, "2h"),
            "a trickle that is over": {**errors(0.0055, "30m"), **errors(0.005, "6h"), **errors(0, "1d"),
                **errors(0.0055, "3d")},
            "a trickle that is just over": {**errors(0.005, "30m"), **errors(0.0055, "6h"), **errors(0, "1d"),
                **errors(0.0055, "3d")},
            "a trickle within the objective": {**errors(0.0055, "30m"), **errors(0.0055, "6h"), **errors(0, "1d"),
                **errors(0.005, "3d")},
            "within the objective": {**errors(0.005, "30m"), **errors(0.005, "2h"), **errors(0.005, "6h"),
                **errors(0.005, "1d"), **errors(0.005, "3d")},
            "a day, less": errors(0.015, "1d"), "too few errors": {**requests(588, "1d"), **errors(0.5, "3d")},
            "too few requests": requests(49, "2h"),
            "a trickle, too few requests": {**errors(0.0055, "30m"), **errors(0.0055, "6h"), **errors(0, "1d"),
                **errors(0.0055, "3d"), **requests(49, "6h")},
            "a trickle, too few errors": {**errors(0.0055, "30m"), **errors(0.0055, "6h"), **errors(0, "1d"),
                **errors(0.0055, "3d"), **requests(1818, "3d")},
            "requests of another window": {**requests(0, "1d"), **requests(9000)},
            **{f"status {name}": status(name) for name in OFF}},
        well={**errors(0, "30m"), **errors(0, "2h"), **errors(0, "6h"), **errors(0, "1d"), **errors(0, "3d"),
            **requests(400, "2h"), **requests(1200, "6h"), **requests(4800, "1d"), **requests(14400, "3d")}),
    Case("DataRobotLatencyBudgetBurn", "warning", {**slow(0.75), **slow(0.75, "1h")}, wait=900, keep=BUDGET,
        says=WHO + "has responded slowly to more requests than its objective of latency allows: its error budget will "
        "be used up within days or weeks.",
        also={"few but enough": Also({**requests(20), **requests(14, "1h")}),
            "steadily": Also({**slow(0.31), **slow(0.31, "1h"), **slow(0.31, "30m"), **slow(0.31, "6h")}),
            "steadily, few but enough": Also({**requests(1), **slow(0.31), **slow(0.31, "1h"), **slow(0.31, "30m"),
                **slow(0.31, "6h"), **requests(50, "30m"), **requests(33, "6h")}),
            "for a day": Also({**NOT_SLOW, **slow(0.16, "30m"), **slow(0.16, "2h"), **slow(0.16, "1d")}),
            "for a day, few but enough": Also({**NOT_SLOW, **slow(0.16, "30m"), **slow(0.16, "2h"), **slow(0.16, "1d"),
                **requests(50, "2h"), **requests(63, "1d")}),
            "a trickle": Also({**NOT_SLOW, **slow(0.055, "30m"), **slow(0.055, "6h"), **slow(0.055, "3d")}),
            "a trickle, few but enough": Also({**NOT_SLOW, **slow(0.055, "30m"), **slow(0.055, "6h"),
                **slow(0.055, "3d"), **requests(50, "6h"), **requests(182, "3d")}),
            "an unknown word": Also(status("other"))},
        silent={"a moment": slow(0.7, "1h"), "it is over": slow(0.7),
            "too few slow ones": {**requests(13, "1h"), **slow_ratio(1, "6h")},
            "too few requests in the short window": requests(19),
            "requests of another window": {**requests(0, "1h"), **requests(9000)},
            "no objective of latency": {name: None for window in ("5m", "1h") for name in burn("latency", 0, window)},
            "steadily, less": {**slow(0.31), **slow(0.31, "1h"), **slow(0.31, "30m"), **slow(0.29, "6h")},
            "steadily, and over": {**slow(0.29), **slow(0.31, "1h"), **slow(0.31, "30m"), **slow(0.31, "6h")},
            "steadily, and nearly over": {**slow(0.31), **slow(0.31, "1h"), **slow(0.29, "30m"), **slow(0.31, "6h")},
            "steadily, too few slow ones": {**slow(0.31), **slow(0.31, "1h"), **slow(0.31, "30m"), **slow(0.31, "6h"),
                **requests(32, "6h"), **slow_ratio(1, "3d")},
            "steadily, too few requests": {**slow(0.31), **slow(0.31, "1h"), **slow(0.31, "30m"), **slow(0.31, "6h"),
                **requests(49, "30m")},
            **{f"for a day, less in {window}": {**NOT_SLOW, **slow(0.16, "30m"), **slow(0.16, "2h"), **slow(0.16, "1d"),
                **slow(0.14, window)} for window in ("30m", "2h", "1d")},
            "for a day, too few slow ones": {**NOT_SLOW, **slow(0.16, "30m"), **slow(0.16, "2h"), **slow(0.16, "1d"),
                **requests(62, "1d"), **slow_ratio(1, "3d")},
            "for a day, too few requests": {**NOT_SLOW, **slow(0.16, "30m"), **slow(0.16, "2h"), **slow(0.16, "1d"),
                **requests(49, "2h")},
            **{f"a trickle, less in {window}": {**NOT_SLOW, **slow(0.055, "30m"), **slow(0.055, "6h"),
                **slow(0.055, "3d"), **slow(0.045, window)} for window in ("30m", "6h", "3d")},
            "a trickle, too few slow ones": {**NOT_SLOW, **slow(0.055, "30m"), **slow(0.055, "6h"), **slow(0.055, "3d"),
                **requests(181, "3d"), **slow_ratio(1, "2h")},
            "a trickle, too few requests": {**NOT_SLOW, **slow(0.055, "30m"), **slow(0.055, "6h"), **slow(0.055, "3d"),
                **requests(49, "6h")},
            **{f"status {name}": status(name) for name in OFF}},
        well={**NOT_SLOW, **requests(40), **requests(200, "30m"), **requests(400, "1h"), **requests(800, "2h"),
            **requests(2400, "6h"), **requests(9600, "1d"), **requests(28800, "3d")}),
    Case("DataRobotReadinessBudgetBurn", "warning", burn("readiness", 3.1, "1d"), wait=900,
        says=WHO + "was without a ready replica for so much of the last days that the error budget of its objective of "
        "readiness will be used up.",
        also={"for three days": Also({**burn("readiness", 2.9, "1d"), **burn("readiness", 1.1, "3d")}),
            "an unknown word": Also(status("other"))},
        silent={"less": burn("readiness", 2.9, "1d"),
            "for three days, less": {**burn("readiness", 2.9, "1d"), **burn("readiness", 0.9, "3d")},
            "an objective of something else": {**burn("readiness", 0, "1d"), **burn("availability", 9, "1d"),
                **burn("availability", 9, "3d")},
            "another window": {**burn("readiness", 0, "1d"), **burn("readiness", 9, "6h")},
            **{f"status {name}": status(name) for name in OFF}},
        well={**burn("readiness", 0, "1d"), **burn("readiness", 0, "3d")}),
    Case("DataRobotWorkloadLatencyHigh", "warning", {**response(12), **requests(200)}, wait=480, keep=BUDGET,
        says=WHO + "takes 12s or more to respond to one request in twenty.",
        also={"few but enough": Also(requests(20))},
        silent={"ten seconds": response(10), "too few requests": requests(19),
            "another quantile": {**response(0.2), **response(20, "0.99")},
            "another window": {**response(0.2), **response(20, window="1h")},
            "requests of another window": {**requests(0), **requests(900, "1h")}},
        well={**response(0.2), **requests(200)}),
    Case("DataRobotWorkloadRefusesCallers", "warning", {**refused(0.6), **requests(200)}, wait=900, keep=BUDGET,
        says=WHO + "responded to 60% of its requests with 400 to 499: callers are throttled, not authorized, or "
        "send invalid requests.",
        also={"few but enough": Also(requests(20))},
        silent={"half": refused(0.5), "too few requests": requests(19), "another window": {**refused(0),
            **refused(0.9, "1h")}, "requests of another window": {**requests(0), **requests(900, "1h")}},
        well={**refused(0.1), **requests(200)}),
    Case("DataRobotWorkloadTrafficStopped", "warning", requests(0, "1h"), wait=600,
        says=WHO + "received no requests in the last hour but many over the last day: its callers may be broken.",
        also={"busy enough": Also(requests(1000, "1d"))},
        silent={"never busy": requests(999, "1d"), "one request": requests(1, "1h"), "not reported": {**dict.fromkeys(
            requests(0, "1h"))}, "stopped by a user": STOPPED_BY_A_USER,
            "of another window": {**requests(50, "1h"), **requests(0, "6h")},
            "busy by another window": {**requests(10, "1d"), **requests(5000, "3d")}},
        well={**requests(50, "1h"), **requests(5000, "1d")}),
    # -- the exporter itself
    Case("DataRobotExporterDown", "critical", {"up": 0.0}, wait=180,
        who={"instance": "a:1", "job": "datarobot"},
        says="Prometheus cannot scrape the exporter a:1: unless other replicas hold its accounts, no workload is "
        "monitored.",
        also={"another replica holds an account": Also({f'{X}unit_held{{instance="b:1"}}': 1.0}, severity="warning"),
            "another replica holds none": Also({f'{X}unit_held{{instance="b:1"}}': 0.0})},
        silent={"up": {"up": 1.0}}),
    Case("DataRobotAccountNotHeld", "critical", {HELD_BY_A: 0.0, HELD_BY_B: 0.0}, wait=120, who=ACCOUNT,
        says='No replica that Prometheus can scrape holds the account "acme" (empty: what all replicas share, such as '
        "alarms about the exporter): it is not monitored.",
        also={"the only replica does not hold it": Also({HELD_BY_B: None})},
        silent={"one of two holds it": {HELD_BY_B: 1.0}, "no leases": {HELD_BY_A: None, HELD_BY_B: None}},
        well={HELD_BY_A: 1.0, HELD_BY_B: 0.0}),
    Case("DataRobotExporterLeasesExpired", "warning", {f"{X}lease_remaining_seconds": 0.0}, wait=60,
        who={"instance": "a:1", "job": "datarobot"},
        says="The leases of the exporter a:1 have run out: the database does not respond to it. Another replica may "
        "take its accounts.",
        also={"those of another do not": Also({f'{X}lease_remaining_seconds{{instance="b:1"}}': 13.0})},
        silent={"a second remains": {f"{X}lease_remaining_seconds": 1.0},
            "no leases": {f"{X}lease_remaining_seconds": None}},
        well={f"{X}lease_remaining_seconds": 13.0}),
    Case("DataRobotApiUnreachable", "critical", {f"{X}api_up": 0.0}, wait=180, keep=(600, 0), who=ACCOUNT, held=300,
        says="No sweep of account acme completes; datarobot_exporter_sweep_failures_total has the reason.",
        silent={"it answers": {f"{X}api_up": 1.0}, "not reported": {f"{X}api_up": None}}),
    Case("DataRobotDataStale", "critical", swept(Ago(0)), wait=60, after=180, keep=(540, 0), held=120,
        who=ACCOUNT, says=lambda at: f"The last complete sweep of account acme was {_minutes(at)} ago.",
        also={"a longer interval": Also(swept(Ago(0), 60), after=360),
            "none was since it was begun again": Also({**NEVER, BEGUN: Ago(0)}, after=120,
                says=lambda at: "The last complete sweep of account acme was "
                f"{_minutes(at + 70 if at <= 240 else at)} ago."),
            "none was since then, and a longer interval": Also({**swept(None, 60), BEGUN: Ago(0)}, after=360),
            "another schedule is not": Also({name.replace("status", "slow"): value
                for name, value in swept(Lag(10)).items()}),
            "another schedule is slower": Also({name.replace("status", "slow"): value
                for name, value in swept(Ago(9000), 900).items()})},
        always={"never": NEVER, "never, and just begun": {**NEVER, BEGUN: Lag(150)},
            "never, and only another schedule has begun": {**NEVER, BEGUN.replace("status", "slow"): Ago(9000)}},
        silent={"five intervals": swept(Lag(150)), "begun long ago": {**swept(Lag(10)), BEGUN: Ago(90000)},
            "of another schedule": {**swept(Lag(10)),
            f'{X}sweep_last_success_timestamp_seconds{{lane="slow"}}': Ago(9000)}}),
    Case("DataRobotTokenRejected", "critical",
        {f"{X}api_up": 0.0, f'{X}sweep_failures_total{{lane="status",reason="auth"}}': Grows(1)}, wait=120,
        keep=(660, 0), who=ACCOUNT,
        says="The API rejects the token of account acme: it was revoked, has expired, or lacks a permission.",
        also={"forbidden": Also({f'{X}sweep_failures_total{{lane="status",reason="auth"}}': 0.0,
            f'{X}sweep_failures_total{{lane="status",reason="forbidden"}}': Grows(1)}),
            "refused once, then something else": Also({f'{X}sweep_failures_total{{lane="status",reason="auth"}}': 1.0},
                ends=300)},
        silent={"another reason": {f'{X}sweep_failures_total{{lane="status",reason="auth"}}': 0.0,
            f'{X}sweep_failures_total{{lane="status",reason="timeout"}}': Grows(1)},
            "it answers": {f"{X}api_up": 1.0}},
        well={f'{X}sweep_failures_total{{lane="status",reason="{reason}"}}': 0.0
            for reason in ("auth", "forbidden", "timeout")}),
    Case("DataRobotApiRateLimited", "warning",
        {f'{X}api_requests_total{{code="429",endpoint="workloads"}}': Grows(6)}, wait=900, after=750, who=ACCOUNT,
        lingers=120, says="The API responds to 5.941% of the requests for account acme with 429.",
        silent={"one in twenty": {f'{X}api_requests_total{{code="429",endpoint="workloads"}}': Grows(5)},
            "errors of another kind": {f'{X}api_requests_total{{code="429",endpoint="workloads"}}': Grows(0),
                f'{X}api_requests_total{{code="503",endpoint="workloads"}}': Grows(50)}},
        well={f'{X}api_requests_total{{code="200",endpoint="workloads"}}': Grows(95),
            f'{X}api_requests_total{{code="429",endpoint="workloads"}}': Grows(0)}),
    Case("DataRobotApiUnknownAnswers", "warning",
        {f'{X}api_rejects_total{{path="$.status",reason="type"}}': Grows(1)}, wait=900, lingers=900,
        who=ACCOUNT,
        says="Responses for account acme contain items that could not be read and were left out, or unknown "
        "statuses.",
        also={f"a new {field}": Also({f'{X}api_rejects_total{{path="$.status",reason="type"}}': 0.0,
            f'{X}api_unknown_values_total{{field="{field}"}}': Grows(1)})
            for field in ("status", "replacement.status")},
        silent={"a new type": {f'{X}api_rejects_total{{path="$.status",reason="type"}}': 0.0,
            f'{X}api_unknown_values_total{{field="type"}}': Grows(1)}},
        well={f'{X}api_rejects_total{{path="$.status",reason="type"}}': 0.0,
            **{f'{X}api_unknown_values_total{{field="{field}"}}': 0.0
                for field in ("status", "replacement.status", "type")}}),
    Case("DataRobotExporterDetailsStale", "warning", {f'{X}detail_stale{{part="pods"}}': 3.0}, wait=1800, keep=STATE,
        held=300, who={**ACCOUNT, "part": "pods"},
        says="The part pods of 3 workloads of account acme is stale.",
        also={"of one": Also({f'{X}detail_stale{{part="pods"}}': 1.0},
            says="The part pods of 1 workloads of account acme is stale.")},
        silent={"of none": {f'{X}detail_stale{{part="pods"}}': 0.0}},
        well={f'{X}detail_stale{{part="pods"}}': 0.0}),
    Case("DataRobotExporterSeriesLimit", "warning", {f"{X}series_left_out_workloads": 2.0}, wait=900, held=300,
        who={"job": "datarobot"},
        says="At least 2 workloads have no series because metrics.series_limit is reached. No alert covers them.",
        also={"one": Also({f"{X}series_left_out_workloads": 1.0},
            says="At least 1 workloads have no series because metrics.series_limit is reached. No alert covers them.")},
        silent={"none": {f"{X}series_left_out_workloads": 0.0}}, well={f"{X}series_left_out_workloads": 0.0}),
    Case("DataRobotExporterStateNotKept", "warning", {f"{X}state_commit_failures_total": Grows(1)}, wait=900,
        lingers=900, who={"job": "datarobot"},
        says="Counters continue in memory, but a restart would lose what was counted since the last write. The disk "
        "may be full.",
        silent={"kept": {f"{X}state_commit_failures_total": 0.0}}, well={f"{X}state_commit_failures_total": 0.0}),
    Case("DataRobotExporterCannotNotify", "critical",
        {f"{X}notification_failing_seconds{{receiver=\"phone\"}}": 301.0}, wait=60, keep=(480, 0),
        who={"job": "datarobot"},
        says="A receiver of direct paging has not accepted a notification for 5m 1s.",
        silent={"five minutes": {f"{X}notification_failing_seconds{{receiver=\"phone\"}}": 300.0}},
        well={f"{X}notification_failing_seconds{{receiver=\"phone\"}}": 0.0}),
    Case("DataRobotExporterReloadFailed", "warning", {f"{X}config_last_reload_successful": 0.0}, wait=300,
        who={"job": "datarobot"},
        says="The new settings are invalid and the previous ones are still in force. The exporter's log lists the "
        "errors.",
        silent={"good": {f"{X}config_last_reload_successful": 1.0}},
        well={f"{X}config_last_reload_successful": 1.0}),
)  # fmt: skip
BY_NAME = {case.alert: case for case in CASES}
