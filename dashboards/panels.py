"""Panels of dashboards, built with Grafana's own models (grafana-foundation-sdk).

Each has a description, a text for "no data", and the datasource of the dashboard's variable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

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

from dashboards.style import BAD, GOOD, OFF

INTERVAL = "30s"
DATASOURCE = common.DataSourceRef("prometheus", "${datasource}")
Steps = Sequence[tuple[float | None, str]]
"""Colours of values, each with the value from which it applies; None for the lowest."""
Texts = Mapping[str, tuple[str, str]]
"""Value -> the text and colour to show instead."""


def zero_is_good(step: float = 1, colour: str = BAD) -> Steps:
    """Green at zero, `colour` from `step`."""
    return ((None, GOOD), (step, colour))


class Query(NamedTuple):
    """One query of a panel. `legend` names its series, such as ``{{label}}``; `exemplar`: also query exemplars."""

    expr: str
    legend: str = ""
    exemplar: bool = False


class Column(NamedTuple):
    """One column of a table. `source` is a label, or ``A``, ``B`` … for the value of that query."""

    source: str
    title: str
    unit: str = ""
    width: int | None = None
    steps: Steps = ()
    texts: Texts = MappingProxyType({})
    link: tuple[str, str] | None = None
    decimals: int | None = None
    whole: bool = False
    """Whether to colour the whole cell instead of only its text."""
    empty: str = "-"
    """Text of a cell without a value."""


class Panel(NamedTuple):
    """A panel and its size in grid cells."""

    model: dashboard.Panel
    width: int
    height: int


class Row(NamedTuple):
    """A heading and the panels below it, placed from left to right."""

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
    thresholds = steps or ((None, "text"),)
    return dashboard.ThresholdsConfig(
        dashboard.ThresholdsMode.ABSOLUTE, [dashboard.Threshold(value, colour) for value, colour in thresholds]
    )


def _mappings(texts: Texts, no_value: tuple[str, str] | None = None) -> list[Any]:
    """`no_value`: text and colour of a missing value."""
    options = {
        value: dashboard.ValueMappingResult(text=text, color=colour, index=index)
        for index, (value, (text, colour)) in enumerate(texts.items())
    }
    mappings: list[Any] = [dashboard.ValueMap(options)] if options else []
    if no_value is not None:
        missing = dashboard.ValueMappingResult(text=no_value[0], color=no_value[1])
        match = dashboard.SpecialValueMatch.NULL_AND_NAN
        mappings.append(dashboard.SpecialValueMap(dashboard.DashboardSpecialValueMapOptions(match, missing)))
    return mappings


def _override(matcher: str, target: str, **properties: Any) -> dashboard.DashboardFieldConfigSourceOverrides:
    return dashboard.DashboardFieldConfigSourceOverrides(
        matcher=dashboard.MatcherConfig(matcher, target),
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


def stat_panel(
    title: str,
    description: str,
    *queries: Query,
    unit: str = "short",
    steps: Steps = (),
    texts: Texts = {},  # noqa: B006 — never modified
    no_value: str,
    width: int = 3,
    height: int = 4,
    show_name: bool = False,
    filled: bool = False,
    decimals: int | None = None,
    link: tuple[str, str] | None = None,
    no_value_colour: str = OFF,
) -> Panel:
    """One or more current values. `show_name`: show the name of the series instead of its value."""
    mode = common.BigValueTextMode.NAME if show_name else common.BigValueTextMode.AUTO
    colour = common.BigValueColorMode.BACKGROUND_SOLID if filled else common.BigValueColorMode.VALUE
    model = _panel(
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
            mappings=_mappings(texts, (no_value, no_value_colour)),
            no_value=no_value,
            color=dashboard.FieldColor(dashboard.FieldColorModeId.THRESHOLDS),
        ),
        overrides=_linked(link),
    )
    return Panel(model, width, height)


def _links(link: tuple[str, str] | None) -> list[dict[str, str]]:
    return [{"title": link[0], "url": link[1]}] if link else []


def _linked(link: tuple[str, str] | None) -> list[dashboard.DashboardFieldConfigSourceOverrides]:
    """An override that adds a link to every field: the models would change a link among the defaults."""
    return [_override("byRegexp", "/.*/", links=_links(link))] if link else []


def time_series(
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
    """Values over time. `colours` are by series name; `steps` are drawn as lines; `dashed` names series or queries."""
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
    model = _panel(
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
    return Panel(model, width, height)


def state_timeline(
    title: str, description: str, *queries: Query, texts: Texts, no_value: str, width: int = 24, height: int = 5
) -> Panel:
    """A band of colours over time for each series. Its values are numbers that `texts` maps to states."""
    model = _panel(
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
    return Panel(model, width, height)


def bar_gauge(
    title: str,
    description: str,
    *queries: Query,
    steps: Steps,
    no_value: str,
    width: int = 12,
    height: int = 6,
    link: tuple[str, str] | None = None,
) -> Panel:
    """A bar for each series, with values from 0 to 1."""
    model = _panel(
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
    return Panel(model, width, height)


def table_panel(
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
    """A table of the results of all queries, merged by equal labels; `hidden` are labels without a column."""
    single = len(queries) == 1
    names = {
        column.source: ("Value" if single else f"Value #{column.source}") if len(column.source) == 1 else column.source
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
                noValue=None if single else column.empty,
                thresholds=_thresholds(column.steps) if column.steps else None,
                mappings=_mappings(column.texts),
                links=_links(column.link),
            )
        )
    model = _panel(
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
            *([] if single else [dashboard.DataTransformerConfig("merge", options={})]),
            dashboard.DataTransformerConfig("organize", options=organised),
        ],
    )
    return Panel(model, width, height)
