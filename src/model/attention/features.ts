import * as tf from '@tensorflow/tfjs-core';
import { splitHeads } from '../../ops/heads.js';
import { NO_WEIGHT } from '../../ops/linearAttention.js';
import type { AttentionParameter, AttentionRows, AttentionShape } from './attention.js';
import type { AttentionOption } from './options.js';
import { gaussianProjection, RANDOM_FEATURES, type RandomFeatures } from './projection.js';
import { past, productRows } from './rows.js';

/** What kinds with random features are told of them. */
export interface FeatureOptions {
  /** `deterministic`: queries and keys are not projected; the others: by random matrices, see `gaussianProjection`. */
  features: 'deterministic' | RandomFeatures;
  /** Rows of the projection. */
  num_features?: number;
  redraw_interval?: number;
}

/** `redraw_interval`, of kinds with a random parameter. */
export const redrawInterval: AttentionOption = {
  type: 'whole',
  minimum: 1,
  maximum: Number.MAX_SAFE_INTEGER,
  help: 'training steps between draws of what is random (default: drawn once)',
};

/** The options of a kind with random features: always, or where it is told so (`deterministic` is its default). */
export function featureOptions(standard: FeatureOptions['features']): Record<keyof FeatureOptions, AttentionOption> {
  const choices = standard === 'deterministic' ? [standard, ...RANDOM_FEATURES] : RANDOM_FEATURES;
  const needs = { option: 'features', values: RANDOM_FEATURES };
  return {
    features: { type: 'choice', choices, default: standard, help: 'how queries and keys are projected' },
    num_features: {
      type: 'whole',
      minimum: 1,
      maximum: 65_536,
      default: 256,
      needs,
      help: 'random features a head',
    },
    redraw_interval: { ...redrawInterval, needs },
  };
}

/** `kernel_epsilon`: what features are shifted by. */
export function epsilonOption(standard: number): AttentionOption {
  return { type: 'positive', default: standard, help: 'ε that features are shifted by' };
}

/** The projection of a kind with random features, as its layers' parameter; none with deterministic features. */
export function projectionParameters(
  { features, num_features: rows }: FeatureOptions,
  { size }: AttentionShape,
): AttentionParameter[] {
  if (features === 'deterministic') {
    return [];
  }
  return [
    {
      name: 'projection',
      shape: [rows!, size],
      trainable: false,
      random: true,
      initialise: (random) => gaussianProjection(rows!, size, features, random),
    },
  ];
}

/**
 * φ(q) and φ(k) of [1, heads, L, d] each, to [1, heads, L, m], and where a key counts e^b φ(k), its b [1, heads, L, 1].
 */
export type FeatureMap = (
  q: tf.Tensor4D,
  k: tf.Tensor4D,
  projection: tf.Tensor2D | undefined,
) => { queries: tf.Tensor; keys: tf.Tensor; logWeights?: tf.Tensor };

/**
 * Rows of an attention from features, which never forms its matrix: A = φ(q) φ(k)ᵀ / (φ(q) φ(k)ᵀ 1) (Choromanski et
 * al. 2021, sections 2.2 to 2.4).
 */
export function featureRows(
  qkv: tf.Tensor3D,
  projection: tf.Tensor | undefined,
  heads: number,
  causal: boolean,
  features: FeatureMap,
): AttentionRows {
  const [queryFeatures, keyFeatures, logWeights] = tf.tidy(() => {
    const [q, k] = splitHeads(qkv, heads);
    const { queries, keys, logWeights: logs } = features(q, k, projection as tf.Tensor2D | undefined);
    const perKey = logs && tf.transpose(tf.squeeze(logs, [0]), [0, 2, 1]); // [heads, 1, L]
    return [...[queries, keys].map((x) => tf.squeeze(x, [0])), ...(perKey ? [perKey] : [])] as tf.Tensor3D[];
  });
  const finish = (products: tf.Tensor3D, from: number, head?: number) => {
    const [count, rows, length] = products.shape;
    let seen: tf.Tensor = products;
    if (logWeights) {
      // Relative to the largest that a query sees.
      const hidden = tf.mul(tf.sub(1, tf.cast(past(from, rows, length), 'float32')), NO_WEIGHT);
      const logs = tf.add(tf.slice(logWeights, [head ?? 0, 0, 0], [count, 1, -1]), hidden);
      seen = tf.mul(seen, tf.exp(tf.sub(logs, tf.max(logs, 2, true))));
    } else if (causal) {
      seen = tf.mul(seen, tf.cast(past(from, rows, length), 'float32'));
    }
    return tf.div(seen, tf.sum(seen, -1, true)) as tf.Tensor3D;
  };
  const { rows, dispose } = productRows(queryFeatures, keyFeatures, finish);
  return {
    rows,
    dispose: () => {
      dispose();
      logWeights?.dispose();
    },
  };
}
