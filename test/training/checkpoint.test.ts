import { appendFileSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildStore } from '../../src/data/build.js';
import { openStore, type TokenStore } from '../../src/data/store.js';
import { type Engine, startEngine } from '../../src/engines/index.js';
import { latestCheckpoint, listCheckpoints, readState } from '../../src/training/checkpoint.js';
import { MetricsLog } from '../../src/training/metrics.js';
import { resumeTraining, startTraining, type Training, train } from '../../src/training/run.js';
import { temporaryFolder, tinyConfig, tinyRecipe, tinyStore } from './tiny.js';

const folder = temporaryFolder();
let engine: Engine;
let store: TokenStore;
beforeAll(async () => {
  engine = await startEngine();
  store = await tinyStore(join(folder, 'store'));
});
afterAll(() => engine.stop());

async function end(run: string, training: Training) {
  const result = await train(run, training, store, { cadence: { checkpointEvery: 2, logEvery: 1 } });
  training.optimizer.dispose();
  training.model.dispose();
  return result;
}

/** A run of four steps, with checkpoints at 2 and 4. */
async function finishedRun(name: string): Promise<string> {
  const run = join(folder, name);
  await end(run, startTraining(tinyConfig(), tinyRecipe({ budget: { steps: 4 } }), store));
  return run;
}

test('a run that was killed before its last model came to the top publishes it when it is resumed', async () => {
  const run = await finishedRun('unpublished');
  const top = join(run, 'model.safetensors');
  writeFileSync(top, readFileSync(join(run, 'checkpoints', 'step-2', 'model.safetensors')));
  expect(await end(run, await resumeTraining(run))).toMatchObject({ finished: true, step: 4 });
  expect(readFileSync(top)).toEqual(readFileSync(join(run, 'checkpoints', 'step-4', 'model.safetensors')));
});

describe('a damaged checkpoint', () => {
  test.each(['model.safetensors', 'optimizer.safetensors', 'training.json'])(
    'with a flipped bit in %s is set aside for the one before it',
    async (name) => {
      const run = await finishedRun(`damaged ${name}`);
      const path = join(latestCheckpoint(run)!.folder, name);
      const bytes = readFileSync(path);
      bytes[bytes.length - 5] ^= 1;
      writeFileSync(path, bytes);
      const warnings: string[] = [];
      const training = await resumeTraining(run, (message) => warnings.push(message));
      expect(training.state.step).toBe(2);
      expect(warnings).toHaveLength(1);
      expect(warnings[0]).toMatch(
        new RegExp(`${name}: not as it was written .*going on from the checkpoint before it`),
      );
      expect(await end(run, training)).toMatchObject({ finished: true, step: 4 });
      expect(readdirSync(join(run, 'checkpoints')).sort()).toEqual(['damaged-step-4', 'step-2', 'step-4']);
      // The steps are taken again, to the same bits.
      const again = readFileSync(join(run, 'checkpoints', 'step-4', 'model.safetensors'));
      const whole = await finishedRun(`undamaged ${name}`);
      expect(again).toEqual(readFileSync(join(whole, 'checkpoints', 'step-4', 'model.safetensors')));
    },
  );

  test('is an error where it is the only one', async () => {
    const run = await finishedRun('only');
    rmSync(join(run, 'checkpoints', 'step-2'), { recursive: true });
    appendFileSync(join(run, 'checkpoints', 'step-4', 'model.safetensors'), 'x');
    await expect(resumeTraining(run)).rejects.toThrow('not as it was written');
  });

  test('lists what sha256sum checks', async () => {
    const run = await finishedRun('sums');
    const { folder: checkpoint } = latestCheckpoint(run)!;
    const lines = readFileSync(join(checkpoint, 'SHA256SUMS'), 'utf8').trim().split('\n');
    expect(lines.map((line) => line.split('  ')[1])).toEqual([
      'config.json',
      'model.safetensors',
      'optimizer.safetensors',
      'tokenizer_config.json',
      'training.json',
      'vocab.txt',
    ]);
    expect(lines.every((line) => /^[0-9a-f]{64} {2}/.test(line))).toBe(true);
  });

  test('has its whole model at the top of the run, what others read of it too', async () => {
    const run = await finishedRun('whole');
    const { folder } = latestCheckpoint(run)!;
    for (const name of ['config.json', 'model.safetensors', 'tokenizer_config.json', 'vocab.txt']) {
      expect(readFileSync(join(run, name))).toEqual(readFileSync(join(folder, name)));
    }
    expect(existsSync(join(run, 'optimizer.safetensors'))).toBe(false);
  });
});

test.each<[string, (state: Record<string, unknown>) => unknown]>([
  ['null', () => null],
  ['no object', () => 5],
  ['empty', () => ({})],
  ['a step that is no count', (state) => ({ ...state, step: -1 })],
  ['seconds without end', (state) => ({ ...state, seconds: null })],
  ['a cursor before the data', (state) => ({ ...state, cursor: { epoch: 0, index: -1, offset: 0 } })],
  ['a cursor of no number', (state) => ({ ...state, cursor: { epoch: 0, index: null, offset: 0 } })],
  ['a recipe without a length', (state) => ({ ...state, recipe: { ...(state.recipe as object), length: undefined } })],
  ['a recipe out of range', (state) => ({ ...state, recipe: { ...(state.recipe as object), length: 1 } })],
  ['a budget without end', (state) => ({ ...state, recipe: { ...(state.recipe as object), budget: {} } })],
  ['no data', (state) => ({ ...state, data: {} })],
  ['a window of words', (state) => ({ ...state, window: { positions: 'x', loss: 0, correct: 0 } })],
])('a training.json with %s is an error of one line', async (_, change) => {
  const run = join(folder, 'states');
  const checkpoint = listCheckpoints(run)[0] ?? latestCheckpoint(await finishedRun('states'))!;
  const path = join(checkpoint.folder, 'training.json');
  const before = readFileSync(path, 'utf8');
  writeFileSync(path, JSON.stringify(change(JSON.parse(before))));
  expect(() => readState(checkpoint)).toThrow(/training\.json: .*; the checkpoint is damaged: remove its folder$/);
  writeFileSync(path, before);
  expect(readState(checkpoint).recipe.length).toBe(48);
});

test('lines of metrics.jsonl that are no objects are left out', async () => {
  const run = await finishedRun('metrics');
  appendFileSync(join(run, 'metrics.jsonl'), 'null\n5\n"x"\n{"step":"two"}\n[]\n');
  const log = new MetricsLog(run);
  expect(log.read().map(({ step }) => step)).toEqual([1, 2, 3, 4]);
  await log.truncate(2);
  expect(log.read().map(({ step }) => step)).toEqual([1, 2]);
});

test('data with nothing to predict is refused at once', async () => {
  const place = join(folder, 'unknown');
  const fractions = { validation: 0, test: 0 };
  await buildStore(Readable.from(['>a\n11111111\n>b\n1111\n']), place, { fractions, invalid: 'unknown' });
  const unknown = await openStore(place);
  const training = startTraining(tinyConfig(), tinyRecipe(), unknown);
  await expect(train(join(folder, 'never'), training, unknown)).rejects.toThrow(
    'nothing to predict in its train split: every letter is unknown',
  );
  unknown.close();
});
