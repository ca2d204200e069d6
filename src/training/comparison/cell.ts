import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { InputError } from '../../data/errors.js';
import { Random } from '../../data/random.js';
import { openStore } from '../../data/store.js';
import { writeFileAtomic } from '../../formats/atomicFile.js';
import type { Attention } from '../../model/attention/attention.js';
import { convertModel } from '../../model/convert.js';
import { loadModel } from '../../model/files.js';
import { createModel, LanguageModel } from '../../model/model.js';
import { latestCheckpoint } from '../checkpoint.js';
import { EVALUATION_SEED, evaluate, residueFrequencies } from '../evaluate.js';
import { type Figures, figuresOf, MetricsLog } from '../metrics.js';
import { Optimizer } from '../optimizer.js';
import type { Cadence } from '../recipe.js';
import { DivergenceError, resumeTraining, startTraining, train } from '../run.js';
import { trainingStep } from '../step.js';
import type { Cell } from './config.js';

/** What a cell's process is told: the file `cell.json` in the cell's folder. */
export interface CellTask {
  cell: Cell;
  /** Folder of the token store. */
  data: string;
  cadence: Cadence;
  evaluationSequences: number;
}

/** What came out: the file `result.json`. */
export interface CellResult {
  /** `diverged`: the loss was no longer a number. `failed`: the process ended without a result. */
  status: 'done' | 'diverged' | 'failed' | 'skipped';
  reason?: string;
  parameters?: number;
  /** Figures on the test and ood splits, and of the residue frequencies there. */
  test?: Figures;
  ood?: Figures;
  baseline?: { test?: Figures; ood?: Figures };
  /** Validations by step; step 0 is before the first step. */
  curve?: ({ step: number } & Figures)[];
  tokensPerSecond?: number;
  /** Of one training step of one sequence. */
  secondsPerStep?: number;
  /** Bytes that the process held at most. */
  peakMemory?: number;
}

const TASK = 'cell.json';
const RESULT = 'result.json';

export async function writeTask(folder: string, task: CellTask): Promise<void> {
  await writeFileAtomic(join(folder, TASK), JSON.stringify(task));
}

/** What another start of the experiment told the cell's process, where there was one. */
export function readTask(folder: string): CellTask | undefined {
  const path = join(folder, TASK);
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as CellTask) : undefined;
}

export async function writeResult(folder: string, result: CellResult): Promise<void> {
  await writeFileAtomic(join(folder, RESULT), `${JSON.stringify(result, null, 1)}\n`);
}

/** The cell's result, where it has one. */
export function readResult(folder: string): CellResult | undefined {
  const path = join(folder, RESULT);
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as CellResult) : undefined;
}

/**
 * Works on the cell in `folder`, from its last checkpoint where it was begun before, and writes its result. The engine
 * runs already; the process is the cell's alone, so that its peak memory is.
 * @param folders of all cells, for the one that a transfer begins with
 */
export async function runCell(folder: string, folders: string, signal: AbortSignal): Promise<void> {
  const task = readTask(folder);
  if (!task) {
    throw new InputError(`${join(folder, TASK)}: no such file; start the whole experiment`);
  }
  try {
    const result =
      task.cell.kind === 'length' ? await measure(task.cell) : await trainCell(folder, folders, task, signal);
    // Stopped before its end: it goes on from its checkpoint.
    if (!result) {
      return;
    }
    // resourceUsage counts in KiB.
    const peakMemory = process.resourceUsage().maxRSS * 1024;
    await writeResult(folder, { status: 'done', ...result, peakMemory });
  } catch (error) {
    if (!(error instanceof DivergenceError)) {
      throw error;
    }
    const curve = curveOf(join(folder, 'run'));
    await writeResult(folder, { status: 'diverged', reason: error.message.split(';')[0], curve });
  }
}

async function trainCell(
  folder: string,
  folders: string,
  { cell, data, cadence, evaluationSequences }: CellTask,
  signal: AbortSignal,
): Promise<Partial<CellResult> | undefined> {
  if (cell.kind === 'length') {
    return undefined;
  }
  const store = await openStore(data);
  const run = join(folder, 'run');
  let training: ReturnType<typeof startTraining>;
  const before: CellResult['curve'] = [];
  if (latestCheckpoint(run)) {
    training = await resumeTraining(run);
  } else {
    const source = cell.kind === 'transfer' ? await loadModel(join(folders, cell.from, 'run')) : undefined;
    const model = source && (await convertModel(source, { attention: cell.config.attention }, cell.seed));
    source?.dispose();
    training = startTraining(cell.config, cell.recipe, store, model);
  }
  const options = {
    seed: EVALUATION_SEED,
    length: cell.recipe.length,
    tokensPerPass: cell.recipe.tokensPerPass,
  };
  const frequencies = residueFrequencies(store);
  const start = join(folder, 'start.json');
  if (cell.kind === 'transfer' && training.state.step === 0) {
    const sequences = cadence.validationSequences;
    const { model } = await evaluate(training.model, store.split('validation'), frequencies, { ...options, sequences });
    await writeFileAtomic(start, JSON.stringify({ step: 0, ...figuresOf(model) }));
  }
  if (existsSync(start)) {
    before.push(JSON.parse(readFileSync(start, 'utf8')));
  }
  const done = await train(run, training, store, { cadence, recompute: cell.recompute, signal });
  if (!done.finished) {
    return undefined;
  }
  const result: Partial<CellResult> = { baseline: {}, curve: [...before, ...curveOf(run)] };
  for (const split of ['test', 'ood'] as const) {
    if (store.split(split).size === 0) {
      continue;
    }
    const sequences = evaluationSequences;
    const { model, baseline } = await evaluate(training.model, store.split(split), frequencies, {
      ...options,
      sequences,
    });
    result[split] = figuresOf(model);
    result.baseline![split] = figuresOf(baseline);
  }
  result.parameters = countParameters(training.model);
  result.tokensPerSecond = done.tokens / done.seconds;
  store.close();
  return result;
}

function curveOf(run: string): NonNullable<CellResult['curve']> {
  return new MetricsLog(run).read().flatMap(({ step, validation }) => (validation ? [{ step, ...validation }] : []));
}

function countParameters(model: LanguageModel): number {
  return [...model.trainable.values()].reduce((sum, { size }) => sum + size, 0);
}

/** The bound: an attention that returns the values. */
const RETURNS_VALUES: Attention = { parameters: [], attend: (qkv) => tf.split(qkv, 3, 2)[2] as tf.Tensor3D };

/** The time of a training step on one sequence of the cell's length: the best of those that two seconds allow. */
async function measure({
  config,
  recipe,
  length,
  bound,
  recompute,
}: Extract<Cell, { kind: 'length' }>): Promise<Partial<CellResult>> {
  const made = createModel(config, 1);
  const model = bound ? new LanguageModel(config, made.parameters, made.alphabet, RETURNS_VALUES) : made;
  const optimizer = new Optimizer(model.trainable, recipe);
  const random = new Random(length);
  const { residues } = model.alphabet;
  const ids = Int32Array.from({ length }, () => residues[random.int(residues.length)]);
  const positions = Int32Array.from({ length: Math.ceil(0.15 * length) }, (_, i) => Math.floor(i / 0.15));
  const labels = positions.map((position) => ids[position]);
  const step = async () => {
    const start = performance.now();
    await trainingStep(model, optimizer, [{ ids, batch: 1, length, positions, labels }], {
      learningRate: 1e-4,
      seed: 1,
      recompute,
    });
    return (performance.now() - start) / 1000;
  };
  const first = await step();
  let secondsPerStep = first < 10 ? Number.POSITIVE_INFINITY : first;
  for (let spent = first; spent < 2 || secondsPerStep === Number.POSITIVE_INFINITY; ) {
    const seconds = await step();
    secondsPerStep = Math.min(secondsPerStep, seconds);
    spent += seconds;
  }
  return { secondsPerStep, tokensPerSecond: length / secondsPerStep, parameters: countParameters(model) };
}
