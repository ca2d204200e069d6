import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Random } from '../../src/data/random.js';
import { type Engine, startEngine } from '../../src/engines/index.js';
import { loadModel } from '../../src/model/files.js';
import { latestCheckpoint, loadCheckpoint } from '../../src/training/checkpoint.js';
import { MetricsLog } from '../../src/training/metrics.js';
import { randomFasta, temporaryFolder } from '../training/tiny.js';
import { runCli, startCli } from './cli.js';

const folder = temporaryFolder();
const fasta = join(folder, 'proteins.fasta');
const env = { XDG_CACHE_HOME: join(folder, 'cache') };
const path = (name: string) => join(folder, name);
const MODEL = ['--preset', 'performer-tiny', '--layers', '1', '--hidden', '16', '--heads', '2', '--feed-forward', '16'];
const RECIPE = [
  '--length',
  '48',
  '--tokens-per-batch',
  '384',
  '--warmup',
  '5',
  '--dropout',
  '0.1',
  '--schedule',
  'constant',
];

/** Arguments of a run of a model that trains in milliseconds. */
function pretrain(run: string, ...more: string[]): string[] {
  return ['pretrain', '--fasta', fasta, '--out', run, ...MODEL, ...RECIPE, ...more];
}

let engine: Engine;
beforeAll(async () => {
  writeFileSync(fasta, randomFasta(120));
  engine = await startEngine('auto');
});
afterAll(() => engine.stop());

test('a run trains, is validated, and evaluate repeats its figures', async () => {
  const run = path('run');
  const { code, stdout, stderr } = await runCli(pretrain(run, '--steps', '30', '--validate-every', '15'), { env });
  expect(stderr).toMatch(/step 15: validation perplexity [\d.]+ {2}accuracy [\d.]+ % \(residue frequencies: /);
  expect(stderr).toMatch(/: 30 steps, [\d,]+ tokens in 0:\d\d; validation perplexity/);
  expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
  const last = new MetricsLog(run).read().at(-1)!;
  expect(last.step).toBe(30);
  expect(readFileSync(join(run, 'report.html'), 'utf8')).toContain('Training run');

  const evaluated = await runCli(['evaluate', '--model', run, '--format', 'json'], { env });
  expect(evaluated.code).toBe(0);
  const [model, baseline] = JSON.parse(evaluated.stdout);
  expect(model).toMatchObject({ split: 'validation', model: 'run' });
  expect(model.perplexity / last.validation!.perplexity).toBeCloseTo(1, 5);
  expect(model.accuracy).toBeCloseTo(last.validation!.accuracy, 5);
  expect(baseline).toMatchObject({ model: 'residue frequencies', positions: model.positions });
  const again = await runCli(['pretrain', '--out', run, '--resume'], { env });
  expect(again.code).toBe(0);
  expect(again.stderr).toMatch(/: 30 steps are done, as asked; give more --steps, --tokens or --minutes to go on\n$/);
  const all = await runCli(['evaluate', '--model', run, '--fasta', fasta, '--quiet'], { env });
  expect(all).toMatchObject({ code: 0, stderr: '' });
  expect(all.stdout).toMatch(/^split,model,sequences,positions,accuracy,perplexity\nall,run,120,/);
});

test('other proteins are compared with the frequencies of the training data, where that is there', async () => {
  const run = path('run');
  // Of one letter: its own frequencies would know them all.
  writeFileSync(path('leucines.fasta'), `>a\n${'L'.repeat(40)}\n>b\n${'L'.repeat(41)}\n`);
  const leucines = ['--fasta', path('leucines.fasta'), '--format', 'json', '--quiet'];
  const others = await runCli(['evaluate', '--model', run, ...leucines], { env });
  const { data } = JSON.parse(readFileSync(join(latestCheckpoint(run)!.folder, 'training.json'), 'utf8'));
  const { composition } = JSON.parse(readFileSync(join(data.folder, 'manifest.json'), 'utf8')).splits.train;
  const share = composition.L / Object.values<number>(composition).reduce((a, b) => a + b);
  const inTraining = JSON.parse(others.stdout)[1];
  expect(inTraining.model).toBe('residue frequencies');
  expect(inTraining.perplexity * share).toBeCloseTo(1, 1);
  cpSync(run, path('moved'), { recursive: true, filter: (source) => !source.includes('checkpoints') });
  const own = JSON.parse((await runCli(['evaluate', '--model', path('moved'), ...leucines], { env })).stdout)[1];
  expect(own.model).toBe('residue frequencies (this data)');
  expect(own.perplexity).toBeLessThan(2);
});

test('quiet prints nothing', async () => {
  expect(await runCli(pretrain(path('quiet'), '--steps', '2', '--quiet'), { env })).toMatchObject({
    code: 0,
    stdout: '',
    stderr: '',
  });
});

test('a configuration file gives the model and the recipe, and flags change both', async () => {
  const config = JSON.parse(readFileSync(join(path('run'), 'config.json'), 'utf8'));
  const file = path('config.json');
  writeFileSync(file, JSON.stringify({ ...config, training: { schedule: 'constant', warmup: 3, length: 48 } }));
  const run = path('configured');
  const args = ['pretrain', '--fasta', fasta, '--out', run, '--config', file, '--attention', 'softmax', '--causal'];
  const { code, stderr } = await runCli([...args, '--warmup', '4', '--steps', '2'], { env });
  expect(code, stderr).toBe(0);
  const saved = JSON.parse(readFileSync(join(run, 'config.json'), 'utf8'));
  expect(saved).toMatchObject({ hidden_size: 16, model_type: 'esm', attention: { kind: 'softmax', causal: true } });
  const { recipe } = JSON.parse(readFileSync(join(latestCheckpoint(run)!.folder, 'training.json'), 'utf8'));
  expect(recipe).toMatchObject({ schedule: 'constant', warmup: 4, length: 48, budget: { steps: 2 } });
});

// A loaded machine takes seconds to start a process.
const PATIENCE = 180_000;

test(
  'Ctrl-C finishes the step, saves, and says how to go on; the resumed run equals one that never stopped',
  async () => {
    const whole = path('whole');
    const steps = ['--steps', '60', '--checkpoint-every', '1000'];
    expect((await runCli(pretrain(whole, ...steps), { env })).code).toBe(0);
    const run = path('stopped');
    // Without an end, so that the signal always comes before it.
    const { process: child, result } = startCli(pretrain(run, '--steps', '1000000', '--log-every', '1'), { env });
    const metrics = join(run, 'metrics.jsonl');
    while (!existsSync(metrics) || readFileSync(metrics, 'utf8').length < 100) {
      await sleep(5);
    }
    child.kill('SIGINT');
    const { code, stderr } = await result;
    expect(code).toBe(130);
    expect(stderr).toContain('stopping after this step; once more stops at once\n');
    const step = Number(/stopped after step (\d+); go on with: (protein-lm .*)\n/.exec(stderr)?.[1]);
    expect(step).toBeGreaterThan(0);
    expect(stderr).toContain(`go on with: protein-lm pretrain --out ${run} --resume`);
    expect(latestCheckpoint(run)!.step).toBe(step);
    const total = Math.max(60, step + 10);
    if (total !== 60) {
      await runCli(['pretrain', '--out', whole, '--resume', '--steps', String(total)], { env });
    }
    const resumed = await runCli(['pretrain', '--out', run, '--resume', '--steps', String(total)], { env });
    expect(resumed.code, resumed.stderr).toBe(0);
    for (const name of ['model.safetensors', 'optimizer.safetensors']) {
      const [a, b] = [run, whole].map((of) => readFileSync(join(latestCheckpoint(of)!.folder, name)));
      expect(a.equals(b), name).toBe(true);
    }
  },
  PATIENCE,
);

test(
  'kill -9 at any moment leaves a checkpoint that loads, and the run goes on exactly',
  async () => {
    const run = path('killed');
    const random = new Random(7);
    const cadence = ['--checkpoint-every', '1', '--keep', '1', '--validate-every', '7', '--validation-sequences', '2'];
    let args = pretrain(run, '--steps', '100000', ...cadence);
    let before = -1;
    for (let kill = 0; kill < 6; kill++) {
      const { process: child, result } = startCli(args, { env });
      // From the moment on that this process has saved something, at any point of its work.
      while ((latestCheckpoint(run)?.step ?? -1) <= before || !existsSync(join(run, 'model.safetensors'))) {
        await sleep(2);
      }
      await sleep(random.int(150));
      child.kill('SIGKILL');
      expect((await result).signal).toBe('SIGKILL');
      const checkpoint = latestCheckpoint(run)!;
      expect(checkpoint.step).toBeGreaterThan(before);
      before = checkpoint.step;
      const { model, optimizer, state } = await loadCheckpoint(checkpoint);
      expect(state.step).toBe(checkpoint.step);
      expect(optimizer.step).toBe(checkpoint.step);
      const top = await loadModel(run);
      tf.dispose([...model.parameters.values(), ...top.parameters.values()]);
      optimizer.dispose();
      args = ['pretrain', '--out', run, '--resume', ...cadence];
    }
    const whole = path('never killed');
    const steps = ['--steps', String(before + 5)];
    expect((await runCli(['pretrain', '--out', run, '--resume', ...steps], { env })).code).toBe(0);
    expect((await runCli(pretrain(whole, ...steps), { env })).code).toBe(0);
    const [a, b] = [run, whole].map((of) => readFileSync(join(of, 'model.safetensors')));
    expect(a.equals(b)).toBe(true);
  },
  PATIENCE,
);

test.each([
  ['no data', ['pretrain', '--out', 'x'], 2, /^error: no data: give --fasta FILE... or --data STORE\n$/],
  ['no --out', ['pretrain', '--fasta', fasta], 2, /^error: required option '--out <run>' not specified/],
  ['two kinds of data', ['pretrain', '--out', 'x', '--fasta', fasta, '--data', 'y'], 2, /exclude each other/],
  ['an unknown preset', ['pretrain', '--out', 'x', '--preset', 'bert'], 2, /Allowed choices are performer-36/],
  ['a share above one', ['pretrain', '--out', 'x', '--dropout', '1.5'], 2, /It must be at most 0\.99/],
  ['no such file', ['pretrain', '--out', 'x', '--fasta', 'none.fasta'], 1, /^error: none\.fasta: .*\n$/],
  ['heads that do not divide', pretrain('x', '--heads', '3'), 1, /^error: options: hidden_size is 16: .*\n$/],
  ['no such configuration', pretrain('x', '--config', 'none.json'), 1, /^error: none\.json: no such file; .*\n$/],
  ['nothing to resume', ['pretrain', '--out', 'none', '--resume'], 1, /^error: none: no checkpoint in it; .*\n$/],
  [
    'a resumed run with another recipe',
    ['pretrain', '--out', 'x', '--resume', '--learning-rate', '1', '--feed-forward', '8'],
    2,
    /^error: --feed-forward, --learning-rate: a resumed run keeps what it was started with; leave it out\n$/,
  ],
  [
    'data that was split before, and how to split it',
    ['pretrain', '--out', 'x', '--data', 'y', '--holdout', 'p1', '--validation-fraction', '0.5', '--invalid', 'skip'],
    2,
    /^error: --data y was read and split by .*takes --validation-fraction, --holdout, --invalid; leave it out here\n$/,
  ],
  [
    'the same in evaluate',
    ['evaluate', '--model', 'run', '--data', 'y', '--test-fraction', '0', '--cut', '64', '--lines', '--strict'],
    2,
    /^error: --data y was .*takes --test-fraction, --cut, --lines, --strict; leave it out here\n$/,
  ],
  [
    'no more than the default',
    ['pretrain', '--out', 'x', '--data', 'y', '--invalid', 'error'],
    1,
    /^error: y\S*: .*\n$/,
  ],
  [
    'how to read files, without any',
    ['pretrain', '--out', 'run', '--resume', '--steps', '40', '--holdout', 'p1', '--nucleotides'],
    2,
    /^error: --holdout, --nucleotides: about files to be read, and none are given; give --fasta or --files with it\n$/,
  ],
  ['no model', ['evaluate', '--model', 'none', '--fasta', fasta], 1, /^error: none: no such folder: give a model/],
  ['no data to evaluate', ['evaluate', '--model', 'none'], 2, /^error: none is no run with data of its own/],
] as const)('%s is one line', async (_, args, exitCode, message) => {
  const { code, stdout, stderr } = await runCli([...args], { env, cwd: folder });
  expect(stdout).toBe('');
  const errors = stderr
    .split('\n')
    .filter((line) => !line.startsWith('engine: '))
    .join('\n');
  expect(errors).toMatch(message);
  expect(code).toBe(exitCode);
  expect(existsSync(path('x'))).toBe(false);
});

test('a run is not started over by accident', async () => {
  const { code, stderr } = await runCli(pretrain(path('run'), '--steps', '2'), { env });
  expect(code).toBe(1);
  expect(stderr).toMatch(/error: .*: it holds a run of 30 steps; add --resume, or give another folder\n$/);
});
