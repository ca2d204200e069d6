import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { readSafetensors, type SafetensorsTensor } from '../../src/formats/safetensors.js';
import { familyOf } from '../../src/model/checkpoints/index.js';
import { loadModel } from '../../src/model/files.js';
import type { LanguageModel } from '../../src/model/model.js';
import { gatherRows } from '../../src/ops/gatherRows.js';
import { splitHeads } from '../../src/ops/heads.js';
import { maskedCrossEntropy } from '../../src/ops/maskedCrossEntropy.js';
import { softmaxProbabilities } from '../../src/ops/softmaxAttention.js';
import { describeEngines, relativeDifference } from '../engines.js';
import { SHARED } from '../shared.js';

const MODELS = ['esm2', 'transformer', 'performer-relu', 'performer-relu-causal', 'performer-relu-rotary'];
const TRAINED = ['transformer', 'performer-relu', 'performer-relu-causal'];

interface Golden {
  model: LanguageModel;
  expected: Map<string, SafetensorsTensor>;
  ids: tf.Tensor2D;
  /** Rows of tokens that are no padding. */
  kept: number[];
  loss(): tf.Scalar;
}

async function openGolden(name: string): Promise<Golden> {
  const folder = join(SHARED!, 'golden', name);
  const model = await loadModel(folder);
  const { tensors: expected } = readSafetensors(join(folder, 'expected.safetensors'));
  const [batch, length] = expected.get('input_ids')!.shape;
  const ids = tf.tensor2d(expected.get('input_ids')!.data as Int32Array, [batch, length], 'int32');
  const idValues = [...expected.get('input_ids')!.data];
  const labels = [...expected.get('labels')!.data];
  const positions = [...labels.keys()].filter((i) => labels[i] >= 0);
  return {
    model,
    expected,
    ids,
    kept: [...idValues.keys()].filter((i) => idValues[i] !== model.config.pad_token_id),
    loss: () => {
      const hidden = tf.reshape(model.encode(ids), [-1, model.config.hidden_size]) as tf.Tensor2D;
      const rows = gatherRows(hidden, tf.tensor1d(positions, 'int32'));
      const targets = tf.tensor1d(
        positions.map((i) => labels[i]),
        'int32',
      );
      return maskedCrossEntropy(model.predict(rows), targets, tf.fill([positions.length], 1 / positions.length)).loss;
    },
  };
}

/** Values of some rows of a tensor whose last axis is `width` long. */
function rowsOf(data: ArrayLike<number>, width: number, rows: number[]): number[] {
  return rows.flatMap((row) => Array.from({ length: width }, (_, i) => data[row * width + i]));
}

describeEngines('models agree with the goldens', () => {
  it.skipIf(!SHARED).each(MODELS)('%s: logits, hidden states, attention and loss', async (name) => {
    const { model, expected, ids, kept, loss } = await openGolden(name);
    const { hidden_size: width, vocab_size: vocabulary, num_attention_heads: heads } = model.config;
    const maps: tf.Tensor4D[] = [];
    const hidden = model.encode(ids, {
      onAttention: (_layer, qkv, keep) => {
        if (!expected.has('attentions')) {
          return;
        }
        const [q, k] = splitHeads(qkv, heads);
        maps.push(tf.keep(softmaxProbabilities(q, k, keep, model.config.attention.causal)));
      },
    });
    const logits = model.logits(ids);
    const agree = async (tensor: tf.Tensor, key: string, size: number) =>
      relativeDifference(rowsOf(await tensor.data(), size, kept), rowsOf(expected.get(key)!.data, size, kept));
    expect(await agree(hidden, 'last_hidden', width)).toBeLessThan(1e-4);
    expect(await agree(logits, 'logits', vocabulary)).toBeLessThan(1e-4);
    if (expected.has('attentions')) {
      const [batch, , , length] = expected.get('attentions')!.shape;
      const stacked = await tf.stack(maps, 1).data();
      // Rows of padded queries carry no meaning.
      const rows = kept.flatMap((token) =>
        Array.from({ length: maps.length * heads }, (_, map) => {
          const sequence = Math.floor(token / length);
          return (sequence * maps.length * heads + map) * length + (token % length);
        }),
      );
      expect(batch * length).toBe(ids.size);
      const actual = rowsOf(stacked, length, rows);
      expect(relativeDifference(actual, rowsOf(expected.get('attentions')!.data, length, rows))).toBeLessThan(1e-4);
    }
    const { loss: expectedLoss } = JSON.parse(readFileSync(join(SHARED!, 'golden', name, 'expected.json'), 'utf8'));
    const value = (await tf.tidy(loss).data())[0];
    expect(Math.abs(value / expectedLoss - 1)).toBeLessThan(1e-4);
    tf.dispose([hidden, logits, ids, maps]);
    model.dispose();
  });

  it.skipIf(!SHARED).each(TRAINED)('%s: gradients', async (name) => {
    const { model, ids, loss } = await openGolden(name);
    const { tensors } = readSafetensors(join(SHARED!, 'golden', name, 'gradients.safetensors'));
    const { grads, value } = tf.variableGrads(loss, [...model.trainable.values()]);
    const { tensorsOf } = familyOf(model.config.model_type);
    for (const spec of model.specs) {
      if (!spec.trainable) {
        continue;
      }
      const actual = await grads[model.parameters.get(spec.name)!.name].data();
      const wanted = tensorsOf(spec).flatMap((key) => [...tensors.get(key)!.data]);
      expect(relativeDifference(actual, wanted), spec.name).toBeLessThan(1e-3);
    }
    tf.dispose([ids, value, ...Object.values(grads)]);
    model.dispose();
  });
});
