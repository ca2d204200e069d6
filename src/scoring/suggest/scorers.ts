import { LETTERS } from '../../alignment/index.js';
import { predictHead } from '../heads/assayHead.js';
import { VariantFeatures } from '../heads/features.js';
import { type GaussianHead, predictGaussianHead } from '../heads/gp/gaussianHead.js';
import type { LoadedHead } from '../heads/headFiles.js';
import { applyVariant, type Variant } from '../variants.js';
import type { CandidateScorer } from './suggest.js';

/** Candidates by what a Gaussian process expects of them, without the noise of a measurement. */
export function gaussianScorer(
  head: GaussianHead,
  features: (variants: readonly Variant[]) => VariantFeatures,
): CandidateScorer {
  return {
    async predict(variants) {
      const { mean, deviation } = await predictGaussianHead(head, features(variants));
      return { values: mean, deviations: deviation };
    },
    async sample(variants, draws, random) {
      const { inputs } = await features(variants).gaussian();
      return head.process.sample(
        inputs,
        variants.map((_, i) => i),
        draws,
        random,
      );
    },
  };
}

/** Candidates by a saved head. */
export function headScorer({ head, description, models, scoring }: LoadedHead): CandidateScorer {
  const { wildType } = description;
  if (head.method === 'gp') {
    const { evidence } = head;
    return gaussianScorer(
      head,
      (variants) => new VariantFeatures(models, wildType, variants, { ...scoring, evidence }),
    );
  }
  return { predict: (variants) => predictHead(head, new VariantFeatures(models, wildType, variants, scoring)) };
}

/** The whole sequences that a Gaussian process was fitted to. */
export function trainedSequences({ evidence, training }: GaussianHead): string[] {
  const { n, starts, positions } = training.inputs;
  return Array.from({ length: n }, (_, row) =>
    applyVariant(evidence.wildType, {
      name: '',
      edits: Array.from({ length: starts[row + 1] - starts[row] }, (_, k) => {
        const site = starts[row] + k;
        const start = positions[site];
        return { start, end: start + 1, residues: LETTERS[training.inputs.letters[site]] };
      }),
    }),
  );
}
