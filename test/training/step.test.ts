import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { Random } from '../../src/data/random.js';
import { createModel, type LanguageModel } from '../../src/model/model.js';
import { Optimizer } from '../../src/training/optimizer.js';
import { PAPER_OPTIMIZER } from '../../src/training/recipe.js';
import { type Pass, stepGradients, trainingStep } from '../../src/training/step.js';
import { describeEngines } from '../engines.js';
import { tinyConfig } from './tiny.js';

/** A pass of random tokens with 8 positions to predict, of a shape that no engine rounds up. */
function pass(seed: number): Pass {
  const random = new Random(seed);
  const ids = Int32Array.from({ length: 2 * 16 }, () => 4 + random.int(20));
  const positions = Int32Array.from({ length: 8 }, (_, i) => 3 * i);
  return { ids, batch: 2, length: 16, positions, labels: Int32Array.from(positions, () => 4 + random.int(20)) };
}

function start(dropout = 0) {
  const model = createModel(tinyConfig({ dropout }), 1);
  return { model, optimizer: new Optimizer(model.trainable, PAPER_OPTIMIZER) };
}

async function parametersOf(model: LanguageModel): Promise<number[][]> {
  const values: number[][] = [];
  for (const parameter of model.trainable.values()) {
    values.push([...(await parameter.data())]);
  }
  return values;
}

function end({ model, optimizer }: ReturnType<typeof start>): void {
  optimizer.dispose();
  model.dispose();
}

describeEngines('a step', () => {
  const steps = [1, 3, 5].map((seed) => [pass(seed), pass(seed + 1)]);
  const optionsOf = (step: number) => ({ learningRate: 1e-3 * (step + 1), seed: 5 });

  test('of two copies of a model, each with half of its passes, equals one with both, bit for bit', async () => {
    const one = start();
    const expected: unknown[] = [];
    for (const [step, passes] of steps.entries()) {
      expected.push(await trainingStep(one.model, one.optimizer, passes, optionsOf(step)));
    }
    const copies = [start(), start()];
    const figures: unknown[] = [];
    for (const [step, passes] of steps.entries()) {
      const begun = copies.map(({ model, optimizer }, i) => {
        return stepGradients(model, optimizer, [passes[i]], optionsOf(step))!;
      });
      // Each copy's is a mean over its own positions, of which both have as many.
      const mean = new Map<string, Float32Array>();
      for (const gradients of begun) {
        for (const [name, tensor] of Object.entries(gradients.sums())) {
          const values = (await tensor.data()) as Float32Array;
          const before = mean.get(name);
          mean.set(name, before ? values.map((value, i) => (value + before[i]) / 2) : values);
        }
      }
      const results = [];
      for (const gradients of begun) {
        results.push(await gradients.update(Object.fromEntries(mean)));
      }
      expect(results[0]).toEqual(results[1]);
      // What each copy counts is its own: the loss of all positions and half of those that are right.
      const { loss, correct, gradientNorm } = results[0];
      figures.push({ positions: 16, loss: 2 * loss, correct: 2 * correct, gradientNorm });
    }
    expect(figures).toEqual(expected);
    const whole = await parametersOf(one.model);
    for (const copy of copies) {
      expect(await parametersOf(copy.model)).toEqual(whole);
    }
    for (const training of [one, ...copies]) {
      end(training);
    }
  });

  test('that is abandoned leaves all as it was', async () => {
    const kept = start(0.2);
    const other = start(0.2);
    const tensors = tf.memory().numTensors;
    for (const [step, passes] of steps.entries()) {
      const abandoned = stepGradients(other.model, other.optimizer, passes, optionsOf(step))!;
      expect(Object.keys(abandoned.sums())).toContain('figures');
      abandoned.abandon();
      for (const { model, optimizer } of [kept, other]) {
        await trainingStep(model, optimizer, passes, optionsOf(step));
      }
      expect(tf.memory().numTensors).toBe(tensors);
    }
    expect(await parametersOf(other.model)).toEqual(await parametersOf(kept.model));
    expect(other.optimizer.step).toBe(3);
    end(kept);
    end(other);
  });
});
