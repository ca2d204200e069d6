import type * as tf from '@tensorflow/tfjs-core';
import { LSH_ATTENTION, type LshOptions } from '../../../ops/lshAttention.js';
import { headShape } from './heads.js';
import { native } from './kernel.js';

function sizesOf(qkv: tf.TensorInfo, rotations: tf.TensorInfo, options: LshOptions) {
  const { heads, causal, hashes, chunkLength } = options;
  const { batch, length, headSize } = headShape(qkv, heads);
  const [rows] = rotations.shape;
  if (rows % hashes !== 0) {
    throw new RangeError(`${rows} rotations do not divide among ${hashes} rounds of hashing`);
  }
  return [batch, length, heads, headSize, hashes, rows / hashes, chunkLength, causal];
}

export const lshAttention = [
  native(LSH_ATTENTION.forward, 'lshAttention', ({ qkv, rotations }, options) => {
    const [batch, length, width] = qkv.shape;
    const { heads, hashes } = options;
    return {
      sizes: sizesOf(qkv, rotations, options),
      shapes: {
        out: [batch, length, width / 3],
        order: [batch, heads, hashes, length],
        peaks: [batch, heads, length],
        totals: [batch, heads, length],
      },
    };
  }),
  native(LSH_ATTENTION.gradient, 'lshAttentionGrad', ({ qkv, rotations }, options) => ({
    sizes: sizesOf(qkv, rotations, options),
    shapes: { dqkv: qkv.shape },
  })),
];
