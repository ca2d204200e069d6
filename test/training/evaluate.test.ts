import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { PROTEIN } from '../../src/data/alphabet.js';
import { sequencesInMemory } from '../../src/data/sequences.js';
import type { TokenStore } from '../../src/data/store.js';
import { createModel } from '../../src/model/model.js';
import { baselineTally, evaluate, residueFrequencies } from '../../src/training/evaluate.js';
import { addTallies, EMPTY_TALLY, figuresOf } from '../../src/training/metrics.js';
import { describeEngines } from '../engines.js';
import { temporaryFolder, tinyConfig, tinyStore } from './tiny.js';

const folder = temporaryFolder();
let store: TokenStore;
beforeAll(async () => {
  store = await tinyStore(join(folder, 'store'));
});

test('the baseline has the frequencies of the train split', () => {
  const frequencies = residueFrequencies(store);
  const { composition, residues } = store.manifest.splits.train;
  expect(frequencies.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 12);
  const leucine = PROTEIN.idOf('L')!;
  // Letters that do not occur count as one each.
  const unseen = [...PROTEIN.tokens].filter((token, id) => PROTEIN.isLetter(id) && !composition[token]).length;
  expect(frequencies[leucine]).toBeCloseTo(composition.L / (residues + unseen), 12);
  expect(frequencies[PROTEIN.mask]).toBe(0);
});

test('a baseline of two residues, by hand', () => {
  const frequencies = new Float64Array(33);
  frequencies[4] = 0.75;
  frequencies[5] = 0.25;
  const figures = figuresOf(baselineTally(frequencies, Int32Array.of(4, 4, 4, 5)));
  expect(figures.accuracy).toBe(0.75);
  expect(figures.perplexity).toBeCloseTo(0.75 ** -0.75 * 0.25 ** -0.25, 12);
});

test('tallies add up', () => {
  const tally = { positions: 4, loss: 4, correct: 1 };
  expect(addTallies(EMPTY_TALLY, tally)).toEqual(tally);
  expect(figuresOf(addTallies(tally, { positions: 4, loss: 12, correct: 3 }))).toEqual({
    loss: 2,
    accuracy: 0.5,
    perplexity: Math.exp(2),
  });
});

describeEngines('evaluation', () => {
  const sequences = sequencesInMemory(
    [9, 90, 23, 61, 44].map((length, i) => ({
      id: `s${i}`,
      sequence: Array.from({ length }, (_, j) => 'LAGVSERTIDPKQNFYMHWC'[(i * 7 + j * j) % 20]).join(''),
    })),
  );

  test.each([false, true])('does not depend on the batches (causal: %s)', async (causal) => {
    const model = createModel(tinyConfig({ attention: { causal } }), 3);
    const frequencies = residueFrequencies(store);
    const options = { seed: 5, length: 48 };
    const one = await evaluate(model, sequences, frequencies, { ...options, tokensPerPass: 48 });
    const all = await evaluate(model, sequences, frequencies, { ...options, tokensPerPass: 4096 });
    expect(one.sequences).toBe(5);
    expect(one.baseline.positions).toBe(all.baseline.positions);
    expect(one.model.positions).toBe(all.model.positions);
    expect(one.model.correct).toBe(all.model.correct);
    expect(one.model.loss / all.model.loss).toBeCloseTo(1, 6);
    if (causal) {
      expect(one.model.positions).toBe(9 + 90 + 23 + 61 + 44);
    }
    // An untrained model knows about nothing: near the uniform distribution over the 33 tokens.
    expect(figuresOf(one.model).perplexity).toBeGreaterThan(30);
    expect(figuresOf(one.model).perplexity).toBeLessThan(36);
    model.dispose();
  });
});
