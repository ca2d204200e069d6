import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import '../../../src/engines/gradients.js';
import { startEngine } from '../../../src/engines/index.js';
import { relativeDifference } from '../../engines.js';

type Operation = (...tensors: tf.Tensor[]) => tf.Tensor | tf.Tensor[];

type Case = [name: string, operation: Operation, ...shapes: number[][]];
type Reduce = (x: tf.Tensor, axis?: number | number[], keepDims?: boolean) => tf.Tensor;

const BINARY = {
  add: tf.add,
  sub: tf.sub,
  mul: tf.mul,
  div: tf.div,
  maximum: tf.maximum,
  minimum: tf.minimum,
  squaredDifference: tf.squaredDifference,
};
const UNARY = {
  abs: tf.abs,
  cos: tf.cos,
  erf: tf.erf,
  exp: tf.exp,
  neg: tf.neg,
  relu: tf.relu,
  sigmoid: tf.sigmoid,
  sin: tf.sin,
  square: tf.square,
  tanh: tf.tanh,
};
const UNARY_OF_POSITIVE = { log: tf.log, reciprocal: tf.reciprocal, rsqrt: tf.rsqrt, sqrt: tf.sqrt };
const REDUCE = { sum: tf.sum, mean: tf.mean, max: tf.max, min: tf.min };

/** Operations of tfjs that the engine has kernels for, on inputs of these shapes. */
const cases: Case[] = [
  ...Object.entries(BINARY).flatMap(([name, of]): Case[] => [
    [`${name} of one shape`, of as Operation, [3, 5, 7], [3, 5, 7]],
    [`${name} with a scalar`, of as Operation, [33], []],
    [`${name} of a scalar`, of as Operation, [], [2, 17]],
    [`${name} with a row`, of as Operation, [4, 5, 19], [19]],
    [`${name} with a column`, of as Operation, [4, 19, 1], [4, 19, 33]],
    [`${name} outer`, of as Operation, [37, 1], [1, 35]],
    [`${name} in the middle`, of as Operation, [3, 1, 5, 2], [3, 4, 1, 2]],
    [`${name} of a large one`, of as Operation, [300, 400], [300, 400]],
    [`${name} of nothing`, of as Operation, [0, 4], [0, 4]],
  ]),
  ...Object.entries(UNARY).map(([name, of]): Case => [name, of as Operation, [7, 23]]),
  ...Object.entries(UNARY_OF_POSITIVE).map(([name, of]): Case => [name, (x) => of(tf.add(tf.square(x), 0.1)), [7, 23]]),
  ...Object.entries(REDUCE).flatMap(([name, of]): Case[] => {
    const reduce = of as Reduce;
    return [
      [`${name} of all`, (x) => reduce(x), [5, 7, 11]],
      [`${name} of a long one`, (x) => reduce(x), [70_001]],
      [`${name} of the last axis`, (x) => reduce(x, -1), [5, 7, 35]],
      [`${name} of the last axis, kept`, (x) => reduce(x, -1, true), [5, 7, 11]],
      [`${name} of the first axis`, (x) => reduce(x, 0), [150, 17]],
      [`${name} of the middle`, (x) => reduce(x, [1, 2], true), [3, 4, 5, 6]],
      [`${name} of axes apart`, (x) => reduce(x, [0, 2]), [3, 4, 5]],
    ];
  }),
  ['softmax', (x) => tf.softmax(x), [9, 35]],
  ['logSumExp', (x) => tf.logSumExp(x, -1), [9, 35]],
  ['cumsum', (x) => tf.cumsum(x, 1), [5, 19]],
  ['cumsum in the middle', (x) => tf.cumsum(x, 1), [3, 19, 5]],
  ['cumsum exclusive reverse', (x) => tf.cumsum(x, 1, true, true), [70, 67]],
  ['transpose', (x) => tf.transpose(x), [130, 67]],
  ['transpose of heads', (x) => tf.transpose(x, [0, 2, 1, 3]), [2, 70, 3, 8]],
  ['transpose of keys', (x) => tf.transpose(x, [0, 2, 3, 1]), [2, 70, 3, 8]],
  ['transpose reversed', (x) => tf.transpose(x, [3, 2, 1, 0]), [2, 65, 3, 5]],
  ['slice of rows', (x) => tf.slice(x, [2, 0], [3, -1]), [7, 5]],
  ['slice of columns', (x) => tf.slice(x, [0, 1, 3], [-1, 2, 4]), [4, 5, 9]],
  ['split', (x) => tf.split(x, [2, 3, 4], 1), [3, 9, 2]],
  ['concat of rows', (...xs) => tf.concat(xs, 0), [2, 3], [5, 3]],
  ['concat of columns', (...xs) => tf.concat(xs, 1), [2, 3, 4], [2, 1, 4], [2, 0, 4]],
  ['tile', (x) => tf.tile(x, [2, 1, 3]), [2, 3, 4]],
  ['matMul', (a, b) => tf.matMul(a, b), [17, 9], [9, 33]],
  ['matMul transposed', (a, b) => tf.matMul(a, b, true, true), [3, 9, 17], [3, 33, 9]],
  ['matMul of one with many', (a, b) => tf.matMul(a, b), [1, 1, 5, 7], [2, 3, 7, 4]],
  ['fused matMul', (a, b, bias) => tf.fused.matMul({ a, b, bias, activation: 'relu' } as never), [5, 7], [7, 4], [4]],
];

function inputs(shapes: number[][]): tf.Tensor[] {
  return shapes.map((shape, i) => tf.randomNormal(shape, 0, 1.5, 'float32', 7 + i));
}

/** Values and gradients of an operation on the current backend. */
function evaluate(operation: Operation, shapes: number[][], withGradients: boolean): number[][] {
  return tf.tidy(() => {
    const tensors = inputs(shapes);
    const outputs = [operation(...tensors)].flat();
    // Weighted, so that every element has a gradient of its own.
    const weigh = (...xs: tf.Tensor[]) =>
      tf.addN(
        [operation(...xs)].flat().map((y) => {
          const weights = tf.cos(tf.reshape(tf.range(0, y.size), y.shape));
          return tf.sum(tf.mul(y, weights));
        }),
      ) as tf.Scalar;
    const gradients = withGradients && outputs.every((y) => y.size > 0) ? tf.grads(weigh)(tensors) : [];
    return [...outputs, ...gradients].map((y) => Array.from(y.dataSync()));
  });
}

describe("tfjs's operations on the CPU engine", () => {
  const expected = new Map<string, number[][]>();
  const valuesOnly = new Set<string>();
  beforeAll(async () => {
    await tf.setBackend('cpu');
    for (const [name, operation, ...shapes] of cases) {
      try {
        expected.set(name, evaluate(operation, shapes, true));
      } catch {
        // tfjs's gradient fails for some shapes, most of them broadcast ones.
        valuesOnly.add(name);
        expected.set(name, evaluate(operation, shapes, false));
      }
    }
    await startEngine('cpu');
  });
  afterAll(() => tf.disposeVariables());

  it.each(cases)("%s agrees with tfjs's own kernel", (name, operation, ...shapes) => {
    const actual = evaluate(operation, shapes, !valuesOnly.has(name));
    expect(actual.length).toBe(expected.get(name)!.length);
    actual.forEach((values, i) => {
      expect(relativeDifference(values, expected.get(name)![i]), `result ${i}`).toBeLessThan(1e-5);
    });
  });

  it('leaves other types to tfjs', () => {
    tf.tidy(() => {
      const x = tf.tensor2d([3, 1, 2, 6, 5, 4], [2, 3], 'int32');
      expect(tf.add(x, x).dataSync()).toEqual(Int32Array.of(6, 2, 4, 12, 10, 8));
      expect(tf.transpose(x).dataSync()).toEqual(Int32Array.of(3, 6, 1, 5, 2, 4));
      expect(tf.sum(x, 1).dataSync()).toEqual(Int32Array.of(6, 15));
      expect(tf.cast(tf.equal(x, 2), 'float32').dataSync()).toEqual(Float32Array.of(0, 0, 1, 0, 0, 0));
      expect(tf.cast(x, 'float32').dataSync()).toEqual(Float32Array.of(3, 1, 2, 6, 5, 4));
    });
  });

  it('passes NaN and infinity on', () => {
    tf.tidy(() => {
      const x = tf.tensor1d([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0.5, 200]);
      expect(Array.from(tf.relu(x).dataSync())).toEqual([Number.NaN, Number.POSITIVE_INFINITY, 0, 0, 200]);
      expect(Array.from(tf.exp(x).dataSync().slice(0, 3))).toEqual([Number.NaN, Number.POSITIVE_INFINITY, 0]);
      expect(tf.exp(x).dataSync()[4]).toBe(Number.POSITIVE_INFINITY);
      expect(tf.max(x).dataSync()[0]).toBeNaN();
      expect(tf.maximum(x, 0).dataSync()[0]).toBeNaN();
      expect(tf.maximum(0, x).dataSync()[0]).toBeNaN();
    });
  });

  it.each([
    ['erf', (x: tf.Tensor) => tf.erf(x), 5e-7],
    ['exp', (x: tf.Tensor) => tf.exp(x), 1e-6],
  ] as const)('%s is accurate to float32', (name, operation, tolerance) => {
    const points = Float32Array.from({ length: 20_001 }, (_, i) => (i - 10_000) / 1000);
    const actual = tf.tidy(() => operation(tf.tensor1d(points)).dataSync());
    points.forEach((x, i) => {
      const exact = name === 'exp' ? Math.exp(x) : exactErf(x);
      expect(Math.abs(actual[i] - exact) / Math.max(Math.abs(exact), 1e-30)).toBeLessThan(tolerance);
    });
  });
});

/** erf by its Taylor series near zero, by the continued fraction of erfc further out (Abramowitz & Stegun 7.1.5, 7.1.14). */
function exactErf(x: number): number {
  const t = Math.abs(x);
  if (t < 3) {
    let term = x;
    let total = x;
    for (let n = 1; n < 80; n++) {
      term *= (-x * x) / n;
      total += term / (2 * n + 1);
    }
    return (2 / Math.sqrt(Math.PI)) * total;
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) {
    fraction = n / 2 / (t + fraction);
  }
  return Math.sign(x) * (1 - Math.exp(-t * t) / Math.sqrt(Math.PI) / (t + fraction));
}
