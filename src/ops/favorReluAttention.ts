import * as tf from '@tensorflow/tfjs-core';
import { attentionKernel } from './dispatch.js';
import { mergeHeads, splitHeads } from './heads.js';
import { attentionContracts, hasKernel } from './kernel.js';
import { linearAttention } from './linearAttention.js';

/** Options of `favorReluAttention`. */
export interface FavorReluOptions {
  heads: number;
  /** ε of the features relu(·) + ε. */
  epsilon: number;
  /** Whether a token sees only itself and those before it. */
  causal: boolean;
}

/** `denominators` [B, heads, L]; `sums`, over the keys, of the engines that keep them. */
export const FAVOR_RELU_ATTENTION = attentionContracts<FavorReluOptions>()('FavorReluAttention', {
  inputs: { keep: 'float32', projection: 'float32?' },
  saved: { denominators: 'float32', sums: 'float32?' },
});

/**
 * Performer-ReLU attention (Choromanski et al. 2021, section 3 and appendix B.4: generalised attention with f = ReLU):
 * φ(x) = relu(x) + ε, or relu(W x) + ε with a projection; out = φ(q) (φ(k)ᵀ v) / φ(q) (φ(k)ᵀ 1), per head.
 * @param qkv [B, L, 3 D]: queries, keys and values, each heads × d
 * @param keep [B, L] 1 for tokens, 0 for padding, which counts nowhere
 * @param projection W [m, d], or undefined for deterministic features
 * @returns [B, L, D]
 * Kernels: FavorReluAttention, FavorReluAttentionGrad. Differentiable in qkv.
 */
export function favorReluAttention(
  qkv: tf.Tensor3D,
  keep: tf.Tensor2D,
  projection: tf.Tensor2D | undefined,
  options: FavorReluOptions,
): tf.Tensor3D {
  if (!hasKernel(FAVOR_RELU_ATTENTION.forward)) {
    return favorReluAttentionReference(qkv, keep, projection, options);
  }
  return attentionKernel(FAVOR_RELU_ATTENTION, qkv, { keep, projection }, { ...options });
}

/** The definition of `favorReluAttention` in tfjs operations. */
export function favorReluAttentionReference(
  qkv: tf.Tensor3D,
  keep: tf.Tensor2D,
  projection: tf.Tensor2D | undefined,
  options: FavorReluOptions,
): tf.Tensor3D {
  const [q, k, v] = splitHeads(qkv, options.heads);
  const keyFeatures = tf.mul(reluFeatures(k, projection, options.epsilon), tf.reshape(keep, [keep.shape[0], 1, -1, 1]));
  const queryFeatures = reluFeatures(q, projection, options.epsilon);
  return mergeHeads(linearAttention(queryFeatures, keyFeatures as tf.Tensor4D, v, options.causal));
}

/**
 * φ(x) = relu(x) + ε, or relu(W x) + ε.
 * @param x [B, heads, L, d]
 * @param projection W [m, d]
 * @returns [B, heads, L, d or m]
 */
export function reluFeatures(x: tf.Tensor4D, projection: tf.Tensor2D | undefined, epsilon: number): tf.Tensor4D {
  const projected = projection ? projectRows(x, projection) : x;
  return tf.add(tf.relu(projected), epsilon);
}

/** x Wᵀ over the last axis: [B, heads, L, d] and W [m, d] to [B, heads, L, m]. */
export function projectRows(x: tf.Tensor4D, projection: tf.Tensor2D): tf.Tensor4D {
  const [batch, heads, length, size] = x.shape;
  const rows = tf.matMul(tf.reshape(x, [-1, size]) as tf.Tensor2D, projection, false, true);
  return tf.reshape(rows, [batch, heads, length, projection.shape[0]]);
}
