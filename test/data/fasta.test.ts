import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import type { FileSource } from '../../src/data/byteStream.js';
import { InputError } from '../../src/data/errors.js';
import { type FastaOptions, type FastaRecord, readFasta } from '../../src/data/fasta.js';
import { Warnings } from '../../src/data/warnings.js';

const folder = mkdtempSync(join(tmpdir(), 'fasta-'));
let files = 0;

function file(content: string | Uint8Array, name = `${files++}.fasta`): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

async function read(source: FileSource | FileSource[], options?: FastaOptions): Promise<FastaRecord[]> {
  const records: FastaRecord[] = [];
  for await (const record of readFasta(source, options)) {
    records.push(record);
  }
  return records;
}

const pairs = (records: FastaRecord[]) => records.map(({ id, sequence }) => `${id}=${sequence}`);

test('reads headers, wrapped sequences and where they are', async () => {
  const path = file('>sp|P1|A_X Some protein OS=X\nMKT\nVRQ\nG\n\n>b\nAC');
  expect(await read(path)).toMatchObject([
    {
      id: 'sp|P1|A_X',
      description: 'sp|P1|A_X Some protein OS=X',
      sequence: 'MKTVRQG',
      file: path,
      line: 1,
      number: 1,
    },
    { id: 'b', description: 'b', sequence: 'AC', line: 6, number: 2 },
  ]);
});

test('a record may be cut anywhere between two chunks', async () => {
  const text = '\r\n>a one\r\nMK T\r\n\r\nVR\r\n>b\r\nAC>D\r>c\rWW\n>d';
  for (let size = 1; size < text.length; size++) {
    const chunks = text.match(new RegExp(`[^]{1,${size}}`, 'g'))!.map((chunk) => Buffer.from(chunk));
    const records = await read(Readable.from(chunks, { objectMode: false }));
    expect(pairs(records)).toEqual(['a=MKTVR', 'b=AC>D', 'c=WW', 'd=']);
    expect(records.map(({ line }) => line)).toEqual([2, 6, 8, 10]);
  }
});

test('gzip is told by the bytes, not by the name, and may have several members', async () => {
  const members = Buffer.concat([gzipSync('>a\nMK\n>b'), gzipSync('\nAC\n')]);
  expect(pairs(await read(file(members, 'members.txt')))).toEqual(['a=MK', 'b=AC']);
  expect(pairs(await read(file('>a\nMK\n', 'plain.fasta.gz')))).toEqual(['a=MK']);
});

test('several sources follow each other, and lines begin anew in each', async () => {
  const sources = [file('>a\nMK'), file(gzipSync('>b\nAC\n')), Readable.from([Buffer.from('>c\nWW')])];
  const records = await read(sources);
  expect(pairs(records)).toEqual(['a=MK', 'b=AC', 'c=WW']);
  expect(records.map(({ line, number }) => [line, number])).toEqual([
    [1, 1],
    [1, 1],
    [1, 1],
  ]);
});

test('a byte order mark is skipped', async () => {
  expect(pairs(await read(file('\ufeff>a\nMK\n')))).toEqual(['a=MK']);
  expect(pairs(await read(file(gzipSync('\ufeff>a\nMK\n'))))).toEqual(['a=MK']);
});

test('locate finds a letter in the file', async () => {
  const [a, b] = await read(file('>a\nMKT\n\n VR Q\nG\n>b\r\nAC\r\nD\r\n'));
  expect([...a!.sequence].map((_, i) => a!.locate(i))).toEqual([
    { line: 2, column: 1 },
    { line: 2, column: 2 },
    { line: 2, column: 3 },
    { line: 4, column: 2 },
    { line: 4, column: 3 },
    { line: 4, column: 5 },
    { line: 5, column: 1 },
  ]);
  expect(b!.locate(2)).toEqual({ line: 8, column: 1 });
});

test('counts the bytes that it read, before decompression', async () => {
  const content = gzipSync('>a\nMK\n');
  const seen: number[] = [];
  await read([file(content), file('>b\nMK\n')], { onBytes: (bytes) => seen.push(bytes) });
  expect(seen.at(-1)).toBe(content.length + 6);
});

test('stopping early closes the file', async () => {
  const path = file(gzipSync(Array.from({ length: 10_000 }, (_, i) => `>r${i}\nMKTVRQG\n`).join('')));
  for (let i = 0; i < 20; i++) {
    for await (const _ of readFasta(path)) {
      break;
    }
  }
});

describe('what is wrong with a file', () => {
  const rejects = async (source: FileSource, message: RegExp) => {
    const error = await read(source).then(
      () => undefined,
      (reason) => reason,
    );
    expect(error).toBeInstanceOf(InputError);
    expect(error.message).toMatch(message);
    expect(error.message).not.toContain('\n');
  };

  test('a file that is not there, a folder', async () => {
    await rejects(join(folder, 'none.fasta'), /none\.fasta: no such file/);
    await rejects(folder, /it is a folder/);
  });

  test('truncated and damaged gzip', async () => {
    const whole = gzipSync(Array.from({ length: 5000 }, (_, i) => `>r${i}\nMKT${i}\n`).join(''));
    await rejects(file(whole.subarray(0, whole.length / 2)), /the gzip file ends too early, after [\d,]+ records; /);
    const damaged = Buffer.from(whole);
    damaged.fill(0, whole.length / 2, whole.length / 2 + 50);
    await rejects(file(damaged), /the gzip file is damaged/);
  });

  test('no record', async () => {
    await rejects(file('MKTVRQG\n'), /:1: no FASTA record, the file begins with "MKTVRQG"; a record begins with ">"/);
    await rejects(file(`\n\n@read1 ${'x'.repeat(100)}\nACGT\n`), /begins with "@read1 x{33}…"/);
  });

  test('other formats', async () => {
    await rejects(file(Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0])), /a zstd file, .* zstd -dc/);
    await rejects(file(Buffer.from('\ufeff>a\nMK\n', 'utf16le')), /a UTF-16 file, .* UTF-8/);
  });

  test('nothing before the first record is lost without a warning', async () => {
    const warnings = new Warnings();
    await read([file('; made by hand\n\n>a\nMK\n'), file(''), file('\n \n>b\nAC\n')], { warnings });
    expect(warnings.lines()).toEqual([
      expect.stringMatching(/^text before the first record, skipped: 1 \(first: .*:1, "; made by hand"\)$/),
      expect.stringMatching(/^file without a record: 1 \(first: /),
    ]);
  });
});
