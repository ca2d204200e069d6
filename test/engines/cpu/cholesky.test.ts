import { CholeskyDecomposition, Matrix } from 'ml-matrix';
import { describe, expect, test } from 'vitest';
import { Random } from '../../../src/data/random.js';
import { Cholesky } from '../../../src/engines/cpu/cholesky.js';

/** A symmetric positive definite matrix with eigenvalues from about 0.1 to n. */
function positiveDefinite(n: number): Matrix {
  const random = new Random(3, n);
  const points = Array.from({ length: n }, () => [random.normal(), random.normal()]);
  return new Matrix(
    points.map((a, i) =>
      points.map((b, j) => Math.fround(Math.exp(-((a[0] - b[0]) ** 2) - (a[1] - b[1]) ** 2) + (i === j ? 0.1 : 0))),
    ),
  );
}

function difference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  return Math.max(...Array.from(a, (value, i) => Math.abs(value - b[i])));
}

const flat = (matrix: Matrix) => Float32Array.from(matrix.to1DArray());

describe.each([5, 128, 300])('a matrix of %i rows', (n) => {
  const matrix = positiveDefinite(n);
  const oracle = new CholeskyDecomposition(matrix);
  const random = new Random(4);
  const y = Float64Array.from({ length: n }, () => random.normal());
  const factor = () => Cholesky.factor(flat(matrix), n)!;

  test('solves as a decomposition in double precision does', () => {
    const expected = oracle.solve(Matrix.columnVector(y)).to1DArray();
    const solved = factor().solve(y);
    const largest = Math.max(...expected.map(Math.abs));
    expect(difference(solved, expected)).toBeLessThan(1e-9 * largest);
  });

  test('tells the logarithm of the determinant', () => {
    const l = oracle.lowerTriangularMatrix;
    const expected = l.diag().reduce((sum, value) => sum + 2 * Math.log(value), 0);
    expect(factor().logDeterminant()).toBeCloseTo(expected, 2);
  });

  test('inverts, and solves with half of itself', () => {
    const inverse = oracle.solve(Matrix.eye(n)).to1DArray();
    expect(difference(factor().inverse(), inverse)).toBeLessThan(2e-3);
    const l = oracle.lowerTriangularMatrix;
    const half = flat(Matrix.eye(n, 3));
    factor().halfSolve(half, 3);
    const back = l.mmul(Matrix.from1DArray(n, 3, half));
    expect(difference(back.to1DArray(), Matrix.eye(n, 3).to1DArray())).toBeLessThan(2e-4);
  });

  test('multiplies a vector by the factor', () => {
    const expected = oracle.lowerTriangularMatrix.mmul(Matrix.columnVector(y)).to1DArray();
    expect(difference(factor().multiplyFactor(y), expected)).toBeLessThan(1e-4);
  });
});

test('a matrix that is not positive definite has no factor, and keeps what lies above its diagonal', () => {
  const matrix = Float32Array.of(1, 2, 2, 1);
  expect(Cholesky.factor(matrix, 2)).toBeUndefined();
  expect(matrix[1]).toBe(2);
});
