// The script of a report's page. It runs in the browser, after Vega's, and reads the report from the element
// #report: charts as compiled Vega specifications with their data beside them, tables as columns.
import { ChartView } from './chartView.js';
import { find, named } from './dom.js';
import { linkAttention, linkLandscape, showData } from './links.js';
import { theme } from './page.js';
import { TableView } from './tableView.js';

const elements = <E extends HTMLElement>(selector: string) => document.querySelectorAll<E>(selector);

const charts = new Map<string, ChartView>();
const tables = new Map<string, TableView>();

async function redraw(): Promise<void> {
  for (const chart of charts.values()) {
    await chart.draw();
  }
}

function offerThemes(): void {
  const button = find('#theme');
  const label = () => {
    button.textContent = theme() === 'dark' ? 'Light colours' : 'Dark colours';
  };
  const change = () => {
    label();
    redraw();
  };
  button.addEventListener('click', () => {
    document.documentElement.dataset.theme = theme() === 'dark' ? 'light' : 'dark';
    change();
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', change);
  label();
}

offerThemes();
for (const figure of elements('figure[data-chart]')) {
  const chart = new ChartView(figure);
  charts.set(chart.name, chart);
}
for (const root of elements('.table[data-table]')) {
  tables.set(named(root, 'table'), new TableView(root));
}
for (const section of elements('section[data-landscape]')) {
  const chart = charts.get(named(section, 'landscape'));
  const table = tables.get(named(section, 'linked'));
  if (chart && table) {
    linkLandscape(chart, table);
  }
}
for (const details of elements<HTMLDetailsElement>('details[data-data]')) {
  showData(details);
}
for (const section of elements('section[data-map]')) {
  linkAttention(section, charts);
}
await redraw();
// For scripts that drive the page.
Object.assign(window, { proteinLmCharts: charts });
document.documentElement.dataset.ready = 'true';
