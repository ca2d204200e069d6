import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { favorReluAttention } from '../../../src/ops/favorReluAttention.js';
import { describeEngines } from '../../engines.js';

describeEngines('a value that is not a number', (device) => {
  it.runIf(device === 'cpu')('stays one through relu features: a diverging run must show', async () => {
    const qkv = tf.fill([1, 4, 3 * 8], 0.5) as tf.Tensor3D;
    const values = (await qkv.data()).slice();
    values[8] = Number.NaN; // a key of the first token
    const broken = tf.tensor3d(values as Float32Array, [1, 4, 24]);
    const out = favorReluAttention(broken, tf.ones([1, 4]), undefined, { heads: 1, epsilon: 1e-3, causal: false });
    expect([...(await out.data())].some(Number.isNaN)).toBe(true);
    tf.dispose([qkv, broken, out]);
  });
});
