import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { Random } from '../../src/data/random.js';
import { adamW, adamWHyper } from '../../src/ops/adamW.js';
import { addLayerNorm, layerNorm } from '../../src/ops/addLayerNorm.js';
import { favorKernelAttention, KERNEL_FUNCTIONS, type KernelFunction } from '../../src/ops/favorKernelAttention.js';
import { favorReluAttention } from '../../src/ops/favorReluAttention.js';
import { favorSoftmaxAttention } from '../../src/ops/favorSoftmaxAttention.js';
import { favorTrigAttention } from '../../src/ops/favorTrigAttention.js';
import { gatherRows } from '../../src/ops/gatherRows.js';
import { gelu } from '../../src/ops/gelu.js';
import { linear } from '../../src/ops/linear.js';
import { linformerAttention } from '../../src/ops/linformerAttention.js';
import { lshAttention } from '../../src/ops/lshAttention.js';
import { maskedCrossEntropy } from '../../src/ops/maskedCrossEntropy.js';
import { rotary } from '../../src/ops/rotary.js';
import { softmaxAttention } from '../../src/ops/softmaxAttention.js';
import { tokenEmbedding } from '../../src/ops/tokenEmbedding.js';
import { describeEngines, relativeDifference } from '../engines.js';

/** One operation on some inputs: values of its outputs, and gradients of a weighted sum of those that have any. */
interface Case {
  name: string;
  /** Shapes of the inputs that gradients flow to. */
  inputs: number[][];
  run(inputs: tf.Tensor[]): tf.Tensor[];
  /** How many of the outputs have gradients. Default: all. */
  differentiable?: number;
}

const float = (shape: number[], seed: number) => {
  const random = new Random(seed);
  return tf.tensor(
    Float32Array.from({ length: tf.util.sizeFromShape(shape) }, () => random.normal()),
    shape,
  );
};
const lengths = (batch: number, length: number) =>
  tf.tensor2d(
    Array.from({ length: batch }, (_, b) => Array.from({ length }, (_, i) => (i < length - 3 * b ? 1 : 0))),
    [batch, length],
    'float32',
  );
const tokens = (batch: number, length: number, letters = 20) => {
  const random = new Random(7);
  const ids = Array.from({ length: batch }, (_, b) =>
    Array.from({ length }, (_, i) => (i >= length - 3 * b ? 1 : i % 5 === 2 ? 32 : 4 + random.int(letters))),
  );
  return tf.tensor2d(ids, [batch, length], 'int32');
};

const cases: Case[] = [];
for (const [rows, inputs, outputs] of [
  [1, 1, 1],
  [7, 5, 3],
  [33, 64, 96],
  [130, 47, 65],
]) {
  for (const activation of ['none', 'gelu'] as const) {
    for (const bias of [true, false]) {
      cases.push({
        name: `linear ${rows}x${inputs}x${outputs} ${activation}${bias ? ' bias' : ''}`,
        inputs: [[rows, inputs], [outputs, inputs], ...(bias ? [[outputs]] : [])],
        run: ([x, w, b]) => [linear(x, w, b, activation)],
      });
    }
  }
}
for (const shape of [
  [3, 1],
  [2, 5, 64],
  [9, 33],
]) {
  const width = shape[shape.length - 1];
  for (const dropoutRate of [0, 0.4]) {
    cases.push({
      name: `addLayerNorm [${shape}] dropout ${dropoutRate}`,
      inputs: [shape, shape, [width], [width]],
      run: ([x, r, g, b]) => {
        const { sum, normed } = addLayerNorm(x, r, g, b, { epsilon: 1e-5, dropoutRate, dropoutSeed: 4000000000 });
        return [sum, normed];
      },
    });
  }
  cases.push({
    name: `layerNorm [${shape}]`,
    inputs: [shape, [width], [width]],
    run: ([x, g, b]) => [layerNorm(x, g, b, 1e-5)],
  });
}
for (const tokenDropout of [false, true]) {
  for (const absolute of [true, false]) {
    cases.push({
      name: `tokenEmbedding${absolute ? ' absolute' : ''}${tokenDropout ? ' token dropout' : ''}`,
      inputs: [[33, 10], ...(absolute ? [[15, 10]] : [])],
      run: ([word, position]) => [
        tokenEmbedding(tokens(3, 13), word as tf.Tensor2D, position as tf.Tensor2D, {
          padId: 1,
          maskId: 32,
          tokenDropout,
        }),
      ],
    });
  }
}
// The 261 tokens of the bytes alphabet, over more tokens than a workgroup takes.
cases.push({
  name: 'tokenEmbedding of 261 tokens',
  inputs: [
    [261, 70],
    [722, 70],
  ],
  run: ([word, position]) => [
    tokenEmbedding(tokens(3, 720, 257), word as tf.Tensor2D, position as tf.Tensor2D, {
      padId: 1,
      maskId: 260,
      tokenDropout: true,
    }),
  ],
});
cases.push({
  name: 'rotary',
  inputs: [[2, 7, 3 * 3 * 6]],
  run: ([qkv]) => [rotary(qkv as tf.Tensor3D, tf.tensor1d([1, 0.3, 0.01]), 3)],
});
for (const [batch, length, heads, size] of [
  [1, 1, 1, 4],
  [2, 11, 2, 8],
  [2, 70, 2, 16],
  [1, 200, 1, 64],
  [3, 37, 3, 5],
]) {
  for (const causal of [false, true]) {
    const name = `[${batch},${length}] ${heads}x${size}${causal ? ' causal' : ''}`;
    const inputs = [[batch, length, 3 * heads * size]];
    const keep = () => lengths(batch, length);
    // Outputs of padded queries carry no meaning.
    const meaningful = (out: tf.Tensor) => [tf.mul(out, tf.expandDims(keep(), 2))];
    for (const features of [undefined, 24]) {
      cases.push({
        name: `favorReluAttention ${name}${features ? ' projected' : ''}`,
        inputs,
        run: ([qkv]) => {
          const projection = features ? (float([features, size], 5) as tf.Tensor2D) : undefined;
          const options = { heads, epsilon: 1e-3, causal };
          return meaningful(favorReluAttention(qkv as tf.Tensor3D, keep(), projection, options));
        },
      });
    }
    const projection = () => float([24, size], 5) as tf.Tensor2D;
    cases.push({
      name: `favorSoftmaxAttention ${name}`,
      inputs,
      run: ([qkv]) =>
        meaningful(favorSoftmaxAttention(qkv as tf.Tensor3D, keep(), projection(), { heads, epsilon: 1e-6, causal })),
    });
    // Scaled down: at unit size its denominators come near zero, and no two ways of rounding agree.
    cases.push({
      name: `favorTrigAttention ${name}`,
      inputs,
      run: ([qkv]) => {
        const small = tf.mul(qkv, 0.3) as tf.Tensor3D;
        return meaningful(favorTrigAttention(small, keep(), projection(), { heads, causal }));
      },
    });
    // The identity's denominators cross zero.
    for (const kernel of (Object.keys(KERNEL_FUNCTIONS) as KernelFunction[]).filter(
      (kernel) => kernel !== 'identity',
    )) {
      cases.push({
        name: `favorKernelAttention ${kernel} ${name}`,
        inputs,
        run: ([qkv]) => {
          const epsilon = kernel === 'tanh' || kernel === 'gelu' ? 2 : 1e-3;
          const options = { heads, kernel, epsilon, causal };
          return meaningful(favorKernelAttention(tf.mul(qkv, 0.3) as tf.Tensor3D, keep(), undefined, options));
        },
      });
    }
    for (const chunkLength of [8, 512]) {
      cases.push({
        name: `lshAttention ${name} chunks of ${chunkLength}`,
        inputs,
        run: ([qkv]) => {
          const rotations = float([2 * 4, size], 6) as tf.Tensor2D;
          const options = { heads, causal, hashes: 2, chunkLength };
          return meaningful(lshAttention(qkv as tf.Tensor3D, keep(), rotations, options));
        },
      });
    }
    if (!causal) {
      cases.push({
        name: `linformerAttention ${name}`,
        inputs: [...inputs, [6, length + 2], [6, length + 2]],
        run: ([qkv, e, f]) =>
          meaningful(linformerAttention(qkv as tf.Tensor3D, keep(), e as tf.Tensor2D, f as tf.Tensor2D, heads)),
      });
    }
    cases.push({
      name: `softmaxAttention ${name}`,
      inputs,
      run: ([qkv]) => meaningful(softmaxAttention(qkv as tf.Tensor3D, keep(), { heads, causal })),
    });
  }
}
cases.push({
  name: 'gatherRows with repeats',
  inputs: [[6, 5]],
  run: ([x]) => [gatherRows(x as tf.Tensor2D, tf.tensor1d([5, 0, 5, 2], 'int32'))],
});
cases.push({
  name: 'maskedCrossEntropy',
  inputs: [[9, 33]],
  differentiable: 1,
  run: ([logits]) => {
    // Each row's largest logit, but for row 3: its next.
    const wrong = tf.cast(tf.oneHot(tf.scalar(3, 'int32'), 9), 'int32');
    const labels = tf.mod(tf.add(tf.argMax(logits, 1), wrong), tf.scalar(33, 'int32'));
    const weights = tf.tensor1d([0.1, 0.1, 0.2, 0.2, 0.05, 0.05, 0.3, 0, 0.3]);
    const { loss, correct } = maskedCrossEntropy(tf.mul(logits, 3) as tf.Tensor2D, labels as tf.Tensor1D, weights);
    return [loss, correct];
  },
});

/** Values and gradients of a case on the current backend. */
async function evaluate(test: Case): Promise<{ values: number[][]; gradients: number[][] }> {
  const { values, gradients } = tf.tidy(() => {
    const inputs = test.inputs.map((shape, i) => float(shape, i + 1));
    const weighted = (...xs: tf.Tensor[]) =>
      tf.addN(
        test
          .run(xs)
          .slice(0, test.differentiable)
          .map((output, i) => tf.sum(tf.mul(output, float(output.shape, 100 + i)))),
      ) as tf.Scalar;
    return { values: test.run(inputs), gradients: tf.grads(weighted)(inputs) };
  });
  return { values: await download(values), gradients: await download(gradients) };
}

async function download(tensors: tf.Tensor[]): Promise<number[][]> {
  const values = await Promise.all(tensors.map((tensor) => tensor.data()));
  tf.dispose(tensors);
  return values.map((array) => [...array]);
}

/** Runs on tfjs's own cpu backend, which has none of our kernels: the reference formulas. */
async function onReference<T>(compute: () => Promise<T>): Promise<T> {
  const backend = tf.getBackend();
  await tf.setBackend('cpu');
  try {
    return await compute();
  } finally {
    await tf.setBackend(backend);
  }
}

describeEngines('operations agree with their reference', () => {
  it.each(cases.map((test) => [test.name, test] as const))('%s', async (_, test) => {
    const expected = await onReference(() => evaluate(test));
    const before = tf.memory().numTensors;
    const actual = await evaluate(test);
    expect(tf.memory().numTensors).toBe(before);
    for (const [i, values] of expected.values.entries()) {
      expect(relativeDifference(actual.values[i], values), `output ${i}`).toBeLessThan(1e-4);
    }
    for (const [i, gradient] of expected.gradients.entries()) {
      expect(relativeDifference(actual.gradients[i], gradient), `gradient ${i}`).toBeLessThan(1e-3);
    }
  });

  it('adamW over three steps', async () => {
    const shapes = [[4, 5], [7], [3, 1]];
    const train = async () => {
      const slots = shapes.map((shape, i) => ({
        parameter: tf.variable(float(shape, i)),
        firstMoment: tf.variable(tf.zeros(shape)),
        secondMoment: tf.variable(tf.zeros(shape)),
        weightDecay: shape.length > 1 ? 0.1 : 0,
      }));
      const norms: number[] = [];
      for (let step = 1; step <= 3; step++) {
        const gradients = shapes.map((shape, i) => float(shape, 10 * step + i));
        const hyper = tf.tensor1d(adamWHyper(step, 0.1, 0.9, 0.98));
        const norm = adamW(
          slots.map((slot, i) => ({ ...slot, gradient: gradients[i] })),
          { hyper, beta1: 0.9, beta2: 0.98, epsilon: 1e-9, maxNorm: 0.5 },
        );
        norms.push((await norm.data())[0]);
        tf.dispose([norm, hyper, gradients]);
      }
      const values: number[] = [];
      for (const slot of slots) {
        values.push(...(await slot.parameter.data()));
      }
      for (const slot of slots) {
        tf.dispose([slot.parameter, slot.firstMoment, slot.secondMoment]);
      }
      return [...norms, ...values];
    };
    const expected = await onReference(train);
    expect(relativeDifference(await train(), expected)).toBeLessThan(1e-5);
  });

  it.each([
    ['below the norm that they are clipped to, as they are', [0.18, 0.24], 1],
    ['at half of it, as they are', [0.3, 0.4], 1],
    ['above it, scaled down to it', [3, 4], 0.2],
  ])('adamW takes gradients %s', async (_, gradient, scale) => {
    const slot = {
      parameter: tf.variable(tf.tensor1d([1, -1])),
      firstMoment: tf.variable(tf.tensor1d([0.5, 0])),
      secondMoment: tf.variable(tf.tensor1d([0.25, 1])),
      gradient: tf.tensor1d(gradient),
      weightDecay: 0.1,
    };
    const hyper = tf.tensor1d(adamWHyper(2, 0.1, 0.9, 0.98));
    const norm = adamW([slot], { hyper, beta1: 0.9, beta2: 0.98, epsilon: 1e-9, maxNorm: 1 });
    // Loshchilov & Hutter 2019, algorithm 2, in doubles.
    const first = gradient.map((g, i) => 0.9 * [0.5, 0][i] + 0.1 * g * scale);
    const second = gradient.map((g, i) => 0.98 * [0.25, 1][i] + 0.02 * (g * scale) ** 2);
    const parameter = [1, -1].map((value, i) => {
      const change = first[i] / (1 - 0.9 ** 2) / (Math.sqrt(second[i] / (1 - 0.98 ** 2)) + 1e-9);
      return value * (1 - 0.1 * 0.1) - 0.1 * change;
    });
    expect((await norm.data())[0]).toBeCloseTo(Math.hypot(...gradient), 5);
    expect(relativeDifference(await slot.firstMoment.data(), first)).toBeLessThan(1e-5);
    expect(relativeDifference(await slot.secondMoment.data(), second)).toBeLessThan(1e-5);
    expect(relativeDifference(await slot.parameter.data(), parameter)).toBeLessThan(1e-5);
    tf.dispose([norm, hyper, slot.gradient, slot.parameter, slot.firstMoment, slot.secondMoment]);
  });
});

describe('gelu', () => {
  it('agrees with published values of x Φ(x)', async () => {
    await tf.setBackend('cpu');
    // Φ(1) = 0.841344746, Φ(2) = 0.977249868 (Abramowitz & Stegun 1964, table 26.1)
    const expected = [0, 0.841344746, -0.158655254, 1.954499736, -0.045500264];
    expect(relativeDifference(gelu(tf.tensor1d([0, 1, -1, 2, -2])).dataSync(), expected)).toBeLessThan(1e-6);
  });
});
