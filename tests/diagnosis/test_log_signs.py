"""Signs in a log: which lines report which cause, and that no text of a log is in them."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.api.details import LogRecord
from exporter.diagnosis.causes import CAUSES
from exporter.diagnosis.log_signs import MAX_CHARACTERS, SIGNS, LogSigns, is_worth_reading, log_signs, sign_words

NOW = 1_792_915_200.0


@pytest.mark.parametrize(
    ("line", "sign"),
    [
        # connections
        ("could not connect to server: Connection refused (10.3.7.21:5432)", "connection refused"),
        ("Error: connect ECONNREFUSED 127.0.0.1:6379", "connection refused"),
        ("OSError: Multiple exceptions: [Errno 111] Connect call failed ('10.0.0.1', 80)", "connection refused"),
        ("dial tcp: lookup features on 10.0.0.2:53: no such host", "host name not found"),
        ("socket.gaierror: [Errno -2] Name or service not known", "host name not found"),
        ("read tcp 10.1.2.3:5000: connection reset by peer", "connection lost"),
        ("httpx.ReadTimeout: The read operation timed out", "time-out"),
        ("rpc error: code = DeadlineExceeded desc = context deadline exceeded", "time-out"),
        ("requests.exceptions.SSLError: [SSL: CERTIFICATE_VERIFY_FAILED]", "certificate not accepted"),
        ("FATAL: sorry, too many clients already", "too many connections"),
        # credentials and limits
        ("401 Client Error: Unauthorized for url: https://features.test/v1", "credentials refused (401 or 403)"),
        ('upstream answered status=403 body="{}"', "credentials refused (401 or 403)"),
        ("botocore.exceptions.ClientError: An error occurred (AccessDenied)", "credentials refused (401 or 403)"),
        ("the token has expired", "credentials refused (401 or 403)"),
        ("openai.RateLimitError: Error code: 429", "rate limit or quota reached"),
        # resources
        ("torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", "GPU out of memory"),
        ("java.lang.OutOfMemoryError: Java heap space", "out of memory"),
        ("RuntimeError: No CUDA-capable device is detected", "GPU not usable"),
        ("OSError: [Errno 28] No space left on device: '/cache'", "no space left on the disk"),
        # the image and its settings
        ("exec /app/start: exec format error", "built for another CPU architecture"),
        ("ModuleNotFoundError: No module named 'lightgbm'", "module or library missing"),
        ("python: can't open file 'serve.py': [Errno 2] No such file or directory", "file or command missing"),
        ("[Errno 98] error while attempting to bind on ('0.0.0.0', 8080): address already in use",
         "port already in use"),
        ("PermissionError: [Errno 13] Permission denied: '/models'", "permission denied"),
        ("environment variable MODEL_ID is not set", "setting missing or invalid"),
        # its code
        ("Traceback (most recent call last):", "traceback"),
        ("Uncaught exception: the model is gone", "exception"),
        ("Uncaught exception: TypeError: the model is None", "error in its code"),
        ("KeyError: 'customer_id'", "error in its code"),
        ("panic: runtime error: index out of range", "error in its code"),
        # no errors
        ("Loading checkpoint shards:  38%|###8      | 3/8", "still loading"),
        ("Uvicorn running on http://0.0.0.0:8080 (Press CTRL+C to quit)", "listening for requests"),
        ("    Is the server running on that host and accepting TCP/IP connections?", None),
        ("listening again: the server is running", "listening for requests"),
        ('10.0.0.7 - - "POST /score HTTP/1.1" 401 Unauthorized', None),
        ("request timeout: 30 s, pool timeout = 5", None),
        ("scored 403 rows in 401 ms", None),
        ("", None),
        (None, None),
    ],
)  # fmt: skip
def test_a_line_reports_a_cause(line: str | None, sign: str | None) -> None:
    found = log_signs([LogRecord(None, "ERROR", line)]).found
    assert [each.shows for each in found] == ([] if sign is None else [sign])


TEXTS = {"refused": "connection refused", "timeout": "timed out", "ready": "listening on 8080", "other": "hello"}
AT = "2026-10-25T08:00:00Z"


def lines(at: str | None = AT, **counts: int) -> list[LogRecord]:
    return [LogRecord(at, None, TEXTS[name]) for name, number in counts.items() for _ in range(number)]


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ([], ""),
        (lines(other=1), "the last line contains no known error"),
        (lines(other=40), "none of the last 40 lines contains a known error"),
        (lines(refused=1), "connection refused in the last line"),
        (lines(timeout=2, other=3, refused=5), "connection refused in 5 of the last 10 lines; time-out in 2"),
        (lines(ready=9, timeout=1), "time-out in 1 of the last 10 lines; listening for requests in 9"),
        (lines("2026-10-25T07:30:00Z", timeout=1) + lines(other=1),
         "time-out in 1 of the last 2 lines, until 30 min before its end"),
        (lines("2026-10-25T02:00:00Z", timeout=2), "time-out in 2 of the last 2 lines; its last line is 6 h old"),
        (lines(None, timeout=1) + lines("no time", other=1), "time-out in 1 of the last 2 lines"),
    ],
    ids=["no lines", "one line", "nothing known", "one line with a sign", "most frequent first", "errors first",
         "an error that is over", "an old log", "no time"],
)  # fmt: skip
def test_signs_as_text(records: list[LogRecord], words: str) -> None:
    assert sign_words(log_signs(records), NOW) == words


def test_a_sign_has_the_time_of_its_newest_line() -> None:
    times = ("2026-10-25T08:00:00Z", "2026-10-25T08:09:00Z", None, "no time")
    (found,) = log_signs([LogRecord(at, None, "timed out") for at in times]).found
    assert (found.lines, found.newest) == (4, 1_792_915_740.0)


def test_the_end_of_a_very_long_line_is_not_searched() -> None:
    assert log_signs([LogRecord(None, None, "x" * MAX_CHARACTERS + " timed out")]) == LogSigns(1)


@given(st.lists(st.text(max_size=40), max_size=3))
@example(["token hunter2 of me@example.test: connection refused", "hunter2 timed out"])
def test_only_fixed_words_counts_and_times_are_shown(texts: list[str]) -> None:
    words = sign_words(log_signs([LogRecord(AT, None, text) for text in texts]), NOW)
    for fixed in (
        *(sign.shows for sign in SIGNS),
        "none of the last",
        "contains no known error",
        "contains a known error",
        "the last",
        "lines",
        "line",
        "in",
        "of",
    ):
        words = words.replace(fixed, "")
    assert not words.strip(" ();0123456789")


def test_a_log_is_read_for_causes_whose_next_step_is_to_read_it() -> None:
    read = {cause.name for cause in CAUSES if is_worth_reading(cause.next_step)}
    assert {"outage", "errors", "outage_since_start"} <= read
    assert not read & {"deleted", "unschedulable_gpu", "memory_near_limit"}
    assert not is_worth_reading("Check its activity log for who terminated it.")
