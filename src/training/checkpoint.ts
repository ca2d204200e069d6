import { createHash } from 'node:crypto';
import { createReadStream, existsSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { BatchCursor } from '../data/batches.js';
import { InputError } from '../data/errors.js';
import { syncFolder, writeFileAtomic } from '../formats/atomicFile.js';
import { AtomicFolder, recoverFoldersIn } from '../formats/atomicFolder.js';
import { readSafetensors, writeSafetensors } from '../formats/safetensors.js';
import { temporaryBeside } from '../formats/temporary.js';
import { loadModel, saveModel } from '../model/files.js';
import type { LanguageModel } from '../model/model.js';
import type { Figures, Tally } from './metrics.js';
import { Optimizer } from './optimizer.js';
import { changeRecipe, RECIPES, type Recipe } from './recipe.js';

/** Where a run stands after a step: all that decides how it goes on, besides the weights and AdamW's moments. */
export interface TrainingState {
  step: number;
  /** Tokens through the model so far, padding not counted. */
  tokens: number;
  /** Seconds of training so far, over all starts. */
  seconds: number;
  recipe: Recipe;
  /** Folder of the token store, and its content's key: a run goes on only with the data it began with. */
  data: { folder: string; key: string };
  /** Where in the data the next batch begins; absent at the start. */
  cursor?: BatchCursor;
  /** Sums since the last line of `metrics.jsonl`. */
  window: Tally;
  /** Validation at this step, where there was one. */
  validation?: Figures;
}

/** A whole checkpoint in a run's folder. */
export interface Checkpoint {
  step: number;
  folder: string;
}

const FOLDER = 'checkpoints';
const OPTIMIZER_FILE = 'optimizer.safetensors';
const STATE_FILE = 'training.json';
/** As `sha256sum` writes and checks it. */
const SUMS_FILE = 'SHA256SUMS';
/** Files of a checkpoint that are none of its model's. */
const OF_TRAINING: ReadonlySet<string> = new Set([OPTIMIZER_FILE, STATE_FILE, SUMS_FILE]);
const WEIGHTS_FILE = 'model.safetensors';

/** The whole checkpoints of a run, by step. */
export function listCheckpoints(run: string): Checkpoint[] {
  const parent = join(run, FOLDER);
  if (!existsSync(parent)) {
    return [];
  }
  return readdirSync(parent)
    .flatMap((name) => {
      const step = /^step-(\d+)$/.exec(name)?.[1];
      return step === undefined ? [] : [{ step: Number(step), folder: join(parent, name) }];
    })
    .sort((a, b) => a.step - b.step);
}

/** The last whole checkpoint of a run. */
export function latestCheckpoint(run: string): Checkpoint | undefined {
  return listCheckpoints(run).at(-1);
}

/**
 * Saves `checkpoints/step-N/`: model, AdamW's moments and state. The folder appears under its name only when every
 * file in it is on the disk. Then the model goes to the top of the run's folder, and checkpoints beyond the last
 * `keep` and the one of the lowest validation loss are removed.
 */
export async function saveCheckpoint(
  run: string,
  model: LanguageModel,
  optimizer: Optimizer,
  state: TrainingState,
  keep: number,
): Promise<Checkpoint> {
  const folder = join(run, FOLDER, `step-${state.step}`);
  const unfinished = await AtomicFolder.create(folder);
  try {
    await writeCheckpoint(unfinished.path, model, optimizer, state);
    // A resumed run may come by a step again.
    await unfinished.commit({ replace: true });
  } catch (error) {
    await unfinished.discard();
    throw error;
  }
  await publishModel(run, folder);
  prune(run, keep);
  return { step: state.step, folder };
}

async function writeCheckpoint(
  folder: string,
  model: LanguageModel,
  optimizer: Optimizer,
  state: TrainingState,
): Promise<void> {
  await saveModel(model, folder);
  const moments = new Map<string, { shape: number[]; data: Float32Array }>();
  for (const [key, tensor] of optimizer.tensors()) {
    moments.set(key, { shape: tensor.shape, data: (await tensor.data()) as Float32Array });
  }
  await writeSafetensors(join(folder, OPTIMIZER_FILE), moments);
  await writeFileAtomic(join(folder, STATE_FILE), `${JSON.stringify(state, null, 1)}\n`);
  const sums: string[] = [];
  for (const name of readdirSync(folder).sort()) {
    sums.push(`${await sha256(join(folder, name))}  ${name}\n`);
  }
  await writeFileAtomic(join(folder, SUMS_FILE), sums.join(''));
}

/** The SHA-256 of a file, as hexadecimal digits. */
async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 22 })) {
    hash.update(chunk as Uint8Array);
  }
  return hash.digest('hex');
}

/**
 * Checks that a checkpoint's files are as they were written, by its `SHA256SUMS`; one of before these were written
 * passes.
 * @throws InputError naming the file that is not
 */
export async function verifyCheckpoint({ folder }: Checkpoint): Promise<void> {
  const path = join(folder, SUMS_FILE);
  if (!existsSync(path)) {
    return;
  }
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    const [sum, name] = line.split('  ');
    if (!sum || !name) {
      continue;
    }
    const file = join(folder, name);
    if (!existsSync(file) || (await sha256(file)) !== sum) {
      throw new InputError(`${file}: not as it was written (${SUMS_FILE}); the checkpoint is damaged`);
    }
  }
}

/** Puts the model of a run's last checkpoint at the top of its folder, where a kill came between the two. */
export async function publishLatest(run: string): Promise<void> {
  const latest = latestCheckpoint(run);
  if (latest) {
    await publishModel(run, latest.folder);
  }
}

/** Takes a damaged checkpoint out of its run: it is kept under another name. */
export async function setAside({ folder, step }: Checkpoint): Promise<string> {
  const aside = join(dirname(folder), `damaged-step-${step}`);
  rmSync(aside, { recursive: true, force: true });
  renameSync(folder, aside);
  await syncFolder(dirname(folder));
  return aside;
}

/** Copies a checkpoint's model to the top of the run's folder, each file whole or not at all. */
async function publishModel(run: string, folder: string): Promise<void> {
  // The weights come last: what they need is there by then.
  const names = readdirSync(folder).filter((name) => !OF_TRAINING.has(name));
  for (const name of [...names.filter((file) => file !== WEIGHTS_FILE), WEIGHTS_FILE]) {
    await writeFileAtomic(join(run, name), createReadStream(join(folder, name), { highWaterMark: 2 ** 22 }));
  }
}

function prune(run: string, keep: number): void {
  const checkpoints = listCheckpoints(run);
  const best = bestCheckpoint(checkpoints);
  for (const checkpoint of checkpoints.slice(0, Math.max(0, checkpoints.length - keep))) {
    if (checkpoint.step !== best?.step) {
      removeFolder(checkpoint.folder);
    }
  }
}

function bestCheckpoint(checkpoints: Checkpoint[]): Checkpoint | undefined {
  let best: { checkpoint: Checkpoint; loss: number } | undefined;
  for (const checkpoint of checkpoints) {
    const loss = readState(checkpoint).validation?.loss;
    if (loss !== undefined && loss !== null && (best === undefined || loss < best.loss)) {
      best = { checkpoint, loss };
    }
  }
  return best?.checkpoint;
}

/** Takes the folder's name away first, so that a half-removed checkpoint never looks whole. */
function removeFolder(folder: string): void {
  const hidden = temporaryBeside(folder);
  renameSync(folder, hidden.path);
  rmSync(hidden.path, { recursive: true, force: true });
  hidden.release();
}

/** Removes what a killed process left unfinished; a checkpoint that it was about to put in its place gets there. */
export async function removeUnfinished(run: string): Promise<void> {
  const parent = join(run, FOLDER);
  if (!existsSync(parent)) {
    return;
  }
  await recoverFoldersIn(parent);
  for (const name of readdirSync(parent)) {
    if (name.startsWith('.')) {
      rmSync(join(parent, name), { recursive: true, force: true });
    }
  }
}

/**
 * The state a checkpoint was saved in.
 * @throws InputError where the file is damaged
 */
export function readState(checkpoint: Checkpoint): TrainingState {
  const path = join(checkpoint.folder, STATE_FILE);
  try {
    const state = JSON.parse(readFileSync(path, 'utf8')) as TrainingState;
    checkState(state, path);
    return state;
  } catch (error) {
    throw new InputError(`${path}: ${(error as Error).message}; the checkpoint is damaged: remove its folder`);
  }
}

/** Throws where a state is none that a run could be in: it might train for ever, or on nothing. */
function checkState(state: TrainingState, path: string): void {
  const counts = (values: Record<string, unknown> | undefined, ...names: string[]) => {
    for (const name of names) {
      const value = values?.[name];
      if (!Number.isSafeInteger(value) || (value as number) < 0) {
        throw new Error(`${name} is ${JSON.stringify(value)}, no count`);
      }
    }
  };
  const record = state as unknown as Record<string, Record<string, unknown> | undefined>;
  counts(record, 'step', 'tokens');
  if (!(state.seconds >= 0 && Number.isFinite(state.seconds))) {
    throw new Error(`seconds is ${JSON.stringify(state.seconds)}`);
  }
  if (state.cursor !== undefined) {
    counts(record.cursor, 'epoch', 'index', 'offset');
  }
  counts(record.window, 'positions', 'correct');
  if (typeof state.data?.folder !== 'string' || typeof state.data.key !== 'string') {
    throw new Error('it names no data');
  }
  const standard = RECIPES['performer-tiny'];
  const missing = Object.keys(standard).find((name) => !(name in (record.recipe ?? {})));
  if (missing !== undefined) {
    throw new Error(`its recipe has no ${missing}`);
  }
  changeRecipe(standard, state.recipe, path);
}

/** Whether a checkpoint's weights are numbers, all of them: after a division by zero they are not. */
export function holdsNumbers({ folder }: Checkpoint): boolean {
  const { tensors } = readSafetensors(join(folder, 'model.safetensors'));
  return [...tensors.values()].every(({ data }) => (data as Float32Array).every(Number.isFinite));
}

/** Loads a checkpoint to go on from: model, optimizer and state as they were saved, bit for bit. */
export async function loadCheckpoint(
  checkpoint: Checkpoint,
): Promise<{ model: LanguageModel; optimizer: Optimizer; state: TrainingState }> {
  const state = readState(checkpoint);
  const model = await loadModel(checkpoint.folder);
  const optimizer = new Optimizer(model.trainable, state.recipe);
  const { tensors } = readSafetensors(join(checkpoint.folder, OPTIMIZER_FILE));
  optimizer.restore(state.step, tensors as Map<string, { shape: number[]; data: Float32Array }>);
  return { model, optimizer, state };
}
