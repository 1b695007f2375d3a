"""Signs of known causes in a workload's log, by a fixed list of words, so that a page needs no text of the log.

An application may log secrets and personal data. What leaves this module are the phrases of `SIGNS`, counts and times.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from exporter.api.details import LogRecord
from exporter.api.models import timestamp
from exporter.diagnosis.fleet_table import lasted

MAX_CHARACTERS = 1000
"""Characters of a log line that are searched."""
MAX_SIGNS = 3
"""Signs that are stated, the most frequent ones."""
OLD, OLDER = 3600.0, 600.0
"""Seconds after which the last line of a log, and the last line with a sign compared with it, are called old."""
MAX_AFTER = 20
"""Lines after the newest one with a sign that dominates the log: a stack trace, or the next start of the process."""
DOMINANT_SHARE = 0.75
"""Of the lines with errors, the ratio that a dominant sign has at least."""


class Sign(NamedTuple):
    """What lines report, as shown, and their pattern, for lower case.

    `error` False: it explains a slow start only. `generic`: the line begins the report of an error without its name.
    """

    shows: str
    pattern: re.Pattern[str]
    error: bool = True
    generic: bool = False


class FoundSign(NamedTuple):
    """Number of lines with a sign, and time of the newest, in seconds since the epoch; None: time not reported."""

    shows: str
    lines: int
    newest: float | None


class LogSigns(NamedTuple):
    """Number of log lines that were read, the signs found in them, and the time of the newest line.

    Errors are first, the most frequent first. `dominant`: what the one sign shows that explains the end of the log;
    empty: none does, or another one may as well.
    """

    lines: int
    found: tuple[FoundSign, ...] = ()
    newest: float | None = None
    dominant: str = ""


def _sign(shows: str, *alternatives: str, error: bool = True, generic: bool = False) -> Sign:
    return Sign(shows, re.compile("|".join(alternatives)), error, generic)


SIGNS = (
    _sign("GPU out of memory", r"cuda out of memory", r"cuda error: out of memory", r"outofmemoryerror: cuda"),
    _sign(
        "out of memory",
        r"\bout of memory\b",
        r"cannot allocate memory",
        r"\bmemoryerror\b",
        r"\boutofmemoryerror\b",
        r"\boom[- ]?kill",
    ),
    _sign("no space left on the disk", r"no space left on device", r"\benospc\b", r"disk quota exceeded"),
    _sign(
        "GPU not usable",
        r"no cuda-capable device",
        r"cuda error",
        r"cuda driver version is insufficient",
        r"nvidia driver",
        r"nvml",
    ),
    _sign(
        "certificate not accepted",
        r"certificate verify failed",
        r"certificate_verify_failed",
        r"\bx509:",
        r"certificate has expired",
        r"unable to get local issuer certificate",
        r"pkix path building failed",
    ),
    _sign(
        "host name not found",
        r"name or service not known",
        r"temporary failure in name resolution",
        r"no such host",
        r"\bgetaddrinfo\b",
        r"\benotfound\b",
        r"could not resolve host",
        r"unknownhostexception",
        r"nodename nor servname",
    ),
    _sign(
        "connection refused",
        r"connection refused",
        r"\beconnrefused\b",
        r"connectionrefusederror",
        r"connect call failed",
        r"actively refused",
    ),
    _sign(
        "connection lost",
        r"connection reset",
        r"\beconnreset\b",
        r"broken pipe",
        r"\bepipe\b",
        r"server disconnected",
        r"connection aborted",
        r"server closed the connection",
    ),
    _sign(
        "time-out",
        r"\btimed[ -]?out\b",
        r"\btimeout ?error\b",
        r"timeoutexception",
        r"(?:read|connect(?:ion)?|request|pool|socket|lock|gateway)[ _-]?time-?out\b(?!\W{0,3}(?:is |of |set to )?\d)",
        r"deadline exceeded",
        r"deadline_exceeded",
        r"\betimedout\b",
    ),
    _sign(
        "credentials refused (401 or 403)",
        r"\b(?:401|403)\b.{0,40}\b(?:unauthori[sz]ed|forbidden|client error)",
        r"\b(?:status|status_code|code|http(?:/[\d.]+)?|error)\b[ =:\"']{1,4}(?:code[ =:\"']{1,4})?(?:401|403)\b",
        r"\bunauthori[sz]ed\b",
        r"\bunauthenticated\b",
        r"authentication failed",
        r"authentication required",
        r"autherror|authenticationerror|permissiondeniederror|accessdenied",
        r"access denied",
        r"invalid (?:api[ _-]?key|token|credentials?)",
        r"(?:token|credentials?|api[ _-]?key|password)s? (?:has |have |is |are )?expired",
        r"expired ?token",
        r"login failed",
    ),
    _sign(
        "rate limit or quota reached",
        r"too many requests",
        r"rate[ _-]?limit(?:ed| exceeded| reached|error)",
        r"quota exceeded",
        r"insufficient_quota",
        r"resource_exhausted",
        r"\b(?:status|status_code|code|error)\b[ =:\"']{1,4}(?:code[ =:\"']{1,4})?429\b",
    ),
    _sign(
        "too many connections",
        r"too many (?:clients|connections)",
        r"remaining connection slots",
        r"connection pool (?:is )?(?:exhausted|full)",
        r"queuepool limit",
    ),
    _sign("port already in use", r"address already in use", r"\beaddrinuse\b", r"port \d+ is (?:already )?in use"),
    _sign("permission denied", r"permission denied", r"\beacces\b", r"\beperm\b", r"read-only file system"),
    _sign("built for another CPU architecture", r"exec format error"),
    _sign(
        "module or library missing",
        r"modulenotfounderror",
        r"\bimporterror\b",
        r"cannot find module",
        r"cannot open shared object file",
        r"classnotfoundexception",
        r"noclassdeffounderror",
    ),
    _sign(
        "file or command missing",
        r"no such file or directory",
        r"\benoent\b",
        r"filenotfounderror",
        r"command not found",
        r"executable file not found",
    ),
    _sign(
        "setting missing or invalid",
        r"(?:environment|env) (?:variable|var)s?\b.{0,80}\b(?:not set|missing|required|undefined|not found)",
        r"(?:missing|required|undefined|unset) (?:environment|env) (?:variable|var)",
        r"validationerror",
        r"(?:missing|invalid) (?:required )?(?:setting|config(?:uration)?|option|argument)",
    ),
    _sign(
        "error in its code",
        r"\bpanic: ",
        r"segmentation fault",
        r"stack ?overflow",
        r"nullpointerexception",
        r"\b(?:key|type|value|attribute|index|zerodivision|assertion|name)error\b",
    ),
    _sign(
        "exception",
        r"unhandled (?:exception|rejection)",
        r"uncaught exception",
        r"traceback \(most recent call last\)\W*\n",
    ),
    _sign("traceback", r"traceback \(most recent call last\)", generic=True),
    _sign(
        "still loading",
        r"\b(?:loading|downloading|fetching|warming up)\b.{0,60}\b(?:model|weights|checkpoint|shards?|index|data)",
        r"\bloading (?:checkpoint )?shards",
        error=False,
    ),
    _sign(
        "listening for requests",
        r"\blistening (?:on|at)\b",
        r"uvicorn running on",
        r"running on (?:all addresses|https?://)",
        r"application startup complete",
        r"(?<!is the )server (?:is )?(?:started|running|listening)",  # PostgreSQL's clients: "is the server running?"
        error=False,
    ),
)
"""What lines report, specific causes first: a line counts for the first one only."""
_LOG = re.compile(r"(?<!activity )\blogs?\b")
_ACCESS = re.compile(r"\b(?:get|post|put|patch|delete|head|options) \S+ http/\d")
"""A line about a request that the application itself answered, such as one refused to a caller."""
OTHER_ERROR = _sign(
    "another error",
    r"^(?!\s).*(?:error|exception)\b",
    r"^(?!\s).*\b(?:fatal|critical|failed|failure|cannot|unable to|could not|abort|aborted|aborting)\b",
    r"^(?!\s).*\b(?:invalid|unsupported|unexpected|corrupt|corrupted|mismatch|not found)\b",
)
"""A line that no sign explains. Lines of a stack trace are indented."""
_CONSEQUENCE = re.compile(
    r"(?:above|another) exception|startup failed|failed to boot|\bexited with|background on this error"
)
"""A line that follows from an error, and does not name it."""


def is_worth_reading(next_step: str) -> bool:
    """Whether a next step is to read the log; otherwise its errors are of something else, and would mislead."""
    return _LOG.search(next_step) is not None


def log_signs(records: Sequence[LogRecord]) -> LogSigns:
    """The signs in lines of a log, newest first. Lines that record a request to the application itself are no signs."""
    lines = [(sign_of(each.text[:MAX_CHARACTERS].lower()), timestamp(each.timestamp)) for each in records if each.text]
    times_by_sign: dict[Sign, list[float | None]] = {}
    for sign, at in lines:
        if sign is not None and sign is not OTHER_ERROR:
            times_by_sign.setdefault(sign, []).append(at)
    order = sorted(
        times_by_sign, key=lambda sign: (not sign.error, sign.generic, -len(times_by_sign[sign]), SIGNS.index(sign))
    )
    found = [FoundSign(sign.shows, len(times_by_sign[sign]), _newest(times_by_sign[sign])) for sign in order]
    return LogSigns(len(lines), tuple(found), _newest([at for _, at in lines]), _dominant(lines))


def sign_of(line: str) -> Sign | None:
    """The sign in a line, given in lower case, or `OTHER_ERROR`."""
    if _ACCESS.search(line):
        return None
    found = next((each for each in SIGNS if each.pattern.search(line)), None)
    if found is None and OTHER_ERROR.pattern.search(line) and not _CONSEQUENCE.search(line):
        return OTHER_ERROR
    return found


def _dominant(lines: Sequence[tuple[Sign | None, float | None]]) -> str:
    """The sign of the newest line with an error, if it explains the end of the log: few lines and little time follow,
    and few lines report another error. Without any error, the same of lines that explain a slow start.
    """
    places = [(place, sign, at) for place, (sign, at) in enumerate(lines) if sign is not None]
    if any(sign.error for _, sign, _ in places):
        places = [each for each in places if each[1].error and not each[1].generic]
    newest = _newest([at for _, at in lines])
    if not places or newest is None:
        return ""
    place, first, at = places[0]
    share = sum(sign is first for _, sign, _ in places) / len(places)
    near = place <= MAX_AFTER and at is not None and newest - at <= OLDER
    return first.shows if near and share >= DOMINANT_SHARE and first is not OTHER_ERROR else ""


def _newest(times: Sequence[float | None]) -> float | None:
    return max((at for at in times if at is not None), default=None)


def sign_words(signs: LogSigns, now: float) -> str:
    """The signs as text, such as ``connection refused in 14 of the last 50 lines; time-out in 2``.

    Empty without lines. That no sign is found is stated, because the log has to be read then, and so are old lines.
    """
    if not signs.lines:
        return ""
    last = "the last line" if signs.lines == 1 else f"the last {signs.lines} lines"
    none = f"{last} contains no known error" if signs.lines == 1 else f"none of {last} contains a known error"
    texts = [] if signs.found else [none]
    for sign in signs.found[:MAX_SIGNS]:
        share = last if signs.lines == 1 else str(sign.lines) if texts else f"{sign.lines} of {last}"
        older = signs.newest - sign.newest if signs.newest is not None and sign.newest is not None else 0.0
        texts.append(f"{sign.shows} in {share}" + (f", until {lasted(older)} before its end" if older > OLDER else ""))
    if signs.newest is not None and now - signs.newest > OLD:
        texts.append(f"its last line is {lasted(now - signs.newest)} old")
    return "; ".join(texts)
