import * as tf from '@tensorflow/tfjs-core';
import { attentionKernel, differentiable } from './dispatch.js';
import { projectRows } from './favorReluAttention.js';
import { mergeHeads, splitHeads } from './heads.js';
import { attentionContracts, hasKernel } from './kernel.js';
import { linearAttention, NO_WEIGHT, weightedPrefixAttention } from './linearAttention.js';
import { recompute } from './recompute.js';

/** Options of `favorSoftmaxAttention`. */
export interface FavorSoftmaxOptions {
  heads: number;
  /** ε that the features are shifted by. */
  epsilon: number;
  /** Whether a token sees only itself and those before it. */
  causal: boolean;
}

/**
 * `denominators` [B, heads, L]; `peaks` [B, heads], the largest projection of a kept key, and `places` [B, heads, 2], its
 * position and its feature: -1 and 0 where no key is kept. Causal: `peaks` [B, heads, L], the largest weight so far.
 */
export const FAVOR_SOFTMAX_ATTENTION = attentionContracts<FavorSoftmaxOptions>()('FavorSoftmaxAttention', {
  inputs: { keep: 'float32', projection: 'float32' },
  saved: { denominators: 'float32', peaks: 'float32', places: 'int32' },
});

/**
 * FAVOR+ (Choromanski et al. 2021, section 2.3, lemma 1): an unbiased estimate of softmax attention in linear time,
 * from positive random features. With c = d^-1/4 and u = W (c x): φ(x) = exp(u - |c x|²/2 - s) + ε, where the
 * stabiliser s is the maximum of u, over the features for a query, and over features and kept positions for the keys.
 * In causal attention a key must not know the later ones, as it does in the paper's own code, where all share one s:
 * there φ(k) = exp(u - |c k|²/2) + ε exp(b) with b the key's own largest exponent, so that ε is relative to each key.
 * @param qkv [B, L, 3 D]: queries, keys and values, each heads × d
 * @param keep [B, L] 1 for tokens, 0 for padding, which counts nowhere
 * @param projection W [m, d]
 * @returns [B, L, D]
 * Kernels: FavorSoftmaxAttention, FavorSoftmaxAttentionGrad. Differentiable in qkv.
 */
export function favorSoftmaxAttention(
  qkv: tf.Tensor3D,
  keep: tf.Tensor2D,
  projection: tf.Tensor2D,
  options: FavorSoftmaxOptions,
): tf.Tensor3D {
  if (!hasKernel(FAVOR_SOFTMAX_ATTENTION.forward)) {
    return favorSoftmaxAttentionReference(qkv, keep, projection, options);
  }
  return attentionKernel(FAVOR_SOFTMAX_ATTENTION, qkv, { keep, projection }, { ...options });
}

/** The definition of `favorSoftmaxAttention` in tfjs operations. */
export function favorSoftmaxAttentionReference(
  qkv: tf.Tensor3D,
  keep: tf.Tensor2D,
  projection: tf.Tensor2D,
  { heads, epsilon, causal }: FavorSoftmaxOptions,
): tf.Tensor3D {
  const attend = (...[fused, mask, matrix]: tf.Tensor[]) => {
    const [q, k, v] = splitHeads(fused as tf.Tensor3D, heads);
    const rows = tf.reshape(mask, [keep.shape[0], 1, -1, 1]) as tf.Tensor4D;
    const queries = softmaxExponents(q, matrix as tf.Tensor2D);
    const queryPeak = lastMax(queries.projected);
    const queryFeatures = tf.add(tf.exp(tf.sub(queries.exponents, queryPeak)), epsilon) as tf.Tensor4D;
    const keys = softmaxExponents(k, matrix as tf.Tensor2D);
    if (causal) {
      const { features, logWeights } = weightedKeyFeatures(keys, rows, epsilon);
      return [mergeHeads(weightedPrefixAttention(queryFeatures, features, logWeights, v))];
    }
    const kept = tf.add(keys.projected, tf.mul(tf.sub(rows, 1), 1e30));
    const keyPeak = tf.expandDims(lastMax(tf.reshape(kept, [...kept.shape.slice(0, 2), -1])), 3);
    const keyFeatures = tf.mul(tf.add(tf.exp(tf.sub(keys.exponents, keyPeak)), epsilon), rows);
    return [mergeHeads(linearAttention(queryFeatures, keyFeatures as tf.Tensor4D, v, false))];
  };
  return recompute([qkv], attend, { constants: [keep, projection] })[0] as tf.Tensor3D;
}

/**
 * u = W (c x) and u - |c x|²/2, whose exponentials are the positive features: over draws of W, the mean of
 * exp(q's) · exp(k's) / m is exp(qᵀ k / √d).
 * @param x [B, heads, L, d]
 * @param projection W [m, d]
 * @returns both [B, heads, L, m]
 */
export function softmaxExponents(
  x: tf.Tensor4D,
  projection: tf.Tensor2D,
): { projected: tf.Tensor4D; exponents: tf.Tensor4D } {
  const scaled = tf.mul(x, x.shape[3] ** -0.25) as tf.Tensor4D;
  const projected = projectRows(scaled, projection);
  return { projected, exponents: tf.sub(projected, tf.mul(tf.sum(tf.square(scaled), 3, true), 0.5)) };
}

/**
 * Keys of causal attention: features that count e^b, b a key's largest exponent.
 * @param keys of `softmaxExponents`
 * @param rows [B, 1, L, 1] 1 for tokens, 0 for padding, whose features are zero
 * @returns features exp(u - max u) + ε [B, heads, L, m], and b [B, heads, L, 1]
 */
export function weightedKeyFeatures(
  { projected, exponents }: ReturnType<typeof softmaxExponents>,
  rows: tf.Tensor4D,
  epsilon: number,
): { features: tf.Tensor4D; logWeights: tf.Tensor4D } {
  const kept = tf.mul(lastMax(exponents), rows);
  const logWeights = tf.add(kept, tf.mul(tf.sub(1, rows), NO_WEIGHT)) as tf.Tensor4D;
  const relative = tf.exp(tf.sub(projected, lastMax(projected)));
  return { features: tf.mul(tf.add(relative, epsilon), rows) as tf.Tensor4D, logWeights };
}

/** The maximum over the last axis, which stays, of length one. The gradient of tf.max compares all elements with it. */
function lastMax(x: tf.Tensor): tf.Tensor {
  const width = x.shape[x.rank - 1];
  return differentiable({
    inputs: { x },
    forward: (save) => {
      save({ indices: tf.argMax(x, -1) });
      return [tf.max(x, -1, true)];
    },
    backward: ([dy], { indices }) => {
      const count = indices.size;
      const places = tf.add(
        tf.reshape(indices, [count]),
        tf.mul(tf.range(0, count, 1, 'int32'), tf.scalar(width, 'int32')),
      );
      const dx = tf.scatterND(tf.reshape(places, [count, 1]), tf.reshape(dy, [count]), [count * width]);
      return { x: tf.reshape(dx, x.shape) };
    },
  })[0];
}
