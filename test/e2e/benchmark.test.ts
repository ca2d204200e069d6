import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, relative } from 'node:path';
import { gzipSync } from 'node:zlib';
import { fromCSV } from 'arquero';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../../src/data/random.js';
import { type Engine, startEngine } from '../../src/engines/index.js';
import { newConfig } from '../../src/model/config.js';
import { saveModel } from '../../src/model/files.js';
import { createModel, type LanguageModel } from '../../src/model/model.js';
import { findAssays } from '../../src/scoring/benchmark.js';
import { evaluateScores } from '../../src/scoring/metrics.js';
import { scoreVariants } from '../../src/scoring/schemes.js';
import { diffSequences, readVariant } from '../../src/scoring/variants.js';
import { runCli } from './cli.js';

const folder = mkdtempSync(join(tmpdir(), 'benchmark-'));
const model = join(folder, 'model');
const WILD_TYPE = 'MKTVRQGWAALLSEKHNDYP';
const RESIDUES = 'ACDEFGHIKLMNPQRSTVWY';
const random = new Random(5);
const singles = Array.from({ length: 60 }, () => {
  const at = random.int(20);
  return `${WILD_TYPE[at]}${at + 1}${RESIDUES[random.int(20)]}`;
});
const doubles = Array.from({ length: 30 }, () => {
  const at = random.int(10);
  return [at, at + 10].map((i) => `${WILD_TYPE[i]}${i + 1}${RESIDUES[random.int(20)]}`).join(':');
});
const deletions = Array.from({ length: 15 }, (_, i) => WILD_TYPE.slice(0, i) + WILD_TYPE.slice(i + 2));
const measuredOf = (rows: string[]) => rows.map(() => Number(random.normal().toFixed(3)));
const data = { singles: measuredOf(singles), doubles: measuredOf(doubles), deletions: measuredOf(deletions) };
const csv = (column: string, rows: string[], values: number[]) =>
  `${column},DMS_score\n${rows.map((row, i) => `${row},${values[i]}\n`).join('')}`;

let engine: Engine;
let network: LanguageModel;
beforeAll(async () => {
  engine = await startEngine();
  network = createModel(newConfig({ layers: 1, hidden: 16, heads: 2, feedForward: 16, dropout: 0 }), 1);
  await saveModel(network, model);
  const write = (name: string, content: string | Uint8Array) => writeFileSync(join(folder, name), content);
  write('A_ONE_2020.csv', csv('mutant', singles, data.singles));
  write('A_TWO_2021.csv.gz', gzipSync(csv('mutant', doubles, data.doubles)));
  write('B_INDELS_2022.csv', csv('mutated_sequence', deletions, data.deletions));
  write('B_INDELS.fasta', `>B\n${WILD_TYPE}\n`);
  write(
    'assays.csv',
    'DMS_id,target_seq,n_rows,UniProt_ID,coarse_selection_type,BLOSUM62\n' +
      `A_ONE_2020,${WILD_TYPE},60,A,Activity,0.25\nA_TWO_2021,${WILD_TYPE},30,A,Stability,\n`,
  );
});
afterAll(async () => {
  network.dispose();
  await engine.stop();
  rmSync(folder, { recursive: true });
});

describe('benchmark', () => {
  it('measures every assay of a folder, their means, and ProteinGym’s average', async () => {
    const out = join(folder, 'out.json');
    const scores = join(folder, 'scores');
    const args = ['benchmark', '--assays', folder, '--model', model, '--scores', scores, '--bootstrap', '50'];
    const { code, stderr } = await runCli([...args, '--out', out]);
    expect(stderr).not.toContain('error');
    expect(code).toBe(0);
    const lines = JSON.parse(readFileSync(out, 'utf8')) as Record<string, number & string>[];
    const one = lines.find(({ assay }) => assay === 'A_ONE_2020')!;
    const variants = singles.map((text) => readVariant(WILD_TYPE, text));
    const expected = evaluateScores(data.singles, await scoreVariants([network], WILD_TYPE, variants));
    expect(one).toMatchObject({ level: 'assay', kind: 'singles', variants: 60, BLOSUM62: 0.25 });
    expect(one.spearman).toBeCloseTo(expected.spearman, 3);
    expect(one.auc).toBeCloseTo(expected.auc, 3);
    expect(one.ndcg).toBeCloseTo(expected.ndcg, 3);
    expect(one.spearman_low).toBeLessThan(one.spearman!);
    expect(one.spearman_high).toBeGreaterThan(one.spearman!);

    const indels = lines.find(({ assay }) => assay === 'B_INDELS_2022')!;
    const changed = deletions.map((sequence) => diffSequences(WILD_TYPE, sequence));
    const likelihoods = await scoreVariants([network], WILD_TYPE, changed, { indels: 'single-pass' });
    expect(indels.kind).toBe('indels');
    expect(indels.spearman).toBeCloseTo(evaluateScores(data.deletions, likelihoods).spearman, 3);

    const two = lines.find(({ assay }) => assay === 'A_TWO_2021')!;
    expect(two).toMatchObject({ kind: 'multiples', BLOSUM62: null });
    const average = lines.find(({ level }) => level === 'average')!;
    expect(average.spearman).toBeCloseTo((one.spearman! + two.spearman!) / 2, 3);
    expect(lines.map(({ level }) => level)).toEqual([
      'assay',
      'assay',
      'assay',
      'mean',
      'mean',
      'mean',
      'selection_type',
      'selection_type',
      'average',
    ]);
    const written = fromCSV(readFileSync(join(scores, 'A_ONE_2020.csv'), 'utf8'));
    expect(written.columnNames()).toEqual(['mutant', 'DMS_score', 'score']);
    expect(written.numRows()).toBe(60);
  });

  it('takes a reference for no assay, however its path is spelled', async () => {
    const assays = mkdtempSync(join(folder, 'dms-'));
    writeFileSync(join(assays, 'A_ONE_2020.csv'), csv('mutant', singles, data.singles));
    const reference = join(assays, 'wild-types.csv');
    writeFileSync(reference, `DMS_id,target_seq\nA_ONE_2020,${WILD_TYPE}\n`);
    for (const path of [`${assays}/../${basename(assays)}//wild-types.csv`, relative(process.cwd(), reference)]) {
      const files = await findAssays(assays, [path]);
      expect(files.map(({ id, wildType }) => [id, wildType])).toEqual([['A_ONE_2020', WILD_TYPE]]);
    }
  });

  it.each<[string, (empty: string) => string[], RegExp]>([
    ['no folder', () => ['--assays', join(folder, 'none')], /none: no such file or folder/],
    ['no assays', (empty) => ['--assays', empty], /has no assays/],
  ])('%s', async (_, args, message) => {
    const empty = mkdtempSync(join(tmpdir(), 'empty-'));
    const { code, stderr } = await runCli(['benchmark', '--model', model, ...args(empty)]);
    expect(code).toBe(1);
    expect(stderr).toMatch(message);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
    rmSync(empty, { recursive: true });
  });
});
