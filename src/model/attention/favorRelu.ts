import type * as tf from '@tensorflow/tfjs-core';
import { favorReluAttention } from '../../ops/favorReluAttention.js';
import type { AttentionFactory } from './attention.js';
import { gaussianProjection } from './projection.js';

/** Performer-ReLU: φ(x) = relu(x) + ε, or relu(W x) + ε with random features. */
export const favorRelu: AttentionFactory = (config) => {
  const { causal, features, kernel_epsilon: epsilon, num_features: count } = config.attention;
  const size = config.hidden_size / config.num_attention_heads;
  const projected = features !== undefined && features !== 'deterministic';
  return {
    parameters: projected
      ? [
          {
            name: 'projection',
            shape: [count!, size],
            trainable: false,
            initialise: (random) => gaussianProjection(count!, size, features, random),
          },
        ]
      : [],
    attend: (qkv, keep, { projection }) =>
      favorReluAttention(qkv, keep, projection as tf.Tensor2D | undefined, {
        heads: config.num_attention_heads,
        epsilon: epsilon!,
        causal,
      }),
  };
};
