import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Engine, startEngine } from '../../src/engines/index.js';
import { readSafetensors } from '../../src/formats/safetensors.js';
import { loadModel } from '../../src/model/files.js';
import type { LanguageModel } from '../../src/model/model.js';
import { type EmbeddingOptions, embedSequences, poolHiddenStates } from '../../src/scoring/embeddings.js';
import { edgeWeights, overlappingWindows } from '../../src/scoring/windows.js';
import { relativeDifference } from '../engines.js';
import { SHARED } from '../shared.js';

let engine: Engine;
beforeAll(async () => {
  engine = await startEngine();
});
afterAll(() => engine.stop());

describe.skipIf(!SHARED).each(['esm2', 'performer-relu'])('embeddings of %s', (name) => {
  let model: LanguageModel;
  /** Tokens of the golden's sequences, masked ones among them, and the last hidden states [B][L][D]. */
  let tokens: Uint8Array[];
  let states: number[][][];
  beforeAll(async () => {
    const folder = join(SHARED!, 'golden', name);
    model = await loadModel(folder);
    const { tensors } = readSafetensors(join(folder, 'expected.safetensors'));
    const ids = tensors.get('input_ids')!;
    const [batch, length] = ids.shape as [number, number];
    const size = model.config.hidden_size;
    const hidden = tensors.get('last_hidden')!.data;
    tokens = Array.from({ length: batch }, (_, b) => {
      const row = Uint8Array.from(ids.data.slice(b * length, (b + 1) * length) as Int32Array);
      return row.slice(0, row.indexOf(model.alphabet.eos) + 1);
    });
    states = tokens.map((row, b) =>
      [...row].map((_, i) => Array.from({ length: size }, (_, d) => Number(hidden[(b * length + i) * size + d]))),
    );
  });
  afterAll(() => model.dispose());
  const embed = async (options: EmbeddingOptions, input: string[]) => {
    const vectors: Float32Array[] = [];
    for await (const vector of embedSequences(model, input, options)) {
      vectors.push(vector);
    }
    return vectors;
  };

  it('pools the states of the golden', async () => {
    for (const apart of [false, true]) {
      const poolings = tokens.map((row) => ({
        tokens: row,
        weights: [...row.keys()].slice(1, -1).map((index) => ({ index, weight: 0.5 })),
        apart,
      }));
      let b = 0;
      for await (const values of poolHiddenStates(model, poolings)) {
        const rows = states[b++].slice(1, -1);
        const sum = rows[0].map((_, d) => rows.reduce((total, row) => total + row[d] / 2, 0));
        const expected = apart ? rows.flat().map((value) => value / 2) : sum;
        expect(relativeDifference(values, expected)).toBeLessThan(1e-4);
      }
      expect(b).toBe(3);
    }
  });

  it('pools residues without <cls> and <eos>, and counts layers from both ends', async () => {
    const sequence = 'MKTVRQG';
    const layers: Float32Array[] = [];
    const last = tf.tidy(() => {
      const ids = tf.tensor2d([...model.alphabet.encode(sequence)], [1, 9], 'int32');
      return model.encode(ids, { onHidden: (_, hidden) => layers.push(hidden.dataSync() as Float32Array) }).dataSync();
    });
    layers[layers.length - 1] = last as Float32Array;
    const size = model.config.hidden_size;
    for (const [layer, values] of layers.entries()) {
      const residues = values.slice(size, -size);
      const mean = Array.from({ length: size }, (_, d) =>
        residues.reduce((sum, value, i) => (i % size === d ? sum + value / 7 : sum), 0),
      );
      for (const index of [layer, layer - layers.length]) {
        const pooled = await Promise.all(
          (['mean', 'cls', 'none'] as const).map((pool) => embed({ layer: index, pool }, [sequence])),
        );
        expect(relativeDifference(pooled[0][0], mean)).toBeLessThan(1e-5);
        expect(relativeDifference(pooled[1][0], values.slice(0, size))).toBeLessThan(1e-5);
        expect(relativeDifference(pooled[2][0], residues)).toBeLessThan(1e-5);
      }
    }
  });

  it('keeps the order and leaks no tensor, whatever the batches', async () => {
    const input = ['MKTVRQGWAALL', 'MK', 'MKTVRQG', 'M', 'MKTVRQGWAALLSEKH', 'GG'];
    const alone: Float32Array[] = [];
    for (const sequence of input) {
      alone.push((await embed({}, [sequence]))[0]);
    }
    const before = tf.memory().numTensors;
    for (const layer of [-1, 1]) {
      await embed({ layer, tokensPerBatch: 30 }, input);
      expect(tf.memory().numTensors).toBe(before);
    }
    const together = await embed({ tokensPerBatch: 30 }, input);
    together.forEach((vector, i) => {
      expect(relativeDifference(vector, alone[i])).toBeLessThan(1e-5);
    });
  });

  it('sees long sequences through overlapping windows', async () => {
    const sequence = 'MKTVRQGWAALLSEKHNDYPFICGGTMRWV';
    const tokens = model.alphabet.encode(sequence);
    const window = { mode: 'overlapping', size: 16 } as const;
    const [none] = await embed({ pool: 'none', window }, [sequence]);
    const [mean] = await embed({ pool: 'mean', window }, [sequence]);
    const size = model.config.hidden_size;
    const sum = new Float64Array(tokens.length * size);
    const total = new Float64Array(tokens.length);
    const edges = edgeWeights(16);
    for (const start of overlappingWindows(tokens.length, 16)) {
      const hidden = tf.tidy(() =>
        model.encode(tf.tensor2d([...tokens.slice(start, start + 16)], [1, 16], 'int32')).dataSync(),
      );
      for (let i = 0; i < 16; i++) {
        total[start + i] += edges[i];
        for (let d = 0; d < size; d++) {
          sum[(start + i) * size + d] += edges[i] * hidden[i * size + d];
        }
      }
    }
    const expected = [...sum].map((value, i) => value / total[Math.floor(i / size)]).slice(size, -size);
    expect(relativeDifference(none!, expected)).toBeLessThan(1e-4);
    const average = Array.from({ length: size }, (_, d) =>
      expected.reduce((acc, value, i) => (i % size === d ? acc + value / sequence.length : acc), 0),
    );
    expect(relativeDifference(mean!, average)).toBeLessThan(1e-4);
  });

  it('refuses a layer that is not there', async () => {
    await expect(embed({ layer: 99 }, ['MK'])).rejects.toThrow('--layer 99: the model has layers 0 to');
  });
});
