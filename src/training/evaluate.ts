import * as tf from '@tensorflow/tfjs-core';
import { evaluationBatches, type TokenBatch } from '../data/batches.js';
import type { SequenceSource } from '../data/sequences.js';
import type { TokenStore } from '../data/store.js';
import type { LanguageModel } from '../model/model.js';
import { addTallies, EMPTY_TALLY, type Tally } from './metrics.js';
import { passLoss } from './step.js';

/** Every validation of every run masks the same positions, so that their figures compare. */
export const EVALUATION_SEED = 0;

export interface EvaluationOptions {
  /** Which positions are masked, and which sequences are taken where not all are. */
  seed: number;
  /** Tokens of a row at most, `<cls>` and `<eos>` included; longer sequences go in windows. */
  length: number;
  /** Tokens that go through the model at once. */
  tokensPerPass: number;
  /** Takes only so many sequences. */
  sequences?: number;
  /** Takes no more sequences once they have so many tokens. */
  tokens?: number;
  /** Called after each pass with the sequences that are done. */
  onProgress?: (done: number, total: number) => void;
}

/** A model's figures on some sequences, beside those of residue frequencies on the same positions. */
export interface Evaluation {
  /** Sequences evaluated. */
  sequences: number;
  model: Tally;
  /** The empirical baseline: the same frequencies at each position. */
  baseline: Tally;
}

/**
 * Evaluates a model as the paper's table does (Choromanski et al. 2021, appendix C.2): accuracy and perplexity at
 * masked positions, every one of them `<mask>`; of the next residue where the attention is causal.
 * @param frequencies share of each token [V], of the empirical baseline: `residueFrequencies` of the training data
 */
export async function evaluate(
  model: LanguageModel,
  source: SequenceSource,
  frequencies: Float64Array,
  options: EvaluationOptions,
): Promise<Evaluation> {
  const sequences = Math.min(source.size, options.sequences ?? source.size);
  const batches = evaluationBatches(source, {
    length: options.length,
    tokensPerBatch: options.tokensPerPass,
    objective: model.config.attention.causal ? 'causal' : 'masked',
    alphabet: model.alphabet,
    seed: options.seed,
    sequences: options.sequences,
    tokens: options.tokens,
  });
  const seen = new Set<number>();
  let tally: Tally = EMPTY_TALLY;
  let baseline: Tally = EMPTY_TALLY;
  for (const batch of batches) {
    if (batch.positions.length > 0) {
      tally = addTallies(tally, await passTally(model, batch));
      baseline = addTallies(baseline, baselineTally(frequencies, batch.labels));
    }
    for (const sequence of batch.sequences) {
      seen.add(sequence);
    }
    options.onProgress?.(seen.size, sequences);
  }
  return { sequences: seen.size, model: tally, baseline };
}

async function passTally(model: LanguageModel, batch: TokenBatch): Promise<Tally> {
  const figures = tf.tidy(() => {
    const { loss, correct } = passLoss(model, batch, 1);
    return tf.stack([loss, correct]);
  });
  const [loss, correct] = await figures.data();
  figures.dispose();
  return { positions: batch.labels.length, loss, correct };
}

/** Share of each target of the train split [V]; those that do not occur there count as one each. */
export function residueFrequencies(store: TokenStore): Float64Array {
  const { alphabet, manifest } = store;
  const counts = new Float64Array(alphabet.size);
  for (let id = 0; id < alphabet.size; id++) {
    if (alphabet.isTarget(id)) {
      counts[id] = Math.max(1, manifest.splits.train.composition[alphabet.tokens[id]] ?? 0);
    }
  }
  const total = counts.reduce((sum, count) => sum + count, 0);
  return counts.map((count) => count / total);
}

/** The tally of predicting `frequencies` [V] at every position with one of `labels` [N]. */
export function baselineTally(frequencies: Float64Array, labels: Int32Array): Tally {
  const commonest = frequencies.indexOf(Math.max(...frequencies));
  let loss = 0;
  let correct = 0;
  for (const label of labels) {
    loss -= Math.log(frequencies[label]);
    if (label === commonest) {
      correct++;
    }
  }
  return { positions: labels.length, loss, correct };
}
