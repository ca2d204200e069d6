import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  ALPHABETS,
  Alphabet,
  BYTES,
  NUCLEOTIDE,
  PROTEIN,
  readVocabulary,
  writeVocabulary,
} from '../../src/data/alphabet.js';
import { InputError } from '../../src/data/errors.js';
import { SHARED } from '../shared.js';

test('encodes the known sequence as ESM does', () => {
  expect([...PROTEIN.encode('MKTVRQG')]).toEqual([0, 20, 15, 11, 7, 10, 16, 6, 2]);
  expect(PROTEIN.decode(PROTEIN.encode('MKTVRQG'))).toBe('<cls>MKTVRQG<eos>');
});

test('has the special tokens where ESM has them', () => {
  const { cls, pad, eos, unk, mask, size } = PROTEIN;
  expect({ cls, pad, eos, unk, mask, size }).toEqual({ cls: 0, pad: 1, eos: 2, unk: 3, mask: 32, size: 33 });
  expect(PROTEIN.residues.length).toBe(20);
  expect([...PROTEIN.residues].every((id) => id >= 4 && id <= 23)).toBe(true);
});

test('reads lower case as upper case and unknown letters as <unk>', () => {
  expect([...PROTEIN.encodeResidues('mkJ*é水')]).toEqual([20, 15, 3, 3, 3, 3]);
});

test('only letters are letters', () => {
  const letters = PROTEIN.tokens.filter((_, id) => PROTEIN.isLetter(id)).join('');
  expect(letters).toBe('LAGVSERTIDPKQNFYMHWCXBUZO.-');
});

test.each(Object.values(ALPHABETS))('vocab.txt of $name survives writing and reading', async (alphabet) => {
  const path = join(mkdtempSync(join(tmpdir(), 'vocab-')), 'vocab.txt');
  await writeVocabulary(path, alphabet);
  const { tokens, name } = await readVocabulary(path);
  expect({ tokens, name }).toEqual({ tokens: alphabet.tokens, name: alphabet.name });
});

test('nucleotides are in any case, and U is T', () => {
  expect([...NUCLEOTIDE.encode('ACGTUacgtun-')]).toEqual([0, 4, 5, 6, 7, 7, 4, 5, 6, 7, 7, 8, 20, 2]);
  expect(NUCLEOTIDE.decode(NUCLEOTIDE.encode('acgu'))).toBe('<cls>ACGT<eos>');
  expect(NUCLEOTIDE.encodeResidues('ELQ').every((id) => id === NUCLEOTIDE.unk)).toBe(true);
  const targets = NUCLEOTIDE.tokens.filter((_, id) => NUCLEOTIDE.isTarget(id)).join('');
  expect(targets).toBe('ACGT');
  expect(NUCLEOTIDE.size).toBe(22);
});

test('bytes are ids in their order, behind the special tokens', () => {
  expect([...BYTES.encode('hi\n\xff')]).toEqual([0, 108, 109, 14, 259, 2]);
  expect(BYTES.tokens.slice(12, 17)).toEqual(['<0x08>', '<0x09>', '<0x0A>', '<0x0B>', '<0x0C>']);
  const { size, mask, storedOffset } = BYTES;
  expect({ size, mask, storedOffset }).toEqual({ size: 261, mask: 260, storedOffset: 4 });
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      const text = Buffer.from(bytes).toString('latin1');
      expect(BYTES.decode(BYTES.encodeResidues(text))).toBe(text);
    }),
  );
  const swapped = [...BYTES.tokens];
  [swapped[10], swapped[11]] = [swapped[11], swapped[10]];
  expect(() => new Alphabet(swapped, 'vocab.txt')).toThrow(/vocab.txt: token <0x06> does not follow/);
});

describe.skipIf(SHARED === undefined)('the golden models', () => {
  test.each(['performer-relu', 'esm2'])('%s has our vocabulary', async (name) => {
    const path = join(SHARED!, 'golden', name, 'vocab.txt');
    expect((await readVocabulary(path)).tokens).toEqual(PROTEIN.tokens);
    expect(readFileSync(path, 'utf8').trim().split('\n')).toEqual(PROTEIN.tokens);
  });
});

test('a vocabulary without <mask> or with a token twice is an error', () => {
  const tokens = [...PROTEIN.tokens];
  expect(() => new Alphabet(tokens.slice(0, -1), 'vocab.txt')).toThrow(/vocab.txt: token <mask> is missing/);
  expect(() => new Alphabet([...tokens, 'L'], 'vocab.txt')).toThrow(InputError);
});
