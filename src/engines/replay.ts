import * as tf from '@tensorflow/tfjs-core';

/** An input of a step: values that become a tensor, int32 or float32. */
export interface StepInput {
  values: Int32Array | Float32Array;
  shape: number[];
}

/** What a step computes from: its inputs as tensors, by name. */
export type Step = (inputs: Record<string, tf.Tensor>) => tf.Tensor;

/** What a tfjs backend has that records steps. */
interface Replaying {
  replay?(owner: object, key: string, inputs: Record<string, StepInput>, seeds: number[], step: Step): tf.Tensor;
}

/** Whether the engine records steps. It then pays to make the shapes of inputs few. */
export function canReplay(): boolean {
  return (tf.backend() as Replaying).replay !== undefined;
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
  const backend = tf.backend() as Replaying;
  return backend.replay?.(owner, key, inputs, seeds, step) ?? tf.tidy(() => step(toTensors(inputs)));
}

/** Inputs as tensors. */
export function toTensors(inputs: Record<string, StepInput>): Record<string, tf.Tensor> {
  return Object.fromEntries(
    Object.entries(inputs).map(([name, { values, shape }]) => [
      name,
      tf.tensor(values, shape, values instanceof Float32Array ? 'float32' : 'int32'),
    ]),
  );
}
