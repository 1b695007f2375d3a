"""Dashboard of capacity and quotas: usage, unmet demand, and limits."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard

from dashboards.layout import assemble
from dashboards.links import CAPACITY, workload_link
from dashboards.panels import Column, Query, Row, bar_gauge, stat_panel, table_panel, time_series, zero_is_good
from dashboards.problems import ON_WORKLOAD, condition_promql
from dashboards.queries import each, exporter_starts, family, one_each, selected
from dashboards.style import BAD, GOOD, NONE, NOT_REPORTED, NOTICE, WARNING
from dashboards.variables import SELECTION
from exporter.alerting.limits import DEFAULTS

_NEAR = ((None, GOOD), (DEFAULTS["limit_ratio"], WARNING), (1, BAD))
_WEEK = 7 * 86400


def _account(name: str) -> str:
    return f"max by (account) ({family(name)})"


def _allocated(name: str) -> Query:
    allocated = selected(each(family(f"workload_allocated_{name}"), "bundle_id"))
    return Query(f"sum by (bundle_id) ({allocated}) > 0", "{{bundle_id}}")


_LIVE = each(family("workload_replicas_live"))
_UNSCHEDULABLE = each(
    each(family("proton_replicas_unschedulable"), "proton_id", "role", "resource"), "resource", aggregate="sum"
)
_SATURATED = condition_promql("DataRobotAutoscalerSaturated")


def _bundle_share(used: str, size: str) -> str:
    """PromQL: share of the bundle used by the fullest pod of a workload, for the five greatest in the range."""
    used = family(used, level="pod")
    bundle = f"{ON_WORKLOAD} group_left () max by (account, workload_id)"
    last = f"{bundle} (last_over_time({family(size)}[$__range] @ end()))"
    greatest = f"{each(f'max_over_time({used}[$__range] @ end())')} / {last}"
    return f"{each(used)} / {bundle} ({family(size)})\nand topk(5, {selected(greatest)})"


_MEMORY = _bundle_share("workload_memory_usage_bytes", "workload_replica_memory_bytes")
_CPU = _bundle_share("workload_cpu_usage_cores", "workload_replica_cpu_cores")
_ACTIVE = family("account_workloads_active")
_DAY_OF_HISTORY = f"last_over_time({_ACTIVE}[6d] offset 1d)"
_IN_A_WEEK = f"clamp_min(max by (account) (predict_linear({_ACTIVE}[7d], {_WEEK}) and {_DAY_OF_HISTORY}), 0)"
_AUTOSCALED = f"and {ON_WORKLOAD} {family('workload_autoscaling_replicas_max')}"
_OFFERED = each(family("workload_bundle_offered"), "bundle_id", aggregate="min")
_COST = selected(each(family("workload_cost_per_hour"), "currency"))
_BUNDLE = one_each(family("workload_bundle_info"), "bundle_id")
_WASTE = selected(each(family("workload_waste_per_month"), "currency", "reason"))
_SIZING = one_each(family("workload_sizing_info"), "finding", "fitting_bundle_id")
_FITTING = one_each(family("workload_sizing_info"), "fitting_bundle_id")
_WASTE_AND_FITTING = (
    f"({_WASTE}) * {ON_WORKLOAD} group_left (fitting_bundle_id) {_FITTING}\n"
    f"or ({_WASTE}) unless {ON_WORKLOAD} {family('workload_sizing_info')}"
)
_FULL_IN = f"{_account('account_workloads_full_timestamp_seconds')} - time()"
_NO_PRICES = "set costs.bundles"
_NO_TEAMS = "set metrics.tags: [team], and costs.bundles"


def _by_team(amounts: str) -> str:
    """PromQL: the sum of amounts of workloads by their tag `team`."""
    team = one_each(family("workload_tags"), "tag_team")
    return f"sum by (currency, tag_team) (({amounts}) * {ON_WORKLOAD} group_left (tag_team) {team})"


def _week(resource: str, quantile: str) -> str:
    """PromQL: what replicas in a bundle that does not fit used of it in the last seven days."""
    used = each(family("workload_week_usage_ratio", quantile=quantile, resource=resource))
    return f"({used}) * {ON_WORKLOAD} group_left (finding, fitting_bundle_id) {_SIZING}"


_WORKLOAD = Column("workload", "Workload", link=workload_link())


def build() -> dashboard.Dashboard:
    """The dashboard as a model of Grafana."""
    return assemble(
        CAPACITY,
        "DataRobot workloads: capacity and quota",
        "Usage of limits and bundles, unmet demand, and forecasts.",
        variables=SELECTION,
        annotations=[exporter_starts()],
        rows=[
            Row("", [
                bar_gauge("Active workloads as a share of the account limit",
                          "At the limit, new deployments are refused. This is a lower bound: the token sees only "
                          "workloads shared with its user. Accounts without a limit are not shown.",
                          Query(f"{_account('account_workloads_active')} / {_account('account_workloads_limit')}",
                                "{{account}}"), steps=_NEAR, no_value="no limit", width=9, height=5),
                bar_gauge("Forecast for next week",
                          "Share of the account limit that active workloads will reach in seven days if the trend of "
                          "the last seven days continues. Needs one day of history.",
                          Query(f"{_IN_A_WEEK} / {_account('account_workloads_limit')}", "{{account}}"),
                          steps=_NEAR, no_value="no limit", width=9, height=5),
                stat_panel("Unschedulable", "Live pods that no node can run.",
                           Query(f"sum({selected(_UNSCHEDULABLE)}) or vector(0)"), steps=zero_is_good(),
                           no_value=NONE, height=5, filled=True),
                stat_panel("Saturated", "Autoscaled workloads at their maximum number of replicas whose "
                           "load is still above the target.",
                           Query(f"count({selected(_SATURATED)}) or vector(0)"), steps=zero_is_good(colour=WARNING),
                           no_value=NONE, height=5, filled=True),
            ]),
            Row("Waste", [
                stat_panel("Cost per hour", "Price of all live pods per hour, of workloads whose bundle has a price.",
                           Query(f"sum by (currency) ({_COST})", "{{currency}}"), no_value=_NO_PRICES, width=4,
                           decimals=2),
                stat_panel("Waste per month", "What idle workloads cost in a month, and what others in too large a "
                           "bundle cost more than in one that fits.",
                           Query(f"sum by (currency) ({_WASTE})", "{{currency}}"), no_value="none, or no prices",
                           width=4, decimals=0, steps=((None, GOOD), (1, WARNING))),
                stat_panel("Full in", "When active workloads reach the account limit if the trend of up to seven days "
                           "goes on. Needs the history of costs.min_history.",
                           Query(_FULL_IN, "{{account}}"), unit="s", no_value="not within a year", width=4,
                           steps=((None, BAD), (DEFAULTS["full_seconds"], WARNING), (30 * 86400, GOOD))),
                time_series("Cost per hour by bundle", "Price of the bundle times live pods.",
                            Query(f"sum by (currency, bundle_id) (({_COST}) * {ON_WORKLOAD} group_left (bundle_id) "
                                  f"{_BUNDLE})", "{{bundle_id}} ({{currency}})"),
                            unit="short", no_value=_NO_PRICES, width=12, height=4, stacked=True),
                table_panel("Waste by workload",
                            "Idle: live replicas and no request for costs.idle_after. Oversized: a cheaper bundle "
                            "would be enough for the use of the last seven days.",
                            [_WASTE_AND_FITTING],
                            [_WORKLOAD, Column("A", "Per month", width=110, decimals=2,
                                               steps=((None, WARNING),)),
                             Column("currency", "Currency", width=80), Column("reason", "Reason", width=90),
                             Column("fitting_bundle_id", "Would fit"), Column("account", "Account", width=90)],
                            sort="Per month", width=12, hidden=["workload_id"], no_value="no waste, or no prices"),
                table_panel("Bundles that do not fit",
                            "Use of the last seven days as a share of the bundle: CPU at the 95th percentile, memory "
                            "at its peak; and the cheapest bundle with the same GPUs that would fit.",
                            [_week("cpu", "0.95"), _week("memory", "1")],
                            [_WORKLOAD, Column("finding", "Finding", width=100),
                             Column("fitting_bundle_id", "Would fit"),
                             Column("A", "CPU", unit="percentunit", width=70),
                             Column("B", "Memory", unit="percentunit", width=80),
                             Column("account", "Account", width=80)],
                            sort="CPU", width=12, hidden=["workload_id"], no_value="all fit, or too little history"),
                table_panel("Idle workloads", "Live replicas and no request for this long.",
                            [selected(f"time() - {each(family('workload_idle_since_timestamp_seconds'))}")],
                            [_WORKLOAD, Column("A", "Idle for", unit="s", width=120),
                             Column("account", "Account", width=100)],
                            sort="Idle for", width=8, hidden=["workload_id"], no_value="no idle workload"),
                table_panel("Cost by team", "By the tag `team` of workloads; without a team: no such tag. Empty unless "
                            "the settings have metrics.tags: [team], and prices in costs.bundles.",
                            [_by_team(_COST), _by_team(_WASTE)],
                            [Column("tag_team", "Team"), Column("A", "Cost per hour", width=120, decimals=2),
                             Column("B", "Waste per month", width=130, decimals=0),
                             Column("currency", "Currency", width=80)],
                            sort="Cost per hour", width=8, no_value=_NO_TEAMS),
                time_series("Cost per hour by team", "By the tag `team` of workloads.",
                            Query(_by_team(_COST), "{{tag_team}} ({{currency}})"), unit="short", no_value=_NO_TEAMS,
                            width=8, stacked=True),
            ]),
            Row("Demand", [
                table_panel("Autoscaled workloads",
                            "Load is relative to the autoscaler's target: above 100 % it adds pods, up to the maximum. "
                            "Not reported while scaled to zero.",
                            [each(family("workload_autoscaling_replicas_min")), f"{_LIVE}\n{_AUTOSCALED}",
                             each(family("workload_autoscaling_replicas_max")),
                             each(family("workload_autoscaling_load_ratio")),
                             f"{_LIVE} / {ON_WORKLOAD} group_left () max by (account, workload_id) "
                             f"({family('workload_autoscaling_replicas_max')})"],
                            [_WORKLOAD, Column("A", "Min", width=60), Column("B", "Live", width=60),
                             Column("C", "Max", width=60),
                             Column("D", "Load / target", unit="percentunit", width=110,
                                    steps=((None, GOOD), (1, WARNING))),
                             Column("E", "Live / max", unit="percentunit", width=95,
                                    steps=((None, GOOD), (1, NOTICE))),
                             Column("account", "Account", width=80)],
                            sort="Load / target", width=14, no_value="no autoscaled workload",
                            hidden=["workload_id"]),
                table_panel("Unschedulable pods",
                            "Pods that no node can run, by the missing resource. Contact the cluster administrators.",
                            [f"{_UNSCHEDULABLE} > 0"],
                            [_WORKLOAD, Column("resource", "Missing", width=90),
                             Column("A", "Pods", width=70, steps=((None, BAD),)),
                             Column("account", "Account", width=100)],
                            sort="Pods", width=10, hidden=["workload_id"]),
            ]),
            Row("Allocation", [
                time_series("Active workloads and replicas", "By account. Dashed: the limit of workloads.",
                            Query(_account("account_workloads_active"), "{{account}} workloads"),
                            Query(_account("account_replicas_live"), "{{account}} live replicas"),
                            Query(_account("account_replicas_max"), "{{account}} max replicas"),
                            Query(_account("account_workloads_limit"), "{{account}} workload limit"),
                            unit="short", no_value=NOT_REPORTED, width=12, dashed=["D"]),
                time_series("Allocated CPU cores by bundle", "Cores of the resource bundle times live pods.",
                            _allocated("cpu_cores"),
                            unit="short", axis="cores", no_value=NOT_REPORTED, width=12, stacked=True),
                time_series("Allocated memory by bundle", "Memory of the resource bundle times live pods.",
                            _allocated("memory_bytes"), unit="bytes", no_value=NOT_REPORTED, width=12, stacked=True),
                time_series("Allocated GPUs by bundle", "GPUs of the resource bundle times live pods.",
                            _allocated("gpus"), unit="short", no_value="no GPU", width=12, stacked=True),
            ]),
            Row("Usage", [
                time_series("Memory usage (top 5)", "Share of the bundle's memory used by the fullest pod of each "
                            "workload. The line is the alert threshold; near 100 % the container is OOM-killed.",
                            Query(_MEMORY, "{{workload}}"),
                            unit="percentunit", no_value=NOT_REPORTED, most=1, link=workload_link("__field.labels"),
                            steps=((None, GOOD), (DEFAULTS["memory_ratio"], BAD))),
                time_series("CPU usage (top 5)", "Share of the bundle's CPU used by the busiest pod of each workload.",
                            Query(_CPU, "{{workload}}"),
                            unit="percentunit", no_value=NOT_REPORTED, most=1, link=workload_link("__field.labels")),
                table_panel("Quotas", "Limits of the default rules of quotas, per window.",
                            [selected(each(family("workload_quota_limit"), "rule", "window") + " > 0")],
                            [_WORKLOAD, Column("rule", "Rule"), Column("window", "Window", width=80),
                             Column("A", "Limit", width=90), Column("account", "Account", width=100)],
                            sort="Limit", descending=False, width=12, hidden=["workload_id"], no_value="no quota"),
                table_panel("Unavailable bundles", "Workloads configured with a bundle that is no longer in the "
                            "catalogue. Their next start may fail.",
                            [selected(f"{_OFFERED} == 0")],
                            [_WORKLOAD, Column("bundle_id", "Bundle"), Column("account", "Account", width=100)],
                            sort="Workload", descending=False, width=12, hidden=["workload_id", "Value"]),
            ]),
        ],
    )  # fmt: skip
