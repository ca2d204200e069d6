import { SOFTMAX_ATTENTION } from '../../../ops/softmaxAttention.js';
import { headShape } from './heads.js';
import { native } from './kernel.js';

export const softmaxAttention = [
  native(SOFTMAX_ATTENTION.forward, 'softmaxAttention', ({ qkv }, { heads, causal }) => {
    const { batch, length, headSize } = headShape(qkv, heads);
    return {
      sizes: [batch, length, heads, headSize, causal],
      shapes: { out: [batch, length, heads * headSize], logsumexp: [batch, heads, length] },
    };
  }),
  native(SOFTMAX_ATTENTION.gradient, 'softmaxAttentionGrad', ({ qkv }, { heads, causal }) => {
    const { batch, length, headSize } = headShape(qkv, heads);
    return { sizes: [batch, length, heads, headSize, causal], shapes: { dqkv: qkv.shape } };
  }),
];
