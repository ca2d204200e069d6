import { cpus, totalmem } from 'node:os';
import * as tf from '@tensorflow/tfjs-core';
import { InputError } from '../../data/errors.js';
import { registerKernels } from '../../ops/kernel.js';
import type { EngineKind } from '../engine.js';
import { replaceKernel } from '../replaceKernel.js';
import { loadAddon } from './addon.js';
import { BACKEND_NAME, NativeBackend } from './backend.js';
import { KERNELS, REPLACEMENTS } from './kernels/index.js';
import { BufferPool } from './pool.js';

const INSTALL = 'install g++ or clang, then run npm rebuild protein-lm';

/** The CPU engine: tfjs's `cpu` backend with its hot kernels, and those of src/ops, replaced by C++ ones. */
export const cpu: EngineKind = {
  device: 'cpu',
  honours: { threads: 1024, precisions: ['f32'], maxMemory: true },
  async probe() {
    try {
      loadAddon();
      return { device: 'cpu', usable: true, automatic: true, description: describe() };
    } catch (error) {
      return { device: 'cpu', usable: false, automatic: false, reason: (error as Error).message, install: INSTALL };
    }
  },
  async register() {
    try {
      register();
    } catch {
      return undefined;
    }
    return BACKEND_NAME;
  },
  async start({ threads, maxMemory = availableMemory() }) {
    try {
      loadAddon();
    } catch (error) {
      throw new InputError((error as Error).message);
    }
    const addon = loadAddon();
    if (threads !== undefined) {
      addon.setThreads(threads);
    }
    register();
    await tf.setBackend(BACKEND_NAME);
    const { pool } = tf.backend() as NativeBackend;
    pool.setLimit(maxMemory);
    return {
      device: 'cpu',
      backend: BACKEND_NAME,
      description: describe(maxMemory),
      precision: 'f32',
      tokensPerPass: 4_096,
      largestTensor: Infinity,
      memory: () => pool.memory(),
      async stop() {},
    };
  },
};

/** Makes `cpu-native` known to tfjs, once in a process. */
function register(): void {
  if (tf.findBackendFactory(BACKEND_NAME)) {
    return;
  }
  const addon = loadAddon();
  tf.registerBackend(BACKEND_NAME, () => {
    const pool = new BufferPool(
      (bytes) => addon.allocate(bytes),
      (buffer) => addon.release(buffer),
      availableMemory(),
      { bytes: () => addon.scratchBytes(), setLimit: (bytes) => addon.setScratchLimit(bytes) },
    );
    return new NativeBackend(addon, pool);
  });
  tf.copyRegisteredKernels('cpu', BACKEND_NAME);
  registerKernels(
    BACKEND_NAME,
    KERNELS.map(({ contract, kernelFunc }) => ({ contract, kernelFunc: guarded(kernelFunc) })),
  );
  for (const { name, run } of REPLACEMENTS) {
    replaceKernel(name, BACKEND_NAME, (theirs) =>
      guarded(({ inputs, attrs, backend }) =>
        run({
          inputs: inputs as Record<string, tf.TensorInfo>,
          attrs: attrs as never,
          backend: backend as NativeBackend,
          original: () => theirs({ inputs, attrs, backend }),
        }),
      ),
    );
  }
}

/** A kernel whose outputs go back to the pool where it throws. */
function guarded(kernelFunc: tf.KernelFunc): tf.KernelFunc {
  return (call) => (call.backend as NativeBackend).guard(() => kernelFunc(call));
}

/** Memory that this process may use, in bytes: the machine's, or what its container allows. */
function availableMemory(): number {
  const allowed = process.constrainedMemory();
  return allowed > 0 ? Math.min(allowed, totalmem()) : totalmem();
}

function describe(memory = availableMemory()): string {
  const addon = loadAddon();
  const threads = addon.threads();
  return [
    cpus()[0]?.model.trim() ?? 'CPU',
    addon.instructionSet(),
    `${threads} thread${threads === 1 ? '' : 's'}`,
    `up to ${(memory / 1e9).toFixed(1)} GB for tensors`,
  ].join(', ');
}
