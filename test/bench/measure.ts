// Measures one workload in a process of its own, so that its peak memory is its own: node measure.js '{…}' prints a
// Measurement as JSON.
import * as tf from '@tensorflow/tfjs-core';
import { Random } from '../../src/data/random.js';
import { startEngine } from '../../src/engines/index.js';
import { newConfig } from '../../src/model/config.js';
import { createModel, type LanguageModel } from '../../src/model/model.js';
import { CONFIGURATIONS, type Measurement, type Workload } from './workload.js';

const WARM_UP = 2;
const MASKED_SHARE = 0.15;

const workload = JSON.parse(process.argv[2]) as Workload;
const sizes = { ...CONFIGURATIONS[workload.configuration] };
const length = workload.length ?? sizes.length;
const batch = workload.batch ?? sizes.batch;

const engine = await startEngine('cpu', { threads: workload.threads });
const config = newConfig({ ...sizes, length, dropout: 0, attention: { kind: workload.attention } });
const model = createModel(config, 0);
const random = new Random(1);
const ids = Int32Array.from({ length: batch * length }, () => 4 + (random.uint32() % 20));
const step = workload.forward ? inference(model) : await training(model);

for (let i = 0; i < WARM_UP; i++) {
  await step();
}
const times = workload.profile ? profileKernels(engine.backend) : undefined;
const durations: number[] = [];
const start = performance.now();
const cpuBefore = process.cpuUsage();
while (durations.length < 2 || performance.now() - start < workload.seconds * 1000) {
  const before = performance.now();
  await step();
  durations.push((performance.now() - before) / 1000);
}
const secondsPerStep = (performance.now() - start) / 1000 / durations.length;
const cpu = process.cpuUsage(cpuBefore);
const measurement: Measurement = {
  configuration: workload.configuration,
  forward: workload.forward,
  attention: workload.attention,
  length,
  batch,
  engine: engine.description,
  secondsPerStep,
  cpuSecondsPerStep: (cpu.user + cpu.system) / 1e6 / durations.length,
  bestSeconds: Math.min(...durations),
  tokensPerSecond: Math.round((batch * length) / secondsPerStep),
  peakBytes: process.resourceUsage().maxRSS * 1024,
  kernels: times && perStep(times, durations.length),
};
process.stdout.write(`${JSON.stringify(measurement)}\n`);

function inference(model: LanguageModel): () => Promise<void> {
  return async () => {
    const logits = tf.tidy(() => model.logits(tf.tensor2d(ids, [batch, length], 'int32')));
    logits.dispose();
  };
}

/** The training step that `protein-lm pretrain` runs, on 15 % of the positions. */
async function training(model: LanguageModel): Promise<() => Promise<void>> {
  const { Optimizer } = await import('../../src/training/optimizer.js');
  const { PAPER_OPTIMIZER } = await import('../../src/training/recipe.js');
  const { trainingStep } = await import('../../src/training/step.js');
  const optimizer = new Optimizer(model.trainable, PAPER_OPTIMIZER);
  const positions = Int32Array.from(ids.keys()).filter(() => random.uniform() < MASKED_SHARE);
  const labels = positions.map(() => 4 + (random.uint32() % 20));
  return async () => {
    await trainingStep(model, optimizer, [{ ids, batch, length, positions, labels }], { learningRate: 1e-3, seed: 0 });
  };
}

type KernelTimes = Map<string, { milliseconds: number; calls: number }>;

function profileKernels(backend: string): KernelTimes {
  const times: KernelTimes = new Map();
  for (const kernel of tf.getKernelsForBackend(backend)) {
    const run = kernel.kernelFunc;
    kernel.kernelFunc = (call) => {
      const before = performance.now();
      const result = run(call);
      const time = times.get(kernel.kernelName) ?? { milliseconds: 0, calls: 0 };
      times.set(kernel.kernelName, {
        milliseconds: time.milliseconds + performance.now() - before,
        calls: time.calls + 1,
      });
      return result;
    };
  }
  return times;
}

function perStep(times: KernelTimes, steps: number): Measurement['kernels'] {
  const sorted = [...times].sort(([, a], [, b]) => b.milliseconds - a.milliseconds);
  return Object.fromEntries(
    sorted.map(([name, { milliseconds, calls }]) => [
      name,
      { milliseconds: Number((milliseconds / steps).toFixed(3)), calls: calls / steps },
    ]),
  );
}
