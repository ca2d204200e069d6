import { mkdtempSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { RESIDUES } from '../../src/data/alphabet.js';
import { readFasta } from '../../src/data/fasta.js';

/** bionode-fasta, which the reader took the place of: it knows fewer files and is several times slower. */
const bionode = createRequire(import.meta.url)('bionode-fasta');
const folder = mkdtempSync(join(tmpdir(), 'bionode-'));

test('well-formed files have the records that bionode-fasta reads', async () => {
  const path = join(folder, 'a.fasta');
  const sequences = Array.from({ length: 500 }, (_, i) => RESIDUES.repeat(1 + (i % 30)).slice(i % 20));
  writeFileSync(path, sequences.map((s, i) => `>p${i} protein\n${s.replace(/.{60}/g, '$&\n')}\n`).join(''));
  const theirs = await new Promise<{ id: string; seq: string }[]>((resolve, reject) => {
    const records: { id: string; seq: string }[] = [];
    bionode
      .obj(path)
      .on('data', (record: { id: string; seq: string }) => records.push(record))
      .on('error', reject)
      .on('end', () => resolve(records));
  });
  const ours: { id: string; seq: string }[] = [];
  for await (const { description, sequence } of readFasta(path)) {
    ours.push({ id: description, seq: sequence });
  }
  expect(ours).toEqual(theirs);
  expect(ours.map(({ seq }) => seq)).toEqual(sequences);
});
