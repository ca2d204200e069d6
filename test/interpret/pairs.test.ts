import { describe, expect, it } from 'vitest';
import { strongestPairs } from '../../src/interpret/pairs.js';

describe('strongest pairs', () => {
  it('are the largest values between residues, without special tokens', async () => {
    const length = 60;
    const map = Float32Array.from({ length: length * length }, (_, cell) => ((cell * 7919) % 3600) / 3600);
    async function* tiles() {
      for (let from = 0; from < length; from += 7) {
        yield { layer: 3, head: 'mean' as const, from, values: map.slice(from * length, (from + 7) * length) };
      }
    }
    const wanted = [...map]
      .map((attention, cell) => ({
        layer: 3,
        head: 'mean',
        query: Math.floor(cell / length),
        key: cell % length,
        attention,
      }))
      .filter(({ query, key }) => query > 0 && key > 0 && query < 59 && key < 59 && Math.abs(query - key) >= 6)
      .sort((a, b) => b.attention - a.attention)
      .slice(0, 5);
    expect(await strongestPairs(tiles(), length, { count: 5, separation: 6 })).toEqual(wanted);
    expect(await strongestPairs(tiles(), length, { count: 1e6 })).toHaveLength(58 * 57);
  });
});
