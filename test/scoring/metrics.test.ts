import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { quantile } from '../../src/data/quantile.js';
import { evaluateScores, type Metrics, rank, spearman } from '../../src/scoring/metrics.js';

fc.configureGlobal({ seed: 20 });

interface Case {
  name: string;
  measured: number[];
  scores: number[];
  labels?: number[];
  expected: Record<keyof Metrics, number | null>;
  ranks: number[];
}
/** Computed once with scipy, scikit-learn and ProteinGym's own functions. */
const { cases } = JSON.parse(readFileSync(new URL('fixtures/metrics.json', import.meta.url), 'utf8')) as {
  cases: Case[];
};

describe('against scipy, scikit-learn and ProteinGym', () => {
  it.each(cases)('$name', ({ measured, scores, labels, expected, ranks }) => {
    expect([...rank(scores)]).toEqual(ranks);
    const metrics = evaluateScores(measured, scores, labels);
    for (const [name, value] of Object.entries(expected)) {
      const ours = metrics[name as keyof Metrics];
      if (value === null) {
        expect(ours, name).toBeNaN();
      } else {
        expect(ours, name).toBeCloseTo(value, 10);
      }
    }
  });
});

it('keeps Spearman between -1 and 1 and unchanged by a monotone map', () => {
  const pairs = fc.array(fc.tuple(fc.integer({ min: -50, max: 50 }), fc.integer({ min: -50, max: 50 })), {
    minLength: 3,
  });
  fc.assert(
    fc.property(pairs, (rows) => {
      const a = rows.map(([x]) => x);
      const b = rows.map(([, y]) => y);
      const rho = spearman(a, b);
      fc.pre(!Number.isNaN(rho));
      expect(Math.abs(rho)).toBeLessThanOrEqual(1 + 1e-12);
      const cubed = a.map((x) => x ** 3 + x);
      expect(spearman(cubed, b)).toBeCloseTo(rho, 10);
    }),
  );
});

it('interpolates quantiles', () => {
  expect(quantile([4, 1, 3, 2], 0.5)).toBe(2.5);
  expect(quantile([1], 0.9)).toBe(1);
  expect(quantile([], 0.5)).toBeNaN();
});
