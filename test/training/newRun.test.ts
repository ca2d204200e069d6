import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Engine, startEngine } from '../../src/engines/index.js';
import { maxLength } from '../../src/model/config.js';
import { saveModel } from '../../src/model/files.js';
import { createModel } from '../../src/model/model.js';
import { PRESETS } from '../../src/model/presets.js';
import { initialModel, newRun } from '../../src/training/newRun.js';
import { RECIPES } from '../../src/training/recipe.js';
import { temporaryFolder, tinyConfig } from './tiny.js';

const folder = temporaryFolder();
const init = join(folder, 'model');
let engine: Engine;
beforeAll(async () => {
  engine = await startEngine();
  const model = createModel(tinyConfig({ attention: { kind: 'softmax' } }), 1);
  await saveModel(model, init);
  model.dispose();
});
afterAll(() => engine.stop());

test('follows from a preset, and from what is given instead of its values', async () => {
  const standard = await newRun({});
  expect(standard.recipe).toEqual(RECIPES['performer-36']);
  expect(standard.config).toMatchObject({
    num_hidden_layers: PRESETS['performer-36'].layers,
    attention: { kind: 'favor-relu', causal: false },
  });
  const { config, recipe } = await newRun({
    preset: 'performer-tiny',
    layers: 3,
    dropout: 0.25,
    attention: { kind: 'favor-softmax', causal: true, num_features: 32 },
    length: 100,
    warmup: 7,
    weightDecay: 0.5,
    budget: { steps: 9 },
  });
  expect(config).toMatchObject({
    num_hidden_layers: 3,
    hidden_size: 128,
    hidden_dropout_prob: 0.25,
    attention: { kind: 'favor-softmax', causal: true, num_features: 32 },
  });
  expect(maxLength(config)).toBe(100);
  const changed = { length: 100, warmup: 7, weightDecay: 0.5, budget: { steps: 9 } };
  expect(recipe).toEqual({ ...RECIPES['performer-tiny'], ...changed });
  expect((await newRun({ preset: 'performer-tiny', alphabet: 'nucleotide' })).recipe.mode).toBe('packed');
  await expect(newRun({ heads: 7 })).rejects.toThrow('options');
  await expect(newRun({ warmup: -1 })).rejects.toThrow('options: warmup is -1');
});

test('follows from a config.json, whose training changes the recipe', async () => {
  const path = join(folder, 'config.json');
  const training = { learningRate: 0.5, warmup: 3 };
  writeFileSync(path, JSON.stringify({ ...tinyConfig(), training }));
  const { config, recipe } = await newRun({ config: path, preset: 'performer-tiny', warmup: 4, positions: 'rotary' });
  expect(config).toMatchObject({ hidden_size: 16, position_embedding_type: 'rotary' });
  expect(recipe).toMatchObject({ learningRate: 0.5, warmup: 4 });
  writeFileSync(path, '{');
  await expect(newRun({ config: path })).rejects.toThrow(/config\.json: .*give a model's config\.json/);
  await expect(newRun({ config: join(folder, 'none.json') })).rejects.toThrow('no such file');
});

test('begins with a model under another attention and a longer length', async () => {
  const { config, recipe } = await newRun({
    init,
    preset: 'performer-tiny',
    attention: { kind: 'favor-relu' },
    length: 60,
  });
  expect(config).toMatchObject({ hidden_size: 16, attention: { kind: 'favor-relu', causal: false } });
  expect(recipe.length).toBe(60);
  expect((await newRun({ init, preset: 'performer-tiny' })).recipe.length).toBe(48);
  const model = await initialModel(init, config, 0);
  expect(model.config).toEqual(config);
  model.dispose();
  await expect(newRun({ init, alphabet: 'bytes' })).rejects.toThrow('its alphabet is protein, not bytes');
});
