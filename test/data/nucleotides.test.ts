import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { InputError } from '../../src/data/errors.js';
import type { LetterOptions, SequenceRecord } from '../../src/data/letters.js';
import { readNucleotides } from '../../src/data/nucleotides.js';
import { type ReadingOptions, readSequences } from '../../src/data/reading.js';
import { Warnings } from '../../src/data/warnings.js';
import { hasBiopython, runBiopython } from './biopython.js';

const folder = mkdtempSync(join(tmpdir(), 'nucleotides-'));
afterAll(() => rmSync(folder, { recursive: true }));

async function read(text: string | Buffer, options?: LetterOptions): Promise<SequenceRecord[]> {
  const records: SequenceRecord[] = [];
  for await (const record of readNucleotides(Readable.from([Buffer.from(text)]), options)) {
    records.push(record);
  }
  return records;
}

async function cut(text: string, options: ReadingOptions): Promise<string[]> {
  const pieces: string[] = [];
  for await (const { id, sequence } of readSequences(Readable.from([Buffer.from(text)]), {
    alphabet: 'nucleotide',
    ...options,
  })) {
    pieces.push(`${id} ${sequence}`);
  }
  return pieces;
}

test('letters are brought into the form of the alphabet, with counted warnings', async () => {
  const warnings = new Warnings();
  const text = '>dna\nACGTacgtNn\n>rna\nacguU\n>iupac\nRYSWKMBDHV\n>masked\nACXX\n>empty\n\n>gap\nA-C.\n';
  expect((await read(text, { warnings })).map(({ sequence }) => sequence)).toEqual([
    'ACGTACGTNN',
    'ACGTT',
    'RYSWKMBDHV',
    'ACNN',
    'A-C.',
  ]);
  expect(warnings.lines()).toEqual([
    'letter U (RNA), read as T: 1 (first: -:3, record rna)',
    'letter X (masked), read as N: 1 (first: -:7, record masked)',
    'empty sequence, skipped: 1 (first: -:9, record empty)',
    'gap (- or .) in a sequence, kept: is this an alignment?: 1 (first: -:11, record gap)',
  ]);
});

describe('what is no DNA or RNA is an error of one line', () => {
  const protein = 'MKTVRQERLKSIVRILERSKEPVSGAQLAEELSVSRQVIVQDIAYLRSLGYNIVATPRGYVLAGG';
  test.each([
    ['a protein', `>p\n${protein}\n`, /^-:1, record p: this looks like a protein, DNA or RNA is needed; /],
    ['peptides', '>a\nMKTV\n>b\nMKLLVFWQ\n', /^-:4:3, record b: "L" is no letter of DNA or RNA.*where these are pro/],
    ['a digit', '>a\nACG1\n', /^-:2:4, record a: "1" is no letter of DNA or RNA/],
    ['an asterisk', '>a\nACGT*\n', /^-:2:5, record a: "\*" is no letter/],
    ['FASTQ', '@r1\nACGT\n+\nIIII\n', /^-:1: no FASTA record, .*FASTQ becomes FASTA with seqtk seq -A$/],
    ['bytes', Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0, 1, 2, 10, 62, 0, 200, 10, 1]), /record \d*.*is no letter of DNA/],
  ])('%s', async (_, text, message) => {
    const error = await read(text).catch((reason) => reason);
    expect(error).toBeInstanceOf(InputError);
    expect(error.message).toMatch(message);
    expect(error.message).not.toContain('\n');
  });
});

test('long sequences are cut, and pieces without a base are left out', async () => {
  const warnings = new Warnings();
  const text = '>chr1 a genome\nACGTA\nNNNNNNNN\nNNGG\n>chr2\nAC\n>chr3\nNN\n';
  expect(await cut(text, { cut: 5, warnings })).toEqual(['chr1:1-5 ACGTA', 'chr1:16-17 GG', 'chr2 AC']);
  expect(warnings.counts()).toEqual({
    'nothing but N and gaps, skipped': { count: 3, first: '-:1, record chr1:6-10' },
  });
  expect((await cut(`>a\n${'ACGT'.repeat(10_000)}\n`, {})).map((piece) => piece.split(' ')[0])).toEqual([
    'a:1-16384',
    'a:16385-32768',
    'a:32769-40000',
  ]);
});

describe.skipIf(!hasBiopython)('beside Biopython', () => {
  test('generated files give its upper-case DNA', async () => {
    const letters = fc.string({ unit: fc.constantFrom(...'ACGTUNRYSWKMBDHVacgtun'), minLength: 1, maxLength: 90 });
    const record = fc.tuple(fc.constantFrom('a', 'chr1 x=1', 'r|2'), fc.array(letters, { minLength: 1, maxLength: 4 }));
    const files = fc.sample(fc.array(record, { minLength: 1, maxLength: 6 }), { numRuns: 60, seed: 7 });
    const paths = files.map((records, i) => {
      const path = join(folder, `${i}.fna`);
      const end = i % 2 === 0 ? '\n' : '\r\n';
      writeFileSync(path, records.map(([id, lines]) => `>${id}${end}${lines.join(end)}${end}`).join(''));
      return path;
    });
    const script = `
import json, sys
from Bio import SeqIO
paths = sys.stdin.read().splitlines()
print(json.dumps([[str(r.seq.upper()).replace('U', 'T') for r in SeqIO.parse(p, 'fasta')] for p in paths]))`;
    const expected = runBiopython(script, paths) as string[][];
    for (const [i, path] of paths.entries()) {
      const found: string[] = [];
      for await (const { sequence } of readNucleotides(path)) {
        found.push(sequence);
      }
      expect(found).toEqual(expected[i]);
    }
  });
});
