import type { ElementType } from './elements.js';

/** A tensor of a checkpoint as it is stored. */
export interface TensorInfo {
  dtype: ElementType;
  shape: readonly number[];
  /** The file that holds it. */
  file: string;
}

/** The weights of a checkpoint, open, whatever the form of their files. Tensors are read one at a time. */
export interface Weights {
  /** The file that was opened, or the index of several. */
  readonly path: string;
  /** Names of the tensors. */
  readonly names: readonly string[];
  /** What the files say besides their tensors: safetensors' metadata, or what lies beside a pickle's state dict. */
  readonly metadata: Readonly<Record<string, unknown>>;
  /** Type, shape and place of a tensor, or undefined where there is none of that name. */
  info(name: string): TensorInfo | undefined;
  /**
   * A tensor's values as float32, row-major, whatever the type in the file.
   * @param into where they go; a new array by default
   * @throws InputError where there is no tensor of that name, and where the file is damaged
   */
  read(name: string, into?: Float32Array): Float32Array;
  close(): void;
}
