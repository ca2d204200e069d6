import * as tf from '@tensorflow/tfjs-core';
import type { Tokens } from '../../data/alphabet.js';
import '../../engines/gradients.js';
import { InputError } from '../../data/errors.js';
import { Random } from '../../data/random.js';
import type { LanguageModel } from '../../model/model.js';
import { gatherRows } from '../../ops/gatherRows.js';
import { type Observer, type Progress, runLoop } from '../../training/loop.js';
import { Optimizer } from '../../training/optimizer.js';
import { spearman } from '../metrics.js';

/**
 * - `regression` squared error of the standardised target;
 * - `ranking` how often a pair of a batch stands in the wrong order, as a logistic loss (Bradley and Terry 1952):
 *   the assay's order counts and not its scale;
 * - `classification` cross-entropy over classes.
 */
export const LOSSES = ['regression', 'ranking', 'classification'] as const;
export type Loss = (typeof LOSSES)[number];

/** One sequence to learn from: the rows of hidden states that count, and what is to come out of each. */
export interface Example {
  /** Token ids, `<cls>` and `<eos>` included. */
  tokens: Tokens;
  /** Token indices: one pooled row of several (their mean), or with `perToken` a row of each. */
  indices: readonly number[];
  perToken?: boolean;
  /** A known score beside the states, such as a zero-shot score; the head starts from it. */
  prior?: number;
  /** A value, or class numbers: one, or with `perToken` one an index. Not needed to predict. */
  targets?: readonly number[];
}

export interface GradientOptions {
  loss: Loss;
  /** Number of classes; 1 for a value. */
  outputs: number;
  /** Trains the head alone (0), with the last n layers, or with the whole model. Default 0. */
  layers?: number | 'all';
  /** Of the model's parameters; the head's is ten times it. Default 1e-4. */
  learningRate?: number;
  /** Passes over the examples at most; default 30. */
  epochs?: number;
  /** Stops after so many passes without a better held-out result, and keeps the best; default 5. */
  patience?: number;
  /** Sequences of a step; default 16. */
  batchSize?: number;
  /** Share of the examples held out for early stopping; default 0.1. */
  heldOut?: number;
  seed?: number;
  onEpoch?: (epoch: number, heldOut: number) => void;
}

/**
 * A linear head on a model's last hidden states, and the model's own parameters where they were trained with it.
 * `dispose` frees the head; the model stays the caller's.
 */
export class GradientHead {
  constructor(
    readonly model: LanguageModel,
    readonly loss: Loss,
    /** [D + 1, outputs], of the states, then of the prior. */
    readonly weights: tf.Variable,
    /** [outputs] */
    readonly bias: tf.Variable,
    /** What a predicted value is multiplied by and shifted by, to be in the target's unit. */
    readonly scale: { mean: number; deviation: number },
    /** What a prior is standardised by. */
    readonly prior: { mean: number; deviation: number },
  ) {}

  /**
   * Raw outputs of examples, one array a row: a value, or the logits of the classes.
   * @param examples their targets are not read
   */
  async predict(examples: readonly Example[], tokensPerBatch = 4096): Promise<number[][]> {
    const rows: number[][] = [];
    for (let start = 0; start < examples.length; ) {
      let end = start + 1;
      let longest = examples[start].tokens.length;
      while (end < examples.length) {
        const length = Math.max(longest, examples[end].tokens.length);
        if (length * (end - start + 1) > tokensPerBatch) {
          break;
        }
        longest = length;
        end++;
      }
      const output = tf.tidy(() => headOutput(this, examples.slice(start, end)));
      const values = (await output.array()) as number[][];
      output.dispose();
      for (const row of values) {
        rows.push(this.loss === 'regression' ? [row[0] * this.scale.deviation + this.scale.mean] : row);
      }
      start = end;
    }
    return rows;
  }

  dispose(): void {
    tf.dispose([this.weights, this.bias]);
  }
}

/** Outputs [rows, outputs]; call inside tf.tidy. */
function headOutput(
  head: Pick<GradientHead, 'model' | 'weights' | 'bias' | 'prior'>,
  examples: readonly Example[],
): tf.Tensor2D {
  const { model } = head;
  const batch = examples.length;
  const length = Math.max(...examples.map((example) => example.tokens.length));
  const ids = new Int32Array(batch * length).fill(model.config.pad_token_id);
  examples.forEach((example, b) => {
    ids.set(example.tokens, b * length);
  });
  const hidden = model.encode(tf.tensor2d(ids, [batch, length], 'int32')); // [B, L, D]
  let rows: tf.Tensor2D;
  if (examples.some((example) => example.perToken)) {
    const wanted = examples.flatMap(({ indices }, b) => indices.map((index) => b * length + index));
    const flat = tf.reshape(hidden, [batch * length, model.config.hidden_size]) as tf.Tensor2D; // [B L, D]
    rows = gatherRows(flat, tf.tensor1d(wanted, 'int32')); // [rows, D]
  } else {
    const pool = new Float32Array(batch * length);
    examples.forEach(({ indices }, b) => {
      for (const index of indices) {
        pool[b * length + index] += 1 / indices.length;
      }
    });
    const pooled = tf.matMul(tf.tensor3d(pool, [batch, 1, length]), hidden); // [B, 1, D]
    rows = tf.reshape(pooled, [batch, model.config.hidden_size]) as tf.Tensor2D;
  }
  const { mean, deviation } = head.prior;
  const priors = examples.flatMap(({ prior, indices, perToken }) => {
    const value = prior === undefined ? 0 : (prior - mean) / deviation;
    return perToken ? indices.map(() => value) : [value];
  });
  const features = tf.concat([rows, tf.tensor2d(priors, [priors.length, 1])], 1); // [rows, D + 1]
  return tf.add(tf.matMul(features, head.weights as unknown as tf.Tensor2D), head.bias) as tf.Tensor2D;
}

function lossOf(loss: Loss, outputs: tf.Tensor2D, targets: readonly number[]): tf.Scalar {
  const count = targets.length;
  if (loss === 'classification') {
    const labels = tf.oneHot(tf.tensor1d([...targets], 'int32'), outputs.shape[1]);
    return tf.neg(tf.div(tf.sum(tf.mul(labels, tf.logSoftmax(outputs))), count)) as tf.Scalar;
  }
  const values = tf.reshape(outputs, [count]);
  if (loss === 'regression') {
    return tf.mean(tf.square(tf.sub(values, tf.tensor1d([...targets])))) as tf.Scalar;
  }
  const above = tf.tensor2d(
    targets.flatMap((a) => targets.map((b) => (a > b ? 1 : 0))),
    [count, count],
  );
  const gap = tf.sub(tf.reshape(values, [count, 1]), tf.reshape(values, [1, count])); // [i, j] = s_i − s_j
  const pairs = tf.maximum(tf.sum(above), 1);
  return tf.div(tf.sum(tf.mul(above, tf.softplus(tf.neg(gap)))), pairs) as tf.Scalar;
}

/**
 * Trains a head, and on request the model's last layers or all of it, by gradient descent (AdamW), with early stopping
 * on held-out examples: Spearman for values, accuracy for classes. The model's parameters are changed in place; see
 * `snapshotParameters` to get them back.
 *
 * @throws InputError for too few examples
 */
export async function trainGradientHead(
  model: LanguageModel,
  examples: readonly Example[],
  options: GradientOptions,
): Promise<GradientHead> {
  const { loss, outputs, layers = 0, epochs = 30, patience = 5, batchSize = 16, heldOut = 0.1, seed = 0 } = options;
  const learningRate = options.learningRate ?? 1e-4;
  if (examples.length < 4) {
    throw new InputError(`${examples.length} examples to train on; at least 4 are needed`);
  }
  const random = new Random(seed, examples.length);
  const order = random.shuffle([...examples.keys()]);
  const held = Math.max(1, Math.round(heldOut * examples.length));
  const validation = order.slice(0, held).map((i) => examples[i]);
  const training = order.slice(held).map((i) => examples[i]);

  const targetsOf = (list: readonly Example[]) => list.flatMap((example) => [...example.targets!]);
  const scale = loss === 'regression' ? moments(targetsOf(training)) : { mean: 0, deviation: 1 };
  const priors = training.flatMap(({ prior }) => (prior === undefined ? [] : [prior]));
  const prior = priors.length > 0 ? moments(priors) : { mean: 0, deviation: 1 };
  const size = model.config.hidden_size;
  // Nothing of the states at first: where there is a prior, training starts from its order.
  const initial = new Float32Array((size + 1) * outputs);
  if (priors.length > 0) {
    initial.fill(1, size * outputs);
  }
  const weights = tf.tidy(() => tf.variable(tf.tensor2d(initial, [size + 1, outputs])));
  const bias = tf.tidy(() => tf.variable(tf.zeros([outputs])));
  const head = new GradientHead(model, loss, weights, bias, scale, prior);

  const body = trainableParameters(model, layers);
  const headParameters = new Map<string, tf.Variable>([
    ['weights', weights],
    ['bias', bias],
  ]);
  const adamW = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01, clip: 1 };
  const bodyOptimizer = new Optimizer(body, adamW);
  const headOptimizer = new Optimizer(headParameters, adamW);
  const all = [...headParameters.values(), ...body.values()];
  const begin = (batch: Example[]) => {
    const targets = targetsOf(batch).map((value) => (value - scale.mean) / scale.deviation);
    const figures = tf.tidy(() => {
      const { value, grads } = tf.variableGrads(() => lossOf(loss, headOutput(head, batch), targets), all);
      const pick = (parameters: ReadonlyMap<string, tf.Variable>) =>
        new Map([...parameters].flatMap(([name, { name: id }]) => (grads[id] ? [[name, grads[id]]] : [])));
      const update = (optimizer: Optimizer, parameters: ReadonlyMap<string, tf.Variable>, rate: number) =>
        optimizer.update(pick(parameters), tf.tensor1d(optimizer.advance(rate)));
      update(headOptimizer, headParameters, 10 * learningRate);
      if (body.size > 0) {
        update(bodyOptimizer, body, learningRate);
      }
      return value;
    });
    return {
      figures: figures.data().then(([value]) => {
        figures.dispose();
        return value;
      }),
    };
  };
  const end = new AbortController();
  const measure = async (epoch: number) => {
    const figure = await quality(head, validation);
    options.onEpoch?.(epoch, figure);
    return figure;
  };
  const best = new BestEpoch(all, { stepsPerEpoch: Math.ceil(training.length / batchSize), patience, measure, end });
  try {
    await runLoop({
      batches: epochsOf(training, epochs, batchSize, random),
      begin,
      settle(value, step) {
        if (!Number.isFinite(value)) {
          throw new InputError(`the loss is ${value} at step ${step}; try a lower learning rate`);
        }
      },
      finished: () => false,
      observers: [best],
      signal: end.signal,
    });
    best.restore();
  } catch (error) {
    head.dispose();
    throw error;
  } finally {
    best.dispose();
    bodyOptimizer.dispose();
    headOptimizer.dispose();
  }
  return head;
}

/** The examples in batches, in another order in each epoch. */
function* epochsOf(
  examples: Example[],
  epochs: number,
  batchSize: number,
  random: Random,
): Generator<Example[], void, undefined> {
  for (let epoch = 0; epoch < epochs; epoch++) {
    random.shuffle(examples);
    for (let start = 0; start < examples.length; start += batchSize) {
      yield examples.slice(start, start + batchSize);
    }
  }
}

/**
 * Measures a training after each epoch, keeps the parameters of the one that was best, and ends the training after
 * `patience` epochs without a better one.
 */
class BestEpoch implements Observer {
  private figure = Number.NEGATIVE_INFINITY;
  private epoch = 0;
  private values: tf.Tensor[] = [];

  constructor(
    private readonly parameters: readonly tf.Variable[],
    private readonly options: {
      stepsPerEpoch: number;
      patience: number;
      measure: (epoch: number) => Promise<number>;
      end: AbortController;
    },
  ) {}

  due({ step }: Progress): boolean {
    return step % this.options.stepsPerEpoch === 0;
  }

  async observe({ step }: Progress): Promise<void> {
    const { stepsPerEpoch, patience, measure, end } = this.options;
    const epoch = step / stepsPerEpoch;
    const figure = await measure(epoch);
    if (figure > this.figure || epoch === 1) {
      this.dispose();
      this.figure = figure;
      this.epoch = epoch;
      this.values = this.parameters.map((variable) => tf.tidy(() => tf.add(variable, 0)));
    }
    if (epoch - this.epoch >= patience) {
      end.abort();
    }
  }

  /** Gives the parameters the values of the best epoch. */
  restore(): void {
    tf.tidy(() => {
      this.values.forEach((value, i) => {
        this.parameters[i].assign(value);
      });
    });
  }

  dispose(): void {
    tf.dispose(this.values);
    this.values = [];
  }
}

/** Spearman of values, accuracy of classes. */
async function quality(head: GradientHead, examples: readonly Example[]): Promise<number> {
  const outputs = await head.predict(examples);
  const targets = examples.flatMap((example) => [...example.targets!]);
  if (head.loss !== 'classification') {
    const rho = spearman(
      targets,
      outputs.map((row) => row[0]),
    );
    return Number.isNaN(rho) ? -1 : rho;
  }
  return outputs.filter((row, i) => argmax(row) === targets[i]).length / targets.length;
}

/** Index of the first largest value. */
export function argmax(values: readonly number[]): number {
  return values.reduce((best, value, i) => (value > values[best] ? i : best), 0);
}

function moments(values: readonly number[]): { mean: number; deviation: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return { mean, deviation: Math.sqrt(variance) || 1 };
}

/** The encoder's parameters that are trained along: none, those of its last layers, or all. */
function trainableParameters(model: LanguageModel, layers: number | 'all'): Map<string, tf.Variable> {
  const first = layers === 'all' ? 0 : Math.max(0, model.config.num_hidden_layers - layers);
  return new Map(
    [...model.trainable].filter(([name]) => {
      if (layers === 0 || name.startsWith('head.')) {
        return false;
      }
      const layer = /^layers\.(\d+)\./.exec(name)?.[1];
      if (layer !== undefined) {
        return Number(layer) >= first;
      }
      return layers === 'all' || name.startsWith('norm.');
    }),
  );
}

/** Remembers a model's parameters; the function it returns puts them back, as often as it is called. */
export async function snapshotParameters(model: LanguageModel): Promise<() => void> {
  const values = new Map<string, Float32Array>();
  for (const [name, variable] of model.trainable) {
    values.set(name, ((await variable.data()) as Float32Array).slice());
  }
  return () => {
    for (const [name, variable] of model.trainable) {
      tf.tidy(() => variable.assign(tf.tensor(values.get(name)!, variable.shape)));
    }
  };
}
