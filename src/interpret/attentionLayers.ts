import * as tf from '@tensorflow/tfjs-core';
import type { Tokens } from '../data/alphabet.js';
import { InputError } from '../data/errors.js';
import type { ModelConfig } from '../model/config.js';
import type { LanguageModel } from '../model/model.js';
import { splitHeads } from '../ops/heads.js';
import { attentionFeatures } from './features.js';
import { hashedRows } from './hashedRows.js';

/** Bytes of queries, keys and values that are held at once; more layers than fit take further passes of the encoder. */
const HELD_BYTES = 128 * 2 ** 20;

/** The attention of one layer on one sequence, whose matrices are computed a few rows at a time. */
export interface LayerAttention {
  layer: number;
  heads: number;
  /** Tokens, <cls> and <eos> included. */
  length: number;
  /**
   * Rows [from, to) of the matrices A[query, key] of one head or of all: [heads, to − from, L]. Each row sums to one,
   * except with Linformer, whose learned mixtures of values are no averages.
   * The tensor is the caller's to dispose.
   */
  rows(from: number, to: number, head?: number): tf.Tensor3D;
}

/**
 * The attention of a model's layers on one sequence, in ascending order. With Performer attention the matrix never
 * exists in the model; here it is rebuilt from the features, row by row: φ(q) φ(k)ᵀ / (φ(q) φ(k)ᵀ 1) (Choromanski et
 * al. 2021, section 2.2). Exact attention gives its own matrix, Linformer's is softmax(q (E k)ᵀ / √d) F, LSH attention's
 * the sum of its rounds of hashing; all equal what the attention makes of one-hot values (appendix C.4).
 *
 *     for await (const attention of attentionLayers(model, model.alphabet.encode('MKTVRQG'), [0, 5]))
 *       attention.rows(0, 4); // [heads, 4, 9]
 *
 * What it yields is valid until the next one is asked for.
 * @param tokens ids of one sequence, without padding
 */
export async function* attentionLayers(
  model: LanguageModel,
  tokens: Tokens,
  layers: readonly number[] = allLayers(model.config),
): AsyncGenerator<LayerAttention> {
  const { config } = model;
  const length = tokens.length;
  const wanted = [...new Set(layers)].sort((a, b) => a - b);
  for (const layer of wanted) {
    if (!(Number.isInteger(layer) && layer >= 0 && layer < config.num_hidden_layers)) {
      throw new InputError(`layer ${layer}: the model has layers 0 to ${config.num_hidden_layers - 1}`);
    }
  }
  const atOnce = Math.max(1, Math.floor(HELD_BYTES / (length * config.hidden_size * 3 * 4)));
  for (let first = 0; first < wanted.length; first += atOnce) {
    const group = wanted.slice(first, first + atOnce);
    const held = holdAttentionInputs(model, tokens, group);
    try {
      for (const layer of group) {
        const qkv = held.get(layer)!;
        const rebuilt = await layerAttention(model, layer, qkv);
        try {
          yield rebuilt.attention;
        } finally {
          tf.dispose(rebuilt.held);
          qkv.dispose();
          held.delete(layer);
        }
      }
    } finally {
      tf.dispose([...held.values()]);
    }
  }
}

/** Numbers of all layers, from 0. */
export function allLayers(config: ModelConfig): number[] {
  return [...Array(config.num_hidden_layers).keys()];
}

/** Queries, keys and values [1, L, 3 D] of some layers, from one pass of the encoder. */
function holdAttentionInputs(model: LanguageModel, tokens: Tokens, layers: number[]): Map<number, tf.Tensor3D> {
  const held = new Map<number, tf.Tensor3D>();
  tf.tidy(() => {
    model.encode(tf.tensor2d(Int32Array.from(tokens), [1, tokens.length], 'int32'), {
      onAttention: (layer, qkv) => {
        if (layers.includes(layer)) {
          held.set(layer, tf.keep(tf.clone(qkv)));
        }
      },
    });
  });
  return held;
}

interface Rebuilt {
  attention: LayerAttention;
  held: tf.Tensor[];
}

async function layerAttention(model: LanguageModel, layer: number, qkv: tf.Tensor3D): Promise<Rebuilt> {
  const heads = model.config.num_attention_heads;
  const parameter = (name: string) => model.parameters.get(`layers.${layer}.attention.${name}`) as tf.Tensor2D;
  const { rows, held } = await layerRows(model.config, parameter, qkv);
  return { attention: { layer, heads, length: qkv.shape[1], rows }, held };
}

async function layerRows(
  config: ModelConfig,
  parameter: (name: string) => tf.Tensor2D,
  qkv: tf.Tensor3D,
): Promise<{ rows: LayerAttention['rows']; held: tf.Tensor[] }> {
  const heads = config.num_attention_heads;
  const size = config.hidden_size / heads;
  const { causal, kind } = config.attention;
  if (kind === 'lsh') {
    return { rows: await hashedRows(qkv, parameter('rotations'), config), held: [] };
  }

  // Two factors of the matrix, [heads, L, m] each.
  const factors = tf.tidy(() => {
    const [q, k] = splitHeads(qkv, heads);
    const pair = (): tf.Tensor4D[] => {
      if (kind === 'softmax') {
        return [q, k];
      }
      if (kind === 'linformer') {
        return [q, mixedKeys(qkv, parameter('key_projection'), heads)];
      }
      const { queries, keys } = attentionFeatures(q, k, config.attention, parameter('projection'));
      return [queries, keys];
    };
    return pair().map((x) => tf.squeeze(x, [0]) as tf.Tensor3D);
  });
  const [queries, keys] = factors;
  const rows = (from: number, to: number, head?: number): tf.Tensor3D =>
    tf.tidy(() => {
      const [first, count] = head === undefined ? [0, heads] : [head, 1];
      const query = tf.slice(queries, [first, from, 0], [count, to - from, -1]);
      const key = tf.slice(keys, [first, 0, 0], [count, -1, -1]);
      const products = tf.matMul(query, key, false, true) as tf.Tensor3D; // [heads, rows, L]
      if (kind === 'softmax') {
        return exactRows(products, size, from, causal);
      }
      if (kind === 'linformer') {
        return mixedRows(products, size, parameter('value_projection'), qkv.shape[1]);
      }
      return featureRows(products, from, causal);
    });
  return { rows, held: factors };
}

function exactRows(products: tf.Tensor3D, size: number, from: number, causal: boolean): tf.Tensor3D {
  const scores = tf.mul(products, 1 / Math.sqrt(size));
  const seen = causal ? tf.where(past(from, products.shape[1], products.shape[2]), scores, -1e9) : scores;
  return tf.softmax(seen, -1) as tf.Tensor3D;
}

function featureRows(products: tf.Tensor3D, from: number, causal: boolean): tf.Tensor3D {
  const seen = causal
    ? tf.mul(products, tf.cast(past(from, products.shape[1], products.shape[2]), 'float32'))
    : products;
  return tf.div(seen, tf.sum(seen, -1, true));
}

/** The mixtures of keys that Linformer attends to, E k: [1, heads, n, d]. */
function mixedKeys(qkv: tf.Tensor3D, projection: tf.Tensor2D, heads: number): tf.Tensor4D {
  const [, length, width] = qkv.shape;
  const size = width / 3 / heads;
  const keys = tf.reshape(tf.slice(qkv, [0, 0, width / 3], [1, length, width / 3]), [length, width / 3]);
  const mixed = tf.matMul(tf.slice(projection, [0, 0], [-1, length]), keys); // [n, D]
  return tf.expandDims(tf.transpose(tf.reshape(mixed, [-1, heads, size]), [1, 0, 2]), 0);
}

/** What the attention to each mixture is attention to each token: the mixture's weights F [n, P], first L columns. */
function mixedRows(products: tf.Tensor3D, size: number, projection: tf.Tensor2D, length: number): tf.Tensor3D {
  const [heads, rows, mixtures] = products.shape;
  const attention = tf.softmax(tf.mul(products, 1 / Math.sqrt(size)));
  const weights = tf.slice(projection, [0, 0], [-1, length]) as tf.Tensor2D;
  const flat = tf.matMul(tf.reshape(attention, [heads * rows, mixtures]) as tf.Tensor2D, weights);
  return tf.reshape(flat, [heads, rows, length]);
}

/** Which keys [rows, L] the queries from `from` on see when each sees itself and those before. */
function past(from: number, rows: number, length: number): tf.Tensor2D {
  const queries = tf.reshape(tf.range(from, from + rows, 1, 'int32'), [rows, 1]);
  return tf.lessEqual(tf.reshape(tf.range(0, length, 1, 'int32'), [1, length]), queries) as tf.Tensor2D;
}
