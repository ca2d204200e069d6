import * as tf from '@tensorflow/tfjs-core';
import { favorTrigAttention, trigFeatures } from '../../ops/favorTrigAttention.js';
import type { AttentionKind } from './attention.js';
import { type FeatureOptions, featureOptions, featureRows, projectionParameters } from './features.js';

/** Softmax attention estimated from trigonometric random features, two a row of W; unstable, for comparison. */
export const favorTrig: AttentionKind<FeatureOptions> = {
  name: 'favor-trig',
  options: featureOptions('orthogonal'),
  causal: true,
  linear: true,
  // Choromanski et al. 2021, section 2.3: its kernel is not positive, and where it should be small its error is largest.
  unstable:
    'favor-trig is unstable: its attention may be negative or without bound, and the loss with it; ' +
    'favor-softmax estimates the same kernel with positive features',
  create: (options, shape) => {
    const { causal } = options;
    const { heads } = shape;
    return {
      parameters: projectionParameters(options, shape),
      attend: (qkv, keep, { projection }) =>
        favorTrigAttention(qkv, keep, projection as tf.Tensor2D, { heads, causal }),
      rows: (qkv, { projection }) =>
        featureRows(qkv, projection, heads, causal, (q, k, matrix) =>
          causal
            ? { queries: trigFeatures(q, matrix!), keys: trigFeatures(k, matrix!), logWeights: halfSquares(k) }
            : trigonometricFeatures(q, k, matrix!),
        ),
    };
  },
};

/**
 * The trigonometric features of queries and keys, whose products estimate exp(qᵀ k / √d) up to a factor a query.
 * @param q [1, heads, L, d]
 * @param k [1, heads, L, d]
 * @param projection W [m, d]
 * @returns both [1, heads, L, 2 m]
 */
export function trigonometricFeatures(q: tf.Tensor4D, k: tf.Tensor4D, projection: tf.Tensor2D) {
  const logs = halfSquares(k);
  const weights = tf.exp(tf.sub(logs, tf.max(logs, 2, true)));
  return { queries: trigFeatures(q, projection), keys: tf.mul(trigFeatures(k, projection), weights) };
}

/** |k|² / 2√d [1, heads, L, 1], the logarithms of what keys count. */
function halfSquares(k: tf.Tensor4D): tf.Tensor {
  return tf.mul(tf.sum(tf.square(k), 3, true), 0.5 / Math.sqrt(k.shape[3]));
}
