import * as tf from '@tensorflow/tfjs-core';
import type { Attention, AttentionRows } from './attention.js';

/** Values of one-hot matrices that are kept whole between calls; larger ones are computed anew for each. */
const HELD_VALUES = 2 ** 25;

/**
 * Rows of matrices that are made of products of a query's factor with all keys' factors.
 * @param queries [heads, L, m]; it and `keys` become those of the rows
 * @param keys [heads, n, m]
 * @param finish products [heads, rows, n] of the queries from `from` on, of all heads or of one, to rows of the matrix
 * [heads, rows, L]
 */
export function productRows(
  queries: tf.Tensor3D,
  keys: tf.Tensor3D,
  finish: (products: tf.Tensor3D, from: number, head?: number) => tf.Tensor3D,
): AttentionRows {
  return {
    rows: (from, to, head) =>
      tf.tidy(() => {
        const [first, count] = head === undefined ? [0, queries.shape[0]] : [head, 1];
        const query = tf.slice(queries, [first, from, 0], [count, to - from, -1]);
        const key = tf.slice(keys, [first, 0, 0], [count, -1, -1]);
        return finish(tf.matMul(query, key, false, true) as tf.Tensor3D, from, head);
      }),
    dispose: () => tf.dispose([queries, keys]),
  };
}

/**
 * Rows of any attention: what it makes of one-hot values (Choromanski et al. 2021, appendix C.4), as many columns at a
 * time as a head has values.
 * @param qkv [1, L, 3 D] of a sequence without padding
 */
export function oneHotRows(
  attention: Attention,
  qkv: tf.Tensor3D,
  parameters: Record<string, tf.Tensor>,
  heads: number,
): AttentionRows {
  const [, length, width] = qkv.shape;
  const hidden = width / 3;
  const size = hidden / heads;
  let held: tf.Tensor3D | undefined;
  const compute = (from: number, to: number, first: number, count: number) =>
    tf.tidy(() => {
      const keep = tf.ones([1, length]) as tf.Tensor2D;
      const queriesAndKeys = tf.slice(qkv, [0, 0, 0], [1, length, 2 * hidden]);
      const columns: tf.Tensor3D[] = [];
      for (let column = 0; column < length; column += size) {
        const out = tf.tidy(() => {
          const block = tf.oneHot(tf.range(-column, length - column, 1, 'int32'), size); // [L, d]
          const values = tf.reshape(tf.tile(tf.cast(block, 'float32'), [1, heads]), [1, length, hidden]);
          const mixed = attention.attend(tf.concat([queriesAndKeys, values], 2) as tf.Tensor3D, keep, parameters);
          const perHead = tf.reshape(mixed, [length, heads, size]);
          return tf.transpose(tf.slice(perHead, [from, first, 0], [to - from, count, size]), [1, 0, 2]);
        });
        columns.push(out as tf.Tensor3D);
      }
      return tf.slice(tf.concat(columns, 2), [0, 0, 0], [count, to - from, length]) as tf.Tensor3D;
    });
  return {
    rows: (from, to, head) => {
      const [first, count] = head === undefined ? [0, heads] : [head, 1];
      if (heads * length ** 2 > HELD_VALUES) {
        return compute(from, to, first, count);
      }
      held ??= compute(0, length, 0, heads);
      return tf.slice(held, [first, from, 0], [count, to - from, length]);
    },
    dispose: () => held?.dispose(),
  };
}

/** Which keys [rows, L] the queries from `from` on see when each sees itself and those before. */
export function past(from: number, rows: number, length: number): tf.Tensor2D {
  const queries = tf.reshape(tf.range(from, from + rows, 1, 'int32'), [rows, 1]);
  return tf.lessEqual(tf.reshape(tf.range(0, length, 1, 'int32'), [1, length]), queries) as tf.Tensor2D;
}
