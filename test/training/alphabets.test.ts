import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { BYTES, NUCLEOTIDE } from '../../src/data/alphabet.js';
import { buildStore } from '../../src/data/build.js';
import { Random } from '../../src/data/random.js';
import { openStore, type TokenStore } from '../../src/data/store.js';
import { type Engine, startEngine } from '../../src/engines/index.js';
import { loadModel } from '../../src/model/files.js';
import { evaluate, residueFrequencies } from '../../src/training/evaluate.js';
import { figuresOf, MetricsLog } from '../../src/training/metrics.js';
import { resumeTraining, startTraining, train } from '../../src/training/run.js';
import { temporaryFolder, tinyConfig, tinyRecipe } from './tiny.js';

const folder = temporaryFolder();
const README = fileURLToPath(new URL('../../README.md', import.meta.url));
let engine: Engine;
beforeAll(async () => {
  engine = await startEngine('auto');
});
afterAll(() => engine.stop());

async function build(name: string, path: string, alphabet: 'nucleotide' | 'bytes', cut: number): Promise<TokenStore> {
  await buildStore(path, join(folder, name), { alphabet, cut, fractions: { validation: 0.1, test: 0 } });
  return openStore(join(folder, name));
}

/** Bits of one symbol where each occurs as often as it does: the entropy of order 0. */
function entropy(symbols: Iterable<unknown>): number {
  const counts = new Map<unknown, number>();
  let total = 0;
  for (const symbol of symbols) {
    counts.set(symbol, (counts.get(symbol) ?? 0) + 1);
    total++;
  }
  return [...counts.values()].reduce((sum, count) => sum - (count / total) * Math.log2(count / total), 0);
}

const MODEL = { layers: 1, hidden: 48, heads: 2, feedForward: 96, length: 128, dropout: 0 };
const RECIPE = { mode: 'packed', length: 128, tokensPerBatch: 1024, tokensPerPass: 1024, learningRate: 5e-3 } as const;

test('a causal model of bytes learns more than their frequencies', async () => {
  const store = await build('bytes', README, 'bytes', 512);
  const config = tinyConfig({ ...MODEL, alphabet: 'bytes', attention: { causal: true } });
  expect(config).toMatchObject({ alphabet: 'bytes', vocab_size: 261, mask_token_id: 260, pad_token_id: 1 });
  const training = startTraining(config, tinyRecipe({ ...RECIPE, learningRate: 1e-2, budget: { steps: 200 } }), store);
  const run = join(folder, 'bytes-run');
  await train(run, training, store, { cadence: { validateEvery: 1000 } });
  const { model, baseline } = await evaluate(training.model, store.split('validation'), residueFrequencies(store), {
    seed: 0,
    length: 128,
    tokensPerPass: 1024,
  });
  const order0 = entropy(readFileSync(README));
  expect(Math.log2(figuresOf(baseline).perplexity)).toBeGreaterThan(0.9 * order0);
  expect(Math.log2(figuresOf(model).perplexity)).toBeLessThan(0.93 * order0);
  // Every byte is predicted once: the sequences' lengths add up to the positions.
  const split = store.split('validation');
  const letters = Array.from({ length: split.size }, (_, i) => split.length(i)).reduce((a, b) => a + b, 0);
  expect(model.positions).toBe(letters);

  const loaded = await loadModel(run);
  expect(loaded.alphabet.name).toBe('bytes');
  expect(loaded.alphabet.tokens).toEqual(BYTES.tokens);
  loaded.dispose();
});

test('a masked model of nucleotides sees a periodic sequence, and N counts for nothing', async () => {
  const random = new Random(3);
  const genome = Array.from({ length: 12_000 }, (_, i) => (random.uniform() < 0.05 ? 'N' : 'ACGGTCAT'[i % 8])).join('');
  const path = join(folder, 'genome.fna');
  writeFileSync(path, `>chr1\n${genome.replace(/(.{60})/g, '$1\n').toLowerCase()}\n`);
  // Fifteen periods: a base's place in its piece tells it.
  const store = await build('genome', path, 'nucleotide', 120);
  const config = tinyConfig({ ...MODEL, alphabet: 'nucleotide' });
  expect(config).toMatchObject({ alphabet: 'nucleotide', vocab_size: 22, mask_token_id: 21 });
  const training = startTraining(config, tinyRecipe({ ...RECIPE, mode: 'single', budget: { steps: 120 } }), store);
  await train(join(folder, 'genome-run'), training, store, { cadence: { validateEvery: 1000 } });
  const { model, baseline } = await evaluate(training.model, store.split('validation'), residueFrequencies(store), {
    seed: 0,
    length: 128,
    tokensPerPass: 1024,
  });
  const order0 = entropy(genome.replaceAll('N', ''));
  expect(Math.log2(figuresOf(baseline).perplexity)).toBeCloseTo(order0, 1);
  expect(Math.log2(figuresOf(model).perplexity)).toBeLessThan(0.8 * order0);
  expect(training.model.alphabet).toBe(NUCLEOTIDE);
});

test('a run of bytes that is resumed has the weights of one without a stop', async () => {
  const store = await openStore(join(folder, 'bytes'));
  const config = tinyConfig({ ...MODEL, dropout: 0.1, alphabet: 'bytes', attention: { causal: true } });
  const start = (steps: number) =>
    startTraining(config, tinyRecipe({ ...RECIPE, schedule: 'constant', budget: { steps } }), store);
  const once = start(6);
  await train(join(folder, 'once'), once, store);
  await train(join(folder, 'twice'), start(3), store);
  const resumed = await resumeTraining(join(folder, 'twice'));
  resumed.state.recipe = { ...resumed.state.recipe, budget: { steps: 6 } };
  await train(join(folder, 'twice'), resumed, store);
  for (const [name, parameter] of once.model.parameters) {
    expect(resumed.model.parameters.get(name)!.dataSync(), name).toEqual(parameter.dataSync());
  }
  expect(new MetricsLog(join(folder, 'twice')).read().at(-1)!.step).toBe(6);
});

test('data of another alphabet is an error', async () => {
  const store = await openStore(join(folder, 'bytes'));
  expect(() => startTraining(tinyConfig(), tinyRecipe(), store)).toThrow(
    /bytes: its alphabet is bytes, the model's is protein; build the data/,
  );
});
