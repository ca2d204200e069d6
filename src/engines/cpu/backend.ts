import { MathBackendCPU } from '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import type { Addon, NativeArray, NativeCall, OutOfMemory } from './addon.js';
import type { BufferPool } from './pool.js';

/** The name of the engine's tfjs backend. */
export const BACKEND_NAME = 'cpu-native';

type Values = tf.backend_util.BackendValues;
type NumericValues = Float32Array | Int32Array | Uint8Array;

/**
 * The tfjs backend of the CPU engine: tfjs's own `cpu` backend, its tensors in pooled memory. Kernels that make a
 * tensor of their own ask `output` for memory; whatever tfjs's kernels allocate themselves stays ordinary memory.
 */
export class NativeBackend extends MathBackendCPU {
  private nextId = 0;
  /** Outputs of the kernels that are running. */
  private outputs: tf.TensorInfo[] = [];

  constructor(
    readonly addon: Addon,
    readonly pool: BufferPool,
  ) {
    super();
  }

  /** A new tensor over pooled memory that still contains what its last user left. */
  output(shape: number[], dtype: 'float32' | 'int32' | 'bool' = 'float32'): tf.TensorInfo {
    const tensor = this.adopt(this.room(tf.util.sizeFromShape(shape), dtype), shape, dtype);
    this.outputs.push(tensor);
    return tensor;
  }

  /** Runs a kernel; where it throws, its outputs go back to the pool. */
  guard<T>(kernel: () => T): T {
    const before = this.outputs.length;
    try {
      return kernel();
    } catch (error) {
      for (const { dataId } of this.outputs.slice(before)) {
        if (this.data.has(dataId)) {
          this.disposeData(dataId, true);
        }
      }
      throw error;
    } finally {
      this.outputs.length = before;
    }
  }

  /** Calls the addon: sizes and attributes, then the arrays. */
  call(entry: NativeCall, sizes: readonly (number | boolean)[], arrays: readonly NativeArray[]): void {
    const numbers = new Float64Array(sizes as readonly number[]);
    this.withScratch(() => this.addon[entry](numbers, ...arrays));
  }

  /**
   * Runs a call of the addon. Where what it works in does not fit beside the pool's idle blocks, they go and it runs once
   * more: a call that fails so has changed nothing in place.
   * @throws InputError where it does not fit all the same
   */
  withScratch(compute: () => void): void {
    try {
      compute();
    } catch (error) {
      if (!isOutOfMemory(error)) {
        throw error;
      }
      this.pool.trim();
      try {
        compute();
      } catch (again) {
        throw isOutOfMemory(again) ? this.pool.exhausted(again.bytes) : again;
      }
    }
  }

  /** The values of a float32 tensor, in place. */
  floats(tensor: tf.TensorInfo): Float32Array {
    const values = this.numbers(tensor, 'float32');
    // tfjs's own kernels count a cast to a wider type as done without touching the values.
    return values instanceof Float32Array ? values : Float32Array.from(values);
  }

  /** The values of an int32 tensor, in place. */
  integers(tensor: tf.TensorInfo): Int32Array {
    const values = this.numbers(tensor, 'int32');
    return values instanceof Int32Array ? values : Int32Array.from(values);
  }

  /** Takes a copy: whoever made the tensor may change their array afterwards, and the pool keeps its memory. */
  override write(values: Values, shape: number[], dtype: tf.DataType): object {
    if (isNumeric(values)) {
      const copy = this.room(values.length, dtype);
      copy.set(values);
      return this.adopt(copy, shape, dtype).dataId;
    }
    return this.adopt(values, shape, dtype).dataId;
  }

  override makeTensorInfo(shape: number[], dtype: tf.DataType, values?: Values | string[]): tf.TensorInfo {
    if (dtype === 'string' && values != null && typeof values[0] === 'string') {
      const encoded = (values as string[]).map((text) => tf.util.encodeString(text));
      return this.adopt(encoded, shape, dtype);
    }
    if (values != null && 'buffer' in values) {
      this.pool.share(values.buffer);
    }
    return this.adopt(values as Values, shape, dtype);
  }

  override move(dataId: object, values: Values, shape: number[], dtype: tf.DataType, refCount: number): void {
    if (values != null && 'buffer' in values) {
      this.pool.share(values.buffer);
    }
    super.move(dataId, values, shape, dtype, refCount);
  }

  /** A copy of the values: the pool will hand the memory to another tensor. */
  override readSync(dataId: object): Values {
    const { values } = this.data.get(dataId);
    const read = super.readSync(dataId);
    return read === values && isNumeric(read) ? read.slice() : read;
  }

  override disposeData(dataId: object, force = false): boolean {
    const data = this.data.has(dataId) ? this.data.get(dataId) : undefined;
    const gone = super.disposeData(dataId, force);
    if (gone && data?.values != null && 'buffer' in data.values) {
      this.pool.leave(data.values.buffer);
    }
    return gone;
  }

  override memory(): { unreliable: boolean; reasons: string[] } {
    return { unreliable: false, reasons: [] };
  }

  override dispose(): void {
    this.pool.trim();
  }

  private numbers(tensor: tf.TensorInfo, dtype: tf.DataType): NumericValues {
    let values: Values | undefined;
    try {
      ({ values } = this.data.get(tensor.dataId));
    } catch (cause) {
      throw new Error(`a tensor [${tensor.shape}] was used after it was disposed`, { cause });
    }
    if (tensor.dtype !== dtype || !isNumeric(values)) {
      throw new TypeError(`expected a tensor of ${dtype}, got ${tensor.dtype} [${tensor.shape}]`);
    }
    return values;
  }

  private room(length: number, dtype: tf.DataType): NumericValues {
    switch (dtype) {
      case 'int32':
        return new Int32Array(this.pool.acquire(length * 4), 0, length);
      case 'bool':
        return new Uint8Array(this.pool.acquire(length), 0, length);
      default:
        return new Float32Array(this.pool.acquire(length * 4), 0, length);
    }
  }

  private adopt(values: Values, shape: number[], dtype: tf.DataType): tf.TensorInfo {
    const dataId = { id: this.nextId++ };
    this.data.set(dataId, { values, dtype, refCount: 1 });
    return { dataId, shape, dtype };
  }
}

function isOutOfMemory(error: unknown): error is OutOfMemory {
  return error instanceof Error && (error as Partial<OutOfMemory>).code === 'OUT_OF_MEMORY';
}

function isNumeric(values: unknown): values is NumericValues {
  return values instanceof Float32Array || values instanceof Int32Array || values instanceof Uint8Array;
}
