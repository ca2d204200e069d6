import * as tf from '@tensorflow/tfjs-core';
import type { Tokens } from '../data/alphabet.js';
import { InputError } from '../data/errors.js';
import type { ModelConfig } from '../model/config.js';
import type { LanguageModel } from '../model/model.js';

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
 * the sum of its rounds of hashing; all equal what the attention makes of one-hot values (appendix C.4), which is how
 * that of an attention without rows of its own comes about.
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
        const { rows, dispose } = await model.attentionRows(layer, qkv);
        try {
          yield { layer, heads: config.num_attention_heads, length, rows };
        } finally {
          dispose();
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
