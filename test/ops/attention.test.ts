import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import type { Device } from '../../src/engines/index.js';
import { readSafetensors } from '../../src/formats/safetensors.js';
import { favorReluAttention } from '../../src/ops/favorReluAttention.js';
import { favorSoftmaxAttention } from '../../src/ops/favorSoftmaxAttention.js';
import { favorTrigAttention } from '../../src/ops/favorTrigAttention.js';
import { joinHeads, splitHeads } from '../../src/ops/heads.js';
import { linformerAttention } from '../../src/ops/linformerAttention.js';
import { softmaxAttention } from '../../src/ops/softmaxAttention.js';
import { describeEngines, relativeDifference } from '../engines.js';
import { SHARED } from '../shared.js';

const HEADS = 3;
/** The goldens' matrices: random features, and Linformer's two. */
interface Matrices {
  projection: tf.Tensor2D;
  e: tf.Tensor2D;
  f: tf.Tensor2D;
}
type Attend = (qkv: tf.Tensor3D, keep: tf.Tensor2D, matrices: Matrices) => tf.Tensor3D;

const cases: Record<string, Attend> = {};
for (const causal of [false, true]) {
  const suffix = causal ? '.causal' : '';
  const relu = { heads: HEADS, epsilon: 1e-3, causal };
  cases[`favor-relu${suffix}`] = (qkv, keep) => favorReluAttention(qkv, keep, undefined, relu);
  cases[`favor-relu-projected${suffix}`] = (qkv, keep, { projection }) =>
    favorReluAttention(qkv, keep, projection, relu);
  cases[`favor-softmax${suffix}`] = (qkv, keep, { projection }) =>
    favorSoftmaxAttention(qkv, keep, projection, { heads: HEADS, epsilon: 1e-6, causal });
  cases[`favor-trig${suffix}`] = (qkv, keep, { projection }) =>
    favorTrigAttention(qkv, keep, projection, { heads: HEADS, causal });
  cases[`softmax${suffix}`] = (qkv, keep) => softmaxAttention(qkv, keep, { heads: HEADS, causal });
}

cases.linformer = (qkv, keep, { e, f }) => linformerAttention(qkv, keep, e, f, HEADS);

// One row of the trigonometric estimate has a denominator of a thousandth of its terms: engines that compute it in
// float32, as they do everything, keep three digits.
// The golden of causal FAVOR+ has one stabiliser for all keys, later ones too, against which its ε of 1e-6 counts; ours is
// relative to each key (test/ops/favorSoftmaxCausal.test.ts holds its definition).
const tolerance = (name: string, device: Device) => {
  if (name === 'favor-softmax.causal') {
    return 5e-4;
  }
  return name === 'favor-trig' && device !== 'cpu' ? 1e-3 : 1e-4;
};

describeEngines('attention agrees with the goldens', (device) => {
  it.skipIf(!SHARED).each(Object.entries(cases))('%s', async (name, attend) => {
    const { tensors } = readSafetensors(join(SHARED!, 'golden/attention-ops/cases.safetensors'));
    const golden = (key: string) => tensors.get(key)!;
    const tensor = (key: string) => tf.tensor(Float32Array.from(golden(key).data), golden(key).shape);
    const [q, k, v, dy, keep] = ['q', 'k', 'v', 'grad_out', 'keep'].map(tensor);
    const [projection, e, f] = ['projection', 'linformer.E', 'linformer.F'].map(tensor) as tf.Tensor2D[];
    const rows = tf.reshape(keep, [keep.shape[0], 1, -1, 1]);
    // From [B, heads, L, d] to the fused form and back; outputs of padding carry no meaning, the goldens have zeros.
    const run = (a: tf.Tensor, b: tf.Tensor, c: tf.Tensor) => {
      const qkv = joinHeads(a as tf.Tensor4D, b as tf.Tensor4D, c as tf.Tensor4D);
      const out = attend(qkv, keep as tf.Tensor2D, { projection, e, f });
      return tf.mul(splitHeads(tf.concat([out, out, out], 2) as tf.Tensor3D, HEADS)[0], rows);
    };
    const value = run(q, k, v);
    const gradients = tf.grads(run)([q, k, v], dy);
    expect(relativeDifference(await value.data(), golden(`${name}.out`).data)).toBeLessThan(tolerance(name, device));
    for (const [i, key] of ['dq', 'dk', 'dv'].entries()) {
      expect(relativeDifference(await gradients[i].data(), golden(`${name}.${key}`).data), key).toBeLessThan(
        10 * tolerance(name, device),
      );
    }
    tf.dispose([q, k, v, dy, keep, projection, e, f, rows, value, ...gradients]);
  });
});
