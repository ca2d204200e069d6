import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { BYTES, PROTEIN } from '../../src/data/alphabet.js';
import { trainingBatches } from '../../src/data/batches.js';
import { type BuildOptions, buildStore } from '../../src/data/build.js';
import { type ByteOptions, readByteFiles } from '../../src/data/byteFiles.js';
import { cacheStore } from '../../src/data/cache.js';
import { InputError } from '../../src/data/errors.js';
import { openStore, SPLITS, type TokenStore } from '../../src/data/store.js';

const root = mkdtempSync(join(tmpdir(), 'bytes-'));
afterAll(() => rmSync(root, { recursive: true }));
let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(root, 'test-'));
});

async function read(chunks: Uint8Array[], options: ByteOptions = {}): Promise<{ id: string; bytes: Buffer }[]> {
  const source = Readable.from(chunks.map((chunk) => Buffer.from(chunk)));
  const documents: { id: string; bytes: Buffer }[] = [];
  for await (const { id, sequence } of readByteFiles([source], options)) {
    documents.push({ id, bytes: Buffer.from(sequence, 'latin1') });
  }
  return documents;
}

/** Chunks that do not begin as gzip does. */
const chunksOfBytes = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 12 }).filter((chunks) => {
  const [first, second] = Buffer.concat(chunks);
  return !(first === 0x1f && second === 0x8b);
});

describe('documents', () => {
  test('of any bytes and chunks join to the file, cut at the length', async () => {
    await fc.assert(
      fc.asyncProperty(chunksOfBytes, fc.integer({ min: 1, max: 50 }), async (chunks, cut) => {
        const all = Buffer.concat(chunks);
        const documents = await read(chunks, { cut });
        expect(Buffer.concat(documents.map(({ bytes }) => bytes))).toEqual(all);
        expect(documents.length).toBe(Math.ceil(all.length / cut));
        for (const { bytes } of documents.slice(0, -1)) {
          expect(bytes.length).toBe(cut);
        }
        for (const { id, bytes } of documents) {
          const [from, to] = id === '-' ? [1, all.length] : id.slice(2).split('-').map(Number);
          expect(all.subarray(from! - 1, to)).toEqual(bytes);
        }
      }),
    );
  });

  test('of lines are what splitting the text gives', async () => {
    const lineChunks = fc.array(
      fc.array(fc.constantFrom(10, 13, 97, 0, 255), { maxLength: 12 }).map((bytes) => Uint8Array.from(bytes)),
      { maxLength: 8 },
    );
    await fc.assert(
      fc.asyncProperty(lineChunks, async (chunks) => {
        const lines = Buffer.concat(chunks).toString('latin1').split('\n');
        const expected = lines.map((line) => line.replace(/\r$/, '')).filter((line) => line !== '');
        const documents = await read(chunks, { lines: true });
        expect(documents.map(({ bytes }) => bytes.toString('latin1'))).toEqual(expected);
        for (const { id, bytes } of documents) {
          expect(lines[Number(id.slice(2)) - 1].replace(/\r$/, '')).toBe(bytes.toString('latin1'));
        }
      }),
    );
    expect((await read([Buffer.from('abcdef\ngh')], { lines: true, cut: 4 })).map(({ id }) => id)).toEqual([
      '-:1:1-4',
      '-:1:5-6',
      '-:2',
    ]);
  });

  test('of gzip are decompressed, and a truncated one is an error', async () => {
    const bytes = readFileSync(new URL('../../LICENSE', import.meta.url));
    const zipped = gzipSync(bytes);
    expect((await read([zipped]))[0].bytes).toEqual(bytes);
    await expect(read([zipped.subarray(0, -20)])).rejects.toThrow(/^-: the gzip file ends too early, after/);
  });

  test('of a file that is missing are an error', async () => {
    const missing = async () => {
      for await (const _ of readByteFiles(['no/such'])) {
        expect.unreachable();
      }
    };
    await expect(missing()).rejects.toThrow(new InputError('no/such: no such file; check the path'));
  });
});

async function build(sources: string[], options: BuildOptions = {}): Promise<TokenStore> {
  const store = join(folder, 'store');
  await buildStore(sources, store, { alphabet: 'bytes', overwrite: true, ...options });
  return openStore(store);
}

function documents(store: TokenStore): Map<string, string> {
  return new Map(
    SPLITS.flatMap((split) => {
      const source = store.split(split);
      return Array.from({ length: source.size }, (_, i) => {
        const tokens = source.tokens(i);
        expect([tokens[0], tokens.at(-1)]).toEqual([BYTES.cls, BYTES.eos]);
        return [source.name(i), store.alphabet.decode(tokens.subarray(1, -1))] as const;
      });
    }),
  );
}

describe('a store of bytes', () => {
  test('gives back every byte of files of any kind', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { minLength: 1 }), async (files) => {
        const paths = files.map((bytes, i) => {
          const path = join(folder, `file${i}`);
          writeFileSync(path, bytes);
          return path;
        });
        const store = await build(paths, { cut: 100, shardBytes: 256 });
        const found = documents(store);
        for (const [i, bytes] of files.entries()) {
          const pieces = [...found].filter(([name]) => name === paths[i] || name.startsWith(`${paths[i]}:`));
          pieces.sort(([a], [b]) => Number(/(\d+)-\d+$/.exec(a)?.[1]) - Number(/(\d+)-\d+$/.exec(b)?.[1]));
          expect(pieces.map(([, text]) => text).join('')).toBe(Buffer.from(bytes).toString('latin1'));
        }
        store.close();
      }),
      { numRuns: 30 },
    );
  });

  test('holds the bytes as they are, one each', async () => {
    const path = join(folder, 'all');
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
    writeFileSync(path, bytes);
    const store = await build([path]);
    expect(new Uint8Array(readFileSync(join(folder, 'store', 'train-00000.tokens')))).toEqual(bytes);
    expect(store.manifest).toMatchObject({ alphabet: 'bytes', tokenOffset: 4, cut: 16384 });
    expect(store.manifest.splits.train.composition).toMatchObject({ '<0x00>': 1, '<0x41>': 1, '<0xFF>': 1 });
    expect(Object.keys(store.manifest.splits.train.composition).length).toBe(256);
    await store.verify();
  });

  test('takes folders, without hidden files, and holds out what paths name', async () => {
    for (const name of ['b/2.txt', 'b/1.txt', 'a/deep/x', 'a/.hidden', '.git/config']) {
      mkdirSync(join(folder, 'corpus', name, '..'), { recursive: true });
      writeFileSync(join(folder, 'corpus', name), `bytes of ${name}`);
    }
    const corpus = join(folder, 'corpus');
    const store = await build([corpus], { holdout: [join(corpus, 'a/')], fractions: { validation: 0, test: 0 } });
    expect(store.manifest.sources.map(({ file }) => file.slice(corpus.length + 1))).toEqual([
      'a/deep/x',
      'b/1.txt',
      'b/2.txt',
    ]);
    expect(store.split('ood').name(0)).toBe(join(corpus, 'a/deep/x'));
    expect(store.split('train').size).toBe(2);
    mkdirSync(join(folder, 'empty'));
    await expect(build([join(folder, 'empty')])).rejects.toThrow(/empty: no files in this folder/);
  });

  test('an empty file has no documents, and alone it is an error', async () => {
    writeFileSync(join(folder, 'empty'), '');
    await expect(build([join(folder, 'empty')])).rejects.toThrow(/no sequence in it; it is empty/);
  });

  test('is kept in the cache by contents, names and options', async () => {
    process.env.XDG_CACHE_HOME = join(folder, 'cache');
    const path = join(folder, 'text');
    writeFileSync(path, 'some text\nmore text\n');
    const cached = async (options: BuildOptions) => {
      const { store, built } = await cacheStore([path], { alphabet: 'bytes', ...options });
      store.close();
      return built;
    };
    expect(await cached({})).toBe(true);
    expect(await cached({})).toBe(false);
    expect(await cached({ lines: true })).toBe(true);
    expect(await cached({ cut: 64 })).toBe(true);
    delete process.env.XDG_CACHE_HOME;
  });

  test('packs rows of all bytes, joined with <eos>, resumable', async () => {
    const path = join(folder, 'lines');
    writeFileSync(path, 'first\nsecond line\n\xff\n'.repeat(3), 'latin1');
    const store = await build([path], { lines: true, fractions: { validation: 0, test: 0 } });
    const options = { length: 16, tokensPerBatch: 32, mode: 'packed', objective: 'causal', alphabet: BYTES } as const;
    const batches = trainingBatches(store.split('train'), options);
    const first = batches.next().value!;
    const text = BYTES.decode(first.ids);
    expect(text).toMatch(/^<cls>/);
    expect(text.replace(/^<cls>|(?<=.)<cls>/g, '').split('<eos>')).toContain('second line');
    const [again] = [trainingBatches(store.split('train'), options, first.cursor).next().value!];
    expect(again).toEqual(batches.next().value);
  });
});

test('a store of proteins is as it always was', async () => {
  const path = join(folder, 'p.fasta');
  writeFileSync(path, '>a\nMKTVRQG\n');
  const store = await build([path], { alphabet: undefined });
  expect([...readFileSync(join(folder, 'store', 'train-00000.tokens'))]).toEqual([20, 15, 11, 7, 10, 16, 6]);
  const { alphabet, tokenOffset, cut, vocabulary } = store.manifest;
  expect({ alphabet, tokenOffset, cut }).toEqual({});
  expect(vocabulary).toEqual(PROTEIN.tokens);
});
