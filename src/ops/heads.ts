import * as tf from '@tensorflow/tfjs-core';

/**
 * Queries, keys and values per head out of a fused projection.
 * @param qkv [B, L, 3 D]: queries, keys and values, each heads × d
 * @returns three tensors [B, heads, L, d]
 */
export function splitHeads(qkv: tf.Tensor3D, heads: number): [q: tf.Tensor4D, k: tf.Tensor4D, v: tf.Tensor4D] {
  const [batch, length, width] = qkv.shape;
  const size = width / 3 / heads;
  return tf.split(qkv, 3, 2).map((x) => tf.transpose(tf.reshape(x, [batch, length, heads, size]), [0, 2, 1, 3])) as [
    tf.Tensor4D,
    tf.Tensor4D,
    tf.Tensor4D,
  ];
}

/** The inverse for one tensor: [B, heads, L, d] to [B, L, heads d]. */
export function mergeHeads(x: tf.Tensor4D): tf.Tensor3D {
  const [batch, heads, length, size] = x.shape;
  return tf.reshape(tf.transpose(x, [0, 2, 1, 3]), [batch, length, heads * size]);
}

/** The inverse for three: [B, heads, L, d] each, to the fused [B, L, 3 heads d]. */
export function joinHeads(q: tf.Tensor4D, k: tf.Tensor4D, v: tf.Tensor4D): tf.Tensor3D {
  return tf.concat([q, k, v].map(mergeHeads), 2) as tf.Tensor3D;
}
