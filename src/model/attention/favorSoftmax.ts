import * as tf from '@tensorflow/tfjs-core';
import { favorSoftmaxAttention, softmaxExponents, weightedKeyFeatures } from '../../ops/favorSoftmaxAttention.js';
import type { AttentionKind } from './attention.js';
import { epsilonOption, type FeatureOptions, featureOptions, featureRows, projectionParameters } from './features.js';

/**
 * ε of FAVOR+ with the weights of a trained Transformer. Its features carry exp(-|q|²/2√d), which training without an ε
 * lets fall far below 1e-6: there a larger one would be all that is left of them.
 */
const CONVERTED_EPSILON = 1e-15;

const EPSILON = 1e-6;

/** FAVOR+: softmax attention estimated from positive random features. */
export const favorSoftmax: AttentionKind<FeatureOptions & { kernel_epsilon: number }> = {
  name: 'favor-softmax',
  options: { ...featureOptions('orthogonal'), kernel_epsilon: epsilonOption(EPSILON) },
  causal: true,
  linear: true,
  revision: {
    number: 2,
    concerns: ({ causal }) => causal,
    note:
      'trained when the features of causal favor-softmax knew the later keys; they are relative to each key now, and ' +
      'the results differ a little: train on with pretrain --init to adapt it',
  },
  converted: (from) => (from.exact ? { kernel_epsilon: CONVERTED_EPSILON } : {}),
  create: (options, shape) => {
    const { causal, kernel_epsilon: epsilon } = options;
    const { heads } = shape;
    return {
      parameters: projectionParameters(options, shape),
      attend: (qkv, keep, { projection }) =>
        favorSoftmaxAttention(qkv, keep, projection as tf.Tensor2D, { heads, epsilon, causal }),
      rows: (qkv, { projection }) =>
        featureRows(qkv, projection, heads, causal, (q, k, matrix) =>
          causal ? causalFeatures(q, k, matrix!, epsilon) : positiveFeatures(q, k, matrix!, epsilon),
        ),
    };
  },
};

/** Those of causal attention, and the logarithms of what the keys count [1, heads, L, 1]: see `favorSoftmaxAttention`. */
function causalFeatures(q: tf.Tensor4D, k: tf.Tensor4D, projection: tf.Tensor2D, epsilon: number) {
  const { queries } = positiveFeatures(q, k, projection, epsilon);
  const all = tf.ones([1, 1, k.shape[2], 1]) as tf.Tensor4D;
  const { features: keys, logWeights } = weightedKeyFeatures(softmaxExponents(k, projection), all, epsilon);
  return { queries, keys, logWeights };
}

/**
 * The positive features of queries and keys, whose products estimate exp(qᵀ k / √d) up to a factor a query.
 * @param q [1, heads, L, d]
 * @param k [1, heads, L, d]
 * @param projection W [m, d]
 * @returns both [1, heads, L, m]
 */
export function positiveFeatures(q: tf.Tensor4D, k: tf.Tensor4D, projection: tf.Tensor2D, epsilon = EPSILON) {
  const features = (x: tf.Tensor4D, axes: number[]) => {
    const { projected, exponents } = softmaxExponents(x, projection);
    return tf.add(tf.exp(tf.sub(exponents, tf.max(projected, axes, true))), epsilon);
  };
  return { queries: features(q, [3]), keys: features(k, [2, 3]) };
}
