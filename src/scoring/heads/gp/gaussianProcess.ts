import { InputError } from '../../../data/errors.js';
import { Random } from '../../../data/random.js';
import { Cholesky } from '../../../engines/cpu/cholesky.js';
import { gemm } from '../../../engines/cpu/gemm.js';
import {
  CompositeKernel,
  type KernelInputs,
  type KernelParameters,
  type KernelSpace,
  type PreparedInputs,
} from './kernel.js';
import { minimiseLbfgs } from './lbfgs.js';

export interface GaussianProcessOptions {
  /** Training rows, drawn at random, on which the hyperparameters are fitted. Default 800. */
  hyperparameterRows?: number;
  /** Rows that are conditioned on exactly; of more, a random choice of `inducing` carries them all. Default 10,000. */
  exactRows?: number;
  /** Rows that carry the others where there are more than `exactRows`. Default 2,000. */
  inducing?: number;
  seed?: number;
}

/** What a Gaussian process says of variants, in the unit of the measured values. */
export interface GaussianPrediction {
  /** [n] Expected values. */
  mean: Float64Array;
  /** [n] Standard deviation of what is expected, without the noise of a measurement. */
  deviation: Float64Array;
  /** Standard deviation of a measurement's noise. */
  noise: number;
}

/** The least variance of the noise: what single precision needs. */
const LEAST_NOISE = 1e-3;
/** Variants predicted at a time. */
const CHUNK = 512;

/**
 * A Gaussian process over variants (Rasmussen and Williams 2006, algorithm 2.1) with the kernel of `CompositeKernel`.
 *
 * Its hyperparameters maximise the marginal likelihood of a random part of the rows, with weak log-normal priors, by
 * L-BFGS. Up to `exactRows` it is exact. Beyond, it is the projected process (Seeger et al. 2003; "DTC" in
 * Quiñonero-Candela and Rasmussen 2005, equation 20): all rows are used, through their covariance with a random choice
 * of `inducing` among them, whose number bounds the memory.
 */
export class GaussianProcess {
  private constructor(
    private readonly kernel: CompositeKernel,
    /** The rows that predictions are computed from. */
    private readonly basis: PreparedInputs,
    private readonly factor: Cholesky,
    /** [basis.n] */
    private readonly weights: Float64Array,
    /** Of the projected process: the factor of I + V Vᵀ / noise. */
    private readonly projected: Cholesky | undefined,
    private readonly scale: { mean: number; deviation: number },
  ) {}

  get parameters(): KernelParameters {
    return this.kernel.parameters;
  }

  /**
   * Fits the hyperparameters and conditions on the rows.
   * @param rows of `inputs` and `measured`
   * @param measured [inputs.n]
   * @param options.parameters hyperparameters to take as they are, as a saved head has them
   * @throws InputError for fewer than three rows, or values that are all equal
   */
  static fit(
    space: KernelSpace,
    inputs: KernelInputs,
    rows: readonly number[],
    measured: ArrayLike<number>,
    options: GaussianProcessOptions & { parameters?: KernelParameters } = {},
  ): GaussianProcess {
    const { hyperparameterRows = 800, exactRows = 10_000, inducing = 2000, seed = 0 } = options;
    if (rows.length < 3) {
      throw new InputError(`${rows.length} variants to train on; at least 3 are needed`);
    }
    const scale = standardisation(rows.map((row) => measured[row]));
    const target = (row: number) => (measured[row] - scale.mean) / scale.deviation;
    const shuffled = new Random(seed, rows.length).shuffle([...rows]);
    const parameters =
      options.parameters ?? fitParameters(space, inputs, shuffled.slice(0, hyperparameterRows), target);
    const kernel = new CompositeKernel(space, parameters);
    if (rows.length > exactRows) {
      return GaussianProcess.project(kernel, inputs, shuffled, inducing, target, scale);
    }
    const basis = kernel.prepare(inputs, rows);
    const factor = factorWithNoise(kernel.matrix(basis, basis), basis.n, parameters.noise);
    const weights = factor.solve(rows.map(target));
    return new GaussianProcess(kernel, basis, factor, weights, undefined, scale);
  }

  private static project(
    kernel: CompositeKernel,
    inputs: KernelInputs,
    shuffled: readonly number[],
    inducing: number,
    target: (row: number) => number,
    scale: { mean: number; deviation: number },
  ): GaussianProcess {
    const { noise } = kernel.parameters;
    const basis = kernel.prepare(inputs, shuffled.slice(0, inducing));
    const m = basis.n;
    const factor = factorWithNoise(kernel.matrix(basis, basis), m, LEAST_NOISE);
    // With V = L⁻¹ K_mn: B = I + V Vᵀ / noise, and the mean is k_*m L⁻ᵀ B⁻¹ V y / noise.
    const b = new Float32Array(m * m);
    const vy = new Float64Array(m);
    for (let first = 0; first < shuffled.length; first += CHUNK) {
      const some = shuffled.slice(first, first + CHUNK);
      const v = kernel.matrix(basis, kernel.prepare(inputs, some));
      factor.halfSolve(v, some.length);
      const y = some.map(target);
      gemm({
        m,
        n: m,
        k: some.length,
        a: { data: v },
        b: { data: v },
        transposeB: true,
        c: { data: b },
        alpha: 1 / noise,
        accumulate: true,
      });
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < some.length; j++) {
          vy[i] += (v[i * some.length + j] * y[j]) / noise;
        }
      }
    }
    const projected = factorWithNoise(b, m, 1);
    return new GaussianProcess(kernel, basis, factor, projected.solve(vy), projected, scale);
  }

  /** Predicts variants; `inputs` must be those of the protein that it was fitted to. */
  predict(inputs: KernelInputs, rows?: readonly number[]): GaussianPrediction {
    const order = rows ?? Array.from({ length: inputs.n }, (_, i) => i);
    const { kernel, scale } = this;
    const mean = new Float64Array(order.length);
    const deviation = new Float64Array(order.length);
    for (let first = 0; first < order.length; first += CHUNK) {
      const some = kernel.prepare(inputs, order.slice(first, first + CHUNK));
      const { values, explained } = this.condition(some);
      const prior = kernel.variances(some);
      for (let j = 0; j < some.n; j++) {
        mean[first + j] = scale.mean + scale.deviation * values[j];
        deviation[first + j] = scale.deviation * Math.sqrt(Math.max(1e-6 * prior[j], prior[j] - explained[j]));
      }
    }
    return { mean, deviation, noise: scale.deviation * Math.sqrt(kernel.parameters.noise) };
  }

  /**
   * Draws from the joint posterior of some variants, in the unit of the measured values.
   * @param rows of `inputs`; time and memory grow with the square of their number, and beyond
   * @returns `draws` arrays [rows.length]
   */
  sample(inputs: KernelInputs, rows: readonly number[], draws: number, random: Random): Float64Array[] {
    const { kernel, scale } = this;
    const some = kernel.prepare(inputs, rows);
    const { values, half, halfProjected } = this.condition(some);
    const n = some.n;
    const covariance = kernel.matrix(some, some);
    const m = this.basis.n;
    const shared = { m: n, n, transposeA: true, c: { data: covariance }, accumulate: true } as const;
    gemm({ ...shared, k: m, a: { data: half }, b: { data: half }, alpha: -1 });
    if (halfProjected) {
      gemm({ ...shared, k: m, a: { data: halfProjected }, b: { data: halfProjected } });
    }
    const factor = factorWithNoise(covariance, n, LEAST_NOISE);
    return Array.from({ length: draws }, () => {
      const normal = Float64Array.from({ length: n }, () => random.normal());
      return factor.multiplyFactor(normal).map((value, i) => scale.mean + scale.deviation * (values[i] + value));
    });
  }

  /** Expected values, and the variance that the training rows explain, both standardised. */
  private condition(some: PreparedInputs): {
    values: Float64Array;
    explained: Float64Array;
    /** L⁻¹ k(basis, some), [basis.n × some.n]. */
    half: Float32Array;
    halfProjected?: Float32Array;
  } {
    const { kernel, basis, factor, weights, projected } = this;
    const half = kernel.matrix(basis, some);
    const values = new Float64Array(some.n);
    const explained = new Float64Array(some.n);
    const addValues = () => {
      for (let i = 0; i < basis.n; i++) {
        for (let j = 0; j < some.n; j++) {
          values[j] += weights[i] * half[i * some.n + j];
        }
      }
    };
    if (!projected) {
      addValues();
    }
    factor.halfSolve(half, some.n);
    addSquares(explained, half, 1);
    if (!projected) {
      return { values, explained, half };
    }
    addValues();
    const halfProjected = half.slice();
    projected.halfSolve(halfProjected, some.n);
    addSquares(explained, halfProjected, -1);
    return { values, explained, half, halfProjected };
  }
}

/** Adds the squares of each column of a matrix [n × totals.length]. */
function addSquares(totals: Float64Array, matrix: Float32Array, sign: number): void {
  for (let i = 0; i < matrix.length; i += totals.length) {
    for (let j = 0; j < totals.length; j++) {
      totals[j] += sign * matrix[i + j] ** 2;
    }
  }
}

function standardisation(values: readonly number[]): { mean: number; deviation: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
  if (!(deviation > 0)) {
    throw new InputError('the measured values are all equal: there is nothing to learn; check the column');
  }
  return { mean, deviation };
}

/** The factor of K + noise I, in K's place, with more noise where single precision needs it. */
function factorWithNoise(matrix: Float32Array, n: number, noise: number): Cholesky {
  const diagonal = Float64Array.from({ length: n }, (_, i) => matrix[i * n + i]);
  for (let extra = noise; extra < 1e6; extra *= 4) {
    for (let i = 0; i < n; i++) {
      matrix[i * n + i] = diagonal[i] + extra;
    }
    // A try that fails leaves what is above the diagonal, which is all that the next one reads.
    const factor = Cholesky.factor(matrix, n);
    if (factor) {
      return factor;
    }
  }
  throw new InputError('the kernel is not positive definite: a feature of the variants is not a number');
}

/** Where the search starts, and the medians of the hyperparameters' log-normal priors. */
function startParameters(space: KernelSpace, scores: number): KernelParameters {
  return {
    site: 0.5,
    hellinger: 2,
    letter: 0.3,
    distance: 1,
    descriptor: 0.5,
    scales: space.groups.map(() => 3),
    slopes: new Array<number>(scores).fill(0.1),
    noise: 0.2,
  };
}

/** Standard deviation of the priors: a factor of e² either way. */
const PRIOR_DEVIATION = 2;

function toLogarithms(parameters: KernelParameters): Float64Array {
  const { site, hellinger, letter, distance, descriptor, scales, slopes, noise } = parameters;
  return Float64Array.of(site, hellinger, letter, distance, descriptor, ...scales, ...slopes, noise - LEAST_NOISE).map(
    Math.log,
  );
}

function fromLogarithms(logarithms: Float64Array, groups: number): KernelParameters {
  const values = [...logarithms].map(Math.exp);
  const [site, hellinger, letter, distance, descriptor] = values as [number, number, number, number, number];
  return {
    site,
    hellinger,
    letter,
    distance,
    descriptor,
    scales: values.slice(5, 5 + groups),
    slopes: values.slice(5 + groups, -1),
    noise: LEAST_NOISE + values.at(-1)!,
  };
}

/** Hyperparameters of the highest posterior density (marginal likelihood times prior) for some rows. */
function fitParameters(
  space: KernelSpace,
  inputs: KernelInputs,
  rows: readonly number[],
  target: (row: number) => number,
): KernelParameters {
  const n = rows.length;
  const y = rows.map(target);
  const start = toLogarithms(startParameters(space, inputs.scores.length));
  const groups = space.groups.length;
  const objective = (x: Float64Array): { value: number; gradient: Float64Array } => {
    const gradient = x.map((value, i) => (value - start[i]) / PRIOR_DEVIATION ** 2);
    let value = x.reduce((sum, v, i) => sum + (v - start[i]) ** 2 / (2 * PRIOR_DEVIATION ** 2), 0);
    const parameters = fromLogarithms(x, groups);
    const kernel = new CompositeKernel(space, parameters);
    const prepared = kernel.prepare(inputs, rows);
    const matrix = kernel.matrix(prepared, prepared);
    for (let i = 0; i < n; i++) {
      matrix[i * n + i] += parameters.noise;
    }
    const factor = Cholesky.factor(matrix, n);
    if (!factor) {
      return { value: Number.POSITIVE_INFINITY, gradient };
    }
    // Rasmussen and Williams 2006, equations 5.8 and 5.9, with the opposite sign.
    const solved = factor.solve(y);
    value += factor.logDeterminant() / 2 + y.reduce((sum, v, i) => sum + v * solved[i], 0) / 2;
    const weights = factor.inverse();
    let trace = 0;
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        weights[i * n + j] = (weights[i * n + j] - solved[i] * solved[j]) / 2;
      }
      trace += weights[i * n + i];
    }
    const { site, hellinger, letter, distance, descriptor, scales, slopes } = kernel.gradient(prepared, weights);
    const noise = trace * (parameters.noise - LEAST_NOISE);
    for (const [i, part] of [site, hellinger, letter, distance, descriptor, ...scales, ...slopes, noise].entries()) {
      gradient[i] += part;
    }
    return { value, gradient };
  };
  return fromLogarithms(minimiseLbfgs(objective, start, { tolerance: 1e-4 }).x, groups);
}
