import { LETTERS } from '../alignment/alignment.js';
import type { LanguageModel } from '../model/model.js';
import { type ProteinEvidence, scoreByEvidence } from './evidence.js';
import { type ScoreOptions, scoreVariants } from './schemes.js';
import { singleSubstitutions, type Variant } from './variants.js';

/**
 * How the scores of models and of an alignment become one:
 * - `z` the sum of both, each less its mean and over its deviation over all single substitutions of the protein, so
 *   that a variant's score does not hang on which others are asked for;
 * - `mixture` (1 − α) times the models' and α times the alignment's: log probabilities mixed, as Tranception does with
 *   α = 0.6 (Notin et al. 2022), where the scheme is `site-independent`.
 */
export const BLENDS = ['z', 'mixture'] as const;
export type Blend = (typeof BLENDS)[number];

export interface BlendOptions {
  /** Default `z`. */
  blend?: Blend;
  /** α of `mixture`, the alignment's share; default 0.6. */
  alignmentShare?: number;
}

/**
 * Zero-shot scores of variants by models, by an alignment, or by both (`BLENDS`); with a structure each residue's part
 * is multiplied by 1 − its solvent accessibility. NaN where one of them has no score.
 * @param models may be empty where there is an alignment
 * @returns [variants]
 */
export async function scoreZeroShot(
  models: readonly LanguageModel[],
  evidence: ProteinEvidence,
  wildType: string,
  variants: readonly Variant[],
  options: ScoreOptions & BlendOptions = {},
): Promise<Float64Array> {
  if (models.length === 0) {
    return scoreByEvidence(evidence, wildType, variants);
  }
  const settings = { ...options, factors: evidence.factors };
  if (!evidence.terms) {
    return scoreVariants(models, wildType, variants, settings);
  }
  if (options.blend === 'mixture') {
    const byModels = await scoreVariants(models, wildType, variants, settings);
    const byFamily = scoreByEvidence(evidence, wildType, variants);
    const { alignmentShare = 0.6 } = options;
    return byModels.map((score, i) => (1 - alignmentShare) * score + alignmentShare * byFamily[i]);
  }
  const singles = [...singleSubstitutions(wildType, LETTERS)].filter(({ edits: [{ start }] }) => {
    return LETTERS.includes(wildType[start]);
  });
  const all = [...singles, ...variants];
  const byModels = await scoreVariants(models, wildType, all, settings);
  const byFamily = scoreByEvidence(evidence, wildType, all);
  const both = [...singles.keys()].filter((i) => !Number.isNaN(byModels[i] + byFamily[i]));
  const standards = [byModels, byFamily].map((scores) => standardised(scores, both));
  return standards[0].map((score, i) => score + standards[1][i]).subarray(singles.length);
}

/** Scores less their mean and over their deviation, both over the rows named; deviation 0 leaves the difference. */
function standardised(scores: Float64Array, rows: readonly number[]): Float64Array {
  const mean = rows.reduce((sum, row) => sum + scores[row], 0) / rows.length;
  const deviation = Math.sqrt(rows.reduce((sum, row) => sum + (scores[row] - mean) ** 2, 0) / rows.length) || 1;
  return scores.map((score) => (score - mean) / deviation);
}
