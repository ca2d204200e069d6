import * as tf from '@tensorflow/tfjs-core';

// Tokens that share one prefix sum in causal attention: within a chunk the scores are formed, between chunks the sums
// carry over.
const CHUNK = 64;

/**
 * Attention from feature maps in linear time (Choromanski et al. 2021, equations 4 and 14):
 * out = φ(q) (φ(k)ᵀ v) / φ(q) (φ(k)ᵀ 1); causal: the sums over keys run up to the query's own position.
 * @param queryFeatures φ(q) [B, heads, L, m]
 * @param keyFeatures φ(k) [B, heads, L, m], zero where a key is padding
 * @param v [B, heads, L, d]
 * @returns [B, heads, L, d]
 */
export function linearAttention(
  queryFeatures: tf.Tensor4D,
  keyFeatures: tf.Tensor4D,
  v: tf.Tensor4D,
  causal: boolean,
): tf.Tensor4D {
  return causal ? prefixAttention(queryFeatures, keyFeatures, v) : fullAttention(queryFeatures, keyFeatures, v);
}

function fullAttention(queryFeatures: tf.Tensor4D, keyFeatures: tf.Tensor4D, v: tf.Tensor4D): tf.Tensor4D {
  const values = tf.matMul(keyFeatures, v, true, false);
  const ones = tf.expandDims(tf.sum(keyFeatures, 2), 3);
  return tf.div(tf.matMul(queryFeatures, values), tf.matMul(queryFeatures, ones));
}

/** Sums forwards only, in the gradient as well: a running sum that subtracts to go back drifts in float32. */
function prefixAttention(queryFeatures: tf.Tensor4D, keyFeatures: tf.Tensor4D, v: tf.Tensor4D): tf.Tensor4D {
  const [batch, heads, length, features] = queryFeatures.shape;
  const size = v.shape[3];
  const chunks = Math.ceil(length / CHUNK);
  const inChunks = (x: tf.Tensor4D, width: number) =>
    tf.reshape(
      tf.pad(x, [
        [0, 0],
        [0, 0],
        [0, chunks * CHUNK - length],
        [0, 0],
      ]),
      [batch * heads, chunks, CHUNK, width],
    );
  const q = inChunks(queryFeatures, features);
  const k = inChunks(keyFeatures, features);
  // The denominator is one more column of the values.
  const withOnes = inChunks(tf.concat([v, tf.ones([batch, heads, length, 1])], 3) as tf.Tensor4D, size + 1);
  const products = tf.reshape(tf.matMul(k, withOnes, true, false), [batch * heads, chunks, -1]);
  // tfjs's gradient of cumsum is right along the last axis only.
  const running = tf.transpose(tf.cumsum(tf.transpose(products, [0, 2, 1]), 2, true), [0, 2, 1]);
  const sums = tf.reshape(running, [batch * heads, chunks, features, size + 1]) as tf.Tensor4D;
  const scores = tf.mul(tf.matMul(q, k, false, true), tf.linalg.bandPart(tf.ones([CHUNK, CHUNK]), -1, 0));
  const both = tf.add(tf.matMul(q, sums), tf.matMul(scores, withOnes));
  const whole = tf.slice(
    tf.reshape(both, [batch, heads, chunks * CHUNK, size + 1]),
    [0, 0, 0, 0],
    [batch, heads, length, size + 1],
  );
  const [numerator, denominator] = tf.split(whole, [size, 1], 3);
  return tf.div(numerator, denominator) as tf.Tensor4D;
}
