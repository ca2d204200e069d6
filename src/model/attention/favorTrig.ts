import type * as tf from '@tensorflow/tfjs-core';
import { favorTrigAttention } from '../../ops/favorTrigAttention.js';
import type { AttentionFactory } from './attention.js';
import { projectionParameters } from './projection.js';

/** Softmax attention estimated from trigonometric random features; unstable, for comparison. */
export const favorTrig: AttentionFactory = (config) => ({
  parameters: projectionParameters(config),
  attend: (qkv, keep, { projection }) =>
    favorTrigAttention(qkv, keep, projection as tf.Tensor2D, {
      heads: config.num_attention_heads,
      causal: config.attention.causal,
    }),
});
