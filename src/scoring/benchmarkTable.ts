import { aggregateAssays, mean } from './aggregate.js';
import type { AssayFile, BenchmarkResult } from './benchmark.js';

/** An assay that was benchmarked. */
export interface BenchmarkedAssay {
  file: AssayFile;
  result: BenchmarkResult;
}

/** Column and measure, in the table's order. */
const MEASURES = [
  ['spearman', 'spearman'],
  ['auc', 'auc'],
  ['mcc', 'mcc'],
  ['ndcg', 'ndcg'],
  ['top_recall', 'topRecall'],
] as const;
const NAMES = MEASURES.map(([, name]) => name);

export type BenchmarkRow = Record<string, string | number | null>;

/**
 * The rows of a benchmark, by their column `level`: `assay` one each; `mean` over the assays of a kind (singles,
 * multiples, indels, clinical); `selection_type` over the proteins of a selection type, and `average` over those types, as
 * ProteinGym aggregates, where a reference tells them. Published values stand beside in columns of their own. Figures
 * have four decimals, null where they are not defined.
 *
 * @param options of the bootstrap of ProteinGym's standard error: resamples (0 leaves it out), and their seed
 */
export function benchmarkTable(
  assays: readonly BenchmarkedAssay[],
  options: { bootstrap?: number; seed?: number } = {},
): BenchmarkRow[] {
  const published = [...new Set(assays.flatMap(({ file }) => Object.keys(file.published)))];
  const line = (
    level: string,
    name: string,
    kind: string,
    variants: number | null,
    values: Partial<BenchmarkRow>,
  ): BenchmarkRow => {
    const measures = MEASURES.flatMap(([column]) =>
      column === 'spearman' ? ['spearman', 'spearman_low', 'spearman_high', 'spearman_standard_error'] : [column],
    );
    return {
      level,
      assay: name,
      kind,
      variants,
      ...Object.fromEntries([...measures, ...published].map((column) => [column, rounded(values[column])])),
    };
  };
  const rows = assays.map(({ file, result }) =>
    line('assay', file.id, result.kind, result.variants, {
      ...Object.fromEntries(MEASURES.map(([column, name]) => [column, result.metrics[name]])),
      spearman_low: result.spearmanInterval?.low ?? null,
      spearman_high: result.spearmanInterval?.high ?? null,
      ...file.published,
    }),
  );
  for (const kind of ['singles', 'multiples', 'indels', 'clinical'] as const) {
    const group = assays.filter(({ result }) => result.kind === kind);
    const compared = group.filter(({ file }) => published.every((name) => name in file.published));
    const means = (members: typeof group, name: string) =>
      line('mean', name, kind, null, {
        ...Object.fromEntries(
          MEASURES.map(([column, measure]) => [column, mean(members.map(({ result }) => result.metrics[measure]))]),
        ),
        ...Object.fromEntries(
          published.map((column) => [column, mean(members.map(({ file }) => file.published[column] ?? Number.NaN))]),
        ),
      });
    if (group.length > 0) {
      rows.push(means(group, `all ${group.length} assays`));
    }
    // Means over different assays do not compare: one line over those that every published column covers.
    if (published.length > 0 && compared.length > 0 && compared.length < group.length) {
      rows.push(means(compared, `the ${compared.length} assays with published values`));
    }
  }
  const grouped = assays.filter(
    ({ file, result }) => file.uniprot !== undefined && file.selectionType !== undefined && result.kind !== 'clinical',
  );
  for (const indels of [false, true]) {
    const group = grouped.filter(({ result }) => (result.kind === 'indels') === indels);
    if (group.length === 0) {
      continue;
    }
    const kind = indels ? 'indels' : 'substitutions';
    const { average, bySelectionType, standardError } = aggregateAssays(
      group.map(({ file, result }) => ({
        uniprot: file.uniprot!,
        selectionType: file.selectionType!,
        values: { ...result.metrics },
      })),
      NAMES,
      { samples: options.bootstrap, seed: options.seed },
    );
    const measured = (values: Record<(typeof NAMES)[number], number>) =>
      Object.fromEntries(MEASURES.map(([column, name]) => [column, values[name]]));
    for (const { selectionType, values } of bySelectionType) {
      rows.push(line('selection_type', selectionType, kind, null, measured(values)));
    }
    rows.push(
      line('average', 'ProteinGym', kind, null, {
        ...measured(average),
        spearman_standard_error: standardError.spearman,
      }),
    );
  }
  return rows;
}

/** Four decimals, as figures of this kind are reported; nothing where there is no figure. */
function rounded(value: string | number | null | undefined): string | number | null {
  if (typeof value !== 'number') {
    return value ?? null;
  }
  return Number.isNaN(value) ? null : Math.round(value * 1e4) / 1e4;
}
