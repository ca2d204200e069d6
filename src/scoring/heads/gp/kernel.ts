import { gemm } from '../../../engines/cpu/gemm.js';

/** What the kernel compares: variants as mutated sites, as descriptors, and as scores. */
export interface KernelInputs {
  /** Variants. */
  n: number;
  /** [n + 1] Where each variant's sites start. */
  starts: Int32Array;
  /** [sites] Position of each, from 0. */
  positions: Int32Array;
  /** [sites] The letter that each site has got, as its place in `LETTERS`; for whoever names the variants. */
  letters: Int32Array;
  /** [sites] ln p of that letter. */
  logP: Float64Array;
  /** [n × width] */
  descriptors: Float32Array;
  /** Z-scores of zero-shot scores, each [n]. */
  scores: readonly Float64Array[];
}

/** What the kernel knows of the protein. */
export interface KernelSpace {
  /** Residues. */
  length: number;
  /** [length × length] Hellinger distances of the sites' distributions of letters. */
  hellinger: Float32Array;
  /** [length × length] Between Cα in units of 10 Å. */
  distances: Float32Array;
  /** Columns of the descriptors that share a length scale: where each group starts, in order. */
  groups: readonly { name: string; start: number; end: number }[];
}

/** Hyperparameters, all positive; variances are in units of the measured values' variance. */
export interface KernelParameters {
  /** Variance of the kernel of sites: s · a. */
  site: number;
  /** l_H, l_p and l_d (per 10 Å). */
  hellinger: number;
  letter: number;
  distance: number;
  /** Variance of the kernel of descriptors: 1 − s. */
  descriptor: number;
  /** ℓ of each group. */
  scales: readonly number[];
  /** Prior variance of each score's coefficient b1. */
  slopes: readonly number[];
  /** Variance of the noise. */
  noise: number;
}

/** Prior variance of the mean b0, in units of the measured values' variance. */
const MEAN_VARIANCE = 4;

/** Rows whose products are formed at a time. */
const ROWS = 256;

/**
 * The composite kernel (after Kermut, Groth et al. 2024): with i, j over the mutated sites of two variants,
 *
 * k = site · Σ_ij exp(−l_H Hellinger(p_i, p_j) − l_p |ln p_i(x_i) − ln p_j(x'_j)| − l_d d_ij)
 *   + descriptor · exp(−Σ_g |e_g − e'_g|² / 2ℓ_g²) + Σ slope · z z' + 4,
 *
 * the last two being the mean b0 + b1 z with its coefficients integrated out.
 */
export class CompositeKernel {
  /** [length × length] exp(−l_H Hellinger − l_d d), in the rows of positions that were prepared. */
  private readonly table: Float32Array;
  private readonly tabulated = new Set<number>();
  /** [width] 1/ℓ of each descriptor. */
  private readonly inverseScales: Float64Array;

  constructor(
    readonly space: KernelSpace,
    readonly parameters: KernelParameters,
  ) {
    const { length, groups } = space;
    this.table = new Float32Array(length * length);
    this.inverseScales = new Float64Array(groups.at(-1)?.end ?? 0);
    for (const [g, { start, end }] of groups.entries()) {
      this.inverseScales.fill(1 / parameters.scales[g], start, end);
    }
  }

  /** Inputs as this kernel's hyperparameters see them. */
  prepare(inputs: KernelInputs, rows?: readonly number[]): PreparedInputs {
    const order = rows ?? Array.from({ length: inputs.n }, (_, i) => i);
    const width = this.inverseScales.length;
    const { letter, slopes } = this.parameters;
    const scaled = new Float32Array(order.length * width);
    const norms = new Float64Array(order.length);
    const starts = new Int32Array(order.length + 1);
    for (const [at, row] of order.entries()) {
      starts[at + 1] = starts[at] + inputs.starts[row + 1] - inputs.starts[row];
      for (let k = 0; k < width; k++) {
        const value = Math.fround(inputs.descriptors[row * width + k] * this.inverseScales[k]);
        scaled[at * width + k] = value;
        norms[at] += value * value;
      }
    }
    const sites = starts[order.length];
    const positions = new Int32Array(sites);
    const logP = new Float64Array(sites);
    for (const [at, row] of order.entries()) {
      positions.set(inputs.positions.subarray(inputs.starts[row], inputs.starts[row + 1]), starts[at]);
      logP.set(inputs.logP.subarray(inputs.starts[row], inputs.starts[row + 1]), starts[at]);
    }
    this.tabulate(positions);
    return {
      n: order.length,
      width,
      scaled,
      norms,
      starts,
      positions,
      logP,
      // exp(−l |a − b|) is one of the two products of these: no exponential a pair.
      rising: logP.map((value) => Math.exp(letter * value)),
      falling: logP.map((value) => Math.exp(-letter * value)),
      scores: inputs.scores.map((score, k) => {
        const root = Math.sqrt(slopes[k]);
        return Float64Array.from(order, (row) => root * score[row]);
      }),
    };
  }

  /**
   * k(a, b), [a.n × b.n]. Of a set with itself only what lies on and above the diagonal.
   * @param into where the values go; default a new array
   */
  matrix(a: PreparedInputs, b: PreparedInputs, into = new Float32Array(a.n * b.n)): Float32Array {
    const symmetric = a === b;
    const { descriptor } = this.parameters;
    for (let first = 0; first < a.n; first += ROWS) {
      const end = Math.min(a.n, first + ROWS);
      const left = symmetric ? first : 0;
      if (a.width > 0) {
        gemm({
          m: end - first,
          n: b.n - left,
          k: a.width,
          a: { data: a.scaled, offset: first * a.width },
          b: { data: b.scaled, offset: left * a.width },
          transposeB: true,
          c: { data: into, offset: first * b.n + left, stride: b.n },
        });
      }
      for (let i = first; i < end; i++) {
        const row = i * b.n;
        for (let j = symmetric ? i : 0; j < b.n; j++) {
          const square = Math.max(0, a.norms[i] + b.norms[j] - 2 * into[row + j]);
          let value = MEAN_VARIANCE + this.siteValue(a, i, b, j);
          if (a.width > 0) {
            value += descriptor * Math.exp(-square / 2);
          }
          for (let k = 0; k < a.scores.length; k++) {
            value += a.scores[k][i] * b.scores[k][j];
          }
          into[row + j] = value;
        }
      }
    }
    return into;
  }

  /** k(x, x) of each, without the noise. */
  variances(inputs: PreparedInputs): Float64Array {
    const { descriptor } = this.parameters;
    const base = MEAN_VARIANCE + (inputs.width > 0 ? descriptor : 0);
    return Float64Array.from({ length: inputs.n }, (_, i) =>
      inputs.scores.reduce((sum, score) => sum + score[i] ** 2, base + this.siteValue(inputs, i, inputs, i)),
    );
  }

  /**
   * The gradient of Σ_ij weights_ij k(x_i, x_j) by the logarithm of each hyperparameter, but for the noise.
   * @param weights [n × n], symmetric
   */
  gradient(inputs: PreparedInputs, weights: Float32Array): Omit<KernelParameters, 'noise'> {
    const { n, width, scaled, norms, starts, positions, logP, rising, falling } = inputs;
    const { space, table, parameters } = this;
    const { length, hellinger, distances } = space;
    const result = { site: 0, hellinger: 0, letter: 0, distance: 0, descriptor: 0 };
    for (let i = 0; i < n; i++) {
      for (let j = i; j < n; j++) {
        const weight = (i === j ? 1 : 2) * weights[i * n + j] * parameters.site;
        for (let s = starts[i]; s < starts[i + 1]; s++) {
          const row = positions[s] * length;
          for (let t = starts[j]; t < starts[j + 1]; t++) {
            const cell = row + positions[t];
            const [low, high] = logP[s] < logP[t] ? [s, t] : [t, s];
            const value = weight * table[cell] * rising[low] * falling[high];
            result.site += value;
            result.hellinger -= parameters.hellinger * hellinger[cell] * value;
            result.letter -= parameters.letter * (logP[high] - logP[low]) * value;
            result.distance -= parameters.distance * distances[cell] * value;
          }
        }
      }
    }
    const scales = space.groups.map(() => 0);
    if (width > 0) {
      // With W = weights ∘ k: Σ_ij W_ij (u_i − u_j)² = 2 Σ_i (Σ_j W_ij) u_i² − 2 Σ_i u_i (W u)_i, for each descriptor u.
      const products = new Float32Array(n * n);
      gemm({ m: n, n, k: width, a: { data: scaled }, b: { data: scaled }, transposeB: true, c: { data: products } });
      const totals = new Float64Array(n);
      for (let i = 0; i < n; i++) {
        for (let j = 0; j < n; j++) {
          const square = Math.max(0, norms[i] + norms[j] - 2 * products[i * n + j]);
          const value = weights[i * n + j] * parameters.descriptor * Math.exp(-square / 2);
          products[i * n + j] = value;
          totals[i] += value;
        }
        result.descriptor += totals[i];
      }
      const mixed = new Float32Array(n * width);
      gemm({ m: n, n: width, k: n, a: { data: products }, b: { data: scaled }, c: { data: mixed } });
      for (const [g, { start, end }] of space.groups.entries()) {
        for (let i = 0; i < n; i++) {
          for (let k = start; k < end; k++) {
            const u = scaled[i * width + k];
            scales[g] += 2 * u * (totals[i] * u - mixed[i * width + k]);
          }
        }
      }
    }
    const slopes = inputs.scores.map((score) => {
      let sum = 0;
      for (let i = 0; i < n; i++) {
        let product = 0;
        for (let j = 0; j < n; j++) {
          product += weights[i * n + j] * score[j];
        }
        sum += score[i] * product;
      }
      return sum;
    });
    return { ...result, scales, slopes };
  }

  private tabulate(positions: Int32Array): void {
    const { table, tabulated } = this;
    const { length, hellinger, distances } = this.space;
    const { hellinger: lH, distance: lD } = this.parameters;
    for (const position of positions) {
      if (!tabulated.has(position)) {
        tabulated.add(position);
        for (let cell = position * length; cell < (position + 1) * length; cell++) {
          table[cell] = Math.exp(-lH * hellinger[cell] - lD * distances[cell]);
        }
      }
    }
  }

  private siteValue(a: PreparedInputs, i: number, b: PreparedInputs, j: number): number {
    const { table, space, parameters } = this;
    let sum = 0;
    for (let s = a.starts[i]; s < a.starts[i + 1]; s++) {
      const row = a.positions[s] * space.length;
      for (let t = b.starts[j]; t < b.starts[j + 1]; t++) {
        const near = a.logP[s] < b.logP[t] ? a.rising[s] * b.falling[t] : a.falling[s] * b.rising[t];
        sum += table[row + b.positions[t]] * near;
      }
    }
    return parameters.site * sum;
  }
}

/** `KernelInputs` of some variants under given hyperparameters. */
export interface PreparedInputs {
  n: number;
  /** Descriptors. */
  width: number;
  /** [n × width] Divided by their scales. */
  scaled: Float32Array;
  /** [n] Squared lengths of `scaled`. */
  norms: Float64Array;
  starts: Int32Array;
  positions: Int32Array;
  logP: Float64Array;
  /** [sites] exp(l_p ln p), exp(−l_p ln p). */
  rising: Float64Array;
  falling: Float64Array;
  /** Times the root of their slopes. */
  scores: readonly Float64Array[];
}
