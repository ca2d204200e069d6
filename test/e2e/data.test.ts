import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { RESIDUES } from '../../src/data/alphabet.js';
import { cacheStore, listCache } from '../../src/data/cache.js';
import { runCli } from './cli.js';

const EXECUTABLE = fileURLToPath(new URL('../../bin/protein-lm', import.meta.url));

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'data-'));
});

const run = (args: string[], input?: string | Uint8Array) => runCli(['data', ...args], { cwd: folder, input });
const write = (name: string, content: string | Uint8Array) => writeFileSync(join(folder, name), content);

const proteins = Array.from({ length: 20 }, (_, i) => `>p${i}\n${RESIDUES.slice(i)}${RESIDUES}\n`).join('');

describe('data build', () => {
  test('builds from several files, plain and gzip, and prints the splits', async () => {
    write('a.fasta', proteins);
    write('b.fasta.gz', gzipSync('>x y\r\nMKTVRQG\r\n'));
    const { code, stdout, stderr } = await run(['build', 'a.fasta', 'b.fasta.gz', '--out', 'tokens']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout.split('\n').map((line) => line.split(/\s+/))).toEqual([
      ['split', 'sequences', 'residues', 'longest'],
      ['train', '17', expect.any(String), expect.any(String)],
      ['validation', '2', expect.any(String), expect.any(String)],
      ['test', '2', expect.any(String), expect.any(String)],
      ['ood', '0', '0', '0'],
      ['all', '21', '617'],
      [''],
    ]);
    expect(readdirSync(folder).toSorted()).toEqual(['a.fasta', 'b.fasta.gz', 'tokens']);
  });

  test('reads standard input', async () => {
    expect((await run(['build', '-', '--out', 'tokens'], gzipSync(proteins))).code).toBe(0);
    const { stdout } = await run(['stats', 'tokens', '--json']);
    expect(JSON.parse(stdout).splits.train.sequences).toBe(18);
  });

  test('holds out families', async () => {
    write('a.fasta', `${proteins}>q1 a.4.5.5\nMKTVRQG\n>q2 a.4.6.1\nWWWW\n`);
    const { stdout } = await run(['build', 'a.fasta', '--out', 'tokens', '--holdout', 'a.4.5', 'p3']);
    expect(stdout).toMatch(/^ood +2 /m);
  });

  test('counts what it corrected, even when quiet', async () => {
    write('a.fasta', `${proteins}>empty\n>p3\nMKT\n>j\nMJK\n`);
    const { code, stderr } = await run(['build', 'a.fasta', '--out', 'tokens', '--quiet']);
    expect(code).toBe(0);
    expect(stderr).toBe(
      'warning: empty sequence, skipped: 1 (first: a.fasta:41, record empty)\n' +
        'warning: letter J (leucine or isoleucine), read as X: 1 (first: a.fasta:44, record j)\n' +
        'warning: duplicate identifier, kept: 1 (first: record p3)\n',
    );
  });
});

describe('bad input is one line, exit code 1, and leaves nothing behind', () => {
  const dna = 'ACGTTGCAAC'.repeat(10);
  const truncated = gzipSync(Array.from({ length: 5000 }, (_, i) => `>r${i}\n${RESIDUES.repeat(i % 7)}M\n`).join(''));
  const cases: [what: string, content: string | Uint8Array, extra: string[], message: RegExp][] = [
    [
      'a letter outside the alphabet',
      '>a\nMKT\nM?T\n',
      [],
      /^error: bad\.fasta:3:2, record a: "\?" is no letter .*--invalid skip/,
    ],
    ['a stop inside', '>a\nMK*T\n', [], /^error: bad\.fasta:2:3, record a: \* \(stop\) inside a sequence/],
    ['a comment inside', '>a\nMK\n;c\nTV\n', [], /^error: bad\.fasta:3:1, record a: ; in a sequence/],
    ['DNA', `>gene\n${dna}\n`, [], /^error: bad\.fasta:1, record gene: this looks like DNA or RNA.*--nucleotides/],
    ['truncated gzip', truncated.subarray(0, 3000), [], /^error: bad\.fasta: the gzip file ends too early, after /],
    ['no FASTA', 'MKTVRQG\n', [], /^error: bad\.fasta:1: no FASTA record, the file begins with "MKTVRQG"/],
    ['an empty file', '', [], /^error: bad\.fasta: no sequence in it/],
    ['only empty sequences', '>a\n>b\n', [], /^error: bad\.fasta: no sequence in it/],
    ['an empty sequence, strict', '>a\nMK\n>b\n', ['--strict'], /^error: bad\.fasta:3, record b: empty sequence/],
    ['a duplicate, strict', '>a\nMK\n>a\nMK\n', ['--strict'], /^error: record a: duplicate identifier/],
    ['text before, strict', 'x\n>a\nMK\n', ['--strict'], /^error: bad\.fasta:1, "x": text before the first record/],
    ['UTF-16', Buffer.from('\ufeff>a\nMK\n', 'utf16le'), [], /^error: bad\.fasta: a UTF-16 file/],
    ['zstd', Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 1, 2]), [], /^error: bad\.fasta: a zstd file/],
  ];

  test.each(cases)('%s', async (_, content, extra, message) => {
    write('bad.fasta', content);
    const { code, stdout, stderr } = await run(['build', 'bad.fasta', '--out', 'tokens', '--quiet', ...extra]);
    expect(code).toBe(1);
    expect(stdout).toBe('');
    expect(stderr).toMatch(message);
    expect(stderr.trimEnd()).not.toContain('\n');
    expect(readdirSync(folder)).toEqual(['bad.fasta']);
  });

  test('a file that is missing, a folder that is there', async () => {
    write('a.fasta', proteins);
    expect(await run(['build', 'none.fasta', '--out', 'tokens'])).toMatchObject({
      code: 1,
      stderr: 'error: none.fasta: no such file; check the path\n',
    });
    await run(['build', 'a.fasta', '--out', 'tokens']);
    const again = await run(['build', 'a.fasta', '--out', 'tokens']);
    expect(again.code).toBe(1);
    expect(again.stderr).toMatch(/^error: tokens: it exists already/);
    expect((await run(['build', 'a.fasta', '--out', 'tokens', '--overwrite'])).code).toBe(0);
  });

  test('Ctrl-C ends the build and leaves nothing', async () => {
    const child = spawn(process.execPath, [EXECUTABLE, 'data', 'build', '-', '--out', 'tokens'], { cwd: folder });
    const ended = once(child, 'close');
    child.stdin.write(proteins);
    // The temporary folder shows that the build is under way.
    while (readdirSync(folder).length === 0) {
      await setTimeout(20);
    }
    child.kill('SIGINT');
    const stderr = await text(child.stderr);
    expect([await ended, stderr]).toEqual([[1, null], 'error: interrupted; nothing was written\n']);
    expect(readdirSync(folder)).toEqual([]);
  });

  test('wrong usage exits with 2', async () => {
    write('a.fasta', proteins);
    expect((await run(['build', 'a.fasta'])).code).toBe(2);
    expect((await run(['build', 'a.fasta', '--out', 'x', '--invalid', 'maybe'])).code).toBe(2);
    expect((await run(['build', 'a.fasta', '--out', 'x', '--validation-fraction', '2'])).code).toBe(2);
    expect(existsSync(join(folder, 'x'))).toBe(false);
  });
});

describe('data stats', () => {
  test('of FASTA: a table, or JSON', async () => {
    write('a.fasta', `${proteins}>x\nMKX\n`);
    const table = await run(['stats', 'a.fasta']);
    expect(table).toMatchObject({ code: 0, stderr: '' });
    expect(table.stdout).toMatch(/^sequences +21$/m);
    expect(table.stdout).toMatch(/^median +\d/m);
    expect(table.stdout).toMatch(/^X +1$/m);
    const json = await run(['stats', 'a.fasta', '--json']);
    expect(JSON.parse(json.stdout)).toMatchObject({ sequences: 21, unusual: { X: { count: 1, sequences: 1 } } });
    await run(['stats', 'a.fasta', '--out', 'stats.json']);
    expect(readFileSync(join(folder, 'stats.json'), 'utf8')).toBe(json.stdout);
    await run(['stats', 'a.fasta', '--out', 'stats.csv']);
    const csv = readFileSync(join(folder, 'stats.csv'), 'utf8').split('\n');
    expect(csv.slice(0, 2)).toEqual(['split,statistic,name,value', 'all,count,sequences,21']);
    expect(csv).toContain('all,unusual,X,1');
    expect((await run(['stats', 'a.fasta', '--out', 'stats.xyz'])).code).toBe(2);
  });

  test('shows what build would refuse', async () => {
    write('a.fasta', '>a\nMK1\n>b\n\n');
    const { code, stdout } = await run(['stats', 'a.fasta']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^empty +1$/m);
    expect(stdout).toMatch(/^1 +1$/m);
  });

  test('of what build wrote', async () => {
    write('a.fasta', proteins);
    await run(['build', 'a.fasta', '--out', 'tokens']);
    const { code, stdout } = await run(['stats', 'tokens']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^length +train +validation +test$/m);
    expect(stdout).toContain('no unusual letters');
  });
});

test('data stats of bytes takes a folder of files, and one of data build', async () => {
  mkdirSync(join(folder, 'books'));
  write('books/manifest.json', '{"name":"web"}\n');
  write('books/two.txt', 'MK');
  const args = ['stats', '--alphabet', 'bytes', '--json'];
  const files = await run([...args, 'books']);
  expect(files, files.stderr).toMatchObject({ code: 0 });
  expect(JSON.parse(files.stdout)).toMatchObject({ sequences: 2, residues: 17, length: { min: 2, max: 15 } });
  await run(['build', '--alphabet', 'bytes', 'books', '--out', 'tokens']);
  const store = await run([...args, 'tokens']);
  expect(Object.keys(JSON.parse(store.stdout).splits)).toEqual(['train', 'validation', 'test', 'ood']);
});

describe('data cache', () => {
  test('lists what --fasta left there, and removes it', async () => {
    vi.stubEnv('XDG_CACHE_HOME', join(folder, 'cache'));
    const cache = join(folder, 'cache', 'protein-lm', 'data');
    expect(await run(['cache'])).toEqual({ code: 0, signal: null, stdout: `${cache}: 0 MB\n`, stderr: '' });
    write('a.fasta', proteins);
    write('b.fasta', `${proteins}>more\nMKTVRQG\n`);
    for (const name of ['a', 'b']) {
      (await cacheStore(join(folder, `${name}.fasta`))).store.close();
    }
    mkdirSync(join(cache, '.input-killed'));
    const [old] = (await listCache()).filter(({ manifest }) => manifest?.sequences === 20);
    const then = new Date(Date.now() - 40 * 86_400_000);
    utimesSync(old!.folder, then, then);
    const { stdout } = await run(['cache']);
    const lines = stdout.trim().split('\n');
    expect(lines).toHaveLength(5);
    expect(lines[1]).toMatch(/^from +sequences +MB +last used +folder$/);
    expect(lines[4]).toMatch(/^a\.fasta +20 +[\d.]+ +\d{4}-\d\d-\d\d +[0-9a-f]{32}$/);
    expect(lines.some((line) => line.startsWith('unfinished'))).toBe(true);
    const many = ['1', '2', '3', '4'].map((name) => join(folder, `part${name}.fasta`));
    many.forEach((file, i) => {
      writeFileSync(file, `>p${i}\nMKTVRQ${'GAVL'[i]}\n`);
    });
    const { store } = await cacheStore(many);
    store.close();
    expect((await run(['cache'])).stdout).toContain('\npart1.fasta, part2.fasta and 2 more');
    rmSync(store.folder, { recursive: true });
    // A use makes it new again.
    (await cacheStore(join(folder, 'a.fasta'))).store.close();
    expect((await run(['cache', '--prune', '30'])).stdout).toMatch(/^removed 0 of 3 /);
    utimesSync(old!.folder, then, then);
    expect((await run(['cache', '--prune', '30'])).stdout).toMatch(/^removed 1 of 3 /);
    expect((await run(['cache', '--clear'])).stdout).toMatch(/^removed 2 of 2 /);
    expect(readdirSync(cache)).toEqual([]);
    expect(await run(['cache', '--clear', '--prune', '1'])).toMatchObject({ code: 2 });
    vi.unstubAllEnvs();
  });
});
