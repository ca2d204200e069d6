import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { assignFolds } from '../../src/scoring/heads/folds.js';
import { publishedOf, publishedSplits, type SupervisedResult, supervisedTable } from '../../src/scoring/supervised.js';
import { readTable } from '../../src/scoring/tables.js';
import type { Variant } from '../../src/scoring/variants.js';

test('tabulates assays beside published figures, and means of the splits', async () => {
  const path = join(mkdtempSync(join(tmpdir(), 'published-')), 'published.csv');
  writeFileSync(
    path,
    'DMS_id,split,Spearman Kermut,MSE Kermut\nA_B_Someone,random,0.8,0.3\nA_B_Someone,modulo,0.7,0.5\n',
  );
  const published = publishedSplits(await readTable(path))!;
  expect(publishedOf(published, 'A_B_Someone_singles', 'modulo')).toEqual({
    'Spearman Kermut': 0.7,
    'MSE Kermut': 0.5,
  });
  const result = (id: string, spearman: number): SupervisedResult => ({
    id,
    method: 'gp',
    split: 'random',
    variants: 10,
    given: ['alignment'],
    spearman,
    mse: 0.4,
    coverage: { half: 0.5, most: 0.9 },
    seconds: 1,
  });
  const rows = supervisedTable([result('A_B_Someone', 0.9), result('C_D_Other', 0.5)], published);
  expect(rows.map(({ level, assay, spearman }) => [level, assay, spearman])).toEqual([
    ['assay', 'A_B_Someone', 0.9],
    ['assay', 'C_D_Other', 0.5],
    ['mean', 'all 2 assays', 0.7],
    ['mean', 'the 1 assays with published figures', 0.9],
  ]);
  expect(rows[0]).toMatchObject({ given: 'alignment', coverage_90: 0.9, 'Spearman Kermut': 0.8 });
  expect(rows[1]['Spearman Kermut']).toBeNull();
});

const FOLDS = new URL('../../../shared/data/folds/', import.meta.url).pathname;

test
  .skipIf(!existsSync(FOLDS))
  .each(['BLAT_ECOLX_Stiffler_2015', 'BRCA1_HUMAN_Findlay_2018', 'RL401_YEAST_Roscoe_2014'])(
  "%s: modulo and contiguous folds are ProteinGym's",
  (id) => {
    const lines = readFileSync(join(FOLDS, `${id}.csv`), 'utf8')
      .trim()
      .split('\n')
      .slice(1);
    const rows = lines.map((line) => line.trim().split(',') as [string, string, string]);
    const variants = rows.map(([name]): Variant => {
      const start = Number(name.slice(1, -1)) - 1;
      return { name, edits: [{ start, end: start + 1, residues: name.slice(-1) }] };
    });
    expect([...assignFolds(variants, 'modulo')]).toEqual(rows.map(([, modulo]) => Number(modulo)));
    expect([...assignFolds(variants, 'contiguous')]).toEqual(rows.map(([, , contiguous]) => Number(contiguous)));
  },
);
