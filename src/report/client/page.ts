import type * as Vega from 'vega';
import type { Row } from '../chart.js';
import type { Theme } from '../look.js';
import type { PageColumns, PageData } from '../pageData.js';
import { find } from './dom.js';

declare global {
  interface Window {
    /** Vega, from the script before this one. Its types leave `point` out. */
    vega: typeof Vega & { point(event: MouseEvent, element: Element): [x: number, y: number] };
  }
}

/** What the page was made with. */
export const report: PageData = JSON.parse(find('#report').textContent ?? '');

export const { vega } = window;

/** The theme that the reader chose, else the system's. */
export function theme(): Theme {
  const { theme: chosen } = document.documentElement.dataset;
  if (chosen === 'light' || chosen === 'dark') {
    return chosen;
  }
  return matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
}

/** Columns to rows, as Vega takes them. */
export function toRows(columns: PageColumns): Row[] {
  const names = Object.keys(columns);
  const length = columns[names[0]]?.length ?? 0;
  return Array.from({ length }, (_, row) => Object.fromEntries(names.map((name) => [name, columns[name][row]])));
}
