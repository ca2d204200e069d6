import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { dot } from '../../../src/model/orthonormal.js';
import { fitRidge, fitSparseRidge, sparseDot } from '../../../src/scoring/heads/ridge.js';

/** Computed once with scikit-learn; leave-one-out errors by leaving one out. */
const fixtures = JSON.parse(readFileSync(new URL('../fixtures/ridge.json', import.meta.url), 'utf8')) as {
  dense: { rows: number[][]; y: number[]; alphas: number[]; weights: number[]; intercept: number; alpha: number }[];
  sparse: {
    wildType: number[];
    mutations: [number, number][][];
    zeroShot: number[];
    y: number[];
    alpha: number;
    predictions: number[];
    oneHotPredictions: number[];
  }[];
};

describe('against scikit-learn', () => {
  it.each(fixtures.dense)('dense, $alphas', ({ rows, y, alphas, weights, intercept, alpha }) => {
    const fit = fitRidge(rows, y, alphas);
    expect(fit.alpha).toBe(alpha);
    expect(fit.intercept).toBeCloseTo(intercept, 8);
    weights.forEach((weight, j) => {
      expect(fit.weights[j]).toBeCloseTo(weight, 8);
    });
  });

  it.each(fixtures.sparse)('one-hot with and without an unpenalised score, α $alpha', (fixture) => {
    const { wildType, mutations, zeroShot, y, alpha, predictions, oneHotPredictions } = fixture;
    // The one-hot encoding as its difference to the wild type's: a constant that the intercept takes.
    const rows = mutations.map((list) => ({
      columns: list.flatMap(([i, residue]) => [20 * i + residue, 20 * i + wildType[i]]),
      values: list.flatMap(() => [1, -1]),
    }));
    const augmented = fitSparseRidge(rows, 120, [zeroShot], y, alpha);
    const oneHot = fitSparseRidge(rows, 120, [], y, alpha);
    rows.forEach((row, i) => {
      const linear = sparseDot(row, augmented.weights) + augmented.intercept;
      // scikit-learn's score is penalised by 1e-8, ours not at all.
      expect(linear + dot([zeroShot[i]], augmented.coefficients)).toBeCloseTo(predictions[i], 5);
      expect(sparseDot(row, oneHot.weights) + oneHot.intercept).toBeCloseTo(oneHotPredictions[i], 8);
    });
  });
});

it('constant features and targets give the mean', () => {
  const fit = fitRidge([[1], [1], [1]], [2, 2, 2]);
  expect(dot([1], fit.weights) + fit.intercept).toBeCloseTo(2, 12);
  const sparse = fitSparseRidge([{ columns: [0], values: [1] }], 1, [[3]], [5], 1);
  expect(sparse.intercept + 3 * sparse.coefficients[0] + sparse.weights[0]).toBeCloseTo(5, 12);
});
