"""Capacity and quota: what is used of what there is, who wants more, and when it will not do."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard

from dashboards.asked import each, family, important, restarts_of_exporter
from dashboards.board import (
    ACCOUNT,
    CAPACITY,
    IMPORTANCE,
    JOB,
    Column,
    Query,
    Row,
    board,
    course,
    fact,
    listing,
    none_is_good,
    shares,
    to_workload,
)
from dashboards.look import BAD, GOOD, NONE, NOT_REPORTED, NOTICE, WARNING
from dashboards.troubles import WHICH, condition
from exporter.alerting.alerts import DEFAULTS

_NEAR = ((None, GOOD), (DEFAULTS["limit_ratio"], WARNING), (1, BAD))
_WEEK = 7 * 86400


def _account(name: str) -> str:
    return f"max by (account) ({family(name)})"


def _allocated(name: str) -> Query:
    told = important(each(family(f"workload_allocated_{name}"), "bundle_id"))
    return Query(f"sum by (bundle_id) ({told}) > 0", "{{bundle_id}}")


_LIVE = each(family("proton_replicas_live", role="active"))
_SATURATED = condition("DataRobotAutoscalerSaturated")


def _of_the_bundle(used: str, there: str) -> str:
    """The share that the fullest pod of each workload uses, of the five workloads where it was greatest."""
    used = family(used, level="pod")
    whole = f"{WHICH} group_left () max by (account, workload_id) ({family(there)})"
    last = f"{WHICH} group_left () max by (account, workload_id) (last_over_time({family(there)}[$__range] @ end()))"
    greatest = f"{each(f'max_over_time({used}[$__range] @ end())')} / {last}"
    return f"{each(used)} / {whole}\nand topk(5, {important(greatest)})"


_MEMORY = _of_the_bundle("workload_memory_usage_bytes", "workload_replica_memory_bytes")
_CPU = _of_the_bundle("workload_cpu_usage_cores", "workload_replica_cpu_cores")
_ACTIVE = family("account_workloads_active")
_THERE = f"last_over_time({_ACTIVE}[6d] offset 1d)"
_IN_A_WEEK = f"clamp_min(max by (account) (predict_linear({_ACTIVE}[7d], {_WEEK}) and {_THERE}), 0)"
_AUTOSCALED = f"and {WHICH} {family('workload_autoscaling_replicas_max')}"
_WORKLOAD = Column("workload", "Workload", link=to_workload())


def made() -> dashboard.Dashboard:
    """The dashboard."""
    return board(
        CAPACITY,
        "DataRobot workloads: capacity and quota",
        "What is used of what there is, who wants more, and when it will not do.",
        variables=[JOB, ACCOUNT, IMPORTANCE],
        annotations=[restarts_of_exporter()],
        rows=[
            Row("", [
                shares("Active workloads, of the account's limit",
                       "At the limit the next deployment is refused. A lower bound: the token sees only what is shared "
                       "with it. An account without a limit is not here.",
                       Query(f"{_account('account_workloads_active')} / {_account('account_workloads_limit')}",
                             "{{account}}"), steps=_NEAR, no_value="no limit", width=9, height=5),
                shares("In a week at the pace of the last one",
                       "The limit's share that active workloads will have in seven days, if they grow on as they did "
                       "in the last seven; not told before a day of history is there.",
                       Query(f"{_IN_A_WEEK} / {_account('account_workloads_limit')}", "{{account}}"),
                       steps=_NEAR, no_value="no limit", width=9, height=5),
                fact("Find no node", "Live pods that no node can take.",
                     Query(f"sum({important(_unschedulable())}) or vector(0)"), steps=none_is_good(), no_value=NONE,
                     height=5, filled=True),
                fact("At their most", "Autoscaled workloads that run all they may and are still loaded.",
                     Query(f"count({important(_SATURATED)}) or vector(0)"), steps=none_is_good(colour=WARNING),
                     no_value=NONE, height=5, filled=True),
            ]),
            Row("Who wants more than there is", [
                listing("Autoscaled workloads: is there room",
                        "Load over target: above 1 the autoscaler wants more pods; at the most it gets none. Not told "
                        "while scaled to zero.",
                        [each(family("workload_autoscaling_replicas_min")), f"{_LIVE}\n{_AUTOSCALED}",
                         each(family("workload_autoscaling_replicas_max")),
                         each(family("workload_autoscaling_load_ratio")),
                         f"{_LIVE} / {WHICH} group_left () max by (account, workload_id) "
                         f"({family('workload_autoscaling_replicas_max')})"],
                        [_WORKLOAD, Column("A", "Least", width=60), Column("B", "Live", width=60),
                         Column("C", "Most", width=60),
                         Column("D", "Load over target", unit="percentunit", width=130,
                                steps=((None, GOOD), (1, WARNING))),
                         Column("E", "Of its most", unit="percentunit", width=95, steps=((None, GOOD), (1, NOTICE))),
                         Column("account", "Account", width=80)],
                        sort="Load over target", width=14, no_value="nobody is autoscaled", hidden=["workload_id"]),
                listing("Find no node",
                        "Pods that no node can take, by what the nodes lack: ask who runs the cluster.",
                        [f"{_unschedulable()} > 0"],
                        [_WORKLOAD, Column("resource", "Lacking", width=90), Column("A", "Pods", width=70,
                                                                                      steps=((None, BAD),)),
                         Column("account", "Account", width=100)],
                        sort="Pods", width=10, hidden=["workload_id"]),
            ]),
            Row("What is held", [
                course("Active workloads and replicas", "By account. Dashed: the limit of workloads.",
                       Query(_account("account_workloads_active"), "{{account}} workloads"),
                       Query(_account("account_replicas_live"), "{{account}} replicas live"),
                       Query(_account("account_replicas_max"), "{{account}} replicas at most"),
                       Query(_account("account_workloads_limit"), "{{account}} limit of workloads"),
                       unit="short", no_value=NOT_REPORTED, width=12, dashed=["D"]),
                course("Cores by bundle", "Cores of the resource bundle times the live pods.", _allocated("cpu_cores"),
                       unit="short", axis="cores", no_value=NOT_REPORTED, width=12, stacked=True),
                course("Memory by bundle", "Memory of the resource bundle times the live pods.",
                       _allocated("memory_bytes"), unit="bytes", no_value=NOT_REPORTED, width=12, stacked=True),
                course("GPUs by bundle", "GPUs of the resource bundle times the live pods.", _allocated("gpus"),
                       unit="short", no_value="no GPU", width=12, stacked=True),
            ]),
            Row("What is used of it", [
                course("Memory in use, of the bundle: the five fullest", "The fullest pod of each workload. The line: "
                       "the alert's threshold; above it the container is soon ended.",
                       Query(_MEMORY, "{{workload}}"),
                       unit="percentunit", no_value=NOT_REPORTED, most=1, link=to_workload("__field.labels"),
                       steps=((None, GOOD), (DEFAULTS["memory_ratio"], BAD))),
                course("Processor in use, of the bundle: the five busiest", "The busiest pod of each workload.",
                       Query(_CPU, "{{workload}}"),
                       unit="percentunit", no_value=NOT_REPORTED, most=1, link=to_workload("__field.labels")),
                listing("Quotas", "What a quota's default rule lets through in a window.",
                        [important(each(family("workload_quota_limit"), "rule", "window") + " > 0")],
                        [_WORKLOAD, Column("rule", "Rule"), Column("window", "Window", width=80),
                         Column("A", "Limit", width=90), Column("account", "Account", width=100)],
                        sort="Limit", descending=False, width=12, hidden=["workload_id"], no_value="no quota"),
                listing("Bundles that are not on offer", "Workloads whose settings name a bundle that is not in the "
                        "catalogue: their next start may fail.",
                        [important(each(family("workload_bundle_offered"), "bundle_id", aggregate="min") + " == 0")],
                        [_WORKLOAD, Column("bundle_id", "Bundle"), Column("account", "Account", width=100)],
                        sort="Workload", descending=False, width=12, hidden=["workload_id", "Value"]),
            ]),
        ],
    )  # fmt: skip


def _unschedulable() -> str:
    return each(family("proton_replicas_unschedulable"), "resource", aggregate="sum")
