import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromArrow, table } from 'arquero';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { UsageError } from '../../src/cli/errors.js';
import { tableOutput } from '../../src/cli/output.js';

const scores = table({ id: ['a', 'b,c'], position: [1, 2], score: [-0.5, 2.25] });
let folder = '';

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'protein-lm-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

test.each([
  ['csv', 'id,position,score\na,1,-0.5\n"b,c",2,2.25\n'],
  ['tsv', 'id\tposition\tscore\na\t1\t-0.5\nb,c\t2\t2.25\n'],
  ['json', '[\n  {"id":"a","position":1,"score":-0.5},\n  {"id":"b,c","position":2,"score":2.25}\n]\n'],
])('the extension .%s gives the format', async (extension, content) => {
  const out = join(folder, `scores.${extension}`);
  await tableOutput({ out }).write(scores);
  expect(readFileSync(out, 'utf8')).toBe(content);
  expect(readdirSync(folder)).toEqual([`scores.${extension}`]);
});

test('an Arrow file reads back', async () => {
  const out = join(folder, 'scores.arrow');
  await tableOutput({ out }).write(scores);
  expect(fromArrow(readFileSync(out)).objects()).toEqual(scores.objects());
});

test('a long table is written in pieces with one header', async () => {
  const rows = 150_000;
  const long = table({ row: Array.from({ length: rows }, (_, i) => i) });
  await tableOutput({ out: join(folder, 'long.csv') }).write(long);
  const lines = readFileSync(join(folder, 'long.csv'), 'utf8').trimEnd().split('\n');
  expect(lines.length).toBe(rows + 1);
  expect(lines.slice(1).every((line, i) => line === String(i))).toBe(true);
  await tableOutput({ out: join(folder, 'long.json') }).write(long);
  expect(JSON.parse(readFileSync(join(folder, 'long.json'), 'utf8')).length).toBe(rows);
});

test('an empty table keeps its header', async () => {
  const empty = table({ id: [], score: [] });
  await tableOutput({ out: join(folder, 'empty.csv') }).write(empty);
  await tableOutput({ out: join(folder, 'empty.json') }).write(empty);
  expect(readFileSync(join(folder, 'empty.csv'), 'utf8')).toBe('id,score\n');
  expect(JSON.parse(readFileSync(join(folder, 'empty.json'), 'utf8'))).toEqual([]);
});

test('a file that cannot be written leaves nothing behind', async () => {
  const output = tableOutput({ out: join(folder, 'scores.csv') });
  rmSync(folder, { recursive: true });
  await expect(output.write(scores)).rejects.toThrow(`the folder ${folder} does not exist; make it first`);
  folder = mkdtempSync(join(tmpdir(), 'protein-lm-'));
});

test('an unknown extension and a missing folder show before the work', () => {
  expect(() => tableOutput({ out: 'scores.xlsx' })).toThrow(UsageError);
  expect(() => tableOutput({ out: join(folder, 'none', 'scores.csv') })).toThrow('does not exist');
  expect(tableOutput({ out: 'scores.txt', format: 'tsv' }).format).toBe('tsv');
});
