import * as tf from '@tensorflow/tfjs-core';
import { afterEach, describe, expect, it } from 'vitest';
import { Random } from '../../src/data/random.js';
import { loadAddon } from '../../src/engines/cpu/addon.js';
import { joinHeads, splitHeads } from '../../src/ops/heads.js';
import { type LshOptions, lshAttention, lshAttentionReference } from '../../src/ops/lshAttention.js';
import { instructionSets } from '../engines/cpu/instructionSets.js';
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

/** keep [B, L]: the first tokens of each sequence, but for every `hole`-th. */
function keepOf(kept: number[], length: number, hole = 0): tf.Tensor2D {
  const rows = kept.map((n) =>
    Array.from({ length }, (_, i) => (i < n && (hole === 0 || i % hole !== hole - 1) ? 1 : 0)),
  );
  return tf.tensor2d(rows, [kept.length, length], 'float32');
}

/** Values at kept tokens, and the gradients of a weighted sum of them. */
function evaluate(
  attend: typeof lshAttention,
  [qkv, keep, rotations]: [tf.Tensor3D, tf.Tensor2D, tf.Tensor2D],
  options: LshOptions,
): { out: Float32Array; gradient: Float32Array } {
  return tf.tidy(() => {
    const run = (x: tf.Tensor) => tf.mul(attend(x as tf.Tensor3D, keep, rotations, options), tf.expandDims(keep, 2));
    const weights = gaussian([...qkv.shape.slice(0, 2), qkv.shape[2] / 3], 5);
    const gradient = tf.grad((x: tf.Tensor) => tf.sum(tf.mul(run(x), weights)))(qkv);
    return { out: run(qkv).dataSync() as Float32Array, gradient: gradient.dataSync() as Float32Array };
  });
}

interface KernelCase extends Omit<LshOptions, 'causal'> {
  size: number;
  buckets: number;
  length: number;
  kept: number[];
  hole?: number;
}
const kernelCases: [string, KernelCase][] = [
  ['several rounds', { heads: 2, size: 6, hashes: 3, buckets: 8, chunkLength: 8, length: 61, kept: [61, 40] }],
  ['a head of whole vectors', { heads: 1, size: 32, hashes: 2, buckets: 6, chunkLength: 16, length: 130, kept: [130] }],
  ['a head of odd size', { heads: 3, size: 17, hashes: 1, buckets: 4, chunkLength: 5, length: 33, kept: [32, 33] }],
  [
    'one bucket for several chunks',
    { heads: 1, size: 4, hashes: 2, buckets: 2, chunkLength: 3, length: 20, kept: [19] },
  ],
  ['padding inside', { heads: 2, size: 8, hashes: 2, buckets: 4, chunkLength: 8, length: 50, kept: [50, 31], hole: 3 }],
  ['one token, and none', { heads: 2, size: 8, hashes: 4, buckets: 4, chunkLength: 8, length: 30, kept: [1, 0, 30] }],
  ['chunks of one token', { heads: 1, size: 8, hashes: 2, buckets: 4, chunkLength: 1, length: 9, kept: [9] }],
  ['chunks of several tiles', { heads: 1, size: 8, hashes: 2, buckets: 4, chunkLength: 150, length: 401, kept: [390] }],
  ['one chunk', { heads: 2, size: 8, hashes: 3, buckets: 4, chunkLength: 512, length: 200, kept: [200, 77] }],
  ['several tasks a head', { heads: 1, size: 4, hashes: 2, buckets: 64, chunkLength: 24, length: 3300, kept: [3290] }],
];

describeEngines('LSH attention', (device) => {
  describe.runIf(device === 'cpu')('kernel', () => {
    const addon = device === 'cpu' ? loadAddon() : undefined;
    const [best, threads] = [addon?.instructionSet(), addon?.threads()];
    afterEach(() => {
      addon!.setInstructionSet(best!);
      addon!.setThreads(threads!);
    });
    const inputsOf = ({ heads, size, hashes, buckets, length, kept, hole }: KernelCase) =>
      [
        gaussian([kept.length, length, 3 * heads * size], 1),
        keepOf(kept, length, hole),
        gaussian([(hashes * buckets) / 2, size], 2),
      ] as [tf.Tensor3D, tf.Tensor2D, tf.Tensor2D];

    describe.each(device === 'cpu' ? instructionSets() : [])('with %s', (name) => {
      it.each(kernelCases)('agrees with the reference: %s', (_, test) => {
        addon!.setInstructionSet(name);
        tf.tidy(() => {
          const inputs = inputsOf(test);
          for (const causal of [false, true]) {
            const expected = evaluate(lshAttentionReference, inputs, { ...test, causal });
            const actual = evaluate(lshAttention, inputs, { ...test, causal });
            expect(relativeDifference(actual.out, expected.out), `causal: ${causal}`).toBeLessThan(1e-5);
            expect(relativeDifference(actual.gradient, expected.gradient), `causal: ${causal}`).toBeLessThan(1e-4);
          }
        });
      });

      it('takes the first of equal buckets', () => {
        addon!.setInstructionSet(name);
        tf.tidy(() => {
          const test = { heads: 1, size: 8, hashes: 2, buckets: 16, chunkLength: 4, length: 64, kept: [64] };
          const [qkv, keep, rotations] = inputsOf(test);
          // Each rotation twice, and some tokens whose rotations are all zero.
          const twice = tf.tensor1d(
            Array.from({ length: rotations.shape[0] }, (_, i) => Math.floor(i / 2)),
            'int32',
          );
          const some = tf.cast(tf.greater(tf.mod(tf.range(0, test.length), 5), 0), 'float32');
          const inputs: [tf.Tensor3D, tf.Tensor2D, tf.Tensor2D] = [
            tf.mul(qkv, tf.reshape(some, [1, -1, 1])),
            keep,
            tf.gather(rotations, twice),
          ];
          const expected = evaluate(lshAttentionReference, inputs, { ...test, causal: false });
          const actual = evaluate(lshAttention, inputs, { ...test, causal: false });
          expect(relativeDifference(actual.out, expected.out)).toBeLessThan(1e-5);
        });
      });
    });

    it.each(kernelCases)('gives the same bits on any number of threads: %s', (_, test) => {
      tf.tidy(() => {
        const inputs = inputsOf(test);
        const results = [1, 2, 8].map((count) => {
          addon!.setThreads(count);
          return evaluate(lshAttention, inputs, { ...test, causal: false });
        });
        expect(results[1]).toEqual(results[0]);
        expect(results[2]).toEqual(results[0]);
      });
    });

    it('gives zeros, and no gradient, where nothing is kept', () => {
      tf.tidy(() => {
        const qkv = qkvOf(2, 20);
        const attend = (x: tf.Tensor) => lshAttention(x as tf.Tensor3D, keepOf([0, 7], 20), rotationsOf(2, 4), options);
        const padding = (x: tf.Tensor) => {
          const [first, second] = tf.unstack(x as tf.Tensor3D);
          return [...first.dataSync(), ...tf.slice(second, 7).dataSync()];
        };
        expect(padding(attend(qkv)).every((x) => x === 0)).toBe(true);
        expect(padding(tf.grad((x) => tf.sum(attend(x)))(qkv)).every((x) => x === 0)).toBe(true);
      });
    });
  });

  it.each([false, true])(
    'with one bucket is exact attention with shared queries and keys, causal: %s',
    async (causal) => {
      const [batch, length] = [2, 11];
      const lengths = [11, 7];
      const tensors = tf.tidy(() => {
        const qkv = qkvOf(batch, length);
        const keep = tf.tensor2d(
          lengths.map((n) => Array.from({ length }, (_, i) => (i < n ? 1 : 0))),
          [batch, length],
          'float32',
        );
        const out = lshAttention(qkv, keep, rotationsOf(2, 4), { ...options, chunkLength: 16, causal });
        return [splitHeads(tf.concat([out, out, out], 2) as tf.Tensor3D, HEADS)[0], ...splitHeads(qkv, HEADS)];
      });
      const [actual, q, , v] = await Promise.all(tensors.map((x) => x.array()));
      for (let b = 0; b < batch; b++) {
        for (let h = 0; h < HEADS; h++) {
          const expected = exact(q[b][h], v[b][h], lengths[b], causal).slice(0, lengths[b]);
          expect(relativeDifference(actual[b][h].slice(0, lengths[b]).flat(), expected.flat())).toBeLessThan(1e-5);
        }
      }
      tf.dispose(tensors);
    },
  );

  it('has the gradients of finite differences', async () => {
    const step = 3e-4;
    const along = tf.tidy(() => {
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
      return [q, v].map((inputs, i) => {
        const direction = gaussian(inputs.shape, 10 + i);
        const at = (t: number) => {
          const moved = tf.add(inputs, tf.mul(direction, t));
          return i === 0 ? loss(moved, v) : loss(q, moved);
        };
        return [at(step), at(-step), tf.sum(tf.mul(gradients[i], direction))];
      });
    });
    for (const tensors of along) {
      const [[above], [below], [actual]] = await Promise.all(tensors.map((x) => x.data()));
      const expected = (above - below) / (2 * step);
      expect(Math.abs(actual - expected) / Math.max(1, Math.abs(expected))).toBeLessThan(3e-3);
    }
    tf.dispose(along);
  });

  it('gives a sequence the same result beside others and with more padding', async () => {
    const [actual, expected] = tf.tidy(() => {
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
      return [actual, expected];
    });
    expect(relativeDifference(await actual.data(), await expected.data())).toBeLessThan(1e-5);
    tf.dispose([actual, expected]);
  });

  it('sees nothing that comes later when causal', async () => {
    const [actual, expected] = tf.tidy(() => {
      const [length, changed] = [40, 25];
      const qkv = qkvOf(1, length);
      const keep = tf.ones([1, length]) as tf.Tensor2D;
      // The same buckets before and after: only then can the results be compared, since sorting sees all tokens.
      const later = tf.tensor3d([Array.from({ length }, (_, i) => [i < changed ? 0 : 1])], [1, length, 1]);
      const values = tf.concat([tf.zeros([1, length, 2 * HEADS * SIZE]), tf.ones([1, length, HEADS * SIZE])], 2);
      const other = tf.add(qkv, tf.mul(later, values)) as tf.Tensor3D;
      const causal = { ...options, causal: true };
      const first = (x: tf.Tensor) => tf.slice(x, [0, 0, 0], [1, changed, -1]);
      return [other, qkv].map((x) => first(lshAttention(x, keep, rotationsOf(2, 4), causal)));
    });
    expect(relativeDifference(await actual.data(), await expected.data())).toBe(0);
    tf.dispose([actual, expected]);
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
