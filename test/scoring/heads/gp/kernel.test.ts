import { expect, test } from 'vitest';
import { Random } from '../../../../src/data/random.js';
import {
  CompositeKernel,
  type KernelInputs,
  type KernelParameters,
  type KernelSpace,
} from '../../../../src/scoring/heads/gp/kernel.js';

const random = new Random(1);
const LENGTH = 6;

function symmetric(size: number): Float32Array {
  const matrix = new Float32Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < i; j++) {
      matrix[i * size + j] = matrix[j * size + i] = random.uniform();
    }
  }
  return matrix;
}

const space: KernelSpace = {
  length: LENGTH,
  hellinger: symmetric(LENGTH),
  distances: symmetric(LENGTH),
  groups: [
    { name: 'a', start: 0, end: 2 },
    { name: 'b', start: 2, end: 3 },
  ],
};

/** Variants with one to three mutations. */
const starts = Int32Array.of(0, 1, 2, 4, 5, 8, 9, 11);
const n = starts.length - 1;
const sites = starts[n];
const inputs: KernelInputs = {
  n,
  starts,
  letters: new Int32Array(sites),
  positions: Int32Array.from({ length: sites }, (_, i) => (i * 5) % LENGTH),
  logP: Float64Array.from({ length: sites }, () => -4 * random.uniform()),
  descriptors: Float32Array.from({ length: n * 3 }, () => random.normal()),
  scores: [Float64Array.from({ length: n }, () => random.normal())],
};

const parameters: KernelParameters = {
  site: 0.6,
  hellinger: 1.5,
  letter: 0.4,
  distance: 0.7,
  descriptor: 0.8,
  scales: [1.2, 0.9],
  slopes: [0.3],
  noise: 0.1,
};

/** The docstring's formula, in double precision. */
function formula(a: number, b: number, p: KernelParameters): number {
  const sitesOf = (i: number) => Array.from({ length: starts[i + 1] - starts[i] }, (_, k) => starts[i] + k);
  let value = 4 + p.slopes[0] * inputs.scores[0][a] * inputs.scores[0][b];
  for (const s of sitesOf(a)) {
    for (const t of sitesOf(b)) {
      const cell = inputs.positions[s] * LENGTH + inputs.positions[t];
      value +=
        p.site *
        Math.exp(
          -p.hellinger * space.hellinger[cell] -
            p.letter * Math.abs(inputs.logP[s] - inputs.logP[t]) -
            p.distance * space.distances[cell],
        );
    }
  }
  let square = 0;
  for (let k = 0; k < 3; k++) {
    const scale = p.scales[k < 2 ? 0 : 1];
    square += ((inputs.descriptors[a * 3 + k] - inputs.descriptors[b * 3 + k]) / scale) ** 2;
  }
  return value + p.descriptor * Math.exp(-square / 2);
}

test('a matrix holds the formula, of two sets and of one with itself', () => {
  const kernel = new CompositeKernel(space, parameters);
  const all = kernel.prepare(inputs);
  const some = kernel.prepare(inputs, [4, 2]);
  const between = kernel.matrix(all, some);
  const own = kernel.matrix(all, all);
  const variances = kernel.variances(all);
  for (let i = 0; i < n; i++) {
    expect(between[i * 2]).toBeCloseTo(formula(i, 4, parameters), 5);
    expect(between[i * 2 + 1]).toBeCloseTo(formula(i, 2, parameters), 5);
    expect(variances[i]).toBeCloseTo(formula(i, i, parameters), 5);
    for (let j = i; j < n; j++) {
      expect(own[i * n + j]).toBeCloseTo(formula(i, j, parameters), 5);
    }
  }
});

test('the gradient is that of the formula, by differences', () => {
  const weights = symmetric(n);
  const kernel = new CompositeKernel(space, parameters);
  const gradient = kernel.gradient(kernel.prepare(inputs), weights);
  const total = (p: KernelParameters) => {
    let sum = 0;
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        sum += weights[i * n + j] * formula(i, j, p);
      }
    }
    return sum;
  };
  const slope = (change: (factor: number) => KernelParameters) =>
    (total(change(Math.exp(1e-4))) - total(change(Math.exp(-1e-4)))) / 2e-4;
  for (const name of ['site', 'hellinger', 'letter', 'distance', 'descriptor'] as const) {
    expect(gradient[name]).toBeCloseTo(
      slope((factor) => ({ ...parameters, [name]: parameters[name] * factor })),
      4,
    );
  }
  expect(gradient.slopes[0]).toBeCloseTo(
    slope((factor) => ({ ...parameters, slopes: [parameters.slopes[0] * factor] })),
    4,
  );
  for (const g of [0, 1]) {
    const scales = (factor: number) => parameters.scales.map((scale, k) => (k === g ? scale * factor : scale));
    expect(gradient.scales[g]).toBeCloseTo(
      slope((factor) => ({ ...parameters, scales: scales(factor) })),
      4,
    );
  }
});
