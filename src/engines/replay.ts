import * as tf from '@tensorflow/tfjs-core';
import { runningEngine } from './running.js';
import { type Step, type StepInput, type StepUnderWay, toTensors } from './steps.js';

export { type Step, type StepInput, type StepUnderWay, toTensors } from './steps.js';

/** Whether the engine records steps. It then pays to make the shapes of inputs few. */
export function canReplay(): boolean {
  return runningEngine()?.beginStep !== undefined;
}

/**
 * Begins a step. An engine that can records the first one of each key, and replays the recording for later ones: what
 * costs JavaScript, finding kernels and allocating tensors, is done once (as CUDA graphs do).
 * @param owner whose step it is: the optimizer, say
 * @param key of all that the step's operations depend on but its inputs: their shapes
 * @param seeds of the dropout in it, each different
 */
export function beginStep(
  owner: object,
  key: string,
  inputs: Record<string, StepInput>,
  seeds: number[],
  step: Step,
): StepUnderWay {
  return runningEngine()?.beginStep?.(owner, key, inputs, seeds, step) ?? beginEagerly(inputs, step);
}

function beginEagerly(inputs: Record<string, StepInput>, step: Step): StepUnderWay {
  const { tensors, results } = tf.tidy(() => {
    const made = toTensors(inputs);
    const begun = step.begin(made);
    for (const tensor of [...Object.values(made), ...Object.values(begun)]) {
      tf.keep(tensor);
    }
    return { tensors: made, results: begun };
  });
  const abandon = () => tf.dispose([tensors, results]);
  return {
    results: () => results,
    finish(changed = {}) {
      try {
        return tf.tidy(() => {
          const replaced = Object.entries(changed).map(([name, values]) => [
            name,
            tf.tensor(values, results[name].shape),
          ]);
          return step.finish({ ...results, ...Object.fromEntries(replaced) }, tensors);
        });
      } finally {
        abandon();
      }
    },
    abandon,
  };
}
