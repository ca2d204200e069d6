import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { Random } from '../../src/data/random.js';
import { type ApproximationError, approximationError, randomInputs } from '../../src/interpret/approximation.js';
import { gaussianProjection } from '../../src/model/attention/projection.js';
import { softmaxExponents } from '../../src/ops/favorSoftmaxAttention.js';
import { trigFeatures } from '../../src/ops/favorTrigAttention.js';
import { describeEngines } from '../engines.js';

describeEngines('random features of the softmax kernel', () => {
  it.each([
    [
      [0.5, -0.3, 0.2, 0.4],
      [0.1, 0.6, -0.2, 0.3],
    ],
    [
      [0.7, 0.1, -0.4, 0.2],
      [-0.5, -0.3, 0.4, -0.1],
    ],
  ])("have the mean and the variance of the paper's Lemma 2 (%j, %j)", async (x, y) => {
    const rows = 200_000;
    const w = tf.tensor2d(gaussianProjection(rows, 4, 'iid', new Random(11)), [rows, 4]);
    const squared = (sign: 1 | -1) => x.reduce((sum, value, i) => sum + (value + sign * y[i]) ** 2, 0);
    const kernel = Math.exp(x.reduce((sum, value, i) => sum + value * y[i], 0));
    const closed = {
      positive: Math.exp(squared(1)) * kernel ** 2 * (1 - Math.exp(-squared(1))),
      trigonometric: 0.5 * Math.exp(squared(1)) * kernel ** -2 * (1 - Math.exp(-squared(-1))) ** 2,
    };
    // The features scale by d^-1/4; each alone is an estimate with m = 1.
    const [left, right] = [x, y].map((point) => tf.mul(tf.tensor4d(point, [1, 1, 1, 4]), Math.SQRT2) as tf.Tensor4D);
    const products = {
      positive: tf.exp(tf.add(softmaxExponents(left, w).exponents, softmaxExponents(right, w).exponents)),
      trigonometric: tf.mul(
        tf.sum(tf.reshape(tf.mul(trigFeatures(left, w), trigFeatures(right, w)), [2, rows]), 0),
        Math.exp([...x, ...y].reduce((sum, value) => sum + value ** 2, 0) / 2),
      ),
    };
    for (const estimator of ['positive', 'trigonometric'] as const) {
      const values = Float64Array.from(await products[estimator].data());
      const mean = values.reduce((a, b) => a + b, 0) / rows;
      const moment = (power: number) => values.reduce((sum, value) => sum + (value - mean) ** power, 0) / rows;
      const variance = moment(2);
      expect(Math.abs(mean - kernel)).toBeLessThan(4 * Math.sqrt(variance / rows));
      const spread = Math.sqrt((moment(4) - variance ** 2) / rows);
      expect(Math.abs(variance - closed[estimator])).toBeLessThan(4 * spread);
      expect(spread / variance).toBeLessThan(0.05);
    }
    tf.dispose([w, left, right, products.positive, products.trigonometric]);
  });

  it("come in the order of the paper's figure 4, clear of each other's intervals", async () => {
    const before = tf.memory().numTensors;
    const drawn = await approximationError(randomInputs(64, 16), { counts: [16, 64], samples: 15 });
    expect(tf.memory().numTensors).toBe(before);
    expect(drawn).toHaveLength(8);
    const find = (errors: ApproximationError[], features: string, estimator: string, count: number) =>
      errors.find((one) => one.features === features && one.estimator === estimator && one.count === count)!;
    for (const count of [16, 64]) {
      for (const features of ['orthogonal', 'iid']) {
        const [positive, trigonometric] = ['positive', 'trigonometric'].map((e) => find(drawn, features, e, count));
        expect(positive.matrixHigh).toBeLessThan(trigonometric.matrixLow);
        expect(positive.outputHigh).toBeLessThan(trigonometric.outputLow);
      }
    }
    for (const one of drawn) {
      expect(one.matrixLow).toBeLessThan(one.matrixError);
    }

    const short = await approximationError(randomInputs(64, 16, 1, 1), { counts: [16, 64], samples: 60 });
    for (const estimator of ['positive', 'trigonometric']) {
      const [few, many] = [16, 64].map((count) => {
        const orthogonal = find(short, 'orthogonal', estimator, count);
        const iid = find(short, 'iid', estimator, count);
        expect(orthogonal.matrixHigh).toBeLessThan(iid.matrixLow);
        return orthogonal;
      });
      expect(many.outputHigh).toBeLessThan(few.outputLow);
    }
  });
});
