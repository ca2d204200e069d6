import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fixedSizeList, float32, int32, tableFromIPC, utf8 } from '@uwdata/flechette';
import { expect, test } from 'vitest';
import { createArrowFile } from '../../src/formats/arrow.js';
import { temporaryFolder } from '../training/tiny.js';

const folder = temporaryFolder();
const types = { id: utf8(), position: int32(), values: fixedSizeList(float32(), 3) };

test.each([0, 1, 2, 50])('a file of %i batches has all their rows, found by its footer', async (batches) => {
  const path = join(folder, `${batches}.arrow`);
  const file = await createArrowFile(path, types);
  const ids: string[] = [];
  for (let batch = 0; batch < batches; batch++) {
    const rows = Array.from({ length: 1 + (batch % 3) }, (_, row) => `${batch} ${row}`);
    ids.push(...rows);
    const values = rows.map((_, row) => Float32Array.of(batch, row, 0.5));
    await file.append({ id: rows, position: rows.map((_, row) => row), values });
  }
  await file.close();
  const bytes = readFileSync(path);
  expect(bytes.toString('latin1', bytes.length - 6)).toBe('ARROW1');
  const table = tableFromIPC(bytes);
  expect(table.numRows).toBe(ids.length);
  expect(table.names).toEqual(['id', 'position', 'values']);
  expect([...table.getChild('id')]).toEqual(ids);
  expect([...table.getChild('values')].map(([batch, row]) => `${batch} ${row}`)).toEqual(ids);
});

test('a file that is given up leaves nothing behind', async () => {
  const before = readdirSync(folder);
  const file = await createArrowFile(join(folder, 'discarded.arrow'), types);
  await file.append({ id: ['a'], position: [1], values: [Float32Array.of(1, 2, 3)] });
  await file.discard();
  expect(readdirSync(folder)).toEqual(before);
});
