import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PROTEIN } from '../../src/data/alphabet.js';
import { readSafetensors, writeSafetensors } from '../../src/formats/safetensors.js';
import { ATTENTION_KINDS } from '../../src/model/attention/index.js';
import type { AttentionConfig } from '../../src/model/attention/options.js';
import { parseConfig } from '../../src/model/checkpoints/index.js';
import { newConfig } from '../../src/model/config.js';
import { loadModel, saveModel } from '../../src/model/files.js';
import { createModel } from '../../src/model/model.js';
import { PRESETS } from '../../src/model/presets.js';
import { describeEngines, relativeDifference } from '../engines.js';
import { SHARED } from '../shared.js';

const sizes = { layers: 2, hidden: 16, heads: 2, feedForward: 24, dropout: 0 };
/** Options that make the kinds of attention small, and `lsh` use several chunks. */
const SMALL: Record<string, Partial<AttentionConfig>> = {
  'favor-softmax': { num_features: 12 },
  'favor-trig': { num_features: 12 },
  'favor-kernel': { kernel: 'elu+1' },
  linformer: { projected_length: 5 },
  lsh: { chunk_length: 4, num_hashes: 2 },
};
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'model-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function batch(sequences: string[], length: number): tf.Tensor2D {
  const rows = sequences.map((sequence) => {
    const row = new Array<number>(length).fill(PROTEIN.pad);
    for (const [i, id] of PROTEIN.encode(sequence).entries()) {
      row[i] = id;
    }
    return row;
  });
  return tf.tensor2d(rows, [sequences.length, length], 'int32');
}

describe('presets', () => {
  it.each([
    ['performer-36', 76e6],
    ['performer-12', 26e6],
    ['performer-6', 5e6],
    ['performer-tiny', 0.6e6],
  ] as const)('%s has about %d parameters', (name, expected) => {
    const config = newConfig(PRESETS[name]);
    const { hidden_size: d, intermediate_size: ff, num_hidden_layers: layers } = config;
    const count = layers * (4 * d * d + 2 * d * ff + 9 * d + ff) + (33 + 1026) * d + d * d + 6 * d;
    expect(Math.abs(count / expected - 1)).toBeLessThan(0.25);
  });
});

describe('configuration', () => {
  const base = {
    hidden_size: 16,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    intermediate_size: 8,
    max_position_embeddings: 10,
  };
  it('without an attention field is exact attention', () => {
    expect(parseConfig(JSON.stringify(base), 'config.json').attention).toEqual({ kind: 'softmax', causal: false });
  });
  it.each([
    ['{', 'not JSON'],
    ['[]', 'not a JSON object'],
    [JSON.stringify({ ...base, hidden_size: 15 }), 'hidden_size is 15'],
    [JSON.stringify({ ...base, num_hidden_layers: 'many' }), 'num_hidden_layers is "many"'],
    [JSON.stringify({ ...base, pad_token_id: 99 }), 'pad_token_id is 99'],
    [JSON.stringify({ ...base, attention: { kind: 'magic' } }), 'attention.kind is "magic"'],
    [
      JSON.stringify({ ...base, attention: { kind: 'favor-relu', features: 'iid', num_features: 0 } }),
      'num_features is 0',
    ],
    [JSON.stringify({ ...base, attention: { kind: 'favor-softmax', features: 'deterministic' } }), 'features is "det'],
    [JSON.stringify({ ...base, attention: { kind: 'linformer', causal: true } }), 'attention.causal is true'],
    [JSON.stringify({ ...base, attention: { kind: 'favor-kernel', kernel: 'sine' } }), 'attention.kernel is "sine"'],
    [JSON.stringify({ ...base, attention: { kind: 'lsh', num_buckets: 7 } }), 'attention.num_buckets is 7'],
    [JSON.stringify({ ...base, attention: { kind: 'softmax', heads: 3 } }), 'attention.heads is 3'],
    [JSON.stringify({ ...base, model_type: 'bert' }), 'model_type is "bert"'],
    [JSON.stringify({ ...base, hidden_size: 6, position_embedding_type: 'rotary' }), 'is 3'],
  ])('refuses %s', (text, message) => {
    expect(() => parseConfig(text, 'config.json')).toThrow(message);
  });
});

describeEngines('models', () => {
  it.each([
    ['favor-relu', 'absolute', false],
    ['favor-relu', 'rotary', true],
    ['softmax', 'absolute', true],
    ['softmax', 'rotary', false],
    ['favor-softmax', 'absolute', false],
    ['favor-softmax', 'rotary', true],
    ['favor-trig', 'absolute', false],
    ['favor-kernel', 'rotary', true],
    ['linformer', 'absolute', false],
    ['lsh', 'absolute', false],
    ['lsh', 'rotary', true],
  ] as const)(
    '%s, %s, causal %s: neither batch mates nor padding change a sequence',
    async (kind, positions, causal) => {
      const model = createModel(newConfig({ ...sizes, positions, attention: { kind, causal, ...SMALL[kind] } }), 5);
      const alone = await model.logits(batch(['MKTVRQG'], 9)).data();
      const together = await model.logits(batch(['ACDEFGHIKLMNPQRSTVWY', 'MKTVRQG', 'W'], 40)).data();
      const same = together.slice(40 * 33, 49 * 33);
      expect(relativeDifference(same, alone)).toBeLessThan(1e-5);
      model.dispose();
    },
  );

  it('is the same for the same seed and another for another', async () => {
    const [a, b, c] = [1, 1, 2].map((seed) => createModel(newConfig(sizes), seed));
    const values = await Promise.all([a, b, c].map((model) => model.parameters.get('embeddings.word')!.data()));
    expect(values[0]).toEqual(values[1]);
    expect(values[0]).not.toEqual(values[2]);
    for (const model of [a, b, c]) {
      model.dispose();
    }
  });

  it('dropout depends on its seed alone, and evaluation has none', async () => {
    const model = createModel(newConfig({ ...sizes, dropout: 0.3 }), 1);
    const ids = batch(['MKTVRQG'], 9);
    const [a, b, c, plain] = await Promise.all(
      [1, 1, 2, undefined].map((dropoutSeed) =>
        model.encode(ids, dropoutSeed === undefined ? {} : { dropoutSeed }).data(),
      ),
    );
    expect(a).toEqual(b);
    expect(a).not.toEqual(c);
    expect(a).not.toEqual(plain);
    model.dispose();
  });

  it('leaks no tensor', () => {
    const model = createModel(newConfig(sizes), 1);
    const ids = batch(['MKTVRQG'], 9);
    const before = tf.memory().numTensors;
    tf.dispose(model.logits(ids));
    expect(tf.memory().numTensors).toBe(before);
    model.dispose();
  });

  it.each(ATTENTION_KINDS)('%s: recomputed blocks have the same gradients, bit for bit', async (kind) => {
    const options = { ...sizes, dropout: 0.2, attention: { kind, ...SMALL[kind] } };
    const model = createModel(newConfig(options), 4);
    const ids = batch(['MKTVRQG', 'AC'], 9);
    const before = tf.memory().numTensors;
    const seen: number[] = [];
    const gradients = async (recompute: boolean) => {
      const { value, grads } = tf.variableGrads(
        () =>
          tf.sum(
            model.encode(ids, { dropoutSeed: 7, recompute, onAttention: (layer) => seen.push(layer) }),
          ) as tf.Scalar,
        [...model.trainable.values()],
      );
      const values: Record<string, number[]> = {};
      for (const [name, grad] of Object.entries(grads)) {
        values[name] = [...(await grad.data())];
      }
      tf.dispose([value, grads]);
      return values;
    };
    const plain = await gradients(false);
    expect(await gradients(true)).toEqual(plain);
    expect(seen).toEqual([0, 1, 0, 1]);
    expect(tf.memory().numTensors).toBe(before);
    model.dispose();
  });

  it('redraws its random features by seed and step where the interval is over, and keeps the rest', async () => {
    const attention = { kind: 'favor-softmax', num_features: 12, redraw_interval: 5 } as const;
    const [a, b] = [1, 1].map((seed) => createModel(newConfig({ ...sizes, attention }), seed));
    const projections = async (model: typeof a) => [
      ...(await model.parameters.get('layers.0.attention.projection')!.data()),
      ...(await model.parameters.get('layers.1.attention.projection')!.data()),
    ];
    const first = await projections(a);
    for (const step of [1, 2, 5]) {
      a.redrawFeatures(3, step);
    }
    expect(await projections(a)).toEqual(first);
    const word = await a.parameters.get('embeddings.word')!.data();
    a.redrawFeatures(3, 6);
    const second = await projections(a);
    expect(second).not.toEqual(first);
    expect(second.slice(0, 96)).not.toEqual(second.slice(96));
    expect(await a.parameters.get('embeddings.word')!.data()).toEqual(word);
    // A model that starts again at that step draws the same.
    b.redrawFeatures(3, 6);
    expect(await projections(b)).toEqual(second);
    b.redrawFeatures(3, 11);
    expect(await projections(b)).not.toEqual(second);
    for (const model of [a, b]) {
      model.dispose();
    }
  });

  it('refuses a sequence longer than its positions', () => {
    const model = createModel(newConfig({ ...sizes, length: 8 }), 1);
    expect(() => model.encode(batch(['MKTVRQG'], 9))).toThrow('a sequence of 9 tokens: this model takes 8');
    model.dispose();
  });

  it.each([
    { kind: 'favor-relu', features: 'orthogonal', num_features: 12 },
    { kind: 'softmax' },
    { kind: 'favor-softmax', features: 'regularized', redraw_interval: 10, ...SMALL['favor-softmax'] },
    { kind: 'linformer', ...SMALL.linformer },
    { kind: 'lsh', ...SMALL.lsh },
  ] as const)('saves and loads $kind', async (attention) => {
    const model = createModel(newConfig({ ...sizes, attention }), 3);
    const ids = batch(['MKTVRQG', 'AC'], 9);
    await saveModel(model, join(folder, attention.kind));
    const loaded = await loadModel(join(folder, attention.kind));
    expect(loaded.config).toEqual(model.config);
    expect(await loaded.logits(ids).data()).toEqual(await model.logits(ids).data());
    model.dispose();
    loaded.dispose();
  });

  it.skipIf(!SHARED)('saves a golden model as it was', async () => {
    const source = join(SHARED!, 'golden/esm2');
    const model = await loadModel(source);
    await saveModel(model, join(folder, 'esm2'));
    for (const file of ['model.safetensors', 'vocab.txt']) {
      expect(readFileSync(join(folder, 'esm2', file), 'latin1').trimEnd()).toBe(
        readFileSync(join(source, file), 'latin1').trimEnd(),
      );
    }
    model.dispose();
  });

  it.skipIf(!SHARED)(
    'loads what Hugging Face writes: a tied decoder, per-layer frequencies, no vocab.txt',
    async () => {
      const source = join(SHARED!, 'golden/esm2');
      const { tensors } = readSafetensors(join(source, 'model.safetensors'));
      const copy = tensors as Map<string, { shape: number[]; data: Float32Array }>;
      copy.set('lm_head.decoder.weight', copy.get('esm.embeddings.word_embeddings.weight')!);
      const frequencies = copy.get('esm.rotary_embeddings.inv_freq')!;
      copy.delete('esm.rotary_embeddings.inv_freq');
      for (const i of [0, 1, 2]) {
        copy.set(`esm.encoder.layer.${i}.attention.self.rotary_embeddings.inv_freq`, frequencies);
      }
      await saveModel(createModel(newConfig(sizes), 0), join(folder, 'hf'));
      rmSync(join(folder, 'hf', 'vocab.txt'));
      writeFileSync(join(folder, 'hf', 'config.json'), readFileSync(join(source, 'config.json')));
      await writeSafetensors(join(folder, 'hf', 'model.safetensors'), copy);
      const [ours, theirs] = [await loadModel(join(folder, 'hf')), await loadModel(source)];
      const ids = batch(['MKTVRQG'], 9);
      expect(await ours.logits(ids).data()).toEqual(await theirs.logits(ids).data());
      copy.set('lm_head.dense.weight', { shape: [2, 2], data: new Float32Array(4) });
      await writeSafetensors(join(folder, 'hf', 'model.safetensors'), copy);
      await expect(loadModel(join(folder, 'hf'))).rejects.toThrow("'lm_head.dense.weight' has shape [2,2]");
      copy.delete('lm_head.dense.weight');
      await writeSafetensors(join(folder, 'hf', 'model.safetensors'), copy);
      await expect(loadModel(join(folder, 'hf'))).rejects.toThrow("'lm_head.dense.weight' is missing");
    },
  );
});
