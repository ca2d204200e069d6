import * as tf from '@tensorflow/tfjs-core';
import { InputError } from '../data/errors.js';
import { createAttention } from '../model/attention/index.js';
import type { ModelConfig } from '../model/config.js';
import type { LanguageModel } from '../model/model.js';
import { splitHeads } from '../ops/heads.js';
import { attentionFeatures } from './features.js';

/** Bytes of queries, keys and values that are held at once; more layers than fit take further passes of the encoder. */
const HELD_BYTES = 128 * 2 ** 20;

/** Tokens up to which a kind of attention without feature maps is rebuilt column by column, its matrix held whole. */
const LONGEST_WHOLE = 4096;

/** The attention of one layer on one sequence, whose matrices are computed a few rows at a time. */
export interface LayerAttention {
  layer: number;
  heads: number;
  /** Tokens, <cls> and <eos> included. */
  length: number;
  /**
   * Rows [from, to) of the matrices A[query, key] of one head or of all: [heads, to − from, L]. Each row sums to one.
   * The tensor is the caller's to dispose.
   */
  rows(from: number, to: number, head?: number): tf.Tensor3D;
}

/**
 * The attention of a model's layers on one sequence, in ascending order. With Performer attention the matrix never
 * exists in the model; here it is rebuilt from the features, row by row: φ(q) φ(k)ᵀ / (φ(q) φ(k)ᵀ 1) (Choromanski et
 * al. 2021, section 2.2). Exact attention gives its own matrix; every other kind is run on one-hot values (appendix
 * C.4), which gives the matrix as far as the kind defines one.
 *
 *     for await (const attention of attentionLayers(model, model.alphabet.encode('MKTVRQG'), [0, 5]))
 *       attention.rows(0, 4); // [heads, 4, 9]
 *
 * What it yields is valid until the next one is asked for.
 * @param tokens ids of one sequence, without padding
 */
export async function* attentionLayers(
  model: LanguageModel,
  tokens: Uint8Array,
  layers: readonly number[] = allLayers(model.config),
): AsyncGenerator<LayerAttention> {
  const { config } = model;
  const length = tokens.length;
  const wanted = [...new Set(layers)].sort((a, b) => a - b);
  for (const layer of wanted) {
    if (!(Number.isInteger(layer) && layer >= 0 && layer < config.num_hidden_layers))
      throw new InputError(`layer ${layer}: the model has layers 0 to ${config.num_hidden_layers - 1}`);
  }
  const atOnce = Math.max(1, Math.floor(HELD_BYTES / (length * config.hidden_size * 3 * 4)));
  for (let first = 0; first < wanted.length; first += atOnce) {
    const group = wanted.slice(first, first + atOnce);
    const held = holdAttentionInputs(model, tokens, group);
    try {
      for (const layer of group) {
        const qkv = held.get(layer)!;
        const rebuilt = layerAttention(model, layer, qkv);
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
function holdAttentionInputs(model: LanguageModel, tokens: Uint8Array, layers: number[]): Map<number, tf.Tensor3D> {
  const held = new Map<number, tf.Tensor3D>();
  tf.tidy(() => {
    model.encode(tf.tensor2d(Int32Array.from(tokens), [1, tokens.length], 'int32'), {
      onAttention: (layer, qkv) => {
        if (layers.includes(layer)) held.set(layer, tf.keep(tf.clone(qkv)));
      },
    });
  });
  return held;
}

interface Rebuilt {
  attention: LayerAttention;
  held: tf.Tensor[];
}

function layerAttention(model: LanguageModel, layer: number, qkv: tf.Tensor3D): Rebuilt {
  const { config } = model;
  const heads = config.num_attention_heads;
  const length = qkv.shape[1];
  const { kind, causal } = config.attention;
  const projection = model.parameters.get(`layers.${layer}.attention.projection`) as tf.Tensor2D | undefined;
  const base = { layer, heads, length };
  const exact = kind === 'softmax';
  const factors = tf.tidy(() => {
    const [q, k] = splitHeads(qkv, heads);
    const pair = exact ? { queries: q, keys: k } : attentionFeatures(q, k, config.attention, projection);
    return pair && [pair.queries, pair.keys].map((x) => tf.squeeze(x, [0]) as tf.Tensor3D); // [heads, L, m]
  });
  if (factors) {
    const [queries, keys] = factors;
    const size = config.hidden_size / heads;
    const rows = (from: number, to: number, head?: number): tf.Tensor3D =>
      tf.tidy(() => {
        const [first, count] = head === undefined ? [0, heads] : [head, 1];
        const query = tf.slice(queries, [first, from, 0], [count, to - from, -1]);
        const key = tf.slice(keys, [first, 0, 0], [count, -1, -1]);
        const products = tf.matMul(query, key, false, true) as tf.Tensor3D; // [heads, rows, L]
        return exact ? exactRows(products, size, from, causal) : featureRows(products, from, causal);
      });
    return { attention: { ...base, rows }, held: factors };
  }
  if (length > LONGEST_WHOLE)
    throw new InputError(`${length} tokens: the map of ${kind} attention is rebuilt for at most ${LONGEST_WHOLE}`);
  const whole = oneHotAttention(model, layer, qkv);
  const rows = (from: number, to: number, head?: number): tf.Tensor3D =>
    tf.slice(whole, [head ?? 0, from, 0], [head === undefined ? heads : 1, to - from, -1]);
  return { attention: { ...base, rows }, held: [whole] };
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

/** Which keys [rows, L] the queries from `from` on see when each sees itself and those before. */
function past(from: number, rows: number, length: number): tf.Tensor2D {
  const queries = tf.range(from, from + rows, 1, 'int32').reshape([rows, 1]);
  return tf.lessEqual(tf.range(0, length, 1, 'int32').reshape([1, length]), queries) as tf.Tensor2D;
}

/**
 * The attention matrices [heads, L, L] of a layer by running its attention on one-hot values, as many columns at a
 * time as a head has values.
 */
export function oneHotAttention(model: LanguageModel, layer: number, qkv: tf.Tensor3D): tf.Tensor3D {
  const { config } = model;
  const heads = config.num_attention_heads;
  const hidden = config.hidden_size;
  const size = hidden / heads;
  const [, length] = qkv.shape;
  return tf.tidy(() => {
    const attention = createAttention(config);
    const parameters = Object.fromEntries(
      attention.parameters.map(({ name }) => [name, model.parameters.get(`layers.${layer}.attention.${name}`)!]),
    );
    const keep = tf.ones([1, length]) as tf.Tensor2D;
    const queriesAndKeys = tf.slice(qkv, [0, 0, 0], [1, length, 2 * hidden]);
    const columns: tf.Tensor3D[] = [];
    for (let first = 0; first < length; first += size) {
      const out = tf.tidy(() => {
        const block = tf.oneHot(tf.range(-first, length - first, 1, 'int32'), size); // [L, d]
        const values = tf.reshape(tf.tile(tf.cast(block, 'float32'), [1, heads]), [1, length, hidden]);
        return attention.attend(tf.concat([queriesAndKeys, values], 2) as tf.Tensor3D, keep, parameters);
      });
      columns.push(tf.transpose(tf.reshape(out, [length, heads, size]), [1, 0, 2])); // [heads, L, d]
    }
    return tf.slice(tf.concat(columns, 2), [0, 0, 0], [heads, length, length]) as tf.Tensor3D;
  });
}
