import * as tf from '@tensorflow/tfjs-core';

/** An input of a step: values that become a tensor, int32 or float32. */
export interface StepInput {
  values: Int32Array | Float32Array;
  shape: number[];
}

export type Tensors = Record<string, tf.Tensor>;

/**
 * A step in two parts, of which the first gives what the second goes on with: gradients, and their update. Both depend
 * on its inputs, the seeds and variables alone, and change variables in place only, by `adamW`.
 */
export interface Step {
  begin(inputs: Tensors): Tensors;
  finish(results: Tensors, inputs: Tensors): tf.Tensor;
}

/** A step whose first part is computed, or on its way. It ends with `finish` or `abandon`. */
export interface StepUnderWay {
  /** What the first part gave. The tensors are the step's: they end with it. */
  results(): Tensors;
  /**
   * Computes the second part.
   * @param changed values that take the place of results, of their shape, float32
   * @returns its result
   */
  finish(changed?: Readonly<Record<string, Float32Array>>): tf.Tensor;
  /** Ends the step without its second part. */
  abandon(): void;
}

/** Inputs as tensors. */
export function toTensors(inputs: Record<string, StepInput>): Tensors {
  return Object.fromEntries(
    Object.entries(inputs).map(([name, { values, shape }]) => [
      name,
      tf.tensor(values, shape, values instanceof Float32Array ? 'float32' : 'int32'),
    ]),
  );
}
