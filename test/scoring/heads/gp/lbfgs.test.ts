import { expect, test } from 'vitest';
import { minimiseLbfgs } from '../../../../src/scoring/heads/gp/lbfgs.js';

/** Rosenbrock's valley: its minimum is 0 at (1, 1). */
function rosenbrock([x, y]: Float64Array) {
  const [a, b] = [1 - x, y - x * x];
  return { value: a * a + 100 * b * b, gradient: Float64Array.of(-2 * a - 400 * x * b, 200 * b) };
}

test('finds the end of a bent valley', () => {
  const { x, value, iterations } = minimiseLbfgs(rosenbrock, [-1.2, 1], { iterations: 200, tolerance: 1e-14 });
  expect(x[0]).toBeCloseTo(1, 4);
  expect(x[1]).toBeCloseTo(1, 4);
  expect(value).toBeLessThan(1e-8);
  expect(iterations).toBeLessThan(100);
});

test('keeps out of where the function is not defined', () => {
  // x − ln x, whose minimum is at 1: a step from 0.01 along the gradient would land far below 0 on the way back.
  const objective = ([x]: Float64Array) =>
    x > 0
      ? { value: x - Math.log(x), gradient: Float64Array.of(1 - 1 / x) }
      : { value: Number.POSITIVE_INFINITY, gradient: Float64Array.of(0) };
  const { x } = minimiseLbfgs(objective, [0.01], { iterations: 200, tolerance: 1e-14 });
  expect(x[0]).toBeCloseTo(1, 4);
});

test('stops after the iterations that it may take', () => {
  expect(minimiseLbfgs(rosenbrock, [-1.2, 1], { iterations: 3, tolerance: 0 }).iterations).toBe(3);
});
