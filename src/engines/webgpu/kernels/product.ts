import type { TensorInfo } from '@tensorflow/tfjs-core';

/** A batch of matrix products C [M, N] = A [M, K] B [K, N] whose operands are read, and results stored, by WGSL code. */
export interface MatrixProduct {
  name: string;
  inputs: Record<string, TensorInfo | undefined>;
  outputs: Record<string, TensorInfo>;
  constants?: Record<string, number>;
  floats?: Record<string, number>;
  declarations?: string;
  rows: number;
  columns: number;
  inner: number;
  /** Default 1. */
  batches?: number;
  /** The inner dimension is cut in so many parts, computed side by side; the code sees `split`. Default 1. */
  splits?: number;
  /** WGSL expression of A's element, of `batch`, `row` and `k`, which are in range. */
  a: string;
  /** WGSL expression of B's element, of `batch`, `k` and `column`. */
  b: string;
  /** Which neighbours lie side by side in memory. */
  aAlong: 'row' | 'k';
  bAlong: 'column' | 'k';
  /** WGSL expression, of `batch` and `k`: asks for every row's product with this vector, `rowDot`. */
  weight?: string;
  /** Operands may be rounded to 16 bits, where the engine computes so. */
  half?: boolean;
  /** With `half`, WGSL expressions: A is multiplied by `scale` before it is rounded, the result by `unscale`. */
  scale?: string;
  unscale?: string;
  /** WGSL statements that store `value`, of `batch`, `split`, `row` and `column` (and `rowDot`). */
  store: string;
  /** WGSL statements, once a row, of `batch`, `split`, `row` and `rowDot`. */
  storeRow?: string;
}
