import * as tf from '@tensorflow/tfjs-core';
import { asRows, differentiable, fromRows } from './dispatch.js';
import { dropoutHash, dropoutMask } from './dropout.js';
import { contract, hasKernel, run } from './kernel.js';

/** Options of `addLayerNorm`. */
export interface AddLayerNormOptions {
  /** Added to the variance. */
  epsilon: number;
  /** Share of the residual's elements set to zero (the others are scaled up). Default 0. */
  dropoutRate?: number;
  /** Unsigned 32-bit seed of the dropout mask; see `dropoutMask`. Default 0. */
  dropoutSeed?: number;
  /** Tells the masks of one seed apart: with it, the mask's seed is dropoutHash(dropoutSite, dropoutSeed). */
  dropoutSite?: number;
}

/** Attributes of the kernels; `dropoutSeed` is the mask's. */
export interface AddLayerNormAttributes {
  epsilon: number;
  dropoutRate: number;
  dropoutSeed: number;
  /** What the mask's seed is made from, for engines that change it between replays. */
  passSeed: number;
  dropoutSite?: number;
}

/** The output `moments` of [rows, 2] holds mean and 1 / standard deviation of each row. There is a `sum` where there is a residual. */
export const ADD_LAYER_NORM = contract<AddLayerNormAttributes>()({
  name: 'AddLayerNorm',
  inputs: { x: 'float32', residual: 'float32?', gamma: 'float32', beta: 'float32' },
  outputs: { normed: 'float32', sum: 'float32?' },
  saved: { moments: 'float32' },
});
/** `sum`: the forward's, or its x without a residual. There is a `dresidual` where dropout makes it another than dx. */
export const ADD_LAYER_NORM_GRAD = contract<AddLayerNormAttributes>()({
  name: 'AddLayerNormGrad',
  inputs: { dsum: 'float32?', dnormed: 'float32', sum: 'float32', gamma: 'float32', moments: 'float32' },
  outputs: { dx: 'float32', dgamma: 'float32', dbeta: 'float32', dresidual: 'float32?' },
});

/**
 * The joint of a pre-LN block: sum = x + dropout(residual), normed = LayerNorm(sum) (Ba et al. 2016).
 * @param x [..., D]
 * @param residual [..., D]
 * @param gamma [D]
 * @param beta [D]
 * @returns the sum, to which the next residual is added, and its normalised form, which the next sublayer reads
 * Kernels: AddLayerNorm, AddLayerNormGrad. Differentiable in x, residual, gamma and beta.
 */
export function addLayerNorm(
  x: tf.Tensor,
  residual: tf.Tensor,
  gamma: tf.Tensor,
  beta: tf.Tensor,
  options: AddLayerNormOptions,
): { sum: tf.Tensor; normed: tf.Tensor } {
  tf.util.assertShapesMatch(x.shape, residual.shape, 'addLayerNorm: ');
  if (!hasKernel(ADD_LAYER_NORM)) {
    return addLayerNormReference(x, residual, gamma, beta, options);
  }
  const attributes = kernelAttributes(options);
  const inputs = { x: asRows(x), residual: asRows(residual), gamma, beta };
  const [sum, normed] = differentiable({
    inputs,
    forward: (save) => {
      const { outputs, saved } = run(ADD_LAYER_NORM, inputs, attributes);
      const total = outputs.sum as tf.Tensor;
      save({ sum: total, gamma, moments: saved.moments });
      return [total, outputs.normed];
    },
    backward: ([dsum, dnormed], saved) => {
      const given = { dsum, dnormed, sum: saved.sum, gamma: saved.gamma, moments: saved.moments };
      const { dx, dresidual, dgamma, dbeta } = run(ADD_LAYER_NORM_GRAD, given, attributes).outputs;
      return { x: dx, residual: dresidual ?? tf.clone(dx), gamma: dgamma, beta: dbeta };
    },
  });
  return { sum: fromRows(sum, x.shape), normed: fromRows(normed, x.shape) };
}

/**
 * LayerNorm over the last axis (Ba et al. 2016): (x - mean) / sqrt(variance + epsilon) * gamma + beta.
 * @param x [..., D]
 * @param gamma [D]
 * @param beta [D]
 * @returns [..., D]
 * Kernels: AddLayerNorm without a residual, AddLayerNormGrad.
 */
export function layerNorm(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: number): tf.Tensor {
  if (!hasKernel(ADD_LAYER_NORM)) {
    return normalise(x, gamma, beta, epsilon);
  }
  const flat = asRows(x);
  const attributes = kernelAttributes({ epsilon });
  const [normed] = differentiable({
    inputs: { x: flat, gamma, beta },
    forward: (save) => {
      const { outputs, saved } = run(ADD_LAYER_NORM, { x: flat, residual: undefined, gamma, beta }, attributes);
      save({ x: flat, gamma, moments: saved.moments });
      return [outputs.normed];
    },
    backward: ([dnormed], saved) => {
      const given = { dsum: undefined, dnormed, sum: saved.x, gamma: saved.gamma, moments: saved.moments };
      const { dx, dgamma, dbeta } = run(ADD_LAYER_NORM_GRAD, given, attributes).outputs;
      return { x: dx, gamma: dgamma, beta: dbeta };
    },
  });
  return fromRows(normed, x.shape);
}

function kernelAttributes(options: AddLayerNormOptions): AddLayerNormAttributes {
  return {
    epsilon: options.epsilon,
    dropoutRate: options.dropoutRate ?? 0,
    dropoutSeed: maskSeed(options),
    passSeed: options.dropoutSeed ?? 0,
    dropoutSite: options.dropoutSite,
  };
}

function maskSeed({ dropoutSeed = 0, dropoutSite }: AddLayerNormOptions): number {
  return dropoutSite === undefined ? dropoutSeed : dropoutHash(dropoutSite, dropoutSeed);
}

/** The definition of `addLayerNorm` in tfjs operations. */
export function addLayerNormReference(
  x: tf.Tensor,
  residual: tf.Tensor,
  gamma: tf.Tensor,
  beta: tf.Tensor,
  options: AddLayerNormOptions,
): { sum: tf.Tensor; normed: tf.Tensor } {
  const sum = tf.add(x, dropResidual(residual, options));
  return { sum, normed: normalise(sum, gamma, beta, options.epsilon) };
}

/** A residual of which elements are dropped, and the others scaled up, where the options say so. */
export function dropResidual(residual: tf.Tensor, options: AddLayerNormOptions): tf.Tensor {
  const rate = options.dropoutRate ?? 0;
  return rate > 0 ? tf.mul(residual, dropoutMask(residual.shape, rate, maskSeed(options))) : residual;
}

/** The definition of `layerNorm` in tfjs operations. */
function normalise(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: number): tf.Tensor {
  const centred = tf.sub(x, tf.mean(x, -1, true));
  const variance = tf.mean(tf.square(centred), -1, true);
  return tf.add(tf.mul(tf.mul(centred, tf.rsqrt(tf.add(variance, epsilon))), gamma), beta);
}
