import * as tf from '@tensorflow/tfjs-core';
import { differentiable } from './dispatch.js';
import { contract, hasKernel, run } from './kernel.js';

/** `inverse` turns the other way. */
export const ROTARY = contract<{ heads: number; inverse: boolean }>()({
  name: 'Rotary',
  inputs: { qkv: 'float32', inverseFrequencies: 'float32' },
  outputs: { y: 'float32' },
});

/** Which elements of a head turn together: i and i + d/2, or 2 i and 2 i + 1. */
export type RotaryPairs = 'halves' | 'interleaved';

/**
 * Rotary positions (Su et al. 2021, section 3.4.2) on the queries and keys of a fused projection: pair i of a head's
 * elements turns by the angle position · inverseFrequencies[i].
 * @param qkv [B, L, 3 D]: queries, keys and values, each heads × d; values pass through
 * @param inverseFrequencies [d / 2]
 * @param pairs `halves` as in ESM-2, or `interleaved` as in the paper
 * @returns [B, L, 3 D]
 * Kernel: Rotary (of halves), which is its own gradient turned the other way.
 */
export function rotary(
  qkv: tf.Tensor3D,
  inverseFrequencies: tf.Tensor1D,
  heads: number,
  pairs: RotaryPairs = 'halves',
): tf.Tensor3D {
  const turn = (x: tf.Tensor, frequencies: tf.Tensor, inverse: boolean) =>
    pairs === 'halves' && hasKernel(ROTARY)
      ? run(ROTARY, { qkv: x, inverseFrequencies: frequencies }, { heads, inverse }).outputs.y
      : rotaryReference(x as tf.Tensor3D, frequencies as tf.Tensor1D, heads, inverse, pairs);
  return differentiable({
    inputs: { qkv },
    forward: (save) => {
      save({ frequencies: inverseFrequencies });
      return [turn(qkv, inverseFrequencies, false)];
    },
    backward: ([dy], { frequencies }) => ({ qkv: turn(dy, frequencies, true) }),
  })[0] as tf.Tensor3D;
}

/** The definition of `rotary` in tfjs operations; `inverse` turns back. */
export function rotaryReference(
  qkv: tf.Tensor3D,
  inverseFrequencies: tf.Tensor1D,
  heads: number,
  inverse: boolean,
  pairs: RotaryPairs = 'halves',
): tf.Tensor3D {
  const [batch, length, width] = qkv.shape;
  const size = width / 3 / heads;
  // A head's elements as [2, d/2] or as [d/2, 2]: the axis of two is that of a pair.
  const [axis, shape] = pairs === 'halves' ? [3, [2, size / 2]] : [4, [size / 2, 2]];
  const angles = tf.expandDims(tf.outerProduct(tf.range(0, length), inverseFrequencies), axis - 2);
  const cos = tf.expandDims(tf.expandDims(tf.cos(angles), 1), 0); // [1, L, 1, 1, d/2] or [1, L, 1, d/2, 1]
  const sines = tf.expandDims(tf.expandDims(tf.sin(angles), 1), 0);
  const sin = inverse ? tf.neg(sines) : sines;
  const [qk, v] = tf.split(qkv, [(2 * width) / 3, width / 3], 2);
  const [first, second] = tf.split(tf.reshape(qk, [batch, length, 2 * heads, ...shape]), 2, axis);
  const turned = tf.concat(
    [tf.sub(tf.mul(first, cos), tf.mul(second, sin)), tf.add(tf.mul(second, cos), tf.mul(first, sin))],
    axis,
  );
  return tf.concat([tf.reshape(turned, [batch, length, (2 * width) / 3]), v], 2) as tf.Tensor3D;
}
