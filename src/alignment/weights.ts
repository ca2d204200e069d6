import { identityCounts } from '../engines/cpu/identityCounts.js';
import { type Alignment, GAP } from './alignment.js';

/**
 * Who counts as a row's neighbour at an identity of t, by the programs that weights are compared with:
 * - `eve` the residues in common are more than t of the row's residues: gaps count nowhere (Frazer et al. 2021; of
 *   GEMME, Tranception and ProteinGym too);
 * - `evcouplings` the letters in common, gaps with them, are at least t of the columns (Hopf et al. 2019);
 * - `rsalor` the letters in common, gaps with them, are more than ⌊t L⌋ of the L columns (Tsishyn et al. 2025).
 */
export const WEIGHTINGS = ['eve', 'evcouplings', 'rsalor'] as const;
export type Weighting = (typeof WEIGHTINGS)[number];

export interface WeightOptions {
  /** Default `eve`. */
  weighting?: Weighting;
  /** Identity from which rows are neighbours; default 0.8. */
  identity?: number;
}

/**
 * The weight of each row: 1 / (rows that are its neighbours, itself included), 0 for a row without a residue under
 * `eve`. Takes time quadratic in the rows: on all threads where the native CPU engine is built.
 * @returns [depth]
 */
export function sequenceWeights(alignment: Alignment, options: WeightOptions = {}): Float64Array {
  const { depth, length, rows } = alignment;
  const { weighting = 'eve', identity = 0.8 } = options;
  // The least number of letters in common that makes a neighbour.
  const needed = new Int32Array(depth);
  if (weighting === 'eve') {
    for (let row = 0; row < depth; row++) {
      const residues = rows
        .subarray(row * length, (row + 1) * length)
        .reduce((sum, code) => sum + Number(code < GAP), 0);
      needed[row] = residues === 0 ? length + 1 : least(length, (common) => common / residues > identity);
    }
  } else if (weighting === 'evcouplings') {
    needed.fill(least(length, (common) => common / length >= identity));
  } else {
    // The package counts in single precision.
    needed.fill(Math.floor(Math.fround(Math.fround(identity) * length)) + 1);
  }
  const counts = identityCounts(rows, depth, length, needed, weighting === 'eve' ? GAP : undefined);
  return Float64Array.from(counts, (count) => (count === 0 ? 0 : 1 / count));
}

/** The effective number of sequences: the sum of the weights. */
export function effectiveDepth(weights: Float64Array): number {
  return weights.reduce((sum, weight) => sum + weight, 0);
}

function least(length: number, isEnough: (common: number) => boolean): number {
  let common = 0;
  while (common <= length && !isEnough(common)) {
    common++;
  }
  return common;
}
