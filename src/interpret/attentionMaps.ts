import * as tf from '@tensorflow/tfjs-core';
import type { Tokens } from '../data/alphabet.js';
import { InputError } from '../data/errors.js';
import type { LanguageModel } from '../model/model.js';
import { allLayers, attentionLayers, type LayerAttention } from './attentionLayers.js';

/** Values of a tile of rows; a few megabytes keep an engine busy and the process small. */
const TILE_VALUES = 2 ** 22;

/** Values of the block of columns that a rollout step replaces at once. */
const ROLLOUT_VALUES = 2 ** 24;

/** Values of running means over layers that are held at once; more heads than fit take further passes. */
const MEAN_VALUES = 2 ** 26;

export interface AttentionMapOptions {
  /** From 0; default: all. */
  layers?: readonly number[];
  /** From 0; default: all. */
  heads?: readonly number[];
  /** What is averaged over. */
  average?: 'heads' | 'layers' | 'both';
}

/** A few rows of one map. */
export interface AttentionTile {
  layer: number | 'mean';
  head: number | 'mean';
  /** The first row's number. */
  from: number;
  /** [rows × length], row-major. */
  values: Float32Array;
}

/** Which maps some options ask for, in the order in which they come: by layer, then by head. */
export function mapLabels(
  model: LanguageModel,
  options: AttentionMapOptions = {},
): { layers: (number | 'mean')[]; heads: (number | 'mean')[] } {
  const { layers, heads } = choose(model, options);
  return {
    layers: options.average === 'layers' || options.average === 'both' ? ['mean'] : layers,
    heads: options.average === 'heads' || options.average === 'both' ? ['mean'] : heads,
  };
}

/**
 * Attention maps of one sequence as a stream of row tiles, layer by layer, head by head, row by row: the order of an
 * array [layers, heads, length, length]. A map is never held whole, except for means over layers.
 * @param tokens ids of one sequence [length], <cls> and <eos> included, without padding
 * @throws InputError for layers or heads that the model does not have
 */
export async function* attentionMaps(
  model: LanguageModel,
  tokens: Tokens,
  options: AttentionMapOptions = {},
): AsyncGenerator<AttentionTile> {
  const { layers, heads } = choose(model, options);
  const { average } = options;
  if (average === 'layers' || average === 'both') {
    yield* meansOverLayers(model, tokens, layers, heads, average === 'both');
    return;
  }
  for await (const attention of attentionLayers(model, tokens, layers)) {
    const { layer, length } = attention;
    for (const head of average === 'heads' ? (['mean'] as const) : heads) {
      for (const [from, to] of tiles(length, length * (head === 'mean' ? heads.length : 1))) {
        const tile = head === 'mean' ? meanRows(attention, heads, from, to) : attention.rows(from, to, head);
        const values = (await tile.data()) as Float32Array;
        tile.dispose();
        yield { layer, head, from, values };
      }
    }
  }
}

/** One map of one sequence, whole: [length × length], row-major. For proteins of moderate length. */
export async function attentionMap(
  model: LanguageModel,
  tokens: Tokens,
  options: AttentionMapOptions,
): Promise<Float32Array> {
  const map = new Float32Array(tokens.length ** 2);
  for await (const { from, values } of attentionMaps(model, tokens, options)) {
    map.set(values, from * tokens.length);
  }
  return map;
}

/**
 * Attention rollout (Abnar and Zuidema 2020): attention followed through the layers, with the residual connection as
 * half of each step. R = Â_n … Â_1 with Â = (mean of the heads + I) / 2; rows sum to one.
 * @returns [length × length], row-major
 */
export async function attentionRollout(
  model: LanguageModel,
  tokens: Tokens,
  layers: readonly number[] = allLayers(model.config),
): Promise<Float32Array> {
  const length = tokens.length;
  const heads = [...Array(model.config.num_attention_heads).keys()];
  const rollout = new Float32Array(length * length);
  for (let i = 0; i < length; i++) {
    rollout[i * length + i] = 1;
  }
  // A step acts on each column by itself: of a long protein a block of columns at a time is replaced in place.
  const width = Math.min(length, Math.max(1, Math.floor(ROLLOUT_VALUES / length)));
  for await (const attention of attentionLayers(model, tokens, layers)) {
    for (let first = 0; first < length; first += width) {
      const count = Math.min(width, length - first);
      const block = new Float32Array(length * count);
      for (let row = 0; row < length; row++) {
        block.set(rollout.subarray(row * length + first, row * length + first + count), row * count);
      }
      const before = tf.tensor2d(block, [length, count]);
      for (const [from, to] of tiles(length, length * heads.length)) {
        const step = tf.tidy(() => {
          const mixed = tf.matMul(meanRows(attention, heads, from, to), before);
          return tf.mul(tf.add(mixed, tf.slice(before, [from, 0], [to - from, count])), 0.5);
        });
        const values = (await step.data()) as Float32Array;
        step.dispose();
        for (let row = from; row < to; row++) {
          rollout.set(values.subarray((row - from) * count, (row - from + 1) * count), row * length + first);
        }
      }
      before.dispose();
    }
  }
  return rollout;
}

async function* meansOverLayers(
  model: LanguageModel,
  tokens: Tokens,
  layers: number[],
  heads: number[],
  both: boolean,
): AsyncGenerator<AttentionTile> {
  const length = tokens.length;
  const atOnce = both ? heads.length : Math.max(1, Math.floor(MEAN_VALUES / length ** 2));
  for (let first = 0; first < heads.length; first += atOnce) {
    const group = heads.slice(first, first + atOnce);
    const outputs: (number | 'mean')[] = both ? ['mean'] : group;
    const sums = outputs.map(() => new Float32Array(length * length));
    for await (const attention of attentionLayers(model, tokens, layers)) {
      for (const [at, output] of outputs.entries()) {
        for (const [from, to] of tiles(length, length * (output === 'mean' ? group.length : 1))) {
          const tile = output === 'mean' ? meanRows(attention, group, from, to) : attention.rows(from, to, output);
          const values = await tile.data();
          tile.dispose();
          const sum = sums[at].subarray(from * length, to * length);
          for (let i = 0; i < sum.length; i++) {
            sum[i] += values[i] / layers.length;
          }
        }
      }
    }
    for (const [at, head] of outputs.entries()) {
      for (const [from, to] of tiles(length, length)) {
        yield { layer: 'mean', head, from, values: sums[at].subarray(from * length, to * length) };
      }
    }
  }
}

/** Rows [from, to) of the mean over some heads: [rows, L]. */
function meanRows(attention: LayerAttention, heads: readonly number[], from: number, to: number): tf.Tensor2D {
  return tf.tidy(() => {
    const all = attention.rows(from, to);
    const chosen = heads.length === attention.heads ? all : tf.gather(all, [...heads]);
    return tf.mean(chosen, 0) as tf.Tensor2D;
  });
}

/** Ranges of rows that have about as many values as a tile should. */
export function* tiles(length: number, valuesPerRow: number): Generator<[from: number, to: number]> {
  const rows = Math.max(1, Math.floor(TILE_VALUES / valuesPerRow));
  for (let from = 0; from < length; from += rows) {
    yield [from, Math.min(length, from + rows)];
  }
}

function choose(model: LanguageModel, options: AttentionMapOptions): { layers: number[]; heads: number[] } {
  const { num_hidden_layers: layers, num_attention_heads: heads } = model.config;
  const pick = (name: string, chosen: readonly number[] | undefined, count: number): number[] => {
    if (!chosen) {
      return [...Array(count).keys()];
    }
    for (const index of chosen) {
      if (!(Number.isInteger(index) && index >= 0 && index < count)) {
        throw new InputError(`${name} ${index}: the model has ${name}s 0 to ${count - 1}`);
      }
    }
    return [...new Set(chosen)].sort((a, b) => a - b);
  };
  return { layers: pick('layer', options.layers, layers), heads: pick('head', options.heads, heads) };
}
