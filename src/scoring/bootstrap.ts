import { quantile } from '../data/quantile.js';
import { Random } from '../data/random.js';
import { argsort } from './metrics.js';

export interface BootstrapOptions {
  /** Resamples; default 1000. */
  samples?: number;
  /** Share of the resamples inside the interval; default 0.95. */
  level?: number;
  seed?: number;
}

/** A percentile interval. */
export interface Interval {
  low: number;
  high: number;
}

/**
 * Percentile bootstrap of Spearman's correlation: rows are drawn with replacement and ranked anew in every resample.
 * Each column is sorted once; a resample is a count for every row, so it takes time linear in the rows.
 *
 * @param measured [n]
 * @param scores [n]
 */
export function bootstrapSpearman(
  measured: ArrayLike<number>,
  scores: ArrayLike<number>,
  options: BootstrapOptions = {},
): Interval {
  const { samples = 1000, level = 0.95, seed = 0 } = options;
  const n = measured.length;
  const random = new Random(seed, n);
  const groupsA = tieGroups(measured);
  const groupsB = tieGroups(scores);
  const counts = new Float64Array(n);
  const ranksA = new Float64Array(n);
  const ranksB = new Float64Array(n);
  const drawn: number[] = [];
  for (let sample = 0; sample < samples; sample++) {
    counts.fill(0);
    for (let i = 0; i < n; i++) {
      counts[random.int(n)]++;
    }
    rankResample(groupsA, counts, ranksA);
    rankResample(groupsB, counts, ranksB);
    const rho = weightedPearson(ranksA, ranksB, counts, n);
    // A resample that drew a single value on one side has no correlation.
    if (!Number.isNaN(rho)) {
      drawn.push(rho);
    }
  }
  return interval(drawn, level);
}

/** The interval that holds `level` of the values. */
export function interval(values: ArrayLike<number>, level = 0.95): Interval {
  return { low: quantile(values, (1 - level) / 2), high: quantile(values, (1 + level) / 2) };
}

interface TieGroups {
  order: Uint32Array;
  /** Where each group of equal values begins in `order`, and the end. */
  starts: Uint32Array;
}

function tieGroups(values: ArrayLike<number>): TieGroups {
  const order = argsort(values);
  const starts: number[] = [];
  for (let i = 0; i < order.length; i++) {
    if (i === 0 || values[order[i]] !== values[order[i - 1]]) {
      starts.push(i);
    }
  }
  starts.push(order.length);
  return { order, starts: Uint32Array.from(starts) };
}

/** Mean ranks in a resample in which row i occurs counts[i] times. */
function rankResample({ order, starts }: TieGroups, counts: Float64Array, ranks: Float64Array): void {
  let before = 0;
  for (let g = 0; g + 1 < starts.length; g++) {
    let size = 0;
    for (let i = starts[g]; i < starts[g + 1]; i++) {
      size += counts[order[i]];
    }
    for (let i = starts[g]; i < starts[g + 1]; i++) {
      ranks[order[i]] = before + (size + 1) / 2;
    }
    before += size;
  }
}

function weightedPearson(a: Float64Array, b: Float64Array, weights: Float64Array, total: number): number {
  // Ranks 1 … total have the mean (total + 1) / 2, ties or not.
  const mean = (total + 1) / 2;
  let ab = 0;
  let aa = 0;
  let bb = 0;
  for (let i = 0; i < weights.length; i++) {
    const w = weights[i];
    if (w === 0) {
      continue;
    }
    const da = a[i] - mean;
    const db = b[i] - mean;
    ab += w * da * db;
    aa += w * da * da;
    bb += w * db * db;
  }
  return ab / Math.sqrt(aa * bb);
}
