import * as tf from '@tensorflow/tfjs-core';
import type { Tokens } from '../data/alphabet.js';
import type { LanguageModel } from '../model/model.js';
import { gatherRows } from '../ops/gatherRows.js';
import { createViews, type View, type WindowMode, type WindowOptions } from './windows.js';

/** What to ask a model about one sequence: tokens to hide, and tokens whose distribution to read. */
export interface Reading {
  /** Token ids, `<cls>` and `<eos>` included. */
  tokens: Tokens;
  /** Indices of the tokens that become `<mask>`. */
  masked: readonly number[];
  /** Indices of the tokens to read. */
  positions: readonly number[];
}

export interface InferenceOptions {
  window?: WindowOptions;
  /** Tokens that go through the model at once, padding included; default: what suits the engine. */
  tokensPerBatch?: number;
}

/** One row of a batch: a window of a reading's tokens, and where its results go. */
interface Pass {
  reading: number;
  ids: Tokens;
  /** Rows of the window that are read. */
  rows: number[];
  /** For each row: which of the reading's positions it belongs to, and its weight there. */
  slots: { slot: number; weight: number }[];
}

/**
 * Runs readings through a model, many at once, and yields their log-probabilities in order. Only the rows that are
 * read go through the language-model head.
 *
 * A reading's result depends neither on its batch nor on padding. Readings are taken from the iterable as they are
 * needed, so a long list never lies in memory.
 *
 * @param defaultMode how sequences longer than the model's window are seen, unless the options say otherwise
 * @yields for each reading its positions' natural log-probabilities over the vocabulary, each [V]
 */
export async function* readLogProbabilities(
  model: LanguageModel,
  readings: Iterable<Reading>,
  options: InferenceOptions = {},
  defaultMode: WindowMode = 'optimal',
): AsyncGenerator<Float64Array[], void, undefined> {
  const tokensPerBatch = options.tokensPerBatch ?? defaultTokensPerBatch(model);
  const vocabulary = model.config.vocab_size;
  const viewsOf = viewsForLengths(model, options.window, defaultMode);
  const open = new Map<number, { results: Float64Array[]; passesLeft: number }>();
  let nextToYield = 0;
  let batch: Pass[] = [];
  let longest = 0;
  let inFlight: { passes: Pass[]; logits: Promise<Float32Array> } | undefined;

  async function finish(): Promise<void> {
    if (!inFlight) {
      return;
    }
    const { passes, logits: promise } = inFlight;
    inFlight = undefined;
    const logits = await promise;
    let at = 0;
    for (const pass of passes) {
      const entry = open.get(pass.reading)!;
      for (const { slot, weight } of pass.slots) {
        addLogSoftmax(logits, at, entry.results[slot], weight);
        at += vocabulary;
      }
      entry.passesLeft--;
    }
  }
  /** Sends off the waiting passes, then collects the batch before: the engine computes while results are read. */
  async function run(): Promise<void> {
    if (batch.length === 0) {
      return;
    }
    const passes = batch;
    const logits = forward(model, passes, longest);
    batch = [];
    longest = 0;
    await finish();
    inFlight = { passes, logits };
  }
  function* complete(): Generator<Float64Array[]> {
    for (let entry = open.get(nextToYield); entry?.passesLeft === 0; entry = open.get(nextToYield)) {
      open.delete(nextToYield++);
      yield entry.results;
    }
  }

  let index = 0;
  for (const reading of readings) {
    const passes = passesOf(index, reading, viewsOf(reading.tokens.length), model.config.mask_token_id);
    open.set(index++, {
      results: reading.positions.map(() => new Float64Array(vocabulary)),
      passesLeft: passes.length,
    });
    for (const pass of passes) {
      const length = Math.max(longest, pass.ids.length);
      if (batch.length > 0 && length * (batch.length + 1) > tokensPerBatch) {
        await run();
        yield* complete();
      }
      batch.push(pass);
      longest = Math.max(longest, pass.ids.length);
    }
  }
  await run();
  await finish();
  yield* complete();
}

/** As many tokens as suit the model's engine, and as its largest tensor takes. */
export function defaultTokensPerBatch({ config, engine }: LanguageModel): number {
  const widest = Math.max(config.intermediate_size, 3 * config.hidden_size);
  return Math.min(engine.tokensPerPass, Math.max(4_096, Math.floor(engine.largestTensor / widest)));
}

/** For each length, the views of a sequence of so many tokens; see `WindowOptions`. */
export function viewsForLengths(
  model: LanguageModel,
  window: WindowOptions = {},
  defaultMode: WindowMode,
): (length: number) => (index: number) => View[] {
  const { config } = model;
  const linear = model.attentionKind?.linear && config.position_embedding_type === 'rotary';
  const mode = window.mode ?? (linear && window.size === undefined ? 'whole' : defaultMode);
  const byLength = new Map<number, (index: number) => View[]>();
  return (length) => {
    let views = byLength.get(length);
    if (!views) {
      views = createViews(config, length, { ...window, mode });
      byLength.set(length, views);
    }
    return views;
  };
}

function passesOf(
  reading: number,
  { tokens, masked, positions }: Reading,
  viewsOf: (index: number) => View[],
  mask: number,
): Pass[] {
  const byStart = new Map<number, Pass>();
  positions.forEach((position, slot) => {
    for (const { start, end, weight } of viewsOf(position)) {
      let pass = byStart.get(start);
      if (!pass) {
        const ids = tokens.slice(start, end);
        for (const index of masked) {
          if (index >= start && index < end) {
            ids[index - start] = mask;
          }
        }
        pass = { reading, ids, rows: [], slots: [] };
        byStart.set(start, pass);
      }
      pass.rows.push(position - start);
      pass.slots.push({ slot, weight });
    }
  });
  return [...byStart.values()];
}

/** Logits of the rows that are read, in the passes' order, flat [rows, V]. */
async function forward(model: LanguageModel, passes: readonly Pass[], length: number): Promise<Float32Array> {
  const ids = new Int32Array(passes.length * length).fill(model.config.pad_token_id);
  const rows: number[] = [];
  passes.forEach((pass, b) => {
    ids.set(pass.ids, b * length);
    for (const row of pass.rows) {
      rows.push(b * length + row);
    }
  });
  const logits = tf.tidy(() => {
    const hidden = model.encode(tf.tensor2d(ids, [passes.length, length], 'int32')); // [B, L, D]
    const flat = tf.reshape(hidden, [-1, model.config.hidden_size]) as tf.Tensor2D; // [B L, D]
    return model.predict(gatherRows(flat, tf.tensor1d(rows, 'int32'))); // [N, V]
  });
  try {
    return (await logits.data()) as Float32Array;
  } finally {
    logits.dispose();
  }
}

/** Adds weight · log softmax of logits[at … at + V) to `sum`, in double precision. */
function addLogSoftmax(logits: Float32Array, at: number, sum: Float64Array, weight: number): void {
  let highest = -Infinity;
  for (let v = 0; v < sum.length; v++) {
    highest = Math.max(highest, logits[at + v]);
  }
  let total = 0;
  for (let v = 0; v < sum.length; v++) {
    total += Math.exp(logits[at + v] - highest);
  }
  const shift = highest + Math.log(total);
  for (let v = 0; v < sum.length; v++) {
    sum[v] += weight * (logits[at + v] - shift);
  }
}
