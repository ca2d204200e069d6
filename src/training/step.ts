import * as tf from '@tensorflow/tfjs-core';
import '../engines/gradients.js';
import type { TokenBatch } from '../data/batches.js';
import { Random } from '../data/random.js';
import { beginStep, canReplay, type StepInput, toTensors } from '../engines/replay.js';
import { maxLength } from '../model/config.js';
import type { EncodeOptions, LanguageModel } from '../model/model.js';
import { gatherRows } from '../ops/gatherRows.js';
import { maskedCrossEntropy } from '../ops/maskedCrossEntropy.js';
import type { Tally } from './metrics.js';
import type { Optimizer } from './optimizer.js';

/** Token rows that go through the model at once, and the positions to predict in them. */
export type Pass = Pick<TokenBatch, 'ids' | 'batch' | 'length' | 'positions' | 'labels'>;

export interface StepOptions {
  learningRate: number;
  /** Seed of the run; with the step and the pass it gives the seed of the dropout. */
  seed: number;
  /** Computes each block once more for its gradients instead of keeping what they need; see `EncodeOptions`. */
  recompute?: boolean;
}

/** A step's figures. */
export interface StepResult extends Tally {
  /** Global norm of the gradients before clipping. */
  gradientNorm: number;
}

/** Figures of a step before they are read: [loss, correct], under this name among its sums. */
const FIGURES = 'figures';

/**
 * The first part of a step: the gradients of the mean cross-entropy over all predicted positions of its passes, summed
 * over these. They are on their way, not yet in use: `update` ends the step, or `abandon`.
 */
export interface StepGradients {
  /**
   * What this process knows of the step, for a sum over several: the gradients by parameter name, and `figures` [2], the
   * mean cross-entropy and how many positions are predicted right. The tensors are the step's.
   */
  sums(): Readonly<Record<string, tf.Tensor>>;
  /**
   * One AdamW update. It is on its way when this returns; the promise waits for the step's figures, so that an
   * accelerator need not idle until they have been read.
   * @param reduced values that take the place of sums, by name
   */
  update(reduced?: Readonly<Record<string, Float32Array>>): Promise<StepResult>;
  /** Ends the step as if it had not begun. */
  abandon(): void;
}

/**
 * Sums what each of several processes knows of a step over all of them; see `StepGradients.sums`.
 * @returns the sums by name, of which those left out stay this process's
 */
export type Reduce = (sums: Readonly<Record<string, tf.Tensor>>) => Promise<Readonly<Record<string, Float32Array>>>;

/** The other parts of a step: the sum over processes, where there are several, and the update. */
export async function updateReduced(
  gradients: StepGradients,
  reduce?: Reduce,
): Promise<{ figures: Promise<StepResult> }> {
  if (!reduce) {
    return { figures: gradients.update() };
  }
  try {
    const sums = await reduce(gradients.sums());
    return { figures: gradients.update(sums) };
  } catch (error) {
    gradients.abandon();
    throw error;
  }
}

/**
 * One training step: gradients, summed over its passes, then the update.
 * @returns undefined where no pass has a position to predict: then nothing has changed
 */
export function trainingStep(
  model: LanguageModel,
  optimizer: Optimizer,
  passes: Pass[],
  options: StepOptions,
): Promise<StepResult> | undefined {
  return stepGradients(model, optimizer, passes, options)?.update();
}

/**
 * The gradients of a training step; see `StepGradients` for its other parts.
 * @returns undefined where no pass has a position to predict: then nothing has changed
 */
export function stepGradients(
  model: LanguageModel,
  optimizer: Optimizer,
  passes: Pass[],
  options: StepOptions,
): StepGradients | undefined {
  const positions = passes.reduce((sum, pass) => sum + pass.positions.length, 0);
  if (positions === 0) {
    return undefined;
  }
  const step = optimizer.step + 1;
  const draws = model.redrawFeatures(options.seed, step);
  const seeds: number[] = [];
  const inputs: Record<string, StepInput> = {};
  const used: Pass[] = [];
  for (const [index, pass] of passes.entries()) {
    if (pass.positions.length === 0) {
      continue;
    }
    seeds.push(new Random(options.seed, step, index).uint32());
    const shaped = canReplay() ? roundUp(pass, maxLength(model.config), model.config.pad_token_id) : pass;
    const weights = new Float32Array(shaped.positions.length).fill(1 / positions, 0, pass.positions.length);
    for (const [name, input] of Object.entries(passInputs(shaped, weights))) {
      inputs[`${name}${used.length}`] = input;
    }
    used.push(shaped);
  }
  inputs.hyper = { values: optimizer.advance(options.learningRate), shape: [3] };
  const shapes = used.map((pass) => `${pass.batch}x${pass.length}/${pass.positions.length}`);
  // Features drawn anew are other tensors.
  const key = [...shapes, options.recompute, draws].join();
  const begun = beginStep(optimizer, key, inputs, seeds, {
    begin: (tensors) => sumOverPasses(model, tensors, seeds, options.recompute),
    finish: ({ [FIGURES]: figures, ...gradients }, { hyper }) => {
      const norm = optimizer.update(new Map(Object.entries(gradients)), hyper as tf.Tensor1D);
      return tf.concat([figures, tf.reshape(norm, [1])]);
    },
  });
  return {
    sums: () => begun.results(),
    async update(reduced) {
      const figures = begun.finish(reduced);
      const [loss, correct, gradientNorm] = await figures.data();
      figures.dispose();
      return { positions, loss: loss * positions, correct, gradientNorm };
    },
    abandon() {
      begun.abandon();
      optimizer.step = step - 1;
    },
  };
}

/** Gradients and figures of all passes, each added to those before it. */
function sumOverPasses(
  model: LanguageModel,
  tensors: Record<string, tf.Tensor>,
  seeds: number[],
  recompute?: boolean,
): Record<string, tf.Tensor> {
  const sums: Record<string, tf.Tensor> = {};
  const figures: tf.Tensor[] = [];
  for (const [index, dropoutSeed] of seeds.entries()) {
    const { ids, positions, labels, weights } = Object.fromEntries(
      PASS_INPUTS.map((name) => [name, tensors[`${name}${index}`]]),
    );
    const pass = { ids, positions, labels, weights } as PassTensors;
    const { loss, correct, gradients } = weightedGradients(model, pass, { dropoutSeed, recompute });
    figures.push(tf.stack([loss, correct]));
    for (const [name, gradient] of gradients) {
      const before = sums[name];
      sums[name] = before ? tf.add(before, gradient) : gradient;
      if (before) {
        tf.dispose([before, gradient]);
      }
    }
  }
  return { ...sums, [FIGURES]: tf.addN(figures) };
}

/** A pass's tensors. */
interface PassTensors {
  /** [B, L] int32 */
  ids: tf.Tensor2D;
  /** [N] int32 */
  positions: tf.Tensor1D;
  /** [N] int32 */
  labels: tf.Tensor1D;
  /** [N] what each position's cross-entropy counts in the loss. */
  weights: tf.Tensor1D;
}

const PASS_INPUTS = ['ids', 'positions', 'labels', 'weights'] as const;

function passInputs({ ids, batch, length, positions, labels }: Pass, weights: Float32Array) {
  return {
    ids: { values: ids, shape: [batch, length] },
    positions: { values: positions, shape: [positions.length] },
    labels: { values: labels, shape: [positions.length] },
    weights: { values: weights, shape: [positions.length] },
  };
}

/**
 * A pass of one of few shapes: sequences padded, and positions repeated, to be a multiple of an eighth or less of
 * themselves. What is added weighs nothing.
 */
function roundUp(pass: Pass, longest: number, padId: number): Pass {
  const { batch, length } = pass;
  const wider = Math.min(Math.max(longest, length), multiple(length));
  const ids = new Int32Array(batch * wider).fill(padId);
  for (let row = 0; row < batch; row++) {
    ids.set(pass.ids.subarray(row * length, (row + 1) * length), row * wider);
  }
  const count = multiple(pass.positions.length);
  const positions = new Int32Array(count);
  positions.set(pass.positions.map((i) => Math.floor(i / length) * wider + (i % length)));
  const labels = new Int32Array(count);
  labels.set(pass.labels);
  return { ids, batch, length: wider, positions, labels };
}

function multiple(count: number): number {
  const step = 2 ** Math.max(3, Math.floor(Math.log2(count)) - 3);
  return Math.ceil(count / step) * step;
}

/**
 * The gradients of weight · Σ cross-entropy over a pass's positions, by parameter name. Only these positions go
 * through the language-model head.
 */
export function passGradients(
  model: LanguageModel,
  pass: Pass,
  weight: number,
  options: Pick<EncodeOptions, 'dropoutSeed' | 'recompute'>,
): { loss: tf.Scalar; correct: tf.Scalar; gradients: Map<string, tf.Tensor> } {
  return weightedGradients(model, passTensors(pass, weight), options);
}

function weightedGradients(
  model: LanguageModel,
  pass: PassTensors,
  options: Pick<EncodeOptions, 'dropoutSeed' | 'recompute'>,
): { loss: tf.Scalar; correct: tf.Scalar; gradients: Map<string, tf.Tensor> } {
  const trained = [...model.trainable];
  const kept: { correct?: tf.Scalar } = {};
  const { value, grads } = tf.variableGrads(
    () => {
      const { loss, correct } = weightedLoss(model, pass, options);
      kept.correct = tf.keep(correct);
      return loss;
    },
    trained.map(([, parameter]) => parameter),
  );
  const correct = tf.clone(kept.correct!);
  kept.correct!.dispose();
  const gradients = new Map<string, tf.Tensor>();
  for (const [name, parameter] of trained) {
    const gradient = grads[parameter.name];
    if (gradient) {
      gradients.set(name, gradient);
    }
  }
  return { loss: value, correct, gradients };
}

/** weight · Σ cross-entropy of a pass's positions, and how many of them are predicted right. */
export function passLoss(
  model: LanguageModel,
  pass: Pass,
  weight: number,
  options: Pick<EncodeOptions, 'dropoutSeed' | 'recompute'> = {},
): { loss: tf.Scalar; correct: tf.Scalar } {
  return weightedLoss(model, passTensors(pass, weight), options);
}

function passTensors(pass: Pass, weight: number): PassTensors {
  const weights = new Float32Array(pass.positions.length).fill(weight);
  return toTensors(passInputs(pass, weights)) as unknown as PassTensors;
}

function weightedLoss(
  model: LanguageModel,
  { ids, positions, labels, weights }: PassTensors,
  options: Pick<EncodeOptions, 'dropoutSeed' | 'recompute'>,
): { loss: tf.Scalar; correct: tf.Scalar } {
  const hidden = model.encode(ids, options); // [B, L, D]
  const rows = tf.reshape(hidden, [-1, model.config.hidden_size]) as tf.Tensor2D;
  const logits = model.predict(gatherRows(rows, positions)); // [N, V]
  return maskedCrossEntropy(logits, labels, weights);
}
