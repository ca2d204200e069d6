import type { Alphabet } from '../data/alphabet.js';
import { InputError } from '../data/errors.js';
import type { LanguageModel } from '../model/model.js';
import { type InferenceOptions, type Reading, readLogProbabilities } from './inference.js';
import { applyVariant, isSubstitution, type Variant } from './variants.js';

/**
 * Zero-shot schemes. M are a variant's positions, x the wild type, y the mutated sequence, x\i with i masked:
 * - `masked-marginals` Σ_M log p(y_i | x\i) − log p(x_i | x\i), each position masked alone (ProteinGym; Meier et al.
 *   2021, section 3, mask all of M together: `maskTogether`);
 * - `wt-marginals` Σ_M log p(y_i | x) − log p(x_i | x), one pass for all;
 * - `mutant-marginals` Σ_M log p(y_i | y) − log p(x_i | y), one pass a variant;
 * - `pseudo-perplexity` the difference of pseudo-log-likelihoods, PLL(y) − PLL(x), PLL(s) = Σ_i log p(s_i | s\i)
 *   (Salazar et al. 2020): each token is masked and that same token scored;
 * - `log-likelihood` Σ_i log p(s_i | s_<i), `<eos>` included, of y minus of x: for causal models.
 *
 * Insertions and deletions have no common positions: under every marginals scheme they get PLL(y) / |y| − PLL(x) / |x|,
 * the difference of means over residues, as Tranception (Notin et al. 2022) and ProteinGym's baselines of whole sequences
 * score indels: of sums the length would decide. They compare with each other, with the sums of substitutions they do not.
 */
export const SCHEMES = [
  'masked-marginals',
  'wt-marginals',
  'mutant-marginals',
  'pseudo-perplexity',
  'log-likelihood',
] as const;
export type Scheme = (typeof SCHEMES)[number];

/** How a pseudo-log-likelihood is computed: each token masked, or all read from one pass (Brandes et al. 2023). */
export const LIKELIHOODS = ['masked', 'single-pass'] as const;
export type Likelihood = (typeof LIKELIHOODS)[number];

/** What several models' scores of a variant become: their mean, or the least of them, which all of them must like. */
export const ENSEMBLES = ['mean', 'min'] as const;
export type Ensemble = (typeof ENSEMBLES)[number];

export interface ScoreOptions extends InferenceOptions {
  /** Default `masked-marginals`; for a causal model `log-likelihood`. */
  scheme?: Scheme;
  /** With `masked-marginals`: masks all positions of a variant together. */
  maskTogether?: boolean;
  /** Pseudo-log-likelihood of insertions and deletions; default `masked`. */
  indels?: Likelihood;
  /**
   * Divides a likelihood by its sequence's length before the difference; `indels` (default) those of insertions and
   * deletions, as the field does.
   */
  perResidue?: boolean | 'indels';
  /** Default `mean`. */
  ensemble?: Ensemble;
  /**
   * [wild type] What the terms of each residue are multiplied by, such as 1 − its solvent accessibility; where a scheme
   * has no terms of residues, the score is multiplied by their mean over those that change. NaN leaves no score.
   */
  factors?: Float64Array;
  /** Called as readings are done, of all models together. */
  onProgress?: (done: number, total: number) => void;
}

/**
 * Zero-shot scores of variants, higher is fitter; several models are an ensemble.
 *
 * Synonymous variants and the wild type score 0. A variant that the models have no token for gets NaN: one with a stop
 * codon, with a letter outside the vocabulary (such as J), or without any residue left.
 *
 * Positions are masked once however many variants share them, and equal sequences are computed once.
 *
 * @param wildType upper-case residues
 * @returns [variants.length]
 */
export async function scoreVariants(
  models: readonly LanguageModel[],
  wildType: string,
  variants: readonly Variant[],
  options: ScoreOptions = {},
): Promise<Float64Array> {
  if (wildType === '') {
    throw new InputError('the wild type has no residues; give a sequence');
  }
  const least = options.ensemble === 'min';
  const scores = new Float64Array(variants.length).fill(least ? Number.POSITIVE_INFINITY : 0);
  const plans = models.map((model) => planScores(model, wildType, variants, options));
  const total = plans.reduce((sum, plan) => sum + plan.readings, 0);
  let done = 0;
  for (const plan of plans) {
    const own = await plan.run(() => options.onProgress?.(++done, total));
    for (let i = 0; i < scores.length; i++) {
      scores[i] = least ? Math.min(scores[i], own[i]) : scores[i] + own[i] / models.length;
    }
  }
  return scores;
}

/** The scheme that fits a model where none is asked for. */
export function defaultScheme(model: LanguageModel): Scheme {
  return model.config.attention.causal ? 'log-likelihood' : 'masked-marginals';
}

const AMINO_ACIDS = 'ACDEFGHIKLMNPQRSTVWY';

/** Why a model, or without one what knows the 20 amino acids, has no score for a variant; undefined where it has. */
export function unscorable(model: LanguageModel | undefined, wildType: string, variant: Variant): string | undefined {
  for (const { start, end, residues } of variant.edits) {
    if (residues.includes('*')) {
      return 'stop codon';
    }
    if (!model) {
      const other = [...residues].find((letter) => !AMINO_ACIDS.includes(letter));
      if (other !== undefined) {
        return `letter ${other}, which is no amino acid`;
      }
      continue;
    }
    const { alphabet } = model;
    const at = alphabet.encodeResidues(residues).indexOf(alphabet.unk);
    if (at !== -1) {
      return `unknown letter ${residues[at]}`;
    }
    const changed = residues + wildType.slice(start, end);
    const ambiguous = changed[alphabet.encodeResidues(changed).findIndex((id) => !isScored(alphabet, id))];
    if (ambiguous !== undefined) {
      return `letter ${ambiguous}, which the model does not predict`;
    }
  }
  const { edits } = variant;
  const whole = edits.length === 1 && edits[0].start === 0 && edits[0].end === wildType.length;
  return whole && edits[0].residues === '' ? 'no residue left' : undefined;
}

/** Whether a token's probability means something: not where the model is never asked for it, as for a nucleotide's N. */
function isScored(alphabet: Alphabet, id: number): boolean {
  return alphabet.isTarget(id) || !alphabet.isLetter(id);
}

/** Positions in a sequence's tokens that its likelihood consists of. */
function scoredPositions(alphabet: Alphabet, sequence: string): number[] {
  const ids = alphabet.encodeResidues(sequence);
  return Array.from(ids.keys(), (i) => i + 1).filter((position) => isScored(alphabet, ids[position - 1]));
}

/**
 * What a score without terms of residues is multiplied by: the mean of the factors of the residues that a variant
 * changes, of an insertion those of its neighbours.
 */
function factorOf(factors: Float64Array, { edits }: Variant): number {
  const touched = edits.flatMap(({ start, end }) => {
    return [...factors.subarray(start < end ? start : Math.max(start - 1, 0), start < end ? end : start + 1)];
  });
  return touched.reduce((sum, factor) => sum + factor, 0) / touched.length;
}

function checkScheme(model: LanguageModel, scheme: Scheme): void {
  const { causal } = model.config.attention;
  if (causal === (scheme === 'log-likelihood')) {
    return;
  }
  throw new InputError(
    causal
      ? `--scheme ${scheme} reads a token from both sides, which a causal model does not see; use --scheme log-likelihood`
      : '--scheme log-likelihood needs a causal model; use masked-marginals',
  );
}

interface Plan {
  /** How many readings it takes. */
  readings: number;
  run(onReading: () => void): Promise<Float64Array>;
}

function planScores(model: LanguageModel, wildType: string, variants: readonly Variant[], options: ScoreOptions): Plan {
  const scheme = options.scheme ?? defaultScheme(model);
  checkScheme(model, scheme);
  const { perResidue = 'indels' } = options;
  const scores = new Float64Array(variants.length);
  const byPosition: number[] = [];
  const bySequence: number[] = [];
  variants.forEach((variant, i) => {
    if (unscorable(model, wildType, variant)) {
      scores[i] = Number.NaN;
    } else if (variant.edits.length === 0) {
      scores[i] = 0;
    } else if (scheme.endsWith('marginals') && isSubstitution(variant)) {
      byPosition.push(i);
    } else {
      bySequence.push(i);
    }
  });

  const marginals = planMarginals(model, wildType, variants, byPosition, scheme, options);
  const likelihood =
    scheme === 'log-likelihood' ? 'causal' : scheme === 'pseudo-perplexity' ? 'masked' : options.indels;
  const sequences = [...new Set(bySequence.map((i) => applyVariant(wildType, variants[i])))];
  if (sequences.length > 0) {
    sequences.unshift(wildType);
  }
  const likelihoods = planLikelihoods(model, sequences, likelihood ?? 'masked', options);
  return {
    readings: marginals.readings + likelihoods.readings,
    async run(onReading) {
      await marginals.run(scores, onReading);
      const values = new Map<string, { sum: number; mean: number }>();
      for await (const value of likelihoods.run(onReading)) {
        const sequence = sequences[values.size];
        values.set(sequence, { sum: value, mean: value / scoredPositions(model.alphabet, sequence).length });
      }
      for (const i of bySequence) {
        const unit = (perResidue === 'indels' ? !isSubstitution(variants[i]) : perResidue) ? 'mean' : 'sum';
        const difference = values.get(applyVariant(wildType, variants[i]))![unit] - values.get(wildType)![unit];
        scores[i] = options.factors ? difference * factorOf(options.factors, variants[i]) : difference;
      }
      return scores;
    },
  };
}

/** Readings whose rows tell the score of substitutions, and how. */
function planMarginals(
  model: LanguageModel,
  wildType: string,
  variants: readonly Variant[],
  indices: readonly number[],
  scheme: Scheme,
  options: ScoreOptions,
): { readings: number; run(scores: Float64Array, onReading: () => void): Promise<void> } {
  const { alphabet } = model;
  const tokens = alphabet.encode(wildType);
  /** log p(mutant) − log p(wild type) of one substituted token, times its residue's factor. */
  const difference = (position: number, mutant: number, logProbabilities: Float64Array) =>
    (logProbabilities[mutant] - logProbabilities[tokens[position]]) * (options.factors?.[position - 1] ?? 1);
  const mutantsOf = (variant: Variant) =>
    variant.edits.map(({ start, residues }) => ({ position: start + 1, token: alphabet.encodeResidues(residues)[0] }));

  if (scheme === 'mutant-marginals' || options.maskTogether) {
    // One reading for each set of masked positions, or for each mutated sequence.
    const groups = new Map<string, number[]>();
    for (const i of indices) {
      const variant = variants[i];
      const key =
        scheme === 'mutant-marginals'
          ? variant.edits.map(({ start, residues }) => `${start}${residues}`).join()
          : variant.edits.map(({ start }) => start).join();
      const group = groups.get(key);
      if (group) {
        group.push(i);
      } else {
        groups.set(key, [i]);
      }
    }
    function* readings(): Generator<Reading> {
      for (const [first] of groups.values()) {
        const variant = variants[first!];
        const positions = mutantsOf(variant).map(({ position }) => position);
        yield scheme === 'mutant-marginals'
          ? { tokens: alphabet.encode(applyVariant(wildType, variant)), masked: [], positions }
          : { tokens, masked: positions, positions };
      }
    }
    return {
      readings: groups.size,
      async run(scores, onReading) {
        const members = groups.values();
        const mode = scheme === 'mutant-marginals' ? 'overlapping' : 'optimal';
        for await (const rows of readLogProbabilities(model, readings(), options, mode)) {
          for (const i of members.next().value!) {
            scores[i] = mutantsOf(variants[i]).reduce(
              (sum, { position, token }, m) => sum + difference(position, token, rows[m]),
              0,
            );
          }
          onReading();
        }
      },
    };
  }

  const positions = [...new Set(indices.flatMap((i) => mutantsOf(variants[i]).map(({ position }) => position)))];
  positions.sort((a, b) => a - b);
  const alone = scheme === 'masked-marginals';
  const readings: Reading[] = alone
    ? positions.map((position) => ({ tokens, masked: [position], positions: [position] }))
    : positions.length > 0
      ? [{ tokens, masked: [], positions }]
      : [];
  return {
    readings: readings.length,
    async run(scores, onReading) {
      const rowOf = new Map<number, Float64Array>();
      let next = 0;
      for await (const rows of readLogProbabilities(model, readings, options, alone ? 'optimal' : 'overlapping')) {
        for (const row of rows) {
          rowOf.set(positions[next++], row);
        }
        onReading();
      }
      for (const i of indices) {
        scores[i] = mutantsOf(variants[i]).reduce(
          (sum, { position, token }) => sum + difference(position, token, rowOf.get(position)!),
          0,
        );
      }
    },
  };
}

/** (Pseudo-)log-likelihoods of sequences, in their order. */
function planLikelihoods(
  model: LanguageModel,
  sequences: readonly string[],
  likelihood: Likelihood | 'causal',
  options: InferenceOptions,
): { readings: number; run(onReading: () => void): AsyncGenerator<number, void, undefined> } {
  const { alphabet } = model;
  // Tokens of the sequence that its readings tell, <eos> with them in a causal model.
  const toldIn = (sequence: string) => {
    const positions = scoredPositions(alphabet, sequence);
    return likelihood === 'causal' ? [...positions, sequence.length + 1] : positions;
  };
  const perSequence = (told: readonly number[]) => (likelihood === 'masked' ? told.length : 1);
  function* readings(): Generator<Reading> {
    for (const sequence of sequences) {
      const tokens = alphabet.encode(sequence);
      const told = toldIn(sequence);
      if (likelihood === 'masked') {
        for (const position of told) {
          yield { tokens, masked: [position], positions: [position] };
        }
      }
      // A causal model's row i tells token i + 1.
      else {
        yield { tokens, masked: [], positions: likelihood === 'causal' ? told.map((position) => position - 1) : told };
      }
    }
  }
  return {
    readings: sequences.reduce((sum, sequence) => sum + perSequence(toldIn(sequence)), 0),
    async *run(onReading) {
      const mode = likelihood === 'masked' ? 'optimal' : 'overlapping';
      const results = readLogProbabilities(model, readings(), options, mode);
      for (const sequence of sequences) {
        const tokens = alphabet.encode(sequence);
        const told = toldIn(sequence);
        let sum = 0;
        for (let r = 0; r < perSequence(told); r++) {
          const rows = (await results.next()).value!;
          rows.forEach((row, i) => {
            sum += row[tokens[told[r + i]]];
          });
          onReading();
        }
        yield sum;
      }
    },
  };
}

/**
 * Log-likelihoods of sequences, in nats, summed over their residues: PLL(s) = Σ_i log p(s_i | s without s_i) (Salazar et
 * al. 2020), or all terms from a single pass without masks (Brandes et al. 2023); of a causal model
 * Σ_i log p(s_i | s_<i) with the end of the sequence.
 */
export async function* logLikelihoods(
  model: LanguageModel,
  sequences: readonly string[],
  options: InferenceOptions & { likelihood?: Likelihood; onReading?: () => void } = {},
): AsyncGenerator<number, void, undefined> {
  const likelihood = model.config.attention.causal ? 'causal' : (options.likelihood ?? 'masked');
  const plan = planLikelihoods(model, sequences, likelihood, options);
  yield* plan.run(options.onReading ?? (() => {}));
}

/**
 * A sequence's own score, of several models their mean: with `pseudo-perplexity` exp(−PLL / L), how many residues the
 * model wavers between, from 1 (certain) upwards (Lin et al. 2023); with `log-likelihood` the log-likelihood in nats,
 * divided by the length with `perResidue`.
 */
export async function scoreSequence(
  models: readonly LanguageModel[],
  sequence: string,
  options: ScoreOptions = {},
): Promise<number> {
  let mean = 0;
  let done = 0;
  for (const model of models) {
    const scheme = options.scheme ?? defaultScheme(model);
    checkScheme(model, scheme);
    const { length } = scoredPositions(model.alphabet, sequence);
    const total = models.length * (scheme === 'log-likelihood' ? 1 : length);
    const onReading = () => options.onProgress?.(++done, total);
    for await (const value of logLikelihoods(model, [sequence], { ...options, onReading })) {
      const perResidue = value / length;
      if (scheme === 'log-likelihood') {
        mean += (options.perResidue === true ? perResidue : value) / models.length;
      } else {
        mean += Math.exp(-perResidue) / models.length;
      }
    }
  }
  return mean;
}
