import type * as tf from '@tensorflow/tfjs-core';
import { favorReluAttention } from '../../ops/favorReluAttention.js';
import type { AttentionFactory } from './attention.js';
import { projectionParameters } from './projection.js';

/** Performer-ReLU: φ(x) = relu(x) + ε, or relu(W x) + ε with random features. */
export const favorRelu: AttentionFactory = (config) => {
  const { causal, kernel_epsilon: epsilon } = config.attention;
  return {
    parameters: projectionParameters(config),
    attend: (qkv, keep, { projection }) =>
      favorReluAttention(qkv, keep, projection as tf.Tensor2D | undefined, {
        heads: config.num_attention_heads,
        epsilon: epsilon!,
        causal,
      }),
  };
};
