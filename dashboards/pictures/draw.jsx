// Draws one dashboard with Grafana's component library: panel frames, charts, numbers, tables, units, thresholds,
// mappings and transformations. Panels whose code is only in the Grafana server are replaced by a simple drawing.
import React, { useEffect, useState } from 'react';
import { createRoot } from 'react-dom/client';
import {
  EventBusSrv, FieldType, applyFieldOverrides, createDataFrame, createTheme, dataLinksOverrideProcessor,
  dateTime, displayNameOverrideProcessor, getFieldDisplayValues, getValueFormats,
  identityOverrideProcessor, numberOverrideProcessor, standardFieldConfigEditorRegistry, standardTransformers,
  standardTransformersRegistry, stringOverrideProcessor, thresholdsOverrideProcessor, transformDataFrame,
  unitOverrideProcessor, valueMappingsOverrideProcessor, FieldConfigOptionsRegistry, cacheFieldDisplayNames,
} from '@grafana/data';
import { BarGauge, BigValue, GlobalStyles, PanelChrome, PanelContextProvider, ThemeContext, TimeSeries } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';
import 'uplot/dist/uPlot.min.css';

const { dashboard, values, begin, end, step, only } = window.input;
const theme = createTheme({ colors: { mode: 'dark' } });
const WIDTH = 1300, MARGIN = 8, CELL = 30, HEAD = 64;

// -- what a Grafana server registers at startup

const standard = (id, process, path = id) => ({
  id, path, name: id, process, override: process, shouldApply: () => true, isCustom: path.startsWith('custom.'),
});
const custom = ['lineStyle', 'fillOpacity', 'width', 'align', 'cellOptions', 'lineWidth', 'drawStyle', 'showPoints',
  'spanNulls', 'lineInterpolation', 'stacking', 'thresholdsStyle', 'axisSoftMin', 'axisSoftMax', 'axisLabel'];
const properties = () => [
  standard('unit', unitOverrideProcessor), standard('decimals', numberOverrideProcessor),
  standard('min', numberOverrideProcessor), standard('max', numberOverrideProcessor),
  standard('displayName', displayNameOverrideProcessor), standard('noValue', stringOverrideProcessor),
  standard('links', dataLinksOverrideProcessor), standard('mappings', valueMappingsOverrideProcessor),
  standard('thresholds', thresholdsOverrideProcessor), standard('color', identityOverrideProcessor),
];
standardFieldConfigEditorRegistry.setInit(properties);
const registry = new FieldConfigOptionsRegistry(() => [
  ...properties(), ...custom.map((name) => ({ ...standard(`custom.${name}`, identityOverrideProcessor, name), isCustom: true,
    shouldApply: (field) => field.type !== FieldType.time || !name.startsWith('axis') })),
]);
standardTransformersRegistry.setInit(() => {
  const found = new Map();
  for (const info of Object.values(standardTransformers)) {
    found.set(info.id, { id: info.id, name: info.name, transformation: () => Promise.resolve(info), editor: () => null });
  }
  return [...found.values()];
});

// -- queries

function replace(text, scoped = {}) {
  return text.replace(/\$(?:\{(\w[\w.]*)(?::\w+)?\}|(\w+))/g, (whole, long, short) => values[long ?? short] ?? whole);
}

async function fetchResult(path, query) {
  const response = await (await fetch(`/api/v1/${path}`, { method: 'POST', body: new URLSearchParams(query) })).json();
  if (response.status !== 'success') {
    throw new Error(`${response.error}: ${query.query}`);
  }
  return response.data.result;
}

function legendText(legend, labels) {
  return legend ? legend.replace(/{{(\w+)}}/g, (_, name) => labels[name] ?? '') : undefined;
}

async function frames(panel) {
  const found = await Promise.all(panel.targets.map(async (target) => {
    const query = replace(target.expr);
    const result = target.instant
      ? await fetchResult('query', { query, time: end })
      : await fetchResult('query_range', { query, start: begin, end, step });
    return target.format === 'table' ? table(target, result, panel.targets.length > 1) : series(target, result);
  }));
  return found.flat();
}

function steps() {
  return Array.from({ length: Math.floor((end - begin) / step) + 1 }, (_, number) => begin + number * step);
}

function series(target, result) {
  return result.map(({ metric, value, values: many }) => {
    const samples = new Map(many ?? [value]);
    const rows = many ? steps().map((at) => [at, samples.get(at) ?? null]) : [value];
    return createDataFrame({
      refId: target.refId,
      fields: [
        { name: 'Time', type: FieldType.time, values: rows.map(([at]) => at * 1000), config: { interval: step * 1000 } },
        { name: 'Value', type: FieldType.number, values: rows.map(([, number]) => (number === null ? null : Number(number))), labels: metric,
          config: { displayNameFromDS: legendText(target.legendFormat, metric) } },
      ],
    });
  });
}

function table(target, result, several) {
  if (!result.length) {
    return [];
  }
  const labels = [...new Set(result.flatMap(({ metric }) => Object.keys(metric)))].sort();
  return [createDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: result.map(({ value }) => value[0] * 1000) },
      ...labels.map((name) => ({ name, type: FieldType.string, values: result.map(({ metric }) => metric[name] ?? '') })),
      { name: several ? `Value #${target.refId}` : 'Value', type: FieldType.number,
        values: result.map(({ value }) => Number(value[1])) },
    ],
  })];
}

function transformed(panel, data) {
  const context = { interpolate: replace };
  return new Promise((resolve, reject) => {
    transformDataFrame(panel.transformations ?? [], data, context).subscribe({ next: resolve, error: reject });
  });
}

function withFieldConfig(panel, data) {
  const fields = applyFieldOverrides({
    data, fieldConfig: panel.fieldConfig, replaceVariables: replace, theme, timeZone: 'utc', fieldConfigRegistry: registry,
  });
  cacheFieldDisplayNames(fields);
  return fields;
}

// -- drawing

const range = { from: dateTime(begin * 1000), to: dateTime(end * 1000), raw: { from: 'then', to: 'now' } };
const context = { eventBus: new EventBusSrv(), eventsScope: 'global', onToggleSeriesVisibility: () => {}, app: 'dashboard' };

function Empty({ panel, width, height }) {
  return <div data-empty={panel.title} style={{ width, height, display: 'flex', alignItems: 'center',
    justifyContent: 'center', color: theme.colors.text.secondary }}>{panel.fieldConfig.defaults.noValue}</div>;
}

function displays(panel, data) {
  return getFieldDisplayValues({
    fieldConfig: panel.fieldConfig, reduceOptions: panel.options.reduceOptions, replaceVariables: replace, theme, data,
    timeZone: 'utc',
  });
}

function Stat({ panel, data, width, height }) {
  const found = displays(panel, data);
  const each = width / found.length;
  return <div style={{ display: 'flex' }}>{found.map((entry, number) => (
    <BigValue key={number} width={each} height={height} theme={theme} value={entry.display} count={found.length}
      colorMode={panel.options.colorMode} graphMode={panel.options.graphMode} justifyMode={panel.options.justifyMode}
      textMode={panel.options.textMode} alignmentFactors={undefined} />
  ))}</div>;
}

function Bars({ panel, data, width, height }) {
  const found = displays(panel, data);
  const each = Math.min(height / found.length, 60);
  return <div>{found.map((entry, number) => (
    <div key={number} style={{ height: each }}>
      <BarGauge width={width} height={each - 6} theme={theme} value={entry.display} field={entry.field}
        display={entry.view?.getFieldDisplayProcessor(entry.colIndex ?? 0)} orientation={panel.options.orientation}
        displayMode={panel.options.displayMode} valueDisplayMode={panel.options.valueMode}
        showUnfilled={panel.options.showUnfilled} itemSpacing={10} />
    </div>
  ))}</div>;
}

function Chart({ panel, data, width, height }) {
  return <TimeSeries frames={data} width={width} height={height} timeRange={range} timeZone="utc"
    legend={panel.options.legend} options={panel.options} structureRev={1}>{() => null}</TimeSeries>;
}

function Rows({ panel, data, width, height }) {
  return <TableNG data={data[0]} width={width} height={height} noHeader={!panel.options.showHeader}
    cellHeight={panel.options.cellHeight} sortBy={panel.options.sortBy} fieldConfig={panel.fieldConfig}
    timeRange={range} structureRev={1} getActions={() => []} />;
}

// The code of this chart is only in the Grafana server. Numbers, texts and colours are those of the panel.
function Timeline({ panel, data, width, height }) {
  const left = 250, each = Math.min(36, (height - 34) / data.length);
  const x = (at) => left + ((at / 1000 - begin) / (end - begin)) * (width - left - 8);
  return <svg width={width} height={height} data-drawn="true">
    {data.map((frame, row) => {
      const [time, value] = frame.fields;
      const bands = [];
      time.values.forEach((at, place) => {
        if (value.values[place] === null) {
          return;
        }
        const shown = value.display(value.values[place]);
        const last = bands[bands.length - 1];
        if (last && last.text === shown.text && at - last.to <= step * 1500) {
          last.to = at;
        } else {
          if (last && at - last.to <= step * 1500) {
            last.to = at;
          }
          bands.push({ from: at, to: at, text: shown.text, color: shown.color });
        }
      });
      return <g key={row} transform={`translate(0 ${row * each})`}>
        <text x={left - 10} y={each / 2 + 4} textAnchor="end" fontSize="12" fill={theme.colors.text.primary}>
          {frame.fields[1].config.displayNameFromDS}</text>
        {bands.map((band, number) => {
          const wide = Math.max(2, x(band.to) - x(band.from));
          return <g key={number}>
            <rect x={x(band.from)} y={3} width={wide} height={each - 6} fill={theme.visualization.getColorByName(band.color)} />
            {wide > band.text.length * 7 + 8 && <text x={x(band.from) + 5} y={each / 2 + 4} fontSize="12" fill="#111">{band.text}</text>}
          </g>;
        })}
      </g>;
    })}
    {[0, 0.25, 0.5, 0.75, 1].map((part) => (
      <text key={part} x={left + part * (width - left - 8)} y={Math.min(height - 18, data.length * each + 16)} fontSize="12"
        textAnchor={part === 1 ? 'end' : part ? 'middle' : 'start'} fill={theme.colors.text.secondary}>
        {new Date((begin + part * (end - begin)) * 1000).toISOString().slice(11, 16)}</text>
    ))}
    <text x={width - 8} y={height - 4} textAnchor="end" fontSize="11" fill={theme.colors.text.disabled}>
      simplified: the code of this chart is only in the Grafana server</text>
  </svg>;
}

const KINDS = { stat: Stat, bargauge: Bars, timeseries: Chart, table: Rows, 'state-timeline': Timeline };

function Panel({ panel, data, place }) {
  const Kind = KINDS[panel.type];
  const empty = panel.type !== 'stat' && !data.some((frame) => frame.length);
  return <div style={{ position: 'absolute', ...place }} data-panel={panel.title}>
    <PanelChrome title={panel.title} description={panel.description} width={place.width} height={place.height}>
      {(width, height) => empty
        ? <Empty panel={panel} width={width} height={height} />
        : <PanelContextProvider value={context}><Kind panel={panel} data={data} width={width} height={height} /></PanelContextProvider>}
    </PanelChrome>
  </div>;
}

function place({ x, y, w, h }) {
  const column = (WIDTH - MARGIN) / 24;
  return { left: MARGIN + x * column, top: HEAD + y * (CELL + MARGIN), width: w * column - MARGIN, height: h * (CELL + MARGIN) - MARGIN };
}

function Dashboard() {
  const [drawn, draw] = useState(null);
  useEffect(() => {
    Promise.all(dashboard.panels.filter((panel) => panel.type !== 'row').map(async (panel) => [
      panel, withFieldConfig(panel, await transformed(panel, await frames(panel))),
    ])).then(draw, (error) => window.failures.push(String(error.stack ?? error)));
  }, []);
  useEffect(() => {
    if (drawn) {
      setTimeout(report, 2500);
    }
  }, [drawn]);
  if (!drawn) {
    return null;
  }
  return <ThemeContext.Provider value={theme}>
    <GlobalStyles />
    <div style={{ position: 'absolute', left: 16, top: 10, color: theme.colors.text.primary, fontSize: 20 }}>{dashboard.title}
      <span style={{ fontSize: 13, marginLeft: 16, color: theme.colors.text.secondary }}>{dashboard.description}</span></div>
    <div style={{ position: 'absolute', left: 16, top: 40, fontSize: 12, color: theme.colors.text.secondary }}>
      {dashboard.templating.list.filter((variable) => window.selected[variable.name]).map((variable) => (
        <span key={variable.name} style={{ marginRight: 14 }}>{variable.label}: <b>{window.selected[variable.name]}</b></span>))}
      <span>simulated fleet, drawn with Grafana's components outside of a Grafana server</span></div>
    {dashboard.panels.filter((panel) => panel.type === 'row').map((row) => (
      <div key={row.id} style={{ position: 'absolute', ...place(row.gridPos), color: theme.colors.text.primary, fontSize: 16,
        lineHeight: `${CELL}px` }}>⌄ {row.title}</div>))}
    {drawn.map(([panel, data]) => <Panel key={panel.id} panel={panel} data={data} place={place(panel.gridPos)} />)}
  </ThemeContext.Provider>;
}

// -- report

function blank(canvas) {
  if (!canvas.width || !canvas.height) {
    return true;
  }
  const pixels = new Uint32Array(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.buffer);
  return pixels.every((pixel) => pixel === pixels[0]);
}

function report() {
  const panels = [...document.querySelectorAll('[data-panel]')];
  const empty = panels.filter((panel) => panel.querySelector('[data-empty]') || panel.textContent.includes('No data'));
  const drawn = (panel) => panel.querySelector('canvas') ? ![...panel.querySelectorAll('canvas')].some(blank)
    : panel.textContent.length > panel.dataset.panel.length;
  const formats = new Set(getValueFormats().flatMap((group) => group.submenu.map((format) => format.value)));
  const units = dashboard.panels.flatMap((panel) => JSON.stringify(panel).match(/"unit":"([^"]*)"|"id":"unit","value":"([^"]*)"/g) ?? [])
    .map((text) => text.match(/"([^"]*)"$/)[1]);
  fetch('/report', { method: 'POST', body: JSON.stringify({
    drawn: panels.length,
    failures: window.failures,
    empty: empty.map((panel) => panel.dataset.panel),
    blank: panels.filter((panel) => !empty.includes(panel) && !drawn(panel)).map((panel) => panel.dataset.panel),
    units: [...new Set(units)].filter((unit) => !formats.has(unit)),
  }) });
}

createRoot(document.getElementById('root')).render(<Dashboard />);
