// What a replayed training step of performer-36 costs the processor, JavaScript and Dawn together, and of how many
// dispatches it is:
//
//   npm run build && node test/gpu/javascript.mjs
//
// Dawn's null backend computes nothing, so that this is all there is; it has 512 MiB, too little for 36 layers at full
// width. That the width changes nothing shows with 12 layers, and where there is a GPU, in software too, with all 36 at
// full width: dispatches are counted there. Prints JSON.
import { createRequire } from 'node:module';

const root = new URL('../../', import.meta.url);
const load = (file) => import(new URL(`dist/${file}.js`, root));
await load('engines/gradients');
const tf = createRequire(import.meta.url)('@tensorflow/tfjs-core');
const { findAdapter } = await load('engines/webgpu/adapter');
const { startOn } = await load('engines/webgpu/index');
const { announce } = await load('engines/running');
const { createModel } = await load('model/model');
const { newConfig, PRESETS } = await load('model/config');
const { Optimizer } = await load('training/optimizer');
const { PAPER_OPTIMIZER } = await load('training/recipe');
const { trainingStep } = await load('training/step');

const LENGTH = 64;
const SETTLED = 5;

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

/** Steps of `performer-36` with so many layers of that width, on an adapter. */
async function measure(found, layers, hidden, steps) {
  const engine = announce(await startOn(found, { precision: 'f32' }));
  const sizes = { ...PRESETS['performer-36'], layers, hidden, feedForward: 2 * hidden, length: LENGTH };
  const model = createModel(newConfig(sizes), 0);
  const optimizer = new Optimizer(model.trainable, PAPER_OPTIMIZER);
  const positions = Int32Array.from({ length: 8 }, (_, i) => 8 * i);
  const pass = { ids: new Int32Array(LENGTH).fill(5), batch: 1, length: LENGTH, positions, labels: positions };
  const processor = [];
  for (let step = 0; step < steps; step++) {
    const before = process.cpuUsage();
    await trainingStep(model, optimizer, [pass], { learningRate: 1e-4, seed: 0 });
    const { user, system } = process.cpuUsage(before);
    processor.push((user + system) / 1000);
  }
  const [{ dispatches }] = tf.backend().recorder.recordings.values();
  optimizer.dispose();
  model.dispose();
  await engine.stop();
  const replayed = processor.slice(SETTLED);
  return {
    layers,
    width: hidden,
    dispatches: dispatches.length,
    ...(replayed.length > 0 && { milliseconds_per_step: Number(median(replayed).toFixed(2)), steps: replayed.length }),
  };
}

const results = { node: process.version, date: new Date().toISOString(), null: [], gpu: null };
for (const [layers, hidden] of [
  [36, 128],
  [12, 128],
  [12, 512],
]) {
  results.null.push(await measure(await findAdapter('null'), layers, hidden, SETTLED + 20));
}
const found = await findAdapter();
if ('adapter' in found) {
  const name = found.adapter.info.device || found.adapter.info.description;
  results.gpu = { name, ...(await measure(found, 36, 512, 1)) };
}
process.stdout.write(`${JSON.stringify(results, null, 1)}\n`);
process.exit();
