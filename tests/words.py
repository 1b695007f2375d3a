"""The scanner behind `test_words`: words that code names and texts must not contain, and what to write instead.

`python -m tests.words [PATH...]` prints the offences below the given paths.
"""

import ast
import io
import json
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
SELF = ("tests/words.py", "tests/test_words.py")
"""These contain the banned words themselves."""

_REPORTED = "reported, received, read, notified, value, message"
_REQUESTED = "requested, polled, queried, expected"
_POLLED = "poll, fetch, evaluate, check, read"

NAMES = {
    "told": _REPORTED,
    "tell": "report, notify, send",
    "tells": "reports, notifies",
    "telling": "message, text, notification",
    "untold": "unknown, unreported",
    "ask": "request, query, poll",
    "asks": "requests, queries, polls",
    "asked": _REQUESTED,
    "asking": "requesting, pending",
    "hear": "receive",
    "hears": "receives",
    "heard": "received, observed",
    "look": _POLLED,
    "looks": _POLLED,
    "looked": "polled, fetched, evaluated",
    "looking": "polling, reading",
    "saw": "observed, recorded",
    "anew": "again, regenerate",
    "whom": "receiver, reader",
    "trouble": "problem",
    "troubles": "problems",
    "holds": "contains, is_true, is_met, delays",
    "louder": "severity_increased",
    "softer": "severity_decreased",
    "ring": "page",
    "rings": "pages",
    "wish": "subscription, request",
    "wishes": "subscriptions, requests",
    "way": "notifier, path, direction, in_progress",
    "ways": "notifiers, paths, variants",
    "lane": "poller, schedule",
    "lanes": "pollers, schedules",
    "board": "dashboard, fleet_table",
    "boards": "dashboards",
    "course": "episodes, tracker",
    "courses": "episodes, trackers",
    "book": "ledger",
    "books": "ledgers",
    "tails": "log_tails",
    "why": "reason, cause",
    "whence": "source",
    "nobody": "no_client, no_receiver, none",
    "whoever": "client, user, any",
    "whatever": "any",
    "lest": "so_that_not",
}
"""Words that no name may contain (`told_type` and `ToldType` contain `told`), with what to use instead."""

ALLOWED_NAMES = {
    "LANE": "metrics have a label `lane`",
    "lane": "metrics have a label `lane`",
    "log_tails": "plural",
    "on_trouble": "a settings key",
}

TEXTS = {
    r"(?:un)?told|tells?|telling": _REPORTED,
    r"asked|asks|asking": _REQUESTED,
    r"hears?|heard": "receives, received, observed",
    r"looked|(?<!\.)looks(?! like)|(?:a|the|each|every|one|last|next|first|second|per|between) look(?!-?up)": _POLLED,
    r"(?:is|are|was|were|be|been|not|never) seen": "is observed, was reported",
    r"saw": "observed, recorded",
    r"anew": "again",
    r"whom|whoever|whosoever": "a name of who it is: the client, the receiver, the user",
    r"nobody(?![ -]re)": "no user, no client, no receiver, none",
    r"troubles?|troubled": "problem, failure",
    r"(?:condition|alert|something|what|still|longer|it|this) holds(?! (?:a|an|the|no|only|up to|at most|\d+)\b)|"
    r"holds (?:of|for|good)|holds? up": "is true, is met, delays",
    r"louder|softer": "severity increased, decreased",
    r"rings?|ringing": "pages",
    r"wish|wishes|wished": "subscription, request, need",
    r"lanes?(?!=)": "poller, schedule",
    r"boards?": "dashboard, fleet table",
    r"books?": "ledger",
    r"(?:by|with|the|a|of|its) why|by (?:what|whom) for": "by reason, the reason, the cause",
    r"(?:it|that|this|which) (?:is|was) no(?! (?:longer|more|other|such|different))": "is not a",
    r"of those": "of them, or name them",
    r"thereof|therein|thereby|whereof|wherein|whence|hence|lest|amid|amidst|nought|naught|albeit|ere": "plain words",
    r"stands? (?:in|beside|behind|there|before|below|above)": "is in, is beside",
    r"comes? no more|no more (?:comes|arrives)": "stops arriving",
    r"brings? (?:about|forth)|brought (?:about|forth|nothing)": "causes, returned nothing",
    r"in vain": "without success, failed",
}
"""Patterns of whole words that no text may contain, in any case, with what to write instead.

`nobody ready` is the name of a simulated workload.
"""

_TEXT = {pattern: re.compile(rf"\b(?:{pattern})(?!\w)", re.IGNORECASE) for pattern in TEXTS}
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")

PYTHON = ("exporter", "tests", "dashboards", "benchmarks")
PROSE = (".md", ".yaml", ".yml", ".html", ".jsx", ".mjs", ".service", ".toml")
SKIPPED = ("node_modules", "golden", "payloads", "test.yaml")
SINGLE = ("Makefile", "Dockerfile", ".ci/run")


class Offence(NamedTuple):
    place: str
    line: int
    found: str
    word: str
    instead: str

    def __str__(self) -> str:
        inside = "" if self.found == self.word else f" in {self.found}"
        return f"{self.place}:{self.line}: {self.word!r}{inside}; write instead: {self.instead}"


def of_name(name: str) -> tuple[str, str] | None:
    """The first banned word in a name, and what to use instead."""
    if name in ALLOWED_NAMES:
        return None
    words = [word.lower() for word in _WORDS.findall(name)]
    return next(((word, NAMES[word]) for word in words if word in NAMES), None)


def of_text(text: str) -> Iterator[tuple[int, str, str]]:
    """The banned words of a text, each with the number of line breaks before it and what to write instead."""
    for pattern, compiled in _TEXT.items():
        for found in compiled.finditer(text):
            yield text.count("\n", 0, found.start()), found[0], TEXTS[pattern]


def _names(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield node.name
        case ast.arg():
            yield node.arg
        case ast.Name(ctx=ast.Store()):
            yield node.id
        case ast.Attribute(ctx=ast.Store()):
            yield node.attr
        case ast.alias(asname=str(name)):
            yield name
        case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            yield name


def python(place: str, source: str) -> Iterator[Offence]:
    """Offences in the names that a module defines, its strings with more than one word, and its comments."""
    if banned := of_name(Path(place).stem):
        yield Offence(place, 1, Path(place).stem, *banned)
    for node in ast.walk(ast.parse(source)):
        for name in _names(node):
            if banned := of_name(name):
                yield Offence(place, getattr(node, "lineno", 1), name, *banned)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
            for lines, word, instead in of_text(node.value):
                yield Offence(place, node.lineno + lines, word, word, instead)
    for line, comment in _comments(source):
        for _, word, instead in of_text(comment):
            yield Offence(place, line, word, word, instead)


def _comments(source: str) -> Iterator[tuple[int, str]]:
    """Comments with their lines; none if no text after a # contains a banned word, because tokens take long."""
    if any(of_text("\n".join(line[line.index("#") :] for line in source.splitlines() if "#" in line))):
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string


def prose(place: str, text: str) -> Iterator[Offence]:
    """Offences in a text file. Code in backticks is left out: it quotes names."""
    for lines, word, instead in of_text(re.sub(r"`[^`\n]+`", "``", text)):
        yield Offence(place, lines + 1, word, word, instead)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (str(value[key]) for key in ("title", "description", "label", "content") if key in value)
        value = [*value.values()]
    if isinstance(value, list):
        for each in value:
            yield from _texts(each)


def dashboard(place: str, text: str) -> Iterator[Offence]:
    """Offences in the titles, descriptions and labels of a Grafana dashboard."""
    for each in _texts(json.loads(text)):
        for _, word, instead in of_text(each):
            yield Offence(place, text.count("\n", 0, text.find(json.dumps(each)[1:-1])) + 1, word, word, instead)


def offences(place: str) -> list[Offence]:
    """All offences of one file, by line."""
    text = (ROOT / place).read_text()
    scan = {".py": python, ".json": dashboard}.get(Path(place).suffix, prose)
    return sorted({*scan(place, text)}, key=lambda offence: offence.line)


def places() -> list[str]:
    """The files that are scanned, relative to the root."""
    files = [ROOT / name for name in SINGLE]
    files += [file for file in ROOT.glob("*.*") if file.suffix in PROSE]
    for folder in (*PYTHON, "docs", "alerts", "deploy"):
        files += [file for file in (ROOT / folder).rglob("*.*") if file.suffix in (".py", *PROSE)]
    files += (ROOT / "dashboards").glob("*.json")
    found = {file.relative_to(ROOT).as_posix() for file in files}
    return sorted(place for place in found if place not in SELF and not any(part in place for part in SKIPPED))


def room(place: str) -> str:
    """The first two parts of a path: a folder such as `exporter/api`, or a file that is in no such folder."""
    return "/".join(place.split("/")[:2])


if __name__ == "__main__":
    wanted = tuple(sys.argv[1:]) or ("",)
    for offence in (offence for place in places() if place.startswith(wanted) for offence in offences(place)):
        print(offence)
