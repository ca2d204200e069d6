import * as tf from '@tensorflow/tfjs-core';
import { differentiable, hasKernel, runKernel } from './dispatch.js';

/**
 * Picks rows: y[n] = x[indices[n]]. tf.gather does the same; its gradient goes once through the whole output per row.
 * @param x [R, D]
 * @param indices [N] int32, each below R; may repeat, gradients then add up
 * @returns [N, D]
 * Kernels: GatherRows, GatherRowsGrad. Differentiable in x.
 */
export function gatherRows(x: tf.Tensor2D, indices: tf.Tensor1D): tf.Tensor2D {
  const rows = x.shape[0];
  const withKernel = hasKernel('GatherRows');
  return differentiable({
    inputs: { x },
    forward: (save) => {
      save([indices]);
      return withKernel ? runKernel('GatherRows', { x, indices }) : [tf.gather(x, indices)];
    },
    backward: ([dy], [saved]) => ({
      x: withKernel
        ? runKernel('GatherRowsGrad', { dy, indices: saved }, { rows })[0]
        : tf.scatterND(tf.reshape(saved, [-1, 1]), dy, [rows, x.shape[1]]),
    }),
  })[0] as tf.Tensor2D;
}
