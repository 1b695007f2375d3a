"""``objectives``: which workloads keep their objectives, from the metrics of the running daemon, worst first."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from exporter.cli.context import Context
from exporter.cli.daemon_metrics import TAGS, metrics_page, print_lines, samples, tags
from exporter.cli.flags import add_web_flags
from exporter.failures import printable

_PREFIX = "datarobot_workload_objective_"
INFO = "datarobot_workload_info"
_BURN_WINDOWS = ("1h", "6h", "1d")
_BAD = {"availability": "server_errors", "readiness": "down_seconds", "latency": "slow_requests"}


class ObjectiveStatus(NamedTuple):
    """One objective of one workload; None: unknown. `burn`: burn rate by window. `window` is in seconds. `tags`: those
    that `metrics.tags` selects.
    """

    account: str
    workload: str
    workload_id: str
    objective: str
    target: float
    window: float
    ratio: float | None
    budget: float | None
    burn: Mapping[str, float]
    tags: Mapping[str, str] = {}

    @property
    def lasts(self) -> float | None:
        """Seconds until the budget is used up at the rate of the longest known window; 0: it is; None: unknown, or it
        does not burn.
        """
        if self.budget is not None and self.budget <= 0:
            return 0.0
        rate = next((self.burn[window] for window in ("1d", "6h", "1h") if self.burn.get(window)), None)
        if self.budget is None or rate is None:
            return None
        return self.budget * self.window / rate


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_web_flags(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON with stable keys")
    form.add_argument("--openslo", action="store_true", help="print the objectives as YAML of OpenSLO v1")


def run(context: Context) -> int:
    page = metrics_page(context)
    found = sorted(rows(page), key=_worst_first)
    if context.options.json:
        print(json.dumps([_as_json(row) for row in found], indent=2))
    elif context.options.openslo:
        print(openslo(found), end="")
    else:
        print_lines([*table(found), *footnote(page, found)])
    return 0


def rows(page: str) -> Iterator[ObjectiveStatus]:
    """The objectives on a page of metrics."""
    found: dict[tuple[str, str], dict[str, list[tuple[Mapping[str, str], float]]]] = {}
    tagged: dict[tuple[str, str], Mapping[str, str]] = {}
    for sample in samples(page, (_PREFIX, TAGS)):
        labels, place = sample.labels, (sample.labels["account"], sample.labels["workload_id"])
        if sample.name == TAGS:
            tagged[place] = tags(labels)
        else:
            families = found.setdefault(place, {})
            families.setdefault(sample.name.removeprefix(_PREFIX), []).append((labels, sample.value))
    for place, families in found.items():
        ((_, window),) = families["window_seconds"]
        ratios, budgets = (_by_objective(families.get(name, ())) for name in ("ratio", "budget_remaining_ratio"))
        for of, target in families["target_ratio"]:
            kind = of["objective"]
            rates = families.get("burn_rate", ())
            burn = {of_rate["window"]: rate for of_rate, rate in rates if of_rate["objective"] == kind}
            identity = of["account"], of["workload"], of["workload_id"]
            values = ratios.get(kind), budgets.get(kind), burn
            yield ObjectiveStatus(*identity, kind, target, window, *values, tags=tagged.get(place, {}))


def _by_objective(found: Iterable[tuple[Mapping[str, str], float]]) -> dict[str, float]:
    return {labels["objective"]: value for labels, value in found}


def _worst_first(row: ObjectiveStatus) -> tuple[object, ...]:
    return row.budget is None, row.budget or 0.0, row.account, row.workload, row.workload_id, row.objective


def table(found: Iterable[ObjectiveStatus]) -> Iterator[str]:
    """The lines of a table; ``-`` is unknown."""
    lines = [
        ("WORKLOAD", "ACCOUNT", "OBJECTIVE", "TARGET", "RATIO", "BUDGET LEFT", *(f"BURN {w}" for w in _BURN_WINDOWS),
         "LASTS", "TAGS", "ID"),
        *(
            (
                printable(row.workload), printable(row.account), row.objective, f"{100 * row.target:.6g}%",
                "-" if row.ratio is None else f"{100 * row.ratio:.3f}%",
                "-" if row.budget is None else f"{100 * row.budget:.1f}%",
                *(f"{row.burn[window]:.2g}" if window in row.burn else "-" for window in _BURN_WINDOWS),
                "-" if row.lasts is None else f"{row.lasts / 86400:.1f} d" if row.lasts else "used up",
                printable(" ".join(f"{name}={text}" for name, text in sorted(row.tags.items()))),
                printable(row.workload_id),
            )
            for row in found
        ),
    ]  # fmt: skip
    if len(lines) == 1:
        yield "no workload has an objective; see docs/objectives.md"
        return
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def footnote(page: str, found: Iterable[ObjectiveStatus]) -> Iterator[str]:
    """How many workloads on a page of metrics have no objective, if any has one."""
    everything = {(each.labels["account"], each.labels["workload_id"]) for each in samples(page, (INFO,))}
    without = everything - {(row.account, row.workload_id) for row in found}
    if without and without != everything:
        yield f"{len(without)} of {len(everything)} workloads have no objective; see docs/objectives.md"


def _as_json(row: ObjectiveStatus) -> dict[str, object]:
    return {
        "account": row.account,
        "workload": row.workload,
        "workload_id": row.workload_id,
        "objective": row.objective,
        "target": row.target,
        "window_seconds": row.window,
        "ratio": row.ratio,
        "budget_remaining": row.budget,
        "burn_rates": dict(row.burn),
        "budget_lasts_seconds": row.lasts,
        "tags": dict(row.tags),
    }


def openslo(found: Iterable[ObjectiveStatus]) -> str:
    """A document of kind SLO for each objective, with queries for Prometheus."""
    import yaml

    return yaml.safe_dump_all((_slo(row) for row in found), sort_keys=False)  # ASCII, for any terminal


def _openslo_name(text: str) -> str:
    """A name as OpenSLO allows it: a label of DNS (RFC 1123)."""
    return re.sub(r"[^a-z0-9-]", "-", text.lower())[-63:].strip("-")


def _slo(row: ObjectiveStatus) -> dict[str, Any]:
    total = ("ready_seconds", "down_seconds") if row.objective == "readiness" else ("requests",)
    name = _openslo_name(f"{row.workload_id}-{row.objective}")
    selector = f"{{account={json.dumps(row.account)}, workload_id={json.dumps(row.workload_id)}}}"

    def source(*totals: str) -> dict[str, Any]:
        query = " + ".join(f"max(datarobot_workload_{each}_total{selector})" for each in totals)
        return {"metricSource": {"type": "Prometheus", "spec": {"query": query}}}

    return {
        "apiVersion": "openslo/v1",
        "kind": "SLO",
        "metadata": {"name": name, "displayName": f"{row.workload} {row.objective}"},
        "spec": {
            "description": f"{row.objective} of workload {row.workload} of account {row.account}"[:1050],
            "service": _openslo_name(row.workload_id) or "workload",
            "indicator": {
                "metadata": {"name": name},
                "spec": {"ratioMetric": {"counter": True, "bad": source(_BAD[row.objective]), "total": source(*total)}},
            },
            "timeWindow": [{"duration": f"{row.window / 86400:.0f}d", "isRolling": True}],
            "budgetingMethod": "Occurrences",
            "objectives": [{"displayName": row.objective, "target": row.target}],
        },
    }
