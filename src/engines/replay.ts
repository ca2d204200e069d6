import * as tf from '@tensorflow/tfjs-core';
import { runningEngine } from './running.js';
import { type Step, type StepInput, toTensors } from './steps.js';

export { type Step, type StepInput, toTensors } from './steps.js';

/** Whether the engine records steps. It then pays to make the shapes of inputs few. */
export function canReplay(): boolean {
  return runningEngine()?.replay !== undefined;
}

/**
 * Computes a step. An engine that can records the first one of each key, and replays the recording for later ones:
 * what costs JavaScript, finding kernels and allocating tensors, is done once (as CUDA graphs do).
 * @param owner whose step it is: the optimizer, say
 * @param key of all that the step's operations depend on but its inputs: their shapes
 * @param seeds of the dropout in it, each different
 * @param step depends on its inputs, the seeds and variables alone, and changes variables in place only, by `adamW`
 * @returns its result
 */
export function replay(
  owner: object,
  key: string,
  inputs: Record<string, StepInput>,
  seeds: number[],
  step: Step,
): tf.Tensor {
  return runningEngine()?.replay?.(owner, key, inputs, seeds, step) ?? tf.tidy(() => step(toTensors(inputs)));
}
