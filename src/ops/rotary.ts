import * as tf from '@tensorflow/tfjs-core';
import { differentiable, hasKernel, runKernel } from './dispatch.js';

/**
 * Rotary positions (Su et al. 2021, section 3.4.2) on the queries and keys of a fused projection, half-split as in
 * ESM-2: element i of a head turns with element i + d/2 by the angle position · inverseFrequencies[i].
 * @param qkv [B, L, 3 D]: queries, keys and values, each heads × d; values pass through
 * @param inverseFrequencies [d / 2]
 * @returns [B, L, 3 D]
 * Kernel: Rotary, which is its own gradient turned the other way.
 */
export function rotary(qkv: tf.Tensor3D, inverseFrequencies: tf.Tensor1D, heads: number): tf.Tensor3D {
  const turn = (x: tf.Tensor, frequencies: tf.Tensor, inverse: boolean) =>
    hasKernel('Rotary')
      ? runKernel('Rotary', { qkv: x, inverseFrequencies: frequencies }, { heads, inverse })[0]
      : rotaryReference(x as tf.Tensor3D, frequencies as tf.Tensor1D, heads, inverse);
  return differentiable({
    inputs: { qkv },
    forward: (save) => {
      save([inverseFrequencies]);
      return [turn(qkv, inverseFrequencies, false)];
    },
    backward: ([dy], [frequencies]) => ({ qkv: turn(dy, frequencies, true) }),
  })[0] as tf.Tensor3D;
}

/** The definition of `rotary` in tfjs operations; `inverse` turns back. */
export function rotaryReference(
  qkv: tf.Tensor3D,
  inverseFrequencies: tf.Tensor1D,
  heads: number,
  inverse: boolean,
): tf.Tensor3D {
  const [batch, length, width] = qkv.shape;
  const size = width / 3 / heads;
  const angles = tf.outerProduct(tf.range(0, length), inverseFrequencies);
  const cos = tf.reshape(tf.cos(angles), [1, length, 1, size / 2]);
  const sin = tf.reshape(inverse ? tf.neg(tf.sin(angles)) : tf.sin(angles), [1, length, 1, size / 2]);
  const [qk, v] = tf.split(qkv, [(2 * width) / 3, width / 3], 2);
  const [first, second] = tf.split(tf.reshape(qk, [batch, length, 2 * heads, size]), 2, 3);
  const turned = tf.concat(
    [tf.sub(tf.mul(first, cos), tf.mul(second, sin)), tf.add(tf.mul(second, cos), tf.mul(first, sin))],
    3,
  );
  return tf.concat([tf.reshape(turned, [batch, length, (2 * width) / 3]), v], 2) as tf.Tensor3D;
}
