import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { readProteins } from '../../src/data/proteins.js';
import { fastaStatistics } from '../../src/data/statistics.js';
import { Warnings } from '../../src/data/warnings.js';

const path = (name: string) => fileURLToPath(new URL(`../../datasets/${name}`, import.meta.url));
const SAMPLE = path('uniprot-sample.fasta.gz');

test('the sample has the numbers of its README', async () => {
  expect(await fastaStatistics(SAMPLE)).toMatchObject({
    sequences: 10_000,
    residues: 4_583_443,
    duplicateSequences: 0,
    length: { median: 344, max: 8081 },
    unusual: { X: { count: 1957 } },
  });
});

test('every file is free of warnings, and no example is in the sample', async () => {
  const sample = new Set<string>();
  const warnings = new Warnings({ strict: true });
  for await (const { sequence } of readProteins(SAMPLE, { warnings, duplicates: 'error' })) {
    sample.add(sequence);
  }
  const examples = readdirSync(path('.')).filter((name) => name.endsWith('.fasta'));
  expect(examples).toEqual(['spink1.fasta', 'sumo.fasta']);
  for await (const { sequence } of readProteins(examples.map(path), { warnings })) {
    expect(sample.has(sequence)).toBe(false);
  }
});
