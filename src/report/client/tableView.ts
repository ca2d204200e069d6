import type { PageColumn, PageTable } from '../pageData.js';
import { create, display, find, named } from './dom.js';
import { report } from './page.js';

const ROW = 28;
// The style sheet's largest height of a table: the scroller has none of its own until it has rows.
const HEIGHT = 420;

/**
 * A table of any length: only the rows in sight are in the document. Headings sort, the box filters: words must occur
 * in a row, and `column<number`, `>`, `<=`, `>=`, `=` compare.
 */
export class TableView {
  readonly table: PageTable;
  /** Called with a row that was chosen. */
  onSelect: ((row: number) => void) | undefined;
  /** Called with the rows that the filter keeps, in order. */
  onFilter: ((order: readonly number[]) => void) | undefined;
  private readonly name: string;
  private readonly length: number;
  private order: number[];
  private sort = { column: -1, down: false };
  private selected = -1;
  private readonly filterBox: HTMLInputElement;
  private readonly count: HTMLElement;
  private readonly scroller: HTMLElement;
  private readonly element: HTMLTableElement;
  private readonly head: HTMLElement;
  private readonly body: HTMLElement;
  private readonly heads: readonly HTMLElement[];

  constructor(root: HTMLElement) {
    this.name = named(root, 'table');
    this.table = report.tables[this.name];
    this.length = this.table.columns[0]?.values.length ?? 0;
    this.order = Array.from({ length: this.length }, (_, row) => row);
    this.filterBox = find('.filter', root);
    this.count = find('.count', root);
    this.scroller = find('.scroller', root);
    this.element = find('table', root);
    this.head = find('thead', root);
    this.body = find('tbody', root);
    this.heads = this.table.columns.map((column, index) => {
      const cell = create('th', { scope: 'col', 'aria-sort': 'none', class: column.numeric ? 'numeric' : '' });
      const button = create('button', { type: 'button' }, column.title ?? column.name);
      button.addEventListener('click', () => this.sortBy(index));
      cell.append(button);
      return cell;
    });
    find('tr', this.head).append(...this.heads);
    this.filterBox.addEventListener('input', () => this.update());
    this.scroller.addEventListener('scroll', () => this.paint());
    this.scroller.addEventListener('keydown', (event) => this.key(event));
    this.body.addEventListener('click', (event) => {
      const row = (event.target as Element).closest<HTMLElement>('tr[data-row]');
      if (row) {
        this.select(Number(row.dataset.row), true);
      }
    });
    find('.save-csv', root).addEventListener('click', () => this.saveCsv());
    const { sort, columns } = this.table;
    if (sort) {
      this.sort = { column: columns.findIndex(({ name }) => name === sort.column), down: sort.descending };
    }
    this.update();
  }

  /** Shows a row, in sight; `tell` calls `onSelect`. */
  select(row: number, tell: boolean): void {
    this.selected = row;
    const at = this.order.indexOf(row);
    if (at >= 0) {
      const top = at * ROW;
      const room = this.scroller.clientHeight - this.head.offsetHeight;
      if (top < this.scroller.scrollTop || top + ROW > this.scroller.scrollTop + room) {
        this.scroller.scrollTop = Math.max(0, top - room / 2);
      }
    }
    this.paint();
    if (tell) {
      this.onSelect?.(row);
    }
  }

  private sortBy(column: number): void {
    this.sort = { column, down: this.sort.column === column ? !this.sort.down : false };
    this.update();
  }

  /** The test that the filter's text stands for. */
  private test(): (row: number) => boolean {
    const terms = this.filterBox.value.trim().split(/\s+/).filter(Boolean);
    const tests = terms.map((term) => {
      const [, label, operator, right] = /^([^<>=]+)(<=|>=|<|>|=)(.+)$/.exec(term) ?? [];
      const column = label === undefined ? undefined : this.column(label);
      return column ? comparison(column, operator, right) : this.word(term.toLowerCase());
    });
    return (row) => tests.every((one) => one(row));
  }

  private column(label: string): PageColumn | undefined {
    const plain = (text: string) => text.toLowerCase().replaceAll(' ', '');
    return this.table.columns.find(({ name, title }) =>
      [name, title].some((text) => text !== undefined && plain(text) === label.toLowerCase()),
    );
  }

  private word(word: string): (row: number) => boolean {
    return (row) =>
      this.table.columns.some(({ values, numeric }) => !numeric && String(values[row]).toLowerCase().includes(word));
  }

  private update(): void {
    const keep = this.test();
    this.order = [];
    for (let row = 0; row < this.length; row++) {
      if (keep(row)) {
        this.order.push(row);
      }
    }
    const { column, down } = this.sort;
    if (column >= 0) {
      const { values } = this.table.columns[column];
      const sign = down ? -1 : 1;
      this.order.sort((a, b) => {
        const left = values[a];
        const right = values[b];
        if (left === right) {
          return a - b;
        }
        // What has no value goes last, whichever way.
        if (left === null) {
          return 1;
        }
        if (right === null) {
          return -1;
        }
        return left < right ? -sign : sign;
      });
    }
    this.heads.forEach((head, index) => {
      head.setAttribute('aria-sort', index === column ? (down ? 'descending' : 'ascending') : 'none');
    });
    const total = this.length.toLocaleString('en');
    const kept = this.order.length;
    this.count.textContent = kept === this.length ? `${total} rows` : `${kept.toLocaleString('en')} of ${total} rows`;
    this.element.setAttribute('aria-rowcount', String(kept + 1));
    this.scroller.scrollTop = 0;
    this.paint();
    this.onFilter?.(this.order);
  }

  private paint(): void {
    const { columns } = this.table;
    const first = Math.max(0, Math.floor(this.scroller.scrollTop / ROW) - 5);
    const last = Math.min(this.order.length, first + Math.ceil(HEIGHT / ROW) + 10);
    const space = (height: number): HTMLElement => {
      const row = create('tr', { class: 'space', 'aria-hidden': 'true' });
      const cell = create('td', { colspan: columns.length });
      cell.style.height = `${height}px`;
      row.append(cell);
      return row;
    };
    const rows = [space(first * ROW)];
    for (let at = first; at < last; at++) {
      const row = this.order[at];
      const line = create('tr', { 'data-row': row, 'aria-rowindex': at + 2 });
      if (row === this.selected) {
        line.setAttribute('aria-selected', 'true');
      }
      for (const { values, numeric } of columns) {
        line.append(create('td', numeric ? { class: 'numeric' } : {}, display(values[row])));
      }
      rows.push(line);
    }
    rows.push(space((this.order.length - last) * ROW));
    this.body.replaceChildren(...rows);
  }

  private key(event: KeyboardEvent): void {
    if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') {
      return;
    }
    const at = this.order.indexOf(this.selected) + (event.key === 'ArrowDown' ? 1 : -1);
    if (at >= 0 && at < this.order.length) {
      this.select(this.order[at], true);
    }
    event.preventDefault();
  }

  private saveCsv(): void {
    const quote = (value: string) => (/[",\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
    const { columns } = this.table;
    const lines = [columns.map(({ name }) => quote(name)).join(',')];
    for (const row of this.order) {
      lines.push(columns.map(({ values }) => quote(String(values[row] ?? ''))).join(','));
    }
    const url = URL.createObjectURL(new Blob([`${lines.join('\n')}\n`], { type: 'text/csv' }));
    create('a', { href: url, download: `${this.name}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }
}

/** Rows whose value in a column compares with `right` as the operator says; rows without one never do. */
function comparison({ values }: PageColumn, operator: string, right: string): (row: number) => boolean {
  const limit = Number(right);
  return (row) => {
    const value = values[row];
    if (value === null) {
      return false;
    }
    switch (operator) {
      case '=':
        return Number.isNaN(limit) ? String(value).toLowerCase() === right.toLowerCase() : Number(value) === limit;
      case '<':
        return Number(value) < limit;
      case '>':
        return Number(value) > limit;
      case '<=':
        return Number(value) <= limit;
      default:
        return Number(value) >= limit;
    }
  };
}
