import * as tf from '@tensorflow/tfjs-core';
import type { Backend } from '../backend.js';

type Inputs = Record<string, tf.TensorInfo>;

/**
 * Registers one of our kernels with tfjs. What `compute` returns, the outputs, was made by `allocate`.
 * @param Attributes what the operation in src/ops hands to the kernel
 */
export function register<Attributes extends object>(
  kernelName: string,
  compute: (backend: Backend, inputs: Inputs, attributes: Attributes) => tf.TensorInfo[],
): void {
  tf.registerKernel({
    kernelName,
    backendName: 'webgpu',
    kernelFunc: ({ inputs, backend, attrs }) =>
      compute(backend as Backend, inputs as Inputs, attrs as unknown as Attributes),
  });
}

/** Elements of a shape. */
export const sizeOf = tf.util.sizeFromShape;
