import * as tf from '@tensorflow/tfjs-core';
import type { Tokens } from '../data/alphabet.js';
import { Random } from '../data/random.js';
import { positiveFeatures } from '../model/attention/favorSoftmax.js';
import { trigonometricFeatures } from '../model/attention/favorTrig.js';
import { gaussianProjection } from '../model/attention/projection.js';
import type { LanguageModel } from '../model/model.js';
import { splitHeads } from '../ops/heads.js';
import { tiles } from './attentionMaps.js';

/** Positive features (FAVOR+) or trigonometric ones. */
export type Estimator = 'positive' | 'trigonometric';
export type FeatureKind = 'orthogonal' | 'iid';

export interface ApproximationOptions {
  /** Numbers of random features. */
  counts: readonly number[];
  features?: readonly FeatureKind[];
  estimators?: readonly Estimator[];
  /** Draws of inputs and features that the interval is over; default 15, as in the paper. */
  samples?: number;
  seed?: number;
  onSample?: (done: number, of: number) => void;
}

/** Queries, keys and values [L, d] of one head. */
export interface HeadInputs {
  q: tf.Tensor2D;
  k: tf.Tensor2D;
  v: tf.Tensor2D;
}

export interface ApproximationError {
  features: FeatureKind;
  estimator: Estimator;
  count: number;
  samples: number;
  /** |Â − A|² / |A|² (Frobenius): geometric mean over the samples, and its 95 % interval. */
  matrixError: number;
  matrixLow: number;
  matrixHigh: number;
  /** Mean squared error of the attention's output: geometric mean over the samples, and its 95 % interval. */
  outputError: number;
  outputLow: number;
  outputHigh: number;
}

/**
 * How far attention from random features is from exact softmax attention, as a function of their number (Choromanski
 * et al. 2021, figure 4). Errors are summed up by their geometric mean: trigonometric features now and then divide by
 * almost nothing, and one such sample would be all that an arithmetic mean shows.
 * @param inputs queries, keys and values of a sample, disposed after use
 */
export async function approximationError(
  inputs: (sample: number) => HeadInputs,
  options: ApproximationOptions,
): Promise<ApproximationError[]> {
  const { counts, features = ['orthogonal', 'iid'], estimators = ['positive', 'trigonometric'], seed = 0 } = options;
  const samples = options.samples ?? 15;
  const settings = features.flatMap((kind) =>
    estimators.flatMap((estimator) =>
      counts.map((count) => ({ kind, estimator, count, matrix: [] as number[], output: [] as number[] })),
    ),
  );
  for (let sample = 0; sample < samples; sample++) {
    const { q, k, v } = inputs(sample);
    for (const setting of settings) {
      const { kind, estimator, count } = setting;
      const random = new Random(seed, sample, count);
      const w = tf.tensor2d(gaussianProjection(count, q.shape[1], kind, random), [count, q.shape[1]]);
      const errors = await sampleError(q, k, v, w, estimator);
      w.dispose();
      setting.matrix.push(errors.matrix);
      setting.output.push(errors.output);
    }
    tf.dispose([q, k, v]);
    options.onSample?.(sample + 1, samples);
  }
  return settings.map(({ kind, estimator, count, matrix, output }) => {
    const [matrixError, matrixLow, matrixHigh] = geometricMean(matrix);
    const [outputError, outputLow, outputHigh] = geometricMean(output);
    const label = { features: kind, estimator, count, samples };
    return { ...label, matrixError, matrixLow, matrixHigh, outputError, outputLow, outputHigh };
  });
}

/**
 * Random inputs as in the paper's figure 4: independent normal queries, keys and values. The length of queries and
 * keys decides which features do better (Lemma 2): trigonometric ones while they are short, positive ones by orders of
 * magnitude once the kernel of many pairs comes near zero; and only short ones profit much from orthogonality.
 * @param norm length of each query and key after the scaling by d^-1/4; default: as drawn, about d^1/4
 */
export function randomInputs(length: number, size: number, seed = 0, norm?: number): (sample: number) => HeadInputs {
  return (sample) => {
    const random = new Random(seed, sample, length, size);
    const draw = (rescale: boolean): tf.Tensor2D => {
      const values = Float32Array.from({ length: length * size }, () => random.normal());
      for (let row = 0; rescale && norm !== undefined && row < length; row++) {
        const vector = values.subarray(row * size, (row + 1) * size);
        const factor = (norm * size ** 0.25) / Math.hypot(...vector);
        for (let i = 0; i < size; i++) {
          vector[i] *= factor;
        }
      }
      return tf.tensor2d(values, [length, size]);
    };
    return { q: draw(true), k: draw(true), v: draw(false) };
  };
}

/**
 * The queries, keys and values of a model: each sample is a head, a layer and a protein drawn at random.
 * @param proteins ids of <cls>, residues and <eos>
 */
export function modelInputs(
  model: LanguageModel,
  proteins: readonly Tokens[],
  seed = 0,
): (sample: number) => HeadInputs {
  const { num_hidden_layers: layers, num_attention_heads: heads } = model.config;
  return (sample) => {
    const random = new Random(seed, sample, 1);
    const tokens = proteins[random.int(proteins.length)];
    const layer = random.int(layers);
    const head = random.int(heads);
    const parts: tf.Tensor2D[] = [];
    tf.tidy(() => {
      model.encode(tf.tensor2d(Int32Array.from(tokens), [1, tokens.length], 'int32'), {
        onAttention: (index, qkv) => {
          if (index !== layer) {
            return;
          }
          for (const x of splitHeads(qkv, heads)) {
            parts.push(tf.keep(tf.reshape(tf.slice(x, [0, head], [1, 1]), [tokens.length, -1])));
          }
        },
      });
    });
    const [q, k, v] = parts;
    return { q, k, v };
  };
}

const FEATURES = {
  positive: (q: tf.Tensor4D, k: tf.Tensor4D, w: tf.Tensor2D) => positiveFeatures(q, k, w),
  trigonometric: trigonometricFeatures,
};

async function sampleError(
  q: tf.Tensor2D,
  k: tf.Tensor2D,
  v: tf.Tensor2D,
  w: tf.Tensor2D,
  estimator: Estimator,
): Promise<{ matrix: number; output: number }> {
  const [length, size] = q.shape;
  const [queries, keys] = tf.tidy(() => {
    const one = (x: tf.Tensor2D) => tf.reshape(x, [1, 1, length, size]) as tf.Tensor4D;
    const features = FEATURES[estimator](one(q), one(k), w);
    return [features.queries, features.keys].map((x) => tf.reshape(x, [length, -1]) as tf.Tensor2D);
  });
  let [difference, norm, output] = [0, 0, 0];
  for (const [from, to] of tiles(length, length)) {
    const sums = tf.tidy(() => {
      const rows = [to - from, -1] as [number, number];
      const exact = tf.softmax(tf.mul(tf.matMul(tf.slice(q, [from, 0], rows), k, false, true), 1 / Math.sqrt(size)));
      const products = tf.matMul(tf.slice(queries, [from, 0], rows), keys, false, true);
      const gap = tf.sub(tf.div(products, tf.sum(products, 1, true)), exact) as tf.Tensor2D;
      return tf.stack([tf.sum(tf.square(gap)), tf.sum(tf.square(exact)), tf.sum(tf.square(tf.matMul(gap, v)))]);
    });
    const values = await sums.data();
    sums.dispose();
    difference += values[0];
    norm += values[1];
    output += values[2];
  }
  tf.dispose([queries, keys]);
  return { matrix: difference / norm, output: output / (length * size) };
}

/** The geometric mean of positive numbers and its 95 % interval by Student's t over their logarithms. */
function geometricMean(values: readonly number[]): [mean: number, low: number, high: number] {
  const logs = values.map(Math.log);
  const n = logs.length;
  const mean = logs.reduce((a, b) => a + b, 0) / n;
  if (n < 2) {
    return [Math.exp(mean), Number.NaN, Number.NaN];
  }
  const deviation = Math.sqrt(logs.reduce((sum, log) => sum + (log - mean) ** 2, 0) / (n - 1));
  const half = (studentT975(n - 1) * deviation) / Math.sqrt(n);
  return [Math.exp(mean), Math.exp(mean - half), Math.exp(mean + half)];
}

/** The 97.5th percentile of Student's t: Cornish and Fisher's expansion (Abramowitz and Stegun 26.7.5). */
function studentT975(freedom: number): number {
  if (freedom === 1) {
    return 12.706;
  }
  if (freedom === 2) {
    return 4.303;
  }
  const x = 1.959964;
  const g1 = (x ** 3 + x) / 4;
  const g2 = (5 * x ** 5 + 16 * x ** 3 + 3 * x) / 96;
  const g3 = (3 * x ** 7 + 19 * x ** 5 + 17 * x ** 3 - 15 * x) / 384;
  return x + g1 / freedom + g2 / freedom ** 2 + g3 / freedom ** 3;
}
