import * as tf from '@tensorflow/tfjs-core';
import { differentiable } from './dispatch.js';
import { contract, hasKernel, run } from './kernel.js';

export const GATHER_ROWS = contract()({
  name: 'GatherRows',
  inputs: { x: 'float32', indices: 'int32' },
  outputs: { y: 'float32' },
});
/** `rows`: of x. */
export const GATHER_ROWS_GRAD = contract<{ rows: number }>()({
  name: 'GatherRowsGrad',
  inputs: { dy: 'float32', indices: 'int32' },
  outputs: { dx: 'float32' },
});

/**
 * Picks rows: y[n] = x[indices[n]]. tf.gather does the same; its gradient goes once through the whole output per row.
 * @param x [R, D]
 * @param indices [N] int32, each below R; may repeat, gradients then add up
 * @returns [N, D]
 * Kernels: GatherRows, GatherRowsGrad. Differentiable in x.
 */
export function gatherRows(x: tf.Tensor2D, indices: tf.Tensor1D): tf.Tensor2D {
  const rows = x.shape[0];
  const withKernel = hasKernel(GATHER_ROWS);
  return differentiable({
    inputs: { x },
    forward: (save) => {
      save({ indices });
      return [withKernel ? run(GATHER_ROWS, { x, indices }, {}).outputs.y : tf.gather(x, indices)];
    },
    backward: ([dy], saved) => ({
      x: withKernel
        ? run(GATHER_ROWS_GRAD, { dy, indices: saved.indices }, { rows }).outputs.dx
        : tf.scatterND(tf.reshape(saved.indices, [-1, 1]), dy, [rows, x.shape[1]]),
    }),
  })[0] as tf.Tensor2D;
}
