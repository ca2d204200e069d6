import type * as tf from '@tensorflow/tfjs-core';
import type { NativeBackend } from '../backend.js';

type Result = tf.TensorInfo | tf.TensorInfo[];

/** What a kernel is called with: tensors by name, those that are absent missing, and plain attributes. */
export interface KernelCall<Attributes> {
  inputs: Record<string, tf.TensorInfo>;
  attrs: Attributes;
  backend: NativeBackend;
  /** Does what tfjs's own kernel of that name does, for types and shapes that ours leaves to it. */
  original(): Result;
}

/** A kernel of the CPU engine: a function of tensors that tfjs calls by name. */
export interface Kernel {
  name: string;
  run(call: KernelCall<never>): Result;
}

/** Ties a kernel's name to its function, whose attributes have the type `Attributes`. */
export function kernel<Attributes = unknown>(name: string, run: (call: KernelCall<Attributes>) => Result): Kernel {
  return { name, run };
}
