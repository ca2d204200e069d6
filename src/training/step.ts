import * as tf from '@tensorflow/tfjs-core';
import '../engines/gradients.js';
import type { TokenBatch } from '../data/batches.js';
import { Random } from '../data/random.js';
import { canReplay, replay, type StepInput, toTensors } from '../engines/replay.js';
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

/**
 * One training step: gradients of the mean cross-entropy over all predicted positions of all passes, then one AdamW
 * update. The update is on its way when this returns; the promise waits for its figures, so that an accelerator need
 * not idle until they have been read.
 * @returns undefined where no pass has a position to predict: then nothing has changed
 */
export function trainingStep(
  model: LanguageModel,
  optimizer: Optimizer,
  passes: Pass[],
  options: StepOptions,
): Promise<StepResult> | undefined {
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
  const figures = replay(optimizer, key, inputs, seeds, (tensors) => {
    const total = new Map<string, tf.Tensor>();
    const sums: tf.Tensor[] = [];
    for (const [index, dropoutSeed] of seeds.entries()) {
      const { ids, positions, labels, weights } = Object.fromEntries(
        PASS_INPUTS.map((name) => [name, tensors[`${name}${index}`]]),
      );
      const pass = { ids, positions, labels, weights } as PassTensors;
      const { loss, correct, gradients } = weightedGradients(model, pass, {
        dropoutSeed,
        recompute: options.recompute,
      });
      sums.push(tf.stack([loss, correct]));
      for (const [name, gradient] of gradients) {
        const before = total.get(name);
        total.set(name, before ? tf.add(before, gradient) : gradient);
        if (before) {
          tf.dispose([before, gradient]);
        }
      }
    }
    const norm = optimizer.update(total, tensors.hyper as tf.Tensor1D);
    return tf.concat([tf.addN(sums), tf.reshape(norm, [1])]);
  });
  return figures.data().then(([loss, correct, gradientNorm]) => {
    figures.dispose();
    return { positions, loss: loss * positions, correct, gradientNorm };
  });
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
