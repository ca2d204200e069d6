import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { Random } from '../../../src/data/random.js';
import { type Engine, startEngine } from '../../../src/engines/index.js';
import { webgpu } from '../../../src/engines/webgpu/index.js';
import { newConfig } from '../../../src/model/config.js';
import { createModel, type LanguageModel } from '../../../src/model/model.js';
import { Optimizer } from '../../../src/training/optimizer.js';
import { PAPER_OPTIMIZER } from '../../../src/training/recipe.js';
import { type Pass, stepGradients } from '../../../src/training/step.js';

const { usable } = await webgpu.probe();

/** A pass of random tokens, of a shape that is not rounded up. */
function pass(seed: number, batch = 2, length = 16): Pass {
  const random = new Random(seed);
  const ids = Int32Array.from({ length: batch * length }, () => 4 + random.int(20));
  const positions = Int32Array.from({ length: 8 }, (_, i) => 3 * i);
  return { ids, batch, length, positions, labels: Int32Array.from(positions, () => 4 + random.int(20)) };
}

/**
 * A new model's parameters and figures after some steps. `before` may meddle with it before each of them, and `change`
 * with the gradients before their update.
 */
async function train(
  steps: Pass[][],
  before: (step: number, model: LanguageModel) => void = () => {},
  change?: (gradient: Float32Array) => Float32Array,
) {
  const sizes = { layers: 2, hidden: 16, heads: 2, feedForward: 24, length: 40, dropout: 0.2 };
  const model = createModel(newConfig(sizes), 1);
  const optimizer = new Optimizer(model.trainable, PAPER_OPTIMIZER);
  const figures: unknown[] = [];
  const tensors = tf.memory().numTensors;
  for (const [step, passes] of steps.entries()) {
    before(step, model);
    const gradients = stepGradients(model, optimizer, passes, { learningRate: 1e-3 * (step + 1), seed: 5 })!;
    const changed: Record<string, Float32Array> = {};
    for (const [name, tensor] of change ? Object.entries(gradients.sums()) : []) {
      changed[name] = change!((await tensor.data()) as Float32Array);
    }
    figures.push(await gradients.update(changed));
    expect(tf.memory().numTensors).toBe(tensors);
  }
  const values: number[][] = [];
  for (const parameter of model.trainable.values()) {
    values.push([...(await parameter.data())]);
  }
  optimizer.dispose();
  model.dispose();
  return { figures, values };
}

describe.skipIf(!usable)('steps replayed on webgpu', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await startEngine('webgpu');
  });
  afterAll(() => engine.stop());

  /** As `train`, with every step computed kernel by kernel. */
  async function trainEagerly(...args: Parameters<typeof train>): ReturnType<typeof train> {
    const { beginStep } = engine;
    engine.beginStep = undefined;
    try {
      return await train(...args);
    } finally {
      engine.beginStep = beginStep;
    }
  }

  it('equal eager ones bit for bit, whatever the order of shapes', async () => {
    const steps = [[pass(1)], [pass(2)], [pass(3, 1, 24)], [pass(4), pass(5)], [pass(6)], [pass(7), pass(8)]];
    expect(await train(steps)).toEqual(await trainEagerly(steps));
  });

  it('see what was assigned to parameters between them', async () => {
    const assign = (step: number, model: LanguageModel) => {
      if (step !== 2) {
        return;
      }
      const bias = model.parameters.get('head.bias')!;
      tf.tidy(() => bias.assign(tf.fill(bias.shape, 0.5)));
    };
    const steps = [1, 2, 3, 4].map((seed) => [pass(seed)]);
    expect(await train(steps, assign)).toEqual(await trainEagerly(steps, assign));
  });

  it('of a model do not mix with those of another', async () => {
    const steps = [[pass(1)], [pass(2)]];
    expect(await train(steps)).toEqual(await train(steps));
  });

  it('refuse to keep a tensor', () => {
    const keeping = { begin: () => ({}), finish: () => tf.mul(tf.keep(tf.add(tf.scalar(1), 1)), 2) };
    expect(() => engine.beginStep!({}, 'x', {}, [], keeping).finish()).toThrow('change variables in place only');
  });

  it('take other gradients between their parts, and are still replayed', async () => {
    const record = vi.spyOn(
      (tf.backend() as unknown as { recorder: { record(...args: unknown[]): () => void } }).recorder,
      'record',
    );
    const steps = [1, 2, 3, 4].map((seed) => [pass(seed)]);
    const halved = await train(steps, undefined, (gradient) => gradient.map((value) => value / 2));
    expect(record).toHaveBeenCalledTimes(1);
    record.mockRestore();
    expect(halved).toEqual(await trainEagerly(steps, undefined, (gradient) => gradient.map((value) => value / 2)));
    expect(halved).not.toEqual(await train(steps));
  });
});
