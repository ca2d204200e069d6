import { blosum62 } from './blosum62.js';

/** Cost of a gap's first residue, and of each further one, as BLAST has them beside BLOSUM62. */
const OPEN = 12;
const EXTEND = 1;
/** Scale and size of scores of gapped alignments by chance, with these (Altschul and Gish 1996). */
const LAMBDA = 0.267;
const K = 0.041;

/** Two sequences, one along the other. */
export interface PairwiseAlignment {
  /** [second.length] Which residue of the first each of the second's stands beside, from 0; -1 for none. */
  partners: Int32Array;
  /** Pairs of residues, and how many of them are equal. */
  pairs: number;
  identical: number;
  /** How many alignments as good are expected of sequences as long by chance. */
  expected: number;
}

/**
 * Aligns two sequences from end to end, with what one has more at either end for nothing: BLOSUM62 with affine gaps
 * (Gotoh 1982). Letters that are no standard amino acid match nothing and cost 1. A sequence that lies in the other as
 * it is is found at once.
 */
export function alignPair(first: string, second: string): PairwiseAlignment {
  const inside = first.includes(second) ? first.indexOf(second) : -second.indexOf(first);
  if (first.includes(second) || second.includes(first)) {
    const partners = Int32Array.from(second, (_, i) =>
      inside + i >= 0 && inside + i < first.length ? inside + i : -1,
    );
    return summary(first, second, partners, selfScore(first.length < second.length ? first : second));
  }
  const { partners, score } = dynamicProgramming(first, second);
  return summary(first, second, partners, score);
}

function summary(first: string, second: string, partners: Int32Array, score: number): PairwiseAlignment {
  let pairs = 0;
  let identical = 0;
  for (const [i, partner] of partners.entries()) {
    pairs += Number(partner >= 0);
    identical += Number(partner >= 0 && first[partner] === second[i]);
  }
  return { partners, pairs, identical, expected: K * first.length * second.length * Math.exp(-LAMBDA * score) };
}

function selfScore(sequence: string): number {
  return [...sequence].reduce((sum, letter) => sum + substitution(letter, letter), 0);
}

const STANDARD = new Set('ACDEFGHIKLMNPQRSTVWY');

function substitution(a: string, b: string): number {
  return STANDARD.has(a) && STANDARD.has(b) ? blosum62(a, b) : -1;
}

// Which of three matrices a best path comes from: pairs, a gap in the second, a gap in the first.
const PAIR = 0;
const DELETION = 1;
const INSERTION = 2;

function dynamicProgramming(first: string, second: string): { partners: Int32Array; score: number } {
  const [n, m] = [first.length, second.length];
  const letters = [...new Set(first + second)];
  const codes = (sequence: string) => Uint8Array.from(sequence, (letter) => letters.indexOf(letter));
  const [a, b] = [codes(first), codes(second)];
  const scores = Float64Array.from({ length: letters.length ** 2 }, (_, cell) =>
    substitution(letters[Math.floor(cell / letters.length)], letters[cell % letters.length]),
  );
  // Where each cell's best path of each kind comes from, two bits a kind.
  const trace = new Uint8Array((n + 1) * (m + 1));
  let best = [
    new Float64Array(m + 1),
    new Float64Array(m + 1).fill(-Infinity),
    new Float64Array(m + 1).fill(-Infinity),
  ];
  let end = { score: -Infinity, i: 0, j: 0 };
  for (let i = 1; i <= n; i++) {
    const next = [new Float64Array(m + 1), new Float64Array(m + 1), new Float64Array(m + 1)];
    next[DELETION][0] = -Infinity;
    next[INSERTION][0] = -Infinity;
    for (let j = 1; j <= m; j++) {
      const from = largest(best[PAIR][j - 1], best[DELETION][j - 1], best[INSERTION][j - 1]);
      next[PAIR][j] = best[from][j - 1] + scores[a[i - 1] * letters.length + b[j - 1]];
      const up = largest(best[PAIR][j] - OPEN, best[DELETION][j] - EXTEND, best[INSERTION][j] - OPEN);
      next[DELETION][j] = best[up][j] - (up === DELETION ? EXTEND : OPEN);
      const left = largest(next[PAIR][j - 1] - OPEN, next[DELETION][j - 1] - OPEN, next[INSERTION][j - 1] - EXTEND);
      next[INSERTION][j] = next[left][j - 1] - (left === INSERTION ? EXTEND : OPEN);
      trace[i * (m + 1) + j] = from | (up << 2) | (left << 4);
      if ((i === n || j === m) && next[PAIR][j] > end.score) {
        end = { score: next[PAIR][j], i, j };
      }
    }
    best = next;
  }
  const partners = new Int32Array(m).fill(-1);
  let { i, j } = end;
  let kind = PAIR;
  while (i > 0 && j > 0) {
    const step = trace[i * (m + 1) + j];
    if (kind === PAIR) {
      partners[j - 1] = i - 1;
      kind = step & 3;
      i--;
      j--;
    } else if (kind === DELETION) {
      kind = (step >> 2) & 3;
      i--;
    } else {
      kind = (step >> 4) & 3;
      j--;
    }
  }
  return { partners, score: end.score };
}

/** Which of three numbers is the largest; the first of equal ones. */
function largest(pair: number, deletion: number, insertion: number): number {
  if (pair >= deletion && pair >= insertion) {
    return PAIR;
  }
  return deletion >= insertion ? DELETION : INSERTION;
}
