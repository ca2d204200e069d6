import { InputError } from '../../data/errors.js';
import { Random } from '../../data/random.js';
import { applyVariant, type Variant } from '../variants.js';
import { type Acquisition, expectedImprovement, upperConfidenceBound } from './acquisition.js';
import type { VariantSpace } from './variantSpace.js';

/** What scores candidates: a head, or a zero-shot scorer. */
export interface CandidateScorer {
  /** Values, higher is better, and the standard deviations of what is expected where they are known. */
  predict(variants: readonly Variant[]): Promise<{ values: ArrayLike<number>; deviations?: ArrayLike<number> }>;
  /** Joint draws of the variants' values, [draws][variants]. */
  sample?(variants: readonly Variant[], draws: number, random: Random): Promise<Float64Array[]>;
}

export interface SuggestOptions {
  /** Variants to suggest; default 96. */
  budget?: number;
  /** Default `mean`, `ei` where the scorer knows deviations. */
  acquisition?: Acquisition;
  /** κ of `ucb`; default 2. */
  kappa?: number;
  /** The best value so far, for `ei`. */
  best?: number;
  /** What a suggestion loses that shares all its mutations with one before it, in standard deviations of the acquisition; default 0. */
  diversity?: number;
  /** Whole sequences that were measured: none of them is suggested. */
  measured?: ReadonlySet<string>;
  /** Up to so many candidates are all scored; default 20,000. */
  enumerate?: number;
  /** How larger spaces are searched; default `beam`. */
  search?: 'beam' | 'evolution';
  /** Variants kept from one round of the search to the next; default 200. */
  width?: number;
  seed?: number;
  onProgress?: (scored: number) => void;
}

/** A variant worth making. */
export interface Suggestion {
  variant: Variant;
  sequence: string;
  value: number;
  deviation?: number;
  /** What it was chosen by; of `thompson` the value of the draw that it was the best of. */
  acquisition: number;
}

interface Candidate {
  variant: Variant;
  sequence: string;
  value: number;
  deviation?: number;
  acquisition: number;
}

/** Candidates that are drawn jointly for `thompson`. */
const DRAWN = 2000;
/** Candidates scored at a time. */
const BATCH = 2000;
/** Generations of `evolution`. */
const GENERATIONS = 20;

/**
 * Which variants to make next. Spaces of up to `enumerate` variants are scored whole. Larger ones are searched from
 * their single substitutions: `beam` extends the best `width` by the best singles, one mutation at a time; `evolution`
 * mutates and crosses them for 20 generations. Of all candidates scored the batch takes the best by acquisition, one
 * after the other, each against those before it where `diversity` is given. `thompson` takes for each suggestion the
 * best of a joint draw over the 2,000 candidates of the highest bound.
 *
 * @throws InputError where an acquisition needs deviations that the scorer does not know
 */
export async function suggestVariants(
  scorer: CandidateScorer,
  space: VariantSpace,
  options: SuggestOptions = {},
): Promise<Suggestion[]> {
  const { budget = 96, diversity = 0, enumerate = 20_000, seed = 0 } = options;
  const random = new Random(seed, budget);
  const pool = new Pool(scorer, space.wildType, options);
  if (space.size <= enumerate) {
    await pool.add([...space.all()]);
  } else {
    await pool.add(space.singles());
    await (options.search === 'evolution' ? evolve(pool, space, options, random) : extend(pool, space, options));
  }
  const candidates = pool.ranked();
  if (pool.acquisition === 'thompson') {
    return drawBatch(scorer, candidates, budget, random);
  }
  return diversity > 0 ? spread(candidates, budget, diversity) : candidates.slice(0, budget);
}

/** Candidates that were scored, each once. */
class Pool {
  private readonly known = new Map<string, Candidate | undefined>();
  acquisition: Acquisition | undefined;

  constructor(
    private readonly scorer: CandidateScorer,
    private readonly wildType: string,
    private readonly options: SuggestOptions,
  ) {
    this.acquisition = options.acquisition;
  }

  /** Scores those that were not yet; what was measured is scored too, as the search goes through it, but not suggested. */
  async add(variants: readonly Variant[]): Promise<void> {
    const fresh = new Map<string, Variant>();
    for (const variant of variants) {
      const sequence = applyVariant(this.wildType, variant);
      if (!this.known.has(sequence)) {
        fresh.set(sequence, variant);
      }
    }
    const list = [...fresh];
    for (let at = 0; at < list.length; at += BATCH) {
      const some = list.slice(at, at + BATCH);
      const { values, deviations } = await this.scorer.predict(some.map(([, variant]) => variant));
      this.acquisition ??= deviations && this.options.best !== undefined ? 'ei' : 'mean';
      if (this.acquisition !== 'mean' && !deviations) {
        throw new InputError(
          `the acquisition ${this.acquisition} needs standard deviations: take a head of --method gp, or mean`,
        );
      }
      for (const [i, [sequence, variant]] of some.entries()) {
        const value = values[i];
        const deviation = deviations?.[i];
        const acquisition = this.worth(value, deviation ?? 0);
        this.known.set(
          sequence,
          Number.isNaN(value) ? undefined : { variant, sequence, value, deviation, acquisition },
        );
      }
      this.options.onProgress?.(this.known.size);
    }
  }

  /** All candidates, those measured with them, best first. */
  everything(): Candidate[] {
    return [...this.known.values()]
      .filter((candidate) => candidate !== undefined)
      .sort((a, b) => b.acquisition - a.acquisition || (a.sequence < b.sequence ? -1 : 1));
  }

  /** Candidates that may be suggested, best first. */
  ranked(): Candidate[] {
    const { measured } = this.options;
    return this.everything().filter(({ sequence }) => sequence !== this.wildType && !measured?.has(sequence));
  }

  private worth(value: number, deviation: number): number {
    const { best, kappa = 2 } = this.options;
    if (this.acquisition === 'ei') {
      if (best === undefined) {
        throw new InputError('the acquisition ei needs the best value so far; give it, or what was measured');
      }
      return expectedImprovement(value, deviation, best);
    }
    return this.acquisition === 'mean' ? value : upperConfidenceBound(value, deviation, kappa);
  }
}

/** One mutation more at a time: the best so far by the best single substitutions. */
async function extend(pool: Pool, space: VariantSpace, { width = 200 }: SuggestOptions): Promise<void> {
  const singles = pool.everything().slice(0, width);
  for (let k = 2; k <= space.mutations; k++) {
    const parents = pool
      .everything()
      .filter(({ variant }) => variant.edits.length === k - 1)
      .slice(0, width);
    await pool.add(
      parents.flatMap(({ variant }) =>
        singles
          .filter(({ variant: single }) => !variant.edits.some(({ start }) => start === single.edits[0].start))
          .map((single) => space.variant([...variant.edits, ...single.variant.edits])),
      ),
    );
  }
}

async function evolve(pool: Pool, space: VariantSpace, { width = 200 }: SuggestOptions, random: Random): Promise<void> {
  for (let generation = 0; generation < GENERATIONS; generation++) {
    const parents = pool.everything().slice(0, width);
    const one = () => parents[random.int(parents.length)].variant;
    await pool.add(
      Array.from({ length: 5 * width }, (_, i) =>
        i % 2 === 0 ? space.mutate(one(), random) : space.mutate(space.cross(one(), one(), random), random),
      ),
    );
  }
}

/** The best one after the other, each less what it shares with those before. */
function spread(candidates: readonly Candidate[], budget: number, diversity: number): Candidate[] {
  const left = candidates.slice(0, Math.max(20 * budget, 2000));
  const mean = left.reduce((sum, { acquisition }) => sum + acquisition, 0) / left.length;
  const deviation = Math.sqrt(left.reduce((sum, { acquisition }) => sum + (acquisition - mean) ** 2, 0) / left.length);
  const nearest = new Float64Array(left.length);
  const taken = new Uint8Array(left.length);
  const chosen: Candidate[] = [];
  while (chosen.length < Math.min(budget, left.length)) {
    let best = -1;
    let most = Number.NEGATIVE_INFINITY;
    for (const [i, { acquisition }] of left.entries()) {
      const worth = acquisition - diversity * deviation * nearest[i];
      if (!taken[i] && worth > most) {
        [best, most] = [i, worth];
      }
    }
    taken[best] = 1;
    chosen.push(left[best]);
    for (const [i, { variant }] of left.entries()) {
      nearest[i] = Math.max(nearest[i], similarity(variant, left[best].variant));
    }
  }
  return chosen;
}

/** 1 for equal mutations, half for other letters at the same sites, 0 for none in common. */
export function similarity(a: Variant, b: Variant): number {
  let shared = 0;
  for (const { start, residues } of a.edits) {
    const other = b.edits.find((edit) => edit.start === start);
    shared += other === undefined ? 0 : other.residues === residues ? 1 : 0.5;
  }
  return shared / Math.max(a.edits.length, b.edits.length);
}

async function drawBatch(
  scorer: CandidateScorer,
  candidates: readonly Candidate[],
  budget: number,
  random: Random,
): Promise<Suggestion[]> {
  if (!scorer.sample) {
    throw new InputError('the acquisition thompson draws from a Gaussian process: take a head of --method gp');
  }
  const drawn = candidates.slice(0, Math.max(DRAWN, budget));
  const draws = await scorer.sample(
    drawn.map(({ variant }) => variant),
    Math.min(budget, drawn.length),
    random,
  );
  const taken = new Set<number>();
  return draws.map((draw) => {
    let best = -1;
    for (const [i, value] of draw.entries()) {
      if (!taken.has(i) && (best === -1 || value > draw[best])) {
        best = i;
      }
    }
    taken.add(best);
    return { ...drawn[best], acquisition: draw[best] };
  });
}
