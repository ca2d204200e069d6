import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { drawCopies, familySequences } from '../../src/alignment/family.js';

const folder = mkdtempSync(join(tmpdir(), 'family-'));

describe('drawCopies', () => {
  it('draws in proportion, and as many as asked for', () => {
    expect([...drawCopies(Float64Array.of(1, 0.5, 0, 0.5), 8)]).toEqual([4, 2, 0, 2]);
    const copies = drawCopies(Float64Array.of(1, 1 / 3, 1 / 3, 1 / 3, 1), 5);
    expect(copies.reduce((sum, count) => sum + count, 0)).toBe(5);
    expect(copies[1] + copies[2] + copies[3]).toBeGreaterThanOrEqual(1);
    expect(copies[1] + copies[2] + copies[3]).toBeLessThanOrEqual(2);
  });
});

describe('familySequences', () => {
  it('gives whole sequences, a crowd of relatives as one', async () => {
    const path = join(folder, 'x.a3m');
    const crowd = Array.from({ length: 4 }, (_, i) => `>n${i}\nMKTVRQGHWE\n`).join('');
    writeFileSync(path, `${crowd}>q\nCCPPNNDDAA\n>far\nYF-IivvLLSST-\n`);
    const { sequences, depth, effectiveDepth } = await familySequences(path, { query: 'q' });
    expect([depth, effectiveDepth]).toEqual([6, 3]);
    expect(sequences).toHaveLength(6);
    const counted = (sequence: string) => sequences.filter((one) => one.sequence === sequence).length;
    expect(['MKTVRQGHWE', 'CCPPNNDDAA', 'YFIIVVLLSST'].map(counted)).toEqual([2, 2, 2]);
    expect(new Set(sequences.map(({ id }) => id)).size).toBe(6);
  });
});
