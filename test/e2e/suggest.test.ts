import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { runCli } from './cli.js';

const folder = mkdtempSync(join(tmpdir(), 'suggest-'));
afterAll(() => rmSync(folder, { recursive: true }));
const file = (name: string, content: string): string => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};
const SEQUENCE = 'MKTVRQGHWEA';
const protein = file('p.fasta', `>P1\n${SEQUENCE}\n`);
const family = file('f.a3m', `>q\n${SEQUENCE}\n>a\nMRTVaRQGHWEA\n>b\nMKSVRN-HWEA\n`);
const variants = [...SEQUENCE].flatMap((own, i) =>
  [...'ADFKW'].filter((letter) => letter !== own).map((letter) => `${own}${i + 1}${letter}`),
);
const assay = file('a.csv', `mutant,DMS_score\n${variants.map((name, i) => `${name},${(i * 7) % 13}`).join('\n')}\n`);
const columns = (csv: string) =>
  csv
    .trim()
    .split(/\r?\n/)
    .slice(1)
    .map((line) => line.split(','));

it('suggests what the alignment has and was not measured', async () => {
  const measured = file('m.csv', 'mutant\nK2R\n');
  const { code, stdout } = await runCli([
    ...['suggest', protein, '--alignment', family, '--seen', '--measured', measured, '--mutations', '2', '--quiet'],
  ]);
  expect(code).toBe(0);
  // T3S and Q6N are what is left of the three that the family has.
  expect(columns(stdout).map(([, variant]) => variant)).toEqual(
    expect.arrayContaining(['T3S', 'Q6N', 'K2R:T3S', 'K2R:Q6N', 'T3S:Q6N']),
  );
  expect(columns(stdout)).toHaveLength(5);
});

it('trains a Gaussian process without a model, predicts, and suggests nothing that it was trained on', async () => {
  const head = join(folder, 'head');
  const trained = await runCli([
    ...['finetune', '--assay', assay, '--wild-type', protein, '--method', 'gp', '--alignment', family],
    ...['--split', 'random', '--save', head, '--quiet'],
  ]);
  expect(trained.code).toBe(0);
  expect(trained.stdout.split('\n')[0]).toMatch(/coverage_50,coverage_90$/);
  const { code, stdout } = await runCli(['suggest', protein, '--head', head, '--budget', '1000', '--quiet']);
  expect(code).toBe(0);
  const names = columns(stdout).map(([, variant]) => variant);
  expect(names).toHaveLength(11 * 19 - variants.length);
  expect(names.filter((name) => variants.includes(name))).toEqual([]);
  expect(columns(stdout).every(([, , , , deviation]) => Number(deviation) > 0)).toBe(true);
  const scored = await runCli(['score', protein, '--head', head, '--quiet']);
  expect(columns(scored.stdout)).toHaveLength(11 * 19);
}, 120_000);

it.each([
  [['suggest', protein], /give --head FOLDER, --model FOLDER or --alignment FILE/],
  [['suggest', protein, '--alignment', family, '--acquisition', 'ucb'], /ucb needs deviations/],
  [['suggest', protein, '--model', 'm', '--seen'], /--seen takes the letters of an alignment/],
  [['finetune', '--assay', assay, '--method', 'augmented'], /--method augmented needs one/],
  [['finetune', '--assay', assay, '--method', 'one-hot', '--alignment', family], /--alignment is of --method gp/],
])('wrong usage has its line: %j', async (args, message) => {
  const { code, stderr } = await runCli(args);
  expect(code).toBe(2);
  expect(stderr).toMatch(message);
});
