import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { beforeEach, describe, expect, test } from 'vitest';
import { Alphabet, RESIDUES } from '../../src/data/alphabet.js';
import { type BuildOptions, buildStore } from '../../src/data/build.js';
import { cacheStore } from '../../src/data/cache.js';
import { DuplicateFinder } from '../../src/data/duplicates.js';
import { InputError } from '../../src/data/errors.js';
import { Random } from '../../src/data/random.js';
import { openStore, SPLITS, type SplitName, type TokenStore } from '../../src/data/store.js';
import { Warnings } from '../../src/data/warnings.js';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'store-'));
});

function records(count: number, seed = 1): { id: string; sequence: string }[] {
  const random = new Random(seed);
  return Array.from({ length: count }, (_, i) => ({
    id: `p${i}`,
    sequence: Array.from({ length: 20 + random.int(60) }, () => RESIDUES[random.int(20)]).join(''),
  }));
}

const fasta = (items: { id: string; sequence: string }[]) =>
  items.map(({ id, sequence }) => `>${id}\n${sequence}\n`).join('');

async function build(text: string, options?: BuildOptions): Promise<TokenStore> {
  const input = join(folder, 'input.fasta');
  writeFileSync(input, text);
  await buildStore(input, join(folder, 'store'), { overwrite: true, ...options });
  return openStore(join(folder, 'store'));
}

function contents(store: TokenStore, split: SplitName): { id: string; sequence: string }[] {
  const source = store.split(split);
  return Array.from({ length: source.size }, (_, i) => {
    const tokens = source.tokens(i);
    expect(tokens.length).toBe(source.length(i) + 2);
    return { id: source.name(i), sequence: store.alphabet.decode(tokens).replace(/^<cls>|<eos>$/g, '') };
  });
}

const splitOf = (store: TokenStore) =>
  new Map(SPLITS.flatMap((split) => contents(store, split).map(({ id }) => [id, split] as const)));

test.each([1 << 26, 500])('gives every sequence back, with shards of %i bytes', async (shardBytes) => {
  const all = records(1500);
  const store = await build(fasta(all), { shardBytes });
  const back = SPLITS.flatMap((split) => contents(store, split));
  expect(back.toSorted((a, b) => a.id.localeCompare(b.id))).toEqual(all.toSorted((a, b) => a.id.localeCompare(b.id)));
  for (const split of SPLITS) {
    const numbers = contents(store, split).map(({ id }) => Number(id.slice(1)));
    expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
  }
  await store.verify();
  if (shardBytes === 500) {
    expect(store.manifest.splits.train.shards.length).toBeGreaterThan(10);
  }
});

test('the manifest counts what is there', async () => {
  const { manifest } = await build('>a\nMKTX\n>b\nmkt*\n>c\nMK\n', { fractions: { validation: 0, test: 0 } });
  expect(manifest).toMatchObject({ sequences: 3, residues: 9, duplicateSequences: 0 });
  expect(manifest.splits.train).toMatchObject({ sequences: 3, residues: 9, longest: 4 });
  expect(manifest.splits.train.composition).toEqual({ M: 3, K: 3, T: 2, X: 1 });
});

describe('splits', () => {
  test('have about their fractions', async () => {
    const store = await build(fasta(records(4000)), { fractions: { validation: 0.2, test: 0.1 } });
    // Five standard deviations.
    expect(Math.abs(store.split('validation').size / 4000 - 0.2)).toBeLessThan(0.032);
    expect(Math.abs(store.split('test').size / 4000 - 0.1)).toBeLessThan(0.024);
    expect(store.split('ood').size).toBe(0);
  });

  test('equal sequences share a split, whatever their names', async () => {
    const all = records(1500);
    const twins = all.map(({ id, sequence }) => ({ id: `twin-${id}`, sequence: sequence.toLowerCase() }));
    const store = await build(fasta([...all, ...twins]));
    const split = splitOf(store);
    expect(all.every(({ id }) => split.get(id) === split.get(`twin-${id}`))).toBe(true);
    expect(store.manifest.duplicateSequences).toBe(1500);
  });

  test('a sequence stays in its split when others are added', async () => {
    const all = records(3000);
    const before = splitOf(await build(fasta(all.slice(0, 1500))));
    const after = splitOf(await build(fasta(all.toReversed())));
    expect([...before].every(([id, split]) => after.get(id) === split)).toBe(true);
  });

  test('another seed gives another split', async () => {
    const all = fasta(records(1500));
    const one = splitOf(await build(all));
    const two = splitOf(await build(all, { splitSeed: 1 }));
    expect([...one].some(([id, split]) => two.get(id) !== split)).toBe(true);
  });

  test.each([
    [1, { train: 1, validation: 0, test: 0 }],
    [2, { train: 1, validation: 1, test: 0 }],
    [3, { train: 1, validation: 1, test: 1 }],
    [40, { train: 36, validation: 2, test: 2 }],
    [1000, { train: 900, validation: 50, test: 50 }],
  ])('%i sequences leave none empty that could be filled', async (count, sizes) => {
    const store = await build(fasta(records(count)));
    const { train, validation, test } = store.manifest.splits;
    expect({ train: train.sequences, validation: validation.sequences, test: test.sequences }).toEqual(sizes);
  });

  test('fractions of one or more are an error', async () => {
    await expect(build('>a\nMK\n', { fractions: { validation: 0.5, test: 0.5 } })).rejects.toThrow(InputError);
  });
});

describe('holdout', () => {
  const text = [
    ['sp|P1|ONE_X a.4.5.5 |1-98', 'MKTVRQG'],
    ['P2_1 a.4.5.11 |2e-9', 'WWWWCCC'],
    ['P3_1 a.4.6.1', 'HHHHKKK'],
    ['P4 OX=9606', 'AAAALLL'],
    ['copy-of-P1', 'MKTVRQG'],
    ['rest', 'DEDEDED'],
  ];
  const input = fasta(text.map(([id, sequence]) => ({ id: id!, sequence: sequence! })));
  const heldOut = async (holdout: string[], warnings?: Warnings) =>
    contents(await build(input, { holdout, warnings }), 'ood').map(({ id }) => id);

  test('takes identifiers, accessions, families and words of the header, with equal sequences', async () => {
    expect(await heldOut(['rest'])).toEqual(['rest']);
    expect(await heldOut(['P1'])).toEqual(['sp|P1|ONE_X', 'copy-of-P1']);
    expect(await heldOut(['sp|P1|ONE_X'])).toEqual(['sp|P1|ONE_X', 'copy-of-P1']);
    expect(await heldOut(['a.4.5.5', 'OX=9606'])).toEqual(['sp|P1|ONE_X', 'P4', 'copy-of-P1']);
    expect(await heldOut(['a.4.5'])).toEqual(['sp|P1|ONE_X', 'P2_1', 'copy-of-P1']);
    expect(await heldOut(['a.4'])).toEqual(['sp|P1|ONE_X', 'P2_1', 'P3_1', 'copy-of-P1']);
    expect(await heldOut(['a.4.5.1', 'P'])).toEqual([]);
  });

  test('takes files of identifiers and FASTA files', async () => {
    const list = join(folder, 'list.txt');
    writeFileSync(list, '# families\na.4.6.1 winged helix\n\nrest\r\n');
    const proteins = join(folder, 'proteins.fasta.gz');
    writeFileSync(proteins, gzipSync('>P4 something\nMK\n'));
    expect(await heldOut([list, proteins])).toEqual(['P3_1', 'P4', 'rest']);
  });

  test('a name that nothing has is a warning', async () => {
    const warnings = new Warnings();
    await heldOut(['P1', 'P99'], warnings);
    expect(warnings.lines()).toEqual(['nothing to hold out has this name: 1 (first: P99)']);
  });

  test('works on a stream', async () => {
    await buildStore(Readable.from([Buffer.from(input)]), join(folder, 'store'), { holdout: ['rest'] });
    const store = await openStore(join(folder, 'store'));
    expect(contents(store, 'ood')).toEqual([{ id: 'rest', sequence: 'DEDEDED' }]);
  });
});

test('duplicate identifiers are kept and counted', async () => {
  const warnings = new Warnings();
  const store = await build('>a\nMK\n>b\nAC\n>a\nWW\n>a\nMK\n', { warnings });
  expect(store.manifest).toMatchObject({ sequences: 4, duplicateSequences: 1 });
  expect(warnings.lines()).toEqual(['duplicate identifier, kept: 2 (first: record a)']);
  expect(store.manifest.warnings).toEqual({ 'duplicate identifier, kept': { count: 2, first: 'record a' } });
  await expect(build('>a\nMK\n>a\nAC\n', { warnings: new Warnings({ strict: true }) })).rejects.toThrow(
    /record a: duplicate identifier/,
  );
});

test('equal hashes are found among more than fit into memory', () => {
  const finder = new DuplicateFinder(folder, 'hashes');
  const hashes = Array.from({ length: 600_000 }, (_, i) => (i * 7919) % 599_999);
  hashes.forEach((hash, place) => {
    finder.add(hash, place);
  });
  expect(readdirSync(folder).length).toBe(256);
  const found = [...finder.duplicates()];
  expect(found).toEqual([{ place: 599_999, first: 0 }]);
});

describe('building is all or nothing', () => {
  test('nothing is left of a build that failed', async () => {
    await expect(build('>a\nMKT\n>b\nMK1T\n')).rejects.toThrow(/input\.fasta:4:3, record b: "1" is no letter/);
    expect(readdirSync(folder)).toEqual(['input.fasta']);
  });

  test('a store is not replaced unasked, and nothing else ever', async () => {
    const store = join(folder, 'store');
    await build('>a\nMK\n');
    await expect(buildStore(join(folder, 'input.fasta'), store)).rejects.toThrow(/it exists already/);
    await expect(buildStore(join(folder, 'input.fasta'), folder, { overwrite: true })).rejects.toThrow(
      /is .* a folder of/,
    );
    expect(existsSync(join(folder, 'input.fasta'))).toBe(true);
  });

  test('a store is replaced where asked, without remains', async () => {
    await build('>a\nMK\n');
    const store = await build('>b\nACD\n');
    expect(contents(store, 'train')).toEqual([{ id: 'b', sequence: 'ACD' }]);
    expect(readdirSync(folder).toSorted()).toEqual(['input.fasta', 'store']);
    await expect(buildStore(['-', '-'], join(folder, 'other'))).rejects.toThrow(/standard input is named twice/);
  });

  test('the same input gives the same bytes', async () => {
    const text = fasta(records(1200));
    const read = async () => {
      await build(text);
      const store = join(folder, 'store');
      return readdirSync(store).map((name) => [name, readFileSync(join(store, name), 'base64')]);
    };
    expect(await read()).toEqual(await read());
  });

  test('an input without sequences is an error', async () => {
    await expect(build('')).rejects.toThrow(/input\.fasta: no sequence in it/);
  });
});

describe('opening', () => {
  test('a folder that is no store', async () => {
    await expect(openStore(folder)).rejects.toThrow(InputError);
    writeFileSync(join(folder, 'manifest.json'), '{"format":"something"}');
    await expect(openStore(folder)).rejects.toThrow(/not a manifest of version 1/);
    writeFileSync(join(folder, 'manifest.json'), '{"format":');
    await expect(openStore(folder)).rejects.toThrow(InputError);
  });

  test('files that are cut, missing or changed', async () => {
    const store = await build('>a\nMKTVRQG\n');
    const tokens = join(folder, 'store', 'train-00000.tokens');
    const bytes = readFileSync(tokens);
    writeFileSync(tokens, bytes.toReversed());
    await expect(store.verify()).rejects.toThrow(/train-00000\.tokens: its checksum/);
    truncateSync(tokens, 3);
    await expect(openStore(join(folder, 'store'))).rejects.toThrow(/it has 3 bytes, not 7/);
  });

  test('an index outside is an error', async () => {
    const store = await build('>a\nMKTVRQG\n');
    expect(() => store.split('train').tokens(1)).toThrow(RangeError);
    expect(() => store.split('ood').length(0)).toThrow(RangeError);
  });
});

describe('cache', () => {
  beforeEach(() => {
    process.env.XDG_CACHE_HOME = join(folder, 'cache');
    return () => {
      delete process.env.XDG_CACHE_HOME;
    };
  });

  test('finds a store by the contents and the options', async () => {
    const one = join(folder, 'one.fasta');
    const two = join(folder, 'two.fasta');
    writeFileSync(one, '>a\nMKT\n>a\nMK\n');
    writeFileSync(two, '>a\nMKT\n>a\nMK\n');
    const warnings = new Warnings();
    expect((await cacheStore(one)).built).toBe(true);
    expect((await cacheStore(two, { warnings })).built).toBe(false);
    expect(warnings.lines()).toEqual(['duplicate identifier, kept: 1 (first: record a)']);
    expect((await cacheStore(Readable.from([readFileSync(one)]))).built).toBe(false);
    expect((await cacheStore(one, { splitSeed: 1 })).built).toBe(true);
    expect((await cacheStore([one, two])).built).toBe(true);
    appendFileSync(one, '>b\nACD\n');
    const { store, built } = await cacheStore(one);
    expect(built).toBe(true);
    expect(store.manifest.sequences).toBe(3);
    await expect(cacheStore(two, { warnings: new Warnings({ strict: true }) })).rejects.toThrow(InputError);
  });

  test('replaces a store that is damaged', async () => {
    const input = join(folder, 'input.fasta');
    writeFileSync(input, '>a\nMKT\n');
    const { store } = await cacheStore(input);
    truncateSync(join(store.folder, 'train-00000.tokens'), 1);
    const again = await cacheStore(input);
    expect(again.built).toBe(true);
    expect(again.store.split('train').length(0)).toBe(3);
  });

  test('keeps nothing of an input that is wrong', async () => {
    const input = join(folder, 'input.fasta');
    writeFileSync(input, '>a\nMK1\n');
    await expect(cacheStore(input)).rejects.toThrow(InputError);
    await expect(cacheStore(join(folder, 'none'))).rejects.toThrow(/none: no such file/);
    expect(readdirSync(join(folder, 'cache', 'protein-lm', 'data'))).toEqual([]);
  });
});

describe('readAs', () => {
  test('gives the ids of another vocabulary, <unk> for letters that it lacks', async () => {
    const store = await build('>a\nMKTXW\n', { validation: 0, test: 0 } as BuildOptions);
    const other = new Alphabet(['<pad>', '<unk>', '<mask>', '<cls>', '<eos>', ...[...RESIDUES].reverse()]);
    const split = store.split('train');
    store.readAs(other);
    expect([...split.tokens(0)]).toEqual([3, ...[...'MKT'].map((x) => other.idOf(x)), 1, other.idOf('W'), 4]);
    expect(store.alphabet).toBe(other);
    const lacking = new Alphabet(['<cls>', '<pad>', '<eos>', '<unk>', '<mask>', ...'ACGT']);
    expect(() => store.readAs(lacking)).toThrow("the model's vocabulary has no token L");
    store.close();
  });
});
