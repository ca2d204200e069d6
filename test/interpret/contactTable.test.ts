import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { contactColumns, readContactHead } from '../../src/interpret/contactTable.js';
import type { Chain } from '../../src/structures/structure.js';

const folder = mkdtempSync(join(tmpdir(), 'contacts-'));
afterAll(() => rmSync(folder, { recursive: true }));

it('counts positions from 1, and tells contacts of what was resolved alone', () => {
  const chain = { residues: [5, 6, 7, 8].map((number) => ({ number: String(number) })) } as unknown as Chain;
  const known = { sequence: 'MKTV', contacts: [[0, 2] as [number, number]], unresolved: new Set([3]), chain };
  const [structure, plain] = [
    { id: 'S', sequence: 'MKTV', known },
    { id: 'P', sequence: 'MKTV' },
  ];
  const columns = contactColumns([
    { protein: structure, i: 0, j: 2, probability: 0.123456789 },
    { protein: structure, i: 1, j: 2, probability: 0.5 },
    { protein: structure, i: 1, j: 3, probability: Number.NaN },
    { protein: plain, i: 0, j: 2, probability: 0.25 },
  ]);
  expect(columns).toEqual({
    sequence_id: ['S', 'S', 'S', 'P'],
    i: [1, 2, 2, 1],
    j: [3, 3, 4, 3],
    residue_i: ['M', 'K', 'K', 'M'],
    residue_j: ['T', 'T', 'V', 'T'],
    probability: [0.123457, 0.5, null, 0.25],
    number_i: ['5', '6', '6', null],
    number_j: ['7', '7', '8', null],
    contact: [1, 0, null, null],
  });
  expect(Object.keys(contactColumns([{ protein: plain, i: 0, j: 1, probability: 1 }]))).not.toContain('contact');
});

it('reads a head, and refuses what is none', () => {
  const path = join(folder, 'head.json');
  writeFileSync(path, '{"weights":[0.5,-1],"bias":2}');
  expect(readContactHead(path)).toEqual({ weights: Float32Array.of(0.5, -1), bias: 2 });
  for (const content of ['null', '5', '{', '{"weights":[1]}', '{"weights":["a"],"bias":1}', '{"weights":3,"bias":1}']) {
    writeFileSync(path, content);
    expect(() => readContactHead(path)).toThrow('not a contact head');
  }
});
