/** A row of a table of figures. */
export type FigureRow = Record<string, string | number | null>;

/** Figures with four decimals; nothing where one is not defined. */
export function figures(values: Record<string, number>): FigureRow {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, Number.isNaN(value) ? null : Math.round(value * 1e4) / 1e4]),
  );
}
