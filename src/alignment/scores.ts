import { type Alignment, GAP, LETTERS } from './alignment.js';
import { blosum62 } from './blosum62.js';
import { STATES, siteFrequencies, weightedCounts } from './frequencies.js';
import { effectiveDepth, sequenceWeights } from './weights.js';

/**
 * Scores of substitutions from an alignment, higher is fitter. f are a column's frequencies by weighted rows, a the wild
 * type's letter and b the mutant's:
 * - `site-independent` ln f(b) − ln f(a) over the 20 amino acids, one pseudocount spread over them, rows weighted as by
 *   EVE (Hopf et al. 2017; ProteinGym's Site-Independent);
 * - `log-odds` ln f'(b)/(1 − f'(b)) − ln f'(a)/(1 − f'(a)) over 21 letters, the gap one of them, f' = 0.99 f + 0.01/21;
 *   rows that are there twice, and those whose identity with the query is at most 0.35, are left out (LOR of the package
 *   rsalor, Tsishyn et al. 2025, with the sign turned);
 * - `rsalor` log-odds times 1 − relative solvent accessibility;
 * - `pssm` the position-specific matrix of PSI-BLAST: frequencies mixed with what BLOSUM62 expects beside them
 *   (Altschul et al. 1997), rows weighted as by EVE.
 */
export const ALIGNMENT_SCHEMES = ['site-independent', 'log-odds', 'rsalor', 'pssm'] as const;
export type AlignmentScheme = (typeof ALIGNMENT_SCHEMES)[number];

/** What a scheme says of each letter in each column. */
export interface SchemeTerms {
  /** [length × 20] A substitution's score is the mutant letter's term minus the wild type's. */
  terms: Float64Array;
  /** Rows that were counted. */
  depth: number;
  /** The sum of their weights. */
  effectiveDepth: number;
}

/** The terms of a scheme; those of `rsalor` are `log-odds`', which whoever has the structure multiplies. */
export function schemeTerms(alignment: Alignment, scheme: AlignmentScheme): SchemeTerms {
  const kept = scheme === 'log-odds' || scheme === 'rsalor' ? relatedRows(alignment) : alignment;
  const weights = sequenceWeights(kept, { weighting: kept === alignment ? 'eve' : 'rsalor' });
  const counts = weightedCounts(kept, weights);
  const effective = effectiveDepth(weights);
  const terms = kept !== alignment ? logOdds(counts, effective) : scheme === 'pssm' ? pssm(counts) : siteTerms(counts);
  return { terms, depth: kept.depth, effectiveDepth: effective };
}

/** Least identity of a row with the query, over the row's residues, that the package rsalor keeps it above. */
const LEAST_IDENTITY = 0.35;

/**
 * An alignment without the rows that repeat an earlier one, and without those whose identity with the query is at most
 * `identity`: residues in common over the row's residues, as the package rsalor counts it.
 */
export function relatedRows(alignment: Alignment, identity = LEAST_IDENTITY): Alignment {
  const { depth, length, rows, names } = alignment;
  const query = rows.subarray(0, length);
  const seen = new Set<string>();
  const kept: number[] = [];
  for (let i = 0; i < depth; i++) {
    const row = rows.subarray(i * length, (i + 1) * length);
    let residues = 0;
    let common = 0;
    for (const [column, code] of row.entries()) {
      residues += Number(code < GAP);
      common += Number(code < GAP && code === query[column]);
    }
    const key = Buffer.from(row).toString('latin1');
    if (!seen.has(key)) {
      seen.add(key);
      if (common / residues > identity) {
        kept.push(i);
      }
    }
  }
  const selected = new Uint8Array(kept.length * length);
  for (const [to, from] of kept.entries()) {
    selected.set(rows.subarray(from * length, (from + 1) * length), to * length);
  }
  return { ...alignment, depth: kept.length, rows: selected, names: kept.map((i) => names[i]) };
}

function siteTerms(counts: Float64Array): Float64Array {
  return siteFrequencies(counts).map(Math.log);
}

function logOdds(counts: Float64Array, total: number): Float64Array {
  return columns(counts, (own, letter) => {
    const frequency = (0.99 * own[letter]) / total + 0.01 / STATES;
    return Math.log(frequency / (1 - frequency));
  });
}

/** Frequencies of amino acids in proteins (Robinson and Robinson 1991), which BLAST expects. */
const BACKGROUND: Readonly<Record<string, number>> = {
  A: 0.07805,
  C: 0.01925,
  D: 0.05364,
  E: 0.06295,
  F: 0.03856,
  G: 0.07377,
  H: 0.02199,
  I: 0.05142,
  K: 0.05744,
  L: 0.09019,
  M: 0.02243,
  N: 0.04487,
  P: 0.05203,
  Q: 0.04264,
  R: 0.05129,
  S: 0.0712,
  T: 0.05841,
  V: 0.06441,
  W: 0.0133,
  Y: 0.03216,
};
/** BLOSUM62's scale without gaps: the odds that a score s stands for are exp(λ s). */
const LAMBDA = 0.3176;
/** Weight of the pseudocounts (β of Altschul et al. 1997). */
const PSEUDOCOUNTS = 10;

/**
 * ln Q/P, Q = (α f + β g)/(α + β) with g(b) = Σ_a f(a) P(b) exp(λ s(a, b)), β = 10 and α the mean number of different
 * letters in a column, the gap with them, less one. A column without a residue has Q = P.
 */
function pssm(counts: Float64Array): Float64Array {
  const letters = [...LETTERS];
  const odds = letters.map((b) => letters.map((a) => Math.exp(LAMBDA * blosum62(a, b))));
  const seen = counts.reduce((sum, count) => sum + Number(count > 0), 0);
  const alpha = seen / (counts.length / STATES) - 1;
  return columns(counts, (own, letter) => {
    const total = own.reduce((sum, count) => sum + count, 0);
    if (total === 0) {
      return 0;
    }
    const background = BACKGROUND[LETTERS[letter]];
    const expected = own.reduce((sum, count, a) => sum + (count / total) * background * odds[letter][a], 0);
    const mixed = (alpha * (own[letter] / total) + PSEUDOCOUNTS * expected) / (alpha + PSEUDOCOUNTS);
    return Math.log(mixed / background);
  });
}

/** A term for each amino acid of each column, from the column's 20 counts. */
function columns(counts: Float64Array, term: (own: Float64Array, letter: number) => number): Float64Array {
  const length = counts.length / STATES;
  const terms = new Float64Array(length * LETTERS.length);
  for (let column = 0; column < length; column++) {
    const own = counts.subarray(column * STATES, column * STATES + GAP);
    for (let letter = 0; letter < LETTERS.length; letter++) {
      terms[column * LETTERS.length + letter] = term(own, letter);
    }
  }
  return terms;
}
