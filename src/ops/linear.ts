import * as tf from '@tensorflow/tfjs-core';
import { asRows, auxiliary, differentiable, fromRows, hasKernel, runKernel } from './dispatch.js';
import { gelu } from './gelu.js';

/** What `linear` applies to its result. */
export type Activation = 'none' | 'gelu';

/**
 * y = activation(x Wᵀ + b), as torch.nn.Linear.
 * @param x [..., inputs]
 * @param weight [outputs, inputs]
 * @param bias [outputs]
 * @returns [..., outputs]
 * Kernels: Linear, LinearGrad. Differentiable in x, weight and bias.
 */
export function linear(x: tf.Tensor, weight: tf.Tensor, bias?: tf.Tensor, activation: Activation = 'none'): tf.Tensor {
  const [outputs, inputs] = weight.shape as [number, number];
  if (x.shape[x.rank - 1] !== inputs || weight.rank !== 2) {
    throw new Error(`linear: x [${x.shape}] does not fit weight [${weight.shape}]`);
  }
  const flat = asRows(x);
  const y = hasKernel('Linear')
    ? fused(flat, weight, bias, activation)
    : linearReference(flat, weight, bias, activation);
  return fromRows(y, [...x.shape.slice(0, -1), outputs]);
}

function fused(x: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor | undefined, activation: Activation): tf.Tensor {
  return differentiable({
    inputs: { x, weight, bias },
    forward: (save) => {
      const [y, ...aux] = runKernel('Linear', { x, w: weight, b: bias }, { activation });
      save([x, weight, ...(bias ? [bias] : []), ...aux]);
      return [y];
    },
    backward: ([dy], [savedX, savedWeight, ...rest]) => {
      const savedBias = bias ? rest.shift() : undefined;
      const inputs = { dy, x: savedX, w: savedWeight, b: savedBias, ...auxiliary(rest) };
      const [dx, dw, db] = runKernel('LinearGrad', inputs, { activation });
      return { x: dx, weight: dw, bias: db };
    },
  })[0];
}

/** The definition of `linear` in tfjs operations. x [rows, inputs]. */
export function linearReference(
  x: tf.Tensor,
  weight: tf.Tensor,
  bias: tf.Tensor | undefined,
  activation: Activation,
): tf.Tensor {
  const product = tf.matMul(x as tf.Tensor2D, weight as tf.Tensor2D, false, true);
  const y = bias ? tf.add(product, bias) : product;
  return activation === 'gelu' ? gelu(y) : y;
}
