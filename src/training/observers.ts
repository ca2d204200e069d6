import type { TokenStore } from '../data/store.js';
import type { LanguageModel } from '../model/model.js';
import { saveCheckpoint, type TrainingState } from './checkpoint.js';
import { EVALUATION_SEED, evaluate, residueFrequencies } from './evaluate.js';
import type { Observer, Progress } from './loop.js';
import { EMPTY_TALLY, type Figures, figuresOf, type MetricsLog } from './metrics.js';
import type { Optimizer } from './optimizer.js';
import type { Cadence } from './recipe.js';

/** A run under way: what its observers look at, and what they leave there for each other. */
export interface RunUnderWay {
  readonly folder: string;
  readonly model: LanguageModel;
  readonly optimizer: Optimizer;
  readonly state: TrainingState;
  readonly store: TokenStore;
  readonly cadence: Cadence;
  /** Seconds of training until now, over all starts. */
  seconds(): number;
  /** When the figures of the last step were known, in such seconds. */
  settled: number;
  /** Where the last line of `metrics.jsonl` stands. */
  lineStart: { seconds: number; tokens: number };
  /** The step that is under way or was last. */
  learningRate: number;
  gradientNorm: number;
  /** Pass over the data since which no batch had anything to predict. */
  idleSince?: number;
  /** Figures of the validation split after that step, where it was validated. */
  validation?: { model: Figures; baseline: Figures };
}

/** Tokens that a sequence of a validation counts for at least, when long ones are left out: see `Cadence`. */
const ROW = 1024;
const CHECKPOINT_SECONDS = 15 * 60;

const isDue = (every: number, { step, finished }: Progress) => step % every === 0 || finished;

/** Validates every `validateEvery` steps and at the end, where there is a validation split. */
export function validating(
  run: RunUnderWay,
  onValidation?: (step: number, model: Figures, baseline: Figures) => void,
): Observer {
  const { model, state, store, cadence } = run;
  const split = store.split('validation');
  const frequencies = residueFrequencies(store);
  return {
    due: (progress) => split.size > 0 && isDue(cadence.validateEvery, progress),
    async observe({ step }) {
      const evaluation = await evaluate(model, split, frequencies, {
        seed: EVALUATION_SEED,
        length: state.recipe.length,
        tokensPerPass: state.recipe.tokensPerPass,
        sequences: cadence.validationSequences,
        tokens: cadence.validationSequences * Math.max(state.recipe.length, ROW),
      });
      run.validation = { model: figuresOf(evaluation.model), baseline: figuresOf(evaluation.baseline) };
      state.validation = run.validation.model;
      onValidation?.(step, run.validation.model, run.validation.baseline);
    },
  };
}

/** Writes a line of `metrics.jsonl` every `logEvery` steps, at the end, and after each of `validation`'s. */
export function logging(run: RunUnderWay, log: MetricsLog, validation: Observer): Observer {
  const { state, cadence } = run;
  return {
    due: (progress) => isDue(cadence.logEvery, progress) || validation.due(progress),
    observe({ step }) {
      const { tokens } = state;
      log.append({
        step,
        tokens,
        ...figuresOf(state.window),
        learningRate: run.learningRate,
        gradientNorm: run.gradientNorm,
        tokensPerSecond: (tokens - run.lineStart.tokens) / (run.settled - run.lineStart.seconds),
        ...(run.validation && { validation: run.validation.model }),
      });
      state.window = EMPTY_TALLY;
      run.lineStart = { seconds: run.seconds(), tokens };
    },
  };
}

/**
 * Saves a checkpoint every `checkpointEvery` steps, every 15 minutes, and at the end. `saveLast` saves where the run
 * stands, if it is not saved yet.
 */
export function saving(
  run: RunUnderWay,
  onCheckpoint?: (step: number, folder: string) => void,
): Observer & { saveLast(): Promise<void> } {
  const { folder, model, optimizer, state, cadence } = run;
  // What a run goes on from is saved already.
  let saved = { step: state.step > 0 ? state.step : undefined, seconds: state.seconds };
  const save = async () => {
    state.seconds = run.seconds();
    const checkpoint = await saveCheckpoint(folder, model, optimizer, state, cadence.keep);
    saved = { step: state.step, seconds: state.seconds };
    onCheckpoint?.(state.step, checkpoint.folder);
  };
  return {
    due: (progress) =>
      isDue(cadence.checkpointEvery, progress) ||
      progress.stopping ||
      run.seconds() - saved.seconds > CHECKPOINT_SECONDS,
    observe: save,
    async saveLast() {
      if (saved.step !== state.step) {
        await save();
      }
    },
  };
}
