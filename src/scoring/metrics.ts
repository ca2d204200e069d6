import { quantile } from '../data/quantile.js';

/** The five measures ProteinGym reports of one assay. A measure is NaN where it is undefined (see each function). */
export interface Metrics {
  spearman: number;
  auc: number;
  mcc: number;
  ndcg: number;
  topRecall: number;
}

/**
 * All of ProteinGym's measures of scores against an assay.
 *
 * @param measured [n] assay values, higher is fitter
 * @param scores [n] model scores
 * @param labels [n] `DMS_score_bin` (0/1); where absent, a value above the median counts as 1
 */
export function evaluateScores(
  measured: ArrayLike<number>,
  scores: ArrayLike<number>,
  labels: ArrayLike<number> = binarise(measured),
): Metrics {
  return {
    spearman: spearman(measured, scores),
    auc: auc(labels, scores),
    mcc: mcc(labels, scores),
    ndcg: ndcg(measured, scores),
    topRecall: topRecall(measured, scores),
  };
}

/** 1 where a value lies above the median: ProteinGym's default binarisation of an assay. */
export function binarise(measured: ArrayLike<number>): Uint8Array {
  const cutoff = quantile(measured, 0.5);
  return Uint8Array.from(measured, (value) => (value > cutoff ? 1 : 0));
}

/** Indices that sort values ascending; equal values keep their order. NaN is not allowed. */
export function argsort(values: ArrayLike<number>): Uint32Array {
  const order = Uint32Array.from(values, (_, i) => i);
  return order.sort((a, b) => values[a] - values[b] || a - b);
}

/** Ranks from 1, ties share their mean rank (scipy's `rankdata`). */
export function rank(values: ArrayLike<number>): Float64Array {
  const order = argsort(values);
  const ranks = new Float64Array(order.length);
  for (let i = 0; i < order.length; ) {
    let j = i + 1;
    while (j < order.length && values[order[j]] === values[order[i]]) {
      j++;
    }
    for (let k = i; k < j; k++) {
      ranks[order[k]] = (i + j + 1) / 2;
    }
    i = j;
  }
  return ranks;
}

/** Spearman's rank correlation, ties by mean rank: Pearson's correlation of the ranks. NaN where one side is constant. */
export function spearman(a: ArrayLike<number>, b: ArrayLike<number>): number {
  return pearson(rank(a), rank(b));
}

/** Pearson's correlation. NaN where one side is constant. */
export function pearson(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const n = a.length;
  // Means as distances from the first value, so that a constant side has exactly no variance.
  let [meanA, meanB] = [0, 0];
  for (let i = 0; i < n; i++) {
    meanA += a[i] - a[0];
    meanB += b[i] - b[0];
  }
  meanA = a[0] + meanA / n;
  meanB = b[0] + meanB / n;
  let ab = 0;
  let aa = 0;
  let bb = 0;
  for (let i = 0; i < n; i++) {
    const da = a[i] - meanA;
    const db = b[i] - meanB;
    ab += da * db;
    aa += da * da;
    bb += db * db;
  }
  return ab / Math.sqrt(aa * bb);
}

/** Area under the ROC curve (Mann-Whitney, ties count half). NaN where only one class occurs. */
export function auc(labels: ArrayLike<number>, scores: ArrayLike<number>): number {
  const ranks = rank(scores);
  let positives = 0;
  let rankSum = 0;
  for (let i = 0; i < ranks.length; i++) {
    if (labels[i]) {
      positives++;
      rankSum += ranks[i];
    }
  }
  const negatives = ranks.length - positives;
  return (rankSum - (positives * (positives + 1)) / 2) / (positives * negatives);
}

/**
 * Matthews correlation of the labels with the scores cut at their median (at or above it counts as 1), as ProteinGym
 * computes it. 0 where one side has one class only, as in scikit-learn.
 */
export function mcc(labels: ArrayLike<number>, scores: ArrayLike<number>): number {
  const cutoff = quantile(scores, 0.5);
  let [tp, fp, tn, fn] = [0, 0, 0, 0];
  for (let i = 0; i < scores.length; i++) {
    if (scores[i] >= cutoff) {
      labels[i] ? tp++ : fp++;
    } else {
      labels[i] ? fn++ : tn++;
    }
  }
  const product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn);
  return product === 0 ? 0 : (tp * tn - fp * fn) / Math.sqrt(product);
}

/**
 * ProteinGym's NDCG: gains are the measured values scaled to [0, 1], counted over the floor(n · top) best-scored, and
 * divided by those of the ideal order. Equal scores keep the order of the rows (ProteinGym leaves it to numpy's sort).
 * 0 where nothing with a gain was reached (also for fewer than 1/top rows), NaN where all measured values are equal.
 */
export function ndcg(measured: ArrayLike<number>, scores: ArrayLike<number>, top = 0.1): number {
  const n = measured.length;
  const k = Math.floor(n * top);
  let low = Infinity;
  let high = -Infinity;
  for (let i = 0; i < n; i++) {
    low = Math.min(low, measured[i]);
    high = Math.max(high, measured[i]);
  }
  if (!(high > low)) {
    return Number.NaN;
  }
  const gain = (i: number) => (measured[i] - low) / (high - low);
  const discounted = (key: ArrayLike<number>): number => {
    const order = argsort(Float64Array.from(key, (value) => -value));
    let sum = 0;
    for (let position = 0; position < k; position++) {
      sum += gain(order[position]) / Math.log2(position + 2);
    }
    return sum;
  };
  const reached = discounted(scores);
  return reached === 0 ? 0 : reached / discounted(measured);
}

/** Share of the measured top 10 % that is in the scores' top 10 % (thresholds are numpy percentiles, inclusive). */
export function topRecall(measured: ArrayLike<number>, scores: ArrayLike<number>, top = 0.1): number {
  const measuredCutoff = quantile(measured, 1 - top);
  const scoreCutoff = quantile(scores, 1 - top);
  let best = 0;
  let found = 0;
  for (let i = 0; i < measured.length; i++) {
    if (measured[i] < measuredCutoff) {
      continue;
    }
    best++;
    if (scores[i] >= scoreCutoff) {
      found++;
    }
  }
  return best === 0 ? 0 : found / best;
}
