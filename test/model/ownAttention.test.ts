import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { attentionMap, attentionMaps } from '../../src/interpret/attentionMaps.js';
import { defaultInversePenalty } from '../../src/interpret/contacts.js';
import type { Attention, AttentionKind } from '../../src/model/attention/attention.js';
import { ATTENTION_KINDS, registerAttention } from '../../src/model/attention/index.js';
import { newConfig } from '../../src/model/config.js';
import { convertModel } from '../../src/model/convert.js';
import { loadModel, saveModel } from '../../src/model/files.js';
import { createModel, LanguageModel } from '../../src/model/model.js';
import { Optimizer } from '../../src/training/optimizer.js';
import { RECIPES } from '../../src/training/recipe.js';
import { trainingStep } from '../../src/training/step.js';
import { describeEngines, relativeDifference } from '../engines.js';

const sizes = { layers: 2, hidden: 16, heads: 2, feedForward: 24, dropout: 0, length: 40 };
const RETURNS_VALUES: Attention = { parameters: [], attend: (qkv) => tf.split(qkv, 3, 2)[2] as tf.Tensor3D };

/** The mean of the values and of what a head weighs them by: one trained number a head, and no queries and keys. */
const mean: AttentionKind<{ initial: number }> = {
  name: 'weighted-mean',
  options: { initial: { type: 'whole', minimum: 1, maximum: 9, default: 3, help: 'weight of a token for itself' } },
  causal: false,
  linear: true,
  create: ({ initial }, { heads, size }) => ({
    parameters: [
      { name: 'own', shape: [heads], trainable: true, initialise: () => new Float32Array(heads).fill(initial) },
    ],
    // (own · v_i + Σ v_j) / (own + n)
    attend: (qkv, keep, { own }) => {
      const values = tf.mul(tf.split(qkv, 3, 2)[2], tf.expandDims(keep, 2));
      const weights = tf.reshape(tf.tile(tf.reshape(own, [heads, 1]), [1, size]), [1, 1, heads * size]);
      const count = tf.reshape(tf.sum(keep, 1), [-1, 1, 1]);
      return tf.div(tf.add(tf.mul(weights, values), tf.sum(values, 1, true)), tf.add(weights, count)) as tf.Tensor3D;
    },
  }),
};
registerAttention(mean);

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'own-attention-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const step = (model: LanguageModel, optimizer: Optimizer) => {
  const ids = Int32Array.from(model.alphabet.encode('MKTVRQG'));
  const positions = Int32Array.of(2, 5);
  const labels = positions.map((position) => ids[position]);
  const options = { learningRate: 0.01, seed: 1 };
  return trainingStep(model, optimizer, [{ ids, batch: 1, length: ids.length, positions, labels }], options);
};

describeEngines('an attention of one’s own', () => {
  it('that returns its values has the unit matrix as its map, of any kind that the configuration names', async () => {
    for (const kind of ['favor-relu', 'softmax', 'linformer']) {
      const config = newConfig({ ...sizes, attention: { kind } });
      const made = createModel(config, 1);
      const model = new LanguageModel(config, made.parameters, made.alphabet, RETURNS_VALUES);
      const tokens = model.alphabet.encode('MKTVRQGACDEFGHIKLMNPQRS');
      const n = tokens.length;
      const unit = Array.from({ length: n * n }, (_, i) => (Math.floor(i / n) === i % n ? 1 : 0));
      const before = tf.memory().numTensors;
      for await (const { values } of attentionMaps(model, tokens)) {
        expect([...values]).toEqual(unit);
      }
      expect(tf.memory().numTensors).toBe(before);
      expect(defaultInversePenalty(model)).toBe(10);
      await expect(saveModel(model, join(folder, 'refused'))).rejects.toThrow('registerAttention');
      const longer = await convertModel(model, { length: 100 }, 1);
      expect([...(await attentionMap(longer, tokens, { layers: [1], heads: [1] }))]).toEqual(unit);
      longer.dispose();
      model.dispose();
    }
  });

  it('may have parameters, which are trained', async () => {
    const attention = mean.create({ causal: false, initial: 2 }, { heads: 2, size: 8, length: 40 });
    const model = createModel(newConfig(sizes), 1, attention);
    const own = model.parameters.get('layers.1.attention.own')!;
    expect([...(await own.data())]).toEqual([2, 2]);
    await step(model, new Optimizer(model.trainable, RECIPES['performer-tiny']));
    expect([...(await own.data())]).not.toEqual([2, 2]);
    model.dispose();
  });
});

describeEngines('a kind that is registered', () => {
  it('is named in configurations, trained, saved, loaded and mapped', async () => {
    expect(ATTENTION_KINDS).toContain('weighted-mean');
    const config = newConfig({ ...sizes, attention: { kind: 'weighted-mean' } });
    expect(config.attention).toEqual({ kind: 'weighted-mean', causal: false, initial: 3 });
    const model = createModel(config, 1);
    const tokens = model.alphabet.encode('MKTV');
    // Of a sequence of 6 tokens each sees itself with (3 + 1) / (3 + 6), the others with 1 / (3 + 6).
    const expected = Array.from({ length: 36 }, (_, i) => (Math.floor(i / 6) === i % 6 ? 4 : 1) / 9);
    expect(relativeDifference(await attentionMap(model, tokens, { layers: [0], heads: [1] }), expected)).toBeLessThan(
      1e-6,
    );
    await step(model, new Optimizer(model.trainable, RECIPES['performer-tiny']));
    await saveModel(model, join(folder, 'mean'));
    const loaded = await loadModel(join(folder, 'mean'));
    expect(loaded.config).toEqual(config);
    const ids = tf.tensor2d([[...tokens]], [1, 6], 'int32');
    expect(await loaded.logits(ids).data()).toEqual(await model.logits(ids).data());
    const transformer = await convertModel(loaded, { attention: { kind: 'softmax' } }, 1);
    expect(transformer.parameters.has('layers.0.attention.own')).toBe(false);
    for (const each of [model, loaded, transformer]) {
      each.dispose();
    }
  });

  it('has its options checked as any', () => {
    const attention = (options: object) => () =>
      newConfig({ ...sizes, attention: { kind: 'weighted-mean', ...options } });
    expect(attention({ initial: 10 })).toThrow('attention.initial is 10: it must be a whole number from 1 to 9');
    expect(attention({ causal: true })).toThrow('attention.causal is true: it must be false');
    expect(() => registerAttention(mean)).toThrow('weighted-mean is there already');
  });
});

describe('the notebook on an attention of one’s own', () => {
  it('runs from top to bottom', async () => {
    const text = readFileSync('notebooks/05-own-attention.ipynb', 'utf8');
    const notebook = JSON.parse(text) as { cells: { cell_type: string; source: string[] }[] };
    const code = notebook.cells.flatMap(({ cell_type: type, source }) => (type === 'code' ? [source.join('')] : []));
    const script = `${code.join('\n')}\nexport { slopes, sum, validation };\n`
      .replaceAll("'protein-lm'", JSON.stringify(resolve('src/index.ts')))
      .replaceAll("'../datasets", `'${resolve('datasets')}`)
      .replaceAll("'runs/", `'${join(folder, 'runs')}/`);
    mkdirSync(join(folder, 'runs'));
    writeFileSync(join(folder, 'notebook.ts'), script);
    const { slopes, sum, validation } = await import(join(folder, 'notebook.ts'));
    expect(slopes).toHaveLength(4);
    // As they began: 1/8, 1/16, 1/32, 1/64.
    expect(relativeDifference(slopes, [0.125, 0.0625, 0.03125, 0.015625])).toBeGreaterThan(1e-3);
    expect(sum).toBeCloseTo(1, 5);
    expect(validation.model.loss).toBeLessThan(3.2);
  });
});
