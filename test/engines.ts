import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe } from 'vitest';
import '../src/engines/gradients.js';
import { type Device, type Engine, probeEngines, startEngine } from '../src/engines/index.js';

const usable: Device[] = (await probeEngines()).filter((report) => report.usable).map((report) => report.device);

/** Declares tests once for every engine that runs on this machine. */
export function describeEngines(name: string, tests: (device: Device) => void): void {
  describe.each(usable)(`${name} on %s`, (device) => {
    let engine: Engine;
    beforeAll(async () => {
      engine = await startEngine(device, { precision: 'f32' });
    });
    afterAll(async () => {
      tf.disposeVariables();
      await engine.stop();
    });
    tests(device);
  });
}

/** The largest difference between two arrays of values, relative to the largest value of what is expected. */
export function relativeDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) {
    return Number.POSITIVE_INFINITY;
  }
  let largest = 0;
  let difference = 0;
  for (let i = 0; i < expected.length; i++) {
    largest = Math.max(largest, Math.abs(expected[i]));
    const gap = Math.abs(actual[i] - expected[i]);
    difference = Math.max(difference, Number.isNaN(gap) ? Number.POSITIVE_INFINITY : gap);
  }
  return largest === 0 ? difference : difference / largest;
}
