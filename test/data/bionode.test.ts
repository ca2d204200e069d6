import { createReadStream, mkdtempSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RESIDUES } from '../../src/data/alphabet.js';
import { buildStore } from '../../src/data/build.js';
import { cacheStore } from '../../src/data/cache.js';
import { type FastaSource, readFasta } from '../../src/data/fasta.js';
import { readNucleotides } from '../../src/data/nucleotides.js';
import { readProteins } from '../../src/data/proteins.js';
import { readSequences } from '../../src/data/reading.js';
import { sequencesFrom } from '../../src/data/sequenceStream.js';
import { fastaStatistics } from '../../src/data/statistics.js';
import { Warnings } from '../../src/data/warnings.js';

/** bionode-fasta, which the command line's reader took the place of: it knows fewer files and is several times slower. */
const bionode = createRequire(import.meta.url)('bionode-fasta');
const folder = mkdtempSync(join(tmpdir(), 'bionode-'));
const file = (name: string, content: string | Buffer) => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};

const sequences = Array.from({ length: 200 }, (_, i) => RESIDUES.repeat(1 + (i % 20)).slice(i % 20));
const fasta = sequences.map((s, i) => `>p${i} protein ${i}\n${s.replace(/.{60}/g, '$&\n')}\n`).join('');
const proteins = file('proteins.fasta', fasta);
const zipped = file('zipped.fasta.gz', gzipSync(fasta));
const more = file('more.fasta', '>q0\nMKTVRQG\n>q1 second\nMKLLA\n');

/** What every reader says about a record, wherever it comes from. */
async function recordsOf(records: AsyncIterable<{ id: string; description: string; sequence: string }>) {
  const found: { id: string; description: string; sequence: string }[] = [];
  for await (const { id, description, sequence } of records) {
    found.push({ id, description, sequence });
  }
  return found;
}

test('well-formed files have the records that bionode-fasta reads', async () => {
  const theirs = await new Promise<{ id: string; seq: string }[]>((resolve, reject) => {
    const records: { id: string; seq: string }[] = [];
    bionode
      .obj(proteins)
      .on('data', (record: { id: string; seq: string }) => records.push(record))
      .on('error', reject)
      .on('end', () => resolve(records));
  });
  const ours: { id: string; seq: string }[] = [];
  for await (const { description, sequence } of readFasta(proteins)) {
    ours.push({ id: description, seq: sequence });
  }
  expect(ours).toEqual(theirs);
  expect(ours.map(({ seq }) => seq)).toEqual(sequences);
});

describe('sequencesFrom', () => {
  const forms: [string, () => FastaSource | FastaSource[]][] = [
    ['a file', () => sequencesFrom(bionode.obj(proteins))],
    ['objectMode', () => sequencesFrom(bionode({ objectMode: true }, proteins))],
    ['gzip', () => sequencesFrom(bionode.obj(zipped))],
    ['content that is piped in', () => sequencesFrom(createReadStream(proteins).pipe(bionode.obj()))],
    ['includePath', () => sequencesFrom(bionode.obj({ includePath: true }, proteins))],
    [
      'filenameMode with one file',
      () => {
        const stream = bionode.obj({ filenameMode: true, includePath: true });
        stream.write(proteins);
        return sequencesFrom(stream);
      },
    ],
  ];

  test.each(forms)('%s gives the records of the file', async (_, source) => {
    expect(await recordsOf(readFasta(source()))).toEqual(await recordsOf(readFasta(proteins)));
  });

  test('every reader of FASTA takes it, alone and in a list', async () => {
    const list = () => [sequencesFrom(bionode.obj(proteins)), more, sequencesFrom(bionode.obj(more))];
    const files = [proteins, more, more];
    expect(await recordsOf(readProteins(list()))).toEqual(await recordsOf(readProteins(files)));
    expect(await recordsOf(readSequences(list(), { cut: 100 }))).toEqual(
      await recordsOf(readSequences(files, { cut: 100 })),
    );
    expect(await fastaStatistics(list())).toEqual(await fastaStatistics(files));
    const dna = file('dna.fasta', '>chr1\nACGTNACGUU\n');
    expect(await recordsOf(readNucleotides(sequencesFrom(bionode.obj(dna))))).toEqual([
      { id: 'chr1', description: 'chr1', sequence: 'ACGTNACGTT' },
    ]);
  });

  describe('stores', () => {
    const cache = process.env.XDG_CACHE_HOME;
    beforeAll(() => {
      process.env.XDG_CACHE_HOME = join(folder, 'cache');
    });
    afterAll(() => {
      if (cache === undefined) {
        delete process.env.XDG_CACHE_HOME;
      } else {
        process.env.XDG_CACHE_HOME = cache;
      }
    });

    test.each([[[]], [['p1', 'p7']]])('are those of the file, holding out %j', async (holdout) => {
      const ours = await buildStore(proteins, join(folder, `file-${holdout.length}`), { holdout });
      const streams = await buildStore(sequencesFrom(bionode.obj(proteins)), join(folder, `stream-${holdout.length}`), {
        holdout,
      });
      expect(streams.splits).toEqual(ours.splits);
      expect(streams.splits.ood.sequences > 0).toBe(holdout.length > 0);
    });

    test('are cached by the sequences', async () => {
      const source = () => sequencesFrom(bionode.obj({ includePath: true }, more));
      expect((await cacheStore(source())).built).toBe(true);
      const { store, built } = await cacheStore(source());
      expect(built).toBe(false);
      expect(store.manifest.sequences).toBe(2);
      store.close();
    });
  });

  test('messages name the path, or the name given, and the letter', async () => {
    const bad = file('bad.fasta', '>a one\nMKV\n>b two\nMK7LA\n');
    await expect(recordsOf(readProteins(sequencesFrom(bionode.obj({ includePath: true }, bad))))).rejects.toThrow(
      `${bad}, object 2, record b, letter 3: "7" is no letter of a protein`,
    );
    await expect(recordsOf(readProteins(sequencesFrom(bionode.obj(bad), { name: 'uploaded' })))).rejects.toThrow(
      'uploaded, object 2, record b, letter 3: "7" is no letter',
    );
    const warnings = new Warnings();
    const twice = [
      { id: 'a', seq: 'MK-' },
      { id: 'a', seq: 'MKV*' },
      { id: '', seq: '' },
    ];
    expect(await recordsOf(readProteins(sequencesFrom(twice), { warnings, duplicates: 'warn' }))).toEqual([
      { id: 'a', description: 'a', sequence: 'MK-' },
      { id: 'a', description: 'a', sequence: 'MKV' },
    ]);
    expect(warnings.counts()).toEqual({
      'gap (- or .) in a sequence, kept: is this an alignment?': { count: 1, first: 'stream, object 1, record a' },
      'duplicate identifier, kept': { count: 1, first: 'stream, object 2, record a, also at stream, object 1' },
      'empty sequence, skipped': { count: 1, first: 'stream, object 3, record 3' },
    });
  });

  test('several files in one stream, of which bionode-fasta loses some, are an error', async () => {
    const stream = bionode.obj({ filenameMode: true, includePath: true });
    stream.write(more);
    stream.write(proteins);
    await expect(recordsOf(readProteins(sequencesFrom(stream)))).rejects.toThrow(
      /^stream: stream\.push\(\) after EOF, after \d+ objects; give each file a stream of its own/,
    );
  });

  test('a file that is missing is an error, before or while it is read', async () => {
    const path = join(folder, 'none.fasta');
    await expect(recordsOf(readFasta(sequencesFrom(bionode.obj(path))))).rejects.toThrow('no such file');
    const source = sequencesFrom(bionode.obj(path));
    await new Promise((resolve) => setTimeout(resolve, 100));
    await expect(recordsOf(readFasta(source))).rejects.toThrow('no such file');
  });

  test('what is no record is refused', async () => {
    const refused = (stream: Parameters<typeof sequencesFrom>[0]) =>
      expect(recordsOf(readFasta(sequencesFrom(stream)))).rejects;
    await refused(bionode(more)).toThrow('stream, object 1: { id, seq } is needed, this is text; make');
    await refused([{ id: 'a' }] as never).toThrow('this is {"id":"a"}');
    await refused([null] as never).toThrow('this is null');
    await refused([{ id: 'a\nb', seq: 'MK' }]).toThrow('a header of several lines');
    await refused([{ id: 'a', seq: 'MK\n>b\nMK' }]).toThrow('one inside the sequence');
    await refused([{ id: 'a', seq: '>b' }]).toThrow('one inside the sequence');
    const source = sequencesFrom([{ id: 'a', seq: 'MK' }]);
    expect(await recordsOf(source)).toEqual([{ id: 'a', description: 'a', sequence: 'MK' }]);
    await expect(recordsOf(readFasta(source))).rejects.toThrow('can be read only once');
    await expect(recordsOf(readSequences(source, { alphabet: 'bytes' }))).rejects.toThrow('bytes come from files');
  });
});
