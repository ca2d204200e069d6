import { existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { openTableWriter } from '../../src/cli/resumableTable.js';

const folder = mkdtempSync(join(tmpdir(), 'tables-'));
afterAll(() => rmSync(folder, { recursive: true }));
const open = (name: string, settings: unknown = 1) =>
  openTableWriter({ out: join(folder, name) }, ['id', 'score'], settings);

/** A table of which one group is written, and its process gone. */
async function begun(name: string): Promise<string> {
  const writer = await open(name);
  await writer.append('a', [['a', 1.5]]);
  await writer.release();
  return join(folder, `${name}.partial`);
}

test('a table goes on where it stopped', async () => {
  await begun('whole.csv');
  const writer = await open('whole.csv');
  expect(writer.done).toMatchObject({ groups: 1, last: 'a' });
  await writer.append('b', [['b', Number.NaN]]);
  await writer.close();
  await writer.release();
  expect(readFileSync(join(folder, 'whole.csv'), 'utf8')).toBe('id,score\na,1.5\nb,\n');
  expect(existsSync(join(folder, 'whole.csv.partial.json'))).toBe(false);
  expect(existsSync(join(folder, '.whole.csv.lock'))).toBe(false);
});

test('two writers of one file are refused', async () => {
  const writer = await open('twice.csv');
  await expect(open('twice.csv')).rejects.toThrow('twice.csv: this process is writing it already');
  await writer.release();
  await (await open('twice.csv')).release();
});

test('a partial table that is shorter than its journal says is refused', async () => {
  const partial = await begun('short.csv');
  truncateSync(partial, 12);
  await expect(open('short.csv')).rejects.toThrow(
    `${partial} is damaged: it has 12 bytes, ${partial}.json says 15; delete both to start anew`,
  );
  expect(readFileSync(partial, 'utf8')).toBe('id,score\na,1');
});

test.each(['null', '5', '{', '{}', '{"settings":1,"groups":-1,"bytes":3}', '{"settings":1,"groups":1,"bytes":"x"}'])(
  'a journal of %s is an error of one line',
  async (text) => {
    const partial = await begun('journal.csv');
    writeFileSync(`${partial}.json`, text);
    await expect(open('journal.csv')).rejects.toThrow(/journal\.csv\.partial\.json is damaged \(.*delete it and /);
    rmSync(partial);
    rmSync(`${partial}.json`);
  },
);

test('a partial table of other settings is refused', async () => {
  await begun('other.csv');
  await expect(open('other.csv', 2)).rejects.toThrow('is an unfinished table of another input, model or scheme');
});
