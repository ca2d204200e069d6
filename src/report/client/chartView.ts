import type { EventListenerHandler, View } from 'vega';
import type { Interaction, Row } from '../chart.js';
import type { PageChart, PageImage } from '../pageData.js';
import { create, display, find, named } from './dom.js';
import { pictureOf, valuesOf } from './image.js';
import { report, theme, toRows, vega } from './page.js';
import { hideTip, showTip } from './tip.js';

/** A cell as the axes count: of a landscape, the row is the residue's in `residueOrder`. */
export interface Cell {
  column: number;
  row: number;
}

const ARROWS: Readonly<Record<string, readonly [columns: number, rows: number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/** One chart in its figure: draws, redraws in another theme, zooms, walks over cells, saves itself. */
export class ChartView {
  readonly name: string;
  readonly rows: Record<string, readonly Row[]>;
  readonly host: HTMLElement;
  view: View | undefined;
  images: readonly PageImage[];
  /** Signals that every drawing of the chart gets. */
  readonly signals: Record<string, unknown> = {};
  /** What the readout says of a landscape's cell. */
  describe: ((position: number, residue: string) => string) | undefined;
  /** Called where a cell is chosen with the keyboard. */
  onSelect: ((cell: Cell) => void) | undefined;
  private readonly chart: PageChart;
  private readonly readout: HTMLElement;
  private readonly listeners: { type: string; listener: EventListenerHandler }[] = [];
  private cursor: Cell | undefined;

  constructor(figure: HTMLElement) {
    this.name = named(figure, 'chart');
    this.chart = report.charts[this.name];
    this.host = find('.plot', figure);
    this.readout = find('.readout', figure);
    this.rows = Object.fromEntries(Object.entries(this.chart.data).map(([name, columns]) => [name, toRows(columns)]));
    this.images = this.chart.images ?? [];
    for (const button of figure.querySelectorAll<HTMLElement>('[data-action]')) {
      button.addEventListener('click', () => this.act(named(button, 'action')));
    }
    this.host.addEventListener('keydown', (event) => this.key(event));
    this.host.addEventListener('mousemove', (event) => this.hoverMatrix(event));
    this.host.addEventListener('mouseleave', hideTip);
    this.host.addEventListener('click', (event) => {
      const at = this.cells === 'matrix' && this.cellAt(event);
      if (at) {
        this.moveTo(at);
      }
    });
  }

  async draw(): Promise<void> {
    const zoom = this.view ? this.zoomState(this.view) : {};
    this.view?.finalize();
    this.host.replaceChildren();
    const spec = this.chart.spec[theme()];
    const view = new vega.View(vega.parse(spec), {
      renderer: 'canvas',
      container: this.host,
      hover: true,
      tooltip: (_, event, __, value: unknown) => {
        if (value && typeof value === 'object') {
          showTip(event, value as Record<string, unknown>);
        } else if (this.cells !== 'matrix') {
          hideTip();
        }
      },
    });
    this.view = view;
    const sets = new Set((spec.data ?? []).map(({ name }) => name));
    for (const [name, rows] of Object.entries(this.rows)) {
      if (sets.has(name)) {
        view.data(name, copies(rows));
      }
    }
    if (sets.has('images')) {
      view.data('images', this.imageRows());
    }
    for (const [name, value] of Object.entries({ ...this.signals, ...zoom })) {
      view.signal(name, value);
    }
    for (const { type, listener } of this.listeners) {
      view.addEventListener(type, listener);
    }
    await view.runAsync();
    // Vega's own canvas takes no focus: the figure does, with the keys described in its label.
    this.host.querySelector('canvas')?.setAttribute('aria-hidden', 'true');
    for (const name of this.zoomSignals) {
      view.addSignalListener(name, () => this.clamp(view, name));
    }
    this.showCursor();
  }

  /** Draws other rows of a data set. */
  replaceRows(name: string, rows: readonly Row[]): void {
    this.rows[name] = rows;
    this.view?.data(name, copies(rows)).runAsync();
  }

  imageRows(): object[] {
    return this.images.map(({ fields, matrix }) => ({ ...fields, url: pictureOf(matrix) }));
  }

  on(type: string, listener: EventListenerHandler): void {
    this.listeners.push({ type, listener });
    this.view?.addEventListener(type, listener);
  }

  /** Selects a cell; none without one. */
  moveTo(cell: Cell | undefined): void {
    this.cursor = cell;
    if (cell && this.view) {
      this.bringIntoSight(this.view, cell);
    }
    this.showCursor();
  }

  /** Where the plot's upper left corner lies on the canvas. */
  origin(): [x: number, y: number] {
    const view = this.drawn();
    const [left, top] = view.origin();
    const padding = view.padding() as { left: number; top: number };
    return [left + padding.left, top + padding.top];
  }

  private drawn(): View {
    if (!this.view) {
      throw new Error(`${this.name} is not drawn yet`);
    }
    return this.view;
  }

  private get cells(): Interaction['cells'] {
    return this.chart.interaction?.cells;
  }

  private get zoomSignals(): readonly string[] {
    return this.chart.interaction?.zoom ?? [];
  }

  /** The whole range of the axes that zoom. */
  private get extent(): readonly [low: number, high: number] {
    return this.chart.interaction?.extent ?? [0, 1];
  }

  private zoomState(view: View): Record<string, unknown> {
    return Object.fromEntries(this.zoomSignals.map((name) => [name, view.signal(name)]));
  }

  private clamp(view: View, signal: string): void {
    const domain: [number, number] | null = view.signal(signal);
    if (!domain) {
      return;
    }
    const [low, high] = this.extent;
    const span = Math.min(high - low, domain[1] - domain[0]);
    const from = Math.min(Math.max(domain[0], low), high - span);
    if (Math.abs(from - domain[0]) + Math.abs(from + span - domain[1]) > 1e-9) {
      view.signal(signal, [from, from + span]).runAsync();
    }
  }

  /** Shows `factor` times as much; everything with 0. */
  private zoom(factor: number): void {
    const view = this.drawn();
    const [low, high] = this.extent;
    for (const signal of this.zoomSignals) {
      if (factor === 0) {
        view.signal(signal, null);
        continue;
      }
      const [from, to] = domainOf(view, scaleOf(signal));
      const span = Math.min(high - low, Math.max(5, (to - from) * factor));
      const start = Math.min(Math.max(this.middle(signal, from, to) - span / 2, low), high - span);
      view.signal(signal, [start, start + span]);
    }
    view.runAsync();
  }

  /** Zooming keeps the selected cell in sight. */
  private middle(signal: string, from: number, to: number): number {
    const scale = scaleOf(signal);
    if (this.cursor && (this.cells === 'matrix' || scale === 'x')) {
      const at = scale === 'x' ? this.cursor.column : this.cursor.row;
      if (at >= from && at <= to) {
        return at;
      }
    }
    return (from + to) / 2;
  }

  private act(action: string): void {
    if (action === 'in') {
      this.zoom(0.5);
    } else if (action === 'out') {
      this.zoom(2);
    } else if (action === 'reset') {
      this.zoom(0);
    } else if (action === 'svg' || action === 'png') {
      this.save(action);
    }
  }

  private async save(type: 'svg' | 'png'): Promise<void> {
    const url = await this.drawn().toImageURL(type, type === 'png' ? 2 : 1);
    create('a', { href: url, download: `${this.name}.${type}` }).click();
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) {
      return;
    }
    const stride = event.shiftKey ? 10 : 1;
    if (event.key === '+' || event.key === '=') {
      this.zoom(0.5);
    } else if (event.key === '-') {
      this.zoom(2);
    } else if (event.key === '0') {
      this.zoom(0);
    } else if (event.key === 'Escape') {
      this.moveTo(undefined);
    } else if (event.key in ARROWS && this.cells) {
      const [columns, rows] = ARROWS[event.key];
      this.step(columns * stride, rows * stride);
    } else if (event.key === 'Enter' && this.cursor) {
      this.onSelect?.(this.cursor);
    } else {
      return;
    }
    event.preventDefault();
  }

  private step(columns: number, rows: number): void {
    const [low, high] = this.extent;
    const first = Math.ceil(low);
    const last = Math.floor(high);
    const lowRow = this.cells === 'matrix' ? first : 0;
    const highRow = this.cells === 'matrix' ? last : report.residueOrder.length - 1;
    if (!this.cursor) {
      const [from] = this.drawn().scale('x').domain();
      this.moveTo({ column: Math.max(first, Math.ceil(from)), row: lowRow });
      return;
    }
    this.moveTo({
      column: Math.min(last, Math.max(first, this.cursor.column + columns)),
      row: Math.min(highRow, Math.max(lowRow, this.cursor.row + rows)),
    });
  }

  private bringIntoSight(view: View, cell: Cell): void {
    for (const signal of this.zoomSignals) {
      const scale = scaleOf(signal);
      if (scale === 'y' && this.cells !== 'matrix') {
        continue;
      }
      const at = scale === 'x' ? cell.column : cell.row;
      const [from, to] = domainOf(view, scale);
      if (at - 0.5 < from || at + 0.5 > to) {
        const [low, high] = this.extent;
        const start = Math.min(Math.max(at - (to - from) / 2, low), high - (to - from));
        view.signal(signal, [start, start + (to - from)]);
      }
    }
  }

  showCursor(): void {
    const { view, cursor } = this;
    if (!this.cells || !view) {
      return;
    }
    if (!cursor) {
      view.data('selected', []).runAsync();
      this.readout.textContent = '';
      return;
    }
    const { column, row } = cursor;
    if (this.cells === 'matrix') {
      view.data('selected', [{ left: column - 0.5, right: column + 0.5, top: row - 0.5, bottom: row + 0.5 }]);
      this.readout.textContent = Object.entries(this.matrixFields(cursor))
        .map(([name, value]) => `${name} ${display(value)}`)
        .join(', ');
    } else {
      const residue = report.residueOrder[row];
      view.data('selected', [{ start: column - 0.5, end: column + 0.5, residue, position: column }]);
      this.readout.textContent = this.describe?.(column, residue) ?? '';
    }
    view.runAsync();
  }

  private matrixFields({ column, row }: Cell): Record<string, string | number> {
    const { matrix } = this.images[0];
    const labels = this.chart.interaction?.labels;
    if (!labels) {
      return {};
    }
    const { sequence } = labels;
    const factor = Math.ceil(sequence.length / matrix.columns);
    const at = Math.floor((row - 1) / factor) * matrix.columns + Math.floor((column - 1) / factor);
    return {
      [labels.row]: `${sequence[row - 1]}${row}`,
      [labels.column]: `${sequence[column - 1]}${column}`,
      [labels.value + (factor > 1 ? ` (mean of ${factor} × ${factor})` : '')]: valuesOf(matrix)[at],
    };
  }

  private cellAt(event: MouseEvent): Cell | undefined {
    const canvas = this.host.querySelector('canvas');
    const { view } = this;
    if (!canvas || !view) {
      return undefined;
    }
    const [originX, originY] = this.origin();
    const point = vega.point(event, canvas);
    const x = point[0] - originX;
    const y = point[1] - originY;
    if (x < 0 || y < 0 || x >= view.width() || y >= view.height()) {
      return undefined;
    }
    const column = Math.round(view.scale('x').invert(x));
    const row = Math.round(view.scale('y').invert(y));
    const [low, high] = this.extent;
    return column > low && column < high && row > low && row < high ? { column, row } : undefined;
  }

  private hoverMatrix(event: MouseEvent): void {
    if (this.cells !== 'matrix') {
      return;
    }
    const at = event.buttons === 0 ? this.cellAt(event) : undefined;
    if (at) {
      showTip(event, this.matrixFields(at));
    } else {
      hideTip();
    }
  }
}

/** Vega adds a key to each row it takes: it gets copies. */
function copies(rows: readonly Row[]): object[] {
  return rows.map((row) => ({ ...row }));
}

function scaleOf(signal: string): 'x' | 'y' {
  return ['zoom_top', 'zoom_y'].includes(signal) ? 'y' : 'x';
}

function domainOf(view: View, scale: 'x' | 'y'): [from: number, to: number] {
  const domain: number[] = view.scale(scale).domain();
  return [Math.min(...domain), Math.max(...domain)];
}
