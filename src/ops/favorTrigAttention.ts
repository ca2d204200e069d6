import * as tf from '@tensorflow/tfjs-core';
import { attentionKernel } from './dispatch.js';
import { projectRows } from './favorReluAttention.js';
import { mergeHeads, splitHeads } from './heads.js';
import { attentionContracts, hasKernel } from './kernel.js';
import { linearAttention, NO_WEIGHT, weightedPrefixAttention } from './linearAttention.js';
import { detached, recompute } from './recompute.js';

/** Options of `favorTrigAttention`. */
export interface FavorTrigOptions {
  heads: number;
  /** Whether a token sees only itself and those before it. */
  causal: boolean;
}

/** Nothing is kept for the gradient. */
export const FAVOR_TRIG_ATTENTION = attentionContracts<FavorTrigOptions>()('FavorTrigAttention', {
  inputs: { keep: 'float32', projection: 'float32' },
  saved: {},
});

/**
 * Softmax attention estimated from trigonometric features (Choromanski et al. 2021, section 2.3, equation 5): with
 * c = d^-1/4 and u = W (c x), φ(x) = [cos u, sin u] · exp(|c x|²/2 - s), s the maximum over kept positions that a query
 * sees; its own factor cancels. Unbiased, but the features may be negative, and where attention is small the denominator comes
 * near zero or below and magnifies every rounding: unstable, and here for comparison only.
 * @param qkv [B, L, 3 D]: queries, keys and values, each heads × d
 * @param keep [B, L] 1 for tokens, 0 for padding, which counts nowhere
 * @param projection W [m, d]; there are 2 m features
 * @returns [B, L, D]
 * Kernels: FavorTrigAttention, FavorTrigAttentionGrad. Differentiable in qkv.
 */
export function favorTrigAttention(
  qkv: tf.Tensor3D,
  keep: tf.Tensor2D,
  projection: tf.Tensor2D,
  options: FavorTrigOptions,
): tf.Tensor3D {
  if (!hasKernel(FAVOR_TRIG_ATTENTION.forward)) {
    return favorTrigAttentionReference(qkv, keep, projection, options);
  }
  return attentionKernel(FAVOR_TRIG_ATTENTION, qkv, { keep, projection }, { ...options });
}

/** The definition of `favorTrigAttention` in tfjs operations. */
export function favorTrigAttentionReference(
  qkv: tf.Tensor3D,
  keep: tf.Tensor2D,
  projection: tf.Tensor2D,
  { heads, causal }: FavorTrigOptions,
): tf.Tensor3D {
  const attend = (...[fused, kept, matrix]: tf.Tensor[]) => {
    const [q, k, v] = splitHeads(fused as tf.Tensor3D, heads);
    const rows = tf.reshape(kept, [keep.shape[0], 1, -1, 1]);
    const halfSquares = tf.mul(tf.sum(tf.square(tf.mul(k, rows)), 3, true), 0.5 / Math.sqrt(k.shape[3]));
    if (causal) {
      // A peak of all positions would know what follows.
      const features = tf.mul(trigFeatures(k, matrix as tf.Tensor2D), rows) as tf.Tensor4D;
      const logs = tf.add(halfSquares, tf.mul(tf.sub(1, rows), NO_WEIGHT)) as tf.Tensor4D;
      return [mergeHeads(weightedPrefixAttention(trigFeatures(q, matrix as tf.Tensor2D), features, logs, v))];
    }
    const peak = detached(() => tf.max(halfSquares, 2, true));
    const weights = tf.mul(tf.exp(tf.sub(halfSquares, peak)), rows);
    const keyFeatures = tf.mul(trigFeatures(k, matrix as tf.Tensor2D), weights) as tf.Tensor4D;
    return [mergeHeads(linearAttention(trigFeatures(q, matrix as tf.Tensor2D), keyFeatures, v, false))];
  };
  return recompute([qkv], attend, { constants: [keep, projection] })[0] as tf.Tensor3D;
}

/**
 * [cos u, sin u] with u = W (d^-1/4 x): over draws of W, the mean of q's · k's / m is exp(-|q - k|² / 2√d).
 * @param x [B, heads, L, d]
 * @param projection W [m, d]
 * @returns [B, heads, L, 2 m]
 */
export function trigFeatures(x: tf.Tensor4D, projection: tf.Tensor2D): tf.Tensor4D {
  const angles = projectRows(tf.mul(x, x.shape[3] ** -0.25) as tf.Tensor4D, projection);
  return tf.concat([tf.cos(angles), tf.sin(angles)], 3) as tf.Tensor4D;
}
