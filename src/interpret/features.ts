import * as tf from '@tensorflow/tfjs-core';
import type { AttentionConfig } from '../model/config.js';
import { KERNEL_FUNCTIONS } from '../ops/favorKernelAttention.js';
import { projectRows, reluFeatures } from '../ops/favorReluAttention.js';
import { softmaxExponents } from '../ops/favorSoftmaxAttention.js';
import { trigFeatures } from '../ops/favorTrigAttention.js';

/** φ(q) and φ(k), [1, heads, L, m] each. */
export interface AttentionFeatures {
  queries: tf.Tensor4D;
  keys: tf.Tensor4D;
}

/**
 * The features whose products are the attention of a Performer, A = φ(q) φ(k)ᵀ / (φ(q) φ(k)ᵀ 1), as the model computes
 * them (Choromanski et al. 2021, sections 2.2 to 2.4).
 * @param q queries [1, heads, L, d] of one sequence without padding
 * @param k its keys
 * @param projection W [m, d], absent for deterministic features
 * @throws Error for a kind of attention that has none
 */
export function attentionFeatures(
  q: tf.Tensor4D,
  k: tf.Tensor4D,
  attention: AttentionConfig,
  projection: tf.Tensor2D | undefined,
): AttentionFeatures {
  const { kind, kernel, kernel_epsilon: epsilon } = attention;
  switch (kind) {
    case 'favor-relu':
      return { queries: reluFeatures(q, projection, epsilon!), keys: reluFeatures(k, projection, epsilon!) };
    case 'favor-kernel': {
      const f: (x: tf.Tensor) => tf.Tensor = KERNEL_FUNCTIONS[kernel!];
      const features = (x: tf.Tensor4D) => tf.add(f(projection ? projectRows(x, projection) : x), epsilon!);
      return { queries: features(q) as tf.Tensor4D, keys: features(k) as tf.Tensor4D };
    }
    case 'favor-softmax': {
      const features = (x: tf.Tensor4D, axes: number[]) => {
        const { projected, exponents } = softmaxExponents(x, projection!);
        return tf.add(tf.exp(tf.sub(exponents, tf.max(projected, axes, true))), epsilon!) as tf.Tensor4D;
      };
      return { queries: features(q, [3]), keys: features(k, [2, 3]) };
    }
    case 'favor-trig': {
      const halfSquares = tf.mul(tf.sum(tf.square(k), 3, true), 0.5 / Math.sqrt(k.shape[3]));
      const weights = tf.exp(tf.sub(halfSquares, tf.max(halfSquares, 2, true)));
      return {
        queries: trigFeatures(q, projection!),
        keys: tf.mul(trigFeatures(k, projection!), weights) as tf.Tensor4D,
      };
    }
    default:
      throw new Error(`${kind} attention has no features`);
  }
}
