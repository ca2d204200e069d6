import * as tf from '@tensorflow/tfjs-core';
import type { Random } from '../../data/random.js';
import { splitHeads } from '../../ops/heads.js';
import { linformerAttention } from '../../ops/linformerAttention.js';
import type { AttentionKind } from './attention.js';
import { productRows } from './rows.js';

/** What Linformer is told. */
export interface LinformerOptions {
  /** Keys that are left for each query. */
  projected_length: number;
}

/**
 * Linformer: exact attention to a fixed number of learned mixtures of all keys and values. What the attention to each
 * mixture is attention to each token: the rows of its matrix do not sum to one, as mixtures are no averages.
 */
export const linformer: AttentionKind<LinformerOptions> = {
  name: 'linformer',
  options: {
    projected_length: { type: 'whole', minimum: 1, maximum: 2 ** 24, default: 600, help: 'keys left for each query' },
  },
  // Its mixtures are of all positions.
  causal: false,
  linear: true,
  fixedLength: true,
  create: ({ projected_length: mixtures }, { heads, size, length }) => {
    const shape = [mixtures, length];
    // Of variance 1 / projected_length, as in the theorem that Linformer rests on (Wang et al. 2020, theorem 2).
    const deviation = mixtures ** -0.5;
    const initialise = (random: Random) =>
      Float32Array.from({ length: mixtures * length }, () => deviation * random.normal());
    return {
      parameters: ['key_projection', 'value_projection'].map((name) => ({ name, shape, trainable: true, initialise })),
      attend: (qkv, keep, { key_projection: e, value_projection: f }) =>
        linformerAttention(qkv, keep, e as tf.Tensor2D, f as tf.Tensor2D, heads),
      rows: (qkv, { key_projection: e, value_projection: f }) => {
        const tokens = qkv.shape[1];
        const [queries, keys] = tf.tidy(() => {
          const [q, k] = splitHeads(qkv, heads).map((x) => tf.squeeze(x, [0]) as tf.Tensor3D); // [heads, L, d]
          const columns = tf.tile(tf.expandDims(tf.slice(e, [0, 0], [-1, tokens]), 0), [heads, 1, 1]);
          return [q, tf.matMul(columns, k) as tf.Tensor3D]; // E k [heads, n, d]
        });
        return productRows(queries, keys, (products) => {
          const attention = tf.softmax(tf.mul(products, 1 / Math.sqrt(size)));
          const weights = tf.slice(f, [0, 0], [-1, tokens]) as tf.Tensor2D;
          const flat = tf.matMul(tf.reshape(attention, [-1, mixtures]) as tf.Tensor2D, weights);
          return tf.reshape(flat, [products.shape[0], products.shape[1], tokens]);
        });
      },
    };
  },
};
