import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import util from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import { InputError } from '../../data/errors.js';
import type { EngineKind } from '../engine.js';

const require = createRequire(import.meta.url);
// In the order of preference.
const PACKAGES = ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'];
const INSTALL = 'pip install tensorflow-cpu (or tensorflow[and-cuda]), then npm run setup:tensorflow';

/** The package that is installed, and whether its addon is built. Loads neither. */
function find(): { name: string; folder: string; built: boolean } | undefined {
  for (const name of PACKAGES) {
    try {
      const folder = dirname(require.resolve(`${name}/package.json`));
      const lib = join(folder, 'lib');
      const built = existsSync(lib) && readdirSync(lib).some((api) => existsSync(join(lib, api, 'tfjs_binding.node')));
      return { name, folder, built };
    } catch {
      // Not this one.
    }
  }
  return undefined;
}

function load(name: string): void {
  // TensorFlow reports its every optimisation on standard error.
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '2';
  // Node.js 23 has dropped it, and tfjs-node uses it.
  (util as { isNullOrUndefined?: (value: unknown) => boolean }).isNullOrUndefined ??= (value) => value == null;
  require(name);
}

/** TensorFlow's own kernels through tfjs-node, where that is installed: CUDA, or the CPU. */
export const tensorflow: EngineKind = {
  device: 'tensorflow',
  honours: { threads: 0, precisions: ['f32'], maxMemory: false },
  async probe() {
    const found = find();
    if (found?.built) {
      return { device: 'tensorflow', usable: true, automatic: false, description: found.name };
    }
    const reason = found ? `${found.name} is installed without its addon` : `${PACKAGES[1]} is not installed`;
    return { device: 'tensorflow', usable: false, automatic: false, reason, install: INSTALL };
  },
  async register() {
    const found = find();
    if (!found?.built) {
      return undefined;
    }
    try {
      load(found.name);
    } catch {
      return undefined;
    }
    return 'tensorflow';
  },
  async start() {
    const found = find();
    if (!found?.built) {
      throw new InputError(`--device tensorflow: tfjs-node is not set up; to get it: ${INSTALL}`);
    }
    try {
      load(found.name);
    } catch (error) {
      const [line] = String((error as Error).message).split('\n');
      throw new InputError(`--device tensorflow: ${found.name} does not load (${line}); ${INSTALL}`);
    }
    await tf.setBackend('tensorflow');
    const version = (tf.backend() as unknown as { binding: { TF_Version: string } }).binding.TF_Version;
    return {
      device: 'tensorflow',
      backend: 'tensorflow',
      description: `TensorFlow ${version} (${found.name})`,
      precision: 'f32',
      tokensPerPass: 65_536,
      largestTensor: 2 ** 25,
      async stop() {},
    };
  },
};
