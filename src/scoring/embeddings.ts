import * as tf from '@tensorflow/tfjs-core';
import type { Tokens } from '../data/alphabet.js';
import { InputError } from '../data/errors.js';
import type { LanguageModel } from '../model/model.js';
import { defaultTokensPerBatch, type InferenceOptions, viewsForLengths } from './inference.js';

/** `mean` over the residues, the `cls` token, or `none`: every residue's own vector. */
export const POOLS = ['mean', 'cls', 'none'] as const;
export type Pool = (typeof POOLS)[number];

export interface EmbeddingOptions extends InferenceOptions {
  /**
   * Which layer, as Hugging Face's `hidden_states` and fair-esm's `repr_layers` count: 0 the embeddings, N (or -1) the
   * last of N layers after the final LayerNorm, those between before it. Default -1.
   */
  layer?: number;
  /** Default `mean`. `<cls>` and `<eos>` count neither in `mean` nor in `none`. */
  pool?: Pool;
}

/** A weighted sum of the hidden states of one sequence's tokens, or the states themselves. */
export interface Pooling {
  /** Token ids, `<cls>` and `<eos>` included. */
  tokens: Tokens;
  /** Token indices and their weights. */
  weights: readonly { index: number; weight: number }[];
  /** Keeps the weighted states apart, one row each, instead of adding them up. */
  apart?: boolean;
}

/**
 * Embeddings of sequences, in their order: [D] each with `mean` and `cls`, [residues, D] flat with `none`. Sequences
 * are sorted by length within a stretch of the stream, so that little padding goes through the model. A sequence
 * longer than the model's window is seen through overlapping windows (see `WindowOptions`).
 *
 * @example for await (const vector of embedSequences(model, ['MKTVRQG'], { pool: 'mean' })) vector.length // D
 */
export async function* embedSequences(
  model: LanguageModel,
  sequences: Iterable<string> | AsyncIterable<string>,
  options: EmbeddingOptions = {},
): AsyncGenerator<Float32Array, void, undefined> {
  const { pool = 'mean' } = options;
  async function* poolings(): AsyncGenerator<Pooling> {
    for await (const sequence of sequences) {
      if (sequence === '') {
        throw new InputError('an empty sequence has no embedding; leave it out');
      }
      const tokens = model.alphabet.encode(sequence);
      const weight = pool === 'mean' ? 1 / sequence.length : 1;
      const residues = Array.from({ length: sequence.length }, (_, i) => ({ index: i + 1, weight }));
      yield { tokens, weights: pool === 'cls' ? [{ index: 0, weight }] : residues, apart: pool === 'none' };
    }
  }
  yield* poolHiddenStates(model, poolings(), options);
}

/** A window of one sequence, and the weights of its tokens. */
interface Pass {
  ids: Tokens;
  weights: Float32Array;
  /** For each weighted token of the pooling in this window: its number there, and its row here. */
  rows: { slot: number; row: number }[];
  target: Float32Array;
  apart: boolean;
}

/** Stretch of the stream, in batches, within which sequences are sorted by length. */
const BATCHES_PER_STRETCH = 16;

/** Weighted sums of hidden states, in the order of the poolings; see `embedSequences` for layers and windows. */
export async function* poolHiddenStates(
  model: LanguageModel,
  poolings: Iterable<Pooling> | AsyncIterable<Pooling>,
  options: Omit<EmbeddingOptions, 'pool'> = {},
): AsyncGenerator<Float32Array, void, undefined> {
  const layer = layerIndex(model, options.layer);
  const tokensPerBatch = options.tokensPerBatch ?? defaultTokensPerBatch(model);
  const viewsOf = viewsForLengths(model, options.window, 'overlapping');
  const size = model.config.hidden_size;
  let waiting: { target: Float32Array; passes: Pass[] }[] = [];
  let tokens = 0;

  async function* flush(): AsyncGenerator<Float32Array> {
    const passes = waiting.flatMap((entry) => entry.passes).sort((a, b) => a.ids.length - b.ids.length);
    for (let start = 0; start < passes.length; ) {
      let end = start + 1;
      while (end < passes.length && passes[end].ids.length * (end - start + 1) <= tokensPerBatch) {
        end++;
      }
      await runPasses(model, passes.slice(start, end), layer);
      start = end;
    }
    for (const { target } of waiting) {
      yield target;
    }
    waiting = [];
    tokens = 0;
  }
  for await (const pooling of poolings) {
    const target = new Float32Array(pooling.apart ? pooling.weights.length * size : size);
    const passes = passesOf(pooling, viewsOf(pooling.tokens.length), target);
    waiting.push({ target, passes });
    tokens += passes.reduce((sum, pass) => sum + pass.ids.length, 0);
    if (tokens >= BATCHES_PER_STRETCH * tokensPerBatch) {
      yield* flush();
    }
  }
  yield* flush();
}

/** 0 … N for a layer that may be counted from the end. */
function layerIndex(model: LanguageModel, layer = -1): number {
  const layers = model.config.num_hidden_layers;
  const index = layer < 0 ? layers + 1 + layer : layer;
  if (index < 0 || index > layers) {
    throw new InputError(`--layer ${layer}: the model has layers 0 to ${layers}, or -${layers + 1} to -1`);
  }
  return index;
}

function passesOf(
  { tokens, weights, apart = false }: Pooling,
  viewsOf: ReturnType<ReturnType<typeof viewsForLengths>>,
  target: Float32Array,
): Pass[] {
  const byStart = new Map<number, Pass>();
  weights.forEach(({ index, weight }, slot) => {
    for (const view of viewsOf(index)) {
      let pass = byStart.get(view.start);
      if (!pass) {
        const ids = tokens.slice(view.start, view.end);
        pass = { ids, weights: new Float32Array(ids.length), rows: [], target, apart };
        byStart.set(view.start, pass);
      }
      pass.weights[index - view.start] += weight * view.weight;
      if (apart) {
        pass.rows.push({ slot, row: index - view.start });
      }
    }
  });
  return [...byStart.values()];
}

async function runPasses(model: LanguageModel, passes: readonly Pass[], layer: number): Promise<void> {
  const length = Math.max(...passes.map((pass) => pass.ids.length));
  const batch = passes.length;
  const size = model.config.hidden_size;
  const ids = new Int32Array(batch * length).fill(model.config.pad_token_id);
  const weights = new Float32Array(batch * length);
  passes.forEach((pass, b) => {
    ids.set(pass.ids, b * length);
    weights.set(pass.weights, b * length);
  });
  const apart = passes.some((pass) => pass.apart);
  const result = tf.tidy(() => {
    const hidden = hiddenStates(model, tf.tensor2d(ids, [batch, length], 'int32'), layer); // [B, L, D]
    // Sums are taken where the states are, so that only [B, D] comes back.
    return apart ? hidden : tf.matMul(tf.tensor3d(weights, [batch, 1, length]), hidden);
  });
  const values = (await result.data()) as Float32Array;
  result.dispose();
  passes.forEach((pass, b) => {
    if (!pass.apart) {
      for (let d = 0; d < size; d++) {
        pass.target[d] += values[b * size + d];
      }
      return;
    }
    for (const { slot, row } of pass.rows) {
      const from = (b * length + row) * size;
      const weight = pass.weights[row];
      for (let d = 0; d < size; d++) {
        pass.target[slot * size + d] += weight * values[from + d];
      }
    }
  });
}

/** States of one layer [B, L, D]; call inside tf.tidy. */
function hiddenStates(model: LanguageModel, ids: tf.Tensor2D, layer: number): tf.Tensor3D {
  if (layer === model.config.num_hidden_layers) {
    return model.encode(ids);
  }
  let wanted: tf.Tensor2D | undefined;
  model.encode(ids, {
    onHidden: (index, hidden) => {
      // encode's own scope would end it.
      if (index === layer) {
        wanted = tf.keep(tf.clone(hidden));
      }
    },
  });
  const reshaped = tf.reshape(wanted!, [...ids.shape, model.config.hidden_size]) as tf.Tensor3D;
  wanted!.dispose();
  return reshaped;
}
