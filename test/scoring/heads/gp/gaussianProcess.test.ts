import { CholeskyDecomposition, Matrix } from 'ml-matrix';
import { describe, expect, test } from 'vitest';
import { Random } from '../../../../src/data/random.js';
import { GaussianProcess } from '../../../../src/scoring/heads/gp/gaussianProcess.js';
import {
  CompositeKernel,
  type KernelInputs,
  type KernelParameters,
  type KernelSpace,
} from '../../../../src/scoring/heads/gp/kernel.js';
import { spearman } from '../../../../src/scoring/metrics.js';

const LENGTH = 20;
const N = 240;
const random = new Random(7);
const points = Array.from({ length: LENGTH }, () => [random.normal(), random.normal()]);
const distances = Float32Array.from({ length: LENGTH * LENGTH }, (_, cell) => {
  const [a, b] = [points[Math.floor(cell / LENGTH)], points[cell % LENGTH]];
  return Math.hypot(a[0] - b[0], a[1] - b[1]);
});
const space: KernelSpace = {
  length: LENGTH,
  hellinger: distances.map((d) => Math.min(1, d / 3)),
  distances,
  groups: [{ name: 'letters', start: 0, end: 2 }],
};
const inputs: KernelInputs = {
  n: N,
  starts: Int32Array.from({ length: N + 1 }, (_, i) => i),
  letters: new Int32Array(N),
  positions: Int32Array.from({ length: N }, () => random.int(LENGTH)),
  logP: Float64Array.from({ length: N }, () => -5 * random.uniform()),
  descriptors: Float32Array.from({ length: 2 * N }, () => random.normal()),
  scores: [Float64Array.from({ length: N }, () => random.normal())],
};
const parameters: KernelParameters = {
  site: 0.5,
  hellinger: 1,
  letter: 0.2,
  distance: 1,
  descriptor: 0.4,
  scales: [1.5],
  slopes: [0.2],
  noise: 0.05,
};

/** Values drawn from the process itself, at 50 units of deviation 3. */
const measured = drawn();

function covariance(rows: readonly number[], columns: readonly number[]): Matrix {
  const kernel = new CompositeKernel(space, parameters);
  const values = kernel.matrix(kernel.prepare(inputs, rows), kernel.prepare(inputs, columns));
  return Matrix.from1DArray(rows.length, columns.length, values);
}

function drawn(): Float64Array {
  const all = Array.from({ length: N }, (_, i) => i);
  const k = covariance(all, all).add(Matrix.eye(N).mul(parameters.noise));
  const normal = Matrix.columnVector(all.map(() => random.normal()));
  const values = new CholeskyDecomposition(k).lowerTriangularMatrix.mmul(normal).to1DArray();
  return Float64Array.from(values, (value) => 50 + 3 * value);
}

const training = Array.from({ length: 200 }, (_, i) => i);
const held = Array.from({ length: N - 200 }, (_, i) => 200 + i);

/** Algorithm 2.1 of Rasmussen and Williams in double precision, standardised as the head does. */
function oracle() {
  const y = training.map((row) => measured[row]);
  const mean = y.reduce((sum, value) => sum + value, 0) / y.length;
  const deviation = Math.sqrt(y.reduce((sum, value) => sum + (value - mean) ** 2, 0) / y.length);
  const k = covariance(training, training).add(Matrix.eye(training.length).mul(parameters.noise));
  const decomposition = new CholeskyDecomposition(k);
  const cross = covariance(held, training);
  const solved = decomposition.solve(Matrix.columnVector(y.map((value) => (value - mean) / deviation)));
  const expected = cross.mmul(solved).to1DArray();
  const posterior = covariance(held, held).sub(cross.mmul(decomposition.solve(cross.transpose())));
  return {
    mean: expected.map((value) => mean + deviation * value),
    deviation: posterior.diag().map((value) => deviation * Math.sqrt(value)),
    noise: deviation * Math.sqrt(parameters.noise),
    covariance: posterior.mul(deviation ** 2),
  };
}

describe('with given hyperparameters', () => {
  const expected = oracle();

  test('predicts what algorithm 2.1 gives in double precision', () => {
    const process = GaussianProcess.fit(space, inputs, training, measured, { parameters });
    const { mean, deviation, noise } = process.predict(inputs, held);
    for (const [i, value] of mean.entries()) {
      expect(value).toBeCloseTo(expected.mean[i], 2);
      expect(deviation[i]).toBeCloseTo(expected.deviation[i], 2);
    }
    expect(noise).toBeCloseTo(expected.noise, 6);
  });

  test('with as many inducing rows as there are, the projected process is the exact one', () => {
    const process = GaussianProcess.fit(space, inputs, training, measured, {
      parameters,
      exactRows: 100,
      inducing: 200,
    });
    const { mean, deviation } = process.predict(inputs, held);
    for (const [i, value] of mean.entries()) {
      expect(Math.abs(value - expected.mean[i])).toBeLessThan(0.1);
      expect(Math.abs(deviation[i] - expected.deviation[i])).toBeLessThan(0.1);
    }
  });

  test('with half of them it predicts nearly as well', () => {
    const of = (exactRows: number) =>
      GaussianProcess.fit(space, inputs, training, measured, { parameters, exactRows, inducing: 100 }).predict(
        inputs,
        held,
      ).mean;
    const truth = held.map((row) => measured[row]);
    const exact = spearman(truth, of(1000));
    expect(exact).toBeGreaterThan(0.8);
    expect(spearman(truth, of(100))).toBeGreaterThan(exact - 0.1);
  });

  test('draws have the mean and covariance of the posterior', () => {
    const process = GaussianProcess.fit(space, inputs, training, measured, { parameters });
    const rows = held.slice(0, 2);
    const draws = process.sample(inputs, rows, 4000, new Random(5));
    const average = (value: (draw: Float64Array) => number) =>
      draws.reduce((sum, draw) => sum + value(draw), 0) / draws.length;
    const [a, b] = expected.mean;
    expect(average((draw) => draw[0])).toBeCloseTo(a, 0);
    expect(average((draw) => draw[1])).toBeCloseTo(b, 0);
    for (const [i, j] of [
      [0, 0],
      [0, 1],
      [1, 1],
    ] as const) {
      const found = average((draw) => (draw[i] - expected.mean[i]) * (draw[j] - expected.mean[j]));
      const scale = Math.sqrt(expected.covariance.get(i, i) * expected.covariance.get(j, j));
      expect(Math.abs(found - expected.covariance.get(i, j))).toBeLessThan(0.1 * scale);
    }
  });
});

test('fits hyperparameters under which its intervals hold what was measured', () => {
  const process = GaussianProcess.fit(space, inputs, training, measured);
  const { mean, deviation, noise } = process.predict(inputs, held);
  const truth = held.map((row) => measured[row]);
  expect(spearman(truth, mean)).toBeGreaterThan(0.8);
  const inside = truth.filter((value, i) => Math.abs(value - mean[i]) < 1.645 * Math.hypot(deviation[i], noise));
  expect(inside.length / truth.length).toBeGreaterThan(0.75);
  expect(process.parameters.noise).toBeLessThan(0.2);
});

test('two variants, and values that are all equal, are refused', () => {
  expect(() => GaussianProcess.fit(space, inputs, [0, 1], measured)).toThrow(/2 variants to train on; at least 3/);
  expect(() => GaussianProcess.fit(space, inputs, training, new Float64Array(N).fill(2))).toThrow(/all equal/);
});
