import { softmaxAttention } from '../../ops/softmaxAttention.js';
import type { AttentionFactory } from './attention.js';

/** Exact attention: softmax(q kᵀ / √d) v. */
export const softmax: AttentionFactory = (config) => ({
  parameters: [],
  attend: (qkv, keep) =>
    softmaxAttention(qkv, keep, { heads: config.num_attention_heads, causal: config.attention.causal }),
});
