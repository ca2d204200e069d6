import * as tf from '@tensorflow/tfjs-core';
import type { Tokens } from '../data/alphabet.js';
import { InputError } from '../data/errors.js';
import { Random } from '../data/random.js';
import type { LanguageModel } from '../model/model.js';
import { attentionLayers } from './attentionLayers.js';
import { tiles } from './attentionMaps.js';
import { fitLogistic } from './logistic.js';

/**
 * Contacts from attention (Rao et al. 2021, "Transformer protein language models are unsupervised structure
 * learners"): each head's map over the residues is symmetrised and corrected for the average product, and a logistic
 * regression over all heads gives the probability of a contact.
 */
export interface ContactHead {
  /** One a head, layer by layer: [layers × heads]. */
  weights: Float32Array;
  bias: number;
}

/** Contacts closer in sequence than this say little of the fold: they are neither fitted nor counted. */
export const MINIMUM_SEPARATION = 6;

/** Pairs without a contact that a structure contributes to a fit; where it has more, a sample with weights. */
const NON_CONTACTS = 20_000;

/** Inverse strength C of the L1 penalty for the diffuse maps of attentions that name none of their own. */
const INVERSE_PENALTY = 10;

/** The checkpoint's own contact head, where it has one (ESM's do). */
export async function contactHeadOf(model: LanguageModel): Promise<ContactHead | undefined> {
  const weight = model.parameters.get('contacts.weight');
  const bias = model.parameters.get('contacts.bias');
  if (!weight || !bias) {
    return undefined;
  }
  const weights = (await weight.data()) as Float32Array;
  return { weights: Float32Array.from(weights), bias: (await bias.data())[0] };
}

/**
 * Probabilities of contact of all pairs of residues [n × n], row-major and symmetric. The maps are summed row tile by
 * row tile; none is held.
 * @param tokens ids of <cls>, n residues and <eos>
 */
export async function predictContacts(model: LanguageModel, tokens: Tokens, head: ContactHead): Promise<Float32Array> {
  const heads = model.config.num_attention_heads;
  const channels = model.config.num_hidden_layers * heads;
  if (head.weights.length !== channels) {
    throw new InputError(`a contact head of ${head.weights.length} weights: the model has ${channels} heads`);
  }
  const n = tokens.length - 2;
  // The correction is a product of sums, so that all a head leaves behind is its weighted map and n sums.
  const weighted = new Float32Array(n * n);
  const corrections = new Float32Array(channels * n);
  const scaled = new Float32Array(channels * n);
  for await (const { layer, rows } of attentionLayers(model, tokens)) {
    const weights = head.weights.subarray(layer * heads, (layer + 1) * heads);
    const sums = new Float64Array(heads * n);
    for (const [from, to] of tiles(n, n * heads)) {
      const [mix, rowSums, columnSums] = tf.tidy(() => {
        const maps = tf.slice(rows(from + 1, to + 1), [0, 0, 1], [heads, to - from, n]);
        const mixture = tf.matMul(tf.tensor2d(weights, [1, heads]), tf.reshape(maps, [heads, -1]) as tf.Tensor2D);
        return [mixture, tf.sum(maps, 2), tf.sum(maps, 1)];
      });
      const [mixValues, across, down] = await Promise.all([mix.data(), rowSums.data(), columnSums.data()]);
      tf.dispose([mix, rowSums, columnSums]);
      for (let i = 0; i < mixValues.length; i++) {
        weighted[from * n + i] += mixValues[i];
      }
      for (let h = 0; h < heads; h++) {
        for (let i = from; i < to; i++) {
          sums[h * n + i] += across[h * (to - from) + i - from];
        }
        for (let j = 0; j < n; j++) {
          sums[h * n + j] += down[h * n + j];
        }
      }
    }
    for (let h = 0; h < heads; h++) {
      const own = sums.subarray(h * n, (h + 1) * n);
      const total = own.reduce((a, b) => a + b, 0);
      const offset = (layer * heads + h) * n;
      for (let i = 0; i < n; i++) {
        corrections[offset + i] = own[i];
        scaled[offset + i] = total === 0 ? 0 : (weights[h] * own[i]) / total;
      }
    }
  }
  const right = tf.tensor2d(corrections, [channels, n]);
  const left = tf.tensor2d(scaled, [channels, n]);
  const probabilities = new Float32Array(n * n);
  for (const [from, to] of tiles(n, n)) {
    const product = tf.tidy(() => tf.matMul(tf.slice(left, [0, from], [channels, to - from]), right, true, false));
    const correction = await product.data();
    product.dispose();
    for (let i = from; i < to; i++) {
      for (let j = 0; j < n; j++) {
        const logit = weighted[i * n + j] + weighted[j * n + i] - correction[(i - from) * n + j] + head.bias;
        probabilities[i * n + j] = 1 / (1 + Math.exp(-logit));
      }
    }
  }
  tf.dispose([left, right]);
  return probabilities;
}

/**
 * What the regression sees of a map: A + Aᵀ, less the average product correction a_i a_j / a (Dunn, Wahl and Gloor
 * 2008) of its row sums. Changes `map` [n × n] in place.
 */
export function symmetriseAndCorrect(map: Float32Array, n: number): Float32Array {
  const sums = new Float64Array(n);
  let total = 0;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      const both = map[i * n + j] + map[j * n + i];
      map[i * n + j] = both;
      map[j * n + i] = both;
      sums[i] += both;
      if (j !== i) {
        sums[j] += both;
      }
    }
  }
  for (let i = 0; i < n; i++) {
    total += sums[i];
  }
  if (total === 0) {
    return map;
  }
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      map[i * n + j] -= (sums[i] * sums[j]) / total;
    }
  }
  return map;
}

/** A protein of known structure: its residues and the pairs of them (0-based, i < j) that are in contact. */
export interface KnownContacts {
  sequence: string;
  contacts: readonly (readonly [i: number, j: number])[];
  /** Residues (0-based) without coordinates: whether they are in contact is not known. */
  unresolved?: ReadonlySet<number>;
}

/** C of the fit for a model's maps, where none is asked for. */
export function defaultInversePenalty({ attentionKind }: LanguageModel): number {
  return attentionKind?.inversePenalty ?? INVERSE_PENALTY;
}

/**
 * Fits the regression on structures: L1-penalised, ‖w‖₁ + C Σ loss with a free bias, over pairs at least 6 apart whose
 * residues are resolved. Of a large structure's pairs without a contact a sample stands for all, with weights.
 * @param maps the maps of a protein, one after the other: [n × n] over its residues; by default the model's own
 */
export async function fitContactHead(
  channels: number,
  structures: readonly KnownContacts[],
  maps: (sequence: string) => AsyncIterable<Float32Array>,
  options: { inversePenalty: number; seed?: number },
): Promise<ContactHead> {
  const { inversePenalty, seed = 0 } = options;
  const pairs = structures.map((structure, index) => samplePairs(structure, new Random(seed, index)));
  const count = pairs.reduce((sum, { rows }) => sum + rows.length, 0);
  const positives = structures.reduce((sum, { contacts }) => sum + contacts.length, 0);
  if (positives === 0) {
    throw new InputError('no contacts in the structures: give larger proteins to fit on');
  }
  const features = new Float32Array(count * channels);
  const labels = new Uint8Array(count);
  const weights = new Float64Array(count);
  let first = 0;
  for (const [index, structure] of structures.entries()) {
    const { rows, columns, contact, weight } = pairs[index];
    const n = structure.sequence.length;
    let channel = 0;
    for await (const map of maps(structure.sequence)) {
      symmetriseAndCorrect(map, n);
      for (let at = 0; at < rows.length; at++) {
        features[(first + at) * channels + channel] = map[rows[at] * n + columns[at]];
      }
      channel++;
    }
    if (channel !== channels) {
      throw new Error(`${channel} maps of a protein, ${channels} were expected`);
    }
    labels.set(contact, first);
    weights.set(weight, first);
    first += rows.length;
  }
  const { coefficients, intercept } = await fitLogistic(features, labels, {
    weights,
    penalty: 1 / inversePenalty,
  });
  return { weights: Float32Array.from(coefficients), bias: intercept };
}

/** A model's maps over the n residues between <cls> and <eos>, [n × n] each, layer by layer and head by head. */
export async function* residueMaps(model: LanguageModel, tokens: Tokens): AsyncGenerator<Float32Array> {
  const n = tokens.length - 2;
  for await (const attention of attentionLayers(model, tokens)) {
    for (let head = 0; head < attention.heads; head++) {
      const map = new Float32Array(n * n);
      for (const [from, to] of tiles(n, n)) {
        const tile = tf.tidy(() => tf.slice(attention.rows(from + 1, to + 1, head), [0, 0, 1], [1, to - from, n]));
        map.set((await tile.data()) as Float32Array, from * n);
        tile.dispose();
      }
      yield map;
    }
  }
}

interface Pairs {
  rows: number[];
  columns: number[];
  contact: Uint8Array;
  weight: Float64Array;
}

function samplePairs(known: KnownContacts, random: Random): Pairs {
  const { sequence, contacts, unresolved } = known;
  const n = sequence.length;
  const inContact = new Set(contacts.map(([i, j]) => i * n + j));
  const others = countPairs(known, MINIMUM_SEPARATION) - inContact.size;
  const share = Math.min(1, NON_CONTACTS / others);
  const pairs: Pairs & { contacts: number[]; weights: number[] } = {
    rows: [],
    columns: [],
    contact: new Uint8Array(),
    weight: new Float64Array(),
    contacts: [],
    weights: [],
  };
  for (let i = 0; i < n; i++) {
    if (unresolved?.has(i)) {
      continue;
    }
    for (let j = i + MINIMUM_SEPARATION; j < n; j++) {
      if (unresolved?.has(j)) {
        continue;
      }
      const contact = inContact.has(i * n + j);
      if (!contact && share < 1 && random.uniform() >= share) {
        continue;
      }
      pairs.rows.push(i);
      pairs.columns.push(j);
      pairs.contacts.push(contact ? 1 : 0);
      pairs.weights.push(contact ? 1 : 1 / share);
    }
  }
  return { ...pairs, contact: Uint8Array.from(pairs.contacts), weight: Float64Array.from(pairs.weights) };
}

/** Pairs of resolved residues at least `separation` apart. */
function countPairs({ sequence, unresolved }: KnownContacts, separation: number): number {
  const n = sequence.length;
  let pairs = 0;
  let before = 0;
  for (let j = separation; j < n; j++) {
    before += unresolved?.has(j - separation) ? 0 : 1;
    pairs += unresolved?.has(j) ? 0 : before;
  }
  return pairs;
}

export interface PredictedContact {
  /** 0-based, i < j. */
  i: number;
  j: number;
  probability: number;
}

/**
 * The most probable contacts at least `separation` apart, strongest first.
 * @param without residues (0-based) whose pairs do not count
 */
export function topContacts(
  probabilities: Float32Array,
  n: number,
  count: number,
  separation = MINIMUM_SEPARATION,
  without?: ReadonlySet<number>,
): PredictedContact[] {
  const pairs: number[] = [];
  for (let i = 0; i < n; i++) {
    for (let j = i + separation; j < n; j++) {
      if (!without?.has(i) && !without?.has(j)) {
        pairs.push(i * n + j);
      }
    }
  }
  pairs.sort((a, b) => probabilities[b] - probabilities[a] || a - b);
  return pairs
    .slice(0, count)
    .map((cell) => ({ i: Math.floor(cell / n), j: cell % n, probability: probabilities[cell] }));
}

export interface ContactPrecision {
  /** Smallest distance in sequence that counts: 6, or 24 for long range. */
  separation: number;
  /** How many of the most probable pairs are judged. */
  top: 'L' | 'L/2' | 'L/5';
  pairs: number;
  /** The share of them that are contacts in the structure. */
  precision: number;
  /** The share of all pairs that are: what guessing would reach. */
  random: number;
}

/**
 * Precision at L, L/2 and L/5 for |i − j| ≥ 6 and for long range, |i − j| ≥ 24. L counts the resolved residues, and
 * pairs of others are left out.
 */
export function contactPrecision(probabilities: Float32Array, known: KnownContacts): ContactPrecision[] {
  const { unresolved } = known;
  const n = known.sequence.length;
  const resolved = n - (unresolved?.size ?? 0);
  const inContact = new Set(known.contacts.map(([i, j]) => i * n + j));
  return [MINIMUM_SEPARATION, 24].flatMap((separation) => {
    const possible = countPairs(known, separation);
    const contacts = known.contacts.filter(([i, j]) => j - i >= separation).length;
    const ranked = topContacts(probabilities, n, resolved, separation, unresolved);
    return ([1, 2, 5] as const).map((part): ContactPrecision => {
      const chosen = ranked.slice(0, Math.floor(resolved / part));
      const right = chosen.filter(({ i, j }) => inContact.has(i * n + j)).length;
      return {
        separation,
        top: part === 1 ? 'L' : `L/${part}`,
        pairs: chosen.length,
        precision: chosen.length === 0 ? Number.NaN : right / chosen.length,
        random: possible === 0 ? Number.NaN : contacts / possible,
      };
    });
  });
}
