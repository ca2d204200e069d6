import { table } from 'arquero';
import { Command, Option } from 'commander';
import { InputError } from '../data/errors.js';
import type { Engine, KernelTimes } from '../engines/engine.js';
import { newConfig } from '../model/config.js';
import { PRESETS } from '../model/presets.js';
import {
  addCommonOptions,
  addExamples,
  addPrecisionOption,
  type CommonOptions,
  type PrecisionOptions,
  wholeNumber,
} from './options.js';
import { addOutputOptions, type OutputOptions, tableOutput } from './output.js';

interface ProfileOptions extends CommonOptions, PrecisionOptions, OutputOptions {
  preset: keyof typeof PRESETS;
  batch: number;
  length: number;
  steps: number;
}

/** `protein-lm profile`: where a GPU's time goes in a training step. */
export function profileCommand(): Command {
  const command = new Command('profile')
    .description(
      "Measure a training step's kernels on a GPU, and those that the host computes for it: time, GFLOP/s, GB/s.",
    )
    .addOption(new Option('--preset <name>', 'model').choices(Object.keys(PRESETS)).default('performer-36'))
    .option('--batch <n>', 'sequences of a step', wholeNumber(1), 8)
    .option('--length <n>', 'tokens of a sequence', wholeNumber(3), 1024)
    .option('--steps <n>', 'steps measured, after two that are not', wholeNumber(1), 3)
    .action(profile);
  addOutputOptions(command);
  addPrecisionOption(command);
  addCommonOptions(command, 'seed');
  return addExamples(
    command,
    'protein-lm profile',
    'protein-lm profile --preset performer-12 --length 8192 --batch 2 --out profile.csv',
  );
}

async function profile(options: ProfileOptions): Promise<void> {
  const output = tableOutput(options);
  const { startEngine } = await import('../engines/index.js');
  const engine = await startEngine('webgpu', { precision: options.precision });
  const times = await measure(engine, options).finally(() => engine.stop());
  const total = times.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  if (!options.quiet) {
    process.stderr.write(`${engine.description}: ${(total / options.steps).toPrecision(4)} ms a step\n`);
  }
  const column = (value: (times: KernelTimes) => number) => times.map((entry) => Number(value(entry).toPrecision(4)));
  await output.write(
    table({
      kernel: times.map(({ name }) => name),
      runs: column(({ runs }) => runs / options.steps),
      milliseconds: column(({ milliseconds }) => milliseconds / options.steps),
      share: column(({ milliseconds }) => milliseconds / total),
      gflops: times.map(({ flops, milliseconds }) =>
        flops > 0 ? Number((flops / milliseconds / 1e6).toPrecision(4)) : null,
      ),
      gigabytes_per_second: column(({ bytes, milliseconds }) => bytes / milliseconds / 1e6),
    }),
  );
}

/** Times of the kernels of some training steps on random tokens. */
async function measure(engine: Engine, { preset, batch, length, steps, seed }: ProfileOptions): Promise<KernelTimes[]> {
  const [{ Random }, { measureHostRuns }, { createModel }, { Optimizer }, { PAPER_OPTIMIZER }, { trainingStep }] =
    await Promise.all([
      import('../data/random.js'),
      import('../engines/hostFallback.js'),
      import('../model/model.js'),
      import('../training/optimizer.js'),
      import('../training/recipe.js'),
      import('../training/step.js'),
    ]);
  const model = createModel(newConfig({ ...PRESETS[preset], length }), seed);
  const optimizer = new Optimizer(model.trainable, PAPER_OPTIMIZER);
  const random = new Random(seed);
  const ids = Int32Array.from({ length: batch * length }, () => 4 + random.int(20));
  const count = Math.max(1, Math.floor(0.15 * ids.length));
  const positions = Int32Array.from({ length: count }, (_, i) => Math.floor((i * ids.length) / count));
  const pass = { ids, batch, length, positions, labels: positions.map((i) => ids[i]) };
  const step = () => trainingStep(model, optimizer, [pass], { learningRate: 1e-3, seed })!;
  for (let i = 0; i < 2; i++) {
    await step();
  }
  let times: KernelTimes[] = [];
  const host = await measureHostRuns(engine.backend, async () => {
    times = await engine.measureKernels!(async () => {
      for (let i = 0; i < steps; i++) {
        await step();
      }
    }).catch((error: Error) => {
      throw new InputError(`profile: ${error.message}`);
    });
  });
  return [...times, ...host];
}
