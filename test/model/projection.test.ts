import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../../src/data/random.js';
import { gaussianProjection, type RandomFeatures } from '../../src/model/attention/projection.js';
import { softmaxExponents } from '../../src/ops/favorSoftmaxAttention.js';
import { trigFeatures } from '../../src/ops/favorTrigAttention.js';

const SIZE = 8;
const ROWS = 16;

const rowsOf = (matrix: Float32Array) =>
  Array.from({ length: matrix.length / SIZE }, (_, i) => [...matrix.subarray(i * SIZE, (i + 1) * SIZE)]);
const dot = (a: number[], b: number[]) => a.reduce((sum, x, i) => sum + x * b[i], 0);

describe('random features', () => {
  beforeAll(() => tf.setBackend('cpu'));

  it.each(['orthogonal', 'regularized'] as const)('%s rows are orthogonal within each block of d', (kind) => {
    const rows = rowsOf(gaussianProjection(ROWS + 3, SIZE, kind, new Random(1)));
    for (let i = 0; i < rows.length; i++) {
      for (let j = Math.floor(i / SIZE) * SIZE; j < i; j++) {
        expect(Math.abs(dot(rows[i], rows[j]) / Math.hypot(...rows[i]) / Math.hypot(...rows[j]))).toBeLessThan(1e-6);
      }
    }
  });

  it('have rows of length √d when regularized, and of the length of Gaussian vectors otherwise', () => {
    for (const row of rowsOf(gaussianProjection(ROWS, SIZE, 'regularized', new Random(1)))) {
      expect(Math.hypot(...row)).toBeCloseTo(Math.sqrt(SIZE), 5);
    }
    for (const kind of ['orthogonal', 'iid'] as const) {
      // Squared lengths have mean d and variance 2 d (chi-squared): four standard errors over 4000 rows.
      const squares = rowsOf(gaussianProjection(4000, SIZE, kind, new Random(2))).map((row) => dot(row, row));
      const mean = squares.reduce((a, b) => a + b) / squares.length;
      expect(Math.abs(mean - SIZE)).toBeLessThan(4 * Math.sqrt((2 * SIZE) / squares.length));
    }
  });

  /** Estimates of the softmax kernel exp(q·k / √d) over many draws of W: their mean, its standard error, variance. */
  function estimate(kind: RandomFeatures, features: 'positive' | 'trigonometric', draws = 10_000) {
    const random = new Random(3);
    const vector = () => Float32Array.from({ length: SIZE }, () => 0.5 * random.normal());
    const [q, k] = [vector(), vector()];
    const target = Math.exp(dot([...q], [...k]) / Math.sqrt(SIZE));
    const scale = Math.exp((dot([...q], [...q]) + dot([...k], [...k])) / (2 * Math.sqrt(SIZE)));
    const values = tf.tidy(() => {
      const [x, y] = [q, k].map((row) => tf.tensor4d(row, [1, 1, 1, SIZE]));
      const matrices = Array.from({ length: draws }, () => gaussianProjection(ROWS, SIZE, kind, random));
      const matrix = tf.tensor2d(Float32Array.from(matrices.flatMap((w) => [...w])), [draws * ROWS, SIZE]);
      if (features === 'positive') {
        const products = tf.exp(tf.add(softmaxExponents(x, matrix).exponents, softmaxExponents(y, matrix).exponents));
        return [...tf.mean(tf.reshape(products, [draws, ROWS]), 1).dataSync()];
      }
      const products = tf.reshape(tf.mul(trigFeatures(x, matrix), trigFeatures(y, matrix)), [2, draws, ROWS]);
      return [...tf.mul(tf.mean(tf.sum(products, 0), 1), scale).dataSync()];
    }) as number[];
    const mean = values.reduce((a, b) => a + b) / draws;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (draws - 1);
    return { bias: Math.abs(mean - target), error: Math.sqrt(variance / draws), variance };
  }

  it.each([
    ['iid', 'positive'],
    ['orthogonal', 'positive'],
    ['iid', 'trigonometric'],
    ['orthogonal', 'trigonometric'],
  ] as const)('%s %s ones estimate the softmax kernel without bias', (kind, features) => {
    const { bias, error } = estimate(kind, features);
    expect(bias).toBeLessThan(4 * error);
  });

  it('vary less when orthogonal than when iid (Choromanski et al. 2021, theorem 2)', () => {
    const [orthogonal, iid] = [estimate('orthogonal', 'positive').variance, estimate('iid', 'positive').variance];
    expect(orthogonal).toBeLessThan(0.95 * iid);
  });
});
