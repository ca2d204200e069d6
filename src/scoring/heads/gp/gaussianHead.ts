import type { VariantFeatures } from '../features.js';
import type { GaussianEvidence } from './evidence.js';
import { type GaussianPrediction, GaussianProcess, type GaussianProcessOptions } from './gaussianProcess.js';
import type { GaussianInputs } from './inputs.js';

/** A Gaussian process that was fitted to variants of a protein, and what it was fitted to. */
export interface GaussianHead {
  readonly method: 'gp';
  process: GaussianProcess;
  evidence: GaussianEvidence;
  /** The training variants: a saved head conditions on them again. */
  training: GaussianInputs;
  /** [training.inputs.n] */
  measured: Float64Array;
}

/**
 * Fits a Gaussian process on some of the variants.
 * @param rows indices of the training variants
 * @param measured [all variants]
 */
export async function fitGaussianHead(
  features: VariantFeatures,
  rows: readonly number[],
  measured: ArrayLike<number>,
  options: GaussianProcessOptions = {},
): Promise<GaussianHead> {
  const { space, inputs } = await features.gaussian();
  return {
    method: 'gp',
    process: GaussianProcess.fit(space, inputs, rows, measured, options),
    evidence: features.evidence,
    training: { space, inputs: selectInputs(inputs, rows) },
    measured: Float64Array.from(rows, (row) => measured[row]),
  };
}

/** Expected values of some variants with their standard deviations, in the unit of what was measured. */
export async function predictGaussianHead(
  head: GaussianHead,
  features: VariantFeatures,
  rows?: readonly number[],
): Promise<GaussianPrediction> {
  const { inputs } = await features.gaussian();
  return head.process.predict(inputs, rows);
}

function selectInputs(inputs: GaussianInputs['inputs'], rows: readonly number[]): GaussianInputs['inputs'] {
  const width = inputs.descriptors.length / inputs.n;
  const starts = new Int32Array(rows.length + 1);
  const positions: number[] = [];
  const letters: number[] = [];
  const logP: number[] = [];
  const descriptors = new Float32Array(rows.length * width);
  for (const [at, row] of rows.entries()) {
    for (let site = inputs.starts[row]; site < inputs.starts[row + 1]; site++) {
      positions.push(inputs.positions[site]);
      letters.push(inputs.letters[site]);
      logP.push(inputs.logP[site]);
    }
    starts[at + 1] = positions.length;
    descriptors.set(inputs.descriptors.subarray(row * width, (row + 1) * width), at * width);
  }
  return {
    n: rows.length,
    starts,
    positions: Int32Array.from(positions),
    letters: Int32Array.from(letters),
    logP: Float64Array.from(logP),
    descriptors,
    scores: inputs.scores.map((score) => Float64Array.from(rows, (row) => score[row])),
  };
}
