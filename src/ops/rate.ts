import * as tf from '@tensorflow/tfjs-core';
import { linear } from './linear.js';

// Products one after the other, before their end is waited for.
const PRODUCTS = 8;
// What of them is long enough to measure, and the largest matrices that are tried for it.
const MILLISECONDS = 30;
const LARGEST = 8192;

/**
 * The rate of the running engine's matrix products, in GFLOP/s: the best of several rounds of `linear`, which training
 * computes by, on square matrices as large as the engine is fast.
 */
export async function measureProducts(seconds = 1): Promise<number> {
  let best = 0;
  const end = performance.now() + 1000 * seconds;
  for (let size = 256; performance.now() < end; ) {
    // Values of all sizes, made where they are needed.
    const matrix = () => tf.tidy(() => tf.add(tf.randomUniform([size, 1]), tf.randomUniform([1, size])));
    const [x, w] = [matrix(), matrix()];
    let took = 0;
    // The first round also compiles what is computed.
    for (let round = 0; round < 2 || (performance.now() < end && took >= MILLISECONDS); round++) {
      const start = performance.now();
      const element = tf.tidy(() => {
        for (let i = 1; i < PRODUCTS; i++) {
          linear(x, w).dispose();
        }
        return tf.slice(linear(x, w), [0, 0], [1, 1]);
      });
      await element.data();
      took = performance.now() - start;
      element.dispose();
      best = Math.max(best, (PRODUCTS * 2 * size ** 3) / took / 1e6);
    }
    tf.dispose([x, w]);
    if (size === LARGEST) {
      break;
    }
    size *= 2;
  }
  return best;
}
