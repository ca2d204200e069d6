import type * as tf from '@tensorflow/tfjs-core';
import { Arena } from './bufferPool.js';

/** A kernel's run with everything bound: what a replay encodes. */
export interface Dispatch {
  name: string;
  pipeline: GPUComputePipeline;
  bindGroup: GPUBindGroup;
  workgroups: readonly [number, number, number];
  /** Additions and multiplications, where its kernel counts them. */
  flops: number;
  /** Of all buffers that it is given: what it reads and writes at least, where it uses them once and whole. */
  bytes: number;
}

/** A tensor from outside that recorded kernels use: a parameter, say. */
interface Outsider {
  id: object;
  buffer: GPUBuffer;
  /** Whose values it holds, where that is a variable: an assignment gives a variable other values. */
  variable?: tf.Variable;
  written: boolean;
}

/** A tensor whose buffer is the recording's. */
export interface Recorded {
  buffer: GPUBuffer;
  shape: number[];
  dtype: tf.DataType;
}

/**
 * A step as the dispatches that its two parts made, in order. Replayed, it makes them again on the same buffers: with
 * the inputs rewritten, and variables as they are by then.
 */
export class Recording {
  readonly arena = new Arena();
  /** Tensors of the first part that its recording keeps for the second's. */
  readonly kept: tf.Tensor[] = [];
  readonly begin: Dispatch[] = [];
  readonly finish: Dispatch[] = [];
  /** Tensors made while recording. */
  readonly made = new Set<object>();
  readonly inputs = new Map<string, GPUBuffer>();
  readonly seeds: GPUBuffer[] = [];
  readonly outsiders = new Map<object, Outsider>();
  /** What the first part gives. */
  readonly results = new Map<string, Recorded>();
  output: Recorded | undefined;

  /** Notes that a kernel uses a tensor. */
  use(tensor: tf.TensorInfo, buffer: GPUBuffer, written: boolean, isVariable: boolean): void {
    const id = tensor.dataId;
    if (this.made.has(id)) {
      return;
    }
    const known = this.outsiders.get(id);
    const variable = isVariable ? (tensor as tf.Variable) : known?.variable;
    this.outsiders.set(id, { id, buffer, variable, written: written || (known?.written ?? false) });
  }
}
