import * as tf from '@tensorflow/tfjs-core';
import { splitHeads } from '../../ops/heads.js';
import { softmaxAttention } from '../../ops/softmaxAttention.js';
import type { AttentionKind } from './attention.js';
import { past, productRows } from './rows.js';

/** Exact attention: softmax(q kᵀ / √d) v. */
export const softmax: AttentionKind<object> = {
  name: 'softmax',
  options: {},
  causal: true,
  linear: false,
  exact: true,
  // As in Rao et al. 2021; the more diffuse maps of the others take a weaker penalty.
  inversePenalty: 0.15,
  create: ({ causal }, { heads, size }) => ({
    parameters: [],
    attend: (qkv, keep) => softmaxAttention(qkv, keep, { heads, causal }),
    rows: (qkv) => {
      const [queries, keys] = tf.tidy(() => {
        const [q, k] = splitHeads(qkv, heads);
        return [q, k].map((x) => tf.squeeze(x, [0]) as tf.Tensor3D);
      });
      return productRows(queries, keys, (products, from) => {
        const scores = tf.mul(products, 1 / Math.sqrt(size));
        const seen = causal ? tf.where(past(from, products.shape[1], products.shape[2]), scores, -1e9) : scores;
        return tf.softmax(seen, -1) as tf.Tensor3D;
      });
    },
  }),
};
