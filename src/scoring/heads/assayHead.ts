import { poolingOf, type VariantFeatures } from './features.js';
import {
  type Example,
  type GradientHead,
  type GradientOptions,
  snapshotParameters,
  trainGradientHead,
} from './gradientHead.js';
import { fitLinearHead, LINEAR_METHODS, type LinearHead, predictLinearHead } from './linearHead.js';

/** How a head learns from an assay: the linear ones, or `fine-tune` by gradients through the model. */
export const METHODS = [...LINEAR_METHODS, 'fine-tune'] as const;
export type Method = (typeof METHODS)[number];

export interface AssayHeadOptions extends Partial<Omit<GradientOptions, 'outputs'>> {
  /** Ridge penalty; chosen where absent. */
  alpha?: number;
}

/** A head that predicts an assay's values. A `fine-tune` head may have changed its model's parameters. */
export type AssayHead = LinearHead | (GradientHead & { readonly method: 'fine-tune' });

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

/** Predictions for some variants: in the assay's unit, or for a ranking head only in its order. */
export async function predictAssayHead(
  head: AssayHead,
  features: VariantFeatures,
  rows: readonly number[] = features.variants.map((_, i) => i),
): Promise<Float64Array> {
  if (head.method !== 'fine-tune') {
    return predictLinearHead(head, features, rows);
  }
  const outputs = await head.predict(await examplesOf(features, rows));
  return Float64Array.from(outputs, ([value]) => value!);
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
export async function crossValidate(
  method: Method,
  features: VariantFeatures,
  measured: ArrayLike<number>,
  folds: ArrayLike<number>,
  options: AssayHeadOptions & { onFold?: (done: number) => void } = {},
): Promise<Float64Array> {
  const rows = Array.from(folds, (_, i) => i);
  const predictions = new Float64Array(rows.length);
  let done = 0;
  for (const fold of new Set(Array.from(folds))) {
    const test = rows.filter((row) => folds[row] === fold);
    const training = rows.filter((row) => folds[row] !== fold);
    const values = await trainAndPredict(method, features, measured, training, test, options);
    test.forEach((row, i) => {
      predictions[row] = values[i];
    });
    options.onFold?.(++done);
  }
  return predictions;
}

/** Trains on some variants and predicts others; the model's parameters are afterwards what they were. */
export async function trainAndPredict(
  method: Method,
  features: VariantFeatures,
  measured: ArrayLike<number>,
  training: readonly number[],
  test: readonly number[],
  options: AssayHeadOptions = {},
): Promise<Float64Array> {
  if (method !== 'fine-tune') {
    return predictAssayHead(await fitAssayHead(method, features, training, measured, options), features, test);
  }
  // The prior is the untrained model's: it must be known before training changes the model.
  await features.zeroShot();
  const restore = await snapshotParameters(features.models[0]);
  try {
    const head = await fitAssayHead(method, features, training, measured, options);
    const values = await predictAssayHead(head, features, test);
    (head as GradientHead).dispose();
    return values;
  } finally {
    restore();
  }
}
