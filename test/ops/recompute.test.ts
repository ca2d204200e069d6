import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { detached, recompute } from '../../src/ops/recompute.js';
import { describeEngines } from '../engines.js';

describeEngines('recompute', () => {
  const block = (x: tf.Tensor, w: tf.Tensor) => {
    const y = tf.tanh(tf.matMul(x as tf.Tensor2D, w as tf.Tensor2D));
    return [tf.add(x, y), tf.mul(y, 2)];
  };
  const input = () => tf.tensor2d([0.3, -1.2, 0.7, 2.1, -0.4, 0.9], [2, 3]);
  const weight = () => tf.tensor2d([0.2, -0.5, 1.1, 0.6, 0.1, -0.3, 0.8, 0.4, -0.9], [3, 3]);

  it('has the values and gradients of plain differentiation, nested and with several outputs, bit for bit', async () => {
    const both = tf.tidy(() => {
      const variable = tf.variable(weight());
      const plain = (x: tf.Tensor) => {
        const [a, b] = block(x, variable);
        return tf.sum(tf.square(block(tf.mul(a, b), variable)[0])) as tf.Scalar;
      };
      const inner = (x: tf.Tensor) => recompute([x], (y) => block(y, variable), { variables: [variable] });
      const checkpointed = (x: tf.Tensor) =>
        recompute(
          [x],
          (y) => {
            const [a, b] = inner(y);
            return [tf.sum(tf.square(inner(tf.mul(a, b))[0]))];
          },
          { variables: [variable] },
        )[0] as tf.Scalar;
      const both = [plain, checkpointed].map((f) => {
        const { value, grads } = tf.variableGrads(() => f(input()), [variable]);
        return [value, grads[variable.name], tf.grad(f)(input())];
      });
      variable.dispose();
      return both;
    });
    const [expected, actual] = await Promise.all(both.map((tensors) => Promise.all(tensors.map((x) => x.data()))));
    expect(actual).toEqual(expected);
    tf.dispose(both);
  });

  it('leaks no tensor', () => {
    const x = input();
    const w = weight();
    const before = tf.memory().numTensors;
    const loss = (a: tf.Tensor, b: tf.Tensor) => tf.sum(recompute([a, b], block)[0]) as tf.Scalar;
    tf.dispose(tf.grads(loss)([x, w]));
    expect(tf.memory().numTensors).toBe(before);
    tf.dispose([x, w]);
  });

  it('lets no gradient through what is detached', async () => {
    const [gradient, expected] = tf.tidy(() => {
      const gradient = tf.grad((x) =>
        tf.sum(
          tf.mul(
            x,
            detached(() => tf.square(x)),
          ),
        ),
      )(input());
      return [gradient, tf.square(input())];
    });
    expect(await gradient.data()).toEqual(await expected.data());
    tf.dispose([gradient, expected]);
  });
});
