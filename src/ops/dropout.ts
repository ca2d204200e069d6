import * as tf from '@tensorflow/tfjs-core';

/**
 * The hash behind every dropout mask: lowbias32 (Wellons 2018) of the element's index, offset by the seed, so that
 * any engine computes any element's fate by itself and the mask is never stored.
 */
export function dropoutHash(index: number, seed: number): number {
  let x = (index + Math.imul(seed, 0x9e3779b9)) >>> 0;
  x ^= x >>> 16;
  x = Math.imul(x, 0x7feb352d) >>> 0;
  x ^= x >>> 15;
  x = Math.imul(x, 0x846ca68b) >>> 0;
  x ^= x >>> 16;
  return x >>> 0;
}

/**
 * The scaled keep mask of a tensor of `shape`: 0 with probability `rate`, else 1 / (1 - rate) (Srivastava et al. 2014).
 * The same on every engine for the same seed (an unsigned 32-bit integer).
 */
export function dropoutMask(shape: number[], rate: number, seed: number): tf.Tensor {
  const mask = new Float32Array(tf.util.sizeFromShape(shape));
  const threshold = rate * 2 ** 32;
  const scale = 1 / (1 - rate);
  for (let i = 0; i < mask.length; i++) {
    mask[i] = dropoutHash(i, seed) >= threshold ? scale : 0;
  }
  return tf.tensor(mask, shape);
}
