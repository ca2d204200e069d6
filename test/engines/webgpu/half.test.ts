import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import '../../../src/engines/gradients.js';
import { Random } from '../../../src/data/random.js';
import { type Engine, startEngine } from '../../../src/engines/index.js';
import type { Backend } from '../../../src/engines/webgpu/backend.js';
import type { MatrixUnits } from '../../../src/engines/webgpu/gpu.js';
import { webgpu } from '../../../src/engines/webgpu/index.js';
import { computesRight } from '../../../src/engines/webgpu/kernels/matrixUnits.js';
import { linear, linearReference } from '../../../src/ops/linear.js';
import { relativeDifference } from '../../engines.js';

/** Starts the engine with 16-bit products, where the adapter has them. */
async function startHalf(): Promise<Engine | undefined> {
  if (!(await webgpu.probe()).usable) {
    return undefined;
  }
  return webgpu.start({ precision: 'f16' }).catch(() => undefined);
}

const started = await startHalf();
await started?.stop();

function normal(shape: number[], seed: number): tf.Tensor {
  const random = new Random(seed);
  const values = Float32Array.from({ length: tf.util.sizeFromShape(shape) }, () => random.normal());
  return tf.tensor(values, shape);
}

/** The device of an engine that runs, and what its products use. */
const running = () => tf.backend() as unknown as { device: GPUDevice; matrixUnits: MatrixUnits };

describe.skipIf(!started)('products of 16-bit operands on webgpu', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await webgpu.start({ precision: 'f16' });
  });
  afterAll(() => engine.stop());

  /** y and the gradients of linear, its gradient's values of the size of `scale`. */
  async function evaluate(shape: [number, number, number], scale: number, operation: typeof linear) {
    const [rows, inputs, outputs] = shape;
    const tensors = tf.tidy(() => {
      const arguments_ = [normal([rows, inputs], 1), normal([outputs, inputs], 2), normal([outputs], 3)];
      const dy = tf.mul(normal([rows, outputs], 4), scale);
      const compute = (x: tf.Tensor, w: tf.Tensor, b: tf.Tensor) => operation(x, w, b, 'gelu');
      const { value, grads } = {
        value: compute(arguments_[0], arguments_[1], arguments_[2]),
        grads: tf.grads(compute as never),
      };
      return [value, ...grads(arguments_, dy)];
    });
    const values = await Promise.all(tensors.map((tensor) => tensor.data()));
    tf.dispose(tensors);
    return values;
  }

  const onCpu = async <T>(compute: () => Promise<T>): Promise<T> => {
    await tf.setBackend('cpu');
    try {
      return await compute();
    } finally {
      await tf.setBackend('webgpu');
    }
  };

  it.each([
    [1, 1, 1],
    [33, 17, 40],
    [64, 64, 64],
    [130, 70, 96],
    [300, 130, 131],
  ] as [number, number, number][])('agree with 32-bit ones, %i x %i x %i', async (...shape) => {
    const expected = await onCpu(() => evaluate(shape, 1, linearReference as typeof linear));
    const actual = await evaluate(shape, 1, linear);
    // 16-bit floats have 11 bits: a rounding is 2⁻¹¹ at most, sums of many err less.
    for (const [i, values] of expected.entries()) {
      expect(relativeDifference(actual[i], values), `tensor ${i}`).toBeLessThan(2 ** -9);
    }
  });

  it.each([1e-12, 1e-7, 1e6, 1e30])('take gradients of the size of %d, far outside of 16 bits', async (scale) => {
    const expected = await onCpu(() => evaluate([40, 24, 30], scale, linearReference as typeof linear));
    const actual = await evaluate([40, 24, 30], scale, linear);
    for (const [i, values] of expected.entries()) {
      expect(relativeDifference(actual[i], values), `tensor ${i}`).toBeLessThan(2 ** -9);
    }
  });

  // As if the driver told of larger or smaller subgroups than it has, or of several sizes.
  it.each([
    ['open', 0.5],
    ['open', 1],
    ['open', 2],
    ['chosen', 1],
  ] as const)('do not depend on the size of subgroups: %s, %d times what it is', async (sizes, factor) => {
    const backend = running();
    const units = backend.matrixUnits;
    const compute = async () => {
      const y = tf.tidy(() => linear(normal([70, 40], 1), normal([50, 40], 2)));
      const values = await y.data();
      y.dispose();
      return values;
    };
    const expected = await compute();
    backend.matrixUnits = { ...units, sizes, subgroup: units.subgroup * factor };
    try {
      expect(await compute()).toEqual(expected);
    } finally {
      backend.matrixUnits = units;
    }
  });

  it('are checked at the start: units that compute wrongly are not used', async () => {
    const backend = running() as unknown as Backend;
    expect(await computesRight(backend)).toBe(true);
    const units = backend.matrixUnits!;
    // As if the driver computed something else than it says.
    const { createShaderModule } = backend.device;
    backend.matrixUnits = { ...units, sizes: 'open' };
    backend.device.createShaderModule = function (descriptor) {
      const code = descriptor.code.replace('subgroupMatrixMultiplyAccumulate(a0, b0, sum_0_0)', 'sum_0_0');
      return createShaderModule.call(this, { ...descriptor, code });
    };
    try {
      expect(await computesRight(backend)).toBe(false);
    } finally {
      backend.device.createShaderModule = createShaderModule;
    }
    // Or did not know a shape that it has told.
    backend.matrixUnits = { ...units, m: 16, n: 16, k: 16, subgroup: 8 };
    expect(await computesRight(backend)).toBe(false);
    backend.matrixUnits = units;
    expect(await computesRight(backend)).toBe(true);
  });

  it('let an infinite gradient be seen', async () => {
    const [, dx] = await evaluate([8, 8, 8], Number.POSITIVE_INFINITY, linear);
    expect([...dx].every(Number.isFinite)).toBe(false);
  });

  it('says where an engine has them', async () => {
    expect(engine.description).toContain('f16');
    expect((await startEngine('cpu')).description).not.toContain('f16');
    await tf.setBackend('webgpu');
  });
});

const without = !started && (await webgpu.probe()).usable;
it.skipIf(!without)('where an adapter has no matrix units, --precision f16 says so and auto does without', async () => {
  await expect(webgpu.start({ precision: 'f16' })).rejects.toThrow(/has no matrix units .*; leave it out$/);
  const engine = await webgpu.start({});
  expect(engine.description).toMatch(/, f32$/);
  await engine.stop();
});
