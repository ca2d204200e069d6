import { poolingOf, type VariantFeatures } from './features.js';
import { fitGaussianHead, type GaussianHead, predictGaussianHead } from './gp/gaussianHead.js';
import {
  type Example,
  type GradientHead,
  type GradientOptions,
  snapshotParameters,
  trainGradientHead,
} from './gradientHead.js';
import { fitLinearHead, LINEAR_METHODS, type LinearHead, predictLinearHead } from './linearHead.js';

/**
 * How a head learns from an assay: the linear ones, `gp` as a Gaussian process, or `fine-tune` by gradients through the
 * model.
 */
export const METHODS = [...LINEAR_METHODS, 'gp', 'fine-tune'] as const;
export type Method = (typeof METHODS)[number];

export interface AssayHeadOptions extends Partial<Omit<GradientOptions, 'outputs'>> {
  /** Ridge penalty; chosen where absent. */
  alpha?: number;
}

/** A head that predicts an assay's values. A `fine-tune` head may have changed its model's parameters. */
export type AssayHead = LinearHead | GaussianHead | (GradientHead & { readonly method: 'fine-tune' });

/** Predictions for variants: in the assay's unit, or for a ranking head only in its order. */
export interface HeadPredictions {
  values: Float64Array;
  /** Standard deviations of what a measurement of each would give, of heads that know them (`gp`). */
  deviations?: Float64Array;
}

/**
 * Fits a head on some variants of an assay. `fine-tune` changes the first model's parameters in place, those of
 * `options.layers`.
 *
 * @param rows indices of the training variants
 * @param measured [all variants]
 */
export async function fitAssayHead(
  method: Method,
  features: VariantFeatures,
  rows: readonly number[],
  measured: ArrayLike<number>,
  options: AssayHeadOptions = {},
): Promise<AssayHead> {
  if (method === 'gp') {
    return fitGaussianHead(features, rows, measured, options);
  }
  if (method !== 'fine-tune') {
    return fitLinearHead(method, features, rows, measured, options);
  }
  const examples = await examplesOf(features, rows);
  const head = await trainGradientHead(
    features.models[0],
    examples.map((example, i) => ({ ...example, targets: [measured[rows[i]]] })),
    { loss: 'regression', ...options, outputs: 1 },
  );
  return Object.assign(head, { method });
}

/** The values of `predictHead`. */
export async function predictAssayHead(
  head: AssayHead,
  features: VariantFeatures,
  rows?: readonly number[],
): Promise<Float64Array> {
  return (await predictHead(head, features, rows)).values;
}

/** Predictions for some variants, with standard deviations where the head knows them. */
export async function predictHead(
  head: AssayHead,
  features: VariantFeatures,
  rows: readonly number[] = features.variants.map((_, i) => i),
): Promise<HeadPredictions> {
  if (head.method === 'gp') {
    const { mean, deviation, noise } = await predictGaussianHead(head, features, rows);
    return { values: mean, deviations: deviation.map((latent) => Math.hypot(latent, noise)) };
  }
  if (head.method !== 'fine-tune') {
    return { values: await predictLinearHead(head, features, rows) };
  }
  const outputs = await head.predict(await examplesOf(features, rows));
  return { values: Float64Array.from(outputs, ([value]) => value!) };
}

/** Variants as examples: their sites are pooled, and the zero-shot score of the untrained model is the prior. */
async function examplesOf(features: VariantFeatures, rows: readonly number[]): Promise<Example[]> {
  const zeroShot = await features.zeroShot();
  const { models, wildType, variants } = features;
  return rows.map((row) => {
    const { tokens, weights } = poolingOf(models[0], wildType, variants[row], 'site');
    return { tokens, indices: weights.map(({ index }) => index), prior: zeroShot[row] };
  });
}

/** What cross-validation predicts: each variant by a head that has not seen its fold. */
export interface CrossPredictions extends HeadPredictions {
  /** Squared errors, in units of the variance of what each head was trained on. */
  squaredErrors: Float64Array;
}

export async function crossValidate(
  method: Method,
  features: VariantFeatures,
  measured: ArrayLike<number>,
  folds: ArrayLike<number>,
  options: AssayHeadOptions & { onFold?: (done: number) => void } = {},
): Promise<CrossPredictions> {
  const rows = Array.from(folds, (_, i) => i);
  const all = (): Float64Array => new Float64Array(rows.length);
  const result: CrossPredictions = { values: all(), squaredErrors: all() };
  let done = 0;
  for (const fold of new Set(Array.from(folds))) {
    const test = rows.filter((row) => folds[row] === fold);
    const training = rows.filter((row) => folds[row] !== fold);
    const { values, deviations } = await trainAndPredict(method, features, measured, training, test, options);
    const variance = varianceOf(training.map((row) => measured[row]));
    if (deviations) {
      result.deviations ??= all();
    }
    for (const [i, row] of test.entries()) {
      result.values[row] = values[i];
      result.squaredErrors[row] = (measured[row] - values[i]) ** 2 / variance;
      if (deviations && result.deviations) {
        result.deviations[row] = deviations[i];
      }
    }
    options.onFold?.(++done);
  }
  return result;
}

function varianceOf(values: readonly number[]): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
}

/** Trains on some variants and predicts others; the model's parameters are afterwards what they were. */
export async function trainAndPredict(
  method: Method,
  features: VariantFeatures,
  measured: ArrayLike<number>,
  training: readonly number[],
  test: readonly number[],
  options: AssayHeadOptions = {},
): Promise<HeadPredictions> {
  if (method !== 'fine-tune') {
    return predictHead(await fitAssayHead(method, features, training, measured, options), features, test);
  }
  // The prior is the untrained model's: it must be known before training changes the model.
  await features.zeroShot();
  const restore = await snapshotParameters(features.models[0]);
  try {
    const head = await fitAssayHead(method, features, training, measured, options);
    const predictions = await predictHead(head, features, test);
    (head as GradientHead).dispose();
    return predictions;
  } finally {
    restore();
  }
}
