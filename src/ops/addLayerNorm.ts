import * as tf from '@tensorflow/tfjs-core';
import { asRows, auxiliary, differentiable, fromRows, hasKernel, runKernel } from './dispatch.js';
import { dropoutHash, dropoutMask } from './dropout.js';

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
  if (!hasKernel('AddLayerNorm')) {
    return addLayerNormReference(x, residual, gamma, beta, options);
  }
  const attributes = kernelAttributes(options);
  const inputs = { x: asRows(x), residual: asRows(residual), gamma, beta };
  const [sum, normed] = differentiable({
    inputs,
    forward: (save) => {
      const [total, result, ...aux] = runKernel('AddLayerNorm', inputs, attributes);
      save([total, gamma, ...aux]);
      return [total, result];
    },
    backward: ([dsum, dnormed], [total, savedGamma, ...aux]) => {
      const saved = { sum: total, gamma: savedGamma, ...auxiliary(aux) };
      const outputs = runKernel('AddLayerNormGrad', { dsum, dnormed, ...saved }, attributes);
      const dx = outputs[0];
      const dresidual = attributes.dropoutRate > 0 ? outputs[1] : tf.clone(dx);
      const [dgamma, dbeta] = outputs.slice(-2);
      return { x: dx, residual: dresidual, gamma: dgamma, beta: dbeta };
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
  if (!hasKernel('AddLayerNorm')) {
    return normalise(x, gamma, beta, epsilon);
  }
  const flat = asRows(x);
  const attributes = kernelAttributes({ epsilon });
  const [normed] = differentiable({
    inputs: { x: flat, gamma, beta },
    forward: (save) => {
      const [result, ...aux] = runKernel('AddLayerNorm', { x: flat, gamma, beta }, attributes);
      save([flat, gamma, ...aux]);
      return [result];
    },
    backward: ([dnormed], [savedX, savedGamma, ...aux]) => {
      const inputs = { dnormed, sum: savedX, gamma: savedGamma, ...auxiliary(aux) };
      const [dx, dgamma, dbeta] = runKernel('AddLayerNormGrad', inputs, attributes);
      return { x: dx, gamma: dgamma, beta: dbeta };
    },
  });
  return fromRows(normed, x.shape);
}

/** `dropoutSeed` is the mask's; what it was made from goes along for engines that change it between replays. */
function kernelAttributes(options: AddLayerNormOptions) {
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
