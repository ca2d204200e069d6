import * as tf from '@tensorflow/tfjs-core';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import '../../../src/engines/gradients.js';
import { Random } from '../../../src/data/random.js';
import { loadAddon } from '../../../src/engines/cpu/addon.js';
import { startEngine } from '../../../src/engines/index.js';
import {
  type FavorSoftmaxOptions,
  favorSoftmaxAttention,
  favorSoftmaxAttentionReference,
} from '../../../src/ops/favorSoftmaxAttention.js';
import { relativeDifference } from '../../engines.js';
import { instructionSets } from './instructionSets.js';

const engine = await startEngine('cpu');
const addon = loadAddon();
const best = addon.instructionSet();
const levels = instructionSets();

/** Inputs of one attention: which positions of which sequence are kept is a function of both. */
interface Sizes {
  batch: number;
  length: number;
  heads: number;
  size: number;
  features: number;
  epsilon: number;
  causal: boolean;
  /** Standard deviation of queries, keys and values. */
  spread: number;
  kept(sequence: number, position: number): boolean;
}

/** Values and the gradient of what was drawn with a seed; outputs of padding carry no meaning and count as zero. */
function evaluate(attend: typeof favorSoftmaxAttention, sizes: Sizes): { out: Float32Array; dqkv: Float32Array } {
  const { batch, length, heads, size, features, epsilon, causal, spread, kept } = sizes;
  const options: FavorSoftmaxOptions = { heads, epsilon, causal };
  return tf.tidy(() => {
    const random = new Random(3);
    const draw = (shape: number[], scale = 1) =>
      tf.tensor(
        Float32Array.from({ length: tf.util.sizeFromShape(shape) }, () => scale * random.normal()),
        shape,
      );
    const qkv = draw([batch, length, 3 * heads * size], spread) as tf.Tensor3D;
    const projection = draw([features, size]) as tf.Tensor2D;
    const dy = draw([batch, length, heads * size]);
    const keep = tf.tensor2d(
      Float32Array.from({ length: batch * length }, (_, i) => +kept(Math.floor(i / length), i % length)),
      [batch, length],
    );
    const rows = tf.expandDims(keep, 2);
    const run = (x: tf.Tensor) => tf.mul(attend(x as tf.Tensor3D, keep, projection, options), rows);
    return {
      out: run(qkv).dataSync() as Float32Array,
      dqkv: tf.grad(run)(qkv, tf.mul(dy, rows)).dataSync() as Float32Array,
    };
  });
}

const plain: Sizes = {
  batch: 2,
  length: 70,
  heads: 2,
  size: 16,
  features: 24,
  epsilon: 1e-6,
  causal: false,
  spread: 1,
  kept: (sequence, position) => sequence === 0 || position < 61,
};
const cases: [name: string, sizes: Partial<Sizes>][] = [
  ['one token, one feature', { batch: 1, length: 1, heads: 1, size: 1, features: 1 }],
  ['odd sizes', { batch: 3, length: 37, heads: 3, size: 5, features: 7 }],
  ['features of a vector and one', { size: 17, features: 17 }],
  ['more than a tile', { length: 65, size: 33, features: 130 }],
  ['several chunks, of heads that stay in the cache', { length: 601, size: 8, features: 19 }],
  ['several chunks of one head', { batch: 1, heads: 1, length: 601, size: 40, features: 37, kept: (_, i) => i < 560 }],
  [
    'gaps between tokens, some of them whole tiles',
    { length: 300, kept: (b, i) => i === 0 || (i >= 5 + 70 * b && i < 280 && i % 7 !== 3) },
  ],
  ['an epsilon that counts', { epsilon: 0.05 }],
  ['no epsilon', { epsilon: 0 }],
  ['exponentials that vanish beside epsilon', { spread: 6 }],
];

describe.each(levels)('favorSoftmaxAttention on %s', (level) => {
  afterEach(() => void addon.setInstructionSet(best));
  afterAll(() => level === levels[levels.length - 1] && engine.stop());

  for (const causal of [false, true]) {
    it.each(cases)(`agrees with its definition: %s${causal ? ', causal' : ''}`, (_, changes) => {
      const sizes = { ...plain, ...changes, causal };
      const expected = evaluate(favorSoftmaxAttentionReference, sizes);
      addon.setInstructionSet(level);
      const actual = evaluate(favorSoftmaxAttention, sizes);
      expect(expected.out.every(Number.isFinite)).toBe(true);
      expect(relativeDifference(actual.out, expected.out)).toBeLessThan(1e-4);
      expect(relativeDifference(actual.dqkv, expected.dqkv)).toBeLessThan(1e-3);
    });
  }

  it('leaves a sequence without tokens, and the others beside it, finite and their own', () => {
    addon.setInstructionSet(level);
    for (const causal of [false, true]) {
      const empty = evaluate(favorSoftmaxAttention, { ...plain, causal, kept: (sequence) => sequence === 0 });
      const alone = evaluate(favorSoftmaxAttention, { ...plain, causal, kept: () => true });
      const half = empty.out.length / 2;
      expect(empty.out.subarray(0, half)).toEqual(alone.out.subarray(0, half));
      expect(empty.out.subarray(half).every((value) => value === 0)).toBe(true);
      expect(empty.dqkv.every(Number.isFinite)).toBe(true);
    }
  });
});
