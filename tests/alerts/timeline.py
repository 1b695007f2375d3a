"""Stories of series for promtool: what a page says while all is well and while it is not, and who may fire when.

A page is a mapping of series to values, where the labels that all series of a workload share are left out. A value may
depend on when the phase began or on the present; None: the series is not there. Times are in seconds.
"""

import json
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.components import component

STEP = 60
BEGINS = 300
"""When all ceases to be well. Past samples of conditions are before it."""


class Ago(NamedTuple):
    """So long before the phase began, in which it stays the same; negative: after."""

    seconds: float


class Lag(NamedTuple):
    """So long before the present, always; negative: ahead of it."""

    seconds: float


class Grows(NamedTuple):
    """A counter that goes up by so much at each scrape of the phase."""

    each: float


Value = float | Ago | Lag | Grows | None
Page = Mapping[str, Value]
NOTHING: Page = {}


class Phase(NamedTuple):
    """What the page says from `begins` on. `served` False: nothing can be scraped; `instance`: who serves it, alone
    or with `also`.
    """

    begins: float
    page: Page
    served: bool = True
    instance: str = "a:1"
    also: tuple[str, ...] = ()


class Expected(NamedTuple):
    """At `at`, these alerts fire (labels and annotations) and no other of the name."""

    at: float
    alerts: tuple[Mapping[str, Any], ...] = ()


class Trial(NamedTuple):
    """One story with what is expected of it."""

    name: str
    phases: tuple[Phase, ...]
    expected: tuple[Expected, ...]


def series_of(name: str, instance: str) -> str:
    """The whole name of a series: with the labels of its exporter, its account and, unless it says so, its workload."""
    metric, _, labels = name.rstrip("}").partition("{")
    given = dict(re.findall(r'(\w+)="([^"]*)"', labels))
    common = {"job": "datarobot", "instance": instance}
    if metric not in ("up",) and not re.match("datarobot_exporter_(config|state|series|lease)", metric):
        common["account"] = "acme"
    if not re.match("up|datarobot_(account|exporter)_", metric):
        common |= {"workload": "churn", "workload_id": "w1"}
    written = ",".join(f'{label}="{value}"' for label, value in sorted((common | given).items()))
    return f"{metric}{{{written}}}"


def _number(value: Value, phase: Phase, at: float) -> float | None:
    match value:
        case Ago(seconds):
            return phase.begins - seconds
        case Lag(seconds):
            return at - seconds
        case Grows():
            raise AssertionError("a counter is added up")
        case _:
            return value


def _samples(phases: tuple[Phase, ...], until: float) -> dict[str, list[str]]:
    names = list(dict.fromkeys(name for phase in phases for name in phase.page))
    instances = list(dict.fromkeys(each for phase in phases for each in (phase.instance, *phase.also)))
    made: dict[str, list[str]] = {}
    for name in names:
        for instance in instances:
            points: list[str] = []
            total = 0.0
            for at in range(0, int(until) + STEP, STEP):
                phase = next(phase for phase in reversed(phases) if phase.begins <= at)
                value = phase.page.get(name)
                if isinstance(value, Grows):
                    total += value.each
                    number: float | None = total
                else:
                    number = _number(value, phase, at)
                if not phase.served or instance not in (phase.instance, *phase.also):
                    number = None
                if number is None:
                    points.append("stale" if points and points[-1] not in ("stale", "_") else "_")
                else:
                    points.append(f"{number:.10g}")
            made[series_of(name, instance)] = points
    return made


def _written(values: list[str]) -> str:
    """The values in promtool's notation, repeats folded."""
    parts: list[str] = []
    begin = 0
    while begin < len(values):
        end = begin
        while end + 1 < len(values) and values[end + 1] == values[begin]:
            end += 1
        more = end - begin
        value = values[begin]
        parts.append(value if not more or value == "stale" else f"_x{more + 1}" if value == "_" else f"{value}x{more}")
        begin = end + 1
    return " ".join(parts)


def document(rules: str, alert: str, trials: Iterable[Trial]) -> dict[str, Any]:
    """The trials as one test file of promtool."""
    return {
        "rule_files": [rules],
        "evaluation_interval": f"{STEP}s",
        "tests": [
            {
                "name": trial.name,
                "interval": f"{STEP}s",
                "input_series": [
                    {"series": series, "values": _written(values)}
                    for series, values in _samples(trial.phases, max(e.at for e in trial.expected)).items()
                ],
                "alert_rule_test": [
                    {
                        "eval_time": f"{round(expected.at)}s",
                        "alertname": alert,
                        "exp_alerts": [
                            {"exp_labels": dict(each["labels"]), "exp_annotations": dict(each["annotations"])}
                            for each in expected.alerts
                        ],
                    }
                    for expected in trial.expected
                ],
            }
            for trial in trials
        ],
    }


class Verdict(NamedTuple):
    """What promtool says."""

    passed: bool
    words: str


def judged(folder: Path, name: str, rules: list[Mapping[str, Any]], tests: str) -> Verdict:
    """Run a test file, which names its rule file ``NAME.rules.json``, on these rules."""
    promtool = component("promtool")
    (folder / f"{name}.rules.json").write_text(json.dumps({"groups": [{"name": "trial", "rules": rules}]}))
    file = folder / f"{name}.tests.json"
    file.write_text(tests)
    ran = subprocess.run([promtool, "test", "rules", str(file)], capture_output=True, text=True, check=False)
    return Verdict(ran.returncode == 0, ran.stdout + ran.stderr)


def every(begin: float, end: float, step: float = 120) -> Iterator[float]:
    """Times from `begin` to `end`, both included, on the grid of evaluations."""
    at = begin
    while at < end:
        yield at
        at += step
    yield end
