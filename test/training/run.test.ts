import { appendFileSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, test } from 'vitest';
import type { TokenStore } from '../../src/data/store.js';
import { loadModel } from '../../src/model/files.js';
import { latestCheckpoint, listCheckpoints } from '../../src/training/checkpoint.js';
import { MetricsLog } from '../../src/training/metrics.js';
import { resumeTraining, startTraining, type Training, type TrainOptions, train } from '../../src/training/run.js';
import type { Reduce } from '../../src/training/step.js';
import { describeEngines } from '../engines.js';
import { temporaryFolder, tinyConfig, tinyRecipe, tinyStore } from './tiny.js';

const folder = temporaryFolder();
let store: TokenStore;
beforeAll(async () => {
  store = await tinyStore(join(folder, 'store'));
});

/** Trains and frees the training's tensors. */
async function runToEnd(run: string, training: Training, options: TrainOptions = {}) {
  const result = await train(run, training, store, options);
  training.optimizer.dispose();
  training.model.dispose();
  return result;
}

/** The files that the steps after this checkpoint follow from. */
function checkpointFiles(run: string): Buffer[] {
  const { folder: checkpoint } = latestCheckpoint(run)!;
  return ['model.safetensors', 'optimizer.safetensors'].map((name) => readFileSync(join(checkpoint, name)));
}

describeEngines('training', (device) => {
  const path = (name: string) => join(folder, device, name);

  describe.each([
    ['masked, single', tinyConfig(), tinyRecipe()],
    ['masked, packed', tinyConfig(), tinyRecipe({ mode: 'packed' })],
    ['causal', tinyConfig({ attention: { causal: true } }), tinyRecipe({ schedule: 'cosine' })],
    ['exact attention', tinyConfig({ attention: { kind: 'softmax' }, positions: 'rotary' }), tinyRecipe()],
    [
      'redrawn features',
      tinyConfig({ attention: { kind: 'favor-softmax', num_features: 8, redraw_interval: 3 } }),
      tinyRecipe(),
    ],
  ])('%s', (name, config, recipe) => {
    test('stopped and resumed, a run equals one that never stopped, bit for bit', async () => {
      const budget = { steps: 8 };
      const cadence = { logEvery: 2, validateEvery: 4, checkpointEvery: 100 };
      const whole = path(`whole ${name}`);
      await runToEnd(whole, startTraining(config, { ...recipe, budget }, store), { cadence });
      const parts = path(`parts ${name}`);
      const controller = new AbortController();
      const onStep = ({ step }: { step: number }) => step >= 3 && controller.abort();
      const options = { cadence, signal: controller.signal, onStep };
      const stopped = await runToEnd(parts, startTraining(config, { ...recipe, budget }, store), options);
      expect(stopped.finished).toBe(false);
      expect(stopped.step).toBeGreaterThanOrEqual(3);
      expect(stopped.step).toBeLessThan(8);
      const finished = await runToEnd(parts, await resumeTraining(parts), { cadence });
      expect(finished).toMatchObject({ finished: true, step: 8 });
      expect(checkpointFiles(parts)).toEqual(checkpointFiles(whole));
      const figures = (run: string) =>
        new MetricsLog(run).read().map((line) => ({ ...line, tokensPerSecond: undefined }));
      expect(figures(parts)).toEqual(figures(whole));
    });
  });

  test('recomputed blocks give the same weights, bit for bit', async () => {
    const recipe = tinyRecipe({ budget: { steps: 3 } });
    for (const recompute of [false, true]) {
      await runToEnd(path(`recompute ${recompute}`), startTraining(tinyConfig(), recipe, store), { recompute });
    }
    expect(checkpointFiles(path('recompute true'))).toEqual(checkpointFiles(path('recompute false')));
  });

  // The wasm engine takes 50 ms a step, a GPU in software more.
  const steps = device === 'wasm' || device === 'webgpu' ? 50 : 500;
  test(`${steps} steps leak no tensor and take no more memory`, async () => {
    const training = startTraining(tinyConfig(), tinyRecipe({ budget: { steps } }), store);
    const seen: tf.MemoryInfo[] = [];
    const cadence = { validateEvery: steps, checkpointEvery: steps };
    await runToEnd(path('long'), training, { cadence, onStep: () => seen.push(tf.memory()) });
    expect(seen).toHaveLength(steps);
    const most = (part: tf.MemoryInfo[], what: 'numTensors' | 'numBytes') =>
      Math.max(...part.map((info) => info[what]));
    const halves = [seen.slice(0, steps / 2), seen.slice(steps / 2)];
    expect(most(halves[1], 'numTensors')).toBe(most(halves[0], 'numTensors'));
    expect(most(halves[1], 'numBytes')).toBe(most(halves[0], 'numBytes'));
  });
});

describeEngines('a run', (device) => {
  const path = (name: string) => join(folder, `${device} folder`, name);
  const start = (steps: number) => startTraining(tinyConfig(), tinyRecipe({ budget: { steps } }), store);

  test('its folder holds a model that loads, whole checkpoints and one line a logged step', async () => {
    const run = path('run');
    const cadence = { logEvery: 2, validateEvery: 3, checkpointEvery: 2, keep: 2 };
    const result = await runToEnd(run, start(9), { cadence });
    expect(readdirSync(run).sort()).toEqual([
      'checkpoints',
      'config.json',
      'metrics.jsonl',
      'model.safetensors',
      'tokenizer_config.json',
      'vocab.txt',
    ]);
    const lines = new MetricsLog(run).read();
    expect(lines.map(({ step }) => step)).toEqual([2, 3, 4, 6, 8, 9]);
    expect(lines.filter(({ validation }) => validation).map(({ step }) => step)).toEqual([3, 6, 9]);
    for (const { loss, perplexity, accuracy, gradientNorm, tokens, tokensPerSecond } of lines) {
      expect(perplexity).toBeCloseTo(Math.exp(loss), 9);
      expect(accuracy).toBeGreaterThanOrEqual(0);
      expect(Math.min(gradientNorm, tokens, tokensPerSecond)).toBeGreaterThan(0);
    }
    expect(result).toMatchObject({ step: 9, tokens: lines.at(-1)!.tokens, finished: true });
    expect(result.validation!.model).toEqual(lines.at(-1)!.validation);
    // The last two, and the best of those that were validated: that is step 6 or 9.
    const steps = listCheckpoints(run).map(({ step }) => step);
    expect(steps.slice(-2)).toEqual([8, 9]);
    expect([
      [8, 9],
      [6, 8, 9],
    ]).toContainEqual(steps);
    const best = lines.find(({ step }) => step === 6)!.validation!.loss < lines.at(-1)!.validation!.loss ? 6 : 9;
    expect(steps).toContain(best);
    const model = await loadModel(run);
    expect(readFileSync(join(run, 'model.safetensors'))).toEqual(checkpointFiles(run)[0]);
    model.dispose();
  });

  test('what a kill left unfinished is removed, and lines past the checkpoint are dropped', async () => {
    const run = path('killed');
    await runToEnd(run, start(4), { cadence: { logEvery: 1, checkpointEvery: 2 } });
    const checkpoints = join(run, 'checkpoints');
    renameSync(join(checkpoints, 'step-4'), join(checkpoints, '.tmp-step-4'));
    appendFileSync(join(run, 'metrics.jsonl'), '{"step":5,"lo');
    const training = await resumeTraining(run);
    expect(training.state.step).toBe(2);
    expect(await runToEnd(run, training, { cadence: { logEvery: 1 } })).toMatchObject({ step: 4 });
    expect(readdirSync(checkpoints).sort()).toEqual(['step-2', 'step-4']);
    expect(new MetricsLog(run).read().map(({ step }) => step)).toEqual([1, 2, 3, 4]);
    expect(readFileSync(join(run, 'metrics.jsonl'), 'utf8').trim().split('\n')).toHaveLength(4);
  });

  test('a loss that is no number ends it, naming the step and the last good checkpoint', async () => {
    const run = path('diverged');
    const training = start(10);
    const onCheckpoint = (step: number) => {
      if (step !== 2) {
        return;
      }
      const bias = training.model.parameters.get('head.bias')!;
      tf.tidy(() => bias.assign(tf.fill(bias.shape, Number.NaN)));
    };
    const ended = runToEnd(run, training, { cadence: { checkpointEvery: 2 }, onCheckpoint });
    const checkpoint = join(run, 'checkpoints', 'step-2');
    await expect(ended).rejects.toThrow(
      `the loss is NaN at step 3; the last good checkpoint is ${checkpoint}; begin a new run with it (--init)`,
    );
    const good = await loadModel(latestCheckpoint(run)!.folder);
    expect((await good.parameters.get('head.bias')!.data()).every(Number.isFinite)).toBe(true);
  });

  test('what takes the place of its gradients between two parts of a step decides the weights', async () => {
    const [plain, summed] = [path('plain'), path('summed')];
    await runToEnd(plain, start(3));
    const seen: string[] = [];
    // As of two processes whose shares happen to be alike: their mean is each one's own.
    const reduce: Reduce = async (sums) => {
      const means: Record<string, Float32Array> = {};
      for (const [name, tensor] of Object.entries(sums)) {
        means[name] = (await tensor.data()).map((value) => (value + value) / 2) as Float32Array;
      }
      seen.push(...Object.keys(means).slice(-1));
      return means;
    };
    await runToEnd(summed, start(3), { reduce });
    expect(seen).toEqual(['figures', 'figures', 'figures']);
    expect(checkpointFiles(summed)).toEqual(checkpointFiles(plain));
    const fails = runToEnd(path('rank lost'), start(3), {
      reduce: () => Promise.reject(new Error('a process is gone')),
    });
    await expect(fails).rejects.toThrow('a process is gone');
    expect(listCheckpoints(path('rank lost')).map(({ step }) => step)).toEqual([0]);
  });

  test('a folder that holds a run, or another model, is left alone', async () => {
    const run = path('taken');
    await runToEnd(run, start(2));
    await expect(runToEnd(run, start(2))).rejects.toThrow('it holds a run of 2 steps; add --resume');
    const model = path('model');
    mkdirSync(model, { recursive: true });
    writeFileSync(join(model, 'config.json'), '{}');
    await expect(runToEnd(model, start(2))).rejects.toThrow('it holds a model that is no run');
  });

  test('a run goes on only with the data it was started with', async () => {
    const run = path('data');
    await runToEnd(run, start(2));
    const other = await tinyStore(path('other store'), 50, 2);
    await expect(train(run, await resumeTraining(run), other)).rejects.toThrow('not the data that');
    expect(() => startTraining(tinyConfig({ length: 40 }), tinyRecipe(), store)).toThrow('give --length 40');
    await expect(resumeTraining(path('nothing'))).rejects.toThrow('no checkpoint in it');
  });
});
