import * as tf from '@tensorflow/tfjs-core';
import '../engines/gradients.js';
import type { TokenBatch } from '../data/batches.js';
import { Random } from '../data/random.js';
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
  if (positions === 0) return undefined;
  const step = optimizer.step + 1;
  model.redrawFeatures(options.seed, step);
  const figures = tf.tidy(() => {
    const total = new Map<string, tf.Tensor>();
    const sums: tf.Tensor[] = [];
    passes.forEach((pass, index) => {
      if (pass.positions.length === 0) return;
      const dropoutSeed = new Random(options.seed, step, index).uint32();
      const { loss, correct, gradients } = passGradients(model, pass, 1 / positions, {
        dropoutSeed,
        recompute: options.recompute,
      });
      sums.push(tf.stack([loss, correct]));
      for (const [name, gradient] of gradients) {
        const before = total.get(name);
        total.set(name, before ? tf.add(before, gradient) : gradient);
        if (before) tf.dispose([before, gradient]);
      }
    });
    const norm = optimizer.update(total, options.learningRate);
    return tf.concat([tf.addN(sums), tf.reshape(norm, [1])]);
  });
  return figures.data().then(([loss, correct, gradientNorm]) => {
    figures.dispose();
    return { positions, loss: loss * positions, correct, gradientNorm };
  });
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
  const trained = [...model.trainable];
  const kept: { correct?: tf.Scalar } = {};
  const { value, grads } = tf.variableGrads(
    () => {
      const { loss, correct } = passLoss(model, pass, weight, options);
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
    if (gradient) gradients.set(name, gradient);
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
  const { batch, length, positions } = pass;
  const ids = tf.tensor2d(pass.ids, [batch, length], 'int32');
  const hidden = model.encode(ids, options); // [B, L, D]
  const rows = tf.reshape(hidden, [batch * length, model.config.hidden_size]) as tf.Tensor2D;
  const chosen = gatherRows(rows, tf.tensor1d(positions, 'int32'));
  const logits = model.predict(chosen); // [N, V]
  const labels = tf.tensor1d(pass.labels, 'int32');
  return maskedCrossEntropy(logits, labels, tf.fill([positions.length], weight));
}
