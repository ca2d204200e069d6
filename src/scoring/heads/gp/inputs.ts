import { EVD, Matrix } from 'ml-matrix';
import { blosum62, LETTERS } from '../../../alignment/index.js';
import { InputError } from '../../../data/errors.js';
import { isSubstitution, type Variant } from '../../variants.js';
import type { GaussianEvidence } from './evidence.js';
import type { KernelInputs, KernelSpace } from './kernel.js';
import { mixProfiles, scanProfile } from './profile.js';

/** What a language model says of a protein and of some variants. */
export interface ModelFeatures {
  /** [length × 20] Zero-shot score of each single substitution, 0 for the wild type's own letter. */
  scan: Float64Array;
  /** [variants] Zero-shot scores. */
  zeroShot: ArrayLike<number>;
  /** [variants][D] Mean-pooled states, and the wild type's. */
  embeddings: readonly Float32Array[];
  wildType: Float32Array;
}

/** Variants as the kernel compares them, and what it knows of their protein. */
export interface GaussianInputs {
  space: KernelSpace;
  inputs: KernelInputs;
}

/** Eigenvectors of BLOSUM62 that describe a letter: those of the largest eigenvalues. */
const EIGENVECTORS = 8;
/** Standard deviation of BLOSUM62's scores of different letters. */
const SUBSTITUTION_DEVIATION = 1.5;
/** Distances between Cα count in units of 10 Å. */
const DISTANCE_UNIT = 10;
/** From one Cα to the next. */
const BOND = 3.8;
/** Of a pair of residues of which one has no place in the structure, in that unit. */
const UNKNOWN_DISTANCE = 10;
const A = LETTERS.length;

/**
 * Variants of substitutions as inputs of `CompositeKernel`. p is the alignment's profile, or mixed in equal parts with
 * the model's where there is one. The descriptors, each group with a length scale of its own, are means over a variant's
 * sites: BLOSUM62's eigenvectors of the mutant and of the wild type's letter, and its score of the two; √p; relative
 * solvent accessibility; the score z; and the model's mean-pooled embedding, as its change from the wild type's. Scores, whose coefficients are
 * integrated out: z = Σ ln p(mutant) − ln p(wild type) of the profile, the same times 1 − accessibility, and the
 * model's; each divided by its standard deviation over all single substitutions of the protein, so that a variant's
 * inputs do not hang on which others are given.
 *
 * @throws InputError where a variant changes the length, or has a letter that is no amino acid
 */
export function gaussianInputs(
  evidence: GaussianEvidence,
  variants: readonly Variant[],
  model?: ModelFeatures,
): GaussianInputs {
  const { wildType, accessibility } = evidence;
  const profile = model ? mixProfiles(evidence.profile, scanProfile(model.scan)) : evidence.profile;
  const exposure = accessibility && filled(accessibility);
  const letters = letterDescriptors();
  const own = [...wildType].map((letter) => LETTERS.indexOf(letter));
  const logOdds = (site: number, letter: number, p = evidence.profile) =>
    own[site] === -1 ? 0 : Math.log(p[site * A + letter] / p[site * A + own[site]]);
  const buried = (site: number) => 1 - Math.min(1, exposure?.[site] ?? 0);
  const profileScale = scaleOf(wildType, (site, letter) => logOdds(site, letter));
  const buriedScale = scaleOf(wildType, (site, letter) => logOdds(site, letter) * buried(site));
  const exposed = exposure && moments(exposure);

  const groups: KernelSpace['groups'][number][] = [];
  let width = 0;
  const group = (name: string, size: number) => {
    groups.push({ name, start: width, end: width + size });
    width += size;
    return width - size;
  };
  const mutantAt = group('mutant letter', EIGENVECTORS);
  const ownAt = group('wild-type letter', EIGENVECTORS);
  const substitutionAt = group('substitution', 1);
  const profileAt = group('profile', A);
  const exposureAt = exposed ? group('accessibility', 1) : -1;
  const scoreAt = group('score', 1);
  const dimensions = model?.wildType.length ?? 0;
  const embeddingAt = model ? group('embedding', dimensions) : -1;

  const n = variants.length;
  const starts = new Int32Array(n + 1);
  const positions: number[] = [];
  const letterCodes: number[] = [];
  const logP: number[] = [];
  const descriptors = new Float32Array(n * width);
  const scores = [new Float64Array(n), ...(exposure ? [new Float64Array(n)] : [])];
  for (const [i, variant] of variants.entries()) {
    if (!isSubstitution(variant)) {
      throw new InputError(`variant ${variant.name} changes the length, which --method gp cannot compare`);
    }
    const row = descriptors.subarray(i * width, (i + 1) * width);
    for (const { start: site, residues } of variant.edits) {
      const letter = LETTERS.indexOf(residues);
      if (letter === -1) {
        throw new InputError(`variant ${variant.name}: ${residues} is none of the 20 amino acids`);
      }
      positions.push(site);
      letterCodes.push(letter);
      logP.push(Math.log(profile[site * A + letter]));
      const share = 1 / variant.edits.length;
      for (let k = 0; k < EIGENVECTORS; k++) {
        row[mutantAt + k] += share * letters[letter][k];
        row[ownAt + k] += own[site] === -1 ? 0 : share * letters[own[site]][k];
      }
      row[substitutionAt] +=
        own[site] === -1 ? 0 : (share * blosum62(wildType[site], residues)) / SUBSTITUTION_DEVIATION;
      for (let b = 0; b < A; b++) {
        row[profileAt + b] += share * 3 * Math.sqrt(profile[site * A + b]);
      }
      if (exposed && exposure) {
        row[exposureAt] += (share * (exposure[site] - exposed.mean)) / exposed.deviation;
      }
      const odds = logOdds(site, letter);
      scores[0][i] += odds / profileScale;
      if (exposure) {
        scores[1][i] += (odds * buried(site)) / buriedScale;
      }
    }
    row[scoreAt] = scores[0][i];
    if (model) {
      for (let k = 0; k < dimensions; k++) {
        // Times the length: a mean over all residues shows little of what changes at one.
        const change = model.embeddings[i][k] - model.wildType[k];
        row[embeddingAt + k] = (change * wildType.length) / Math.sqrt(dimensions);
      }
    }
    starts[i + 1] = positions.length;
  }
  if (model) {
    const scale = scaleOf(wildType, (site, letter) => model.scan[site * A + letter]);
    scores.push(Float64Array.from(model.zeroShot, (score) => (Number.isNaN(score) ? 0 : score / scale)));
  }
  return {
    space: { length: wildType.length, hellinger: hellinger(profile), distances: distances(evidence), groups },
    inputs: {
      n,
      starts,
      positions: Int32Array.from(positions),
      letters: Int32Array.from(letterCodes),
      logP: Float64Array.from(logP),
      descriptors,
      scores,
    },
  };
}

let letterRows: Float64Array[] | undefined;

/** [20][8] Letters in the basis of BLOSUM62's eigenvectors, each times the root of its eigenvalue; variance 1 over all. */
function letterDescriptors(): readonly Float64Array[] {
  if (!letterRows) {
    const matrix = new Matrix([...LETTERS].map((a) => [...LETTERS].map((b) => blosum62(a, b))));
    const { eigenvectorMatrix, realEigenvalues } = new EVD(matrix, { assumeSymmetric: true });
    const order = [...realEigenvalues.keys()]
      .sort((a, b) => Math.abs(realEigenvalues[b]) - Math.abs(realEigenvalues[a]))
      .slice(0, EIGENVECTORS);
    const rows = [...LETTERS].map((_, letter) =>
      Float64Array.from(order, (k) => eigenvectorMatrix.get(letter, k) * Math.sqrt(Math.abs(realEigenvalues[k]))),
    );
    const { deviation } = moments(rows.flatMap((row) => [...row]));
    letterRows = rows.map((row) => row.map((value) => value / deviation));
  }
  return letterRows;
}

/** Standard deviation of a score over all single substitutions of a protein; 1 where it is constant. */
function scaleOf(wildType: string, score: (site: number, letter: number) => number): number {
  const values: number[] = [];
  for (let site = 0; site < wildType.length; site++) {
    for (let letter = 0; letter < A; letter++) {
      if (LETTERS[letter] !== wildType[site]) {
        const value = score(site, letter);
        if (!Number.isNaN(value)) {
          values.push(value);
        }
      }
    }
  }
  return moments(values).deviation;
}

function moments(values: ArrayLike<number>): { mean: number; deviation: number } {
  const n = Math.max(1, values.length);
  const sum = (of: (value: number) => number) => Array.from(values).reduce((total, value) => total + of(value), 0);
  const mean = sum((value) => value) / n;
  return { mean, deviation: Math.sqrt(sum((value) => (value - mean) ** 2) / n) || 1 };
}

/** Values that are not known become the mean of those that are. */
function filled(values: Float64Array): Float64Array {
  const { mean } = moments(values.filter((value) => !Number.isNaN(value)));
  return values.map((value) => (Number.isNaN(value) ? mean : value));
}

/** [length × length] √(1 − Σ √(p q)). */
function hellinger(profile: Float64Array): Float32Array {
  const length = profile.length / A;
  const roots = profile.map(Math.sqrt);
  const result = new Float32Array(length * length);
  for (let i = 0; i < length; i++) {
    for (let j = 0; j < i; j++) {
      let overlap = 0;
      for (let b = 0; b < A; b++) {
        overlap += roots[i * A + b] * roots[j * A + b];
      }
      const distance = Math.sqrt(Math.max(0, 1 - overlap));
      result[i * length + j] = distance;
      result[j * length + i] = distance;
    }
  }
  return result;
}

/**
 * [length × length] Between Cα. Without a structure what a random chain has in the mean, 3.8 Å · √|i − j|: else sites
 * of one letter would be one to a kernel that knows no alignment either.
 */
function distances({ wildType, alphaCarbons }: GaussianEvidence): Float32Array {
  const { length } = wildType;
  const result = new Float32Array(length * length);
  const between = (i: number, j: number): number => {
    if (!alphaCarbons) {
      return (BOND * Math.sqrt(i - j)) / DISTANCE_UNIT;
    }
    const [x, y, z] = [0, 1, 2].map((axis) => (alphaCarbons[3 * i + axis] ?? 0) - (alphaCarbons[3 * j + axis] ?? 0));
    const distance = Math.hypot(x ?? 0, y ?? 0, z ?? 0) / DISTANCE_UNIT;
    return Number.isNaN(distance) ? UNKNOWN_DISTANCE : distance;
  };
  for (let i = 0; i < length; i++) {
    for (let j = 0; j < i; j++) {
      const distance = between(i, j);
      result[i * length + j] = distance;
      result[j * length + i] = distance;
    }
  }
  return result;
}
