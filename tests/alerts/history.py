"""What the shipped rules would have done over a history that a Prometheus met: promtool cannot play alerts back."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from exporter.alerting.rules import rules
from tests.e2e.servers import Prometheus

SIZES = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Fired(NamedTuple):
    """One firing of an alert: when it began and ended, in seconds since the epoch; `ends` None: it still fires."""

    alert: str
    severity: str
    labels: Mapping[str, str]
    begins: float
    ends: float | None


def shipped() -> list[dict[str, Any]]:
    """The rules of alerts/rules.yml."""
    groups: Any = rules()["groups"]
    return [rule for group in groups for rule in group["rules"]]


def families_read(rules: list[dict[str, Any]]) -> frozenset[str]:
    """The families that rules read."""
    return frozenset(name for rule in rules for name in re.findall(r"\bdatarobot_\w+|\bup\b", rule["expr"]))


def _seconds(duration: str) -> float:
    return sum(int(number) * SIZES[unit] for number, unit in re.findall(r"(\d+)([smhd])", duration))


def fired(prometheus: Prometheus, rule: Mapping[str, Any], start: float, end: float, step: float) -> Iterator[Fired]:
    """The firings of a rule that is evaluated every `step` seconds: pending, firing, kept, over."""
    wait, keep = _seconds(rule.get("for", "0s")), _seconds(rule.get("keep_firing_for", "0s"))
    for series in prometheus.range(rule["expr"], start, end, step):
        labels = {label: value for label, value in series["metric"].items() if label != "__name__"}
        met = {float(at) for at, _ in series["values"]}
        active = firing = held = None
        at = start
        while at <= end:
            if at in met:
                active, held = at if active is None else active, at
                if firing is None and at - active >= wait:
                    firing = at
            elif firing is None or held is None or at - held >= keep:
                if firing is not None:
                    yield Fired(rule["alert"], rule["labels"]["severity"], labels, firing, at)
                active = firing = None
            at += step
        if firing is not None:
            yield Fired(rule["alert"], rule["labels"]["severity"], labels, firing, None)
