import * as tf from '@tensorflow/tfjs-core';
import { differentiable } from './dispatch.js';
import { mergeHeads, splitHeads } from './heads.js';
import { recompute } from './recompute.js';

/**
 * Linformer (Wang et al. 2020, equation 7): softmax(q (E k)ᵀ / √d) F v, per head. E and F mix the positions of all
 * keys and values, so there is no causal form.
 * @param qkv [B, L, 3 D]: queries, keys and values, each heads × d
 * @param keep [B, L] 1 for tokens, 0 for padding: its keys and values are zero before they are mixed
 * @param keyProjection E [n, P] with P >= L, of which the first L columns count; heads share it
 * @param valueProjection F [n, P], likewise
 * @returns [B, L, D]
 * Differentiable in qkv and both projections.
 */
export function linformerAttention(
  qkv: tf.Tensor3D,
  keep: tf.Tensor2D,
  keyProjection: tf.Tensor2D,
  valueProjection: tf.Tensor2D,
  heads: number,
): tf.Tensor3D {
  const attend = (...[fused, e, f, kept]: tf.Tensor[]) => {
    const [q, k, v] = splitHeads(fused as tf.Tensor3D, heads);
    const [batch, , length, size] = q.shape;
    const rows = tf.reshape(kept, [batch, 1, length, 1]);
    // Σ over positions of E's column times that position's row, for every head of every sequence: [B, heads, n, d].
    const mix = (matrix: tf.Tensor, x: tf.Tensor4D) => {
      const columns = firstColumns(matrix as tf.Tensor2D, length);
      const flat = tf.reshape(tf.transpose(tf.mul(x, rows), [2, 0, 1, 3]), [length, batch * heads * size]);
      const mixed = tf.reshape(tf.matMul(columns, flat as tf.Tensor2D), [matrix.shape[0], batch, heads, size]);
      return tf.transpose(mixed, [1, 2, 0, 3]);
    };
    const keys = tf.mul(mix(e, k), 1 / Math.sqrt(size));
    return [mergeHeads(attendTo(q, keys as tf.Tensor4D, mix(f, v) as tf.Tensor4D))];
  };
  return recompute([qkv, keyProjection, valueProjection], attend, { constants: [keep] })[0] as tf.Tensor3D;
}

/** The first columns of a matrix. The gradient of tf.slice goes through tf.pad, which no engine has a fast kernel for. */
function firstColumns(matrix: tf.Tensor2D, count: number): tf.Tensor2D {
  const [rows, columns] = matrix.shape;
  if (count === columns) {
    return matrix;
  }
  return differentiable({
    inputs: { matrix },
    forward: () => [tf.slice(matrix, [0, 0], [rows, count])],
    backward: ([dy]) => ({ matrix: tf.concat([dy, tf.zeros([rows, columns - count])], 1) }),
  })[0] as tf.Tensor2D;
}

/**
 * softmax(q keysᵀ) values. Its gradient reads the probabilities p fewer times than that of tf.softmax: a row's
 * Σ p dp is also Σ out dout (Dao et al. 2022, appendix B.2).
 * @param q [B, heads, L, d]
 * @param keys [B, heads, n, d]
 * @param values [B, heads, n, d]
 * @returns [B, heads, L, d]
 */
function attendTo(q: tf.Tensor4D, keys: tf.Tensor4D, values: tf.Tensor4D): tf.Tensor4D {
  return differentiable({
    inputs: { q, keys, values },
    forward: (save) => {
      const probabilities = tf.softmax(tf.matMul(q, keys, false, true), -1);
      const out = tf.matMul(probabilities, values);
      save({ q, keys, values, p: probabilities, out });
      return [out];
    },
    backward: ([dy], { p, out, ...saved }) => {
      const shared = tf.sum(tf.mul(dy, out), -1, true);
      const dscores = tf.mul(tf.sub(tf.matMul(dy, saved.values, false, true), shared), p);
      return {
        q: tf.matMul(dscores, saved.keys),
        keys: tf.matMul(dscores, saved.q, true, false),
        values: tf.matMul(p, dy, true, false),
      };
    },
  })[0] as tf.Tensor4D;
}
