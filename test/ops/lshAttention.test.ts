import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { Random } from '../../src/data/random.js';
import { joinHeads, splitHeads } from '../../src/ops/heads.js';
import { lshAttention } from '../../src/ops/lshAttention.js';
import { describeEngines, relativeDifference } from '../engines.js';

const HEADS = 2;
const SIZE = 6;
const options = { heads: HEADS, causal: false, hashes: 2, chunkLength: 8 };

function gaussian(shape: number[], seed: number): tf.Tensor {
  const random = new Random(seed);
  return tf.tensor(
    Float32Array.from({ length: tf.util.sizeFromShape(shape) }, () => random.normal()),
    shape,
  );
}
const qkvOf = (batch: number, length: number) => gaussian([batch, length, 3 * HEADS * SIZE], 1) as tf.Tensor3D;
const rotationsOf = (hashes: number, buckets: number) => gaussian([(hashes * buckets) / 2, SIZE], 2) as tf.Tensor2D;

/** Attention with shared queries and keys in float64, one head: the formula, with no bucket at all. */
function exact(q: number[][], v: number[][], kept: number, causal: boolean): number[][] {
  const keys = q.map((row) => row.map((x) => x / Math.hypot(...row)));
  return q.map((row, i) => {
    const seen = keys.flatMap((_, j) => (j < kept && (!causal || j <= i) ? [j] : []));
    const others = seen.filter((j) => j !== i);
    const attended = others.length > 0 ? others : seen;
    const scores = attended.map((j) => row.reduce((sum, x, k) => sum + x * keys[j][k], 0));
    const weights = scores.map((score) => Math.exp(score - Math.max(...scores)));
    const total = weights.reduce((a, b) => a + b);
    return row.map((_, k) => attended.reduce((sum, j, n) => sum + (weights[n] / total) * v[j][k], 0));
  });
}

describeEngines('LSH attention', () => {
  it.each([false, true])('with one bucket is exact attention with shared queries and keys, causal: %s', (causal) => {
    tf.tidy(() => {
      const [batch, length] = [2, 11];
      const lengths = [11, 7];
      const qkv = qkvOf(batch, length);
      const keep = tf.tensor2d(
        lengths.map((n) => Array.from({ length }, (_, i) => (i < n ? 1 : 0))),
        [batch, length],
        'float32',
      );
      const out = lshAttention(qkv, keep, rotationsOf(2, 4), { ...options, chunkLength: 16, causal });
      const actual = splitHeads(tf.concat([out, out, out], 2) as tf.Tensor3D, HEADS)[0].arraySync();
      const [q, , v] = splitHeads(qkv, HEADS).map((x) => x.arraySync());
      for (let b = 0; b < batch; b++)
        for (let h = 0; h < HEADS; h++) {
          const expected = exact(q[b][h], v[b][h], lengths[b], causal).slice(0, lengths[b]);
          expect(relativeDifference(actual[b][h].slice(0, lengths[b]).flat(), expected.flat())).toBeLessThan(1e-5);
        }
    });
  });

  it('has the gradients of finite differences', () => {
    tf.tidy(() => {
      const [batch, length] = [1, 21];
      const [q, k, v] = splitHeads(qkvOf(batch, length), HEADS);
      const keep = tf.tensor2d([Array.from({ length }, (_, i) => (i < 19 ? 1 : 0))], [batch, length], 'float32');
      const rotations = rotationsOf(2, 4);
      const weights = tf.mul(gaussian([batch, length, HEADS * SIZE], 3), tf.expandDims(keep, 2));
      const loss = (queries: tf.Tensor, values: tf.Tensor) => {
        const qkv = joinHeads(queries as tf.Tensor4D, k, values as tf.Tensor4D);
        return tf.sum(tf.mul(lshAttention(qkv, keep, rotations, options), weights)) as tf.Scalar;
      };
      const gradients = tf.grads(loss)([q, v]);
      // Along a direction, and small enough that no token changes its bucket.
      for (const [i, inputs] of [q, v].entries()) {
        const direction = gaussian(inputs.shape, 10 + i);
        const step = 3e-4;
        const at = (t: number) => {
          const moved = tf.add(inputs, tf.mul(direction, t));
          return (i === 0 ? loss(moved, v) : loss(q, moved)).dataSync()[0];
        };
        const expected = (at(step) - at(-step)) / (2 * step);
        const actual = tf.sum(tf.mul(gradients[i], direction)).dataSync()[0];
        expect(Math.abs(actual - expected) / Math.max(1, Math.abs(expected))).toBeLessThan(3e-3);
      }
    });
  });

  it('gives a sequence the same result beside others and with more padding', () => {
    tf.tidy(() => {
      const length = 29;
      const alone = tf.slice(qkvOf(1, length), [0, 0, 0], [1, length, -1]);
      const keep = (rows: number[], total: number) =>
        tf.tensor2d(
          rows.map((n) => Array.from({ length: total }, (_, i) => (i < n ? 1 : 0))),
          [rows.length, total],
          'float32',
        );
      const rotations = rotationsOf(2, 6);
      const expected = lshAttention(alone, keep([length], length), rotations, options);
      const other = gaussian([1, 50, 3 * HEADS * SIZE], 8);
      const padded = tf.concat([alone, gaussian([1, 50 - length, 3 * HEADS * SIZE], 9)], 1);
      const both = tf.concat([other, padded], 0) as tf.Tensor3D;
      const actual = tf.slice(
        lshAttention(both, keep([50, length], 50), rotations, options),
        [1, 0, 0],
        [1, length, -1],
      );
      expect(relativeDifference(actual.dataSync(), expected.dataSync())).toBeLessThan(1e-5);
    });
  });

  it('sees nothing that comes later when causal', () => {
    tf.tidy(() => {
      const [length, changed] = [40, 25];
      const qkv = qkvOf(1, length);
      const keep = tf.ones([1, length]) as tf.Tensor2D;
      // The same buckets before and after: only then can the results be compared, since sorting sees all tokens.
      const later = tf.tensor3d([Array.from({ length }, (_, i) => [i < changed ? 0 : 1])], [1, length, 1]);
      const values = tf.concat([tf.zeros([1, length, 2 * HEADS * SIZE]), tf.ones([1, length, HEADS * SIZE])], 2);
      const other = tf.add(qkv, tf.mul(later, values)) as tf.Tensor3D;
      const causal = { ...options, causal: true };
      const first = (x: tf.Tensor) => tf.slice(x, [0, 0, 0], [1, changed, -1]).dataSync();
      const expected = first(lshAttention(qkv, keep, rotationsOf(2, 4), causal));
      const actual = first(lshAttention(other, keep, rotationsOf(2, 4), causal));
      expect(relativeDifference(actual, expected)).toBe(0);
    });
  });

  it('computes in proportion to L log L', async () => {
    // Elements that its operations make, gradients included.
    const work = async (length: number) => {
      const qkv = qkvOf(1, length);
      const keep = tf.ones([1, length]) as tf.Tensor2D;
      const rotations = rotationsOf(2, 16);
      const loss = (x: tf.Tensor) => tf.sum(lshAttention(x as tf.Tensor3D, keep, rotations, options)) as tf.Scalar;
      const profile = await tf.profile(() => tf.tidy(() => tf.grad(loss)(qkv)));
      tf.dispose([qkv, keep, rotations, profile.result as tf.Tensor]);
      return profile.kernels
        .flatMap((kernel) => kernel.outputShapes)
        .reduce((sum, shape) => sum + tf.util.sizeFromShape(shape), 0);
    };
    const [short, long] = [await work(256), await work(1024)];
    expect(long / short).toBeLessThan((4 * Math.log2(1024)) / Math.log2(256));
  });
});
