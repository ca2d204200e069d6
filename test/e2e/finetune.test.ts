import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromCSV } from 'arquero';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../../src/data/random.js';
import { type Engine, startEngine } from '../../src/engines/index.js';
import { newConfig } from '../../src/model/config.js';
import { saveModel } from '../../src/model/files.js';
import { createModel } from '../../src/model/model.js';
import { singleSubstitutions } from '../../src/scoring/variants.js';
import { runCli } from './cli.js';

const folder = mkdtempSync(join(tmpdir(), 'finetune-'));
const model = join(folder, 'model');
const WILD_TYPE = 'MKTVRQGWAALLSEKHNDYP';
const assay = join(folder, 'assay.csv');
const fasta = join(folder, 'wt.fasta');
let engine: Engine;
beforeAll(async () => {
  engine = await startEngine();
  const network = createModel(newConfig({ layers: 1, hidden: 16, heads: 2, feedForward: 16, dropout: 0 }), 1);
  await saveModel(network, model);
  network.dispose();
  const random = new Random(1);
  const rows = [...singleSubstitutions(WILD_TYPE, 'ACDEFGHIKLMNPQRSTVWY')]
    .filter(() => random.uniform() < 0.3)
    .map(({ name, edits }) => `${name},${(edits[0]!.start % 5) + random.uniform()}`);
  writeFileSync(assay, `mutant,DMS_score\n${rows.join('\n')}\n`);
  writeFileSync(fasta, `>wt\n${WILD_TYPE}\n`);
});
afterAll(async () => {
  await engine.stop();
  rmSync(folder, { recursive: true });
});
const finetune = (...args: string[]) =>
  runCli(['finetune', '--assay', assay, '--wild-type', fasta, '--model', model, '--quiet', ...args]);

describe('finetune', () => {
  it('cross-validates heads on every split and in low-N', async () => {
    const args = ['--method', 'one-hot', 'augmented', 'site-embedding', '--split', 'random', 'modulo', '--folds', '3'];
    const { code, stdout, stderr } = await finetune(...args, '--train-size', '24', '--repeats', '2');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const rows = fromCSV(stdout).objects() as Record<string, string & number>[];
    expect(rows).toHaveLength(3 * (2 * 4 + 2));
    expect(Object.keys(rows[0]!)).toEqual(
      'assay method split fold train test spearman auc mcc ndcg top_recall'.split(' '),
    );
    const best = rows.find(({ method, split, fold }) => method === 'one-hot' && split === 'random' && fold === 'all')!;
    expect(best.spearman).toBeGreaterThan(0.3);
    expect(rows.filter(({ split }) => split === 'low-N').every(({ train }) => train === 24)).toBe(true);
  });

  it.each(['augmented', 'fine-tune'])('saves a %s head that score uses', async (method) => {
    const head = join(folder, method);
    const saved = await finetune('--method', method, '--save', head, '--epochs', '2');
    expect(saved.code).toBe(0);
    expect(JSON.parse(readFileSync(join(head, 'head.json'), 'utf8')).method).toBe(method);
    const mutations = join(folder, 'm.csv');
    writeFileSync(mutations, 'mutant\nK2A\nK2L\nK2*\n');
    const scored = await runCli(['score', fasta, '--head', head, '--mutations', mutations]);
    expect(scored.code).toBe(0);
    const values = scored.stdout
      .trimEnd()
      .split('\n')
      .slice(1)
      .map((line) => line.split(',')[2]);
    expect(values[2]).toBe('');
    expect(values.slice(0, 2).map(Number).every(Number.isFinite)).toBe(true);
    const other = join(folder, 'other.fasta');
    writeFileSync(other, '>other\nMKAVRQGWAALLSEKHNDYP\n');
    const wrong = await runCli(['score', other, '--head', head]);
    expect(wrong.code).toBe(1);
    expect(wrong.stderr).toContain('not the wild type that the head was trained on');
  });

  it.each<[string, string[], number, RegExp]>([
    ['neither assay nor folder', ['finetune', '--model', 'x'], 2, /either --assay FILE or --assays FOLDER/],
    ['no wild type', ['finetune', '--assay', assay, '--model', model], 1, /does not say its wild type/],
    ['a score without model', ['score', fasta], 2, /give --model FOLDER, or --head FOLDER/],
    ['a head that is none', ['score', fasta, '--head', folder], 1, /no head\.json/],
  ])('refuses %s', async (_, args, code, message) => {
    const result = await runCli(args);
    expect(result.stderr).toMatch(message);
    expect(result.code).toBe(code);
    expect(result.stderr.trimEnd().split('\n')).toHaveLength(1);
    expect(existsSync(join(folder, 'never'))).toBe(false);
  });
});
