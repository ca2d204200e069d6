import { createRequire } from 'node:module';
import { dirname, join, sep } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import type { EngineKind } from '../engine.js';
import { registerMatMul } from './matMul.js';

/** tfjs's WebAssembly backend: one thread, SIMD, everywhere. */
export const wasm: EngineKind = {
  device: 'wasm',
  honours: { threads: 1, precisions: ['f32'], maxMemory: false },
  async probe() {
    return { device: 'wasm', usable: true, automatic: true, description: 'WebAssembly SIMD, 1 thread' };
  },
  async register() {
    // Imported here because loading it takes 100 ms that other engines need not spend.
    await import('@tensorflow/tfjs-backend-wasm');
    registerMatMul();
    return 'wasm';
  },
  async start() {
    const { setWasmPaths } = await import('@tensorflow/tfjs-backend-wasm');
    const main = createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm/package.json');
    setWasmPaths(join(dirname(main), 'dist') + sep);
    registerMatMul();
    await tf.setBackend('wasm');
    await tf.ready();
    return {
      device: 'wasm',
      backend: 'wasm',
      description: 'WebAssembly SIMD, 1 thread',
      precision: 'f32',
      tokensPerPass: 4_096,
      largestTensor: Infinity,
      async stop() {},
    };
  },
};
