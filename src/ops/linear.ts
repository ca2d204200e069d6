import * as tf from '@tensorflow/tfjs-core';
import { asRows, differentiable, fromRows } from './dispatch.js';
import { gelu } from './gelu.js';
import { contract, hasKernel, run } from './kernel.js';

/** What `linear` applies to its result. */
export type Activation = 'none' | 'gelu';

/** The output `preActivation` of [rows, outputs] is what entered the GELU, where there is one. */
export const LINEAR = contract<{ activation: Activation }>()({
  name: 'Linear',
  inputs: { x: 'float32', w: 'float32', b: 'float32?' },
  outputs: { y: 'float32' },
  saved: { preActivation: 'float32?' },
});
export const LINEAR_GRAD = contract<{ activation: Activation }>()({
  name: 'LinearGrad',
  inputs: { dy: 'float32', x: 'float32', w: 'float32', b: 'float32?', preActivation: 'float32?' },
  outputs: { dx: 'float32', dw: 'float32', db: 'float32?' },
});

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
  const y = hasKernel(LINEAR) ? fused(flat, weight, bias, activation) : linearReference(flat, weight, bias, activation);
  return fromRows(y, [...x.shape.slice(0, -1), outputs]);
}

function fused(x: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor | undefined, activation: Activation): tf.Tensor {
  return differentiable({
    inputs: { x, weight, bias },
    forward: (save) => {
      const { outputs, saved } = run(LINEAR, { x, w: weight, b: bias }, { activation });
      save({ x, w: weight, b: bias, preActivation: saved.preActivation });
      return [outputs.y];
    },
    backward: ([dy], saved) => {
      const inputs = { dy, x: saved.x, w: saved.w, b: saved.b, preActivation: saved.preActivation };
      const { dx, dw, db } = run(LINEAR_GRAD, inputs, { activation }).outputs;
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
