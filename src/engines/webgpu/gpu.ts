import type { DataType, TensorInfo } from '@tensorflow/tfjs-core';
import type { Launcher } from './launcher.js';
import type { Recorder } from './recorder.js';

/** What a GPU's matrix units multiply at once: [m, k] by [k, n], 16-bit floats summed in 32 bits. */
export interface MatrixUnits {
  m: number;
  n: number;
  k: number;
  /** Threads that do it together: a subgroup, as it is expected to be. */
  subgroup: number;
  /** Whether every subgroup has that size, is made so where the code asks for it, or may have another one. */
  sizes: 'fixed' | 'chosen' | 'open';
  /** Bytes of a workgroup's memory. */
  memory: number;
}

/** What our kernels need of the backend. */
export interface Gpu {
  device: GPUDevice;
  /** Products whose operands may be rounded to 16 bits run on these. */
  matrixUnits: MatrixUnits | undefined;
  launcher: Launcher;
  recorder: Recorder;
  makeTensorInfo(shape: number[], dtype: DataType, values?: Float32Array): TensorInfo;
  disposeData(id: object): boolean;
  /** The buffer of a tensor on the GPU, uploaded or allocated if it is not there yet. */
  bufferOf(tensor: TensorInfo): GPUBuffer;
  /** As `bufferOf`, for a kernel that writes: values that were read before are forgotten. */
  writableBufferOf(tensor: TensorInfo): GPUBuffer;
  read(id: object): Promise<ArrayLike<unknown>>;
}
