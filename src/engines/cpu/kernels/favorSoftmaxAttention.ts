import type * as tf from '@tensorflow/tfjs-core';
import { FAVOR_SOFTMAX_ATTENTION, type FavorSoftmaxOptions } from '../../../ops/favorSoftmaxAttention.js';
import { headShape } from './heads.js';
import { native } from './kernel.js';

function sizesOf(qkv: tf.TensorInfo, projection: tf.TensorInfo, { heads, epsilon, causal }: FavorSoftmaxOptions) {
  const { batch, length, headSize } = headShape(qkv, heads);
  return [batch, length, heads, headSize, projection.shape[0], epsilon, causal];
}

export const favorSoftmaxAttention = [
  native(FAVOR_SOFTMAX_ATTENTION.forward, 'favorSoftmax', ({ qkv, projection }, options) => {
    const [batch, length, width] = qkv.shape;
    const { heads, causal } = options;
    return {
      sizes: sizesOf(qkv, projection, options),
      shapes: {
        out: [batch, length, width / 3],
        denominators: [batch, heads, length],
        peaks: causal ? [batch, heads, length] : [batch, heads],
        places: [batch, heads, 2],
      },
    };
  }),
  native(FAVOR_SOFTMAX_ATTENTION.gradient, 'favorSoftmaxGrad', ({ qkv, projection }, options) => ({
    sizes: sizesOf(qkv, projection, options),
    shapes: { dqkv: qkv.shape },
  })),
];
