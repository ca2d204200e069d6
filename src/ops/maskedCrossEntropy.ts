import * as tf from '@tensorflow/tfjs-core';
import { differentiable } from './dispatch.js';
import { contract, hasKernel, run } from './kernel.js';

/** `logsumexp` [N] of the logits. */
export const MASKED_CROSS_ENTROPY = contract()({
  name: 'MaskedCrossEntropy',
  inputs: { logits: 'float32', labels: 'int32', weights: 'float32' },
  outputs: { loss: 'float32', correct: 'float32' },
  saved: { logsumexp: 'float32' },
});
export const MASKED_CROSS_ENTROPY_GRAD = contract()({
  name: 'MaskedCrossEntropyGrad',
  inputs: { dloss: 'float32', logits: 'float32', labels: 'int32', weights: 'float32', logsumexp: 'float32' },
  outputs: { dlogits: 'float32' },
});

/**
 * The weighted cross-entropy of selected positions: Σ weight (logsumexp(logits) - logits[label]), in nats.
 * @param logits [N, V]
 * @param labels [N] int32
 * @param weights [N]; 1 / the number of selected positions makes the loss their mean, 0 leaves a position out
 * @returns the loss (a scalar), and how many positions of a weight above zero have their label as the largest logit
 * Kernels: MaskedCrossEntropy, MaskedCrossEntropyGrad. Differentiable in logits, through the loss.
 */
export function maskedCrossEntropy(
  logits: tf.Tensor2D,
  labels: tf.Tensor1D,
  weights: tf.Tensor1D,
): { loss: tf.Scalar; correct: tf.Scalar } {
  if (!hasKernel(MASKED_CROSS_ENTROPY)) {
    return maskedCrossEntropyReference(logits, labels, weights);
  }
  const [loss, correct] = differentiable({
    inputs: { logits },
    forward: (save) => {
      const { outputs, saved } = run(MASKED_CROSS_ENTROPY, { logits, labels, weights }, {});
      save({ logits, labels, weights, logsumexp: saved.logsumexp });
      return [outputs.loss, outputs.correct];
    },
    backward: ([dloss], saved) => {
      const inputs = { dloss, logits: saved.logits, labels: saved.labels, weights: saved.weights };
      return { logits: run(MASKED_CROSS_ENTROPY_GRAD, { ...inputs, logsumexp: saved.logsumexp }, {}).outputs.dlogits };
    },
  });
  return { loss: loss as tf.Scalar, correct: correct as tf.Scalar };
}

/** The definition of `maskedCrossEntropy` in tfjs operations. */
export function maskedCrossEntropyReference(
  logits: tf.Tensor2D,
  labels: tf.Tensor1D,
  weights: tf.Tensor1D,
): { loss: tf.Scalar; correct: tf.Scalar } {
  const chosen = tf.sum(tf.mul(logits, tf.oneHot(labels, logits.shape[1])), 1);
  const loss = tf.sum(tf.mul(weights, tf.sub(tf.logSumExp(logits, 1), chosen))) as tf.Scalar;
  const hits = tf.logicalAnd(tf.equal(tf.argMax(logits, 1), labels), tf.greater(weights, 0));
  return { loss, correct: tf.sum(tf.cast(hits, 'float32')) as tf.Scalar };
}
