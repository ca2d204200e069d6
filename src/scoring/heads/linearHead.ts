import { InputError } from '../../data/errors.js';
import { Random } from '../../data/random.js';
import { dot } from '../../model/orthonormal.js';
import { spearman } from '../metrics.js';
import type { VariantFeatures } from './features.js';
import { ALPHAS, fitRidge, fitSparseRidge, type SparseFit, type SparseRow, sparseDot } from './ridge.js';

/**
 * Linear heads:
 * - `one-hot` ridge on the one-hot encoding, the baseline that knows no model;
 * - `augmented` the same with the zero-shot score beside it, unpenalised (Hsu et al. 2022);
 * - `augmented-embedding` the same with the last layer's states over the mutated sites beside the one-hot encoding,
 *   which share between positions what a residue does;
 * - `mean-embedding`, `site-embedding` ridge on the last layer's mean over residues or over mutated sites.
 */
export const LINEAR_METHODS = [
  'one-hot',
  'augmented',
  'augmented-embedding',
  'mean-embedding',
  'site-embedding',
] as const;
export type LinearMethod = (typeof LINEAR_METHODS)[number];

/** A fitted linear head: what it needs to predict, as plain numbers. */
export interface LinearHead {
  method: LinearMethod;
  weights: Float64Array;
  intercept: number;
  /** Of the zero-shot score, for `augmented`. */
  coefficients: Float64Array;
  /** Ridge penalty. */
  alpha: number;
}

/**
 * Fits a linear head on some of the variants. The penalty is chosen by cross-validated Spearman (one-hot, as Hsu et
 * al.) or by the leave-one-out error (embeddings).
 *
 * @param rows indices of the training variants
 * @param measured [all variants]
 */
export async function fitLinearHead(
  method: LinearMethod,
  features: VariantFeatures,
  rows: readonly number[],
  measured: ArrayLike<number>,
  options: { alpha?: number; seed?: number } = {},
): Promise<LinearHead> {
  if (rows.length < 3) {
    throw new InputError(`${rows.length} variants to train on; at least 3 are needed`);
  }
  const y = rows.map((row) => measured[row]);
  if (isOneHot(method)) {
    const zeroShot = method === 'one-hot' ? undefined : await features.zeroShot();
    const dense = method === 'augmented-embedding' ? await features.embeddings('site') : undefined;
    const scaling = dense && standardise(rows.map((row) => dense[row]));
    const all = sparseRows(features, dense, scaling);
    const columns = features.oneHotColumns + (dense?.[0]?.length ?? 0);
    const solve = (members: readonly number[], alpha: number, precision?: number): SparseFit =>
      fitSparseRidge(
        members.map((row) => all[row]),
        columns,
        zeroShot ? [members.map((row) => zeroShot[row])] : [],
        members.map((row) => measured[row]),
        alpha,
        precision,
      );
    const alpha = options.alpha ?? chooseAlpha(rows, solve, all, zeroShot, measured, options.seed);
    const { weights, intercept, coefficients } = solve(rows, alpha);
    if (!scaling) {
      return { method, weights, intercept, coefficients, alpha };
    }
    // The weights take the standardisation over, so that a head is one product.
    const { mean, scale } = scaling;
    const first = features.oneHotColumns;
    let shift = 0;
    for (let j = 0; j < mean.length; j++) {
      weights[first + j] /= scale[j] * Math.sqrt(mean.length);
      shift += weights[first + j] * mean[j];
    }
    return { method, weights, intercept: intercept - shift, coefficients, alpha };
  }
  const embeddings = await features.embeddings(method === 'mean-embedding' ? 'mean' : 'site');
  const { scaled, mean, scale } = standardise(rows.map((row) => embeddings[row]));
  const { weights, intercept, alpha } = fitRidge(scaled, y, options.alpha === undefined ? ALPHAS : [options.alpha]);
  const unscaled = weights.map((weight, j) => weight / scale[j]);
  return {
    method,
    weights: unscaled,
    intercept: intercept - dot(mean, unscaled),
    coefficients: new Float64Array(),
    alpha,
  };
}

/** Predictions of a head for some variants, in the unit of what it was trained on. */
export async function predictLinearHead(
  head: LinearHead,
  features: VariantFeatures,
  rows: readonly number[],
): Promise<Float64Array> {
  if (isOneHot(head.method)) {
    const zeroShot = head.method === 'one-hot' ? undefined : await features.zeroShot();
    const all = sparseRows(
      features,
      head.method === 'augmented-embedding' ? await features.embeddings('site') : undefined,
    );
    return Float64Array.from(rows, (row) => predictSparse(head, all[row], zeroShot?.[row]));
  }
  const embeddings = await features.embeddings(head.method === 'mean-embedding' ? 'mean' : 'site');
  return Float64Array.from(rows, (row) => dot(embeddings[row], head.weights) + head.intercept);
}

function isOneHot(method: LinearMethod): boolean {
  return method === 'one-hot' || method.startsWith('augmented');
}

/**
 * One-hot rows, with dense columns behind them where there are any: as they are, or standardised and divided by √D, so
 * that all of them together weigh as much as one residue of the one-hot encoding.
 */
function sparseRows(features: VariantFeatures, dense?: readonly Float32Array[], scaling?: Standardised): SparseRow[] {
  const oneHot = features.oneHot();
  if (!dense) {
    return oneHot;
  }
  return oneHot.map(({ columns, values }, i) => {
    const row = dense[i];
    const root = Math.sqrt(row.length);
    return {
      columns: [...columns, ...Array.from(row, (_, j) => features.oneHotColumns + j)],
      values: [
        ...values,
        ...Array.from(row, (value, j) => (scaling ? (value - scaling.mean[j]) / scaling.scale[j] / root : value)),
      ],
    };
  });
}

function predictSparse(
  { weights, intercept, coefficients }: Pick<LinearHead, 'weights' | 'intercept' | 'coefficients'>,
  row: SparseRow,
  zeroShot?: number,
): number {
  return sparseDot(row, weights) + intercept + (zeroShot === undefined ? 0 : zeroShot * coefficients[0]);
}

/** The penalty with the best Spearman in five-fold cross-validation within the training variants. */
function chooseAlpha(
  rows: readonly number[],
  solve: (members: readonly number[], alpha: number, precision: number) => SparseFit,
  all: readonly SparseRow[],
  zeroShot: Float64Array | undefined,
  measured: ArrayLike<number>,
  seed = 0,
): number {
  const folds = Math.min(5, rows.length);
  const shuffled = new Random(seed, rows.length).shuffle([...rows]);
  let best = { alpha: 1, rho: Number.NEGATIVE_INFINITY };
  for (const alpha of ALPHAS) {
    const predicted: number[] = [];
    const truth: number[] = [];
    for (let fold = 0; fold < folds; fold++) {
      const model = solve(
        shuffled.filter((_, i) => i % folds !== fold),
        alpha,
        1e-4, // An order of the rows needs no more.
      );
      shuffled.forEach((row, i) => {
        if (i % folds !== fold) {
          return;
        }
        predicted.push(predictSparse(model, all[row], zeroShot?.[row]));
        truth.push(measured[row]);
      });
    }
    const rho = spearman(truth, predicted);
    if (rho > best.rho) {
      best = { alpha, rho };
    }
  }
  return best.alpha;
}

interface Standardised {
  scaled: Float64Array[];
  mean: Float64Array;
  scale: Float64Array;
}

/** Columns with mean 0 and variance 1; a constant column keeps its scale. */
function standardise(rows: readonly Float32Array[]): Standardised {
  const n = rows.length;
  const p = rows[0].length;
  const mean = new Float64Array(p);
  const scale = new Float64Array(p);
  for (const row of rows) {
    for (let j = 0; j < p; j++) {
      mean[j] += row[j] / n;
    }
  }
  for (const row of rows) {
    for (let j = 0; j < p; j++) {
      scale[j] += (row[j] - mean[j]) ** 2 / n;
    }
  }
  for (let j = 0; j < p; j++) {
    scale[j] = Math.sqrt(scale[j]) || 1;
  }
  return {
    scaled: rows.map((row) => Float64Array.from(row, (value, j) => (value - mean[j]) / scale[j])),
    mean,
    scale,
  };
}
