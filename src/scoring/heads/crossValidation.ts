import { append } from '../../data/arrays.js';
import { InputError } from '../../data/errors.js';
import { Random } from '../../data/random.js';
import type { LanguageModel } from '../../model/model.js';
import type { Assay } from '../assay.js';
import { binarise, evaluateScores, type Metrics } from '../metrics.js';
import { unscorable } from '../schemes.js';
import { isSubstitution, type Variant } from '../variants.js';
import {
  type AssayHeadOptions,
  crossValidate,
  type HeadPredictions,
  type Method,
  trainAndPredict,
} from './assayHead.js';
import {
  type ClassificationMetrics,
  evaluateClasses,
  type LabelledSequences,
  labelledExamples,
  trainClassifier,
} from './classifier.js';
import { type FeatureOptions, VariantFeatures } from './features.js';
import { assignFolds, type Split } from './folds.js';
import { argmax, type GradientOptions, snapshotParameters } from './gradientHead.js';

/** What of an assay a head can learn from. */
export interface TrainingVariants {
  features: VariantFeatures;
  /** [n] */
  measured: Float64Array;
  /** [n] of 0/1: the assay's own, or its measured values cut at their median. */
  labels: Uint8Array;
  /** Variants left out, as the models have no token for them. */
  unscorable: number;
}

/** The variants of an assay that the models have a score for; without models, those of the 20 amino acids. */
export function trainingVariants(
  models: readonly LanguageModel[],
  assay: Assay,
  options: FeatureOptions = {},
): TrainingVariants {
  const kept = [...assay.variants.keys()].filter((i) => !unscorable(models[0], assay.wildType, assay.variants[i]));
  const variants = kept.map((i) => assay.variants[i]);
  const measured = Float64Array.from(kept, (i) => assay.measured[i]);
  return {
    features: new VariantFeatures(models, assay.wildType, variants, options),
    measured,
    labels: assay.labels ? Uint8Array.from(kept, (i) => assay.labels![i]) : binarise(measured),
    unscorable: assay.variants.length - kept.length,
  };
}

/** Whether a head can learn from variants: neither a one-hot encoding nor `gp` shows one that changes the length. */
export function methodFits(method: Method, variants: readonly Variant[]): boolean {
  return variants.every(isSubstitution) || !(method === 'one-hot' || method === 'gp' || method.startsWith('augmented'));
}

/** Whether variants can be split so: `contiguous` and `modulo` go by the position of a single substitution. */
export function splitFits(split: Split, variants: readonly Variant[]): boolean {
  return split === 'random' || variants.every((variant) => isSubstitution(variant) && variant.edits.length <= 1);
}

/** One line of a cross-validation. */
export interface HeadEvaluation {
  method: Method;
  split: Split | 'low-N';
  /** Number of the fold, or of the repeat of `low-N`, from 1; `all`: the predictions of all folds together. */
  fold: string;
  /** Variants trained on and tested on. */
  train: number;
  test: number;
  metrics: Metrics;
  /** Mean squared error, in units of the variance of what was trained on; of folds. */
  mse?: number;
  /** Shares of the measured values that lie in the intervals of 50 % and 90 %, where the head gives any. */
  coverage?: Coverage;
}

/** How many measured values lie in intervals that should hold 50 % and 90 % of them. */
export interface Coverage {
  half: number;
  most: number;
}

/** Half widths of a normal distribution's central 50 % and 90 %, in standard deviations. */
const HALF_WIDTH = 0.6745;
const MOST_WIDTH = 1.6449;

/** The coverage of predictions; undefined without standard deviations. */
export function coverageOf(
  { values, deviations }: HeadPredictions,
  measured: ArrayLike<number>,
  rows: readonly number[],
): Coverage | undefined {
  if (!deviations) {
    return undefined;
  }
  const inside = (width: number) =>
    rows.filter((row) => Math.abs(measured[row] - values[row]) <= width * deviations[row]).length / rows.length;
  return { half: inside(HALF_WIDTH), most: inside(MOST_WIDTH) };
}

export interface CrossValidationOptions extends AssayHeadOptions {
  methods: readonly Method[];
  splits?: readonly Split[];
  /** Default 5. */
  folds?: number;
  /** Low-N: trains on so many random variants, and tests on a fifth held out. */
  trainSizes?: readonly number[];
  /** Low-N: how often; default 5. */
  repeats?: number;
  /** Names the assay in errors. */
  where?: string;
  /** Called as folds of a split are done. */
  onFold?: (done: number, split: Split, method: Method) => void;
}

/**
 * Cross-validates heads on an assay, each on every split: a line a fold, then one of all folds together (ProteinGym's
 * figure); then a line a repeat of each training size. The models' parameters are afterwards what they were.
 *
 * @throws InputError where a split or method does not fit the variants (see `splitFits` and `methodFits`), and for a
 *   training size that leaves no fifth to test on
 */
export async function* crossValidateAssay(
  { features, measured, labels }: TrainingVariants,
  options: CrossValidationOptions,
): AsyncGenerator<HeadEvaluation, void, undefined> {
  const {
    methods,
    splits = [],
    folds: count = 5,
    trainSizes = [],
    repeats = 5,
    seed = 0,
    where = 'the assay',
  } = options;
  const all = measured.length;
  const rows = Array.from(measured, (_, row) => row);
  const evaluate = (test: readonly number[], predicted: Float64Array): Metrics => {
    const of = (values: ArrayLike<number>) => test.map((row) => values[row]);
    return evaluateScores(of(measured), predicted, of(labels));
  };
  for (const method of methods) {
    for (const split of splits) {
      const folds = assignFolds(features.variants, split, count, seed);
      const onFold = (done: number) => options.onFold?.(done, split, method);
      const predicted = await crossValidate(method, features, measured, folds, { ...options, onFold });
      const line = (fold: string, train: number, test: readonly number[]): HeadEvaluation => ({
        method,
        split,
        fold,
        train,
        test: test.length,
        metrics: evaluate(
          test,
          Float64Array.from(test, (row) => predicted.values[row]),
        ),
        mse: test.reduce((sum, row) => sum + predicted.squaredErrors[row], 0) / test.length,
        coverage: coverageOf(predicted, measured, test),
      });
      for (let fold = 0; fold < count; fold++) {
        const test = rows.filter((row) => folds[row] === fold);
        if (test.length > 0) {
          yield line(String(fold + 1), all - test.length, test);
        }
      }
      yield line('all', all, rows);
    }
    for (const size of trainSizes) {
      for (let repeat = 0; repeat < repeats; repeat++) {
        const order = new Random(seed, repeat).shuffle([...rows]);
        const held = Math.max(2, Math.floor(all / 5));
        if (size > all - held) {
          throw new InputError(`${where}: --train-size ${size} of ${all} variants leaves no fifth to test on`);
        }
        const test = order.slice(0, held);
        const predicted = await trainAndPredict(
          method,
          features,
          measured,
          order.slice(held, held + size),
          test,
          options,
        );
        const metrics = evaluate(test, predicted.values);
        yield { method, split: 'low-N', fold: String(repeat + 1), train: size, test: held, metrics };
      }
    }
  }
}

/** One line of a cross-validation of classes. */
export interface ClassEvaluation {
  /** Number of the fold, from 1; `all`: the predictions of all folds together. */
  fold: string;
  /** Sequences trained on and tested on. */
  train: number;
  test: number;
  metrics: ClassificationMetrics;
}

/**
 * Cross-validates a classification head in random folds: a line a fold, then one of all folds together. The model's
 * parameters are afterwards what they were.
 *
 * @param options.folds default 5
 */
export async function* crossValidateClasses(
  model: LanguageModel,
  data: LabelledSequences,
  options: Partial<GradientOptions> & { folds?: number } = {},
): AsyncGenerator<ClassEvaluation, void, undefined> {
  const { folds = 5, seed = 0 } = options;
  const all = data.sequences.length;
  const subset = (rows: readonly number[]): LabelledSequences => ({
    ...data,
    sequences: rows.map((row) => data.sequences[row]),
    labels: rows.map((row) => data.labels[row]),
  });
  const evaluate = (truth: number[], answer: number[]) => evaluateClasses(truth, answer, data.classes.length);
  const restore = await snapshotParameters(model);
  const truths: number[] = [];
  const answers: number[] = [];
  const order = new Random(seed, all).shuffle(Array.from({ length: all }, (_, row) => row));
  for (let fold = 0; fold < folds; fold++) {
    const test = order.filter((_, i) => i % folds === fold);
    const training = order.filter((_, i) => i % folds !== fold);
    const examples = labelledExamples(model, subset(test));
    const truth = examples.flatMap((example) => [...example.targets!]);
    let answer: number[];
    try {
      const head = await trainClassifier(model, subset(training), options);
      answer = (await head.predict(examples)).map(argmax);
      head.dispose();
    } finally {
      restore();
    }
    append(truths, truth);
    append(answers, answer);
    const metrics = evaluate(truth, answer);
    yield { fold: String(fold + 1), train: training.length, test: test.length, metrics };
  }
  yield { fold: 'all', train: all, test: all, metrics: evaluate(truths, answers) };
}
