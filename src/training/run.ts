import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { microBatches, type TrainingBatch, trainingBatches } from '../data/batches.js';
import { InputError } from '../data/errors.js';
import { hash53 } from '../data/random.js';
import type { TokenStore } from '../data/store.js';
import { lockFolder } from '../formats/lock.js';
import { type ModelConfig, maxLength } from '../model/config.js';
import { createModel, type LanguageModel } from '../model/model.js';
import { matchAlphabet } from './alphabet.js';
import {
  holdsNumbers,
  latestCheckpoint,
  listCheckpoints,
  loadCheckpoint,
  publishLatest,
  removeUnfinished,
  setAside,
  type TrainingState,
  verifyCheckpoint,
} from './checkpoint.js';
import { runLoop } from './loop.js';
import { addTallies, EMPTY_TALLY, type Figures, figuresOf, MetricsLog } from './metrics.js';
import { logging, type RunUnderWay, saving, validating } from './observers.js';
import { Optimizer } from './optimizer.js';
import { budgetUsed, type Cadence, DEFAULT_CADENCE, type Recipe } from './recipe.js';
import { learningRateAt } from './schedule.js';
import { type Reduce, type StepResult, stepGradients, updateReduced } from './step.js';

/** A model in training: what a checkpoint holds. */
export interface Training {
  model: LanguageModel;
  optimizer: Optimizer;
  state: TrainingState;
}

/** Passes over the data without a position to predict that end a run. */
const IDLE_EPOCHS = 100;

/** What a running training tells of itself. */
export interface TrainingStatus extends Figures {
  step: number;
  tokens: number;
  seconds: number;
  tokensPerSecond: number;
  /** Share of the budget that is used up. */
  fraction: number;
}

export interface TrainOptions {
  cadence?: Partial<Cadence>;
  /** Keeps less for the gradients and computes it again: less memory, more time, the same weights. */
  recompute?: boolean;
  /** Sums gradients over several processes that take their shares of each step; the update follows from the sum. */
  reduce?: Reduce;
  /** Finishes the step, saves and returns. */
  signal?: AbortSignal;
  onStep?: (status: TrainingStatus) => void;
  onValidation?: (step: number, model: Figures, baseline: Figures) => void;
  onCheckpoint?: (step: number, folder: string) => void;
}

export interface TrainingResult {
  step: number;
  tokens: number;
  seconds: number;
  /** Whether the budget was used up, or the signal came first. */
  finished: boolean;
  /** Figures of the validation split after the last step, and of the empirical baseline; absent when stopped before. */
  validation?: { model: Figures; baseline: Figures };
}

/**
 * A model at step 0: a new one, or `model`, whose weights the training begins with.
 * @throws InputError where the recipe's length is more than the model takes
 */
export function startTraining(config: ModelConfig, recipe: Recipe, store: TokenStore, model?: LanguageModel): Training {
  if (recipe.length > maxLength(config)) {
    throw new InputError(
      `the length is ${recipe.length}, but the model takes ${maxLength(config)} tokens; ` +
        `give --length ${maxLength(config)}, or raise max_position_embeddings`,
    );
  }
  const begun = model ?? createModel(config, recipe.seed);
  matchAlphabet(begun.alphabet, store);
  const state: TrainingState = {
    step: 0,
    tokens: 0,
    seconds: 0,
    recipe,
    data: { folder: resolve(store.folder), key: contentKey(store) },
    window: EMPTY_TALLY,
  };
  return { model: begun, optimizer: new Optimizer(begun.trainable, recipe), state };
}

/**
 * The last checkpoint of a run, to go on from. One that is damaged is set aside, and the one before it taken.
 * @param onDamage called with what is wrong with such a checkpoint
 * @throws InputError where the folder holds no checkpoint, or another process writes it
 */
export async function resumeTraining(run: string, onDamage?: (message: string) => void): Promise<Training> {
  if (!latestCheckpoint(run)) {
    throw new InputError(`${run}: no checkpoint in it; start a new run without --resume`);
  }
  const release = await lockFolder(run);
  try {
    await removeUnfinished(run);
    for (let latest = latestCheckpoint(run); latest; latest = latestCheckpoint(run)) {
      try {
        await verifyCheckpoint(latest);
        return await loadCheckpoint(latest);
      } catch (error) {
        const others = listCheckpoints(run).length > 1;
        if (!(error instanceof InputError) || !others) {
          throw error;
        }
        onDamage?.(`${error.message}; going on from the checkpoint before it (this one is ${await setAside(latest)})`);
      }
    }
    throw new InputError(`${run}: its checkpoints are gone`);
  } finally {
    release();
  }
}

/** Identifies a store's sequences and splits: another store with the same key gives the same batches. */
export function contentKey(store: TokenStore): string {
  const files = Object.values(store.manifest.splits).flatMap(({ shards }) => shards.map(({ sha256 }) => sha256));
  return hash53(new TextEncoder().encode(JSON.stringify(files))).toString(16);
}

/**
 * Trains until the recipe's budget is used up or the signal comes, in the folder `run`: metrics, validation and
 * checkpoints as it goes. Stopped and gone on with, it takes the same steps as if it had never stopped.
 * @throws InputError where the data is not the run's, the folder holds another run or another process writes it, or the
 * loss is no longer a number
 */
export async function train(
  run: string,
  training: Training,
  store: TokenStore,
  options: TrainOptions = {},
): Promise<TrainingResult> {
  const { state } = training;
  const cadence = { ...DEFAULT_CADENCE, ...options.cadence };
  matchAlphabet(training.model.alphabet, store);
  const release = await lockFolder(run);
  try {
    checkStart(run, state, store);
    return await trainLocked(run, training, store, { ...options, cadence });
  } finally {
    release();
  }
}

async function trainLocked(
  folder: string,
  { model, optimizer, state }: Training,
  store: TokenStore,
  options: TrainOptions & { cadence: Cadence },
): Promise<TrainingResult> {
  const { recipe } = state;
  await removeUnfinished(folder);
  if (state.step > 0) {
    await publishLatest(folder);
  }
  const log = new MetricsLog(folder);
  await log.truncate(state.step);
  const before = state.seconds;
  const started = performance.now();
  const run: RunUnderWay = {
    folder,
    model,
    optimizer,
    state,
    store,
    cadence: options.cadence,
    seconds: () => before + (performance.now() - started) / 1000,
    settled: before,
    lineStart: { seconds: before, tokens: state.tokens },
    learningRate: 0,
    gradientNorm: 0,
  };
  const validation = validating(run, options.onValidation);
  const checkpoints = saving(run, options.onCheckpoint);
  await checkpoints.saveLast();
  const finished = await runLoop<TrainingBatch, StepFigures>({
    batches: batchesOf(store, state, model),
    done: state.step,
    begin: (batch, step) => beginStep(run, batch, step, options),
    settle: (figures) => settle(run, figures, options.onStep),
    finished: () => {
      state.seconds = run.seconds();
      return budgetUsed(recipe.budget, state) >= 1;
    },
    observers: [validation, logging(run, log, validation), checkpoints],
    signal: options.signal,
  });
  state.seconds = run.seconds();
  await checkpoints.saveLast();
  const { step, tokens, seconds } = state;
  return { step, tokens, seconds, finished, ...(finished && { validation: run.validation }) };
}

/** The batches of a run, from where it stands. */
function batchesOf(store: TokenStore, { recipe, cursor }: TrainingState, model: LanguageModel) {
  const { length, tokensPerBatch, tokensPerPass: tokensPerMicroBatch, mode, seed } = recipe;
  const objective = model.config.attention.causal ? 'causal' : 'masked';
  const { alphabet } = store;
  const options = { length, tokensPerBatch, tokensPerMicroBatch, mode, objective, alphabet, seed } as const;
  return trainingBatches(store.split('train'), options, cursor);
}

/** A step's figures, and where the run stood when it was begun. */
interface StepFigures extends StepResult {
  step: number;
  tokens: number;
}

async function beginStep(
  run: RunUnderWay,
  batch: TrainingBatch,
  step: number,
  { recompute, reduce }: TrainOptions,
): Promise<{ figures: Promise<StepFigures> } | undefined> {
  const { model, optimizer, state, store } = run;
  const { recipe } = state;
  const fraction = budgetUsed(recipe.budget, { ...state, seconds: run.seconds() });
  const learningRate = learningRateAt(step, fraction, recipe);
  const passes = microBatches(batch, recipe.tokensPerPass);
  const gradients = stepGradients(model, optimizer, passes, { learningRate, seed: recipe.seed, recompute });
  // Every sequence of the batch so short that nothing was selected: there is nothing to learn from it.
  if (!gradients) {
    state.cursor = batch.cursor;
    run.idleSince ??= batch.cursor.epoch;
    if (batch.cursor.epoch - run.idleSince > IDLE_EPOCHS) {
      throw new InputError(
        `${store.folder}: nothing to predict in ${IDLE_EPOCHS} passes over its sequences; give more`,
      );
    }
    return undefined;
  }
  const figures = (await updateReduced(gradients, reduce)).figures;
  state.cursor = batch.cursor;
  state.step = step;
  state.tokens += batch.tokens;
  state.validation = undefined;
  Object.assign(run, { learningRate, validation: undefined, idleSince: undefined });
  const { tokens } = state;
  return { figures: figures.then((result) => ({ ...result, step, tokens })) };
}

function settle(run: RunUnderWay, figures: StepFigures, onStep?: (status: TrainingStatus) => void): void {
  const { state, folder, lineStart } = run;
  const { step, tokens } = figures;
  if (!Number.isFinite(figures.loss) || !Number.isFinite(figures.gradientNorm)) {
    throw divergence(folder, step, figures);
  }
  state.window = addTallies(state.window, figures);
  run.gradientNorm = figures.gradientNorm;
  run.settled = run.seconds();
  onStep?.({
    ...figuresOf(figures),
    step,
    tokens,
    seconds: run.settled,
    tokensPerSecond: (tokens - lineStart.tokens) / (run.settled - lineStart.seconds),
    fraction: budgetUsed(state.recipe.budget, { step, tokens, seconds: run.settled }),
  });
}

function checkStart(run: string, state: TrainingState, store: TokenStore): void {
  if (state.data.key !== contentKey(store)) {
    throw new InputError(
      `${store.folder}: not the data that ${run} was started with (${state.data.folder}); give that with --data`,
    );
  }
  if (store.split('train').size === 0) {
    throw new InputError(`${store.folder}: no sequences in its train split`);
  }
  const { alphabet, manifest } = store;
  const { composition } = manifest.splits.train;
  if (!alphabet.tokens.some((token, id) => alphabet.isTarget(id) && (composition[token] ?? 0) > 0)) {
    throw new InputError(`${store.folder}: nothing to predict in its train split: every letter is unknown`);
  }
  const latest = latestCheckpoint(run);
  if (latest && latest.step > state.step) {
    throw new InputError(`${run}: it holds a run of ${latest.step} steps; add --resume, or give another folder`);
  }
  if (!latest && existsSync(join(run, 'config.json'))) {
    throw new InputError(`${run}: it holds a model that is no run; give another folder`);
  }
}

/** The loss, or the gradient, is no longer a number. */
export class DivergenceError extends InputError {}

function divergence(run: string, step: number, { loss, gradientNorm }: StepResult): DivergenceError {
  const what = Number.isFinite(loss) ? `the gradient's norm is ${gradientNorm}` : `the loss is ${loss}`;
  const good = listCheckpoints(run).findLast(holdsNumbers);
  return new DivergenceError(
    good
      ? `${what} at step ${step}; the last good checkpoint is ${good.folder}; begin a new run with it (--init) and a ` +
          'lower --learning-rate or a longer --warmup'
      : `${what} at step ${step}, and in every checkpoint; begin a new run with a lower --learning-rate`,
  );
}
