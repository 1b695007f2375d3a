"""A thin layer over Grafana's own models (grafana-foundation-sdk): panels, their layout, variables, links, annotations.

It gives every dashboard ids, a grid of 24 columns, the datasource as a variable, a description and a "no data" text on
every panel, and links that keep time range and variables.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import quote

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import (
    bargauge,
    common,
    dashboard,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)

from dashboards.look import BAD, GOOD, OFF

TAG = "datarobot-workloads"
FLEET, WORKLOAD, CAPACITY, LIFECYCLE, EXPORTER = (
    f"datarobot-{name}" for name in ("fleet", "workload", "capacity", "lifecycle", "exporter")
)
COLUMNS = 24
INTERVAL = "30s"
DATASOURCE = common.DataSourceRef("prometheus", "${datasource}")
Steps = Sequence[tuple[float | None, str]]
"""Colours of values: from where on, and which; the first has no beginning."""
Texts = Mapping[str, tuple[str, str]]
"""Value -> what is shown instead, and its colour."""


class Query(NamedTuple):
    """One query of a panel. `legend` names its series, as ``{{label}}``; `exemplar`: also request exemplars."""

    expr: str
    legend: str = ""
    exemplar: bool = False


class Column(NamedTuple):
    """One column of a table: the label, or ``A``, ``B`` … for the value of that query; its title and format."""

    source: str
    title: str
    unit: str = ""
    width: int | None = None
    steps: Steps = ()
    texts: Texts = MappingProxyType({})
    link: tuple[str, str] | None = None
    decimals: int | None = None
    whole: bool = False
    """Whether the whole cell is coloured, and not only what is written in it."""
    nothing: str = "-"


class Panel(NamedTuple):
    """A panel and its size in cells of the grid."""

    made: dashboard.Panel
    width: int
    height: int


class Row(NamedTuple):
    """A heading and the panels below it, from left to right, as many beside one another as fit."""

    title: str
    panels: Sequence[Panel]


def _targets(queries: Sequence[Query], *, instant: bool = False, rows: bool = False) -> list[Any]:
    return [
        prometheus.Dataquery(
            datasource=DATASOURCE,
            expr=query.expr,
            legend_format=query.legend or None,
            exemplar=query.exemplar or None,
            instant=instant,
            range_val=not instant,
            format_val=prometheus.PromQueryFormat.TABLE if rows else prometheus.PromQueryFormat.TIME_SERIES,
            ref_id=chr(ord("A") + number),
        )
        for number, query in enumerate(queries)
    ]


def _thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    told = steps or ((None, "text"),)
    return dashboard.ThresholdsConfig(
        dashboard.ThresholdsMode.ABSOLUTE, [dashboard.Threshold(value, colour) for value, colour in told]
    )


def _mappings(texts: Texts, nothing: tuple[str, str] | None = None) -> list[Any]:
    """`nothing`: text and colour of a value that is not there."""
    options = {
        value: dashboard.ValueMappingResult(text=text, color=colour, index=index)
        for index, (value, (text, colour)) in enumerate(texts.items())
    }
    told: list[Any] = [dashboard.ValueMap(options)] if options else []
    if nothing is not None:
        missing = dashboard.ValueMappingResult(text=nothing[0], color=nothing[1])
        match = dashboard.SpecialValueMatch.NULL_AND_NAN
        told.append(dashboard.SpecialValueMap(dashboard.DashboardSpecialValueMapOptions(match, missing)))
    return told


def _override(matcher: str, told: str, **properties: Any) -> dashboard.DashboardFieldConfigSourceOverrides:
    return dashboard.DashboardFieldConfigSourceOverrides(
        matcher=dashboard.MatcherConfig(matcher, told),
        properties=[
            dashboard.DynamicConfigValue(name.replace("__", "."), value)
            for name, value in properties.items()
            if value not in (None, [], "")
        ],
    )


def _fixed(colour: str) -> dict[str, str]:
    return {"mode": "fixed", "fixedColor": colour}


def _panel(
    kind: str,
    title: str,
    description: str,
    *,
    targets: list[Any],
    options: object,
    defaults: dashboard.FieldConfig,
    overrides: list[dashboard.DashboardFieldConfigSourceOverrides] | None = None,
    transformations: list[dashboard.DataTransformerConfig] | None = None,
) -> dashboard.Panel:
    return dashboard.Panel(
        type_val=kind,
        title=title,
        description=description,
        datasource=DATASOURCE,
        interval=INTERVAL,
        targets=targets,
        options=options,
        field_config=dashboard.FieldConfigSource(defaults, overrides or []),
        transformations=transformations or [],
    )


def fact(
    title: str,
    description: str,
    *queries: Query,
    unit: str = "short",
    steps: Steps = (),
    texts: Texts = {},  # noqa: B006 — never changed
    no_value: str,
    width: int = 3,
    height: int = 4,
    names: bool = False,
    filled: bool = False,
    decimals: int | None = None,
    link: tuple[str, str] | None = None,
    nothing: str = OFF,
) -> Panel:
    """One number of now, or several. `names`: what is shown is the name of the series, not its value.

    `nothing` is the colour of `no_value`.
    """
    mode = common.BigValueTextMode.NAME if names else common.BigValueTextMode.AUTO
    colour = common.BigValueColorMode.BACKGROUND_SOLID if filled else common.BigValueColorMode.VALUE
    made = _panel(
        "stat",
        title,
        description,
        targets=_targets(queries, instant=True),
        options=stat.Options(
            graph_mode=common.BigValueGraphMode.NONE,
            color_mode=colour,
            justify_mode=common.BigValueJustifyMode.CENTER,
            text_mode=mode,
            orientation=common.VizOrientation.AUTO,
            reduce_options=common.ReduceDataOptions(values=False, calcs=["lastNotNull"], fields=""),
        ),
        defaults=dashboard.FieldConfig(
            unit=unit,
            decimals=decimals,
            thresholds=_thresholds(steps),
            mappings=_mappings(texts, (no_value, nothing)),
            no_value=no_value,
            color=dashboard.FieldColor(dashboard.FieldColorModeId.THRESHOLDS),
        ),
        overrides=_linked(link),
    )
    return Panel(made, width, height)


def _links(link: tuple[str, str] | None) -> list[dict[str, str]]:
    return [{"title": link[0], "url": link[1]}] if link else []


def _linked(link: tuple[str, str] | None) -> list[dashboard.DashboardFieldConfigSourceOverrides]:
    """A link on every field: the models treat dashboard links as field links; an override is left unchanged."""
    return [_override("byRegexp", "/.*/", links=_links(link))] if link else []


def course(
    title: str,
    description: str,
    *queries: Query,
    unit: str,
    no_value: str,
    width: int = 12,
    height: int = 8,
    colours: Mapping[str, str] = {},
    stacked: bool = False,
    steps: Steps = (),
    least: float | None = 0,
    most: float | None = None,
    link: tuple[str, str] | None = None,
    table: bool = False,
    step: bool = False,
    dashed: Sequence[str] = (),
    axis: str = "",
) -> Panel:
    """Values over time. `colours` of series by name; `steps` are lines; `dashed` are bounds, by name or query."""
    custom = timeseries.FieldConfig(
        draw_style=common.GraphDrawStyle.LINE,
        line_width=0 if stacked else 2,
        fill_opacity=80 if stacked else 0,
        show_points=common.VisibilityMode.NEVER,
        span_nulls=False,
        line_interpolation=common.LineInterpolation.STEP_AFTER if step else common.LineInterpolation.LINEAR,
        stacking=common.StackingConfig(common.StackingMode.NORMAL if stacked else common.StackingMode.NONE, "A"),
        thresholds_style=common.GraphThresholdsStyleConfig(
            common.GraphThresholdsStyleMode.DASHED if steps else common.GraphThresholdsStyleMode.OFF
        ),
        axis_soft_min=least,
        axis_soft_max=most,
        axis_label=axis or None,
    )
    overrides = [_override("byName", name, color=_fixed(colour)) for name, colour in colours.items()]
    overrides += [
        _override(
            "byFrameRefID" if len(name) == 1 else "byName", name, custom__lineStyle={"fill": "dash", "dash": [8, 6]}
        )
        for name in dashed
    ]
    made = _panel(
        "timeseries",
        title,
        description,
        targets=_targets(queries),
        options=timeseries.Options(
            legend=common.VizLegendOptions(
                display_mode=common.LegendDisplayMode.TABLE if table else common.LegendDisplayMode.LIST,
                placement=common.LegendPlacement.RIGHT if table else common.LegendPlacement.BOTTOM,
                show_legend=True,
                calcs=["lastNotNull", "max"] if table else [],
            ),
            tooltip=common.VizTooltipOptions(mode=common.TooltipDisplayMode.MULTI, sort=common.SortOrder.DESCENDING),
        ),
        defaults=dashboard.FieldConfig(
            unit=unit,
            min_val=None,
            thresholds=_thresholds(steps),
            color=dashboard.FieldColor(dashboard.FieldColorModeId.PALETTE_CLASSIC),
            no_value=no_value,
            custom=custom,
        ),
        overrides=[*overrides, *_linked(link)],
    )
    return Panel(made, width, height)


def states(
    title: str, description: str, *queries: Query, texts: Texts, no_value: str, width: int = 24, height: int = 5
) -> Panel:
    """A band of colours over time for each series: numbers that stand for states, as `texts` says."""
    made = _panel(
        "state-timeline",
        title,
        description,
        targets=_targets(queries),
        options=statetimeline.Options(
            show_value=common.VisibilityMode.AUTO,
            merge_values=True,
            align_value=common.TimelineValueAlignment.LEFT,
            legend=common.VizLegendOptions(
                display_mode=common.LegendDisplayMode.LIST, placement=common.LegendPlacement.BOTTOM, show_legend=False
            ),
            tooltip=common.VizTooltipOptions(mode=common.TooltipDisplayMode.SINGLE),
        ),
        defaults=dashboard.FieldConfig(
            unit="none",
            mappings=_mappings(texts),
            thresholds=_thresholds(()),
            color=dashboard.FieldColor(dashboard.FieldColorModeId.THRESHOLDS),
            no_value=no_value,
            custom=statetimeline.FieldConfig(fill_opacity=90),
        ),
    )
    return Panel(made, width, height)


def shares(
    title: str,
    description: str,
    *queries: Query,
    steps: Steps,
    no_value: str,
    width: int = 12,
    height: int = 6,
    link: tuple[str, str] | None = None,
) -> Panel:
    """A bar for each series, of values from 0 to 1."""
    made = _panel(
        "bargauge",
        title,
        description,
        targets=_targets(queries, instant=True),
        options=bargauge.Options(
            display_mode=common.BarGaugeDisplayMode.BASIC,
            value_mode=common.BarGaugeValueMode.COLOR,
            orientation=common.VizOrientation.HORIZONTAL,
            show_unfilled=True,
            reduce_options=common.ReduceDataOptions(values=False, calcs=["lastNotNull"], fields=""),
        ),
        defaults=dashboard.FieldConfig(
            unit="percentunit",
            min_val=0,
            max_val=1,
            thresholds=_thresholds(steps),
            color=dashboard.FieldColor(dashboard.FieldColorModeId.THRESHOLDS),
            no_value=no_value,
        ),
        overrides=_linked(link),
    )
    return Panel(made, width, height)


def listing(
    title: str,
    description: str,
    queries: Sequence[str],
    columns: Sequence[Column],
    *,
    sort: str,
    descending: bool = True,
    no_value: str = "none",
    width: int = 24,
    height: int = 8,
    hidden: Sequence[str] = (),
) -> Panel:
    """A table: the rows of all queries, joined where labels are the same; `hidden` are labels without a column."""
    alone = len(queries) == 1
    names = {
        column.source: ("Value" if alone else f"Value #{column.source}") if len(column.source) == 1 else column.source
        for column in columns
    }
    organised = {
        "excludeByName": dict.fromkeys(("Time", *hidden), True),
        "indexByName": {names[column.source]: place for place, column in enumerate(columns)},
        "renameByName": {names[column.source]: column.title for column in columns},
    }
    overrides = []
    for column in columns:
        coloured = bool(column.steps or column.texts)
        style = {"type": "color-background", "mode": "basic"} if column.whole else {"type": "color-text"}
        overrides.append(
            _override(
                "byName",
                column.title,
                unit=column.unit,
                decimals=column.decimals,
                custom__width=column.width,
                custom__align="left",
                custom__cellOptions=style if coloured else None,
                noValue=None if alone else column.nothing,
                thresholds=_thresholds(column.steps) if column.steps else None,
                mappings=_mappings(column.texts),
                links=_links(column.link),
            )
        )
    made = _panel(
        "table",
        title,
        description,
        targets=_targets([Query(expr) for expr in queries], instant=True, rows=True),
        options=table.Options(
            show_header=True,
            cell_height=common.TableCellHeight.SM,
            sort_by=[common.TableSortByFieldState(sort, descending)],
        ),
        defaults=dashboard.FieldConfig(
            unit="short",
            thresholds=_thresholds(()),
            no_value=no_value,
            color=dashboard.FieldColor(dashboard.FieldColorModeId.THRESHOLDS),
            custom=table.FieldConfig(inspect=False),
        ),
        overrides=overrides,
        transformations=[
            *([] if alone else [dashboard.DataTransformerConfig("merge", options={})]),
            dashboard.DataTransformerConfig("organize", options=organised),
        ],
    )
    return Panel(made, width, height)


# -- variables


def datasource() -> dashboard.VariableModel:
    """The Prometheus to query."""
    return dashboard.VariableModel(
        type_val=dashboard.VariableType.DATASOURCE, name="datasource", label="Data Source", query="prometheus"
    )


def chosen(
    name: str,
    label: str,
    query: str,
    *,
    several: bool = True,
    everything: str = ".+",
    regex: str = "",
    description: str = "",
) -> dashboard.VariableModel:
    """A variable that Prometheus gives the values of; all of them at first, where there may be `several`."""
    first = dashboard.VariableOption(True, ["All"], ["$__all"]) if several else None
    return dashboard.VariableModel(
        type_val=dashboard.VariableType.QUERY,
        name=name,
        label=label,
        description=description or None,
        query={"query": query, "refId": name},
        definition=query,
        datasource=DATASOURCE,
        current=first,
        multi=several,
        include_all=several,
        all_value=everything if several else None,
        refresh=dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED,
        sort=dashboard.VariableSort.ALPHABETICAL_CASE_INSENSITIVE_ASC,
        regex=regex or None,
    )


def text(name: str, label: str, value: str, description: str) -> dashboard.VariableModel:
    """A variable that people type."""
    return dashboard.VariableModel(
        type_val=dashboard.VariableType.TEXTBOX,
        name=name,
        label=label,
        description=description,
        query=value,
        current=dashboard.VariableOption(True, value, value),
        options=[dashboard.VariableOption(True, value, value)],
    )


JOB = chosen("job", "job", "label_values(datarobot_exporter_build_info, job)")
ACCOUNT = chosen("account", "account", 'label_values(datarobot_exporter_api_up{job=~"$job"}, account)')
IMPORTANCE = chosen(
    "importance",
    "importance",
    'label_values(datarobot_workload_importance{job=~"$job", account=~"$account"}, importance)',
)


# -- links and annotations


def to(uid: str, **variables: str) -> str:
    """The address of a dashboard that keeps the time and the variables of this one, and sets others."""
    kept = [f"${{{name}:queryparam}}" for name in ("datasource", "job") if name not in variables]
    given = [f"var-{name}={value}" for name, value in variables.items()]
    return "&".join([f"/d/{uid}?${{__url_time_range}}", *kept, *given])


def to_workload(labels: str = "__data.fields") -> tuple[str, str]:
    """The link to the dashboard of the workload of a row, or of a series (`labels` is then ``__field.labels``)."""
    of = {name: f"${{{labels}.{name}}}" for name in ("account", "workload", "workload_id")}
    return f"What happens to {of['workload']}", to(WORKLOAD, account=of["account"], workload=of["workload_id"])


def _siblings() -> list[dashboard.DashboardLink]:
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


def outward(title: str, url: str, tooltip: str) -> dashboard.DashboardLink:
    """A link of a dashboard to something outside of Grafana."""
    return dashboard.DashboardLink(
        title=title, type_val=dashboard.DashboardLinkType.LINK, icon="external link", tooltip=tooltip, url=url,
        target_blank=True,
    )  # fmt: skip


def mark(
    name: str, colour: str, expr: str, title: str, tags: str, *, moments: bool = True
) -> dashboard.AnnotationQuery:
    """An annotation. `moments`: the value is the time of it, in seconds since the epoch; else it is there or not."""
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


# -- the whole


def board(
    uid: str,
    title: str,
    description: str,
    *,
    variables: Iterable[dashboard.VariableModel],
    annotations: Iterable[dashboard.AnnotationQuery],
    rows: Iterable[Row],
    links: Iterable[dashboard.DashboardLink] = (),
) -> dashboard.Dashboard:
    """A dashboard with everything in its place."""
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
            panel.made.grid_pos = dashboard.GridPos(panel.height, panel.width, x, y)
            panel.made.id_val = len(panels) + 1
            panels.append(panel.made)
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
        links=[*_siblings(), *links],
    )


def written(made: dashboard.Dashboard) -> str:
    """A dashboard as Grafana reads it."""
    told = json.loads(json.dumps(made, cls=JSONEncoder))
    for link in told["links"]:
        del link["placement"]  # the models put every link into a menu, where nobody looks for it
    return json.dumps(told, indent=1, ensure_ascii=False) + "\n"


def none_is_good(step: float = 1, colour: str = BAD) -> Steps:
    """Green at nothing, and a colour from so many on."""
    return ((None, GOOD), (step, colour))


def encoded(value: str) -> str:
    """A value as it stands in an address."""
    return quote(value, safe="")
