import * as tf from '@tensorflow/tfjs-core';
import { InputError } from '../../data/errors.js';
import type { Engine, EngineKind, EngineOptions } from '../engine.js';
import { describeAdapter, findAdapter, isSoftware, openDevice } from './adapter.js';

/** Any GPU that Dawn reaches (Vulkan, Metal, Direct3D 12): tfjs's WebGPU backend with our WGSL kernels. */
export const webgpu: EngineKind = {
  device: 'webgpu',
  honours: { threads: 0, precisions: ['f16', 'f32'], maxMemory: false },
  async probe() {
    const found = await findAdapter();
    if (!('adapter' in found)) {
      return { device: 'webgpu', usable: false, automatic: false, ...found };
    }
    const software = isSoftware(found.adapter);
    const description = `${describeAdapter(found.adapter)}${software ? ' (software)' : ''}`;
    return { device: 'webgpu', usable: true, automatic: !software, description };
  },
  async register() {
    await import('./backend.js');
    const { registerWebgpuKernels } = await import('./kernels/index.js');
    registerWebgpuKernels();
    return 'webgpu';
  },
  async start(options) {
    const found = await findAdapter();
    if ('adapter' in found) {
      return startOn(found, options);
    }
    const { reason, install } = found;
    throw new InputError(`--device webgpu: ${reason}${install ? `; to get it: ${install}` : ''}`);
  },
};

/** Starts the engine on an adapter that `findAdapter` has found. */
export async function startOn(
  { adapter, gpu }: { adapter: GPUAdapter; gpu: GPU },
  { precision = 'auto' }: EngineOptions = {},
): Promise<Engine> {
  const { device, info, description, software } = await openDevice(adapter);
  // Dawn ends, whatever still runs, when its GPU object is collected; and as long as it is not, Node.js never exits.
  let held: GPU | undefined = gpu;
  const { Backend } = await import('./backend.js');
  const { registerWebgpuKernels } = await import('./kernels/index.js');
  registerWebgpuKernels();
  const { computesRight, matrixUnitsOf } = await import('./kernels/matrixUnits.js');
  const backend = withNavigator(gpu, () => new Backend(device, info));
  const units = matrixUnitsOf(device, info);
  if (precision === 'f16' || (precision === 'auto' && !software)) {
    backend.matrixUnits = units;
  }
  const wrong = backend.matrixUnits && !(await computesRight(backend));
  if (wrong) {
    backend.matrixUnits = undefined;
  }
  if (precision === 'f16' && !backend.matrixUnits) {
    backend.dispose();
    device.destroy();
    const why = wrong ? 'gets products on its matrix units wrong' : 'has no matrix units for 16-bit floats';
    throw new InputError(`--precision f16: ${description} has ${why}; leave it out`);
  }
  const single = wrong ? 'f32, since its matrix units compute wrongly' : 'f32';
  const products = backend.matrixUnits ? 'f16 products summed in f32' : single;
  tf.registerBackend('webgpu', () => backend);
  await tf.setBackend('webgpu');
  return {
    device: 'webgpu',
    backend: 'webgpu',
    description: `${description}, ${products}`,
    precision: backend.matrixUnits ? 'f16' : 'f32',
    tokensPerPass: 65_536,
    largestTensor: 2 ** 25,
    beginStep: (...step) => backend.recorder.beginStep(...step),
    measureKernels: (compute) => backend.launcher.measureKernels(compute),
    async stop() {
      tf.removeBackend('webgpu');
      if (held) {
        device.destroy();
      }
      held = undefined;
    },
  };
}

/** tfjs asks for navigator.gpu while its backend is made, and only then. */
function withNavigator<T>(gpu: GPU, make: () => T): T {
  const host = globalThis as { navigator?: { gpu?: GPU } };
  if (!host.navigator) {
    Object.defineProperty(host, 'navigator', { value: {}, configurable: true });
  }
  Object.defineProperty(host.navigator, 'gpu', { value: gpu, configurable: true });
  try {
    return make();
  } finally {
    delete host.navigator!.gpu;
  }
}
