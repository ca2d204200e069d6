import { InputError } from '../../data/errors.js';
import type { LanguageModel } from '../../model/model.js';
import { type Pooling, poolHiddenStates } from '../embeddings.js';
import { type ScoreOptions, scoreVariants } from '../schemes.js';
import { applyVariant, isSubstitution, singleSubstitutions, type Variant } from '../variants.js';
import { optimalWindow, windowSize } from '../windows.js';
import type { GaussianEvidence } from './gp/evidence.js';
import { type GaussianInputs, gaussianInputs, type ModelFeatures } from './gp/inputs.js';
import { siteProfile } from './gp/profile.js';
import type { SparseRow } from './ridge.js';

/** Amino acids of the one-hot encoding; another letter of the vocabulary counts as none of them. */
const ONE_HOT = 'ACDEFGHIKLMNPQRSTVWY';

/** Where a variant's vector comes from: the mean over its residues, or over its mutated sites. */
export type VariantPool = 'mean' | 'site';

export interface FeatureOptions extends ScoreOptions {
  /** What a Gaussian process knows of the protein beside the models; default BLOSUM62 alone. */
  evidence?: GaussianEvidence;
}

/** What heads know of variants. Everything is computed when it is first asked for, and once. */
export class VariantFeatures {
  private zeroShotScores?: Promise<Float64Array>;
  private gaussianInputs?: Promise<GaussianInputs>;
  private readonly embeddingsByPool = new Map<VariantPool, Promise<Float32Array[]>>();

  constructor(
    readonly models: readonly LanguageModel[],
    readonly wildType: string,
    readonly variants: readonly Variant[],
    private readonly options: FeatureOptions = {},
  ) {}

  get evidence(): GaussianEvidence {
    return this.options.evidence ?? { wildType: this.wildType, profile: siteProfile(this.wildType), given: [] };
  }

  /** Columns of the one-hot encoding. */
  get oneHotColumns(): number {
    return this.wildType.length * ONE_HOT.length;
  }

  /**
   * One-hot encoded sequences minus the wild type's: +1 for a mutant residue, −1 for the residue it replaces. A linear
   * model with an intercept is the same with and without the subtraction.
   * @throws InputError where a variant changes the length
   */
  oneHot(): SparseRow[] {
    return this.variants.map((variant) => {
      if (!isSubstitution(variant)) {
        throw new InputError(
          `variant ${variant.name} changes the length, which a one-hot encoding cannot show; use mean-embedding`,
        );
      }
      const columns: number[] = [];
      const values: number[] = [];
      for (const { start, residues } of variant.edits) {
        const mutant = ONE_HOT.indexOf(residues);
        const wildType = ONE_HOT.indexOf(this.wildType[start]);
        if (mutant !== -1) {
          columns.push(start * ONE_HOT.length + mutant);
          values.push(1);
        }
        if (wildType !== -1) {
          columns.push(start * ONE_HOT.length + wildType);
          values.push(-1);
        }
      }
      return { columns, values };
    });
  }

  /** Zero-shot scores [n], NaN where a variant has none. */
  zeroShot(): Promise<Float64Array> {
    this.zeroShotScores ??= scoreVariants(this.models, this.wildType, this.variants, {
      indels: 'single-pass',
      ...this.options,
    });
    return this.zeroShotScores;
  }

  /** Embeddings of the last layer, [n][D], of the first model. */
  embeddings(pool: VariantPool): Promise<Float32Array[]> {
    let result = this.embeddingsByPool.get(pool);
    if (!result) {
      result = this.embed(pool);
      this.embeddingsByPool.set(pool, result);
    }
    return result;
  }

  /**
   * What a Gaussian process compares, from the evidence and the models where there are any.
   * @throws InputError where a variant changes the length
   */
  gaussian(): Promise<GaussianInputs> {
    this.gaussianInputs ??= this.modelFeatures().then((model) => gaussianInputs(this.evidence, this.variants, model));
    return this.gaussianInputs;
  }

  /** What the models say beside the evidence; undefined without models. */
  private async modelFeatures(): Promise<ModelFeatures | undefined> {
    const { models, wildType, options } = this;
    if (models.length === 0) {
      return undefined;
    }
    const singles = [...singleSubstitutions(wildType, ONE_HOT)];
    const scores = await scoreVariants(models, wildType, singles, options);
    const scan = new Float64Array(wildType.length * ONE_HOT.length);
    for (const [i, { edits }] of singles.entries()) {
      for (const { start, residues } of edits) {
        scan[start * ONE_HOT.length + ONE_HOT.indexOf(residues)] = scores[i];
      }
    }
    const [unchanged] = await this.pool([{ name: 'WT', edits: [] }], 'mean');
    const embeddings = await this.embeddings('mean');
    return { scan, zeroShot: await this.zeroShot(), embeddings, wildType: unchanged! };
  }

  private embed(pool: VariantPool): Promise<Float32Array[]> {
    const { variants, options } = this;
    return this.pool(variants, pool, (done) => options.onProgress?.(done, variants.length));
  }

  private async pool(
    variants: readonly Variant[],
    pool: VariantPool,
    onVector?: (done: number) => void,
  ): Promise<Float32Array[]> {
    const [model] = this.models;
    const { wildType, options } = this;
    const vectors: Float32Array[] = [];
    const poolings = (function* () {
      for (const variant of variants) {
        yield poolingOf(model!, wildType, variant, pool);
      }
    })();
    for await (const vector of poolHiddenStates(model!, poolings, { ...options, window: { mode: 'whole' } })) {
      vectors.push(vector);
      onVector?.(vectors.length);
    }
    return vectors;
  }
}

/**
 * A variant's tokens and which of them count. Of a sequence longer than the model takes, it is the window around the
 * variant's sites. Deletions have their neighbours as sites, the wild type has all residues.
 */
export function poolingOf(model: LanguageModel, wildType: string, variant: Variant, pool: VariantPool): Pooling {
  const mutated = applyVariant(wildType, variant);
  const all = model.alphabet.encode(mutated);
  const sites = sitesOf(variant, mutated.length);
  const centre = sites.length === 0 ? Math.floor(all.length / 2) : sites[Math.floor(sites.length / 2)] + 1;
  const { start, end } = optimalWindow(centre, all.length, windowSize(model.config));
  const tokens = all.slice(start, end);
  const residues = Array.from({ length: mutated.length }, (_, i) => i);
  const inside = (pool === 'site' && sites.length > 0 ? sites : residues)
    .map((site) => site + 1 - start)
    .filter((index) => index >= 0 && index < tokens.length);
  return { tokens, weights: inside.map((index) => ({ index, weight: 1 / inside.length })) };
}

/** Mutated positions in the mutated sequence, from 0. */
function sitesOf(variant: Variant, length: number): number[] {
  const sites = new Set<number>();
  let shift = 0;
  for (const { start, end, residues } of variant.edits) {
    const at = start + shift;
    if (residues === '') {
      if (at > 0) {
        sites.add(at - 1);
      }
      if (at < length) {
        sites.add(at);
      }
    } else {
      for (let i = 0; i < residues.length; i++) {
        sites.add(at + i);
      }
    }
    shift += residues.length - (end - start);
  }
  return [...sites].sort((a, b) => a - b);
}
