import { EVD, Matrix } from 'ml-matrix';
import { addScaled, dot, orthonormalise } from '../../model/orthonormal.js';

/** A fitted linear model: y = x · weights + fixed · coefficients + intercept. */
export interface LinearFit {
  weights: Float64Array;
  intercept: number;
  /** Penalty that was used. */
  alpha: number;
}

/** Penalties that are tried where none is given, of standardised features (powers of ten, as Hsu et al. 2022). */
export const ALPHAS = [1e-1, 1, 1e1, 1e2, 1e3, 1e4] as const;

/**
 * Ridge regression on dense features in closed form: minimises |y − X w − b|² + α |w|², b unpenalised (scikit-learn's
 * `Ridge`). One eigendecomposition, of XᵀX or X Xᵀ, whichever is smaller, serves every α; among several the one with
 * the smallest leave-one-out error is taken, itself in closed form (scikit-learn's `RidgeCV`).
 *
 * @param rows [n][p]
 * @param y [n]
 */
export function fitRidge(
  rows: readonly ArrayLike<number>[],
  y: ArrayLike<number>,
  alphas: readonly number[] = ALPHAS,
): LinearFit {
  const n = rows.length;
  const p = rows[0].length;
  const centre = new Float64Array(p);
  for (const row of rows) {
    for (let j = 0; j < p; j++) {
      centre[j] += row[j] / n;
    }
  }
  const centred = rows.map((row) => Float64Array.from(row, (value, j) => value - centre[j]));
  const meanY = Array.from(y).reduce((sum, value) => sum + value, 0) / n;
  const target = Float64Array.from(y, (value) => value - meanY);
  const x = new Matrix(centred);

  // X = U S Vᵀ: in its own basis every α is a division.
  const dual = n <= p;
  const { eigenvectorMatrix, realEigenvalues } = new EVD(dual ? x.mmul(x.transpose()) : x.transpose().mmul(x), {
    assumeSymmetric: true,
  });
  const eigenvalues = realEigenvalues.map((value) => Math.max(0, value));
  const largest = Math.max(...eigenvalues, 0);
  // Directions of no variance carry only rounding.
  const kept = [...eigenvalues.keys()].filter((k) => eigenvalues[k] > largest * 1e-13);
  /** U [n, kept], left singular vectors. */
  const left = kept.map((k) => {
    const vector = eigenvectorMatrix.getColumn(k);
    if (dual) {
      return Float64Array.from(vector);
    }
    const s = Math.sqrt(eigenvalues[k]);
    return Float64Array.from(centred, (row) => dot(row, vector) / s);
  });
  const projected = left.map((u) => dot(u, target));

  let best = { alpha: alphas[0], error: Number.POSITIVE_INFINITY };
  for (const alpha of alphas.length > 1 ? alphas : []) {
    const shrink = kept.map((k) => eigenvalues[k] / (eigenvalues[k] + alpha));
    let error = 0;
    for (let i = 0; i < n; i++) {
      let fitted = 0;
      let leverage = 1 / n;
      for (let k = 0; k < kept.length; k++) {
        const u = left[k][i];
        fitted += shrink[k] * u * projected[k];
        leverage += shrink[k] * u * u;
      }
      error += ((target[i] - fitted) / (1 - leverage)) ** 2;
    }
    if (error < best.error) {
      best = { alpha, error };
    }
  }

  const weights = new Float64Array(p);
  kept.forEach((k, index) => {
    const s = Math.sqrt(eigenvalues[k]);
    const scale = (projected[index] * s) / (eigenvalues[k] + best.alpha);
    if (dual) {
      // v = Xᵀ u / s
      const u = left[index];
      for (let i = 0; i < n; i++) {
        const factor = (scale / s) * u[i];
        for (let j = 0; j < p; j++) {
          weights[j] += factor * centred[i][j];
        }
      }
    } else {
      const v = eigenvectorMatrix.getColumn(k);
      for (let j = 0; j < p; j++) {
        weights[j] += scale * v[j];
      }
    }
  });
  return { weights, intercept: meanY - dot(centre, weights), alpha: best.alpha };
}

/** A row with few entries that are not zero. */
export interface SparseRow {
  columns: readonly number[];
  values: readonly number[];
}

/** A fit of `fitSparseRidge`: y = Σ x_j weights_j + fixed · coefficients + intercept. */
export interface SparseFit extends LinearFit {
  /** Of the unpenalised columns. */
  coefficients: Float64Array;
}

/**
 * Ridge regression on sparse features, such as one-hot residues, with dense columns beside them that are not penalised,
 * such as a zero-shot score: minimises |y − X w − F c − b|² + α |w|². The columns F and b are projected out (Frisch and
 * Waugh 1933), the normal equations of the rest solved by conjugate gradients to machine precision: only products with
 * X are needed, so a hundred thousand variants take a second.
 *
 * @param rows [n] rows of X
 * @param columns how many columns X has
 * @param fixed columns of F, each [n]
 * @param y [n]
 * @param precision norm of the gradient to stop at, as a share of that at the start
 */
export function fitSparseRidge(
  rows: readonly SparseRow[],
  columns: number,
  fixed: readonly ArrayLike<number>[],
  y: ArrayLike<number>,
  alpha: number,
  precision = 1e-12,
): SparseFit {
  const n = rows.length;
  const basis = orthonormalise([new Float64Array(n).fill(1), ...fixed]);
  const project = (vector: Float64Array): Float64Array => {
    for (const { q } of basis) {
      addScaled(vector, q, -dot(q, vector));
    }
    return vector;
  };
  // Flat rows: the products below are where the time goes.
  const starts = new Uint32Array(n + 1);
  rows.forEach((row, i) => {
    starts[i + 1] = starts[i] + row.columns.length;
  });
  const at = new Uint32Array(starts[n]);
  const values = new Float64Array(starts[n]);
  rows.forEach((row, i) => {
    at.set(row.columns, starts[i]);
    values.set(row.values, starts[i]);
  });
  const multiply = (w: Float64Array): Float64Array => {
    const result = new Float64Array(n);
    for (let i = 0; i < n; i++) {
      let sum = 0;
      for (let k = starts[i]; k < starts[i + 1]; k++) {
        sum += values[k] * w[at[k]];
      }
      result[i] = sum;
    }
    return result;
  };
  const transpose = (vector: Float64Array): Float64Array => {
    const result = new Float64Array(columns);
    for (let i = 0; i < n; i++) {
      for (let k = starts[i]; k < starts[i + 1]; k++) {
        result[at[k]] += values[k] * vector[i];
      }
    }
    return result;
  };
  const target = project(Float64Array.from(y));
  const weights = new Float64Array(columns);
  const residual = transpose(target);
  const direction = residual.slice();
  let norm = dot(residual, residual);
  const tolerance = norm * precision ** 2;
  for (let iteration = 0; iteration < 10 * columns && norm > tolerance && norm > 0; iteration++) {
    const image = transpose(project(multiply(direction)));
    addScaled(image, direction, alpha);
    const step = norm / dot(direction, image);
    addScaled(weights, direction, step);
    addScaled(residual, image, -step);
    const next = dot(residual, residual);
    for (let j = 0; j < columns; j++) {
      direction[j] = residual[j] + (next / norm) * direction[j];
    }
    norm = next;
  }
  // What the penalised part leaves is explained by F and the intercept, least squares on a few columns.
  const rest = Float64Array.from(y);
  addScaled(rest, multiply(weights), -1);
  const [intercept, ...coefficients] = leastSquares([new Float64Array(n).fill(1), ...fixed], rest);
  return { weights, intercept: intercept!, coefficients: Float64Array.from(coefficients), alpha };
}

export function sparseDot({ columns, values }: SparseRow, w: ArrayLike<number>): number {
  let sum = 0;
  for (let k = 0; k < columns.length; k++) {
    sum += values[k] * w[columns[k]];
  }
  return sum;
}

/** Coefficients of few columns; one that depends on those before gets 0. */
function leastSquares(columns: readonly ArrayLike<number>[], y: Float64Array): number[] {
  const basis = orthonormalise(columns);
  const result = new Array<number>(columns.length).fill(0);
  for (let i = basis.length - 1; i >= 0; i--) {
    let value = dot(basis[i].q, y);
    for (let j = i + 1; j < basis.length; j++) {
      value -= basis[j].shares[i] * result[basis[j].index];
    }
    result[basis[i].index] = value / basis[i].shares[i];
  }
  return result;
}
