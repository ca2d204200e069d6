import * as tf from '@tensorflow/tfjs-core';
import { contract, hasKernel, run } from './kernel.js';

/** One parameter with AdamW's two moments, all of one shape, and its gradient. */
export interface AdamWSlot {
  parameter: tf.Variable;
  firstMoment: tf.Variable;
  secondMoment: tf.Variable;
  gradient: tf.Tensor;
  /** Decoupled weight decay of this parameter. */
  weightDecay: number;
}

/** Options of one `adamW` update. */
export interface AdamWOptions {
  /** What changes from update to update: see `adamWHyper`. */
  hyper: tf.Tensor1D;
  beta1: number;
  beta2: number;
  epsilon: number;
  /** Gradients are scaled down to this global norm where they exceed it. */
  maxNorm: number;
}

/** Attributes of the kernel: those of the options that stay, and each parameter's weight decay. */
export type AdamWAttributes = Omit<AdamWOptions, 'hyper'> & { weightDecay: number[] };

/** Parameters and moments change in place. */
export const ADAM_W = contract<AdamWAttributes>()({
  name: 'AdamW',
  inputs: {
    hyper: 'float32',
    parameters: 'float32[]',
    firstMoments: 'float32[]',
    secondMoments: 'float32[]',
    gradients: 'float32[]',
  },
  outputs: { norm: 'float32' },
  inPlace: true,
});

/**
 * The learning rate and the corrections 1 - β₁ᵗ and 1 - β₂ᵗ of the moments.
 * @param step number of the update t, counted from 1
 */
export function adamWHyper(step: number, learningRate: number, beta1: number, beta2: number): Float32Array {
  return Float32Array.of(learningRate, 1 - beta1 ** step, 1 - beta2 ** step);
}

/**
 * One AdamW update (Loshchilov & Hutter 2019, algorithm 2, as torch.optim.AdamW) of all parameters at once, after
 * clipping by the global norm (as torch.nn.utils.clip_grad_norm_). Parameters and moments change in place.
 * @returns the global norm of the gradients before clipping, a scalar
 * Kernel: AdamW.
 */
export function adamW(slots: AdamWSlot[], options: AdamWOptions): tf.Scalar {
  const { hyper, beta1, beta2, epsilon, maxNorm } = options;
  if (!hasKernel(ADAM_W)) {
    return adamWReference(slots, options);
  }
  const inputs = {
    hyper,
    parameters: slots.map((slot) => slot.parameter),
    firstMoments: slots.map((slot) => slot.firstMoment),
    secondMoments: slots.map((slot) => slot.secondMoment),
    gradients: slots.map((slot) => slot.gradient),
  };
  const weightDecay = slots.map((slot) => slot.weightDecay);
  return run(ADAM_W, inputs, { beta1, beta2, epsilon, weightDecay, maxNorm }).outputs.norm as tf.Scalar;
}

/** The definition of `adamW` in tfjs operations. */
function adamWReference(slots: AdamWSlot[], options: AdamWOptions): tf.Scalar {
  const { hyper, beta1, beta2, epsilon, maxNorm } = options;
  return tf.tidy(() => {
    const [learningRate, correction1, correction2] = tf.unstack(hyper);
    const squares = slots.map((slot) => tf.sum(tf.square(slot.gradient)));
    const norm = tf.sqrt(tf.addN(squares)) as tf.Scalar;
    const scale = tf.minimum(1, tf.div(maxNorm, tf.add(norm, 1e-6)));
    for (const slot of slots) {
      tf.tidy(() => {
        const gradient = tf.mul(slot.gradient, scale);
        const first = tf.add(tf.mul(slot.firstMoment, beta1), tf.mul(gradient, 1 - beta1));
        const second = tf.add(tf.mul(slot.secondMoment, beta2), tf.mul(tf.square(gradient), 1 - beta2));
        const denominator = tf.add(tf.sqrt(tf.div(second, correction2)), epsilon);
        const change = tf.mul(tf.div(tf.div(first, correction1), denominator), learningRate);
        const decayed = tf.mul(slot.parameter, tf.sub(1, tf.mul(learningRate, slot.weightDecay)));
        slot.firstMoment.assign(first);
        slot.secondMoment.assign(second);
        slot.parameter.assign(tf.sub(decayed, change));
      });
    }
    return norm;
  });
}
