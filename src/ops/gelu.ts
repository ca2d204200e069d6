import * as tf from '@tensorflow/tfjs-core';

/**
 * The exact Gaussian error linear unit, x Φ(x) = x/2 (1 + erf(x/√2)) (Hendrycks & Gimpel 2016, section 2).
 * Any shape. `linear` has it as its activation, fused.
 */
export function gelu<T extends tf.Tensor>(x: T): T {
  return tf.tidy(() => tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1)) as T);
}
