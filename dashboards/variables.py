"""Variables of dashboards."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard

from dashboards.panels import DATASOURCE


def datasource() -> dashboard.VariableModel:
    """The Prometheus datasource."""
    return dashboard.VariableModel(
        type_val=dashboard.VariableType.DATASOURCE, name="datasource", label="Data Source", query="prometheus"
    )


def query_variable(
    name: str,
    label: str,
    query: str,
    *,
    multi: bool = True,
    all_value: str = ".+",
    regex: str = "",
    description: str = "",
) -> dashboard.VariableModel:
    """A variable with values from Prometheus. `multi`: multi can be selected, initially all."""
    first = dashboard.VariableOption(True, ["All"], ["$__all"]) if multi else None
    return dashboard.VariableModel(
        type_val=dashboard.VariableType.QUERY,
        name=name,
        label=label,
        description=description or None,
        query={"query": query, "refId": name},
        definition=query,
        datasource=DATASOURCE,
        current=first,
        multi=multi,
        include_all=multi,
        all_value=all_value if multi else None,
        refresh=dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED,
        sort=dashboard.VariableSort.ALPHABETICAL_CASE_INSENSITIVE_ASC,
        regex=regex or None,
    )


def text_variable(name: str, label: str, value: str, description: str) -> dashboard.VariableModel:
    """A variable with free text."""
    return dashboard.VariableModel(
        type_val=dashboard.VariableType.TEXTBOX,
        name=name,
        label=label,
        description=description,
        query=value,
        current=dashboard.VariableOption(True, value, value),
        options=[dashboard.VariableOption(True, value, value)],
    )


JOB = query_variable("job", "job", "label_values(datarobot_exporter_build_info, job)")
ACCOUNT = query_variable("account", "account", 'label_values(datarobot_exporter_api_up{job=~"$job"}, account)')
IMPORTANCE = query_variable(
    "importance",
    "importance",
    'label_values(datarobot_workload_importance{job=~"$job", account=~"$account"}, importance)',
)
TAG = query_variable(
    "tag",
    "tag",
    "label_names(datarobot_workload_tags)",
    multi=False,
    regex="/^tag_(.+)$/",
    description="A tag that is a label: see metrics.tags in the settings of the exporter.",
)
TAG_VALUE = query_variable(
    "tag_value",
    "value",
    'label_values(datarobot_workload_tags{job=~"$job", account=~"$account"}, tag_$tag)',
    all_value=".*",
    description="Values of the tag. All includes workloads without it.",
)
SELECTION = [JOB, ACCOUNT, IMPORTANCE, TAG, TAG_VALUE]
"""Variables that select workloads."""
