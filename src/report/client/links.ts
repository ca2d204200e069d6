import type { ChartView } from './chartView.js';
import { create, display, find, named } from './dom.js';
import { report, toRows } from './page.js';
import type { TableView } from './tableView.js';

/** A landscape and its table: choosing a variant in one shows it in the other; the filter also filters the map. */
export function linkLandscape(chart: ChartView, table: TableView): void {
  const { columns } = table.table;
  const column = (name: string) => columns.find((one) => one.name === name)?.values ?? [];
  const mutants = column('mutant').map(String);
  const positions = column('position').map(Number);
  const wildTypes = column('wildType');
  const rowOf = new Map(mutants.map((mutant, row) => [`${positions[row]}${mutant}`, row]));
  const all = chart.rows.cells;
  chart.describe = (position, residue) => {
    const row = rowOf.get(`${position}${residue}`);
    if (row === undefined) {
      const site = chart.rows.sites.find((one) => one.position === position);
      return site?.residue === residue ? `${residue}${position}: wild type` : `${position}${residue}: not scored`;
    }
    const scores = columns
      .filter(({ name, numeric }) => numeric && name !== 'position')
      .map(({ name, title, values }) => `${title ?? name} ${display(values[row])}`);
    return `${wildTypes[row]}${position}${residue}: ${scores.join(', ')}`;
  };
  const cell = (position: number, residue: string) => ({ column: position, row: report.residueOrder.indexOf(residue) });
  const choose = (position: number, residue: string) => {
    chart.moveTo(cell(position, residue));
    const row = rowOf.get(`${position}${residue}`);
    if (row !== undefined) {
      table.select(row, false);
    }
  };
  chart.on('click', (_, item) => {
    const { datum } = (item ?? {}) as { datum?: { variant?: string; position: number; residue: string } };
    if (datum?.variant) {
      choose(datum.position, datum.residue);
    }
  });
  chart.onSelect = ({ column: position, row }) => choose(position, report.residueOrder[row]);
  table.onSelect = (row) => chart.moveTo(cell(positions[row], mutants[row]));
  table.onFilter = (order) => {
    const keep = new Set(order.map((row) => `${positions[row]}${mutants[row]}`));
    const kept = keep.size === rowOf.size ? all : all.filter((one) => keep.has(`${one.position}${one.residue}`));
    chart.replaceRows('cells', kept);
  };
}

/** The overview of all maps and the one shown large. */
export function linkAttention(section: HTMLElement, charts: ReadonlyMap<string, ChartView>): void {
  const name = named(section, 'map');
  const large = charts.get(name);
  const overview = section.dataset.overview ? charts.get(section.dataset.overview) : undefined;
  const maps = report.attention[name];
  const select = find<HTMLSelectElement>('select', section);
  const show = (index: number) => {
    if (!large?.view) {
      return;
    }
    const { matrix } = maps[index];
    select.value = String(index);
    large.images = [{ fields: large.images[0].fields, matrix }];
    large.signals.limit = matrix.limit;
    large.view.signal('limit', matrix.limit);
    large.view.data('images', large.imageRows());
    large.showCursor();
    large.view.runAsync();
  };
  maps.forEach(({ label }, index) => {
    select.append(create('option', { value: index }, label));
  });
  select.addEventListener('change', () => show(Number(select.value)));
  overview?.on('click', (_, item) => {
    const { datum } = (item ?? {}) as { datum?: { layer?: string; head?: string } };
    const index = maps.findIndex((map) => map.layer === datum?.layer && map.head === datum?.head);
    if (index >= 0) {
      show(index);
    }
  });
}

/** Rows that a table of a chart's numbers has at most. */
const MOST = 2000;

/** The numbers of a chart as a plain table, for those who cannot see or point at it. */
export function showData(details: HTMLDetailsElement): void {
  details.addEventListener('toggle', () => {
    if (!details.open || details.querySelector('table')) {
      return;
    }
    for (const columns of Object.values(report.charts[named(details, 'data')].data)) {
      const names = Object.keys(columns);
      const rows = toRows(columns);
      if (rows.length === 0) {
        continue;
      }
      const table = create('table');
      const head = create('tr');
      head.append(...names.map((name) => create('th', { scope: 'col' }, name)));
      table.append(head);
      for (const row of rows.slice(0, MOST)) {
        const line = create('tr');
        line.append(...names.map((name) => create('td', {}, display(row[name]))));
        table.append(line);
      }
      details.append(table);
      if (rows.length > MOST) {
        details.append(create('p', {}, `The first ${MOST} rows.`));
      }
    }
  });
}
