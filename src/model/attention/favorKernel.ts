import * as tf from '@tensorflow/tfjs-core';
import { favorKernelAttention, KERNEL_FUNCTIONS, type KernelFunction } from '../../ops/favorKernelAttention.js';
import { favorReluAttention, projectRows } from '../../ops/favorReluAttention.js';
import type { AttentionKind } from './attention.js';
import { epsilonOption, type FeatureOptions, featureOptions, featureRows, projectionParameters } from './features.js';

/** What generalised attention is told. */
export interface FavorKernelOptions extends FeatureOptions {
  /** The function of its features. */
  kernel: KernelFunction;
  /** What they are shifted by. */
  kernel_epsilon: number;
}

/** Generalised attention: φ(x) = f(x) + ε, or f(W x) + ε with random features, f by the name in `kernel`. */
export const favorKernel: AttentionKind<FavorKernelOptions> = {
  name: 'favor-kernel',
  options: {
    kernel: {
      type: 'choice',
      choices: Object.keys(KERNEL_FUNCTIONS),
      default: 'relu',
      help: 'function of the features',
    },
    ...featureOptions('deterministic'),
    kernel_epsilon: epsilonOption(1e-3),
  },
  causal: true,
  linear: true,
  create: (options, shape) => {
    const { causal, kernel, kernel_epsilon: epsilon } = options;
    const { heads } = shape;
    const f: (x: tf.Tensor) => tf.Tensor = KERNEL_FUNCTIONS[kernel];
    return {
      parameters: projectionParameters(options, shape),
      attend: (qkv, keep, { projection }) => {
        const matrix = projection as tf.Tensor2D | undefined;
        // The function that has a fused form.
        return kernel === 'relu'
          ? favorReluAttention(qkv, keep, matrix, { heads, epsilon, causal })
          : favorKernelAttention(qkv, keep, matrix, { heads, kernel, epsilon, causal });
      },
      rows: (qkv, { projection }) =>
        featureRows(qkv, projection, heads, causal, (q, k, matrix) => {
          const features = (x: tf.Tensor4D) => tf.add(f(matrix ? projectRows(x, matrix) : x), epsilon);
          return { queries: features(q), keys: features(k) };
        }),
    };
  },
};
