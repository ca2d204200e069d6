import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import '../../src/engines/gradients.js';
import { Random } from '../../src/data/random.js';
import { favorSoftmaxAttention } from '../../src/ops/favorSoftmaxAttention.js';
import { describeEngines, relativeDifference } from '../engines.js';

const HEADS = 2;
const SIZE = 8;
const FEATURES = 12;
const EPSILON = 1e-3;
const WIDTH = HEADS * SIZE;

function draw(random: Random, count: number, scale = 1): Float32Array {
  return Float32Array.from({ length: count }, () => scale * random.normal());
}

/**
 * The definition, pair by pair in float64: key j counts exp(u - n) + ε max exp(u - n) for a query of features
 * exp(u - n - max u) + ε, u = c W x and n = |c x|²/2.
 */
function definition(qkv: Float32Array, keep: number[], projection: Float32Array, length: number): Float64Array {
  const c = SIZE ** -0.25;
  const out = new Float64Array(length * WIDTH);
  const exponents = (at: number) => {
    const x = Array.from(qkv.subarray(at, at + SIZE), (value) => c * value);
    const n = x.reduce((sum, value) => sum + (value * value) / 2, 0);
    const u = Array.from({ length: FEATURES }, (_, f) =>
      x.reduce((sum, value, i) => sum + value * projection[f * SIZE + i], 0),
    );
    return { u, n };
  };
  for (let head = 0; head < HEADS; head++) {
    const place = (part: number, token: number) => token * 3 * WIDTH + part * WIDTH + head * SIZE;
    for (let i = 0; i < length; i++) {
      const query = exponents(place(0, i));
      const queryFeatures = query.u.map((u) => Math.exp(u - query.n - Math.max(...query.u)) + EPSILON);
      const keys = Array.from({ length: i + 1 }, (_, j) => j).filter((j) => keep[j] === 1);
      const logs = keys.map((j) => {
        const { u, n } = exponents(place(1, j));
        const top = Math.max(...u);
        const product = u.reduce((sum, value, f) => sum + queryFeatures[f] * (Math.exp(value - top) + EPSILON), 0);
        return Math.log(product) + top - n;
      });
      const highest = Math.max(...logs);
      const weights = logs.map((value) => Math.exp(value - highest));
      const total = weights.reduce((sum, value) => sum + value, 0);
      for (let k = 0; k < SIZE; k++) {
        const sum = keys.reduce((value, j, n) => value + weights[n] * qkv[place(2, j) + k], 0);
        out[i * WIDTH + head * SIZE + k] = sum / total;
      }
    }
  }
  return out;
}

const attend = (qkv: tf.Tensor, keep: number[], projection: Float32Array) =>
  favorSoftmaxAttention(
    qkv as tf.Tensor3D,
    tf.tensor2d(keep, [1, keep.length]),
    tf.tensor2d(projection, [FEATURES, SIZE]),
    { heads: HEADS, epsilon: EPSILON, causal: true },
  );

describeEngines('causal FAVOR+', (device) => {
  // Large weights: keys of very different weights, whose exponentials would leave the range of float32.
  it.each([1, 3, 12])('agrees with its definition, queries and keys of deviation %d', async (spread) => {
    const length = 150;
    const random = new Random(5);
    const projection = draw(random, FEATURES * SIZE);
    const qkv = draw(random, length * 3 * WIDTH, spread);
    const keep = Array.from({ length }, (_, i) => +(i < 3 || i % 11 !== 5));
    const out = tf.tidy(() => attend(tf.tensor3d(qkv, [1, length, 3 * WIDTH]), keep, projection));
    const values = (await out.data()) as Float32Array;
    out.dispose();
    expect(relativeDifference(values, definition(qkv, keep, projection, length))).toBeLessThan(1e-4);
  });

  it.each([1, 12])('does not see what follows, queries and keys of deviation %d', async (spread) => {
    const length = 700;
    const random = new Random(6);
    const projection = draw(random, FEATURES * SIZE);
    const qkv = draw(random, length * 3 * WIDTH, spread);
    const dy = draw(random, length * WIDTH);
    const run = async (from: Float32Array, tokens: number) => {
      const keep = new Array<number>(tokens).fill(1);
      const x = tf.tensor3d(from.slice(0, tokens * 3 * WIDTH), [1, tokens, 3 * WIDTH]);
      const out = attend(x, keep, projection);
      const gradient = tf.grad((y: tf.Tensor) => attend(y, keep, projection))(
        x,
        tf.tensor3d(dy.slice(0, tokens * WIDTH), [1, tokens, WIDTH]),
      );
      const results = [(await out.data()) as Float32Array, (await gradient.data()) as Float32Array];
      tf.dispose([x, out, gradient]);
      return results;
    };
    const [whole] = await run(qkv, length);
    for (const tokens of [1, 63, 64, 65, 200, 256, 257, 513]) {
      const [prefix, gradient] = await run(qkv, tokens);
      const start = whole.subarray(0, prefix.length);
      if (device === 'cpu') {
        expect(prefix).toEqual(start);
      } else {
        expect(relativeDifference(prefix, start)).toBeLessThan(1e-5);
      }
      // What follows gets no gradient, and changes none: its values are others, the sizes of its keys too.
      const changed = qkv.slice();
      for (let i = tokens * 3 * WIDTH; i < changed.length; i++) {
        changed[i] *= -3;
      }
      expect((await run(changed, tokens))[1]).toEqual(gradient);
      if (device === 'cpu') {
        expect((await run(changed, length))[0].subarray(0, prefix.length)).toEqual(start);
      }
    }
  });
});
