import * as tf from '@tensorflow/tfjs-core';
import { type AddLayerNormOptions, dropResidual } from './addLayerNorm.js';
import { recompute } from './recompute.js';

/**
 * RMSNorm over the last axis (Zhang & Sennrich 2019, equation 4): x / sqrt(mean(x²) + epsilon) * gamma.
 * @param x [..., D]
 * @param gamma [D]
 * @returns [..., D]
 * Differentiable in x and gamma.
 */
export function rmsNorm(x: tf.Tensor, gamma: tf.Tensor, epsilon: number): tf.Tensor {
  return recompute([x, gamma], (...[y, scale]) => [normalise(y, scale, epsilon)])[0];
}

/**
 * The joint of a pre-norm block with RMSNorm: sum = x + dropout(residual), normed = RMSNorm(sum).
 * @param x [..., D]
 * @param residual [..., D]
 * @param gamma [D]
 * @returns the sum, to which the next residual is added, and its normalised form, which the next sublayer reads
 * Differentiable in x, residual and gamma.
 */
export function addRmsNorm(
  x: tf.Tensor,
  residual: tf.Tensor,
  gamma: tf.Tensor,
  options: AddLayerNormOptions,
): { sum: tf.Tensor; normed: tf.Tensor } {
  const sum = tf.add(x, dropResidual(residual, options));
  return { sum, normed: rmsNorm(sum, gamma, options.epsilon) };
}

function normalise(x: tf.Tensor, gamma: tf.Tensor, epsilon: number): tf.Tensor {
  const square = tf.mean(tf.square(x), -1, true);
  return tf.mul(tf.mul(x, tf.rsqrt(tf.add(square, epsilon))), gamma);
}
