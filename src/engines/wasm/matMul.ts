import * as tf from '@tensorflow/tfjs-core';
import { replaceKernel } from '../replaceKernel.js';

let registered = false;

/**
 * Replaces the backend's product of two matrices where one is transposed: there tfjs runs plain loops, ten times
 * slower than its tuned product, so transposing first is the faster way. (Batches of matrices take loops in any case.)
 */
export function registerMatMul(): void {
  if (registered) {
    return;
  }
  registered = true;
  const { kernelFunc: transpose } = tf.getKernel(tf.Transpose, 'wasm')!;
  const straight = (x: tf.TensorInfo, transposed: boolean, backend: object): tf.TensorInfo => {
    if (!transposed) {
      return x;
    }
    return transpose({ inputs: { x }, backend, attrs: { perm: [1, 0] } }) as tf.TensorInfo;
  };
  replaceKernel(tf.BatchMatMul, 'wasm', (product) => (call) => {
    const { inputs, attrs } = call;
    const backend = call.backend as { disposeData(id: object): boolean };
    const { a, b } = inputs as { a: tf.TensorInfo; b: tf.TensorInfo };
    const { transposeA, transposeB } = attrs as { transposeA: boolean; transposeB: boolean };
    if (a.shape.length !== 2 || b.shape.length !== 2) {
      return product(call);
    }
    const left = straight(a, transposeA, backend);
    const right = straight(b, transposeB, backend);
    const result = product({
      inputs: { a: left, b: right },
      backend,
      attrs: { ...attrs, transposeA: false, transposeB: false },
    });
    if (transposeA) {
      backend.disposeData(left.dataId);
    }
    if (transposeB) {
      backend.disposeData(right.dataId);
    }
    return result;
  });
}
