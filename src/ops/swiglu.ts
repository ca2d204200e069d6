import * as tf from '@tensorflow/tfjs-core';
import { recompute } from './recompute.js';

/**
 * The gate of a SwiGLU network (Shazeer 2020, equation 6): silu(a) ⊙ b with silu(a) = a / (1 + exp(-a)).
 * @param x [R, 2 n]: a and b
 * @returns [R, n]
 * Differentiable in x.
 */
export function swiglu(x: tf.Tensor): tf.Tensor {
  return recompute([x], (both) => {
    const [a, b] = tf.split(both, 2, 1);
    return [tf.mul(tf.mul(a, tf.sigmoid(a)), b)];
  })[0];
}
