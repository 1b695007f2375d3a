"""Copies of a rule with one thing changed: a threshold, a duration, a label it requires, a label it sets."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tests.alerts.timeline import STEP

Rule = Mapping[str, Any]
_NUMBER = re.compile(r'(?<![\w."\[])\d+(?:\.\d+)?(?![\w."])')
_MATCHER = re.compile(r'(\w+)(=~|=)"([^"]*)"(, )?')
_HALVES = re.compile(r"^(\(\n.*\n\))\nor\n(\(\n.*\n\))\n(unless.*)$", re.DOTALL)


class Mutant(NamedTuple):
    """What was changed in the rule of which severity, and the rule with the change."""

    what: str
    severity: str
    rule: Rule


def mutants(rules: list[Rule]) -> Iterator[Mutant]:
    """All mutants of the rules of one alert."""
    for rule in rules:
        severity = rule["labels"]["severity"]
        for what, changed in _changed(rule):
            yield Mutant(f"{severity}: {what}", severity, changed)


def _changed(rule: Rule) -> Iterator[tuple[str, Rule]]:
    for key in ("for", "keep_firing_for"):
        if key in rule:
            for factor in (0.5, 2.0):
                yield f"{key} x {factor:g}", {**rule, key: _scaled(rule[key], factor)}
    if "for" not in rule:
        yield "for 1m", {**rule, "for": "1m"}
    for label in ("severity", "component"):
        yield f"label {label}", {**rule, "labels": {**rule["labels"], label: "changed"}}
    for what, expression in _expressions(rule["expr"]):
        yield what, {**rule, "expr": expression}


def _scaled(duration: str, factor: float) -> str:
    """Another duration; it begins and ends at an evaluation, so one that is less than the time between two is none."""
    seconds = int(duration[:-1]) * {"s": 1, "m": 60, "h": 3600}[duration[-1]]
    seconds = round(-(-seconds // STEP) * STEP * factor)
    return f"{seconds if seconds >= STEP else 0}s"


def _expressions(text: str) -> Iterator[tuple[str, str]]:
    """The condition stands twice in a rule, as it is and as it was last: both are changed alike."""
    halves = _HALVES.match(text)
    now, held, rest = halves.groups() if halves else (text, "", "")

    def whole(first: str, second: str, third: str = rest) -> str:
        return f"{first}\nor\n{second}\n{third}" if halves else first

    for find, change in ((_NUMBER, _numbers), (_MATCHER, _matchers)):
        pairs = zip(find.finditer(now), find.finditer(held), strict=True) if held else (
            (match, None) for match in find.finditer(now)
        )  # fmt: skip
        for ours, theirs in pairs:
            for what, to in change(ours):
                second = _put(held, theirs, to) if theirs is not None else ""
                yield f"{what} at {ours.start()}", whole(_put(now, ours, to), second)
    for match in _MATCHER.finditer(rest):
        for what, to in _matchers(match):
            yield f"{what} of what is fresh", whole(now, held, _put(rest, match, to))
    for found in sorted(set(re.findall(r"\[(\w+)\]", text))):
        for factor in (0.5, 2.0):
            yield f"[{found}] x {factor:g}", text.replace(f"[{found}]", f"[{_scaled(found, factor)}]")


def _put(text: str, match: re.Match[str], to: str) -> str:
    return text[: match.start()] + to + text[match.end() :]


def _numbers(match: re.Match[str]) -> Iterator[tuple[str, str]]:
    number = float(match[0])
    for to in (number - 0.01, number + 1.01) if not number else (number * 0.75, number * 1.25):
        yield f"{match[0]} is {to:g}", f"{to:g}"


def _matchers(match: re.Match[str]) -> Iterator[tuple[str, str]]:
    label, sign, value, comma = match[1], match[2], match[3], match[4] or ""
    if label == "job":
        return
    yield f"no {label}", ""
    values = value.split("|")
    for one in values:
        others = "|".join(other for other in values if other != one) or "changed"
        yield f"{label} without {one}", f'{label}{sign}"{others}"{comma}'
