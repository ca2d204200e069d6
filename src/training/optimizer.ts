import * as tf from '@tensorflow/tfjs-core';
import { adamW, adamWHyper } from '../ops/adamW.js';
import type { OptimizerOptions } from './recipe.js';

/** AdamW over a model's parameters. Owns two moments for each of them, zero at first. */
export class Optimizer {
  /** Updates done so far. */
  step = 0;
  private readonly moments = new Map<string, { first: tf.Variable; second: tf.Variable }>();

  constructor(
    private readonly parameters: ReadonlyMap<string, tf.Variable>,
    private readonly options: OptimizerOptions,
  ) {
    for (const [name, parameter] of parameters) {
      const zeros = () => tf.tidy(() => tf.variable(tf.zeros(parameter.shape), false));
      this.moments.set(name, { first: zeros(), second: zeros() });
    }
  }

  /**
   * Counts an update.
   * @returns what `update` needs of it, [3]
   */
  advance(learningRate: number): Float32Array {
    this.step += 1;
    return adamWHyper(this.step, learningRate, this.options.beta1, this.options.beta2);
  }

  /**
   * The update that `advance` counted, of all parameters that have a gradient, in place.
   * @param gradients by parameter name, of the parameter's shape; they stay the caller's
   * @param hyper [3]
   * @returns the gradients' global norm before clipping, a scalar
   */
  update(gradients: ReadonlyMap<string, tf.Tensor>, hyper: tf.Tensor1D): tf.Scalar {
    const { weightDecay, clip, ...options } = this.options;
    const slots = [...gradients].map(([name, gradient]) => {
      const parameter = this.parameters.get(name)!;
      const { first, second } = this.moments.get(name)!;
      const decay = parameter.rank >= 2 ? weightDecay : 0;
      return { parameter, firstMoment: first, secondMoment: second, gradient, weightDecay: decay };
    });
    return adamW(slots, { ...options, hyper, maxNorm: clip });
  }

  /** The moments by name: `first.NAME` and `second.NAME`, to be saved. They stay the optimizer's. */
  tensors(): Map<string, tf.Variable> {
    const tensors = new Map<string, tf.Variable>();
    for (const [name, { first, second }] of this.moments) {
      tensors.set(`first.${name}`, first);
      tensors.set(`second.${name}`, second);
    }
    return tensors;
  }

  /** Takes up again where `step` updates had led to the moments `values`. */
  restore(step: number, values: ReadonlyMap<string, { shape: number[]; data: Float32Array }>): void {
    for (const [name, moment] of this.tensors()) {
      const value = values.get(name);
      if (!value || !tf.util.arraysEqual(value.shape, moment.shape)) {
        throw new Error(`the optimizer's state has no ${name} of shape [${moment.shape}]`);
      }
      tf.tidy(() => moment.assign(tf.tensor(value.data, value.shape, 'float32')));
    }
    this.step = step;
  }

  dispose(): void {
    for (const { first, second } of this.moments.values()) {
      tf.dispose([first, second]);
    }
    this.moments.clear();
  }
}
