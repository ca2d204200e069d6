import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { microBatches, trainingBatches } from '../data/batches.js';
import { InputError } from '../data/errors.js';
import { hash53 } from '../data/random.js';
import type { TokenStore } from '../data/store.js';
import { lockFolder } from '../formats/lock.js';
import { type ModelConfig, maxLength } from '../model/config.js';
import { createModel, type LanguageModel } from '../model/model.js';
import { checkAlphabet } from './alphabet.js';
import {
  latestCheckpoint,
  listCheckpoints,
  loadCheckpoint,
  removeUnfinished,
  saveCheckpoint,
  type TrainingState,
} from './checkpoint.js';
import { evaluate, residueFrequencies } from './evaluate.js';
import { addTallies, EMPTY_TALLY, type Figures, figuresOf, MetricsLog } from './metrics.js';
import { Optimizer } from './optimizer.js';
import { budgetUsed, type Cadence, DEFAULT_CADENCE, type Recipe } from './recipe.js';
import { learningRateAt } from './schedule.js';
import { type StepResult, trainingStep } from './step.js';

/** A model in training: what a checkpoint holds. */
export interface Training {
  model: LanguageModel;
  optimizer: Optimizer;
  state: TrainingState;
}

/** Tokens that a sequence of a validation counts for at least, when long ones are left out: see `Cadence`. */
const ROW = 1024;
const CHECKPOINT_SECONDS = 15 * 60;
/** Every validation of every run masks the same positions, so that their figures compare. */
export const EVALUATION_SEED = 0;

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
  checkAlphabet(begun.alphabet, store);
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
 * The last checkpoint of a run, to go on from.
 * @throws InputError where the folder holds no checkpoint
 */
export async function resumeTraining(run: string): Promise<Training> {
  const checkpoint = latestCheckpoint(run);
  if (!checkpoint) {
    throw new InputError(`${run}: no checkpoint in it; start a new run without --resume`);
  }
  return loadCheckpoint(checkpoint);
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
  checkAlphabet(training.model.alphabet, store);
  const release = await lockFolder(run);
  try {
    checkStart(run, state, store);
    return await trainLocked(run, training, store, { ...options, cadence });
  } finally {
    release();
  }
}

async function trainLocked(
  run: string,
  { model, optimizer, state }: Training,
  store: TokenStore,
  options: TrainOptions & { cadence: Cadence },
): Promise<TrainingResult> {
  const { recipe } = state;
  const { cadence } = options;
  await removeUnfinished(run);
  const log = new MetricsLog(run);
  await log.truncate(state.step);
  const save = async () => {
    const { folder } = await saveCheckpoint(run, model, optimizer, state, cadence.keep);
    options.onCheckpoint?.(state.step, folder);
  };
  if (state.step === 0) {
    await save();
  }

  const before = state.seconds;
  const started = performance.now();
  const seconds = () => before + (performance.now() - started) / 1000;
  let lineStart = { seconds: state.seconds, tokens: state.tokens };
  let saved = { step: state.step, seconds: state.seconds };

  // A step's figures are read while the next one runs, so that an accelerator never waits for them.
  let pending: { step: number; figures: Promise<StepResult> } | undefined;
  let last: StepResult | undefined;
  const settle = async () => {
    if (!pending) {
      return;
    }
    const { step, figures } = pending;
    pending = undefined;
    last = await figures;
    if (!Number.isFinite(last.loss) || !Number.isFinite(last.gradientNorm)) {
      throw divergence(run, step, last);
    }
    state.window = addTallies(state.window, last);
    options.onStep?.({
      ...figuresOf(last),
      step,
      tokens: state.tokens,
      seconds: seconds(),
      tokensPerSecond: (state.tokens - lineStart.tokens) / (seconds() - lineStart.seconds),
      fraction: budgetUsed(recipe.budget, { ...state, seconds: seconds() }),
    });
  };
  const validate = async () => {
    const evaluation = await evaluate(model, store.split('validation'), frequencies, {
      seed: EVALUATION_SEED,
      length: recipe.length,
      tokensPerPass: recipe.tokensPerPass,
      sequences: cadence.validationSequences,
      tokens: cadence.validationSequences * Math.max(recipe.length, ROW),
    });
    const figures = { model: figuresOf(evaluation.model), baseline: figuresOf(evaluation.baseline) };
    options.onValidation?.(state.step, figures.model, figures.baseline);
    return figures;
  };

  const frequencies = residueFrequencies(store);
  const validates = store.split('validation').size > 0;
  const batches = trainingBatches(
    store.split('train'),
    {
      length: recipe.length,
      tokensPerBatch: recipe.tokensPerBatch,
      tokensPerMicroBatch: recipe.tokensPerPass,
      mode: recipe.mode,
      objective: model.config.attention.causal ? 'causal' : 'masked',
      alphabet: store.alphabet,
      seed: recipe.seed,
    },
    state.cursor,
  );
  let learningRate = 0;
  let validation: TrainingResult['validation'];
  let finished = budgetUsed(recipe.budget, state) >= 1;
  while (!finished && !options.signal?.aborted) {
    const batch = batches.next().value!;
    const step = state.step + 1;
    const fraction = budgetUsed(recipe.budget, { ...state, seconds: seconds() });
    learningRate = learningRateAt(step, fraction, recipe);
    const figures = trainingStep(model, optimizer, microBatches(batch, recipe.tokensPerPass), {
      learningRate,
      seed: recipe.seed,
      recompute: options.recompute,
    });
    await settle();
    state.cursor = batch.cursor;
    // Every sequence of the batch so short that nothing was selected: there is nothing to learn from it.
    if (!figures) {
      continue;
    }
    state.step = step;
    state.tokens += batch.tokens;
    pending = { step, figures };
    // Lets signals and timers in.
    await setImmediate();
    state.seconds = seconds();
    finished = budgetUsed(recipe.budget, state) >= 1;
    const due = (every: number) => step % every === 0 || finished;
    const stopping = options.signal?.aborted ?? false;
    const saving = due(cadence.checkpointEvery) || stopping || state.seconds - saved.seconds > CHECKPOINT_SECONDS;
    if (due(cadence.logEvery) || due(cadence.validateEvery) || saving) {
      await settle();
    }
    const now = seconds();
    const validated = validates && due(cadence.validateEvery) ? await validate() : undefined;
    validation = validated;
    state.validation = validated?.model;
    if (due(cadence.logEvery) || validated) {
      log.append({
        step,
        tokens: state.tokens,
        ...figuresOf(state.window),
        learningRate,
        gradientNorm: last!.gradientNorm,
        tokensPerSecond: (state.tokens - lineStart.tokens) / (now - lineStart.seconds),
        ...(validated && { validation: validated.model }),
      });
      state.window = EMPTY_TALLY;
      lineStart = { seconds: seconds(), tokens: state.tokens };
    }
    if (saving) {
      state.seconds = seconds();
      await save();
      saved = { step, seconds: state.seconds };
    }
  }
  await settle();
  state.seconds = seconds();
  if (saved.step !== state.step) {
    await save();
  }
  const { step, tokens } = state;
  return { step, tokens, seconds: state.seconds, finished, ...(finished && { validation }) };
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
  const good = listCheckpoints(run).at(-1);
  const from = good ? `the last good checkpoint is ${good.folder}` : 'there is no checkpoint';
  return new DivergenceError(`${what} at step ${step}; ${from}; try a lower --learning-rate or a longer --warmup`);
}
