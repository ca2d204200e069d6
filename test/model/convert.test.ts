import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { PROTEIN } from '../../src/data/alphabet.js';
import { ATTENTION_KINDS } from '../../src/model/attention/index.js';
import { newConfig } from '../../src/model/config.js';
import { convertModel } from '../../src/model/convert.js';
import { createModel, type LanguageModel } from '../../src/model/model.js';
import { describeEngines, relativeDifference } from '../engines.js';

const sizes = { layers: 2, hidden: 16, heads: 2, feedForward: 24, dropout: 0, length: 40 };
const tokens = () => {
  const row = [...PROTEIN.encode('MKTVRQGACDEFGHIKLMNPQRSTVWYMKTVRQG')];
  return tf.tensor2d([row], [1, row.length], 'int32');
};

describeEngines('conversion', () => {
  it('from softmax to FAVOR+ keeps the predictions, the closer the more features', async () => {
    const transformer = createModel(newConfig({ ...sizes, attention: { kind: 'softmax' } }), 1);
    // Queries and keys of length about one: the estimate's variance grows exponentially with their squares.
    for (const i of [0, 1]) {
      const weight = transformer.parameters.get(`layers.${i}.attention.qkv.weight`)!;
      tf.tidy(() => weight.assign(tf.mul(weight, 0.4)));
    }
    const expected = await transformer.logits(tokens()).data();
    const difference = async (num_features: number) => {
      const attention = { kind: 'favor-softmax', num_features } as const;
      const performer = await convertModel(transformer, { attention }, 2);
      expect(performer.config.model_type).toBe('performer');
      const actual = await performer.logits(tokens()).data();
      performer.dispose();
      return relativeDifference(actual, expected);
    };
    const [few, many] = [await difference(8), await difference(4096)];
    expect(many).toBeLessThan(5e-3);
    expect(many).toBeLessThan(few / 4);
    transformer.dispose();
  });

  it('from softmax to FAVOR+ takes an ε that does not drown the features of long queries and keys', async () => {
    const transformer = createModel(newConfig({ ...sizes, hidden: 64, attention: { kind: 'softmax' } }), 1);
    // A mean |q|²/√d near 20, as the first layer of a trained model has.
    const weight = transformer.parameters.get('layers.0.attention.qkv.weight')!;
    tf.tidy(() => weight.assign(tf.mul(weight, 2)));
    const logits = async (kernel_epsilon?: number) => {
      const attention = { kind: 'favor-softmax', ...(kernel_epsilon && { kernel_epsilon }) } as const;
      const performer = await convertModel(transformer, { attention }, 2);
      const values = await performer.logits(tokens()).data();
      performer.dispose();
      return values;
    };
    const without = await logits(1e-30);
    expect(relativeDifference(await logits(), without)).toBeLessThan(1e-3);
    expect(relativeDifference(await logits(1e-6), without)).toBeGreaterThan(0.1);
    transformer.dispose();
  });

  it('to another attention and back gives the model that it was', async () => {
    const model = createModel(newConfig({ ...sizes, attention: { kind: 'softmax' } }), 1);
    const expected = await model.logits(tokens()).data();
    for (const kind of ATTENTION_KINDS.filter((kind) => kind !== 'lsh')) {
      const there = await convertModel(model, { attention: { kind } }, 2);
      const back = await convertModel(there, { attention: { kind: 'softmax' } }, 3);
      expect(back.config).toEqual(model.config);
      expect(await back.logits(tokens()).data(), kind).toEqual(expected);
      there.dispose();
      back.dispose();
    }
    model.dispose();
  });

  it("to lsh and back gives the keys the queries' weights", async () => {
    const model = createModel(newConfig({ ...sizes, attention: { kind: 'softmax' } }), 1);
    const there = await convertModel(model, { attention: { kind: 'lsh' } }, 2);
    expect((await there.logits(tokens()).data()).every(Number.isFinite)).toBe(true);
    const back = await convertModel(there, { attention: { kind: 'softmax' } }, 2);
    const partsOf = (from: LanguageModel) =>
      Promise.all(tf.split(from.parameters.get('layers.1.attention.qkv.weight')!, 3).map((x) => x.data()));
    const [q, k, v] = await partsOf(back);
    const [q0, , v0] = await partsOf(model);
    expect([q, k, v]).toEqual([q0, q0, v0]);
    for (const each of [model, there, back]) {
      each.dispose();
    }
  });

  it('to more positions changes nothing for sequences that fitted before', async () => {
    for (const kind of ['favor-relu', 'linformer'] as const) {
      const model = createModel(newConfig({ ...sizes, attention: { kind } }), 1);
      const long = await convertModel(model, { length: 100 }, 2);
      expect(long.config.max_position_embeddings).toBe(102);
      if (kind === 'favor-relu') {
        expect(await long.logits(tokens()).data()).toEqual(await model.logits(tokens()).data());
      }
      const ids = tf.tensor2d(new Int32Array(100).fill(7), [1, 100], 'int32');
      expect((await long.logits(ids).data()).every(Number.isFinite)).toBe(true);
      model.dispose();
      long.dispose();
    }
  });
});
