import type * as tf from '@tensorflow/tfjs-core';
import { FAVOR_RELU_ATTENTION, type FavorReluOptions } from '../../../ops/favorReluAttention.js';
import { headShape } from './heads.js';
import { native } from './kernel.js';

function sizesOf(qkv: tf.TensorInfo, projection: tf.TensorInfo | undefined, options: FavorReluOptions) {
  const { heads, epsilon, causal } = options;
  const { batch, length, headSize } = headShape(qkv, heads);
  return [batch, length, heads, headSize, projection?.shape[0] ?? headSize, epsilon, causal];
}

export const favorReluAttention = [
  native(FAVOR_RELU_ATTENTION.forward, 'favorRelu', ({ qkv, projection }, options) => {
    const [batch, length, width] = qkv.shape;
    return {
      sizes: sizesOf(qkv, projection, options),
      shapes: { out: [batch, length, width / 3], denominators: [batch, options.heads, length] },
    };
  }),
  native(FAVOR_RELU_ATTENTION.gradient, 'favorReluGrad', ({ qkv, projection }, options) => ({
    sizes: sizesOf(qkv, projection, options),
    shapes: { dqkv: qkv.shape },
  })),
];
