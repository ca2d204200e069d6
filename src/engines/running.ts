import * as tf from '@tensorflow/tfjs-core';
import { InputError } from '../data/errors.js';
import type { Engine } from './engine.js';

// Those that were started and not stopped, the current one last.
const running: Engine[] = [];

/** The engine that computes: the one that was started last of those that were not stopped. */
export function runningEngine(): Engine | undefined {
  return running.at(-1);
}

/**
 * The engine that computes.
 * @throws InputError where none runs: tfjs by itself would take its JavaScript backend, a hundred times slower
 */
export function requireEngine(): Engine {
  const engine = runningEngine();
  if (!engine) {
    throw new InputError('no engine runs: call await startEngine() first');
  }
  return engine;
}

/** @throws InputError where the engine on which a model was made has stopped, or another one computes */
export function assertComputes(engine: Engine): void {
  if (!running.includes(engine)) {
    throw new InputError(
      `the ${engine.device} engine that holds this model has stopped: call await startEngine(), and load the model again`,
    );
  }
  if (tf.getBackend() !== engine.backend) {
    throw new InputError(
      `this model is on the ${engine.device} engine, and tfjs computes on '${tf.getBackend()}': load it again there`,
    );
  }
}

/** Makes a started engine the current one, until it is stopped; the one before then is again. */
export function announce(started: Engine): Engine {
  const engine: Engine = {
    ...started,
    async stop() {
      const index = running.indexOf(engine);
      if (index < 0) {
        return;
      }
      running.splice(index, 1);
      await started.stop();
      const next = runningEngine();
      if (next) {
        await tf.setBackend(next.backend);
      }
    },
  };
  running.push(engine);
  return engine;
}
