import { expect, test } from 'vitest';
import { budgetUsed, changeRecipe, RECIPES } from '../../src/training/recipe.js';
import { learningRateAt } from '../../src/training/schedule.js';

test('the learning rate warms up linearly, then stays', () => {
  const options = { schedule: 'constant', learningRate: 1e-3, warmup: 4 } as const;
  const rates = [1, 2, 3, 4, 5, 100].map((step) => learningRateAt(step, step / 100, options));
  expect(rates).toEqual([0.25e-3, 0.5e-3, 0.75e-3, 1e-3, 1e-3, 1e-3]);
});

test('the cosine falls from the full rate to zero over the run', () => {
  const options = { schedule: 'cosine', learningRate: 2, warmup: 0 } as const;
  const rates = [0, 0.25, 0.5, 1, 1.5].map((fraction) => learningRateAt(1, fraction, options));
  const expected = [2, 1 + Math.SQRT1_2, 1, 0, 0];
  rates.forEach((rate, i) => {
    expect(rate).toBeCloseTo(expected[i], 12);
  });
});

test('a budget is used up by the first of its limits', () => {
  const done = { step: 50, tokens: 900, seconds: 30 };
  expect(budgetUsed({ steps: 100, tokens: 1000, minutes: 1 }, done)).toBe(0.9);
  expect(budgetUsed({ steps: 100 }, done)).toBe(0.5);
  expect(budgetUsed({ minutes: 0.1 }, done)).toBe(1);
});

test('a change of the recipe is checked, and undefined changes nothing', () => {
  const recipe = RECIPES['performer-tiny'];
  expect(changeRecipe(recipe, { learningRate: undefined, warmup: 7 }, 'x')).toEqual({ ...recipe, warmup: 7 });
  const change = (changes: object) => () => changeRecipe(recipe, changes, 'config.json');
  expect(change({ learningRate: 11 })).toThrow('config.json: learningRate is 11; give a number from 0 to 10');
  expect(change({ warmup: 1.5 })).toThrow('warmup is 1.5; give a whole number');
  expect(change({ schedule: 'linear' })).toThrow('schedule is "linear"; give constant or cosine');
  expect(change({ learnRate: 1 })).toThrow('a recipe has no learnRate; it has length,');
  expect(change({ budget: {} })).toThrow('the budget is empty');
  expect(change({ budget: { steps: -1 } })).toThrow('steps is -1');
});
