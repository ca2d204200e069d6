import { afterAll, describe, expect, it } from 'vitest';
import { Random } from '../../../src/data/random.js';
import { loadAddon } from '../../../src/engines/cpu/addon.js';
import { identityCounts, referenceCounts } from '../../../src/engines/cpu/identityCounts.js';
import { instructionSets } from './instructionSets.js';

const addon = loadAddon();
const best = addon.instructionSet();
const GAP = 20;

/** Rows that descend from a few ancestors, so that some pairs are near: [depth × length] of codes 0 … 20. */
function family(depth: number, length: number, seed: number): Uint8Array {
  const random = new Random(seed);
  const rows = new Uint8Array(depth * length);
  for (let row = 0; row < depth; row++) {
    const parent = Math.floor(random.uniform() * row);
    for (let column = 0; column < length; column++) {
      const changes = row < 5 || random.uniform() < 0.15;
      rows[row * length + column] = changes ? Math.floor(random.uniform() * 21) : rows[parent * length + column];
    }
  }
  return rows;
}

describe('identityCounts', () => {
  afterAll(() => addon.setInstructionSet(best));

  it.each(instructionSets())('counts on %s as plain loops do', (name) => {
    addon.setInstructionSet(name);
    for (const [depth, length] of [
      [1, 1],
      [63, 31],
      [64, 64],
      [130, 65],
      [200, 286],
    ]) {
      const rows = family(depth, length, depth);
      const few = Int32Array.from({ length: depth }, (_, i) => Math.floor(length * (0.3 + 0.01 * (i % 60))));
      for (const needed of [few, new Int32Array(depth).fill(Math.ceil(0.8 * length)), new Int32Array(depth)]) {
        for (const gap of [undefined, GAP]) {
          const counts = identityCounts(rows, depth, length, needed, gap);
          expect(counts).toEqual(referenceCounts(rows, depth, length, needed, gap));
        }
      }
    }
  });

  it('finds what can be counted by hand', () => {
    // ABC, ABD, A-D, --- with two letters needed.
    const rows = Uint8Array.of(0, 1, 2, 0, 1, 3, 0, GAP, 3, GAP, GAP, GAP);
    const needed = new Int32Array(4).fill(2);
    expect([...identityCounts(rows, 4, 3, needed, GAP)]).toEqual([2, 3, 2, 0]);
    expect([...identityCounts(rows, 4, 3, needed)]).toEqual([2, 3, 2, 1]);
    expect([...identityCounts(rows, 4, 3, Int32Array.of(1, 1, 1, 1))]).toEqual([3, 3, 4, 2]);
  });
});
