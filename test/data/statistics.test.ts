import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { buildStore } from '../../src/data/build.js';
import { fastaStatistics, storeStatistics } from '../../src/data/statistics.js';
import { openStore } from '../../src/data/store.js';
import { SHARED } from '../shared.js';

const statistics = (text: string) => fastaStatistics(Readable.from([Buffer.from(text)]));

test('counts FASTA as it is', async () => {
  const found = await statistics('>a\nMKTxX*\n>b\n\n>a\nmkj1\n>c\nMKJ1\n');
  expect(found).toMatchObject({
    sequences: 4,
    residues: 14,
    empty: 1,
    duplicateIdentifiers: 1,
    duplicateSequences: 1,
    lowerCase: 4,
    unusual: {
      X: { count: 2, sequences: 1 },
      '*': { count: 1, sequences: 1 },
      J: { count: 2, sequences: 2 },
      '1': { count: 2, sequences: 2 },
    },
  });
  expect(found.composition.K).toEqual({ count: 3, fraction: 3 / 14 });
  expect(found.composition.W).toEqual({ count: 0, fraction: 0 });
  expect(Object.keys(found.composition).length).toBe(20);
});

test('length quantiles are those of numpy.quantile', async () => {
  const lengths = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3];
  const text = lengths.map((length, i) => `>${i}\n${'M'.repeat(length)}\n`).join('');
  const { length } = await statistics(text);
  // numpy.quantile([3,1,4,1,5,9,2,6,5,3], [0, .05, .25, .5, .75, .95, 1]), numpy.mean
  const expected = { min: 1, q05: 1, q25: 2.25, median: 3.5, mean: 3.9, q75: 5, q95: 7.65, max: 9 };
  for (const [name, value] of Object.entries(expected)) {
    expect(length[name as keyof typeof length], name).toBeCloseTo(value, 10);
  }
});

test('nothing at all has statistics, too', async () => {
  expect(await statistics('')).toMatchObject({ sequences: 0, residues: 0, length: { median: 0 }, unusual: {} });
});

test('a store has the statistics of its splits', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'statistics-'));
  writeFileSync(join(folder, 'a.fasta'), '>a\nMKTX\n>b\nMK\n>c\nAC\n');
  await buildStore(join(folder, 'a.fasta'), join(folder, 'store'), {
    fractions: { validation: 0, test: 0 },
    holdout: ['c'],
  });
  const store = await openStore(join(folder, 'store'));
  const { train, ood, test } = storeStatistics(store);
  store.close();
  expect(train).toMatchObject({ sequences: 2, residues: 6, length: { min: 2, median: 3, max: 4 } });
  expect(train.unusual).toEqual({ X: { count: 1 } });
  expect(ood.composition.A).toEqual({ count: 1, fraction: 0.5 });
  expect(test.sequences).toBe(0);
});

describe.skipIf(SHARED === undefined)('the UniProt corpus', () => {
  test('has the numbers that its description gives', async () => {
    const { sequences, length, unusual } = await fastaStatistics(
      join(SHARED!, 'data/corpus/uniprot_proteomes.fasta.gz'),
    );
    expect(sequences).toBe(89_002);
    expect(length).toMatchObject({ median: 333, max: 10_549 });
    expect(unusual).toMatchObject({ X: { count: 226 }, U: { count: 16 } });
  });
});
