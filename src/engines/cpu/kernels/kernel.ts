import type * as tf from '@tensorflow/tfjs-core';
import type { NativeBackend } from '../backend.js';

/** What a kernel is called with: tensors by name, those that are absent missing, and plain attributes. */
export interface KernelCall<Attributes> {
  inputs: Record<string, tf.TensorInfo>;
  attrs: Attributes;
  backend: NativeBackend;
}

/** A kernel of the CPU engine: a function of tensors that tfjs calls by name. */
export interface Kernel {
  name: string;
  run(call: KernelCall<never>): tf.TensorInfo | tf.TensorInfo[];
}

/** Ties a kernel's name to its function, whose attributes have the type `Attributes`. */
export function kernel<Attributes = unknown>(
  name: string,
  run: (call: KernelCall<Attributes>) => tf.TensorInfo | tf.TensorInfo[],
): Kernel {
  return { name, run };
}
