import { gemm } from './gemm.js';

/** Rows of a diagonal block, which is factored in double precision. */
const BLOCK = 128;

/**
 * The Cholesky factor of a symmetric positive definite matrix, K = L Lᵀ, by blocks of columns on the matrix product of
 * the CPU engine: products in single precision, diagonal blocks and vectors in double. `solve` is refined against K
 * itself, which stays in the upper triangle, so that it is as good as the matrix is given.
 */
export class Cholesky {
  /** Inverses of the diagonal blocks, one after another [BLOCK × BLOCK]. */
  private readonly inverses: Float32Array;

  private constructor(
    readonly n: number,
    /** [n × n] L on and below the diagonal, K above it. */
    private readonly matrix: Float32Array,
    /** [n] K's diagonal. */
    private readonly diagonal: Float64Array,
  ) {
    this.inverses = new Float32Array(Math.ceil(n / BLOCK) * BLOCK * BLOCK);
  }

  /**
   * Factors a matrix in its place. Memory beside it: two panels of n × 128.
   * @param matrix [n × n], symmetric; changed
   * @returns undefined where the matrix is not positive definite in single precision
   */
  static factor(matrix: Float32Array, n: number): Cholesky | undefined {
    const diagonal = Float64Array.from({ length: n }, (_, i) => matrix[i * n + i]);
    const factor = new Cholesky(n, matrix, diagonal);
    return factor.run() ? factor : undefined;
  }

  private run(): boolean {
    const { n, matrix, inverses } = this;
    const panel = new Float32Array(n * BLOCK);
    const solved = new Float32Array(n * BLOCK);
    for (let start = 0; start < n; start += BLOCK) {
      const width = Math.min(BLOCK, n - start);
      const height = n - start;
      // The block's columns of K, less what the columns before explain.
      for (let j = 0; j < width; j++) {
        const row = (start + j) * n;
        for (let i = 0; i < height; i++) {
          panel[i * width + j] = i < j ? 0 : matrix[row + start + i];
        }
        panel[j * width + j] = this.diagonal[start + j];
      }
      if (start > 0) {
        gemm({
          m: height,
          n: width,
          k: start,
          a: { data: matrix, offset: start * n, stride: n },
          b: { data: matrix, offset: start * n, stride: n },
          transposeB: true,
          c: { data: panel },
          alpha: -1,
          accumulate: true,
        });
      }
      const block = factorBlock(panel, width);
      if (!block) {
        return false;
      }
      const inverse = invertBlock(block, width);
      const at = start * BLOCK;
      inverses.set(inverse, at);
      for (let i = 0; i < width; i++) {
        for (let j = 0; j <= i; j++) {
          matrix[(start + i) * n + start + j] = block[i * width + j];
        }
      }
      const below = height - width;
      if (below > 0) {
        gemm({
          m: below,
          n: width,
          k: width,
          a: { data: panel, offset: width * width },
          b: { data: inverses, offset: at },
          transposeB: true,
          c: { data: solved },
        });
        for (let i = 0; i < below; i++) {
          matrix.set(solved.subarray(i * width, (i + 1) * width), (start + width + i) * n + start);
        }
      }
    }
    return true;
  }

  /** ln det K. */
  logDeterminant(): number {
    let sum = 0;
    for (let i = 0; i < this.n; i++) {
      sum += 2 * Math.log(this.matrix[i * this.n + i]);
    }
    return sum;
  }

  /** K⁻¹ y [n], with two rounds of iterative refinement in double precision. */
  solve(y: ArrayLike<number>): Float64Array {
    const x = this.substitute(Float64Array.from(y));
    for (let round = 0; round < 2; round++) {
      const residual = this.multiply(x);
      for (let i = 0; i < this.n; i++) {
        residual[i] = y[i] - residual[i];
      }
      const correction = this.substitute(residual);
      for (let i = 0; i < this.n; i++) {
        x[i] += correction[i];
      }
    }
    return x;
  }

  /**
   * L⁻¹ B, in B's place.
   * @param b [n × columns], row-major
   */
  halfSolve(b: Float32Array, columns: number): void {
    const { n, matrix, inverses } = this;
    const block = new Float32Array(BLOCK * columns);
    for (let start = 0; start < n; start += BLOCK) {
      const width = Math.min(BLOCK, n - start);
      const own = { data: b, offset: start * columns };
      if (start > 0) {
        gemm({
          m: width,
          n: columns,
          k: start,
          a: { data: matrix, offset: start * n, stride: n },
          b: { data: b },
          c: own,
          alpha: -1,
          accumulate: true,
        });
      }
      gemm({
        m: width,
        n: columns,
        k: width,
        a: { data: inverses, offset: start * BLOCK },
        b: own,
        c: { data: block },
      });
      b.set(block.subarray(0, width * columns), start * columns);
    }
  }

  /** K⁻¹ [n × n]. */
  inverse(): Float32Array {
    const { n } = this;
    const half = new Float32Array(n * n);
    for (let i = 0; i < n; i++) {
      half[i * n + i] = 1;
    }
    this.halfSolve(half, n);
    const inverse = new Float32Array(n * n);
    gemm({ m: n, n, k: n, a: { data: half }, transposeA: true, b: { data: half }, c: { data: inverse } });
    return inverse;
  }

  /** L x [n]: of independent standard normal x, a draw with the covariance K. */
  multiplyFactor(x: Float64Array): Float64Array {
    const { n, matrix } = this;
    return x.map((_, i) => {
      let sum = 0;
      for (let j = 0; j <= i; j++) {
        sum += matrix[i * n + j] * x[j];
      }
      return sum;
    });
  }

  /** L⁻ᵀ L⁻¹ x, in x's place. */
  private substitute(x: Float64Array): Float64Array {
    const { n, matrix } = this;
    for (let i = 0; i < n; i++) {
      const row = i * n;
      let sum = x[i];
      for (let j = 0; j < i; j++) {
        sum -= matrix[row + j] * x[j];
      }
      x[i] = sum / matrix[row + i];
    }
    for (let i = n - 1; i >= 0; i--) {
      const row = i * n;
      const value = x[i] / matrix[row + i];
      x[i] = value;
      for (let j = 0; j < i; j++) {
        x[j] -= matrix[row + j] * value;
      }
    }
    return x;
  }

  /** K x. */
  private multiply(x: Float64Array): Float64Array {
    const { n, matrix, diagonal } = this;
    const result = Float64Array.from(x, (value, i) => value * diagonal[i]);
    for (let i = 0; i < n; i++) {
      const row = i * n;
      const own = x[i];
      let sum = 0;
      for (let j = i + 1; j < n; j++) {
        const value = matrix[row + j];
        sum += value * x[j];
        result[j] += value * own;
      }
      result[i] += sum;
    }
    return result;
  }
}

/** The factor of the upper left [n × n] of a panel, zeros above its diagonal; undefined where it is not positive. */
function factorBlock(panel: Float32Array, n: number): Float64Array | undefined {
  const l = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = panel[i * n + j];
      for (let k = 0; k < j; k++) {
        sum -= l[i * n + k] * l[j * n + k];
      }
      if (i !== j) {
        l[i * n + j] = sum / l[j * n + j];
      } else if (sum > 0) {
        l[i * n + i] = Math.sqrt(sum);
      } else {
        return undefined;
      }
    }
  }
  return l;
}

/** The inverse of a lower triangle. */
function invertBlock(l: Float64Array, n: number): Float64Array {
  const inverse = new Float64Array(n * n);
  for (let j = 0; j < n; j++) {
    inverse[j * n + j] = 1 / l[j * n + j];
    for (let i = j + 1; i < n; i++) {
      let sum = 0;
      for (let k = j; k < i; k++) {
        sum += l[i * n + k] * inverse[k * n + j];
      }
      inverse[i * n + j] = -sum / l[i * n + i];
    }
  }
  return inverse;
}
