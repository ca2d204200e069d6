import { blosum62, LETTERS } from '../../../alignment/index.js';

/** Frequencies of amino acids in proteins, in the order of `LETTERS` (Robinson and Robinson 1991). */
const BACKGROUND = [
  0.07805, 0.01925, 0.05364, 0.06295, 0.03856, 0.07377, 0.02199, 0.05142, 0.05744, 0.09019, 0.02243, 0.04487, 0.05203,
  0.04264, 0.05129, 0.0712, 0.05841, 0.06441, 0.0133, 0.03216,
] as const;
/** BLOSUM62's scale: the odds that a score s stands for are exp(λ s). */
const LAMBDA = 0.3176;
/** Weight of the pseudocounts (β of Altschul et al. 1997). */
const PSEUDOCOUNTS = 10;

const A = LETTERS.length;

let conditional: Float64Array | undefined;

/** [20 × 20] p(b | a) of letters beside each other in related proteins, after BLOSUM62. */
function substitutionProbabilities(): Float64Array {
  if (!conditional) {
    conditional = new Float64Array(A * A);
    for (let a = 0; a < A; a++) {
      let total = 0;
      for (let b = 0; b < A; b++) {
        const odds = Math.exp(LAMBDA * blosum62(LETTERS[a], LETTERS[b]));
        total += conditional[a * A + b] = BACKGROUND[b] * odds;
      }
      for (let b = 0; b < A; b++) {
        conditional[a * A + b] /= total;
      }
    }
  }
  return conditional;
}

/**
 * The distribution of letters at each residue of a protein: what its family has there, mixed with what BLOSUM62 expects
 * beside it, p = (n f + 10 g) / (n + 10) with g(b) = Σ_a f(a) p(b | a) and n the effective number of the column's
 * letters (Altschul et al. 1997). Where nothing is known of a residue, g of its own letter.
 *
 * @param counts [length × 20] weighted letters of the family at each residue; 0 where the alignment has no column
 * @returns [length × 20], columns as in `LETTERS`; a residue that is no amino acid has the background
 */
export function siteProfile(wildType: string, counts?: Float64Array): Float64Array {
  const expected = substitutionProbabilities();
  const profile = new Float64Array(wildType.length * A);
  for (let site = 0; site < wildType.length; site++) {
    const seen = counts?.subarray(site * A, (site + 1) * A);
    const n = seen?.reduce((sum, count) => sum + count, 0) ?? 0;
    const own = LETTERS.indexOf(wildType[site]);
    for (let b = 0; b < A; b++) {
      let mixed = 0;
      if (n > 0 && seen) {
        for (let a = 0; a < A; a++) {
          mixed += (seen[a] / n) * expected[a * A + b];
        }
        mixed = (seen[b] + PSEUDOCOUNTS * mixed) / (n + PSEUDOCOUNTS);
      } else {
        mixed = own === -1 ? BACKGROUND[b] : expected[own * A + b];
      }
      profile[site * A + b] = mixed;
    }
  }
  return profile;
}

/**
 * The distribution that scores of single substitutions stand for: their softmax over the letters of each residue.
 * @param scan [length × 20] score of each letter, 0 for the wild type's own; NaN counts as the least of its residue
 */
export function scanProfile(scan: Float64Array): Float64Array {
  const profile = new Float64Array(scan.length);
  for (let at = 0; at < scan.length; at += A) {
    const own = scan.subarray(at, at + A);
    const known = own.filter((score) => !Number.isNaN(score));
    const least = Math.min(...known, 0);
    const most = Math.max(...known, 0);
    const odds = own.map((score) => Math.exp((Number.isNaN(score) ? least : score) - most));
    const total = odds.reduce((sum, value) => sum + value, 0);
    profile.set(
      odds.map((value) => value / total),
      at,
    );
  }
  return profile;
}

/** The normalised geometric mean of two profiles: their log probabilities mixed in equal parts. */
export function mixProfiles(a: Float64Array, b: Float64Array): Float64Array {
  return scanProfile(a.map((p, i) => (Math.log(p) + Math.log(b[i])) / 2));
}
