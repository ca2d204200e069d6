import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { Random } from '../../src/data/random.js';
import { randomFasta, temporaryFolder } from '../training/tiny.js';
import { runCli } from './cli.js';

const folder = temporaryFolder();
const env = { XDG_CACHE_HOME: join(folder, 'cache') };
const path = (name: string) => join(folder, name);
const SOURCES = fileURLToPath(new URL('../../src/data', import.meta.url));
const README = fileURLToPath(new URL('../../README.md', import.meta.url));
const LICENSE = fileURLToPath(new URL('../../LICENSE', import.meta.url));
const SLOW = { timeout: 240_000 };
const MODEL = ['--preset', 'performer-tiny', '--layers', '1', '--hidden', '16', '--heads', '2', '--feed-forward', '16'];
const RECIPE = ['--length', '64', '--tokens-per-batch', '512', '--warmup', '2', '--steps', '6'];

const random = new Random(5);
const dna = Array.from({ length: 3000 }, () => 'ACGT'[random.int(4)]).join('');
writeFileSync(path('genome.fna'), `>chr1 test\n${dna.replace(/(.{70})/g, '$1\n')}\n>chr2\nNNNN\n`);
writeFileSync(path('gene.fna'), '>gene\nACGTNacgu\n');
writeFileSync(path('proteins.fasta'), randomFasta(60));

const oneLine = (text: string) => expect(text.trim().split('\n').length).toBe(1);

test('bytes: pretrain on files, resume, evaluate and embed others', SLOW, async () => {
  const run = path('bytes');
  const files = ['--alphabet', 'bytes', '--files', SOURCES, README, '--causal'];
  const trained = await runCli(['pretrain', ...files, ...MODEL, ...RECIPE, '--out', run], { env });
  expect(trained.stderr).toMatch(/data: \d+ sequences, [\d,]+ bytes to train on/);
  expect(trained.stderr).toMatch(/\(byte frequencies: perplexity/);
  expect(trained.code).toBe(0);
  const config = JSON.parse(readFileSync(join(run, 'config.json'), 'utf8'));
  expect(config).toMatchObject({ alphabet: 'bytes', vocab_size: 261, attention: { causal: true } });
  expect(readFileSync(join(run, 'vocab.txt'), 'utf8').split('\n')[14]).toBe('<0x0A>');

  const resumed = await runCli(['pretrain', '--files', SOURCES, README, '--out', run, '--resume', '--steps', '8'], {
    env,
  });
  expect(resumed.stderr).toMatch(/: 8 steps/);
  expect(resumed.code).toBe(0);

  const evaluated = await runCli(['evaluate', '--model', run, '--files', LICENSE, '--format', 'json'], { env });
  expect(evaluated.stderr).not.toMatch(/error/);
  const [model, baseline] = JSON.parse(evaluated.stdout);
  expect(model.positions).toBe(readFileSync(LICENSE).length);
  expect(model.bits_per_byte).toBeCloseTo(Math.log2(model.perplexity), 4);
  expect(baseline.model).toBe('byte frequencies');

  writeFileSync(path('document'), Buffer.from([0, 255, 10, 62, 31]));
  const out = path('document.npy');
  expect((await runCli(['embed', path('document'), '--model', run, '--out', out], { env })).code).toBe(0);
  expect(JSON.parse(readFileSync(`${out}.json`, 'utf8')).ids).toEqual([path('document')]);
});

test('bytes: data build, stats and pretrain on the store', SLOW, async () => {
  const store = path('readme.tokens');
  const built = await runCli(['data', 'build', '--alphabet', 'bytes', '--lines', README, '--out', store], { env });
  const lines = readFileSync(README, 'latin1')
    .split('\n')
    .filter((line) => line !== '');
  expect(built.stdout).toMatch(/^split +sequences +bytes +longest\n/);
  expect(built.stdout).toMatch(new RegExp(`^all +${lines.length.toLocaleString('en-US')} +`, 'm'));
  const stats = await runCli(['data', 'stats', store, '--json'], { env });
  const { train, validation, test: held } = JSON.parse(stats.stdout).splits;
  const spaces = [train, validation, held].map(({ composition }) => composition['<0x20>'].count);
  expect(spaces.reduce((a, b) => a + b)).toBe(lines.join('').split(' ').length - 1);
  const direct = await runCli(['data', 'stats', '--alphabet', 'bytes', '--lines', README, '--json'], { env });
  expect(JSON.parse(direct.stdout)).toMatchObject({ sequences: lines.length, residues: lines.join('').length });

  const run = path('masked-bytes');
  const masked = await runCli(['pretrain', '--data', store, ...MODEL, ...RECIPE, '--out', run], { env });
  expect(masked.stderr).toMatch(/: 6 steps/);
  expect(masked.code).toBe(0);
  expect(JSON.parse(readFileSync(join(run, 'config.json'), 'utf8'))).toMatchObject({ alphabet: 'bytes' });
});

test('nucleotides: pretrain, score, attention and embed', SLOW, async () => {
  const run = path('genome');
  const args = ['--alphabet', 'nucleotide', '--fasta', path('genome.fna'), '--cut', '128'];
  const trained = await runCli(['pretrain', ...args, ...MODEL, ...RECIPE, '--out', run], { env });
  expect(trained.stderr).toMatch(/warning: nothing but N and gaps, skipped: 1 .*record chr2/);
  expect(trained.stderr).toMatch(/data: 20 sequences, [\d,]+ bases to train on/);
  expect(trained.stderr).toMatch(/\(base frequencies: /);
  expect(trained.code).toBe(0);

  const matrix = await runCli(['score', path('gene.fna'), '--model', run, '--matrix'], { env });
  const [header, ...rows] = matrix.stdout
    .trim()
    .split('\n')
    .map((row) => row.split(','));
  expect(header).toEqual(['sequence_id', 'position', 'wild_type', 'A', 'C', 'G', 'T']);
  expect(rows.map((row) => row[2]).join('')).toBe('ACGTNACGT');
  expect(rows.map((row) => row.slice(3).filter((cell) => cell !== '' && cell !== '0').length)).toEqual([
    3, 3, 3, 3, 0, 3, 3, 3, 3,
  ]);
  expect(matrix.stderr).toMatch(/letter U \(RNA\), read as T/);
  expect(matrix.stderr).toMatch(/unknown bases \(N and other/);

  writeFileSync(path('variants.csv'), 'mutant\nA1G\ng.2C>T\nA1L\n');
  const scored = await runCli(['score', path('gene.fna'), '--model', run, '--mutations', path('variants.csv')], {
    env,
  });
  const cells = scored.stdout
    .trim()
    .split('\n')
    .map((row) => row.split(','));
  expect(cells[1][2]).toBe(rows[0][5]);
  expect(cells[2][2]).toBe(rows[1][6]);
  expect(cells[3][2]).toBe('');

  const pairs = ['attention', path('gene.fna'), '--model', run, '--top', '3', '--average', 'both'];
  expect((await runCli(pairs, { env })).stdout).toMatch(/^sequence_id,.*\ngene,mean,mean,\d,[ACGTN],/);
  const out = path('gene.npz');
  expect((await runCli(['embed', path('gene.fna'), '--model', run, '--out', out], { env })).code).toBe(0);
});

test.each([
  ['DNA as protein', 1, ['--fasta', 'genome.fna'], /record chr1: this looks like DNA or RNA, .*--alphabet nucleotide/],
  [
    'proteins as DNA',
    1,
    ['--alphabet', 'nucleotide', '--fasta', 'proteins.fasta'],
    /this looks like a protein, DNA or/,
  ],
  ['FASTA for bytes', 2, ['--alphabet', 'bytes', '--fasta', 'proteins.fasta'], /--fasta: bytes are .*give --files/],
  ['files for DNA', 2, ['--alphabet', 'nucleotide', '--files', 'genome.fna'], /--files is for --alphabet bytes; give/],
  ['lines of FASTA', 2, ['--fasta', 'proteins.fasta', '--lines'], /--lines is for --alphabet bytes/],
  ['nothing', 2, ['--alphabet', 'bytes'], /no data: give --files FILE\.\.\. or --data STORE/],
  ['two of them', 2, ['--fasta', 'a', '--files', 'b'], /--fasta and --files exclude each other/],
  ['another alphabet', 2, ['--alphabet', 'codons', '--fasta', 'a'], /Allowed choices are protein, nucleotide, bytes/],
])('pretrain with %s is an error of one line', async (_, code, args, message) => {
  const result = await runCli(['pretrain', ...args, ...MODEL, '--out', path('never')], { env, cwd: folder });
  expect(result.stderr).toMatch(message);
  oneLine(result.stderr);
  expect(result.code).toBe(code);
  expect(existsSync(path('never'))).toBe(false);
});

test('models of another alphabet are refused in one line where they make no sense', SLOW, async () => {
  const [bytes, genome] = [path('bytes'), path('genome')];
  for (const [args, message] of [
    [
      ['score', path('gene.fna'), '--model', bytes],
      /bytes: its alphabet is bytes, and score works on protein and nucl/,
    ],
    [
      ['contacts', path('gene.fna'), '--model', genome],
      /its alphabet is nucleotide, and contacts works on protein mod/,
    ],
    [['similarity', path('gene.fna'), '--model', genome], /and similarity works on protein models; evaluate and embed/],
    [['score', path('gene.fna'), '--model', genome, '--model', bytes], /its alphabet is bytes, and|give models of one/],
    [['evaluate', '--model', genome, '--fasta', path('proteins.fasta')], /this looks like a protein/],
    [['evaluate', '--model', bytes, '--fasta', path('genome.fna')], /--fasta: bytes are read from files/],
    [['score', path('proteins.fasta'), '--model', genome], /this looks like a protein, DNA or RNA is needed/],
    [
      ['pretrain', '--init', genome, '--fasta', 'x', '--alphabet', 'bytes', '--out', path('n')],
      /its alphabet is nucleo/,
    ],
  ] as const) {
    const result = await runCli([...args], { env });
    expect(result.stderr).toMatch(message);
    oneLine(result.stderr);
    expect(result.code).toBeGreaterThan(0);
  }
});
