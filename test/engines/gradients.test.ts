import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import { beforeAll, describe, expect, it } from 'vitest';
import '../../src/engines/gradients.js';

const folder = join(dirname(createRequire(import.meta.url).resolve('@tensorflow/tfjs-core/package.json')), 'dist');
const operations = readdirSync(join(folder, 'gradients'))
  .filter((name) => name.endsWith('_grad.js'))
  .map((name) => name.replace('_grad.js', ''));

describe('gradients', () => {
  beforeAll(() => tf.setBackend('cpu'));

  it('are there for every operation that tfjs-core has one for', () => {
    expect(operations.length).toBeGreaterThan(90);
    expect(operations.filter((name) => !tf.getGradient(name))).toEqual([]);
  });

  it.each([
    ['conv2d', (x: tf.Tensor) => tf.conv2d(x as tf.Tensor4D, tf.fill([2, 2, 1, 1], 0.5), 1, 'valid'), [1, 3, 3, 1]],
    ['avgPool', (x: tf.Tensor) => tf.avgPool(x as tf.Tensor4D, 2, 1, 'valid'), [1, 3, 3, 1]],
    ['maxPool', (x: tf.Tensor) => tf.maxPool(x as tf.Tensor4D, 2, 1, 'valid'), [1, 3, 3, 1]],
    ['gather', (x: tf.Tensor) => tf.gather(x, [0, 2, 0]), [3, 2]],
    ['prod', (x: tf.Tensor) => tf.prod(x, 0), [3, 2]],
    ['selu', (x: tf.Tensor) => tf.selu(tf.sub(x, 2)), [4]],
  ])('of %s is that of central differences', (_name, f, shape) => {
    const size = tf.util.sizeFromShape(shape);
    const values = Array.from({ length: size }, (_, i) => 0.7 + ((i * 5) % size) * 0.4);
    const squares = (x: tf.Tensor) => tf.sum(tf.square(f(x))) as tf.Scalar;
    const gradient = tf.grad(squares)(tf.tensor(values, shape)).dataSync();
    const at = (i: number, step: number) =>
      squares(
        tf.tensor(
          values.map((value, j) => (i === j ? value + step : value)),
          shape,
        ),
      ).dataSync()[0];
    for (let i = 0; i < size; i++) {
      const difference = (at(i, 0.01) - at(i, -0.01)) / 0.02;
      expect(Math.abs(gradient[i] - difference)).toBeLessThan(5e-3 * Math.max(1, Math.abs(difference)));
    }
  });
});
