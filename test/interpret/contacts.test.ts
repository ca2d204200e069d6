import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { Random } from '../../src/data/random.js';
import { readSafetensors } from '../../src/formats/safetensors.js';
import {
  contactHeadOf,
  contactPrecision,
  fitContactHead,
  predictContacts,
  residueMaps,
  symmetriseAndCorrect,
  topContacts,
} from '../../src/interpret/contacts.js';
import { fitLogistic } from '../../src/interpret/logistic.js';
import { loadModel } from '../../src/model/files.js';
import { contactPairs, readChain } from '../../src/structures/structure.js';

import { describeEngines } from '../engines.js';
import { SHARED } from '../shared.js';

describeEngines('contacts of the goldens', () => {
  it.skipIf(!SHARED).each(['esm2', 'transformer'])("%s: its own head's contacts equal the expected", async (name) => {
    const folder = join(SHARED!, 'golden', name);
    const model = await loadModel(folder);
    const { tensors } = readSafetensors(join(folder, 'expected.safetensors'));
    const [batch, length] = tensors.get('input_ids')!.shape;
    const ids = tensors.get('input_ids')!.data as Int32Array;
    const expected = tensors.get('contacts')!;
    const width = expected.shape[1];
    const head = (await contactHeadOf(model))!;
    const before = tf.memory().numTensors;
    for (let row = 0; row < batch; row++) {
      const tokens = Uint8Array.from(ids.subarray(row * length, (row + 1) * length)).filter((id) => id !== 1);
      const n = tokens.length - 2;
      const contacts = await predictContacts(model, tokens, head);
      for (let i = 0; i < n; i++) {
        for (let j = 0; j < n; j++) {
          expect(Math.abs(contacts[i * n + j] - expected.data[(row * width + i) * width + j])).toBeLessThan(1e-4);
        }
      }
    }
    expect(tf.memory().numTensors).toBe(before);
    model.dispose();
  });

  it.skipIf(!SHARED)('streams to what the maps give whole', async () => {
    const model = await loadModel(join(SHARED!, 'golden', 'performer-relu'));
    const sequence = 'MKTVRQGACDEFGHILKM';
    const tokens = model.alphabet.encode(sequence);
    const n = sequence.length;
    const weights = new Float32Array(12).map((_, i) => Math.sin(i + 1) * 5);
    const logits = new Float64Array(n * n).fill(-1);
    let channel = 0;
    for await (const map of residueMaps(model, tokens)) {
      symmetriseAndCorrect(map, n).forEach((value, cell) => {
        logits[cell] += weights[channel] * value;
      });
      channel++;
    }
    const probabilities = await predictContacts(model, tokens, { weights, bias: -1 });
    for (let cell = 0; cell < n * n; cell++) {
      expect(probabilities[cell]).toBeCloseTo(1 / (1 + Math.exp(-logits[cell])), 5);
    }
    await expect(predictContacts(model, tokens, { weights: weights.subarray(1), bias: 0 })).rejects.toThrow(
      'a contact head of 11 weights: the model has 12 heads',
    );
    model.dispose();
  });

  it.skipIf(!SHARED)('recovers contacts that were planted in one head exactly', async () => {
    const files = ['1HRC.pdb', '2QMT.pdb', 'CALM1_HUMAN_Weile_2017.pdb'];
    const known = files.map((file) => {
      const chain = readChain(join(SHARED!, 'data', 'structures', file));
      return { sequence: chain.sequence, contacts: contactPairs(chain) };
    });
    const channels = 12;
    async function* planted(sequence: string): AsyncGenerator<Float32Array> {
      const { contacts } = known.find((one) => one.sequence === sequence)!;
      const n = sequence.length;
      const random = new Random(5, n);
      for (let channel = 0; channel < channels; channel++) {
        const map = new Float32Array(n * n).map(() => random.uniform() / n);
        if (channel === 7) {
          for (const [i, j] of contacts) {
            map[i * n + j] += 0.5;
          }
        }
        yield map;
      }
    }
    const head = await fitContactHead(channels, known.slice(0, 2), planted, { inversePenalty: 0.15 });
    const others = head.weights.filter((_, channel) => channel !== 7);
    expect(head.weights[7]).toBeGreaterThan(10 * Math.max(...others.map(Math.abs)));
    const unseen = known[2];
    const n = unseen.sequence.length;
    const logits = new Float32Array(n * n).fill(head.bias);
    let channel = 0;
    for await (const map of planted(unseen.sequence)) {
      symmetriseAndCorrect(map, n).forEach((value, cell) => {
        logits[cell] += head.weights[channel] * value;
      });
      channel++;
    }
    const precision = contactPrecision(logits, unseen);
    expect(precision.filter(({ separation }) => separation === 6).map((one) => one.precision)).toEqual([1, 1, 1]);
    expect(precision[0].random).toBeLessThan(0.1);
  });
});

describe('precision', () => {
  it('judges the most probable pairs of each range', () => {
    const n = 30;
    const probabilities = new Float32Array(n * n);
    const set = (i: number, j: number, value: number) => {
      probabilities[i * n + j] = value;
      probabilities[j * n + i] = value;
    };
    set(0, 5, 0.99); // Too near to count.
    set(0, 6, 0.9);
    set(0, 28, 0.8);
    set(1, 28, 0.7);
    expect(topContacts(probabilities, n, 2)).toEqual([
      { i: 0, j: 6, probability: expect.closeTo(0.9) },
      { i: 0, j: 28, probability: expect.closeTo(0.8) },
    ]);
    const known = {
      sequence: 'A'.repeat(n),
      contacts: [
        [0, 6],
        [1, 28],
      ] as [number, number][],
    };
    const at = (separation: number, top: string) =>
      contactPrecision(probabilities, known).find((one) => one.separation === separation && one.top === top)!;
    expect(at(6, 'L/5')).toEqual({ separation: 6, top: 'L/5', pairs: 6, precision: 2 / 6, random: 2 / 300 });
    expect(at(24, 'L')).toEqual({ separation: 24, top: 'L', pairs: 21, precision: 1 / 21, random: 1 / 21 });
  });
});

describeEngines('logistic regression', () => {
  it('meets the conditions of the minimum, and drops features that say nothing', async () => {
    const random = new Random(3);
    const rows = 600;
    const count = 8;
    const truth = [2, -1.5, 0, 0, 0.7, 0, 0, 0];
    const features = Float32Array.from(
      { length: rows * count },
      (_, i) => random.normal() * (i % count === 1 ? 10 : 1),
    );
    const labels = Uint8Array.from({ length: rows }, (_, row) => {
      const logit = truth.reduce((sum, value, k) => sum + value * features[row * count + k], -0.5);
      return random.uniform() < 1 / (1 + Math.exp(-logit)) ? 1 : 0;
    });
    const weights = Float64Array.from({ length: rows }, (_, row) => 1 + (row % 3));
    const penalty = 25;
    const { coefficients, intercept } = await fitLogistic(features, labels, { penalty, weights, tolerance: 1e-6 });
    const gradient = new Float64Array(count + 1);
    for (let row = 0; row < rows; row++) {
      let margin = intercept;
      for (let k = 0; k < count; k++) {
        margin += coefficients[k] * features[row * count + k];
      }
      const slope = weights[row] * (1 / (1 + Math.exp(-margin)) - labels[row]);
      for (let k = 0; k < count; k++) {
        gradient[k] += slope * features[row * count + k];
      }
      gradient[count] += slope;
    }
    expect(Math.abs(gradient[count])).toBeLessThan(1e-3);
    for (let k = 0; k < count; k++) {
      if (coefficients[k] === 0) {
        expect(Math.abs(gradient[k])).toBeLessThanOrEqual(penalty);
      } else {
        expect(gradient[k]).toBeCloseTo(-Math.sign(coefficients[k]) * penalty, 3);
      }
    }
    expect(coefficients.map(Math.sign).slice(0, 2)).toEqual(Float64Array.of(1, -1));
    expect(coefficients.filter((value) => value === 0).length).toBeGreaterThan(1);
  });
});
