import { cpus, totalmem } from 'node:os';
import * as tf from '@tensorflow/tfjs-core';
import { InputError } from '../../data/errors.js';
import type { EngineKind } from '../engine.js';
import { loadAddon } from './addon.js';
import { BACKEND_NAME, NativeBackend } from './backend.js';
import { KERNELS } from './kernels/index.js';
import { BufferPool } from './pool.js';

const INSTALL = 'install g++ or clang, then run npm rebuild protein-lm';

/** The CPU engine: tfjs's `cpu` backend with its hot kernels, and those of src/ops, replaced by C++ ones. */
export const cpu: EngineKind = {
  device: 'cpu',
  async probe() {
    try {
      loadAddon();
      return { device: 'cpu', usable: true, automatic: true, description: describe() };
    } catch (error) {
      return { device: 'cpu', usable: false, automatic: false, reason: (error as Error).message, install: INSTALL };
    }
  },
  async start({ threads }) {
    try {
      loadAddon();
    } catch (error) {
      throw new InputError((error as Error).message);
    }
    const addon = loadAddon();
    if (threads !== undefined) addon.setThreads(threads);
    register();
    await tf.setBackend(BACKEND_NAME);
    return { device: 'cpu', backend: BACKEND_NAME, description: describe(), async stop() {} };
  },
};

/** Makes `cpu-native` known to tfjs, once in a process. */
function register(): void {
  if (tf.findBackendFactory(BACKEND_NAME)) return;
  const addon = loadAddon();
  tf.registerBackend(BACKEND_NAME, () => {
    const pool = new BufferPool(
      (bytes) => addon.allocate(bytes),
      (buffer) => addon.release(buffer),
      totalmem(),
    );
    return new NativeBackend(addon, pool);
  });
  tf.copyRegisteredKernels('cpu', BACKEND_NAME);
  for (const { name, run } of KERNELS) {
    const original = (tf.getKernel(name, BACKEND_NAME) as tf.KernelConfig | undefined)?.kernelFunc;
    if (original) tf.unregisterKernel(name, BACKEND_NAME);
    const kernelFunc = ({ inputs, attrs, backend }: Parameters<tf.KernelFunc>[0]) =>
      run({
        inputs: inputs as Record<string, tf.TensorInfo>,
        attrs: attrs as never,
        backend: backend as NativeBackend,
        original: () => original!({ inputs, attrs, backend }),
      });
    tf.registerKernel({ kernelName: name, backendName: BACKEND_NAME, kernelFunc });
  }
}

function describe(): string {
  const addon = loadAddon();
  const threads = addon.threads();
  return `${cpus()[0]?.model.trim() ?? 'CPU'}, ${addon.instructionSet()}, ${threads} thread${threads === 1 ? '' : 's'}`;
}
