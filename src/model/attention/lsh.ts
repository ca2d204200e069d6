import * as tf from '@tensorflow/tfjs-core';
import { splitHeads } from '../../ops/heads.js';
import { lshAttention, OWN, sortedPositions } from '../../ops/lshAttention.js';
import type { AttentionKind, AttentionRows } from './attention.js';
import { redrawInterval } from './features.js';
import { gaussianProjection } from './projection.js';

/** What LSH attention is told. */
export interface LshOptions {
  /** Rounds of hashing. */
  num_hashes: number;
  /** Buckets of a long sequence; one of n chunks has n where that is fewer. */
  num_buckets: number;
  /** Tokens of a chunk. */
  chunk_length: number;
}

/** Reformer: exact attention among tokens that hash alike, with shared queries and keys. */
export const lsh: AttentionKind<LshOptions & { redraw_interval?: number }> = {
  name: 'lsh',
  options: {
    num_hashes: { type: 'whole', minimum: 1, maximum: 64, default: 4, help: 'rounds of hashing' },
    num_buckets: {
      type: 'whole',
      minimum: 2,
      maximum: 65_536,
      even: true,
      default: 64,
      help: 'buckets of a long sequence',
    },
    chunk_length: { type: 'whole', minimum: 1, maximum: 2 ** 24, default: 64, help: 'tokens of a chunk' },
    redraw_interval: redrawInterval,
  },
  causal: true,
  linear: true,
  create: ({ causal, num_hashes: hashes, num_buckets: buckets, chunk_length: chunkLength }, { heads, size }) => {
    const rows = (hashes * buckets) / 2;
    return {
      sharedQueryKey: true,
      parameters: [
        {
          name: 'rotations',
          shape: [rows, size],
          trainable: false,
          random: true,
          initialise: (random) => gaussianProjection(rows, size, 'iid', random),
        },
      ],
      attend: (qkv, keep, { rotations }) =>
        lshAttention(qkv, keep, rotations as tf.Tensor2D, { heads, causal, hashes, chunkLength }),
      rows: (qkv, { rotations }) =>
        hashedRows(qkv, rotations as tf.Tensor2D, { heads, size, causal, hashes, chunkLength }),
    };
  },
};

interface HashingOptions {
  heads: number;
  size: number;
  hashes: number;
  chunkLength: number;
  causal: boolean;
}

/** What the rounds of hashing made of a sequence: the queries, and for each head and round the order of positions. */
interface Hashed extends HashingOptions {
  length: number;
  /** [heads, L, d] */
  queries: Float32Array;
  /** 1 / |q|, [heads, L]: queries of length one are the keys. */
  inverseLengths: Float32Array;
  /** Positions by bucket, [heads, rounds, L]. */
  order: Int32Array;
  /** The inverse: where in that order a position stands. */
  places: Int32Array;
}

/**
 * The matrices of LSH attention, rows at a time: in each round a token attends to those of its chunk and the one
 * before, in the order of buckets; rounds are weighted by their normalisers (Kitaev et al. 2020, section 2). No score
 * outside the chunks is computed, so it costs the time of the attention itself, and L · rounds · heads of memory.
 * @param qkv [1, L, 3 D] of one sequence without padding
 * @param rotations R [rounds · b/2, d]
 */
async function hashedRows(qkv: tf.Tensor3D, rotations: tf.Tensor2D, options: HashingOptions): Promise<AttentionRows> {
  const hashed = await hash(qkv, rotations, options);
  const { heads, length } = hashed;
  return {
    rows: (from, to, head) => {
      const chosen = head === undefined ? [...Array(heads).keys()] : [head];
      const values = new Float32Array(chosen.length * (to - from) * length);
      chosen.forEach((number, at) => {
        for (let row = from; row < to; row++) {
          const start = (at * (to - from) + row - from) * length;
          addRow(hashed, number, row, values.subarray(start, start + length));
        }
      });
      return tf.tensor3d(values, [chosen.length, to - from, length]);
    },
    dispose: () => {},
  };
}

async function hash(qkv: tf.Tensor3D, rotations: tf.Tensor2D, given: HashingOptions): Promise<Hashed> {
  const { heads, size } = given;
  const length = qkv.shape[1];
  const options = { ...given, chunkLength: Math.min(given.chunkLength, length) };
  const tensors = tf.tidy(() => {
    const [q] = splitHeads(qkv, heads);
    return [q, sortedPositions(q, tf.ones([1, length]), rotations, options)];
  });
  const [queries, order] = (await Promise.all(tensors.map((x) => x.data()))) as [Float32Array, Int32Array];
  tf.dispose(tensors);
  const inverseLengths = Float32Array.from({ length: heads * length }, (_, row) => {
    let square = 1e-12;
    for (let i = row * size; i < (row + 1) * size; i++) {
      square += queries[i] ** 2;
    }
    return 1 / Math.sqrt(square);
  });
  const places = new Int32Array(order.length);
  for (let i = 0; i < order.length; i++) {
    places[i - (i % length) + order[i]] = i % length;
  }
  return { ...options, length, queries, inverseLengths, order, places };
}

/** Adds what one token attends to in every round to `row` [L]. */
function addRow(hashed: Hashed, head: number, query: number, row: Float32Array): void {
  const { length, hashes } = hashed;
  const rounds = Array.from({ length: hashes }, (_, round) => chunkScores(hashed, head, round, query));
  const normalisers = rounds.map(({ scores }) => logSumExp(scores));
  const total = logSumExp(normalisers);
  rounds.forEach(({ first, scores }, round) => {
    const start = (head * hashes + round) * length + first;
    // Of a round, its softmax times its share among the rounds: the round's normaliser cancels.
    for (let i = 0; i < scores.length; i++) {
      row[hashed.order[start + i]] += Math.exp(scores[i] - total);
    }
  });
}

/** A query's scores with the places of its chunk and of the one before, from place `first` on. */
function chunkScores(
  { order, places, queries, inverseLengths, length, size, hashes, chunkLength, causal }: Hashed,
  head: number,
  round: number,
  query: number,
): { first: number; scores: Float64Array } {
  const start = (head * hashes + round) * length;
  const chunk = Math.floor(places[start + query] / chunkLength);
  const first = Math.max(0, chunk - 1) * chunkLength;
  const end = Math.min(length, (chunk + 1) * chunkLength);
  const own = (head * length + query) * size;
  const scores = new Float64Array(end - first).fill(Number.NEGATIVE_INFINITY);
  for (let place = first; place < end; place++) {
    const key = order[start + place];
    if (causal && key > query) {
      continue;
    }
    if (key === query) {
      scores[place - first] = OWN;
      continue;
    }
    const other = (head * length + key) * size;
    let product = 0;
    for (let i = 0; i < size; i++) {
      product += queries[own + i] * queries[other + i];
    }
    scores[place - first] = product * inverseLengths[head * length + key];
  }
  return { first, scores };
}

function logSumExp(values: ArrayLike<number>): number {
  let peak = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < values.length; i++) {
    peak = Math.max(peak, values[i]);
  }
  let sum = 0;
  for (let i = 0; i < values.length; i++) {
    sum += Math.exp(values[i] - peak);
  }
  return peak + Math.log(sum);
}
