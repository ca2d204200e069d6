import type * as tf from '@tensorflow/tfjs-core';
import { favorSoftmaxAttention } from '../../ops/favorSoftmaxAttention.js';
import type { AttentionFactory } from './attention.js';
import { projectionParameters } from './projection.js';

/** FAVOR+: softmax attention estimated from positive random features. */
export const favorSoftmax: AttentionFactory = (config) => {
  const { causal, kernel_epsilon: epsilon } = config.attention;
  return {
    parameters: projectionParameters(config),
    attend: (qkv, keep, { projection }) =>
      favorSoftmaxAttention(qkv, keep, projection as tf.Tensor2D, {
        heads: config.num_attention_heads,
        epsilon: epsilon!,
        causal,
      }),
  };
};
