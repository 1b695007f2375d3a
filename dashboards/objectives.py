"""Dashboard of objectives: which workloads keep them, which burn their error budgets, and how long these last."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard

from dashboards.layout import assemble
from dashboards.links import OBJECTIVES, workload_link
from dashboards.panels import Column, Query, Row, stat_panel, table_panel, time_series, zero_is_good
from dashboards.problems import IDS
from dashboards.queries import each, exporter_starts, family, selected
from dashboards.style import BAD, GOOD, NONE, WARNING
from dashboards.variables import SELECTION

_TARGET, _RATIO, _BUDGET = (
    each(family(f"workload_objective_{name}"), "objective")
    for name in ("target_ratio", "ratio", "budget_remaining_ratio")
)
_NO_OBJECTIVE = "no workload has an objective"


def _burn(window: str) -> str:
    return each(family("workload_objective_burn_rate", window=window), "objective")


_ON = f"on ({IDS}, objective)"
_WINDOW = f"on ({IDS}) group_left () {each(family('workload_objective_window_seconds'))}"
_LASTS = f"clamp_min({_BUDGET}, 0) * {_WINDOW} / {_ON} ({_burn('1h')} > 0)"
"""Seconds until the budget is used up at the rate of the last hour; a workload without errors has none."""


def _with_budget(expression: str) -> str:
    """An expression for the selected objectives whose budget is known: a table sorts what is not known as the least."""
    return f"({expression})\nand {_ON} {selected(_BUDGET)}"


def _lowest_five(name: str) -> Query:
    """A share of the five objectives with the least of it at the end of the range."""
    metric = each(family(name), "objective")
    last = each(f"last_over_time({family(name)}[$__range] @ end())", "objective")
    return Query(f"{metric}\nand {_ON} bottomk(5, {selected(last)})", "{{workload}} {{objective}}")


def _highest_five(name: str, window: str) -> Query:
    """A rate of the five objectives with the greatest in the range."""
    metric = family(name, window=window)
    greatest = selected(f"{each(f'max_over_time({metric}[$__range] @ end())', 'objective')} > 0")
    return Query(f"{each(metric, 'objective')}\nand {_ON} topk(5, {greatest})", "{{workload}} {{objective}}")


def build() -> dashboard.Dashboard:
    """The dashboard as a model of Grafana."""
    return assemble(
        OBJECTIVES,
        "DataRobot workloads: objectives",
        "Objectives of workloads, their error budgets, and how fast these are used up.",
        variables=SELECTION,
        annotations=[exporter_starts()],
        rows=[
            Row("", [
                stat_panel("Objectives", "Objectives of workloads in the settings.",
                           Query(f"count({selected(_TARGET)}) or vector(0)"), no_value=NONE, width=6),
                stat_panel("Not kept", "Objectives whose error budget is used up.",
                           Query(f"count({selected(f'{_BUDGET} <= 0')}) or vector(0)"), steps=zero_is_good(),
                           no_value=NONE, width=6, filled=True),
                stat_panel("Burning", "Objectives that use up their error budget faster than they may, over the last "
                           "hour.",
                           Query(f"count({selected(_burn('1h') + ' > 1')}) or vector(0)"),
                           steps=zero_is_good(colour=WARNING), no_value=NONE, width=6, filled=True),
                stat_panel("Not known", "Objectives without a ratio: nothing was counted yet, or there were no "
                           "requests.",
                           Query(f"count({selected(f'{_TARGET} unless {_ON} {_RATIO}')}) or vector(0)"),
                           no_value=NONE, width=6),
            ]),
            Row("Error budgets", [
                table_panel("Objectives by remaining error budget",
                            "The worst first; objectives that are not known yet are not listed. The budget lasts for "
                            "the time shown if errors continue at the rate of the last hour.",
                            [selected(_BUDGET),
                             *map(_with_budget, (_RATIO, _TARGET, _burn("1h"), _burn("1d"), _LASTS))],
                            [Column("workload", "Workload", link=workload_link()),
                             Column("objective", "Objective", width=110),
                             Column("A", "Budget left", unit="percentunit", width=110,
                                    steps=((None, BAD), (0, WARNING), (0.25, GOOD)), decimals=1),
                             Column("B", "Ratio", unit="percentunit", width=100, decimals=3),
                             Column("C", "Target", unit="percentunit", width=90),
                             Column("D", "Burn rate 1h", width=110, steps=((None, GOOD), (1, WARNING)), decimals=2),
                             Column("E", "Burn rate 1d", width=110, steps=((None, GOOD), (1, WARNING)), decimals=2),
                             Column("F", "Lasts", unit="s", width=100),
                             Column("account", "Account", width=100)],
                            sort="Budget left", descending=False, hidden=["workload_id"], no_value=_NO_OBJECTIVE,
                            height=12),
                time_series("Remaining error budget (lowest 5)", "Part of the error budget that is left in the window "
                            "of the objective; below zero, the objective is not kept.",
                            _lowest_five("workload_objective_budget_remaining_ratio"), unit="percentunit", least=None,
                            no_value=_NO_OBJECTIVE, link=workload_link("__field.labels")),
                time_series("Burn rate over an hour (top 5)", "At 1, the error budget lasts exactly for the window of "
                            "the objective.",
                            _highest_five("workload_objective_burn_rate", "1h"), unit="short",
                            no_value=_NO_OBJECTIVE, link=workload_link("__field.labels"),
                            steps=((None, GOOD), (1, WARNING))),
            ]),
        ],
    )  # fmt: skip
