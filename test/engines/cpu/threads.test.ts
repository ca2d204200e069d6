import { afterAll, afterEach, describe, expect, it } from 'vitest';
import '../../../src/engines/gradients.js';
import { loadAddon } from '../../../src/engines/cpu/addon.js';
import { startEngine } from '../../../src/engines/index.js';
import { newConfig } from '../../../src/model/config.js';
import { createModel } from '../../../src/model/model.js';
import { Optimizer } from '../../../src/training/optimizer.js';
import { PAPER_OPTIMIZER } from '../../../src/training/recipe.js';
import { trainingStep } from '../../../src/training/step.js';
import { relativeDifference } from '../../engines.js';
import { instructionSets } from './instructionSets.js';

const engine = await startEngine('cpu');
const addon = loadAddon();
const threads = addon.threads();
const best = addon.instructionSet();

/** All weights after three steps on sequences of which some are padded; long enough for several chunks and tiles. */
async function train(attention: object): Promise<Float32Array> {
  const config = newConfig({
    layers: 2,
    hidden: 24,
    heads: 2,
    feedForward: 40,
    dropout: 0.1,
    length: 600,
    attention,
  });
  const model = createModel(config, 1);
  const optimizer = new Optimizer(model.trainable, PAPER_OPTIMIZER);
  const length = 577;
  const ids = Int32Array.from({ length: 3 * length }, (_, i) =>
    i % length > 300 + 120 * (i / length) ? 1 : 4 + ((i * i) % 20),
  );
  const positions = Int32Array.from({ length: 150 }, (_, i) => i * 2);
  const labels = positions.map((position) => ids[position]);
  for (let i = 0; i < 3; i++) {
    await trainingStep(model, optimizer, [{ ids, batch: 3, length, positions, labels }], {
      learningRate: 1e-2,
      seed: 1,
    });
  }
  const weights = [...model.trainable.values()].flatMap((variable) => Array.from(variable.dataSync()));
  model.dispose();
  optimizer.dispose();
  return Float32Array.from(weights);
}

afterAll(() => engine.stop());

describe.each([
  ['favor-relu', { kind: 'favor-relu' }],
  ['favor-relu, causal', { kind: 'favor-relu', causal: true }],
  ['favor-relu, projected', { kind: 'favor-relu', features: 'iid', num_features: 37 }],
  ['favor-softmax', { kind: 'favor-softmax', num_features: 37 }],
  ['favor-softmax, causal', { kind: 'favor-softmax', causal: true, num_features: 37 }],
  ['softmax', { kind: 'softmax' }],
  ['softmax, causal', { kind: 'softmax', causal: true }],
  ['lsh', { kind: 'lsh', num_hashes: 2, chunk_length: 32 }],
  ['lsh, causal', { kind: 'lsh', causal: true, num_hashes: 2, chunk_length: 32 }],
])('training with %s', (_, attention) => {
  afterEach(() => {
    addon.setThreads(threads);
    addon.setInstructionSet(best);
  });

  it('gives the same bits on 1, 2 and 8 threads', async () => {
    const results: Float32Array[] = [];
    for (const count of [1, 2, 8]) {
      addon.setThreads(count);
      results.push(await train(attention));
    }
    expect(results[0].every(Number.isFinite)).toBe(true);
    expect(results[1]).toEqual(results[0]);
    expect(results[2]).toEqual(results[0]);
  });

  it('gives the same within float32 on every instruction set', async () => {
    const expected = await train(attention);
    for (const name of instructionSets()) {
      addon.setInstructionSet(name);
      expect(relativeDifference(await train(attention), expected), name).toBeLessThan(1e-2);
    }
  });
});
