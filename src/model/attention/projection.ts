import type { Random } from '../../data/random.js';
import type { ModelConfig } from '../config.js';
import type { AttentionParameter } from './attention.js';

/** How the rows of a matrix of random features are drawn. */
export type RandomFeatures = 'orthogonal' | 'regularized' | 'iid';

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
  for (let block = 0; block < rows; block += size) {
    orthonormalise(matrix, block, Math.min(size, rows - block), size);
  }
  for (let row = 0; row < rows; row++) {
    let square = kind === 'regularized' ? size : 0;
    if (kind === 'orthogonal') {
      for (let i = 0; i < size; i++) {
        square += random.normal() ** 2;
      }
    }
    for (let i = 0; i < size; i++) {
      matrix[row * size + i] *= Math.sqrt(square);
    }
  }
  return Float32Array.from(matrix);
}

/** The projection of a kind with random features, as its layers' parameter; none with deterministic features. */
export function projectionParameters(config: ModelConfig): AttentionParameter[] {
  const { features, num_features: rows } = config.attention;
  if (features === undefined || features === 'deterministic') {
    return [];
  }
  const size = config.hidden_size / config.num_attention_heads;
  return [
    {
      name: 'projection',
      shape: [rows!, size],
      trainable: false,
      random: true,
      initialise: (random) => gaussianProjection(rows!, size, features, random),
    },
  ];
}

/** Gram-Schmidt over `count` rows from row `first`, twice for rows orthogonal to working precision. */
function orthonormalise(matrix: Float64Array, first: number, count: number, size: number): void {
  for (let i = 0; i < count; i++) {
    const row = matrix.subarray((first + i) * size, (first + i + 1) * size);
    for (let pass = 0; pass < 2; pass++) {
      for (let j = 0; j < i; j++) {
        const other = matrix.subarray((first + j) * size, (first + j + 1) * size);
        let product = 0;
        for (let k = 0; k < size; k++) {
          product += row[k] * other[k];
        }
        for (let k = 0; k < size; k++) {
          row[k] -= product * other[k];
        }
      }
    }
    const norm = Math.hypot(...row);
    for (let k = 0; k < size; k++) {
      row[k] /= norm;
    }
  }
}
