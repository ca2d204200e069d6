import type { Random } from '../../data/random.js';
import { orthonormalise } from '../orthonormal.js';

/** How the rows of a matrix of random features are drawn. */
export const RANDOM_FEATURES = ['orthogonal', 'regularized', 'iid'] as const;
export type RandomFeatures = (typeof RANDOM_FEATURES)[number];

/**
 * A matrix W of random features (Choromanski et al. 2021, sections 2.4 and 3).
 * `iid`: Gaussian entries. `orthogonal`: blocks of d rows, each the Q of a Gaussian matrix's QR decomposition, with
 * every row scaled to the norm of a fresh Gaussian vector, so that each row alone is distributed as an iid one.
 * `regularized`: the same with rows of length √d, which estimates the regularised softmax kernel SMREG instead
 * (theorem 1).
 * @returns [rows, size] row-major
 */
export function gaussianProjection(rows: number, size: number, kind: RandomFeatures, random: Random): Float32Array {
  const matrix = Float64Array.from({ length: rows * size }, () => random.normal());
  if (kind === 'iid') {
    return Float32Array.from(matrix);
  }
  const row = (index: number) => matrix.subarray(index * size, (index + 1) * size);
  for (let first = 0; first < rows; first += size) {
    const block = Array.from({ length: Math.min(size, rows - first) }, (_, i) => row(first + i));
    for (const { q, index } of orthonormalise(block)) {
      block[index].set(q);
    }
  }
  for (let index = 0; index < rows; index++) {
    let square = kind === 'regularized' ? size : 0;
    if (kind === 'orthogonal') {
      for (let i = 0; i < size; i++) {
        square += random.normal() ** 2;
      }
    }
    const scaled = row(index).map((value) => value * Math.sqrt(square));
    matrix.set(scaled, index * size);
  }
  return Float32Array.from(matrix);
}
