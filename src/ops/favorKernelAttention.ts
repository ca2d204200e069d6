import * as tf from '@tensorflow/tfjs-core';
import { projectRows } from './favorReluAttention.js';
import { gelu } from './gelu.js';
import { mergeHeads, splitHeads } from './heads.js';
import { linearAttention } from './linearAttention.js';
import { recompute } from './recompute.js';

/** The functions that generalised attention may have, by name; `elu+1` is that of Katharopoulos et al. 2020. */
export const KERNEL_FUNCTIONS = {
  relu: tf.relu,
  exp: tf.exp,
  sigmoid: tf.sigmoid,
  gelu,
  abs: tf.abs,
  cos: tf.cos,
  tanh: tf.tanh,
  identity: (x) => x,
  'elu+1': (x) => tf.add(tf.relu(x), tf.exp(tf.minimum(x, 0))),
} satisfies Record<string, (x: tf.Tensor) => tf.Tensor>;

export type KernelFunction = keyof typeof KERNEL_FUNCTIONS;

/** Options of `favorKernelAttention`. */
export interface FavorKernelOptions {
  heads: number;
  kernel: KernelFunction;
  /** ε that the features are shifted by. */
  epsilon: number;
  /** Whether a token sees only itself and those before it. */
  causal: boolean;
}

/**
 * Generalised attention (Choromanski et al. 2021, section 3 and appendix D.2): φ(x) = f(x) + ε, or f(W x) + ε with a
 * projection, for any of the functions above. Those that turn negative may bring the denominator to zero.
 * `favorReluAttention` is the fused form of f = relu.
 * @param qkv [B, L, 3 D]: queries, keys and values, each heads × d
 * @param keep [B, L] 1 for tokens, 0 for padding, which counts nowhere
 * @param projection W [m, d], or undefined for deterministic features
 * @returns [B, L, D]
 * Differentiable in qkv.
 */
export function favorKernelAttention(
  qkv: tf.Tensor3D,
  keep: tf.Tensor2D,
  projection: tf.Tensor2D | undefined,
  { heads, kernel, epsilon, causal }: FavorKernelOptions,
): tf.Tensor3D {
  const f: (x: tf.Tensor) => tf.Tensor = KERNEL_FUNCTIONS[kernel];
  const attend = (...[fused, kept, matrix]: tf.Tensor[]) => {
    const [q, k, v] = splitHeads(fused as tf.Tensor3D, heads);
    const features = (x: tf.Tensor4D) =>
      tf.add(f(matrix ? projectRows(x, matrix as tf.Tensor2D) : x), epsilon) as tf.Tensor4D;
    const keyFeatures = tf.mul(features(k), tf.reshape(kept, [keep.shape[0], 1, -1, 1])) as tf.Tensor4D;
    return [mergeHeads(linearAttention(features(q), keyFeatures, v, causal))];
  };
  return recompute([qkv], attend, { constants: projection ? [keep, projection] : [keep] })[0] as tf.Tensor3D;
}
