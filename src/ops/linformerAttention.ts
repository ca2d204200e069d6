import * as tf from '@tensorflow/tfjs-core';
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
      const columns = tf.slice(matrix as tf.Tensor2D, [0, 0], [matrix.shape[0], length]);
      const flat = tf.reshape(tf.transpose(tf.mul(x, rows), [2, 0, 1, 3]), [length, batch * heads * size]);
      const mixed = tf.reshape(tf.matMul(columns, flat as tf.Tensor2D), [matrix.shape[0], batch, heads, size]);
      return tf.transpose(mixed, [1, 2, 0, 3]);
    };
    const scores = tf.mul(tf.matMul(q, mix(e, k), false, true), 1 / Math.sqrt(size));
    return [mergeHeads(tf.matMul(tf.softmax(scores, -1), mix(f, v)) as tf.Tensor4D)];
  };
  return recompute([qkv, keyProjection, valueProjection], attend, { constants: [keep] })[0] as tf.Tensor3D;
}
