import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Alphabet, PROTEIN, readVocabulary, writeVocabulary } from '../../src/data/alphabet.js';
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

test('vocab.txt survives writing and reading', async () => {
  const path = join(mkdtempSync(join(tmpdir(), 'vocab-')), 'vocab.txt');
  await writeVocabulary(path, PROTEIN);
  expect((await readVocabulary(path)).tokens).toEqual(PROTEIN.tokens);
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
