import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { DEVICES, type Device, type Engine, type EngineOptions } from '../../src/engines/engine.js';
import { probeEngines, runningEngine, startEngine } from '../../src/engines/index.js';
import { newConfig } from '../../src/model/config.js';
import { loadModel, saveModel } from '../../src/model/files.js';
import { createModel } from '../../src/model/model.js';
import { embedSequences } from '../../src/scoring/embeddings.js';
import { defaultTokensPerBatch } from '../../src/scoring/inference.js';
import { scoreVariants } from '../../src/scoring/schemes.js';
import { readVariant } from '../../src/scoring/variants.js';

const SEQUENCE = 'MKTVRQGWAALLSEKH';
const config = newConfig({ layers: 1, hidden: 16, heads: 2, feedForward: 16, dropout: 0, length: 32 });
const folder = mkdtempSync(join(tmpdir(), 'engines-'));
const usable = new Map((await probeEngines()).map((report) => [report.device, report.usable]));

async function saved(): Promise<string> {
  const engine = await startEngine();
  const path = join(folder, 'model');
  const model = createModel(config, 1);
  await saveModel(model, path);
  model.dispose();
  await engine.stop();
  return path;
}
const collect = async <T>(values: AsyncIterable<T>) => {
  const list: T[] = [];
  for await (const value of values) {
    list.push(value);
  }
  return list;
};

describe('a model and its engine', () => {
  afterEach(async () => {
    while (runningEngine()) {
      await runningEngine()?.stop();
    }
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it('starts the default engine where none runs, once, and computes there', async () => {
    const path = await saved();
    expect(runningEngine()).toBeUndefined();
    const [one, two] = await Promise.all([loadModel(path), loadModel(path)]);
    expect(one.engine).toBe(two.engine);
    expect(one.engine).toBe(runningEngine());
    expect(one.engine.device).toBe(process.env.PROTEIN_LM_DEVICE);
    expect(tf.getBackend()).toBe(one.engine.backend);
    expect(tf.getBackend()).not.toBe('cpu');
    const [score] = await scoreVariants([one], SEQUENCE, [readVariant(SEQUENCE, 'K2A')]);
    expect(Number.isFinite(score)).toBe(true);
  });

  it('takes the engine that runs', async () => {
    const path = await saved();
    const engine = await startEngine('wasm');
    const model = await loadModel(path);
    expect(model.engine).toBe(engine);
    expect(tf.getBackend()).toBe('wasm');
  });

  it('is not created where no engine runs', () => {
    expect(() => createModel(config, 1)).toThrow('no engine runs: call await startEngine() first');
  });

  it('answers no more once its engine has stopped, instead of on tfjs in JavaScript', async () => {
    const model = await loadModel(await saved());
    await model.engine.stop();
    const stopped = /the \w+ engine that holds this model has stopped: call await startEngine\(\)/;
    await expect(scoreVariants([model], SEQUENCE, [readVariant(SEQUENCE, 'K2A')])).rejects.toThrow(stopped);
    await expect(collect(embedSequences(model, [SEQUENCE]))).rejects.toThrow(stopped);
    expect(() => model.logits(tf.tensor2d([[0, 5, 6, 2]], [1, 4], 'int32'))).toThrow(stopped);
    expect(() => model.predict(tf.zeros([1, 16]))).toThrow(stopped);
    // Another engine does not hold its parameters either.
    await startEngine('wasm');
    await expect(collect(embedSequences(model, [SEQUENCE]))).rejects.toThrow(stopped);
  });

  it('answers on its own engine alone, and again when that is the current one', async () => {
    const model = await loadModel(await saved());
    const other = await startEngine(model.engine.device === 'wasm' ? 'cpu' : 'wasm');
    await expect(collect(embedSequences(model, [SEQUENCE]))).rejects.toThrow(
      `this model is on the ${model.engine.device} engine, and tfjs computes on '${other.backend}'`,
    );
    await other.stop();
    expect(runningEngine()).toBe(model.engine);
    expect(await collect(embedSequences(model, [SEQUENCE]))).toHaveLength(1);
  });

  it('passes as many tokens at once as its engine says, within its largest tensor', async () => {
    const model = await loadModel(await saved());
    const tokens = (engine: Partial<Engine>) =>
      defaultTokensPerBatch({ config: { ...config, intermediate_size: 1024, hidden_size: 512 }, engine } as never);
    expect(defaultTokensPerBatch(model)).toBe(4_096);
    expect(tokens({ tokensPerPass: 65_536, largestTensor: 2 ** 25 })).toBe(21_845);
    expect(tokens({ tokensPerPass: 65_536, largestTensor: 2 ** 20 })).toBe(4_096);
    expect(tokens({ tokensPerPass: 512, largestTensor: Infinity })).toBe(512);
  });
});

describe('an option that an engine cannot honour', () => {
  const refused: [Device, EngineOptions, RegExp][] = [
    ['cpu', { precision: 'f16' }, /--device cpu: it cannot honour --precision f16: its matrix products are of f32/],
    ['cpu', { threads: 1025 }, /--threads 1025: it has at most 1024/],
    ['wasm', { precision: 'f16' }, /--device wasm: it cannot honour --precision f16/],
    ['wasm', { threads: 2 }, /--device wasm: it cannot honour --threads 2: it has at most 1/],
    ['wasm', { maxMemory: 1e9 }, /--device wasm: it cannot honour maxMemory/],
    ['webgpu', { threads: 2 }, /--device webgpu: it cannot honour --threads 2: its threads cannot be set/],
    ['webgpu', { maxMemory: 1e9 }, /--device webgpu: it cannot honour maxMemory/],
    ['tensorflow', { threads: 1 }, /--device tensorflow: it cannot honour --threads 1/],
    ['tensorflow', { precision: 'f16' }, /--device tensorflow: it cannot honour --precision f16/],
  ];
  it.each(refused)('is refused: %s %j', async (device, options, message) => {
    await expect(startEngine(device, options)).rejects.toThrow(message);
    expect(runningEngine()).toBeUndefined();
  });

  it('is refused by auto where no usable engine honours it, and decides where one does', async () => {
    const device = process.env.PROTEIN_LM_DEVICE;
    delete process.env.PROTEIN_LM_DEVICE;
    try {
      if (!usable.get('cpu')) {
        await expect(startEngine('auto', { threads: 2 })).rejects.toThrow(/wasm: it cannot honour --threads 2/);
        return;
      }
      const engine = await startEngine('auto', { threads: 2 });
      expect(engine.device).toBe('cpu');
      await engine.stop();
      await expect(startEngine('auto', { threads: 2, precision: 'f16' })).rejects.toThrow(
        /cpu: it cannot honour --precision f16.*wasm: it cannot honour --threads 2/,
      );
    } finally {
      process.env.PROTEIN_LM_DEVICE = device;
    }
  });

  it('is told of each device that --device names', async () => {
    expect((await probeEngines()).map(({ device }) => device).sort()).toEqual([...DEVICES].sort());
  });

  it('is taken where it can be honoured', async () => {
    const wasm = await startEngine('wasm', { threads: 1, precision: 'f32' });
    expect(wasm.precision).toBe('f32');
    await wasm.stop();
  });
});
