import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { quantile } from '../data/quantile.js';
import type { Chart, MatrixImage, Row } from './chart.js';
import { type AttentionMap, attentionOverviewChart } from './charts/attention.js';
import { RESIDUE_ORDER } from './charts/landscape.js';
import { colourLimit, corners, residueMatrixChart } from './charts/matrix.js';
import { imageColours, shrinkMatrix } from './matrix-image.js';
import type { PageChart, PageColumns, PageData, PageMap, PageMatrix, PageTable } from './pageData.js';
import { compileChart } from './render.js';
import { STYLE } from './style.js';

export interface ReportColumn {
  name: string;
  /** Heading; default: the name. */
  title?: string;
  values: readonly (string | number | null)[];
}

export interface ReportTable {
  name: string;
  columns: readonly ReportColumn[];
  sort?: { column: string; descending: boolean };
}

export type Section =
  | { kind: 'chart'; heading: string; text?: string; chart: Chart }
  | { kind: 'table'; heading: string; text?: string; table: ReportTable }
  /** A landscape and the table of its variants, which needs the columns `position`, `wildType` and `mutant`. */
  | { kind: 'landscape'; heading: string; text?: string; chart: Chart; table: ReportTable }
  | {
      kind: 'attention';
      heading: string;
      text?: string;
      name: string;
      sequence: string;
      maps: readonly AttentionMap[];
    };

export interface Report {
  title: string;
  subtitle?: string;
  /** Facts under the title: what was run, on what, with which result. */
  facts?: readonly (readonly [label: string, value: string | number])[];
  sections: readonly Section[];
}

/** Cells of all attention maps that a page holds (two bytes each); larger sets are shown as means of blocks. */
const MAXIMUM_CELLS = 6_000_000;

/** All charts of a report, for files. */
export function reportCharts(report: Report): Chart[] {
  return report.sections.flatMap((section) => {
    if (section.kind === 'table') {
      return [];
    }
    if (section.kind === 'attention') {
      return attentionCharts(section).charts;
    }
    return [section.chart];
  });
}

/**
 * A report as one HTML document that needs nothing else: charts, tables, scripts and styles are all inside, and it
 * asks the network for nothing.
 */
export async function reportToHtml(report: Report): Promise<string> {
  const charts: Record<string, Chart> = {};
  const tables: Record<string, PageTable> = {};
  const attention: Record<string, PageMap[]> = {};
  const body = report.sections.map((section, index) => {
    const id = `section-${index + 1}`;
    const open = (attributes = ''): string =>
      `<section id="${id}" aria-labelledby="${id}-title"${attributes}><h2 id="${id}-title">${escapeHtml(section.heading)}</h2>` +
      (section.text ? `<p>${escapeHtml(section.text)}</p>` : '');
    const add = (chart: Chart): string => {
      if (chart.name in charts) {
        throw new Error(`two charts of a report are called ${chart.name}`);
      }
      charts[chart.name] = chart;
      return figure(chart);
    };
    const addTable = (table: ReportTable): string => {
      if (table.name in tables) {
        throw new Error(`two tables of a report are called ${table.name}`);
      }
      tables[table.name] = pageTable(table);
      return tableBlock(table);
    };
    if (section.kind === 'chart') {
      return `${open()}${add(section.chart)}</section>`;
    }
    if (section.kind === 'table') {
      return `${open()}${addTable(section.table)}</section>`;
    }
    if (section.kind === 'landscape') {
      const link = ` data-landscape="${escapeHtml(section.chart.name)}" data-linked="${escapeHtml(section.table.name)}"`;
      return `${open(link)}${add(section.chart)}${addTable(section.table)}</section>`;
    }
    const { charts: own, matrices, factor } = attentionCharts(section);
    const [map, overview] = own as [Chart, Chart?];
    attention[map.name] = section.maps.map(({ layer, head }, at) => ({
      layer: label(layer),
      head: label(head),
      label: mapLabel({ layer, head }),
      matrix: pageMatrix(matrices[at]),
    }));
    const link = ` data-map="${escapeHtml(map.name)}"${overview ? ` data-overview="${escapeHtml(overview.name)}"` : ''}`;
    const choice =
      section.maps.length > 1
        ? `<div class="tools"><label for="${id}-map">Map</label> <select id="${id}-map"></select>` +
          '<span class="hint">or choose one in the overview</span></div>'
        : '<select hidden></select>';
    const note = factor > 1 ? `<p class="hint">Each cell is the mean of ${factor} × ${factor} residues.</p>` : '';
    return `${open(link)}${overview ? add(overview) : ''}${choice}${note}${add(map)}</section>`;
  });
  const data: PageData = {
    charts: Object.fromEntries(
      await Promise.all(Object.values(charts).map(async (chart) => [chart.name, await pageChart(chart)])),
    ),
    tables,
    attention,
    residueOrder: RESIDUE_ORDER,
    imageColours: { light: [...imageColours('light')], dark: [...imageColours('dark')] },
  };
  const facts = (report.facts ?? [])
    .map(([name, value]) => `<div><dt>${escapeHtml(name)}</dt><dd>${escapeHtml(String(value))}</dd></div>`)
    .join('');
  const contents = report.sections
    .map(({ heading }, index) => `<li><a href="#section-${index + 1}">${escapeHtml(heading)}</a></li>`)
    .join('');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:; connect-src data:">
<link rel="icon" href="data:,">
<title>${escapeHtml(report.title)}</title>
<style>${STYLE}</style>
</head>
<body>
<header><div><h1>${escapeHtml(report.title)}</h1>${report.subtitle ? `<p class="subtitle">${escapeHtml(report.subtitle)}</p>` : ''}</div>
<button id="theme" type="button">Dark colours</button></header>
${facts ? `<dl class="facts">${facts}</dl>` : ''}
${report.sections.length > 1 ? `<nav aria-label="Contents"><ul>${contents}</ul></nav>` : ''}
<main>
${body.join('\n')}
</main>
<script type="application/json" id="report">${embed(JSON.stringify(data))}</script>
<script>${script(vegaScript())}</script>
<script type="module">${script(readFileSync(new URL('./pageScript.js', import.meta.url), 'utf8'))}</script>
</body>
</html>
`;
}

function attentionCharts(section: Extract<Section, { kind: 'attention' }>): {
  charts: Chart[];
  matrices: MatrixImage[];
  factor: number;
} {
  const { maps, sequence, name } = section;
  const length = sequence.length;
  const factor = Math.max(1, Math.ceil(Math.sqrt((maps.length * length * length) / MAXIMUM_CELLS)));
  const matrices = maps.map(({ values }): MatrixImage => {
    const full = { rows: length, columns: length, values, limit: 1, power: 0.5 };
    const small = shrinkMatrix(full, factor);
    return { ...small, limit: colourLimit(small.values) };
  });
  const first = maps[0];
  const large = residueMatrixChart({
    name: `${name}-map`,
    title: mapLabel(first),
    description: `Attention of every residue (rows) to every residue (columns): ${mapLabel(first)}.`,
    values: first.values,
    sequence,
    limit: matrices[0].limit,
    valueTitle: 'attention',
    rowTitle: 'from',
    columnTitle: 'to',
    size: 620,
  });
  const fields = { ...corners(matrices[0].columns * factor) };
  const charts: Chart[] = [{ ...large, images: [{ fields, matrix: matrices[0] }] }];
  if (maps.length > 1) {
    charts.push(attentionOverviewChart({ name: `${name}-overview`, length, maps }));
  }
  return { charts, matrices, factor };
}

function label(index: number | 'mean'): string {
  return index === 'mean' ? 'mean' : String(index + 1);
}

function mapLabel({ layer, head }: Pick<AttentionMap, 'layer' | 'head'>): string {
  const part = (name: string, index: number | 'mean'): string =>
    index === 'mean' ? `mean of ${name}s` : `${name} ${index + 1}`;
  return `${part('layer', layer)}, ${part('head', head)}`;
}

async function pageChart(chart: Chart): Promise<PageChart> {
  return {
    spec: {
      light: await compileChart(chart, { theme: 'light', interactive: true }),
      dark: await compileChart(chart, { theme: 'dark', interactive: true }),
    },
    data: Object.fromEntries(Object.entries(chart.data).map(([name, rows]) => [name, columns(rows)])),
    images: chart.images?.map(({ fields, matrix }) => ({ fields, matrix: pageMatrix(matrix) })),
    interaction: chart.interaction,
  };
}

/** Rows as columns; numbers to six digits. */
function columns(rows: readonly Row[]): PageColumns {
  const names = Object.keys(rows[0] ?? {});
  return Object.fromEntries(names.map((name) => [name, rows.map((row) => brief(row[name]))]));
}

function brief<Value>(value: Value): Value | number | null {
  if (typeof value !== 'number') {
    return value ?? null;
  }
  return Number.isFinite(value) ? Number(value.toPrecision(6)) : null;
}

function pageTable(table: ReportTable): PageTable {
  return {
    sort: table.sort,
    columns: table.columns.map((column) => ({
      ...column,
      numeric: column.values.every((value) => value === null || typeof value === 'number'),
      values: column.values.map(brief),
    })),
  };
}

function pageMatrix(matrix: MatrixImage): PageMatrix {
  let maximum = 0;
  for (const value of matrix.values) {
    maximum = Math.max(maximum, value);
  }
  const steps = Uint16Array.from(matrix.values, (value) =>
    maximum > 0 ? Math.round(Math.sqrt(Math.max(0, value) / maximum) * 65535) : 0,
  );
  return {
    rows: matrix.rows,
    columns: matrix.columns,
    limit: matrix.limit,
    power: matrix.power,
    maximum,
    values: Buffer.from(steps.buffer).toString('base64'),
  };
}

function figure(chart: Chart): string {
  const name = escapeHtml(chart.name);
  const tool = (action: string, text: string, title: string): string =>
    `<button type="button" data-action="${action}" title="${title}">${text}</button>`;
  const zoom = chart.interaction
    ? tool('in', '+', 'Zoom in (key +)') +
      tool('out', '−', 'Zoom out (key −)') +
      tool('reset', 'Whole', 'Show all (key 0)')
    : '';
  const keys = chart.interaction?.cells
    ? 'Drag to move, Ctrl and wheel or + and − to zoom; with the keyboard, arrow keys go from cell to cell.'
    : chart.interaction
      ? 'Drag to move, Ctrl and wheel or + and − to zoom.'
      : '';
  const rows = Object.values(chart.data).reduce((sum, set) => sum + set.length, 0);
  const data =
    chart.interaction?.cells || chart.images || rows === 0
      ? ''
      : `<details data-data="${name}"><summary>Numbers of this chart</summary></details>`;
  return (
    `<figure data-chart="${name}">` +
    `<div class="plot" tabindex="0" role="img" aria-label="${escapeHtml(`${chart.description} ${keys}`.trim())}"></div>` +
    '<div class="readout" aria-live="polite"></div>' +
    `<div class="tools">${zoom}${tool('svg', 'Save SVG', 'Save as SVG')}${tool('png', 'Save PNG', 'Save as PNG')}` +
    `<span class="hint">${escapeHtml(keys)}</span></div>${data}</figure>`
  );
}

function tableBlock(table: ReportTable): string {
  const name = escapeHtml(table.name);
  const example = table.columns.find(({ values }) => values.length > 0 && values.every((x) => typeof x === 'number'));
  const conditions = (['<', '>='] as const).map((sign) => {
    const value = quantile((example?.values ?? []) as number[], sign === '<' ? 0.25 : 0.75);
    return `${example?.name}${sign}${Number(value.toPrecision(2))}`;
  });
  const hint = ['Filter: a word', ...(example ? conditions : []), '…'].join(', ').replace(', …', ' …');
  return (
    `<div class="table" data-table="${name}"><div class="tools">` +
    `<input class="filter" type="search" aria-label="Filter rows" placeholder="${escapeHtml(hint)}">` +
    '<button type="button" class="save-csv">Save CSV</button><span class="count" aria-live="polite"></span></div>' +
    '<div class="scroller" tabindex="0"><table aria-label="Rows; choose one with the arrow keys"><thead><tr></tr></thead><tbody></tbody></table></div></div>'
  );
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

/** JSON that cannot end the script element around it. */
function embed(json: string): string {
  return json.replaceAll('<', '\\u003c');
}

/** A script that cannot end the element around it, and asks for no source map. */
function script(source: string): string {
  return source.replaceAll('</script', '<\\/script').replace(/\n\/\/# sourceMappingURL=.*\s*$/, '\n');
}

function vegaScript(): string {
  return readFileSync(join(dirname(createRequire(import.meta.url).resolve('vega')), 'vega.min.js'), 'utf8');
}
