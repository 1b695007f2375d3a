"""Links between dashboards, and annotations."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard

from dashboards.panels import DATASOURCE, INTERVAL

TAG = "datarobot-workloads"
FLEET, WORKLOAD, CAPACITY, LIFECYCLE, OBJECTIVES, EXPORTER = (
    f"datarobot-{name}" for name in ("fleet", "workload", "capacity", "lifecycle", "objectives", "exporter")
)


def dashboard_url(uid: str, **variables: str) -> str:
    """URL of a dashboard that keeps the time range, datasource and job, and sets other variables."""
    kept = [f"${{{name}:queryparam}}" for name in ("datasource", "job") if name not in variables]
    given = [f"var-{name}={value}" for name, value in variables.items()]
    return "&".join([f"/d/{uid}?${{__url_time_range}}", *kept, *given])


def workload_link(labels: str = "__data.fields") -> tuple[str, str]:
    """Title and URL of a link from a table row to the dashboard of its workload; series use ``__field.labels``."""
    labels_of = {name: f"${{{labels}.{name}}}" for name in ("account", "workload", "workload_id")}
    return f"Details of {labels_of['workload']}", dashboard_url(
        WORKLOAD, account=labels_of["account"], workload=labels_of["workload_id"]
    )


def sibling_links() -> list[dashboard.DashboardLink]:
    """A menu of all dashboards of this project."""
    return [
        dashboard.DashboardLink(
            title="DataRobot workloads",
            type_val=dashboard.DashboardLinkType.DASHBOARDS,
            icon="external link",
            tooltip="",
            tags=[TAG],
            include_vars=True,
            keep_time=True,
        )
    ]


def external_link(title: str, url: str, tooltip: str) -> dashboard.DashboardLink:
    """A link from a dashboard to a page outside Grafana."""
    return dashboard.DashboardLink(
        title=title, type_val=dashboard.DashboardLinkType.LINK, icon="external link", tooltip=tooltip, url=url,
        target_blank=True,
    )  # fmt: skip


def annotation(
    name: str, colour: str, expr: str, title: str, tags: str, *, moments: bool = True
) -> dashboard.AnnotationQuery:
    """An annotation. `moments`: its value is a time in seconds since the epoch; else it lasts while a value exists."""
    return dashboard.AnnotationQuery(
        name=name,
        datasource=DATASOURCE,
        enable=True,
        icon_color=colour,
        expr=f"{expr} * 1000" if moments else expr,
        step=INTERVAL,
        title_format=title,
        text_format="",
        tag_keys=tags,
        use_value_for_time=moments,
    )
