import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { randomFasta } from '../training/tiny.js';
import { runCli, startCli } from './cli.js';

const folder = mkdtempSync(join(tmpdir(), 'experiment-'));
const path = (name: string) => join(folder, name);
const env = { XDG_CACHE_HOME: path('cache') };
const compare = ['experiment', 'compare', '--config', path('tiny.json'), '--out', path('out'), '--device', 'cpu'];
const cells = () => (existsSync(path('out/cells')) ? readdirSync(path('out/cells')).sort() : []);
const resultOf = (id: string) => JSON.parse(readFileSync(join(path('out/cells'), id, 'result.json'), 'utf8'));

const configuration = {
  fasta: [path('some.fasta')],
  holdout: ['protein3', 'protein7', 'protein11'],
  preset: 'performer-tiny',
  model: { layers: 1, hidden: 16, heads: 2, feedForward: 16 },
  training: { length: 48, tokensPerBatch: 300, tokensPerPass: 300, warmup: 2, budget: { steps: 20 } },
  cadence: { validateEvery: 5, validationSequences: 5, logEvery: 5, checkpointEvery: 5 },
  seeds: [1, 2],
  objectives: ['masked', 'causal'],
  attentions: {
    'Performer-ReLU': { kind: 'favor-relu' },
    'FAVOR+': { kind: 'favor-softmax', num_features: 16, redraw_interval: 4 },
    'FAVOR+, drawn once': { kind: 'favor-softmax', num_features: 16 },
    Transformer: { kind: 'softmax' },
    Linformer: { kind: 'linformer', projected_length: 8 },
    // Its features overflow: the loss is not a number from the first step on.
    Overflow: { kind: 'favor-kernel', kernel: 'exp', kernel_epsilon: 1e25 },
  },
  evaluationSequences: 5,
  transfer: { from: 'Transformer', to: ['FAVOR+'], share: 0.5 },
  lengths: { lengths: [64, 128], attentions: ['Performer-ReLU'] },
};

beforeAll(() => {
  writeFileSync(path('some.fasta'), randomFasta(120));
  writeFileSync(path('tiny.json'), JSON.stringify(configuration));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('experiment compare', () => {
  it('is killed, goes on where it was, and ends with a table and figures', { timeout: 300_000 }, async () => {
    // Killed hard in its first cell, whose process is left to find out by itself.
    const { process: killed, result: nothing } = startCli(compare, { env });
    while (cells().length < 1 && killed.exitCode === null) {
      await new Promise((done) => setTimeout(done, 50));
    }
    killed.kill('SIGKILL');
    expect((await nothing).signal).toBe('SIGKILL');
    // Stopped once a cell is done and another begun.
    const { process: first, result } = startCli(compare, { env });
    while (cells().length < 2 && first.exitCode === null) {
      await new Promise((done) => setTimeout(done, 50));
    }
    first.kill('SIGINT');
    const stopped = await result;
    expect(stopped.code).toBe(130);
    expect(stopped.stderr).toContain('stopped; go on with: protein-lm experiment compare');
    const [done] = cells().filter((id) => existsSync(join(path('out/cells'), id, 'result.json')));
    const before = statSync(join(path('out/cells'), done, 'result.json')).mtimeMs;

    const whole = await runCli(compare, { env });
    expect(whole.code).toBe(0);
    expect(whole.stderr).toContain(`${done}: test accuracy`);
    expect(whole.stderr).toContain('already there');
    expect(statSync(join(path('out/cells'), done, 'result.json')).mtimeMs).toBe(before);

    const results = JSON.parse(readFileSync(path('out/results.json'), 'utf8'));
    const row = (attention: string, objective: string) =>
      results.rows.find((one: Record<string, unknown>) => one.attention === attention && one.objective === objective);
    for (const attention of ['Performer-ReLU', 'FAVOR+', 'Transformer']) {
      for (const objective of ['masked', 'causal']) {
        expect(row(attention, objective)).toMatchObject({ seeds: 2, diverged: 0, failed: 0 });
        for (const figure of ['testAccuracy', 'oodAccuracy', 'testPerplexity', 'tokensPerSecond', 'peakMemory']) {
          const { mean, deviation } = row(attention, objective)[figure];
          expect(mean).toBeGreaterThan(0);
          expect(deviation).toBeGreaterThanOrEqual(0);
        }
      }
    }
    expect(row('residue frequencies', 'masked').testAccuracy.mean).toBeGreaterThan(0);
    expect(row('Linformer', 'causal')).toBeUndefined();
    expect(row('Overflow', 'masked')).toMatchObject({ seeds: 0, diverged: 2, testAccuracy: null });
    // Mean and sample deviation of the two seeds' own results.
    const runs = cells()
      .filter((id) => id.startsWith('train-transformer-masked'))
      .map(resultOf);
    const [a, b] = runs.map((run) => run.test.accuracy);
    expect(row('Transformer', 'masked').testAccuracy.mean).toBeCloseTo((a + b) / 2, 12);
    expect(row('Transformer', 'masked').testAccuracy.deviation).toBeCloseTo(Math.abs(a - b) / Math.SQRT2, 12);
    const steps = (list: Record<string, unknown>[]) =>
      list.filter((point) => point.attention === 'FAVOR+' && point.objective === 'masked').map((point) => point.step);
    expect(steps(results.curves)).toEqual([5, 10, 15, 20]);
    expect(steps(results.transfer)).toEqual([0, 5, 10]);
    expect(results.lengths.map((point: Record<string, unknown>) => [point.attention, point.length])).toEqual([
      ['attention returns V', 64],
      ['attention returns V', 128],
      ['Performer-ReLU', 64],
      ['Performer-ReLU', 128],
    ]);
    expect(results.unfinished.map(({ status }: Record<string, unknown>) => status)).toEqual(Array(4).fill('diverged'));
    expect(whole.stdout.split('\n')[0]).toContain('testAccuracy,testAccuracyDeviation');
    expect(results.redraws).toEqual([['FAVOR+', 'FAVOR+, drawn once']]);
    const perObjective = ['curves', 'redraw', 'transfer'].flatMap((name) => [`${name}-masked`, `${name}-causal`]);
    for (const name of [...perObjective, 'time-length', 'memory-length']) {
      expect(existsSync(path(`out/figures/${name}.svg`))).toBe(true);
    }
    expect(readFileSync(path('out/report.html'), 'utf8')).toContain('Comparison of attentions');

    // Results of other data must not stand beside these.
    writeFileSync(path('other.fasta'), randomFasta(121));
    for (const [changes, what] of [
      [{ fasta: [path('other.fasta')] }, 'data'],
      [{ evaluationSequences: 6 }, 'evaluationSequences'],
    ] as const) {
      writeFileSync(path('changed.json'), JSON.stringify({ ...configuration, ...changes }));
      const changed = await runCli(compare.with(3, path('changed.json')), { env });
      expect(changed.code).toBe(1);
      expect(changed.stderr.trimEnd().split('\n').at(-1)).toMatch(
        new RegExp(`was begun with other ${what}; give another`),
      );
    }
  });

  it.each([
    ['{', 'not JSON'],
    [JSON.stringify({ ...configuration, atentions: {} }), 'no field atentions'],
    [JSON.stringify({ ...configuration, attentions: {} }), 'attentions is missing'],
    [JSON.stringify({ ...configuration, attentions: { A: { kind: 'magic' } } }), 'attention.kind is "magic"'],
    [JSON.stringify({ ...configuration, transfer: { from: 'A', to: [] } }), 'transfer names A'],
    [JSON.stringify({ ...configuration, training: { steps: 3 } }), 'a recipe has no steps'],
  ])('refuses a configuration: %#', async (text, message) => {
    writeFileSync(path('wrong.json'), text);
    const args = ['experiment', 'compare', '--config', path('wrong.json'), '--out', path('wrong')];
    const { code, stderr } = await runCli(args, { env });
    expect(code).toBe(1);
    expect(stderr).toContain(message);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
  });

  it('refuses a holdout beside data that was split before', async () => {
    writeFileSync(path('split.json'), JSON.stringify({ ...configuration, fasta: undefined, data: 'some.tokens' }));
    const args = ['experiment', 'compare', '--config', path('split.json'), '--out', path('wrong')];
    expect(await runCli(args, { env })).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(
        /^error: --data some\.tokens was read and split by .* --holdout; leave it out here\n$/,
      ),
    });
  });
});
