import type { AttentionTile } from './attentionMaps.js';

/** A pair of residues and the attention from one to the other; positions count residues from 1. */
export interface AttentionPair {
  layer: number | 'mean';
  head: number | 'mean';
  query: number;
  key: number;
  attention: number;
}

export interface StrongestPairsOptions {
  count: number;
  /** Least distance in sequence; default 1, which leaves out only a residue's attention to itself. */
  separation?: number;
}

/**
 * The strongest pairs of residues over all maps of a stream, strongest first; <cls> and <eos> are left out.
 * @param tiles of maps over <cls>, the residues and <eos>: [length × length]
 */
export async function strongestPairs(
  tiles: AsyncIterable<AttentionTile>,
  length: number,
  { count, separation = 1 }: StrongestPairsOptions,
): Promise<AttentionPair[]> {
  // Candidates pile up to twice the count, then the weaker half goes: no ordering work for most cells.
  let pairs: AttentionPair[] = [];
  let threshold = Number.NEGATIVE_INFINITY;
  const prune = (): void => {
    pairs.sort((a, b) => b.attention - a.attention);
    pairs = pairs.slice(0, count);
    if (pairs.length === count) {
      threshold = pairs[count - 1]?.attention ?? Number.POSITIVE_INFINITY;
    }
  };
  for await (const { layer, head, from, values } of tiles) {
    for (let row = 0; row * length < values.length; row++) {
      const query = from + row;
      if (query === 0 || query === length - 1) {
        continue;
      }
      for (let key = 1; key < length - 1; key++) {
        const attention = values[row * length + key];
        if (attention <= threshold || Math.abs(query - key) < separation) {
          continue;
        }
        pairs.push({ layer, head, query, key, attention });
      }
      if (pairs.length > 2 * count + 1000) {
        prune();
      }
    }
  }
  prune();
  return pairs;
}
