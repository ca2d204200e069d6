import type * as tf from '@tensorflow/tfjs-core';
import { favorKernelAttention } from '../../ops/favorKernelAttention.js';
import type { AttentionFactory } from './attention.js';
import { favorRelu } from './favorRelu.js';
import { projectionParameters } from './projection.js';

/** Generalised attention: φ(x) = f(x) + ε, or f(W x) + ε with random features, f by the name in `kernel`. */
export const favorKernel: AttentionFactory = (config) => {
  const { causal, kernel, kernel_epsilon: epsilon } = config.attention;
  if (kernel === 'relu') {
    return favorRelu(config);
  }
  return {
    parameters: projectionParameters(config),
    attend: (qkv, keep, { projection }) =>
      favorKernelAttention(qkv, keep, projection as tf.Tensor2D | undefined, {
        heads: config.num_attention_heads,
        kernel: kernel!,
        epsilon: epsilon!,
        causal,
      }),
  };
};
