import type * as tf from '@tensorflow/tfjs-core';
import { favorReluAttention, reluFeatures } from '../../ops/favorReluAttention.js';
import type { AttentionKind } from './attention.js';
import { epsilonOption, type FeatureOptions, featureOptions, featureRows, projectionParameters } from './features.js';

/** Performer-ReLU: φ(x) = relu(x) + ε, or relu(W x) + ε with random features. */
export const favorRelu: AttentionKind<FeatureOptions & { kernel_epsilon: number }> = {
  name: 'favor-relu',
  options: { ...featureOptions('deterministic'), kernel_epsilon: epsilonOption(1e-3) },
  causal: true,
  linear: true,
  create: (options, shape) => {
    const { causal, kernel_epsilon: epsilon } = options;
    const { heads } = shape;
    return {
      parameters: projectionParameters(options, shape),
      attend: (qkv, keep, { projection }) =>
        favorReluAttention(qkv, keep, projection as tf.Tensor2D | undefined, { heads, epsilon, causal }),
      rows: (qkv, { projection }) =>
        featureRows(qkv, projection, heads, causal, (q, k, matrix) => ({
          queries: reluFeatures(q, matrix, epsilon),
          keys: reluFeatures(k, matrix, epsilon),
        })),
    };
  },
};
