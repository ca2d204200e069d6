import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { readSafetensors } from '../../src/formats/safetensors.js';
import { attentionLayers } from '../../src/interpret/attentionLayers.js';
import { attentionMap, attentionMaps, attentionRollout } from '../../src/interpret/attentionMaps.js';
import { oneHotAttention } from '../../src/interpret/oneHotAttention.js';
import type { AttentionConfig } from '../../src/model/attention/options.js';
import { newConfig } from '../../src/model/config.js';
import { loadModel } from '../../src/model/files.js';
import { createModel } from '../../src/model/model.js';
import { describeEngines, relativeDifference } from '../engines.js';
import { SHARED } from '../shared.js';

const MODELS = ['esm2', 'transformer', 'performer-relu', 'performer-relu-causal', 'performer-relu-rotary'];

/** A golden's sequences without their padding. */
function sequences(
  name: string,
  pad: number,
): { rows: Uint8Array[]; length: number; expected: ReturnType<typeof readSafetensors> } {
  const expected = readSafetensors(join(SHARED!, 'golden', name, 'expected.safetensors'));
  const { data, shape } = expected.tensors.get('input_ids')!;
  const length = shape[1];
  const rows = Array.from({ length: shape[0] }, (_, row) =>
    Uint8Array.from(data.subarray(row * length, (row + 1) * length) as Int32Array).filter((id) => id !== pad),
  );
  return { rows, length, expected };
}

describeEngines('attention maps of the goldens', () => {
  it.skipIf(!SHARED).each(MODELS)(
    '%s: every layer and head equals the one-hot route, rows sum to one',
    async (name) => {
      const model = await loadModel(join(SHARED!, 'golden', name));
      for (const tokens of sequences(name, model.config.pad_token_id).rows) {
        const inputs: tf.Tensor3D[] = [];
        tf.dispose(
          model.encode(tf.tensor2d(Int32Array.from(tokens), [1, tokens.length], 'int32'), {
            onAttention: (_, qkv) => inputs.push(tf.keep(tf.clone(qkv))),
          }),
        );
        for await (const attention of attentionLayers(model, tokens)) {
          const oneHot = oneHotAttention(model, attention.layer, inputs[attention.layer]);
          const rebuilt = attention.rows(0, tokens.length);
          expect(rebuilt.shape).toEqual([model.config.num_attention_heads, tokens.length, tokens.length]);
          expect(relativeDifference(await rebuilt.data(), await oneHot.data())).toBeLessThan(1e-5);
          for (const sum of await tf.sum(rebuilt, -1).data()) {
            expect(sum).toBeCloseTo(1, 5);
          }
          const middle = attention.rows(3, 5, 1);
          expect(
            relativeDifference(await middle.data(), await tf.slice(rebuilt, [1, 3, 0], [1, 2, -1]).data()),
          ).toBeLessThan(1e-6);
        }
        tf.dispose(inputs);
      }
      model.dispose();
    },
  );

  it.skipIf(!SHARED).each(['esm2', 'transformer'])('%s: exact attention equals the expected', async (name) => {
    const model = await loadModel(join(SHARED!, 'golden', name));
    const { rows, length, expected } = sequences(name, model.config.pad_token_id);
    const { data } = expected.tensors.get('attentions')!; // [B, layers, heads, L, L]
    const [layers, heads] = [model.config.num_hidden_layers, model.config.num_attention_heads];
    for (const [row, tokens] of rows.entries()) {
      for (let layer = 0; layer < layers; layer++) {
        for (let head = 0; head < heads; head++) {
          const map = await attentionMap(model, tokens, { layers: [layer], heads: [head] });
          const base = ((row * layers + layer) * heads + head) * length;
          const wanted = Array.from(tokens).flatMap((_, i) =>
            Array.from(tokens, (_, j) => data[(base + i) * length + j]),
          );
          expect(relativeDifference(map, wanted)).toBeLessThan(1e-4);
        }
      }
    }
    model.dispose();
  });
});

describeEngines('attention maps of every kind', () => {
  const KINDS: [string, Partial<AttentionConfig>, number][] = [
    ['favor-relu with random features', { kind: 'favor-relu', features: 'orthogonal', num_features: 24 }, 1e-5],
    ['favor-softmax', { kind: 'favor-softmax', num_features: 24 }, 1e-5],
    ['favor-softmax, causal', { kind: 'favor-softmax', num_features: 24, causal: true }, 1e-5],
    // Its denominators come near zero: what float32 leaves of a row is less.
    ['favor-trig', { kind: 'favor-trig', num_features: 64 }, 1e-4],
    ['favor-kernel', { kind: 'favor-kernel', kernel: 'sigmoid' }, 1e-5],
    ['linformer', { kind: 'linformer', projected_length: 8 }, 1e-5],
    ['lsh', { kind: 'lsh', num_hashes: 2, num_buckets: 4, chunk_length: 8 }, 1e-5],
    ['lsh, causal', { kind: 'lsh', num_hashes: 2, num_buckets: 8, chunk_length: 4, causal: true }, 1e-5],
    ['lsh of one chunk and round', { kind: 'lsh', num_hashes: 1, num_buckets: 4, chunk_length: 64 }, 1e-5],
  ];
  it.each(KINDS)('%s: equals the one-hot route', async (_, attention, tolerance) => {
    const sizes = { layers: 2, hidden: 32, heads: 2, feedForward: 32, dropout: 0, length: 64 };
    const model = createModel(newConfig({ ...sizes, attention }), 5);
    const tokens = model.alphabet.encode('MKVTGIFLLSALALLSLSGNTGADSLGREAKCYNELNG');
    const inputs: tf.Tensor3D[] = [];
    tf.dispose(
      model.encode(tf.tensor2d(Int32Array.from(tokens), [1, tokens.length], 'int32'), {
        onAttention: (__, qkv) => inputs.push(tf.keep(tf.clone(qkv))),
      }),
    );
    const before = tf.memory().numTensors;
    for await (const { layer, rows } of attentionLayers(model, tokens)) {
      const [rebuilt, oneHot] = [rows(0, tokens.length), oneHotAttention(model, layer, inputs[layer])];
      expect(relativeDifference(await rebuilt.data(), await oneHot.data())).toBeLessThan(tolerance);
      const sums = await tf.sum(rebuilt, -1).data();
      if (attention.kind !== 'linformer') {
        for (const sum of sums) {
          expect(sum).toBeCloseTo(1, 4);
        }
      }
      const middle = rows(7, 12, 1);
      const same = tf.slice(rebuilt, [1, 7, 0], [1, 5, -1]);
      expect(relativeDifference(await middle.data(), await same.data())).toBeLessThan(1e-6);
      tf.dispose([rebuilt, oneHot, middle, same]);
    }
    expect(tf.memory().numTensors).toBe(before + 2);
    tf.dispose(inputs);
    model.dispose();
  });
});

describeEngines('averages and rollout', () => {
  it.skipIf(!SHARED)('are the means of the maps and the product of the layers', async () => {
    const model = await loadModel(join(SHARED!, 'golden', 'performer-relu'));
    const [tokens] = sequences('performer-relu', 1).rows;
    const n = tokens.length;
    const all = new Map<string, Float32Array>();
    for await (const { layer, head, from, values } of attentionMaps(model, tokens)) {
      expect(from).toBe(0);
      all.set(`${layer} ${head}`, values);
    }
    expect([...all.keys()]).toHaveLength(12);
    const mean = (keys: string[]): number[] =>
      Array.from({ length: n * n }, (_, i) => keys.reduce((sum, key) => sum + all.get(key)![i], 0) / keys.length);
    const heads = [0, 1, 2, 3];
    expect(
      relativeDifference(
        await attentionMap(model, tokens, { layers: [1], average: 'heads' }),
        mean(heads.map((head) => `1 ${head}`)),
      ),
    ).toBeLessThan(1e-6);
    expect(
      relativeDifference(
        await attentionMap(model, tokens, { layers: [0, 2], heads: [3], average: 'layers' }),
        mean(['0 3', '2 3']),
      ),
    ).toBeLessThan(1e-6);
    expect(
      relativeDifference(
        await attentionMap(model, tokens, { heads: [1, 2], average: 'both' }),
        mean([0, 1, 2].flatMap((layer) => [`${layer} 1`, `${layer} 2`])),
      ),
    ).toBeLessThan(1e-6);

    const steps = [0, 1, 2].map((layer) => {
      const average = mean(heads.map((head) => `${layer} ${head}`));
      return average.map((value, i) => (value + (Math.floor(i / n) === i % n ? 1 : 0)) / 2);
    });
    let product = steps[0];
    for (const step of steps.slice(1)) {
      product = product.map((_, cell) => {
        let sum = 0;
        for (let k = 0; k < n; k++) {
          sum += step[Math.floor(cell / n) * n + k] * product[k * n + (cell % n)];
        }
        return sum;
      });
    }
    expect(relativeDifference(await attentionRollout(model, tokens), product)).toBeLessThan(1e-5);
    model.dispose();
  });

  it.skipIf(!SHARED)('leaks no tensors, also when stopped half way', async () => {
    const model = await loadModel(join(SHARED!, 'golden', 'performer-relu'));
    const [tokens] = sequences('performer-relu', 1).rows;
    const before = tf.memory().numTensors;
    for await (const tile of attentionMaps(model, tokens)) {
      if (tile.layer === 1) {
        break;
      }
    }
    await attentionRollout(model, tokens);
    expect(tf.memory().numTensors).toBe(before);
    model.dispose();
  });
});

describe('options', () => {
  it.skipIf(!SHARED)('refuses heads and layers that are not there', async () => {
    const model = await loadModel(join(SHARED!, 'golden', 'performer-relu'));
    const tokens = model.alphabet.encode('MKT');
    await expect(attentionMap(model, tokens, { heads: [4] })).rejects.toThrow('head 4: the model has heads 0 to 3');
    await expect(attentionMap(model, tokens, { layers: [-1] })).rejects.toThrow(
      'layer -1: the model has layers 0 to 2',
    );
    model.dispose();
  });
});
