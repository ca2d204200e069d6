import { loadAddon } from './addon.js';

/** A row-major matrix inside an array: every number counts elements, not bytes. */
export interface Matrix {
  data: Float32Array;
  /** The first element. Default 0. */
  offset?: number;
  /** From one stored row to the next. Default: the stored matrix's width. */
  stride?: number;
  /** From one outer, one inner batch to the next. Default 0: all share one matrix. */
  outerStride?: number;
  innerStride?: number;
}

export interface GemmOptions {
  m: number;
  n: number;
  k: number;
  /** Number of matrices, as [outer, inner], for example [sequences, heads]. Default [1, 1]. */
  batch?: readonly [outer: number, inner: number];
  /** [m, k], or [k, m] with `transposeA`. */
  a: Matrix;
  transposeA?: boolean;
  /** [k, n], or [n, k] with `transposeB`. */
  b: Matrix;
  transposeB?: boolean;
  /** [m, n], written. */
  c: Matrix;
  alpha?: number;
  /** Adds to what c holds. */
  accumulate?: boolean;
  /** [n] */
  bias?: Float32Array;
  /**
   * `gelu`: c = x Φ(x) of the sum, which itself goes to `preActivation` if given.
   * `gelu-grad`: c = sum · gelu'(preActivation).
   */
  activation?: 'none' | 'gelu' | 'gelu-grad';
  /** Laid out with c's strides. */
  preActivation?: { data: Float32Array; offset?: number };
  /** Added last; laid out with c's strides. */
  residual?: { data: Float32Array; offset?: number };
  /** [m], written: the sums of op(A) over k, first batch. */
  rowSumsA?: Float32Array;
}

const ACTIVATIONS = { none: 0, gelu: 1, 'gelu-grad': 2 } as const;
const shape = new Float64Array(24);

/**
 * c = activation(alpha · op(a) · op(b) + c if accumulating + bias) + residual, on all threads, for every batch.
 * Throws a RangeError, with nothing written, when an array is too small for the sizes and strides, or detached.
 *
 * @example gemm({ m: 2, n: 2, k: 3, a: { data: x }, b: { data: w }, transposeB: true, c: { data: y }, bias })
 */
export function gemm(options: GemmOptions): void {
  const { m, n, k, a, b, c, preActivation, residual } = options;
  const { transposeA = false, transposeB = false } = options;
  const [outer, inner] = options.batch ?? [1, 1];
  let at = 0;
  for (const value of [m, n, k, outer, inner]) {
    shape[at++] = value;
  }
  for (const [matrix, width, transposed] of [
    [a, transposeA ? m : k, transposeA],
    [b, transposeB ? k : n, transposeB],
  ] as const) {
    shape[at++] = matrix.offset ?? 0;
    shape[at++] = matrix.stride ?? width;
    shape[at++] = matrix.outerStride ?? 0;
    shape[at++] = matrix.innerStride ?? 0;
    shape[at++] = transposed ? 1 : 0;
  }
  shape[at++] = c.offset ?? 0;
  shape[at++] = c.stride ?? n;
  shape[at++] = c.outerStride ?? 0;
  shape[at++] = c.innerStride ?? 0;
  shape[at++] = options.accumulate ? 1 : 0;
  shape[at++] = ACTIVATIONS[options.activation ?? 'none'];
  shape[at++] = preActivation?.offset ?? 0;
  shape[at++] = residual?.offset ?? 0;
  shape[at++] = options.alpha ?? 1;
  loadAddon().gemm(shape, a.data, b.data, c.data, options.bias, preActivation?.data, residual?.data, options.rowSumsA);
}
