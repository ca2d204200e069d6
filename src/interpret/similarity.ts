import * as tf from '@tensorflow/tfjs-core';
import { normalisedBlosum62 } from '../alignment/blosum62.js';
import { RESIDUES } from '../data/alphabet.js';
import { InputError } from '../data/errors.js';
import type { LanguageModel } from '../model/model.js';
import { pearson, spearman } from '../scoring/metrics.js';
import { attentionLayers } from './attentionLayers.js';
import { tiles } from './attentionMaps.js';

export interface ResidueSimilarity {
  /** The 20 letters, in the order of rows and columns. */
  residues: string;
  /** [20 × 20], row-major: Pearson's correlation, over all heads, of the attention that two residues receive. */
  attention: Float32Array;
  /** [20 × 20], row-major: BLOSUM62 normalised to a diagonal of one. */
  blosum: Float32Array;
  /** Correlations of the two over the 190 pairs of different residues. */
  pearson: number;
  spearman: number;
  /** All pairs of different residues, most similar by attention first. */
  pairs: { a: string; b: string; attention: number; blosum: number }[];
}

/**
 * How alike two residues are to a model (Vig et al. 2021, "BERTology meets biology", section 4.2; Choromanski et al.
 * 2021, appendix C.4): for every head, the share of all attention between residues that goes to each of the 20; the
 * similarity of two residues is the correlation of their shares over the heads.
 * @param sequences a few hundred give a stable matrix
 * @param options.threshold attention at or below it does not count; default 0
 * @throws InputError for fewer than three heads with attention that counts, and where a residue receives none, or from
 * every head the same share
 */
export async function residueSimilarity(
  model: LanguageModel,
  sequences: AsyncIterable<string> | Iterable<string>,
  options: { threshold?: number; onSequence?: (count: number) => void } = {},
): Promise<ResidueSimilarity> {
  const heads = model.config.num_attention_heads;
  const channels = model.config.num_hidden_layers * heads;
  if (channels < 3) {
    throw new InputError(`${channels} heads in the model: a similarity needs at least three`);
  }
  const received = new Float64Array(channels * RESIDUES.length);
  const totals = new Float64Array(channels);
  let count = 0;
  for await (const sequence of sequences) {
    await addSequence(model, sequence, options.threshold ?? 0, received, totals);
    options.onSequence?.(++count);
  }
  // A head none of whose attention counts has no shares.
  const counted = [...totals.keys()].filter((channel) => totals[channel] > 0);
  if (counted.length < 3) {
    throw new InputError(
      `${counted.length} of ${channels} heads have attention between residues above the threshold: a similarity ` +
        'needs at least three; lower the threshold, or give more sequences',
    );
  }
  const shares = [...RESIDUES].map((letter, residue) => {
    const share = counted.map((channel) => received[channel * RESIDUES.length + residue] / totals[channel]);
    if (!share.some((value) => value > 0)) {
      throw new InputError(`residue ${letter} receives no attention in the sequences: give more of them`);
    }
    if (share.every((value) => value === share[0])) {
      throw new InputError(`residue ${letter} receives the same share from every head: its similarity is undefined`);
    }
    return share;
  });
  const size = RESIDUES.length;
  const attention = Float32Array.from({ length: size * size }, (_, cell) => {
    const [a, b] = [Math.floor(cell / size), cell % size];
    return a === b ? 1 : pearson(shares[a], shares[b]);
  });
  return compare(attention);
}

/** A similarity matrix [20 × 20] in the order of ESM's alphabet, beside BLOSUM62. */
export function compare(attention: Float32Array): ResidueSimilarity {
  const size = RESIDUES.length;
  const blosum = normalisedBlosum62(RESIDUES);
  const pairs: ResidueSimilarity['pairs'] = [];
  for (let i = 0; i < size; i++) {
    for (let j = i + 1; j < size; j++) {
      const cell = i * size + j;
      pairs.push({ a: RESIDUES[i], b: RESIDUES[j], attention: attention[cell], blosum: blosum[cell] });
    }
  }
  const left = pairs.map((pair) => pair.attention);
  const right = pairs.map((pair) => pair.blosum);
  return {
    residues: RESIDUES,
    attention,
    blosum,
    pearson: pearson(left, right),
    spearman: spearman(left, right),
    pairs: pairs.sort((a, b) => b.attention - a.attention),
  };
}

/** Adds what each residue receives from the residues of one sequence, by head. */
async function addSequence(
  model: LanguageModel,
  sequence: string,
  threshold: number,
  received: Float64Array,
  totals: Float64Array,
): Promise<void> {
  const n = sequence.length;
  const letters = Int32Array.from(sequence.toUpperCase(), (letter) => RESIDUES.indexOf(letter));
  for await (const { layer, heads, rows } of attentionLayers(model, model.alphabet.encode(sequence))) {
    for (const [from, to] of tiles(n, n * heads)) {
      const columns = tf.tidy(() => {
        const maps = tf.slice(rows(from + 1, to + 1), [0, 0, 1], [heads, to - from, n]);
        const counted = threshold > 0 ? tf.mul(maps, tf.cast(tf.greater(maps, threshold), 'float32')) : maps;
        // Attention counts from one of the 20 to one of the 20.
        const standard = tf.tensor1d(letters.slice(from, to).map((letter) => (letter < 0 ? 0 : 1)));
        return tf.sum(tf.mul(counted, tf.reshape(standard, [1, -1, 1])), 1); // [heads, n]
      });
      const values = await columns.data();
      columns.dispose();
      for (let h = 0; h < heads; h++) {
        const channel = layer * heads + h;
        for (let j = 0; j < n; j++) {
          if (letters[j] < 0) {
            continue;
          }
          received[channel * RESIDUES.length + letters[j]] += values[h * n + j];
          totals[channel] += values[h * n + j];
        }
      }
    }
  }
}
