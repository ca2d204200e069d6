import * as tf from '@tensorflow/tfjs-core';
import { attentionKernel } from './dispatch.js';
import { mergeHeads, splitHeads } from './heads.js';
import { attentionContracts, hasKernel } from './kernel.js';

// Added to the score of a key that must not be seen; exp of it is zero in float32 next to any real score.
const HIDDEN = -1e9;

/** Options of `softmaxAttention`. */
export interface SoftmaxOptions {
  heads: number;
  /** Whether a token sees only itself and those before it. */
  causal: boolean;
}

/** `logsumexp` [B, heads, L] of the scores. */
export const SOFTMAX_ATTENTION = attentionContracts<SoftmaxOptions>()('SoftmaxAttention', {
  inputs: { keep: 'float32' },
  saved: { logsumexp: 'float32' },
});

/**
 * Exact attention (Vaswani et al. 2017, equation 1): softmax(q kᵀ / √d) v, per head, over the keys that are kept.
 * @param qkv [B, L, 3 D]: queries, keys and values, each heads × d
 * @param keep [B, L] 1 for tokens, 0 for padding, which counts nowhere
 * @returns [B, L, D]
 * Kernels: SoftmaxAttention, SoftmaxAttentionGrad. Differentiable in qkv.
 */
export function softmaxAttention(qkv: tf.Tensor3D, keep: tf.Tensor2D, options: SoftmaxOptions): tf.Tensor3D {
  if (!hasKernel(SOFTMAX_ATTENTION.forward)) {
    return softmaxAttentionReference(qkv, keep, options);
  }
  return attentionKernel(SOFTMAX_ATTENTION, qkv, { keep }, { ...options });
}

/** The definition of `softmaxAttention` in tfjs operations. */
export function softmaxAttentionReference(qkv: tf.Tensor3D, keep: tf.Tensor2D, options: SoftmaxOptions): tf.Tensor3D {
  const [q, k, v] = splitHeads(qkv, options.heads);
  return mergeHeads(tf.matMul(softmaxProbabilities(q, k, keep, options.causal), v));
}

/**
 * The attention matrix softmax(q kᵀ / √d).
 * @param q [B, heads, L, d]
 * @param k [B, heads, L, d]
 * @param keep [B, L]
 * @returns [B, heads, L, L]; rows sum to one over the kept keys
 */
export function softmaxProbabilities(q: tf.Tensor4D, k: tf.Tensor4D, keep: tf.Tensor2D, causal: boolean): tf.Tensor4D {
  const [batch, , length, size] = q.shape;
  const scores = tf.mul(tf.matMul(q, k, false, true), 1 / Math.sqrt(size));
  const padding = tf.reshape(tf.mul(tf.sub(1, keep), HIDDEN), [batch, 1, 1, length]);
  const seen = tf.add(scores, padding);
  const past = tf.linalg.bandPart(tf.ones([length, length]), -1, 0);
  const hidden = causal ? tf.add(seen, tf.mul(tf.sub(1, past), HIDDEN)) : seen;
  return tf.softmax(hidden, -1) as tf.Tensor4D;
}
