import { describe, expect, it } from 'vitest';
import { quantile } from '../../src/data/quantile.js';
import { Random } from '../../src/data/random.js';
import { aggregateAssays } from '../../src/scoring/aggregate.js';
import { bootstrapSpearman } from '../../src/scoring/bootstrap.js';
import { spearman } from '../../src/scoring/metrics.js';

describe('bootstrap of Spearman', () => {
  const random = new Random(3);
  const measured = Array.from({ length: 120 }, () => Math.round(4 * random.normal()));
  const scores = measured.map((value) => Math.round(value + 5 * random.normal()));

  it('equals ranking every resample from scratch', () => {
    const again = new Random(7, measured.length);
    const rhos = Array.from({ length: 50 }, () => {
      const rows = measured.map(() => again.int(measured.length));
      return spearman(
        rows.map((row) => measured[row]),
        rows.map((row) => scores[row]),
      );
    });
    const { low, high } = bootstrapSpearman(measured, scores, { samples: 50, seed: 7 });
    expect(low).toBeCloseTo(quantile(rhos, 0.025), 12);
    expect(high).toBeCloseTo(quantile(rhos, 0.975), 12);
  });

  it('brackets the estimate and repeats with the seed', () => {
    const rho = spearman(measured, scores);
    const first = bootstrapSpearman(measured, scores, { seed: 1 });
    expect(first.low).toBeLessThan(rho);
    expect(first.high).toBeGreaterThan(rho);
    expect(bootstrapSpearman(measured, scores, { seed: 1 })).toEqual(first);
  });

  it('is NaN where one side is constant', () => {
    expect(bootstrapSpearman([1, 2, 3], [5, 5, 5]).low).toBeNaN();
  });
});

it('aggregates by protein, then selection type, then over types', () => {
  const row = (uniprot: string, selectionType: string, spearman: number) => ({
    uniprot,
    selectionType,
    values: { spearman },
  });
  const { average, bySelectionType, standardError } = aggregateAssays(
    [
      row('P1', 'Activity', 0.2),
      row('P1', 'Activity', 0.4),
      row('P2', 'Activity', 0.5),
      row('P1', 'Stability', 0.9),
      row('P1', 'Stability', Number.NaN),
    ],
    ['spearman'],
  );
  // pandas: groupby(['UniProt_ID', 'Selection Type']).mean().groupby('Selection Type').mean().mean()
  expect(bySelectionType.map(({ values }) => values.spearman)).toEqual([expect.closeTo(0.4), expect.closeTo(0.9)]);
  expect(average.spearman).toBeCloseTo(0.65);
  // Activity alone varies: a mean of two draws out of {0.3, 0.5} has the standard deviation 0.1/√2, halved by the types.
  expect(standardError.spearman).toBeGreaterThan(0.03);
  expect(standardError.spearman).toBeLessThan(0.04);
});
