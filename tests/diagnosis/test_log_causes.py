"""Which likely cause the end of a log names, and when it names none: a wrong cause is worse than none."""

from datetime import UTC, datetime

import pytest

from exporter.alerting.rules import DEFAULT
from exporter.api.details import LogRecord
from exporter.diagnosis.causes import CAUSES
from exporter.diagnosis.diagnosis import diagnosis
from exporter.diagnosis.log_causes import LOG_CAUSES, MIXED_LOG, cause_with_log, evidence_with_log
from exporter.diagnosis.log_signs import MAX_AFTER, OLD, OLDER, SIGNS, LogSigns, log_signs
from exporter.diagnosis.phrases import MAX_EVIDENCE_CHARACTERS
from exporter.diagnosis.pod_causes import Cause
from exporter.diagnosis.wording import evidence
from exporter.fleet.workload_state import WorkloadState
from tests.diagnosis.test_diagnosis import NOW, UNREADY, both, crashing, state, unread, waiting
from tests.make import container, pods, replica

MODULE = "ModuleNotFoundError: No module named 'lightgbm'"
REFUSED = "psycopg.OperationalError: connection to server at 10.0.0.7, port 5432 failed: Connection refused"
TIMED_OUT = "httpx.ReadTimeout: the read operation timed out"
UNKNOWN_ERROR = "ERROR the checksum of the model is wrong"
HEAD = "Traceback (most recent call last):"
FRAME = '  File "/app/serve.py", line 3, in <module>'
LISTENS, LOADS, OTHER = "listening on 0.0.0.0:8080", "loading shards of the model", "scored 3 rows"


def log(*lines: str | None, age: float = 0.0, apart: float = 1.0) -> list[LogRecord]:
    """These lines, written in this order and so many seconds apart; as the API reports them, newest first."""
    times = [NOW - age - apart * number for number in range(len(lines))]
    shown = [datetime.fromtimestamp(at, UTC).isoformat() for at in times]
    return [LogRecord(at, None, line) for at, line in zip(shown, reversed(lines), strict=True)]


CRASH, MODULE_MISSING, REFUSES = [HEAD, FRAME, MODULE], "module or library missing", "connection refused"


@pytest.mark.parametrize(
    ("lines", "dominant"),
    [
        # one sign
        (log(MODULE), MODULE_MISSING),
        (log(*CRASH), MODULE_MISSING),
        (log(*[*CRASH, OTHER] * 3), MODULE_MISSING),
        (log("\n".join(CRASH)), MODULE_MISSING),
        (log(REFUSED, "\tIs the server running on that host?", "Application startup failed. Exiting."), REFUSES),
        (log(REFUSED, "During handling of the above exception, another exception occurred:", REFUSED), REFUSES),
        (log(*[MODULE] * 6, HEAD), MODULE_MISSING),
        # signs that contradict each other
        (log(MODULE, REFUSED), ""),
        (log(*[REFUSED] * 9, MODULE), ""),
        (log(MODULE, *[REFUSED] * 2), ""),
        (log(MODULE, *[REFUSED] * 3), REFUSES),
        (log(*[REFUSED] * 3, "KeyError: 'region'"), ""),
        # errors that no sign explains
        (log(*[TIMED_OUT] * 5, UNKNOWN_ERROR), ""),
        (log(UNKNOWN_ERROR, TIMED_OUT), ""),
        (log(UNKNOWN_ERROR, *[TIMED_OUT] * 3), "time-out"),
        (log(TIMED_OUT, TIMED_OUT, f"{HEAD}\n{FRAME}\nmodels.Gone: region"), ""),
        (log(HEAD, FRAME, "models.Gone: region"), ""),
        (log(*[TIMED_OUT] * 5, "Uncaught exception: the model is gone"), ""),
        # too far from the end
        (log(*CRASH, *[OTHER] * MAX_AFTER), MODULE_MISSING),
        (log(*CRASH, *[OTHER] * (MAX_AFTER + 1)), ""),
        (log(*CRASH, OTHER, apart=OLDER), MODULE_MISSING),
        (log(*CRASH, OTHER, apart=OLDER + 1), ""),
        # a slow start
        (log(LOADS, LOADS, LOADS), "still loading"),
        (log(LOADS, LISTENS), ""),
        (log(OTHER, LISTENS), "listening for requests"),
        (log(LISTENS, TIMED_OUT), "time-out"),
        (log(HEAD, FRAME, LISTENS), ""),
        (log(UNKNOWN_ERROR, LISTENS), ""),
        # nothing
        (log(), ""),
        (log(None, ""), ""),
        (log(OTHER, 'GET /score HTTP/1.1 401 Unauthorized'), ""),
        ([LogRecord(None, None, MODULE)], ""),
        ([LogRecord(None, None, MODULE), *log(OTHER)], ""),
    ],
)  # fmt: skip
def test_a_sign_dominates_if_nothing_else_can_explain_the_end_of_the_log(lines: list[LogRecord], dominant: str) -> None:
    assert log_signs(lines).dominant == dominant


ADD_MODULE = "Add the module or library that its log names to the image or its requirements, and replace the artifact."
CRASHES = state("errored", crashing(1))
NEW = state("errored", crashing(1), ledger={"newest": {"replacement_completed": NOW - 3600}})
STARTS = state("launching", UNREADY)


@pytest.mark.parametrize(
    ("of", "lines", "text", "next_step"),
    [
        (CRASHES, log(*CRASH),
         "Its process exits with an error (exit code 1); its log reports that a module or library is missing.",
         ADD_MODULE),
        (NEW, log(*CRASH),
         "Its process exits with an error (exit code 1), and its version is new; its log reports that a module or "
         "library is missing.",
         f"If the previous version worked, go back to its artifact first. {ADD_MODULE}"),
        (state(reported=crashing(2)), log("serve.py: can't open file: No such file or directory"),
         "Its process exits with an error (exit code 2); its log reports that a file or command is missing.",
         "Add the file or command that its log names to the image, or correct its path, and replace the artifact."),
        (STARTS, log(REFUSED),
         "Its containers run, but its readiness probe has not passed yet; its log reports that a connection is "
         "refused.",
         "Check that the service that its log names is running, and that the workload uses the right address and "
         "port."),
        (STARTS, log(LISTENS),
         "Its containers run, but its readiness probe has not passed yet; its log reports that it is listening for "
         "requests.",
         "Compare the probe's port and path with those on which it listens. If they are the same, it responds to the "
         "probe with an error, or too late."),
    ],
    ids=["a crash", "a crash of a new version", "a crash with arguments", "a start that waits", "a start that listens"],
)  # fmt: skip
def test_the_likely_cause_and_the_next_step_are_those_of_the_log(
    of: WorkloadState, lines: list[LogRecord], text: str, next_step: str
) -> None:
    found = cause_with_log(diagnosis(of, NOW, DEFAULT).cause, log_signs(lines), NOW)
    assert (found.text, found.next_step) == (text, next_step)


@pytest.mark.parametrize(
    ("of", "lines"),
    [
        (CRASHES, log()),
        (CRASHES, log(MODULE, REFUSED)),
        (CRASHES, log(MODULE, age=OLD + 1)),
        (CRASHES, log(LISTENS)),
        (CRASHES, log("connection reset by peer")),
        (CRASHES, log("Uncaught exception: the model is gone")),
        (state(reported=crashing(137, "OOMKilled")), log(MODULE)),
        (state(reported=waiting("ImagePullBackOff")), log(MODULE)),
        (state(), log(MODULE)),
        (state(reported=both(crashing(1), UNREADY)), log(MODULE)),
        (state(reported=unread(both(crashing(1), UNREADY), c="server_error")), log(MODULE)),
        (state(reported=pods(replica(container()), replica(container(ready=False)))), log(MODULE)),
        (state(reported=pods(replica(container(name="lrs-p-other"), container(ready=False)))), log(MODULE)),
    ],
    ids=["no lines", "two signs", "an old log", "a crash of what listens", "lost connections", "an exception",
         "the cause is certain", "no container ran", "no problem", "a version is being rolled out",
         "a version could not be read",
         "another replica is ready", "the pod has another container"],
)  # fmt: skip
def test_otherwise_the_log_changes_no_cause(of: WorkloadState, lines: list[LogRecord]) -> None:
    cause = diagnosis(of, NOW, DEFAULT).cause
    assert cause_with_log(cause, log_signs(lines), NOW) == cause
    shown = evidence(diagnosis(of, NOW, DEFAULT))
    assert evidence_with_log(shown, log_signs(lines), NOW) == shown


def test_if_the_log_also_has_lines_of_other_containers_the_next_step_says_so() -> None:
    assert MIXED_LOG not in diagnosis(CRASHES, NOW, DEFAULT).cause.next_step
    mixed = diagnosis(state(reported=both(crashing(1), UNREADY)), NOW, DEFAULT)
    assert mixed.cause.next_step.endswith(f". {MIXED_LOG}")


LOGS = [LogSigns(1, (), NOW, shows) for shows in LOG_CAUSES]
EXPLAINED = [cause for cause in CAUSES if cause.observed]


@pytest.mark.parametrize("cause", EXPLAINED, ids=lambda cause: cause.name)
def test_a_page_and_explain_name_the_same_cause_in_whole_sentences(cause: Cause) -> None:
    page = (("Likely cause", cause.text), ("Next step", cause.next_step), ("State", "errored"))
    assert cause.text.startswith(cause.observed) or cause.name == "exit_arguments"  # errors have this code, too
    for signs in LOGS:
        found = cause_with_log(cause, signs, NOW)
        assert evidence_with_log(page, signs, NOW) == (
            ("Likely cause", found.text), ("Next step", found.next_step), page[2],
        )  # fmt: skip
        assert found.name == cause.name
        assert len(found.text) <= MAX_EVIDENCE_CHARACTERS
        assert len(found.next_step) <= MAX_EVIDENCE_CHARACTERS


def test_a_log_explains_crashes_and_missing_readiness_of_the_serving_version() -> None:
    assert sorted(cause.name for cause in EXPLAINED) == [
        "crashing", "crashing_unchanged", "ended", "ended_unchanged", "exit_arguments", "exit_error",
        "exit_error_since_change", "exit_error_unchanged", "failed_unready", "failed_unready_for_long", "none_ready",
        "none_ready_any_more", "none_ready_at_once", "none_ready_for_long", "start_unready", "start_unready_for_long",
    ]  # fmt: skip


def test_each_sign_names_a_cause_but_those_that_do_not_show_one() -> None:
    assert [sign.shows for sign in SIGNS if sign.shows not in LOG_CAUSES] == [
        "connection lost",
        "exception",
        "traceback",
    ]
    assert not LOG_CAUSES.keys() - {sign.shows for sign in SIGNS}


def test_a_page_without_a_likely_cause_is_unchanged() -> None:
    assert evidence_with_log((("Unknown", "it"),), LOGS[0], NOW) == (("Unknown", "it"),)
