"""The trials of an alert, made from its case: when it fires, as what, for how long, and what leaves it silent."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from exporter.alerting.alerts import ALERTS, Alert
from exporter.alerting.rules import DEFAULT, Options, rules
from tests.alerts.cases import Also, Case
from tests.alerts.pages import READY, WELL, C, P, W
from tests.alerts.timeline import BEGINS, NOTHING, STEP, Ago, Expected, Page, Phase, Trial, every

HOLD = 600
"""How long an alert is held without recent data about its workload."""
GAP = 300
OF_PODS = (P, C, f"{W}draft_expiry", f"{W}autoscaling_load", f"{W}scaled_to_zero")
"""What the names of series begin with that are withdrawn with the pods."""
SUBJECTS: Mapping[str, Mapping[str, str]] = {
    "workload": {"workload": "churn", "workload_id": "w1"},
    "account": {"account": "acme"},
}
"""What cases are about, by component."""
ROWS = {alert.name: alert for alert in ALERTS}
ALL = DEFAULT._replace(on=frozenset(ROWS))


def written(options: Options = ALL) -> dict[str, list[Mapping[str, Any]]]:
    """The rules of each alert, those that are off by default included."""
    made: dict[str, list[Mapping[str, Any]]] = {}
    groups: Any = rules(options)["groups"]
    for rule in (rule for group in groups for rule in group["rules"]):
        made.setdefault(rule["alert"], []).append(rule)
    return made


def firing(case: Case, at: float, variant: Also | None = None, met: float | None = None) -> Expected:
    """The alert fires at `at` seconds after all ceased to be well, with these labels and these words, and no other.

    `met`: when its condition was last met, if it is only kept since then: its words are those of that moment.
    """
    alert: Alert = ROWS[case.alert]
    says = variant.says if variant is not None and variant.says is not None else case.says
    severity = variant.severity if variant is not None and variant.severity is not None else case.severity
    labels = {**case.who, "severity": severity, "component": alert.component}
    annotations = {
        "summary": alert.summary,
        "description": says(at if met is None else met) if callable(says) else says,
        "runbook_url": f"alerts/runbooks/{alert.name}.md",
    }
    return Expected(BEGINS + at, ({"labels": labels, "annotations": annotations},))


def silent(at: float) -> Expected:
    return Expected(BEGINS + at)


def joined(case: Case, found: Iterable[Trial] | None = None) -> list[Trial]:
    """All trials of a case, or those that are `found`, for promtool: many workloads take it about as long as one.

    Those with the same times are one trial, each on a workload, or an account, that is named after it. The largest is
    the first.
    """
    subject = SUBJECTS.get(ROWS[case.alert].component)
    found = trials(case) if found is None else found
    if subject is None:
        return list(found)
    alike: dict[object, list[Trial]] = {}
    for trial in found:
        phases = tuple((phase.begins, phase.served, phase.instance) for phase in trial.phases)
        times = phases, tuple(each.at for each in trial.expected)
        alike.setdefault(times, []).append(trial)
    return [_one(group, subject) for group in sorted(alike.values(), key=len, reverse=True)]


def _one(group: list[Trial], subject: Mapping[str, str]) -> Trial:
    first = group[0]
    phases = tuple(
        phase._replace(
            page={_on(s, subject, t.name): value for t in group for s, value in t.phases[place].page.items()}
        )
        for place, phase in enumerate(first.phases)
    )
    expected = tuple(
        Expected(each.at, tuple(_about(alert, subject, t.name) for t in group for alert in t.expected[place].alerts))
        for place, each in enumerate(first.expected)
    )
    return Trial("; ".join(trial.name for trial in group), phases, expected)


def _on(series: str, subject: Mapping[str, str], name: str) -> str:
    """The series of another subject."""
    family, _, labels = series.rstrip("}").partition("{")
    if "workload" in subject and not family.startswith((W, P, C)):
        return series
    more = (f'{label}="{name}"' for label in subject)
    return f"{family}{{{','.join([*filter(None, [labels]), *more])}}}"


def _about(alert: Mapping[str, Any], subject: Mapping[str, str], name: str) -> Mapping[str, Any]:
    """The alert of another subject."""
    annotations = dict(alert["annotations"])
    for value in subject.values():
        annotations = {key: text.replace(value, name) for key, text in annotations.items()}
    return {"labels": {**alert["labels"], **dict.fromkeys(subject, name)}, "annotations": annotations}


def trials(case: Case) -> Iterator[Trial]:
    """All trials of a case; those of silence and of being held, once for each severity that it has."""
    yield from _variants(case)
    for severity, variant in _severities(case).items():
        if hold := case.held or (HOLD if ROWS[case.alert].component != "exporter" else 0):
            yield from _held(case, severity, variant, hold)
        yield from _silent(case, severity, variant)


def _silent(case: Case, severity: str, variant: Also) -> Iterator[Trial]:
    """What leaves it silent."""
    expectations = tuple(silent(at) for at in every(0, case.after + case.wait + 300))
    for name, page in case.silent.items():
        yield Trial(f"no {severity}: {name}", _begun(case, {**variant.page, **page}), expectations)
    for name, page in case.always.items():
        (_, bad) = _begun(case, {**variant.page, **page})
        yield Trial(f"no {severity}: {name}", (bad._replace(begins=0),), expectations)


def _severities(case: Case) -> dict[str, Also]:
    """The first variant to fire with each severity."""
    variants = {
        variant.severity: variant for variant in reversed(list(case.also.values())) if variant.severity is not None
    }
    return {**variants, case.severity: Also({})}


def _begun(case: Case, more: Page = NOTHING) -> tuple[Phase, ...]:
    well = {**WELL, **case.well}
    return Phase(0, well), Phase(BEGINS, {**well, **case.bad, **more})


def _evaluated(at: float) -> float:
    """The first evaluation from `at` on."""
    return -(-at // STEP) * STEP


def _variants(case: Case) -> Iterator[Trial]:
    """Each variant to fire: not before its wait, then at once, for as long as it lasts, and no longer."""
    for name, variant in {"fires": Also({}), **case.also}.items():
        well, bad = _begun(case, variant.page)
        at = (case.after if variant.after is None else variant.after) + _evaluated(case.wait)
        before = [silent(at - STEP)] if at else [silent(-STEP)]
        ends = case.ends if variant.ends is None else variant.ends
        if ends is None:
            over = at + 600
            keep = case.keep_of(variant)
            gone = over + max(keep, case.lingers) + 2 * STEP
            still = [firing(case, over - STEP, variant)]
            late = keep - (2 if keep > 4 * STEP else 1) * STEP  # after half of it: half of it is detected
            still += [firing(case, over + late, variant, over - STEP)] if keep else []
            still += [firing(case, over + case.lingers - 2 * STEP, variant)] if case.lingers else []
            after = [] if keep or case.lingers else [silent(over)]
            expected = (*before, firing(case, at, variant), *still, *after, silent(gone))
            yield Trial(name, (well, bad, Phase(BEGINS + over, well.page)), expected)
        else:
            ends += case.keep_of(variant)
            expectations = (firing(case, at, variant), firing(case, ends - STEP, variant), silent(ends))
            yield Trial(name, (well, bad), (*before, *expectations))
            early = Phase(BEGINS + at + 60, well.page)
            yield Trial(
                f"{name}, and is over",
                (well, bad, early),
                (firing(case, at, variant), silent(at + 60 + case.keep_of(variant))),
            )


def _held(case: Case, severity: str, variant: Also, hold: float) -> Iterator[Trial]:
    """Nothing that happens to the scrapes, or to the exporter, resolves it or restarts its wait time."""
    at, keep, gap = case.after + _evaluated(case.wait), case.keep_of(variant), min(GAP, hold - STEP)
    if case.wait > 2 * STEP and case.after + STEP + gap < (case.ends or at + gap + STEP):
        blind = BEGINS + case.after + STEP
        expectations = (silent(at - STEP), firing(case, at, variant))
        yield Trial(f"{severity} waits on through a gap", _resumed(case, variant, blind, gap), expectations)
    blind = BEGINS + at + STEP
    lasts = gap if case.ends is None else min(gap, case.ends - at - 4 * STEP)
    through = [firing(case, at + STEP + passed, variant) for passed in range(0, int(lasts), STEP)]
    through.append(firing(case, at + lasts + 2 * STEP, variant))
    yield Trial(f"{severity} fires on through a gap", _resumed(case, variant, blind, lasts), tuple(through))
    new = _resumed(case, variant, blind, 120, instance="b:1")
    yield Trial(f"{severity} fires on when the exporter is replaced", new, tuple(through))
    early = case.after + STEP if case.wait < hold - 4 * STEP else at + STEP
    last = early + hold + keep
    phases = (*_begun(case, variant.page), Phase(BEGINS + early, {}, served=False))
    met = min(last - 3 * STEP, early + hold - STEP)
    expectations = (firing(case, last - 3 * STEP, variant, met), silent(last + 2 * STEP))
    yield Trial(f"{severity} is not held for ever", phases, expectations)
    if ROWS[case.alert].pods:
        yield from _without_pods(case, severity, variant, at)


def _without_pods(case: Case, severity: str, variant: Also, at: float) -> Iterator[Trial]:
    """Pods are reported separately: their series go when they are too old, or when another proton serves."""
    well, bad = _begun(case, variant.page)
    fresh = {f'{W}fresh{{part="pods"}}': 0.0, f'{W}fresh{{part="events"}}': 1.0}
    withdrawn = {name: value for name, value in _settled(bad).items() if not name.startswith(OF_PODS)}
    phases = (well, bad, Phase(BEGINS + at + STEP, {**withdrawn, **fresh}))
    expectations = tuple(
        firing(case, at + passed, variant) for passed in (0, 2 * STEP, HOLD + case.keep_of(variant) - 2 * STEP)
    )
    if not any(metric.name == f"{W}fresh" for metric in ROWS[case.alert].condition.metrics()):  # it is about that
        yield Trial(f"{severity} fires on while its pods are not reported", phases, expectations)
    new = {name.replace('"p1"', '"p3"'): value for name, value in well.page.items()}
    expected = (expectations[0], silent(at + case.keep_of(variant) + 4 * STEP))
    yield Trial(f"{severity} ends when another proton serves", (well, bad, Phase(BEGINS + at + STEP, new)), expected)
    if any("waiting_reason" in name or "unschedulable" in name for name in case.bad):
        starting = {**new, READY.replace('"p1"', '"p3"'): 0.0}
        phases = (well, bad, Phase(BEGINS + at + STEP, starting))
        yield Trial(f"{severity} ends when another proton starts", phases, expected)


def _resumed(case: Case, variant: Also, blind: float, lasts: float, instance: str = "a:1") -> tuple[Phase, ...]:
    """All continues as before after a time without data."""
    well, bad = _begun(case, variant.page)
    after = bad._replace(begins=blind + lasts, instance=instance, page=_settled(bad))
    return well, bad, Phase(blind, {}, served=False), after


def _settled(phase: Phase) -> Page:
    """The page with times that no longer depend on where a phase begins."""
    return {n: phase.begins - v.seconds if isinstance(v, Ago) else v for n, v in phase.page.items()}
