import { expect, it } from 'vitest';
import type { BenchmarkResult } from '../../src/scoring/benchmark.js';
import { type BenchmarkedAssay, benchmarkTable } from '../../src/scoring/benchmarkTable.js';

function assay(id: string, kind: BenchmarkResult['kind'], spearman: number, about: object = {}): BenchmarkedAssay {
  return {
    file: { id, path: `${id}.csv`, published: {}, ...about },
    result: {
      id,
      kind,
      variants: 10,
      left: { unscored: 0, missing: 0, mismatches: 0, unscorable: {} },
      metrics: { spearman, auc: 0.5, mcc: Number.NaN, ndcg: 0.25, topRecall: 0.123456 },
      scores: new Float64Array(),
      measured: new Float64Array(),
      names: [],
    },
  };
}

it('averages over assays of a kind, and over selection types as ProteinGym does', () => {
  const rows = benchmarkTable(
    [
      assay('A1', 'singles', 0.2, { uniprot: 'A', selectionType: 'Activity', published: { ESM: 0.3 } }),
      assay('A2', 'singles', 0.4, { uniprot: 'A', selectionType: 'Activity' }),
      assay('B1', 'multiples', 0.6, { uniprot: 'B', selectionType: 'Activity' }),
      assay('C1', 'singles', 0.9, { uniprot: 'C', selectionType: 'Binding' }),
      assay('D1', 'indels', 0.5),
    ],
    { bootstrap: 20, seed: 1 },
  );
  const figures = rows.map(({ level, assay, kind, spearman }) => [level, assay, kind, spearman]);
  expect(figures).toEqual([
    ['assay', 'A1', 'singles', 0.2],
    ['assay', 'A2', 'singles', 0.4],
    ['assay', 'B1', 'multiples', 0.6],
    ['assay', 'C1', 'singles', 0.9],
    ['assay', 'D1', 'indels', 0.5],
    ['mean', 'all 3 assays', 'singles', 0.5],
    ['mean', 'the 1 assays with published values', 'singles', 0.2],
    ['mean', 'all 1 assays', 'multiples', 0.6],
    ['mean', 'all 1 assays', 'indels', 0.5],
    // ((0.2 + 0.4) / 2 + 0.6) / 2, then the mean of it and 0.9.
    ['selection_type', 'Activity', 'substitutions', 0.45],
    ['selection_type', 'Binding', 'substitutions', 0.9],
    ['average', 'ProteinGym', 'substitutions', 0.675],
  ]);
  expect(rows[0]).toMatchObject({ ESM: 0.3, mcc: null, top_recall: 0.1235, spearman_low: null });
  expect(rows.at(-1)!.spearman_standard_error).toBeGreaterThan(0);
  expect(Object.keys(rows[0]).slice(0, 8)).toEqual(
    'level assay kind variants spearman spearman_low spearman_high spearman_standard_error'.split(' '),
  );
});
