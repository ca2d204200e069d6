import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromCSV } from 'arquero';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { UsageError } from '../../src/cli/errors.js';
import { finetuneCommand } from '../../src/cli/finetune.js';
import { Random } from '../../src/data/random.js';
import { type Engine, startEngine } from '../../src/engines/index.js';
import { newConfig } from '../../src/model/config.js';
import { saveModel } from '../../src/model/files.js';
import { createModel } from '../../src/model/model.js';
import { predictAssayHead } from '../../src/scoring/heads/assayHead.js';
import { VariantFeatures } from '../../src/scoring/heads/features.js';
import { loadHead } from '../../src/scoring/heads/headFiles.js';
import type { ScoreOptions } from '../../src/scoring/schemes.js';
import { readVariant, singleSubstitutions } from '../../src/scoring/variants.js';
import { runCli } from './cli.js';

const folder = mkdtempSync(join(tmpdir(), 'finetune-'));
const model = join(folder, 'model');
const WILD_TYPE = 'MKTVRQGWAALLSEKHNDYP';
const assay = join(folder, 'assay.csv');
const fasta = join(folder, 'wt.fasta');
const long = join(folder, 'long.csv');
let engine: Engine;
beforeAll(async () => {
  engine = await startEngine();
  const network = createModel(newConfig({ layers: 1, hidden: 16, heads: 2, feedForward: 16, dropout: 0 }), 1);
  await saveModel(network, model);
  network.dispose();
  const random = new Random(1);
  const rows = [...singleSubstitutions(WILD_TYPE, 'ACDEFGHIKLMNPQRSTVWY')]
    .filter(() => random.uniform() < 0.3)
    .map(({ name, edits }) => `${name},${(edits[0].start % 5) + random.uniform()}`);
  writeFileSync(assay, `mutant,DMS_score\n${rows.join('\n')}\n`);
  writeFileSync(long, `sequence,label\nMKT,a\n${'MKT'.repeat(500)},b\n`);
  writeFileSync(fasta, `>wt\n${WILD_TYPE}\n`);
});
afterAll(async () => {
  await engine.stop();
  rmSync(folder, { recursive: true });
});
const finetune = (...args: string[]) =>
  runCli(['finetune', '--assay', assay, '--wild-type', fasta, '--model', model, '--quiet', ...args]);

/** What finetune says of its usage before it looks at any file. */
const refusal = async (...args: string[]): Promise<string> => {
  const command = finetuneCommand().exitOverride();
  const error = await command.parseAsync(['--model', 'none', ...args], { from: 'user' }).catch((caught) => caught);
  expect(error).toBeInstanceOf(UsageError);
  return error.message;
};

describe('finetune', () => {
  it('cross-validates heads on every split and in low-N', async () => {
    const args = ['--method', 'one-hot', 'augmented', 'site-embedding', '--split', 'random', 'modulo', '--folds', '3'];
    const { code, stdout, stderr } = await finetune(...args, '--train-size', '24', '--repeats', '2');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const rows = fromCSV(stdout).objects() as Record<string, string & number>[];
    expect(rows).toHaveLength(3 * (2 * 4 + 2));
    expect(Object.keys(rows[0])).toEqual(
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
    writeFileSync(mutations, 'mutant\nK2A\nK2L\nK2*\nWT\n');
    const scored = await runCli(['score', fasta, '--head', head, '--mutations', mutations]);
    expect(scored.code).toBe(0);
    const values = scored.stdout
      .trimEnd()
      .split('\n')
      .slice(1)
      .map((line) => line.split(',')[2]);
    expect(values[2]).toBe('');
    expect(values.slice(0, 2).map(Number).every(Number.isFinite)).toBe(true);
    const matrix = fromCSV((await runCli(['score', fasta, '--head', head, '--matrix'])).stdout).objects() as Record<
      string,
      number
    >[];
    const of = (row: number, letter: string) => matrix[row][letter];
    const shown = [of(1, 'A'), of(1, 'L'), of(1, 'K'), of(0, 'M')];
    shown.forEach((value, i) => {
      expect(value).toBeCloseTo(Number(values[[0, 1, 3, 3][i]]), 5);
    });
    expect(of(1, 'K')).not.toBe(0);
    const other = join(folder, 'other.fasta');
    writeFileSync(other, '>other\nMKAVRQGWAALLSEKHNDYP\n');
    const wrong = await runCli(['score', other, '--head', head]);
    expect(wrong.code).toBe(1);
    expect(wrong.stderr).toContain('not the wild type that the head was trained on');
  });

  it('scores with the zero-shot settings that the head was trained with', async () => {
    const cases = ['K2del', 'T3_V4del', 'R5del', 'Q6_G7insA', 'W8del', 'L11del', 'S13del', 'H16del', 'Y19del', 'G7A'];
    const table = join(folder, 'indels.csv');
    writeFileSync(table, `mutant,DMS_score\n${cases.map((name, i) => `${name},${(i * 7) % 5}\n`).join('')}`);
    const head = join(folder, 'settings');
    const args = ['--assay', table, '--method', 'fine-tune', '--scheme', 'wt-marginals', '--layers', '0'];
    expect((await finetune(...args, '--epochs', '1', '--save', head)).code).toBe(0);
    const scored = await runCli(['score', fasta, '--head', head, '--mutations', table, '--quiet']);
    expect(scored.code).toBe(0);
    const loaded = await loadHead(head);
    const variants = cases.map((name) => readVariant(WILD_TYPE, name));
    const predict = (options: ScoreOptions) =>
      predictAssayHead(loaded.head, new VariantFeatures(loaded.models, WILD_TYPE, variants, options));
    const expected = await predict({ scheme: 'wt-marginals', indels: 'single-pass' });
    const other = await predict({ indels: 'masked' });
    loaded.dispose();
    const lines = scored.stdout.trimEnd().split('\n').slice(1);
    lines.forEach((line, i) => {
      expect(Number(line.split(',')[2])).toBeCloseTo(expected[i], 4);
    });
    expect(Math.max(...expected.map((value, i) => Math.abs(value - other[i])))).toBeGreaterThan(0.001);
  });

  it('classifies sequences and residues, and scores with the saved heads', async () => {
    const random = new Random(4);
    const draw = (letters: string) => Array.from({ length: 12 }, () => letters[random.int(letters.length)]).join('');
    const sequences = Array.from({ length: 30 }, (_, i) => draw(i % 2 ? 'KRHKR' : 'DESDE'));
    const whole = join(folder, 'whole.csv');
    writeFileSync(whole, `sequence,label\n${sequences.map((s, i) => `${s},${i % 2 ? 'basic' : 'acidic'}\n`).join('')}`);
    const residues = join(folder, 'residues.tsv');
    const tag = (s: string) => s.replace(/[KRH]/g, '+').replace(/[DE]/g, 'n').replace('S', '-');
    writeFileSync(residues, `sequence\tlabel\n${sequences.map((s) => `${s}\t${tag(s)}\n`).join('')}`);
    const proteins = join(folder, 'proteins.fasta');
    writeFileSync(proteins, '>a\nKRKRHKRK\n>b\nDEDEEDDD\n');
    const common = ['--model', model, '--folds', '3', '--learning-rate', '1e-2', '--quiet'];

    for (const [task, file, header, first] of [
      ['sequences', whole, 'sequence_id,label,score', 'a,basic,'],
      ['residues', residues, 'sequence_id,position,residue,label,score', 'a,24,K,+,'],
    ] as const) {
      const head = join(folder, task);
      const args = ['finetune', '--task', task, '--assay', file, '--split', 'random', '--save', head, ...common];
      const trained = await runCli(args);
      expect({ code: trained.code, stderr: trained.stderr }).toEqual({ code: 0, stderr: '' });
      const rows = fromCSV(trained.stdout).objects() as Record<string, string & number>[];
      expect(rows.map(({ fold }) => String(fold))).toEqual(['1', '2', '3', 'all']);
      expect(rows.at(-1)!.accuracy).toBeGreaterThan(0.8);
      const scored = await runCli(['score', proteins, '--head', head, '--offset', '24']);
      expect(scored.stdout.split('\n')[0]).toBe(header);
      expect(scored.stdout.split('\n')[1]).toContain(first);
    }
    writeFileSync(whole, 'sequence,label\nMKT,HH\n');
    const bad = await runCli(['finetune', '--task', 'residues', '--assay', whole, ...common]);
    expect(bad.stderr).toMatch(/row 1: 2 labels for 3 residues/);
  });

  it.each([
    [
      ['--task', 'residues', '--method', 'fine-tune'],
      '--method is of --task fitness: leave it out with --task residues',
    ],
    [['--task', 'sequences', '--train-size', '24'], '--train-size is of --task fitness'],
    [['--task', 'sequences', '--loss', 'ranking'], '--loss is of --task fitness'],
    [['--task', 'sequences', '--wild-type', 'x'], '--wild-type is of --task fitness'],
    [['--task', 'sequences', '--indels', 'masked'], '--indels is of --task fitness'],
    [['--task', 'sequences', '--split', 'random', 'modulo'], '--split modulo is of --task fitness'],
    [['--reference', 'x'], '--reference is of --assays'],
  ])('%j would be ignored, and is refused', async (args, message) => {
    await expect(refusal('--assay', 'x', ...args)).resolves.toContain(message);
  });

  it('refuses one wild type for several assays', async () => {
    await expect(refusal('--assays', 'x', '--wild-type', 'y')).resolves.toContain('--wild-type is that of one --assay');
  });

  it.each<[string, string[], number, RegExp]>([
    ['neither assay nor folder', ['finetune', '--model', 'x'], 2, /either --assay FILE or --assays FOLDER/],
    ['no wild type', ['finetune', '--assay', assay, '--model', model], 1, /does not say its wild type/],
    ['a score without model', ['score', fasta], 2, /give --model FOLDER/],
    [
      'a sequence that the model is too short for',
      ['finetune', '--task', 'sequences', '--assay', long, '--model', model],
      1,
      /long\.csv row 2: 1500 residues, but this model takes 1022: crop the sequence/,
    ],
    [
      'settings that a head has of its own',
      ['score', fasta, '--head', folder, '--indels', 'masked'],
      2,
      /--indels is of zero-shot scores, .* leave it out with --head/,
    ],
    ['a head that is none', ['score', fasta, '--head', folder], 1, /no head\.json/],
  ])('refuses %s', async (_, args, code, message) => {
    const result = await runCli(args);
    expect(result.stderr).toMatch(message);
    expect(result.code).toBe(code);
    expect(result.stderr.trimEnd().split('\n')).toHaveLength(1);
    expect(existsSync(join(folder, 'never'))).toBe(false);
  });
});
