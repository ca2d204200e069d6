import { Readable } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RESIDUES } from '../../src/data/alphabet.js';
import { InputError } from '../../src/data/errors.js';
import { type ProteinOptions, type ProteinRecord, readProteins } from '../../src/data/proteins.js';
import { Random } from '../../src/data/random.js';
import { Warnings } from '../../src/data/warnings.js';

async function read(text: string, options?: ProteinOptions): Promise<ProteinRecord[]> {
  const records: ProteinRecord[] = [];
  for await (const record of readProteins(Readable.from([Buffer.from(text)]), options)) {
    records.push(record);
  }
  return records;
}

const sequences = async (text: string, options?: ProteinOptions) =>
  (await read(text, options)).map(({ sequence }) => sequence);

test('letters are brought into the form of the alphabet', async () => {
  const warnings = new Warnings();
  expect(await sequences('>a\nmkTv\n>b\nMK*\n>c\r\nMK\r\n*\r\n', { warnings })).toEqual(['MKTV', 'MK', 'MK']);
  expect(warnings.lines()).toEqual([]);
});

test('what changes more than the writing is counted, with the first place', async () => {
  const warnings = new Warnings();
  const text = '; text\n>a\nMJK\n>empty\n\n>stop\n*\n>\nMK\n>gap\nM--K.\n>j\nJJ\n';
  expect(await read(text, { warnings })).toMatchObject([
    { id: 'a', sequence: 'MXK' },
    { id: 'record_4', sequence: 'MK' },
    { id: 'gap', sequence: 'M--K.' },
    { id: 'j', sequence: 'XX' },
  ]);
  expect(warnings.lines()).toEqual([
    'text before the first record, skipped: 1 (first: -:1, "; text")',
    'letter J (leucine or isoleucine), read as X: 2 (first: -:2, record a)',
    'empty sequence, skipped: 2 (first: -:4, record empty)',
    'no identifier, named record_N: 1 (first: -:8, record 4)',
    'gap (- or .) in a sequence, kept: is this an alignment?: 1 (first: -:10, record gap)',
  ]);
});

test('strict makes the first warning an error', async () => {
  const warnings = new Warnings({ strict: true });
  await expect(read('>a\nMK\n>b\n\n', { warnings })).rejects.toThrow(/^-:3, record b: empty sequence, skipped; strict/);
});

describe('letters outside the alphabet', () => {
  test.each([
    ['>a\nMKT\nM1T\n', /^-:3:2, record a: "1" is no letter of a protein/],
    ['>a\n\n  M K\tT\n', /^-:3:6, record a: "\\t" is no letter/],
    ['>a\nMK*T\n', /^-:2:3, record a: \* \(stop\) inside/],
    ['>a\nMK\n;note\nT\n', /^-:3:1, record a: ; in a sequence; comment lines/],
    ['>a\r\nMK\r\n#note\r\n', /^-:3:1, record a: # in a sequence/],
    ['>a\nMK\n >b\nMK\n', /^-:3:2, record a: > inside a sequence/],
    ['>a\nMKé\n', /^-:2:3, record a: "é" is no letter/],
    ['>\nM1\n', /^-:2:2, record 1: "1"/],
  ])('%j', async (text, message) => {
    const error = await read(text).catch((reason) => reason);
    expect(error).toBeInstanceOf(InputError);
    expect(error.message).toMatch(message);
    expect(error.message).not.toContain('\n');
  });

  test('may be skipped or become <unk>', async () => {
    const text = '>a\nMK1\n>b\nMK\n>c\nM*K\n';
    const skipped = new Warnings();
    expect(await sequences(text, { invalid: 'skip', warnings: skipped })).toEqual(['MK']);
    expect(skipped.lines()).toEqual(['letter outside the alphabet, sequence skipped: 2 (first: -:1, record a)']);
    const unknown = new Warnings();
    expect(await sequences(text, { invalid: 'unknown', warnings: unknown })).toEqual(['MK1', 'MK', 'M*K']);
    expect(unknown.counts()).toEqual({
      'letter outside the alphabet, read as <unk>': { count: 2, first: '-:1, record a' },
    });
  });
});

describe('nucleotides', () => {
  const dna = (length: number, letters: string, seed = 1) => {
    const random = new Random(seed);
    return Array.from({ length }, () => letters[random.int(letters.length)]).join('');
  };

  test.each([
    ['DNA', `>gene\n${dna(100, 'ACGT')}\n`],
    ['RNA in lower case', `>gene\n${dna(100, 'acgu')}\n`],
    ['a short read', '>r\nACGTTGCAACGGTACCTTGA\n'],
    ['DNA with N', `>gene\n${dna(100, 'ACGTN')}\n`],
    ['many short reads', Array.from({ length: 20 }, (_, i) => `>r${i}\n${dna(10, 'ACGT', i)}\n`).join('')],
    ['one gene behind proteins', `>p\n${RESIDUES.repeat(10)}\n>gene\n${dna(300, 'ACGT')}\n`],
  ])('%s is an error', async (_, text) => {
    await expect(read(text)).rejects.toThrow(/this looks like DNA or RNA, proteins are needed/);
    expect((await read(text, { nucleotides: true })).length).toBeGreaterThan(0);
  });

  test.each([
    ['a short peptide of A, C, G and T', '>p\nACGTACGTACGT\n'],
    ['poly-alanine and glycine', `>p\n${'GAGAGA'.repeat(40)}\n`],
    ['a low-complexity protein', `>p\n${'NNTNNGNNA'.repeat(40)}\n`],
  ])('%s is none', async (_, text) => {
    expect((await read(text)).length).toBe(1);
  });

  test('random proteins are none', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.integer({ min: 1, max: 400 }), async (seed, length) => {
        expect((await read(`>p\n${dna(length, RESIDUES, seed)}\n`)).length).toBe(1);
      }),
    );
  });
});

test('duplicate identifiers are looked for where asked', async () => {
  const text = '>a\nMK\n>b\nMK\n>a x\nAC\n';
  expect((await read(text)).length).toBe(3);
  const warnings = new Warnings();
  expect((await read(text, { duplicates: 'warn', warnings })).length).toBe(3);
  expect(warnings.lines()).toEqual(['duplicate identifier, kept: 1 (first: -:5, record a, also at -:1)']);
  await expect(read(text, { duplicates: 'error' })).rejects.toThrow(/^-:5, record a: the identifier is also at -:1/);
});
