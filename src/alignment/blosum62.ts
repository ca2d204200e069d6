/** The residues in the order of NCBI's matrices. */
const ORDER = 'ARNDCQEGHILKMFPSTWYV';

// Henikoff and Henikoff (1992), in half bits, as NCBI publishes it: the lower triangle in the order above.
const TRIANGLE = `
   4
  -1  5
  -2  0  6
  -2 -2  1  6
   0 -3 -3 -3  9
  -1  1  0  0 -3  5
  -1  0  0  2 -4  2  5
   0 -2  0 -1 -3 -2 -2  6
  -2  0  1 -1 -3  0  0 -2  8
  -1 -3 -3 -3 -1 -3 -3 -4 -3  4
  -1 -2 -3 -4 -1 -2 -3 -4 -3  2  4
  -1  2  0 -1 -3  1  1 -2 -1 -3 -2  5
  -1 -1 -2 -3 -1  0 -2 -3 -2  1  2 -1  5
  -2 -3 -3 -3 -2 -3 -3 -3 -1  0  0 -3  0  6
  -1 -2 -2 -1 -3 -1 -1 -2 -2 -3 -3 -1 -2 -4  7
   1 -1  1  0 -1  0  0  0 -1 -2 -2  0 -1 -2 -1  4
   0 -1  0 -1 -1 -1 -1 -2 -2 -1 -1 -1 -1 -2 -1  1  5
  -3 -3 -4 -4 -2 -2 -3 -2 -2 -3 -2 -3 -1  1 -4 -3 -2 11
  -2 -2 -2 -3 -2 -1 -2 -3  2 -1 -1 -2 -1  3 -3 -2 -2  2  7
   0 -3 -3 -3 -1 -2 -2 -3 -3  3  1 -2  1 -1 -2 -2  0 -3 -1  4
`;

const SCORES: ReadonlyMap<string, number> = readTriangle();

function readTriangle(): Map<string, number> {
  const scores = new Map<string, number>();
  const rows = TRIANGLE.trim().split('\n');
  for (const [i, row] of rows.entries()) {
    for (const [j, score] of row.trim().split(/ +/).entries()) {
      scores.set(ORDER[i] + ORDER[j], Number(score));
      scores.set(ORDER[j] + ORDER[i], Number(score));
    }
  }
  return scores;
}

/**
 * The BLOSUM62 score of two standard residues, in half bits.
 *
 * @example
 * blosum62('W', 'W') // 11
 * blosum62('D', 'E') // 2
 */
export function blosum62(a: string, b: string): number {
  const score = SCORES.get(a + b);
  if (score === undefined) {
    throw new Error(`BLOSUM62 has no score for ${a} and ${b}`);
  }
  return score;
}

/**
 * BLOSUM62 normalised so that each residue's similarity with itself is 1: B(a, b) / √(B(a, a) B(b, b)).
 * @param residues order of rows and columns
 * @returns [residues × residues], row-major
 */
export function normalisedBlosum62(residues: string): Float32Array {
  return Float32Array.from({ length: residues.length ** 2 }, (_, cell) => {
    const a = residues[Math.floor(cell / residues.length)];
    const b = residues[cell % residues.length];
    return blosum62(a, b) / Math.sqrt(blosum62(a, a) * blosum62(b, b));
  });
}
