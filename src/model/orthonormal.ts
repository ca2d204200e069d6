/** A vector of an orthonormal basis, and how the one that it comes from is made of the basis. */
export interface BasisVector {
  /** Of length one, orthogonal to those before. */
  q: Float64Array;
  /** Index of the vector that it comes from. */
  index: number;
  /** That vector's share of each vector of the basis, itself last: a column of QR's triangle. */
  shares: number[];
}

/**
 * Gram-Schmidt, twice over for vectors orthogonal to working precision. Vectors that depend on those before (of a share
 * of 1e-10 of their length or less) drop out.
 */
export function orthonormalise(vectors: readonly ArrayLike<number>[]): BasisVector[] {
  const basis: BasisVector[] = [];
  vectors.forEach((vector, index) => {
    const q = Float64Array.from(vector);
    const before = norm(q);
    const shares = new Array<number>(basis.length).fill(0);
    for (let pass = 0; pass < 2; pass++) {
      basis.forEach(({ q: other }, i) => {
        const along = dot(other, q);
        shares[i] += along;
        addScaled(q, other, -along);
      });
    }
    const length = norm(q);
    if (length > 1e-10 * before) {
      basis.push({ q: q.map((value) => value / length), index, shares: [...shares, length] });
    }
  });
  return basis;
}

export function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) {
    sum += a[i] * b[i];
  }
  return sum;
}

/** Adds `factor` times a vector to `target`. */
export function addScaled(target: Float64Array, vector: ArrayLike<number>, factor: number): void {
  for (let i = 0; i < target.length; i++) {
    target[i] += factor * vector[i];
  }
}

/** The Euclidean length, as Math.hypot has it, of any number of elements: scaled, with a compensated sum (Kahan 1965). */
function norm(vector: Float64Array): number {
  const largest = vector.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  if (largest === 0) {
    return 0;
  }
  let sum = 0;
  let compensation = 0;
  for (const value of vector) {
    const summand = (value / largest) ** 2 - compensation;
    const next = sum + summand;
    compensation = next - sum - summand;
    sum = next;
  }
  return Math.sqrt(sum) * largest;
}
