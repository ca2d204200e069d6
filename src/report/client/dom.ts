/** The element that a selector finds. @throws Error where there is none: the page and this script belong together. */
export function find<E extends Element = HTMLElement>(selector: string, root: ParentNode = document): E {
  const element = root.querySelector<E>(selector);
  if (!element) {
    throw new Error(`the page has no ${selector}`);
  }
  return element;
}

export function create<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, string | number> = {},
  text?: string,
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    element.setAttribute(name, String(value));
  }
  if (text !== undefined) {
    element.textContent = text;
  }
  return element;
}

/** The name of a chart, table or map that an element says it shows. */
export function named(element: HTMLElement, name: string): string {
  const value = element.dataset[name];
  if (value === undefined) {
    throw new Error(`the page has an element without data-${name}`);
  }
  return value;
}

/** A value as the page shows it: integers whole, other numbers with four digits. */
export function display(value: unknown): string {
  if (value === null || value === undefined) {
    return '';
  }
  if (typeof value !== 'number' || Number.isInteger(value)) {
    return String(value);
  }
  return Math.abs(value) >= 1e-3 && Math.abs(value) < 1e5 ? value.toPrecision(4) : value.toExponential(2);
}
