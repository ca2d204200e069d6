import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { append, extent } from '../../src/data/arrays.js';
import { Holdout } from '../../src/data/holdout.js';
import { temporaryFolder } from '../training/tiny.js';

const folder = temporaryFolder();
/** More than a call has room for as arguments. */
const MANY = 1_000_000;

test('long arrays are appended, and searched for their ends', () => {
  const values = Array.from({ length: MANY }, (_, i) => i - 5);
  const to = [1];
  append(to, values);
  expect([to.length, to[1], to.at(-1)]).toEqual([MANY + 1, -5, MANY - 6]);
  expect(extent(values)).toEqual([-5, MANY - 6]);
  expect(extent([])).toEqual([Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]);
});

test('a list of what is held out may be long', async () => {
  const file = join(folder, 'held.txt');
  writeFileSync(file, Array.from({ length: 300_000 }, (_, i) => `p${i}\n`).join(''));
  const holdout = await Holdout.read([file]);
  expect(holdout.matches('p299999', 'x')).toBe(true);
  expect(holdout.matches('p300000', 'x')).toBe(false);
});
