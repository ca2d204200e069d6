import * as tf from '@tensorflow/tfjs-core';
import { differentiable } from './dispatch.js';

/**
 * Gradient checkpointing (Chen et al. 2016, section 3): runs `compute` and keeps only its inputs; the gradient runs it
 * once more, then differentiates that. The gradients are those of plain differentiation, bit for bit.
 * @param inputs tensors that gradients flow to and that `compute` is given, both times
 * @param compute must do the same both times: anything random in it is seeded
 * @param options.variables trained tensors that `compute` reads by itself
 * @param options.constants tensors without gradients that `compute` is given after the inputs
 */
export function recompute(
  inputs: tf.Tensor[],
  compute: (...tensors: tf.Tensor[]) => tf.Tensor[],
  options: { variables?: tf.Tensor[]; constants?: tf.Tensor[] } = {},
): tf.Tensor[] {
  const { variables = [], constants = [] } = options;
  const differentiated = [...inputs, ...variables];
  return differentiable({
    inputs: Object.fromEntries(differentiated.map((tensor, i) => [`x${i}`, tensor])),
    forward: (save) => {
      save(Object.fromEntries([...inputs, ...constants].map((tensor, i) => [`x${i}`, tensor])));
      return compute(...inputs, ...constants);
    },
    backward: (gradients, saved) => {
      const given = Object.values(saved);
      const targets = [...given.slice(0, inputs.length), ...variables];
      const results = gradientsWithin(() => seed(compute(...given), gradients), targets);
      return Object.fromEntries(targets.map((x, i) => [`x${i}`, results[i] ?? tf.zerosLike(x)]));
    },
  });
}

/** The result of `compute` as a constant: no gradient flows through it. */
export function detached<T extends tf.Tensor>(compute: () => T): T {
  return differentiable({ inputs: {}, forward: () => [compute()], backward: () => ({}) })[0] as T;
}

/** A scalar whose gradient in each of `outputs` is what `gradients` says: where a vector-Jacobian product starts. */
function seed(outputs: tf.Tensor[], gradients: tf.Tensor[]): tf.Scalar {
  return differentiable({
    inputs: Object.fromEntries(outputs.map((output, i) => [`y${i}`, output])),
    forward: () => [tf.scalar(0)],
    backward: () => Object.fromEntries(gradients.map((gradient, i) => [`y${i}`, tf.clone(gradient)])),
  })[0] as tf.Scalar;
}

/** Gradients while others are on their way: tfjs has one tape at a time, so the outer one is put aside. */
function gradientsWithin(compute: () => tf.Scalar, targets: tf.Tensor[]): (tf.Tensor | undefined)[] {
  const engine = tf.engine() as unknown as {
    state: { activeTape: unknown };
    gradients(f: () => tf.Tensor, xs: tf.Tensor[], dy: null, allowNone: boolean): { grads: (tf.Tensor | undefined)[] };
  };
  const tape = engine.state.activeTape;
  try {
    return engine.gradients(compute, targets, null, true).grads;
  } finally {
    engine.state.activeTape = tape;
  }
}
