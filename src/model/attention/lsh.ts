import type * as tf from '@tensorflow/tfjs-core';
import { lshAttention } from '../../ops/lshAttention.js';
import type { AttentionFactory } from './attention.js';
import { gaussianProjection } from './projection.js';

/** Reformer: exact attention among tokens that hash alike, with shared queries and keys. */
export const lsh: AttentionFactory = (config) => {
  const { causal, num_hashes: hashes, num_buckets: buckets, chunk_length: chunkLength } = config.attention;
  const size = config.hidden_size / config.num_attention_heads;
  const rows = (hashes! * buckets!) / 2;
  return {
    sharedQueryKey: true,
    parameters: [
      {
        name: 'rotations',
        shape: [rows, size],
        trainable: false,
        random: true,
        initialise: (random) => gaussianProjection(rows, size, 'iid', random),
      },
    ],
    attend: (qkv, keep, { rotations }) =>
      lshAttention(qkv, keep, rotations as tf.Tensor2D, {
        heads: config.num_attention_heads,
        causal,
        hashes: hashes!,
        chunkLength: chunkLength!,
      }),
  };
};
