"""What a person expects of a story, and how the notifications that came compare with it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.outside.harness import Seen

ACCOUNT = "account"


class Incident(NamedTuple):
    """One incident of which somebody must be notified: by a ``critical`` page or by a ``warning`` ticket.

    The notification comes from minute `after` to minute `by`; its text has one of the `words`, which name the cause.
    `alerts` are the names that are acceptable; none: any. The incident lasts until minute `until` (None: to the end)
    and is resolved by minute `resolved` (None: it need not be). `needed`: its absence is a fault as well.
    """

    subject: str
    severity: str
    after: float
    by: float
    words: tuple[str, ...] = ()
    alerts: tuple[str, ...] = ()
    until: float | None = None
    resolved: float | None = None
    needed: bool = True


class Expected(NamedTuple):
    because: str
    incidents: tuple[Incident, ...] = ()


def page(subject: str, after: float, by: float, *words: str, **more: Any) -> Incident:
    return Incident(subject, "critical", after, by, words)._replace(**more)


def ticket(subject: str, after: float, by: float, *words: str, **more: Any) -> Incident:
    return Incident(subject, "warning", after, by, words)._replace(**more)


@dataclass
class Outcome:
    """The notifications of one story, counted, and every deviation in words."""

    came: int = 0
    right: int = 0
    expected: int = 0
    found: int = 0
    named: int = 0
    deviations: list[str] = field(default_factory=list)


def compared(expected: Expected, seen: Sequence[Seen], names: dict[str, str], minutes: float) -> Outcome:
    """Compares what came with what was expected; `names` of workloads by id."""
    outcome = Outcome(expected=sum(each.needed for each in expected.incidents))
    belongs: dict[Incident, Seen] = {}
    for one in seen:
        if one.status != "firing":
            continue
        outcome.came += 1
        subject = names.get(one.workload_id, one.workload_id) or ACCOUNT
        fitting = [each for each in expected.incidents if _fits(each, one, subject)]
        free = [each for each in fitting if each not in belongs]
        if not free:
            reason = "repeated" if fitting else "unexpected"
            outcome.deviations.append(f"{reason}: {one.severity} {one.alert} of {subject} in minute {one.minute:.0f}")
            continue
        belongs[free[0]] = one
        outcome.right += 1
        outcome.found += free[0].needed
        if not free[0].words or any(word.lower() in f"{one.title}\n{one.text}".lower() for word in free[0].words):
            outcome.named += 1
        else:
            outcome.deviations.append(f"cause not named: {one.alert} of {subject}")
    outcome.deviations += [
        f"missing: {each.severity} of {each.subject} by minute {each.by:.0f}"
        for each in expected.incidents
        if each.needed and each not in belongs
    ]
    for incident, one in belongs.items():
        outcome.deviations += _resolution(incident, one, seen, minutes)
    return outcome


def _fits(incident: Incident, one: Seen, subject: str) -> bool:
    return (
        incident.subject == subject
        and incident.severity == one.severity
        and incident.after <= one.minute <= incident.by
        and (not incident.alerts or one.alert.removeprefix("DataRobot") in incident.alerts)
    )


def _resolution(incident: Incident, fired: Seen, seen: Sequence[Seen], minutes: float) -> list[str]:
    resolved = [
        each.minute
        for each in seen
        if each.status == "resolved"
        and (each.alert, each.workload_id) == (fired.alert, fired.workload_id)
        and each.minute >= fired.minute
    ]
    first = min(resolved, default=None)
    lasts = minutes if incident.until is None else incident.until
    what = f"{fired.alert} of {incident.subject}"
    if first is not None and first < lasts:
        return [f"resolved too early: {what} in minute {first:.0f}"]
    if incident.resolved is not None and (first is None or first > incident.resolved):
        return [f"not resolved in time: {what}" + ("" if first is None else f", but in minute {first:.0f}")]
    return []
