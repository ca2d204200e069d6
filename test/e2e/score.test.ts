import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromArrow, fromCSV } from 'arquero';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Engine, startEngine } from '../../src/engines/index.js';
import { newConfig } from '../../src/model/config.js';
import { saveModel } from '../../src/model/files.js';
import { createModel, type LanguageModel } from '../../src/model/model.js';
import { scoreSequence, scoreVariants } from '../../src/scoring/schemes.js';
import { readVariant } from '../../src/scoring/variants.js';
import { runCli, startCli } from './cli.js';

const folder = mkdtempSync(join(tmpdir(), 'score-'));
const file = (name: string, content: string): string => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};
const ONE = 'MKTVRQG';
const model = join(folder, 'model');
let engine: Engine;
let network: LanguageModel;
let one: string;
let two: string;
beforeAll(async () => {
  engine = await startEngine();
  network = createModel(newConfig({ layers: 1, hidden: 16, heads: 2, feedForward: 16, dropout: 0 }), 1);
  await saveModel(network, model);
  one = file('one.fasta', `>sp|P1|ONE a protein\n${ONE}\n`);
  two = file('two.fasta', `>P1\n${ONE}\n>P2\nMXK\n`);
});
afterAll(async () => {
  network.dispose();
  await engine.stop();
  rmSync(folder, { recursive: true });
});
const score = (...args: string[]) => runCli(['score', ...args, '--quiet']);
const rowsOf = (csv: string) =>
  fromCSV(csv, { parse: { score: (text) => Number(text) } }).objects() as Record<string, never>[];

describe('score', () => {
  it('scores every single substitution by default', async () => {
    const { code, stdout, stderr } = await score(one, '--model', model);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout.split('\n')[0]).toBe('sequence_id,variant,score');
    const rows = rowsOf(stdout);
    expect(rows).toHaveLength(7 * 19);
    const variants = rows.map(({ variant }) => readVariant(ONE, variant));
    const expected = await scoreVariants([network], ONE, variants);
    rows.forEach((row, i) => {
      expect(row.sequence_id).toBe('sp|P1|ONE');
      expect(row.score).toBeCloseTo(expected[i], 5);
    });
  });

  it('scores the variants of a table, in its order, with what has no score left empty', async () => {
    const mutations = file('m.csv', 'mutant\nK25A\np.Thr26Ser\nK25A:T26S\nK25_T26del\nK25K\nK25*\n');
    const { code, stdout, stderr } = await score(one, '--model', model, '--mutations', mutations, '--offset', '24');
    expect(code).toBe(0);
    expect(stderr).toMatch(/^warning: stop codon, score left empty: 1 \(first: .*variant K25\*\)\n$/);
    const texts = ['K25A', 'p.Thr26Ser', 'K25A:T26S', 'K25_T26del', 'K25K', 'K25*'];
    const expected = await scoreVariants(
      [network],
      ONE,
      texts.map((text) => readVariant(ONE, text, { offset: 24 })),
    );
    const lines = stdout.trimEnd().split('\n').slice(1);
    texts.forEach((text, i) => {
      const [, name, value] = lines[i].split(',');
      expect(name).toBe(text);
      if (text === 'K25*') {
        expect(value).toBe('');
      } else {
        expect(Number(value)).toBeCloseTo(expected[i], 5);
      }
    });
  });

  it('takes rows of several proteins by sequence_id, and a FASTA of variants of one', async () => {
    const table = file('several.tsv', 'sequence_id\tmutant\nP2\tK3A\nP1\tK2A\nP1\tT3A\n');
    const several = await score(two, '--model', model, '--mutations', table);
    expect(rowsOf(several.stdout).map((row) => `${row.sequence_id} ${row.variant}`)).toEqual([
      'P1 K2A',
      'P1 T3A',
      'P2 K3A',
    ]);
    const variants = file('variants.fasta', '>a\nMKAVRQG\n>b\nMKVRQG\n');
    const fasta = await score(one, '--model', model, '--mutations', variants);
    const expected = await scoreVariants(
      [network],
      ONE,
      ['T3A', 'T3del'].map((text) => readVariant(ONE, text)),
    );
    rowsOf(fasta.stdout).forEach((row, i) => {
      expect(row.variant).toBe('ab'[i]);
      expect(row.score).toBeCloseTo(expected[i], 5);
    });
  });

  it('gives a matrix of positions and residues, and the pseudo-perplexity of whole sequences', async () => {
    const matrix = await score(two, '--model', model, '--matrix');
    const rows = rowsOf(matrix.stdout);
    expect(rows).toHaveLength(10);
    expect(Object.keys(rows[0])).toEqual(['sequence_id', 'position', 'wild_type', ...'ACDEFGHIKLMNPQRSTVWY']);
    expect(rows[1]).toMatchObject({ position: 2, wild_type: 'K', K: 0 });
    expect(rows[8].A).toBeNull();
    expect(matrix.stderr).toContain('warning: unknown residues');
    const whole = await score(one, '--model', model, '--scheme', 'pseudo-perplexity');
    const [row] = rowsOf(whole.stdout);
    expect(row!.variant).toBe('WT');
    expect(row!.score).toBeCloseTo(await scoreSequence([network], ONE, { scheme: 'pseudo-perplexity' }), 4);
  });

  it('writes every format, and reads standard input', async () => {
    const csv = rowsOf((await score(two, '--model', model)).stdout);
    const out = (name: string) => join(folder, name);
    for (const name of ['s.csv', 's.tsv', 's.json', 's.arrow']) {
      expect((await score(two, '--model', model, '--out', out(name))).code).toBe(0);
      expect(existsSync(out(`${name}.partial`))).toBe(false);
      expect(existsSync(out(`${name}.partial.json`))).toBe(false);
    }
    const read = {
      csv: rowsOf(readFileSync(out('s.csv'), 'utf8')),
      json: JSON.parse(readFileSync(out('s.json'), 'utf8')),
      arrow: fromArrow(readFileSync(out('s.arrow'))).objects(),
    };
    expect(read.csv).toEqual(csv);
    expect(read.json).toEqual(csv);
    expect(read.arrow).toEqual(csv);
    expect(readFileSync(out('s.tsv'), 'utf8')).toContain('P2\tM1A\t');
    const piped = await runCli(['score', '-', '--model', model, '--quiet'], { input: readFileSync(two) });
    expect(rowsOf(piped.stdout)).toEqual(csv);
  });

  it('goes on where a killed run stopped, and gives the same table', async () => {
    const many = file('many.fasta', Array.from({ length: 6 }, (_, i) => `>P${i}\n${ONE.repeat(6)}\n`).join(''));
    const args = ['score', many, '--model', model, '--scheme', 'mutant-marginals', '--out'];
    const whole = join(folder, 'whole.csv');
    const stopped = join(folder, 'stopped.csv');
    expect((await runCli([...args, whole])).code).toBe(0);
    const run = startCli([...args, stopped]);
    const journal = `${stopped}.partial.json`;
    const waiting = setInterval(() => existsSync(journal) && run.process.kill('SIGKILL'), 5);
    const { signal } = await run.result;
    clearInterval(waiting);
    expect(signal).toBe('SIGKILL');
    expect(existsSync(stopped)).toBe(false);
    const other = await runCli([...args, stopped, '--offset', '5']);
    expect(other.code).toBe(1);
    expect(other.stderr).toContain('unfinished table of another input, model or scheme');
    const resumed = await runCli([...args, stopped]);
    expect(resumed.code).toBe(0);
    expect(resumed.stderr).toContain('of the stopped run');
    expect(readFileSync(stopped, 'utf8')).toBe(readFileSync(whole, 'utf8'));
    expect(existsSync(journal)).toBe(false);
  });
});

describe('what is wrong is said in one line', () => {
  const mutations = (content: string, name = 'bad.csv') => ['--mutations', file(name, content)];
  it.each<[string, () => string[], number, RegExp]>([
    ['no FASTA', () => [join(folder, 'none.fasta'), '--model', model], 1, /none\.fasta: no such file/],
    ['no model', () => [one, '--model', folder], 1, /no config\.json/],
    ['no --model', () => [one], 2, /give --model FOLDER/],
    ['unknown scheme', () => [one, '--model', model, '--scheme', 'best'], 2, /masked-marginals/],
    ['empty FASTA', () => [file('empty.fasta', ''), '--model', model], 1, /has no sequences/],
    [
      'mismatch',
      () => [one, '--model', model, ...mutations('mutant\nK2A\nA3G\n')],
      1,
      /bad\.csv row 2: variant A3G: position 3 of the wild type is T, not A/,
    ],
    ['no column', () => [one, '--model', model, ...mutations('mut\nK2A\n')], 1, /no column mutant or mutated_sequence/],
    ['empty table', () => [one, '--model', model, ...mutations('')], 1, /bad\.csv is empty/],
    ['several sequences', () => [two, '--model', model, ...mutations('mutant\nK2A\n')], 1, /add a column sequence_id/],
    [
      'unknown sequence',
      () => [two, '--model', model, ...mutations('sequence_id,mutant\nP9,K2A\n')],
      1,
      /sequence_id P9 is not in/,
    ],
    ['matrix of variants', () => [one, '--model', model, '--matrix', ...mutations('mutant\nK2A\n')], 2, /--matrix/],
    ['causal scheme', () => [one, '--model', model, '--scheme', 'log-likelihood'], 1, /needs a causal model/],
  ])('%s', async (_, args, code, message) => {
    const out = join(folder, 'never.csv');
    const result = await score(...args(), '--out', out);
    expect(result.stderr).toMatch(message);
    expect(result.stderr.trimEnd().split('\n')).toHaveLength(1);
    expect(result.code).toBe(code);
    expect(existsSync(out)).toBe(false);
  });

  it('skips and counts mismatches where asked', async () => {
    const result = await score(one, '--model', model, '--skip-mismatches', ...mutations('mutant\nK2A\nA3G\n'));
    expect(result.code).toBe(0);
    expect(result.stderr).toMatch(/^warning: row that does not match the wild type, skipped: 1/);
    expect(rowsOf(result.stdout)).toHaveLength(1);
  });
});
