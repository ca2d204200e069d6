import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import '../../../src/engines/gradients.js';
import type { Engine } from '../../../src/engines/index.js';
import { findAdapter } from '../../../src/engines/webgpu/adapter.js';
import type { Backend } from '../../../src/engines/webgpu/backend.js';
import type { MatrixUnits } from '../../../src/engines/webgpu/gpu.js';
import { startOn } from '../../../src/engines/webgpu/index.js';
import { matrixUnitsOf } from '../../../src/engines/webgpu/kernels/matrixUnits.js';
import { linear } from '../../../src/ops/linear.js';

// Matrix units as GPUs have them: name, [m, n, k], threads of a subgroup, least and most of them, and whether code may
// choose among these.
const GPUS: [string, [number, number, number], number, [number, number], boolean][] = [
  ['NVIDIA', [16, 16, 16], 32, [32, 32], false],
  ['NVIDIA', [16, 8, 16], 32, [32, 32], false],
  ['NVIDIA', [16, 8, 8], 32, [32, 32], false],
  ['AMD, newer', [16, 16, 16], 32, [32, 64], true],
  ['AMD, older', [16, 16, 16], 64, [64, 64], false],
  ['Intel Xe2', [8, 16, 16], 16, [16, 32], true],
  ['Intel Arc', [8, 8, 16], 8, [8, 32], true],
  ['Apple', [8, 8, 8], 32, [4, 64], false],
  ['Mesa lavapipe', [8, 8, 8], 8, [8, 8], false],
];

const found = await findAdapter('null');

// Dawn's null backend runs nothing, but compiles WGSL and checks pipelines as every other.
describe.skipIf(!('adapter' in found))('code for matrix units', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await startOn(found as { adapter: GPUAdapter; gpu: GPU });
  });
  afterAll(() => engine.stop());

  const backend = () => tf.backend() as unknown as Backend;

  /** As the adapter would tell of them, among shapes that nothing here can use. */
  function told([m, n, k]: number[], [least, most]: number[], choosing: boolean): MatrixUnits | undefined {
    const info = {
      subgroupMinSize: least,
      subgroupMaxSize: most,
      subgroupMatrixConfigs: [
        { componentType: 'f16', resultComponentType: 'f16', M: 2 * m, N: n, K: k },
        { componentType: 'i8', resultComponentType: 'i32', M: m, N: n, K: 32 },
        { componentType: 'f16', resultComponentType: 'f32', M: m, N: n, K: k },
        { componentType: 'f16', resultComponentType: 'f32', M: 48, N: n, K: k },
      ],
    } as unknown as GPUAdapterInfo;
    const { limits } = backend().device;
    const features = new Set(backend().device.features);
    if (!choosing) {
      features.delete('subgroup-size-control' as GPUFeatureName);
    }
    return matrixUnitsOf({ features, limits } as unknown as GPUDevice, info);
  }

  it.each(GPUS)('%s %o, subgroups of %d: is chosen', (_, shape, subgroup, sizes, choosing) => {
    const expected = sizes[0] === sizes[1] ? 'fixed' : choosing ? 'chosen' : 'open';
    const [m, n, k] = shape;
    expect(told(shape, sizes, choosing)).toMatchObject({ m, n, k, subgroup, sizes: expected });
  });

  it.each(GPUS)('%s %o, subgroups of %d: compiles', async (_, shape, _subgroup, sizes, choosing) => {
    const { device } = backend();
    const { createShaderModule } = device;
    const modules: { code: string; module: GPUShaderModule }[] = [];
    device.createShaderModule = function (descriptor) {
      const module = createShaderModule.call(this, descriptor);
      modules.push({ code: descriptor.code, module });
      return module;
    };
    const compile = async (rows: number, columns: number) => {
      device.pushErrorScope('validation');
      tf.tidy(() => {
        const [x, w, b] = [tf.zeros([rows, 40]), tf.zeros([columns, 40]), tf.zeros([columns])];
        tf.grads(((...inputs: tf.Tensor[]) => linear(inputs[0], inputs[1], inputs[2], 'gelu')) as never)([x, w, b]);
      });
      // What is wrong with commands shows when they are submitted.
      if (backend().commandEncoder) {
        backend().submitQueue();
      }
      return (await device.popErrorScope())?.message;
    };
    try {
      backend().matrixUnits = told(shape, sizes, choosing);
      expect(await compile(70, 50)).toBeUndefined();
      const [small] = [modules.length];
      // Large tiles need more of a workgroup's memory than the null backend has: only their modules can be made.
      backend().matrixUnits = { ...backend().matrixUnits!, memory: 49152 };
      await compile(1500, 1500);
      expect(modules.length).toBeGreaterThan(small);
    } finally {
      device.createShaderModule = createShaderModule;
      backend().matrixUnits = undefined;
    }
    const ours = modules.filter(({ code }) => code.includes('subgroupMatrixMultiplyAccumulate'));
    expect(ours.length).toBeGreaterThanOrEqual(3);
    for (const { module } of ours) {
      const { messages } = await module.getCompilationInfo();
      expect(messages.filter(({ type }) => type === 'error').map(({ message }) => message)).toEqual([]);
    }
  });
});
