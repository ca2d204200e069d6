import * as tf from '@tensorflow/tfjs-core';
import { detached } from './recompute.js';

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
  const chunked = new Chunks(queryFeatures.shape);
  const q = chunked.split(queryFeatures);
  const k = chunked.split(keyFeatures);
  const values = chunked.split(withOnes(v));
  const products = tf.reshape(tf.matMul(k, values, true, false), [chunked.heads, chunked.count, -1]);
  // tfjs's gradient of cumsum is right along the last axis only.
  const running = tf.transpose(tf.cumsum(tf.transpose(products, [0, 2, 1]), 2, true), [0, 2, 1]);
  const sums = tf.reshape(running, [chunked.heads, chunked.count, k.shape[3], values.shape[3]]) as tf.Tensor4D;
  const scores = tf.mul(tf.matMul(q, k, false, true), lowerTriangle());
  return ratio(chunked.join(tf.add(tf.matMul(q, sums), tf.matMul(scores, values))));
}

/**
 * Causal attention from feature maps whose keys count e^b: out_i = Σ_j≤i φ(q_i)·φ(k_j) e^b_j v_j over the same without
 * v. The logarithms b have no bound: each query sees them relative to the largest so far, as every sum is relative to
 * the largest that it holds, and no exponential exceeds 1. These maxima cancel, and are constants to the gradient.
 * @param queryFeatures φ(q) [B, heads, L, m]
 * @param keyFeatures φ(k) [B, heads, L, m], zero where a key is padding
 * @param logWeights b [B, heads, L, 1], NO_WEIGHT where a key is padding
 * @param v [B, heads, L, d]
 * @returns [B, heads, L, d]
 */
export function weightedPrefixAttention(
  queryFeatures: tf.Tensor4D,
  keyFeatures: tf.Tensor4D,
  logWeights: tf.Tensor4D,
  v: tf.Tensor4D,
): tf.Tensor4D {
  const chunked = new Chunks(queryFeatures.shape);
  const q = chunked.split(queryFeatures);
  const k = chunked.split(keyFeatures);
  const values = chunked.split(withOnes(v));
  const logs = chunked.split(logWeights, NO_WEIGHT); // [H, n, C, 1]
  const { peaks, chunkPeaks, before } = detachedPeaks(logs);
  // Each chunk's sum relative to its own maximum; then, relative to theirs, the sums of all chunks before.
  const weighted = tf.mul(k, tf.exp(tf.sub(logs, chunkPeaks)));
  const sums = sumsBefore(tf.matMul(weighted, values, true, false) as tf.Tensor4D, chunkPeaks);
  const relative = tf.sub(tf.transpose(logs, [0, 1, 3, 2]), peaks); // [H, n, C, C]
  const mask = lowerTriangle();
  const scores = tf.mul(tf.matMul(q, k, false, true), tf.mul(tf.exp(tf.minimum(relative, 0)), mask));
  const earlier = tf.mul(tf.matMul(q, sums), tf.exp(tf.sub(before, peaks)));
  return ratio(chunked.join(tf.add(earlier, tf.matMul(scores, values))));
}

/** The logarithm of the weight of no key at all. */
export const NO_WEIGHT = -1e30;

/**
 * The largest of logs [H, n, C, 1] up to each token [H, n, C, 1], in each chunk [H, n, 1, 1], and before each chunk
 * [H, n, 1, 1].
 */
function detachedPeaks(logs: tf.Tensor4D): { peaks: tf.Tensor; chunkPeaks: tf.Tensor; before: tf.Tensor } {
  const constant = detached(() => tf.clone(logs));
  const hidden = tf.mul(tf.sub(1, lowerTriangle()), NO_WEIGHT);
  const within = detached(() => tf.max(tf.add(tf.transpose(constant, [0, 1, 3, 2]), hidden), 3, true));
  const chunkPeaks = detached(() => tf.max(constant, 2, true));
  const before = detached(() => {
    let running = shifted(chunkPeaks as tf.Tensor4D, 1, NO_WEIGHT);
    for (let step = 1; step < logs.shape[1]; step *= 2) {
      running = tf.maximum(running, shifted(running, step, NO_WEIGHT)) as tf.Tensor4D;
    }
    return running;
  });
  return { peaks: detached(() => tf.maximum(within, before)), chunkPeaks, before };
}

/**
 * Sums over the chunks before each, by doubling.
 * @param sums of each chunk [H, n, m, w], relative to e^peaks [H, n, 1, 1]
 * @returns [H, n, m, w], relative to the largest of the peaks before
 */
function sumsBefore(sums: tf.Tensor4D, peaks: tf.Tensor): tf.Tensor4D {
  let total = shifted(sums, 1, 0);
  let reference = detached(() => shifted(peaks as tf.Tensor4D, 1, NO_WEIGHT));
  for (let step = 1; step < sums.shape[1]; step *= 2) {
    const other = detached(() => shifted(reference as tf.Tensor4D, step, NO_WEIGHT));
    const joint = detached(() => tf.maximum(reference, other) as tf.Tensor4D);
    const [own, theirs] = [reference, other].map((x) => detached(() => tf.exp(tf.sub(x, joint))));
    total = tf.add(tf.mul(total, own), tf.mul(shifted(total, step, 0), theirs)) as tf.Tensor4D;
    reference = joint;
  }
  return total;
}

/** x [H, n, …] moved up by `step` along its second axis, `fill` coming in. */
function shifted(x: tf.Tensor4D, step: number, fill: number): tf.Tensor4D {
  const [heads, count, rows, width] = x.shape;
  const kept = tf.slice(x, [0, 0, 0, 0], [heads, Math.max(0, count - step), rows, width]);
  return tf.concat([tf.fill([heads, Math.min(step, count), rows, width], fill), kept], 1) as tf.Tensor4D;
}

/** [C, C] ones on and below the diagonal. */
function lowerTriangle(): tf.Tensor2D {
  return tf.linalg.bandPart(tf.ones([CHUNK, CHUNK]), -1, 0);
}

/** v with a column of ones, whose sum is the denominator. */
function withOnes(v: tf.Tensor4D): tf.Tensor4D {
  return tf.concat([v, tf.ones([v.shape[0], v.shape[1], v.shape[2], 1])], 3) as tf.Tensor4D;
}

/** Numerators [B, heads, L, d] over the denominator in the last column. */
function ratio(both: tf.Tensor4D): tf.Tensor4D {
  const [numerator, denominator] = tf.split(both, [both.shape[3] - 1, 1], 3);
  return tf.div(numerator, denominator) as tf.Tensor4D;
}

/** Tokens cut into chunks, the last one padded. */
class Chunks {
  readonly heads: number;
  readonly count: number;

  /** @param shape [B, heads, L, …] */
  constructor(private readonly shape: number[]) {
    this.heads = shape[0] * shape[1];
    this.count = Math.ceil(shape[2] / CHUNK);
  }

  /** [B, heads, L, w] as [B heads, n, C, w]. */
  split(x: tf.Tensor4D, fill = 0): tf.Tensor4D {
    const none: [number, number] = [0, 0];
    const padded = tf.pad(x, [none, none, [0, this.count * CHUNK - x.shape[2]], none], fill);
    return tf.reshape(padded, [this.heads, this.count, CHUNK, x.shape[3]]);
  }

  /** The inverse of `split`. */
  join(x: tf.Tensor): tf.Tensor4D {
    const [batch, heads, length] = this.shape;
    const width = x.shape[3] as number;
    const whole = tf.reshape(x, [batch, heads, this.count * CHUNK, width]);
    return tf.slice(whole, [0, 0, 0, 0], [batch, heads, length, width]) as tf.Tensor4D;
  }
}
