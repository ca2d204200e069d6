import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { PROTEIN } from '../../src/data/alphabet.js';
import { Warnings } from '../../src/data/warnings.js';
import { type Engine, startEngine } from '../../src/engines/index.js';
import { newConfig } from '../../src/model/config.js';
import { createModel, type LanguageModel } from '../../src/model/model.js';
import { readMutations } from '../../src/scoring/mutations.js';
import { checkScan, type ScannedSequence, scanColumns, scanFasta } from '../../src/scoring/scan.js';
import { scoreSequence, scoreVariants } from '../../src/scoring/schemes.js';
import { readVariant } from '../../src/scoring/variants.js';

const folder = mkdtempSync(join(tmpdir(), 'scan-'));
const file = (name: string, content: string): string => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};
const two = file('two.fasta', '>P1 first\nMKTV\n>\nMXK\n');
const three = file('three.fasta', '>A\nMK\n>B\nMT\n>C\nMV\n');
let engine: Engine;
let model: LanguageModel;
beforeAll(async () => {
  engine = await startEngine();
  model = createModel(newConfig({ layers: 1, hidden: 16, heads: 2, feedForward: 16, dropout: 0 }), 1);
});
afterAll(async () => {
  model.dispose();
  await engine.stop();
  rmSync(folder, { recursive: true });
});
const all = async (scan: AsyncIterable<ScannedSequence>): Promise<ScannedSequence[]> => {
  const sequences: ScannedSequence[] = [];
  for await (const sequence of scan) {
    sequences.push(sequence);
  }
  return sequences;
};

it('scores every single substitution of each sequence, numbered from an offset', async () => {
  const warnings = new Warnings();
  const seen: [number, string][] = [];
  const onProgress = (fraction: number, detail: string) => seen.push([fraction, detail]);
  const scan = scanFasta(two, { models: [model] }, { warnings, offset: 24, onProgress });
  const [first, second] = await all(scan);
  expect(scanColumns({ models: [model] })).toEqual(['sequence_id', 'variant', 'score']);
  expect(first!.rows).toHaveLength(4 * 19);
  const names = first!.rows.map(([, name]) => name as string);
  expect(names[0]).toBe('M24A');
  const variants = names.map((name) => readVariant('MKTV', name, { offset: 24 }));
  const expected = await scoreVariants([model], 'MKTV', variants);
  first!.rows.forEach(([id, , score], i) => {
    expect(id).toBe('P1');
    expect(score).toBe(Number(expected[i].toPrecision(8)));
  });
  // The X of the second has no score; its missing identifier is made up, and both are told once.
  expect(second!.id).toBe('record_2');
  expect(second!.rows.map(([, name]) => name).filter((name) => String(name).startsWith('X'))).toEqual([]);
  expect(second!.rows).toHaveLength(2 * 19);
  expect(Object.values(warnings.counts()).map(({ count }) => count)).toEqual([1, 1]);
  expect(seen.at(-1)).toEqual([1, 'record_2 2/2']);
});

it('gives a matrix, whole sequences and the variants of a file', async () => {
  const scorer = { models: [model] };
  const [matrix] = await all(scanFasta(three, scorer, { matrix: true, offset: 5 }));
  const columns = scanColumns(scorer, { matrix: true });
  expect(columns.slice(0, 4)).toEqual(['sequence_id', 'position', 'wild_type', 'A']);
  expect(matrix!.rows.map(([, position, residue]) => [position, residue])).toEqual([
    [5, 'M'],
    [6, 'K'],
  ]);
  const [score] = await scoreVariants(scorer.models, 'MK', [readVariant('MK', 'K2A')]);
  expect(matrix!.rows[1][columns.indexOf('A')]).toBe(Number(score!.toPrecision(8)));
  expect(matrix!.rows[1][columns.indexOf('K')]).toBe(0);

  const [whole] = await all(scanFasta(three, scorer, { scheme: 'pseudo-perplexity' }));
  const expected = await scoreSequence(scorer.models, 'MK', { scheme: 'pseudo-perplexity' });
  expect(whole!.rows).toEqual([['A', 'WT', Number(expected.toPrecision(8))]]);

  const mutations = await readMutations(file('m.csv', 'sequence_id,mutant\nC,V2*\nA,K2A\nC,V2A\n'));
  const warnings = new Warnings();
  const placed = await all(scanFasta(three, scorer, { mutations, warnings }));
  expect(placed.map(({ id, rows }) => [id, ...rows.map(([, name]) => name)])).toEqual([
    ['A', 'K2A'],
    ['C', 'V2*', 'V2A'],
  ]);
  expect(placed[1].rows[0][2]).toBeNaN();
  expect(warnings.lines()[0]).toMatch(
    /^stop codon, score left empty: 1 \(first: .*three.fasta:5, record C, variant V2\*/,
  );
});

it('goes on after the sequences that are done, where they are those', async () => {
  const scorer = { models: [model] };
  const rest = await all(scanFasta(three, scorer, { done: { groups: 2, last: 'B' } }));
  expect(rest.map(({ id }) => id)).toEqual(['C']);
  const other = all(scanFasta(three, scorer, { done: { groups: 2, last: 'X', path: 'out.partial' } }));
  await expect(other).rejects.toThrow('out.partial continues another input at B; delete it to start anew');
});

it('checks a file before the work, and warns once', async () => {
  const warnings = new Warnings();
  expect(await checkScan(two, PROTEIN, { warnings })).toBe(2);
  expect(warnings.lines()).toHaveLength(1);
  await all(scanFasta(two, { models: [model] }, { warnings, checked: true }));
  expect(Object.values(warnings.counts()).map(({ count }) => count)).toEqual([1, 1]);
  expect(await checkScan('-', PROTEIN)).toBeUndefined();

  const named = await readMutations(file('n.csv', 'sequence_id,mutant\nC,V2A\n'));
  expect(await checkScan(three, PROTEIN, { mutations: named })).toBe(1);
  const wrong = await readMutations(file('w.csv', 'sequence_id,mutant\nC,K2A\n'));
  await expect(checkScan(three, PROTEIN, { mutations: wrong })).rejects.toThrow(
    'position 2 of the wild type is V, not K',
  );
  const absent = await readMutations(file('d.csv', 'sequence_id,mutant\nD,K2A\n'));
  await expect(checkScan(three, PROTEIN, { mutations: absent })).rejects.toThrow('sequence_id D is not in');
  const unnamed = await readMutations(file('u.csv', 'mutant\nK2A\n'));
  await expect(checkScan(three, PROTEIN, { mutations: unnamed })).rejects.toThrow('add a column sequence_id');
  await expect(checkScan(file('empty.fasta', '\n'), PROTEIN)).rejects.toThrow('has no sequences');
});
