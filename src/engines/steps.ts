import * as tf from '@tensorflow/tfjs-core';

/** An input of a step: values that become a tensor, int32 or float32. */
export interface StepInput {
  values: Int32Array | Float32Array;
  shape: number[];
}

/** What a step computes from: its inputs as tensors, by name. */
export type Step = (inputs: Record<string, tf.Tensor>) => tf.Tensor;

/** Inputs as tensors. */
export function toTensors(inputs: Record<string, StepInput>): Record<string, tf.Tensor> {
  return Object.fromEntries(
    Object.entries(inputs).map(([name, { values, shape }]) => [
      name,
      tf.tensor(values, shape, values instanceof Float32Array ? 'float32' : 'int32'),
    ]),
  );
}
