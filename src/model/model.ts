import * as tf from '@tensorflow/tfjs-core';
import { ALPHABETS, type Alphabet } from '../data/alphabet.js';
import { InputError } from '../data/errors.js';
import { Random } from '../data/random.js';
import type { Engine } from '../engines/engine.js';
import { assertComputes, requireEngine } from '../engines/running.js';
import { type AddLayerNormOptions, addLayerNorm, dropResidual, layerNorm } from '../ops/addLayerNorm.js';
import { type Activation, linear } from '../ops/linear.js';
import { recompute } from '../ops/recompute.js';
import { addRmsNorm, rmsNorm } from '../ops/rmsNorm.js';
import { rotary } from '../ops/rotary.js';
import { swiglu } from '../ops/swiglu.js';
import { tokenEmbedding } from '../ops/tokenEmbedding.js';
import type { Architecture } from './architecture.js';
import type { Attention, AttentionKind, AttentionRows } from './attention/attention.js';
import { attentionKind } from './attention/index.js';
import { oneHotRows } from './attention/rows.js';
import { architectureOf } from './checkpoints/index.js';
import { attentionOf, type ModelConfig, maxLength } from './config.js';
import { type ParameterSpec, parameterSpecs } from './parameters.js';

/** Options of `LanguageModel.encode`. */
export interface EncodeOptions {
  /** Unsigned 32-bit seed of this pass's dropout; without it nothing is dropped. */
  dropoutSeed?: number;
  /**
   * Gradient checkpointing: keeps each block's input only, and computes the block once more for its gradients, which
   * stay the same bit for bit. A third more time, a fraction of the memory.
   */
  recompute?: boolean;
  /** Called with each layer's fused queries, keys and values [B, L, 3 D], positions applied. */
  onAttention?: (layer: number, qkv: tf.Tensor3D, keep: tf.Tensor2D) => void;
  /** Called with the embeddings (layer 0) and each layer's output [B L, D]; the last is before the final LayerNorm. */
  onHidden?: (layer: number, hidden: tf.Tensor2D) => void;
}

/**
 * A protein language model: a pre-norm encoder and its head, made of what its `architecture` says (ESM-2's, Lin et al.
 * 2023, where nothing else is said), with the attention that its configuration names. Shapes: B sequences, L tokens, D
 * hidden, V tokens in the vocabulary.
 */
export class LanguageModel {
  /** Where its parameters are; it computes there alone. */
  readonly engine: Engine;
  readonly architecture: Architecture;
  /** What its tensors are, in the order of its computation. */
  readonly specs: readonly ParameterSpec[];
  private readonly attention: Attention;
  /** The norm before each block, and the last one. */
  private readonly normNames: string[];

  /**
   * Most people want createModel or loadModel. `parameters` become the model's: `dispose` ends them. `ownAttention`
   * replaces the configuration's kind, for those who try out one of their own; see `registerAttention`.
   * @throws InputError where no engine runs
   */
  constructor(
    readonly config: ModelConfig,
    readonly parameters: Map<string, tf.Variable>,
    readonly alphabet: Alphabet = ALPHABETS[config.alphabet ?? 'protein'],
    readonly ownAttention?: Attention,
  ) {
    this.engine = requireEngine();
    this.architecture = architectureOf(config);
    this.attention = ownAttention ?? attentionOf(config);
    this.specs = parameterSpecs(this.architecture, this.attention);
    this.normNames = [...Array(this.architecture.layers).keys()]
      .map((i) => `layers.${i}.attention.norm`)
      .concat('norm');
  }

  /** The kind of its attention; undefined where that is one of the caller's own. */
  get attentionKind(): AttentionKind | undefined {
    return this.ownAttention ? undefined : attentionKind(this.config.attention.kind);
  }

  /** The parameters that training changes, by name. */
  get trainable(): Map<string, tf.Variable> {
    return new Map([...this.parameters].filter(([, variable]) => variable.trainable));
  }

  /**
   * The encoder.
   * @param ids [B, L] int32; <pad> may follow a sequence's end
   * @returns [B, L, D] after the last LayerNorm; rows of padding carry no meaning
   * @throws InputError where L exceeds the model's positions, or the model's engine was stopped
   */
  encode(ids: tf.Tensor2D, options: EncodeOptions = {}): tf.Tensor3D {
    assertComputes(this.engine);
    const { layers, hidden, padId } = this.architecture;
    const [batch, length] = ids.shape;
    const most = maxLength(this.config);
    if (length > most) {
      throw new InputError(`a sequence of ${length} tokens: this model takes ${most}, crop it or use windows`);
    }
    return tf.tidy(() => {
      const keep = tf.cast(tf.notEqual(ids, padId), 'float32') as tf.Tensor2D;
      let x: tf.Tensor = tf.reshape(this.embed(ids, keep), [batch * length, hidden]); // [B L, D]
      options.onHidden?.(0, x as tf.Tensor2D);
      let normed = this.norm(x, this.normNames[0]);
      for (let i = 0; i < layers; i++) {
        // Called again for the gradients, a block reports nothing.
        let onAttention = options.onAttention;
        const block = (...[input, inputNormed, kept]: tf.Tensor[]) => {
          const report = onAttention;
          onAttention = undefined;
          return this.block(i, input, inputNormed, kept as tf.Tensor2D, { ...options, onAttention: report });
        };
        const inputs = [x, normed];
        [x, normed] = options.recompute
          ? recompute([x, normed], block, { variables: this.blockVariables(i), constants: [keep] })
          : block(x, normed, keep);
        // A long sequence's states of all layers would be gigabytes: without gradients nobody needs them again.
        if (!options.onHidden && tf.engine().state.gradientDepth === 0) {
          tf.dispose(inputs);
        }
        options.onHidden?.(i + 1, x as tf.Tensor2D);
      }
      return tf.reshape(normed, [batch, length, hidden]) as tf.Tensor3D;
    });
  }

  /**
   * One block: attention and feed-forward network, each added to what came in.
   * @param x [B L, D]
   * @param normed [B L, D], x after the block's first norm
   * @param keep [B, L]
   * @returns x after the block, and after the next block's first norm
   */
  private block(
    index: number,
    x: tf.Tensor,
    normed: tf.Tensor,
    keep: tf.Tensor2D,
    options: EncodeOptions,
  ): [tf.Tensor, tf.Tensor] {
    const { feedForward } = this.architecture;
    const layer = `layers.${index}`;
    return tf.tidy(() => {
      const qkv = this.queriesKeysValues(normed, keep, layer); // [B, L, 3 D]
      options.onAttention?.(index, qkv, keep);
      const mixed = this.attention.attend(qkv, keep, this.attentionParameters(index)); // [B, L, D]
      const attended = this.dense(tf.reshape(mixed, x.shape), `${layer}.attention.output`);
      const middle = this.join(x, attended, `${layer}.feedForward.norm`, 2 * index, options);
      const up = this.dense(middle.normed, `${layer}.feedForward.up`, feedForward === 'gelu' ? 'gelu' : 'none');
      const inner = feedForward === 'swiglu' ? swiglu(up) : up; // [B L, inner]
      const transformed = this.dense(inner, `${layer}.feedForward.down`); // [B L, D]
      const end = this.join(middle.sum, transformed, this.normNames[index + 1], 2 * index + 1, options);
      return [end.sum, end.normed] as [tf.Tensor, tf.Tensor];
    });
  }

  /** What a layer's attention is of: queries, keys and values of [B L, D], positions applied: [B, L, 3 D]. */
  private queriesKeysValues(normed: tf.Tensor, keep: tf.Tensor2D, layer: string): tf.Tensor3D {
    const { hidden, heads, positions, queryKeyNorm } = this.architecture;
    const [batch, length] = keep.shape;
    let fused = this.dense(normed, `${layer}.attention.qkv`); // [B L, 3 D]
    if (this.attention.sharedQueryKey) {
      const [queries, values] = tf.split(fused, 2, 1);
      fused = tf.concat([queries, queries, values], 1);
    }
    if (queryKeyNorm) {
      const [queries, keys, values] = tf.split(fused, 3, 1);
      const normedKeys = this.norm(keys, `${layer}.attention.keyNorm`);
      fused = tf.concat([this.norm(queries, `${layer}.attention.queryNorm`), normedKeys, values], 1);
    }
    const qkv = tf.reshape(fused, [batch, length, 3 * hidden]) as tf.Tensor3D;
    if (positions === 'absolute') {
      return qkv;
    }
    const frequencies = this.get('rotary.inverseFrequencies') as tf.Tensor1D;
    return rotary(qkv, frequencies, heads, positions === 'rotary-halves' ? 'halves' : 'interleaved');
  }

  /** The trained parameters that a block reads. */
  private blockVariables(index: number): tf.Variable[] {
    const [before, after] = this.normNames.slice(index, index + 2).map((name) => `${name}.`);
    return [...this.trainable]
      .filter(([name]) => (name.startsWith(`layers.${index}.`) && !name.startsWith(before)) || name.startsWith(after))
      .map(([, variable]) => variable);
  }

  /**
   * The language-model head on some rows of the encoder's result.
   * @param rows [N, D]
   * @returns logits [N, V]
   * @throws InputError where the model has none
   */
  predict(rows: tf.Tensor2D): tf.Tensor2D {
    assertComputes(this.engine);
    const { head, tied } = this.architecture;
    if (head === 'none') {
      throw new InputError(
        'this model has no language-model head, so it tells no probabilities of residues: ' +
          'take a checkpoint of the masked language model',
      );
    }
    return tf.tidy(() => {
      const read = head === 'linear' ? rows : this.norm(this.dense(rows, 'head.dense', 'gelu'), 'head.norm');
      return linear(read, this.get(tied ? 'embeddings.word' : 'head.decoder'), this.get('head.bias')) as tf.Tensor2D;
    });
  }

  /**
   * Encoder and the classification head of a model that was fine-tuned elsewhere.
   * @param ids [B, L] int32
   * @returns logits, or values, of sequences [B, labels] or of tokens [B, L, labels]
   * @throws InputError where the model has none
   */
  classify(ids: tf.Tensor2D): tf.Tensor {
    const { classifier, hidden } = this.architecture;
    if (!classifier) {
      throw new InputError('this model has no classification head: give one that was fine-tuned, or a head by --head');
    }
    return tf.tidy(() => {
      const states = this.encode(ids);
      if (classifier.of === 'token') {
        return this.dense(states, 'tokenClassifier');
      }
      const first = tf.reshape(tf.slice(states, [0, 0, 0], [-1, 1, -1]), [-1, hidden]);
      return this.dense(tf.tanh(this.dense(first, 'classifier.dense')), 'classifier.output');
    });
  }

  /**
   * Encoder and head.
   * @param ids [B, L] int32
   * @returns logits [B, L, V]
   */
  logits(ids: tf.Tensor2D): tf.Tensor3D {
    return tf.tidy(() => {
      const hidden = this.encode(ids);
      const logits = this.predict(tf.reshape(hidden, [-1, this.config.hidden_size]) as tf.Tensor2D);
      return tf.reshape(logits, [...ids.shape, this.config.vocab_size]) as tf.Tensor3D;
    });
  }

  /**
   * Draws the attention's random matrices anew where `step` is due: every `redraw_interval` steps after the first.
   * The same for the same seed and step. Called before a training step, and never in evaluation.
   * @returns how many draws there were before this step's: what is computed from them changes with it
   */
  redrawFeatures(seed: number, step: number): number {
    const interval = this.config.attention.redraw_interval;
    if (interval === undefined) {
      return 0;
    }
    const draws = Math.floor((step - 1) / interval);
    if (draws === 0 || (step - 1) % interval !== 0) {
      return draws;
    }
    this.specs.forEach(({ name, shape, random, initialise }, index) => {
      if (!random || !initialise) {
        return;
      }
      tf.tidy(() => this.parameters.get(name)!.assign(tf.tensor(initialise(new Random(seed, step, index)), shape)));
    });
    return draws;
  }

  /** Frees the parameters. */
  dispose(): void {
    for (const variable of this.parameters.values()) {
      variable.dispose();
    }
  }

  /**
   * The matrices of a layer's attention on one sequence, whatever the attention is.
   * @param qkv what `onAttention` told of that layer [1, L, 3 D], without padding: the caller's
   */
  async attentionRows(layer: number, qkv: tf.Tensor3D): Promise<AttentionRows> {
    const parameters = this.attentionParameters(layer);
    const own = await this.attention.rows?.(qkv, parameters);
    return own ?? this.oneHotRows(layer, qkv);
  }

  /** The same by the attention of one-hot values, even where the attention has a way of its own: slower. */
  oneHotRows(layer: number, qkv: tf.Tensor3D): AttentionRows {
    return oneHotRows(this.attention, qkv, this.attentionParameters(layer), this.architecture.heads);
  }

  private attentionParameters(layer: number): Record<string, tf.Tensor> {
    return Object.fromEntries(
      this.attention.parameters.map(({ name }) => [name, this.get(`layers.${layer}.attention.${name}`)]),
    );
  }

  private embed(ids: tf.Tensor2D, keep: tf.Tensor2D): tf.Tensor3D {
    const { padId, maskId, tokenDropout, embeddingNorm } = this.architecture;
    const position = this.parameters.get('embeddings.position') as tf.Tensor2D | undefined;
    const word = this.get('embeddings.word') as tf.Tensor2D;
    const x = tokenEmbedding(ids, word, position, { padId, maskId, tokenDropout });
    if (!embeddingNorm) {
      return x;
    }
    return tf.mul(this.norm(x, 'embeddings.norm'), tf.expandDims(keep, 2)) as tf.Tensor3D;
  }

  private dense(x: tf.Tensor, name: string, activation: Activation = 'none'): tf.Tensor {
    return linear(x, this.get(`${name}.weight`), this.parameters.get(`${name}.bias`), activation);
  }

  private norm(x: tf.Tensor, name: string): tf.Tensor {
    const { norm, normEpsilon } = this.architecture;
    const weight = this.parameters.get(`${name}.weight`);
    if (!weight) {
      return x;
    }
    return norm === 'rms' ? rmsNorm(x, weight, normEpsilon) : layerNorm(x, weight, this.normBias(name), normEpsilon);
  }

  /** Adds a sublayer's result to what it read, and applies the norm that follows. */
  private join(
    x: tf.Tensor,
    result: tf.Tensor,
    norm: string,
    site: number,
    { dropoutSeed }: EncodeOptions,
  ): { sum: tf.Tensor; normed: tf.Tensor } {
    const { norm: kind, normEpsilon, residualScale, dropout } = this.architecture;
    const residual = residualScale === 1 ? result : tf.div(result, residualScale);
    const options: AddLayerNormOptions = {
      epsilon: normEpsilon,
      dropoutRate: dropoutSeed === undefined ? 0 : dropout,
      dropoutSeed,
      dropoutSite: site,
    };
    const weight = this.parameters.get(`${norm}.weight`);
    if (!weight) {
      const sum = tf.add(x, dropResidual(residual, options));
      return { sum, normed: tf.clone(sum) };
    }
    return kind === 'rms'
      ? addRmsNorm(x, residual, weight, options)
      : addLayerNorm(x, residual, weight, this.normBias(norm), options);
  }

  private normBias(name: string): tf.Tensor {
    return this.parameters.get(`${name}.bias`) ?? tf.zeros([this.architecture.hidden]);
  }

  private get(name: string): tf.Tensor {
    const variable = this.parameters.get(name);
    if (!variable) {
      throw new Error(`the model has no parameter '${name}'`);
    }
    return variable;
  }
}

/**
 * A new model with random weights; the same for the same seed.
 * @param attention one of the caller's own in place of the configuration's kind; see `LanguageModel`
 * @throws InputError where no engine runs
 */
export function createModel(config: ModelConfig, seed: number, attention?: Attention): LanguageModel {
  requireEngine();
  const random = new Random(seed);
  const parameters = new Map<string, tf.Variable>();
  for (const spec of parameterSpecs(architectureOf(config), attention ?? attentionOf(config))) {
    if (spec.initialise) {
      parameters.set(spec.name, makeVariable(spec.initialise(random), spec.shape, spec.trainable));
    }
  }
  return new LanguageModel(config, parameters, undefined, attention);
}

/** A variable that takes over its values. */
export function makeVariable(values: Float32Array, shape: number[], trainable: boolean): tf.Variable {
  const tensor = tf.tensor(values, shape, 'float32');
  const variable = tf.variable(tensor, trainable);
  tensor.dispose();
  return variable;
}
