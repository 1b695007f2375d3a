"""The layout of a dashboard: ids, a grid of 24 columns, variables, annotations and links."""

from __future__ import annotations

import json
from collections.abc import Iterable

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard

from dashboards.links import TAG, sibling_links
from dashboards.panels import Row
from dashboards.variables import datasource

COLUMNS = 24


def assemble(
    uid: str,
    title: str,
    description: str,
    *,
    variables: Iterable[dashboard.VariableModel],
    annotations: Iterable[dashboard.AnnotationQuery],
    rows: Iterable[Row],
    links: Iterable[dashboard.DashboardLink] = (),
) -> dashboard.Dashboard:
    """A dashboard with its panels placed row by row, from left to right."""
    panels: list[dashboard.Panel | dashboard.RowPanel] = []
    y = 0
    for row in rows:
        if row.title:
            place = dashboard.GridPos(1, COLUMNS, 0, y)
            panels.append(dashboard.RowPanel(False, row.title, grid_pos=place, id_val=len(panels) + 1, panels=[]))
            y += 1
        x = tallest = 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            panel.model.grid_pos = dashboard.GridPos(panel.height, panel.width, x, y)
            panel.model.id_val = len(panels) + 1
            panels.append(panel.model)
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest
    return dashboard.Dashboard(
        uid=uid,
        title=title,
        description=description,
        tags=[TAG],
        editable=False,
        graph_tooltip=dashboard.DashboardCursorSync.CROSSHAIR,
        time=dashboard.DashboardDashboardTime("now-6h", "now"),
        refresh="1m",
        version=1,
        panels=panels,
        templating=dashboard.DashboardDashboardTemplating([datasource(), *variables]),
        annotations=dashboard.AnnotationContainer(list(annotations)),
        links=[*sibling_links(), *links],
    )


def to_json(built: dashboard.Dashboard) -> str:
    """A dashboard as JSON for Grafana."""
    content = json.loads(json.dumps(built, cls=JSONEncoder))
    for link in content["links"]:
        del link["placement"]  # the models place every link in a menu, where it is easily missed
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
