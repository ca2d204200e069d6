import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decode } from 'fast-png';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startEngine } from '../../src/engines/index.js';
import { readSafetensors } from '../../src/formats/safetensors.js';
import { readMaps } from '../../src/interpret/readMaps.js';
import { newConfig } from '../../src/model/config.js';
import { saveModel } from '../../src/model/files.js';
import { createModel } from '../../src/model/model.js';
import { CHROMIUM, launchChromium } from '../chromium.js';
import { SHARED } from '../shared.js';
import { runCli } from './cli.js';

const folder = mkdtempSync(join(tmpdir(), 'interpret-'));
const at = (name: string) => join(folder, name);
const SEQUENCE = 'MKVTGIFLLSALALLSLSGNTGADSLGREAKCYNELNGCTKIYDPVCGTDGNTYPNECVLCFENRKRQTSILIQKSGPCW';
const n = SEQUENCE.length;

/** Runs a command that must succeed; returns what it printed. */
async function ok(...args: string[]): Promise<{ stdout: string; stderr: string }> {
  const result = await runCli(args);
  expect(result, result.stderr).toMatchObject({ code: 0 });
  return result;
}

beforeAll(async () => {
  const engine = await startEngine();
  const sizes = { layers: 2, hidden: 32, heads: 4, feedForward: 64, dropout: 0, length: 128 };
  const model = createModel(newConfig(sizes), 7);
  await saveModel(model, at('model'));
  model.dispose();
  await engine.stop();
  writeFileSync(at('one.fasta'), `>spink1 human\n${SEQUENCE}\n`);
  writeFileSync(at('two.fasta'), `>spink1\n${SEQUENCE}\n>short\nACDEFGHIKLMNPQRSTVWY\n`);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('protein-lm attention', () => {
  it('writes the same maps in every format', async () => {
    for (const name of ['maps.npz', 'maps.safetensors']) {
      await ok('attention', at('two.fasta'), '--model', at('model'), '--out', at(name));
    }
    const { tensors, metadata } = readSafetensors(at('maps.safetensors'));
    const { shape } = tensors.get('spink1')!;
    const data = tensors.get('spink1')!.data as Float32Array;
    expect(shape).toEqual([2, 4, n + 2, n + 2]);
    expect(metadata).toMatchObject({ layers: '[1,2]', heads: '[1,2,3,4]', tokens: 'all' });
    for (let row = 0; row < data.length; row += n + 2) {
      const sum = data.slice(row, row + n + 2).reduce((a, b) => a + b, 0);
      expect(sum).toBeCloseTo(1, 4);
    }
    const fromNpz = await readMaps(at('maps.npz'));
    const fromSafetensors = await readMaps(at('maps.safetensors'));
    expect(fromNpz).toEqual(fromSafetensors);
    expect(fromNpz.map(({ id, maps }) => [id, maps.length])).toEqual([
      ['spink1', 8],
      ['short', 8],
    ]);
    expect(fromNpz[0].maps[5][3 * n + 4]).toBe(data[(5 * (n + 2) + 4) * (n + 2) + 5]);

    await ok(
      'attention',
      at('one.fasta'),
      '--model',
      at('model'),
      '--layers',
      '2',
      '--heads',
      '2',
      '--out',
      at('map.csv'),
    );
    const lines = readFileSync(at('map.csv'), 'utf8').trim().split('\n');
    expect(lines[0]).toBe('sequence_id,layer,head,query,key,attention');
    expect(lines).toHaveLength(1 + (n + 2) ** 2);
    const [id, layer, head, query, key, value] = lines[1 + 4 * (n + 2) + 5].split(',');
    expect([id, layer, head, query, key]).toEqual(['spink1', '2', '2', '4', '5']);
    expect(Number(value)).toBeCloseTo(fromNpz[0].maps[5][3 * n + 4], 6);

    await ok(
      'attention',
      at('one.fasta'),
      '--model',
      at('model'),
      '--average',
      'both',
      '--residues',
      '--out',
      at('mean.npy'),
    );
    const npy = readFileSync(at('mean.npy'));
    expect(npy.toString('latin1', 10, 128)).toContain(`(1, 1, ${n}, ${n})`);
    const mean = fromNpz[0].maps.reduce((sum, map) => sum + map[3 * n + 4], 0) / 8;
    expect(npy.readFloatLE(128 + 4 * (3 * n + 4))).toBeCloseTo(mean, 6);
    const [{ maps, ...about }] = await readMaps(at('mean.npy'));
    expect(about).toEqual({ id: 'spink1', sequence: SEQUENCE, layers: ['mean'], heads: ['mean'] });
    expect(maps[0][3 * n + 4]).toBe(npy.readFloatLE(128 + 4 * (3 * n + 4)));
  });

  it('lists the strongest pairs', async () => {
    const { stdout } = await ok(
      'attention',
      at('one.fasta'),
      '--model',
      at('model'),
      '--top',
      '3',
      '--min-separation',
      '6',
    );
    const [header, ...rows] = stdout.trim().split('\n');
    expect(header).toBe('sequence_id,layer,head,query,query_residue,key,key_residue,attention');
    expect(rows).toHaveLength(3);
    const [, , , query, queryResidue, key] = rows[0].split(',');
    expect(SEQUENCE[Number(query) - 1]).toBe(queryResidue);
    expect(Math.abs(Number(query) - Number(key))).toBeGreaterThanOrEqual(6);
  });

  it('measures the approximation', async () => {
    const args = ['--approximation-error', '--samples', '3', '--features', '8,32', '--length', '32'];
    await ok('attention', ...args, '--out', at('error.csv'));
    const lines = readFileSync(at('error.csv'), 'utf8').trim().split('\n');
    expect(lines).toHaveLength(9);
    const { stdout } = await ok(
      'attention',
      at('one.fasta'),
      '--model',
      at('model'),
      '--approximation-error',
      '--samples',
      '3',
      '--features',
      '8',
    );
    expect(stdout.trim().split('\n')).toHaveLength(5);
  });

  it('says in one line what is wrong', async () => {
    writeFileSync(at('long.fasta'), `>a\nMK\n>b\n${'A'.repeat(127)}\n`);
    const cases: [string[], number, string][] = [
      [['attention', at('one.fasta')], 2, 'give a FASTA file and --model'],
      [['attention', at('two.fasta'), '--model', at('model'), '--out', at('x.npy')], 1, 'an .npy holds one'],
      [
        ['attention', at('one.fasta'), '--model', at('model'), '--layers', '3', '--out', at('x.npz')],
        1,
        'the model has layers',
      ],
      [['attention', at('one.fasta'), '--model', at('model'), '--layers', '0', '--top', '1'], 2, 'Numbers from 1'],
      [
        ['attention', at('long.fasta'), '--model', at('model'), '--top', '1'],
        1,
        'long.fasta:3, record b: 127 residues, but this model takes 126',
      ],
      [['contacts', at('one.fasta'), '--model', at('model')], 1, 'it has no contact head: fit one'],
      [
        ['contacts', '--fit', 'x.pdb', '--model', at('model'), '--out', at('x.csv'), '--top', '3'],
        2,
        '--out, --top: --fit writes --head, and predicts nothing; leave it out',
      ],
      [
        ['contacts', 'x.pdb', '--model', at('model'), '--precision', '--min-separation', '6'],
        2,
        '--min-separation: --precision is of',
      ],
      [
        ['contacts', 'x.pdb', '--model', at('model'), '--inverse-penalty', '1'],
        2,
        '--inverse-penalty: there is nothing to penalise without --fit',
      ],
      [['report', at('one.fasta')], 1, 'one.fasta'],
    ];
    for (const [args, code, message] of cases) {
      const result = await runCli(args);
      expect(result.stderr.trim().split('\n'), args.join(' ')).toHaveLength(1);
      expect(result.stderr).toContain(message);
      expect(result.code).toBe(code);
    }
    expect(readdirSync(folder).filter((name) => name.startsWith('x.') || name.startsWith('.x'))).toEqual([]);
  });
});

// Many processes and a browser: on a loaded machine each takes seconds.
describe('reports of what the commands write', { timeout: 240_000 }, () => {
  let browser: Browser | undefined;
  beforeAll(async () => {
    browser = CHROMIUM ? await launchChromium() : undefined;
  });
  afterAll(() => browser?.close());

  /** Opens a page where there is a browser: it draws everything, without faults and without the network. */
  async function look(html: string, charts: number): Promise<void> {
    if (!browser) {
      return;
    }
    const page = await browser.newPage();
    const faults: string[] = [];
    page.on('pageerror', (error) => faults.push(error.message));
    page.on('console', (message) => {
      if (message.type() === 'error') {
        faults.push(message.text());
      }
    });
    page.on('request', (request) => {
      if (!/^(file|data|blob):/.test(request.url())) {
        faults.push(request.url());
      }
    });
    await page.goto(`file://${html}`);
    await page.waitForSelector('html[data-ready]', { state: 'attached' });
    expect(await page.locator('.plot canvas').count()).toBe(charts);
    expect(faults).toEqual([]);
    await page.close();
  }

  async function report(source: string, charts: number, ...args: string[]): Promise<string> {
    const html = at(`${source.replaceAll('/', '-')}.html`);
    const figures = at(`figures-${source}`);
    await ok('report', at(source), '--out', html, '--charts', figures, ...args);
    const files = readdirSync(figures);
    expect(files.filter((name) => name.endsWith('.svg'))).toHaveLength(charts);
    for (const png of files.filter((name) => name.endsWith('.png'))) {
      expect(decode(readFileSync(join(figures, png))).width).toBeGreaterThan(200);
    }
    await look(html, charts);
    return readFileSync(html, 'utf8');
  }

  it('draws scores, with the assay beside them', async () => {
    await ok('score', at('one.fasta'), '--model', at('model'), '--scheme', 'wt-marginals', '--out', at('scores.csv'));
    const rows = readFileSync(at('scores.csv'), 'utf8').trim().split('\n').slice(1);
    const assay = rows.slice(0, 300).map((row) => {
      const [, variant, score] = row.split(',');
      return `${variant},${2 * Number(score)}`;
    });
    writeFileSync(at('assay.csv'), `mutant,DMS_score\n${assay.join('\n')}\n`);
    const html = await report('scores.csv', 2, '--assay', at('assay.csv'), '--fasta', at('one.fasta'));
    expect(html).toContain('Spearman');
    expect(html).toContain('1.000');
    await ok(
      'score',
      at('one.fasta'),
      '--model',
      at('model'),
      '--scheme',
      'wt-marginals',
      '--matrix',
      '--out',
      at('matrix.csv'),
    );
    await report('matrix.csv', 1);
  });

  it('draws attention maps and approximation errors', async () => {
    await ok('attention', at('one.fasta'), '--model', at('model'), '--out', at('drawn.npz'));
    await report('drawn.npz', 2, '--theme', 'dark');
    await ok(
      'attention',
      '--approximation-error',
      '--samples',
      '3',
      '--features',
      '8,32',
      '--length',
      '32',
      '--out',
      at('drawn.csv'),
    );
    await report('drawn.csv', 2);
  });

  it('draws attention maps of the other formats', async () => {
    const last = ['attention', at('one.fasta'), '--model', at('model'), '--layers', '2'];
    await ok(...last, '--heads', '1,3', '--out', at('heads.npy'));
    await report('heads.npy', 2);
    await ok(...last, '--average', 'heads', '--out', at('rows.csv'));
    await report('rows.csv', 1, '--fasta', at('one.fasta'));
    await ok(...last, '--average', 'heads', '--residues', '--out', at('residues.csv'));
    await ok('report', at('residues.csv'), '--quiet');
    expect(readFileSync(at('residues.html'), 'utf8')).toContain(`${n} residues`);
    writeFileSync(at('other.fasta'), '>spink1\nMKT\n');
    const wrong = await runCli(['report', at('rows.csv'), '--fasta', at('other.fasta'), '--out', at('no.html')]);
    expect(wrong).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`are of ${n} residues, its sequence has 3`),
    });
    rmSync(at('heads.npy.json'));
    const alone = await runCli(['report', at('heads.npy')]);
    expect(alone).toMatchObject({ code: 1, stderr: expect.stringContaining('heads.npy.json is missing') });
  });

  it('takes the letters of nucleotides from their FASTA file', async () => {
    const dna = 'ACGTTGCAACGTGCATACGTAUCGA';
    writeFileSync(at('gene.fna'), `>gene\n${dna}\n`);
    writeFileSync(at('gene.csv'), 'sequence_id,variant,score\ngene,A1G,-1\ngene,A1T,0.5\ngene,C2T,-2\n');
    await ok('report', at('gene.csv'), '--fasta', at('gene.fna'));
    expect(readFileSync(at('gene.html'), 'utf8')).toContain(`"residue":${JSON.stringify([...dna])}`);
    const rows = [...dna].map((_, i) => `gene,1,1,${i + 1},1,0.04\n`);
    writeFileSync(at('genemaps.csv'), `sequence_id,layer,head,query,key,attention\n${rows.join('')}`);
    await ok('report', at('genemaps.csv'), '--fasta', at('gene.fna'));
    expect(readFileSync(at('genemaps.html'), 'utf8')).toContain(dna);
  });

  it('draws similarity', async () => {
    const { stderr } = await ok('similarity', at('two.fasta'), '--model', at('model'), '--out', at('similarity.csv'));
    expect(stderr).toMatch(/Pearson -?\d\.\d{3}, Spearman/);
    expect(readFileSync(at('similarity.csv'), 'utf8').trim().split('\n')).toHaveLength(191);
    await report('similarity.csv', 2);
  });

  it('draws a training run', async () => {
    mkdirSync(at('run'));
    const lines = Array.from({ length: 700 }, (_, i) => ({
      step: i + 1,
      tokens: (i + 1) * 4096,
      loss: 2.9 - i / 1000,
      accuracy: 0.06 + i / 5000,
      perplexity: Math.exp(2.9 - i / 1000),
      learningRate: 1e-3,
      gradientNorm: 1,
      tokensPerSecond: 10_000,
      ...(i % 100 === 99 ? { validation: { loss: 2.8, accuracy: 0.1, perplexity: 16 } } : {}),
    }));
    writeFileSync(at('run/metrics.jsonl'), lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    await ok('report', at('run'));
    await look(at('run/report.html'), 6);
    expect(readFileSync(at('run/report.html'), 'utf8')).toContain('2.8000 at step 100');
  });

  it.skipIf(!SHARED)('fits, judges and draws contacts', async () => {
    const structure = join(SHARED!, 'data', 'structures', '2QMT.pdb');
    await ok('contacts', '--fit', structure, '--model', at('model'), '--head', at('head.json'));
    const head = JSON.parse(readFileSync(at('head.json'), 'utf8'));
    expect(head.weights).toHaveLength(8);
    const { stdout } = await ok(
      'contacts',
      structure,
      '--model',
      at('model'),
      '--head',
      at('head.json'),
      '--precision',
    );
    expect(stdout.trim().split('\n')).toHaveLength(7);
    await ok('contacts', structure, '--model', at('model'), '--head', at('head.json'), '--out', at('contacts.csv'));
    const rows = readFileSync(at('contacts.csv'), 'utf8').trim().split('\n');
    expect(rows[0]).toBe('sequence_id,i,j,residue_i,residue_j,probability,number_i,number_j,contact');
    expect(rows).toHaveLength(1 + 56);
    await report('contacts.csv', 1, '--structure', structure);

    // As structure prediction leaves them: one name, in a folder each.
    for (const [name, source] of [
      ['s1', '2QMT'],
      ['s2', '1HRC'],
    ]) {
      mkdirSync(at(name));
      cpSync(join(SHARED!, 'data', 'structures', `${source}.pdb`), at(`${name}/ranked_0.pdb`));
    }
    const ranked = [at('s1/ranked_0.pdb'), at('s2/ranked_0.pdb')];
    const both = ['--model', at('model'), '--head', at('head.json'), '--quiet'];
    const together = (await ok('contacts', ...ranked, ...both)).stdout.trim().split('\n').slice(1);
    expect(new Set(together.map((row) => row.split(',')[0]))).toEqual(new Set(['s1/ranked_0_A', 's2/ranked_0_A']));
    const first = together.filter((row) => row.startsWith('s1/ranked_0_A,'));
    expect(first.map((row) => row.replace('s1/ranked_0', '2QMT'))).toEqual(rows.slice(1));
    const twice = await runCli(['contacts', ranked[0], ranked[0], ...both]);
    expect(twice).toMatchObject({
      code: 1,
      stderr: `error: ${ranked[0]}: ranked_0_A is in ${ranked[0]} as well; give one of them\n`,
    });
    const wrong = join(SHARED!, 'data', 'structures', '1HRC.pdb');
    const result = await runCli(['report', at('contacts.csv'), '--structure', wrong]);
    expect(result).toMatchObject({ code: 1, stderr: expect.stringContaining('do not fit the sequence') });
  });
});
