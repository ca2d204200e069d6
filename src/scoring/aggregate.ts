import { Random } from '../data/random.js';

/** One assay's values and where it belongs. */
export interface AggregateRow<Name extends string> {
  uniprot: string;
  selectionType: string;
  /** Measures by name; NaN is left out of the means, as pandas does. */
  values: Record<Name, number>;
}

export interface Aggregate<Name extends string> {
  /** Mean over the proteins of each selection type, types in alphabetical order. */
  bySelectionType: { selectionType: string; proteins: number; values: Record<Name, number> }[];
  /** Mean over the selection types. */
  average: Record<Name, number>;
  /** Bootstrap standard error of `average`: proteins drawn anew within each selection type. */
  standardError: Record<Name, number>;
}

/**
 * ProteinGym's aggregation: assays of the same protein and selection type are averaged first, then the proteins within
 * each selection type, then the types; so neither a much-studied protein nor a frequent type weighs more.
 */
export function aggregateAssays<Name extends string>(
  rows: readonly AggregateRow<Name>[],
  names: readonly Name[],
  options: { samples?: number; seed?: number } = {},
): Aggregate<Name> {
  const byType = new Map<string, Map<string, AggregateRow<Name>[]>>();
  for (const row of rows) {
    const proteins = byType.get(row.selectionType) ?? new Map<string, AggregateRow<Name>[]>();
    byType.set(row.selectionType, proteins);
    proteins.set(row.uniprot, [...(proteins.get(row.uniprot) ?? []), row]);
  }
  const types = [...byType].sort(([a], [b]) => (a < b ? -1 : 1));
  const perProtein = types.map(([, proteins]) =>
    [...proteins.values()].map((assays) => record(names, (name) => mean(assays.map((assay) => assay.values[name])))),
  );
  const overTypes = (groups: Record<Name, number>[][], name: Name) =>
    mean(groups.map((proteins) => mean(proteins.map((values) => values[name]))));

  const { samples = 1000, seed = 0 } = options;
  const random = new Random(seed, rows.length);
  const drawn = record(names, () => [] as number[]);
  for (let sample = 0; sample < samples; sample++) {
    const resample = perProtein.map((proteins) => proteins.map(() => proteins[random.int(proteins.length)]));
    for (const name of names) {
      drawn[name].push(overTypes(resample, name));
    }
  }
  return {
    bySelectionType: types.map(([selectionType, proteins], t) => ({
      selectionType,
      proteins: proteins.size,
      values: record(names, (name) => mean(perProtein[t].map((values) => values[name]))),
    })),
    average: record(names, (name) => overTypes(perProtein, name)),
    standardError: record(names, (name) => standardDeviation(drawn[name])),
  };
}

function record<Name extends string, T>(names: readonly Name[], value: (name: Name) => T): Record<Name, T> {
  return Object.fromEntries(names.map((name) => [name, value(name)])) as Record<Name, T>;
}

/** Mean of what is not NaN; NaN of nothing. */
export function mean(values: readonly number[]): number {
  const known = values.filter((value) => !Number.isNaN(value));
  return known.reduce((sum, value) => sum + value, 0) / known.length;
}

function standardDeviation(values: readonly number[]): number {
  const known = values.filter((value) => !Number.isNaN(value));
  const centre = mean(known);
  return Math.sqrt(known.reduce((sum, value) => sum + (value - centre) ** 2, 0) / (known.length - 1));
}
