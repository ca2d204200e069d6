import * as tf from '@tensorflow/tfjs-core';
import { ALPHABETS, type Alphabet } from '../data/alphabet.js';
import { InputError } from '../data/errors.js';
import { Random } from '../data/random.js';
import type { Engine } from '../engines/engine.js';
import { assertComputes, requireEngine } from '../engines/running.js';
import { addLayerNorm, layerNorm } from '../ops/addLayerNorm.js';
import { linear } from '../ops/linear.js';
import { recompute } from '../ops/recompute.js';
import { rotary } from '../ops/rotary.js';
import { tokenEmbedding } from '../ops/tokenEmbedding.js';
import type { Attention } from './attention/attention.js';
import { createAttention } from './attention/index.js';
import { type ModelConfig, maxLength } from './config.js';
import { parameterSpecs } from './parameters.js';

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
 * A protein language model: ESM-2's pre-LN encoder and head (Lin et al. 2023; Hugging Face's EsmForMaskedLM), with
 * the attention that its configuration names. Shapes: B sequences, L tokens, D hidden, V tokens in the vocabulary.
 */
export class LanguageModel {
  /** Where its parameters are; it computes there alone. */
  readonly engine: Engine;
  private readonly attention: Attention;
  /** The LayerNorm before each block, and the last one. */
  private readonly normNames: string[];

  /**
   * Most people want createModel or loadModel. `parameters` become the model's: `dispose` ends them. `attention`
   * replaces the configuration's kind, for those who try out one of their own.
   * @throws InputError where no engine runs
   */
  constructor(
    readonly config: ModelConfig,
    readonly parameters: Map<string, tf.Variable>,
    readonly alphabet: Alphabet = ALPHABETS[config.alphabet ?? 'protein'],
    attention?: Attention,
  ) {
    this.engine = requireEngine();
    this.attention = attention ?? createAttention(config);
    this.normNames = [...Array(config.num_hidden_layers).keys()]
      .map((i) => `layers.${i}.attention.norm`)
      .concat('norm');
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
    const { config } = this;
    const [batch, length] = ids.shape;
    if (length > maxLength(config)) {
      throw new InputError(
        `a sequence of ${length} tokens: this model takes ${maxLength(config)}, crop it or use windows`,
      );
    }
    return tf.tidy(() => {
      const keep = tf.cast(tf.notEqual(ids, config.pad_token_id), 'float32') as tf.Tensor2D;
      let x: tf.Tensor = tf.reshape(this.embed(ids, keep), [batch * length, config.hidden_size]); // [B L, D]
      options.onHidden?.(0, x as tf.Tensor2D);
      let normed = this.norm(x, this.normNames[0]);
      for (let i = 0; i < config.num_hidden_layers; i++) {
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
      return tf.reshape(normed, [batch, length, config.hidden_size]) as tf.Tensor3D;
    });
  }

  /**
   * One block: attention and feed-forward network, each added to what came in.
   * @param x [B L, D]
   * @param normed [B L, D], x after the block's first LayerNorm
   * @param keep [B, L]
   * @returns x after the block, and after the next block's first LayerNorm
   */
  private block(
    index: number,
    x: tf.Tensor,
    normed: tf.Tensor,
    keep: tf.Tensor2D,
    options: EncodeOptions,
  ): [tf.Tensor, tf.Tensor] {
    const { config } = this;
    const [batch, length] = keep.shape;
    const layer = `layers.${index}`;
    const join = (to: tf.Tensor, residual: tf.Tensor, norm: string, site: number) =>
      addLayerNorm(to, residual, this.get(`${norm}.weight`), this.get(`${norm}.bias`), {
        epsilon: config.layer_norm_eps,
        dropoutRate: options.dropoutSeed === undefined ? 0 : config.hidden_dropout_prob,
        dropoutSeed: options.dropoutSeed,
        dropoutSite: site,
      });
    return tf.tidy(() => {
      const dense = this.dense(normed, `${layer}.attention.qkv`); // [B L, 3 D]
      const fused = this.attention.sharedQueryKey ? repeatQueries(dense) : dense;
      let qkv = tf.reshape(fused, [batch, length, 3 * config.hidden_size]) as tf.Tensor3D;
      if (config.position_embedding_type === 'rotary') {
        qkv = rotary(qkv, this.get('rotary.inverseFrequencies') as tf.Tensor1D, config.num_attention_heads);
      }
      options.onAttention?.(index, qkv, keep);
      const mixed = this.attention.attend(qkv, keep, this.attentionParameters(layer)); // [B, L, D]
      const attended = this.dense(tf.reshape(mixed, [batch * length, config.hidden_size]), `${layer}.attention.output`);
      const middle = join(x, attended, `${layer}.feedForward.norm`, 2 * index);
      const inner = this.dense(middle.normed, `${layer}.feedForward.up`, 'gelu'); // [B L, inner]
      const transformed = this.dense(inner, `${layer}.feedForward.down`); // [B L, D]
      const end = join(middle.sum, transformed, this.normNames[index + 1], 2 * index + 1);
      return [end.sum, end.normed] as [tf.Tensor, tf.Tensor];
    });
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
   */
  predict(rows: tf.Tensor2D): tf.Tensor2D {
    assertComputes(this.engine);
    return tf.tidy(() => {
      const inner = this.dense(rows, 'head.dense', 'gelu');
      const normed = this.norm(inner, 'head.norm');
      return linear(normed, this.get('embeddings.word'), this.get('head.bias')) as tf.Tensor2D;
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
    parameterSpecs(this.config).forEach(({ name, shape, random, initialise }, index) => {
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

  private embed(ids: tf.Tensor2D, keep: tf.Tensor2D): tf.Tensor3D {
    const { config } = this;
    const position = this.parameters.get('embeddings.position') as tf.Tensor2D | undefined;
    const x = tokenEmbedding(ids, this.get('embeddings.word') as tf.Tensor2D, position, {
      padId: config.pad_token_id,
      maskId: config.mask_token_id,
      tokenDropout: config.token_dropout,
    });
    if (!config.emb_layer_norm_before) {
      return x;
    }
    return tf.mul(this.norm(x, 'embeddings.norm'), tf.expandDims(keep, 2)) as tf.Tensor3D;
  }

  private dense(x: tf.Tensor, name: string, activation: 'none' | 'gelu' = 'none'): tf.Tensor {
    return linear(x, this.get(`${name}.weight`), this.get(`${name}.bias`), activation);
  }

  private norm(x: tf.Tensor, name: string): tf.Tensor {
    return layerNorm(x, this.get(`${name}.weight`), this.get(`${name}.bias`), this.config.layer_norm_eps);
  }

  private attentionParameters(layer: string): Record<string, tf.Tensor> {
    return Object.fromEntries(
      this.attention.parameters.map(({ name }) => [name, this.get(`${layer}.attention.${name}`)]),
    );
  }

  private get(name: string): tf.Tensor {
    const variable = this.parameters.get(name);
    if (!variable) {
      throw new Error(`the model has no parameter '${name}'`);
    }
    return variable;
  }
}

/** [R, 2 D] queries and values to [R, 3 D]: the queries are the keys as well. */
function repeatQueries(fused: tf.Tensor): tf.Tensor {
  const [queries, values] = tf.split(fused, 2, 1);
  return tf.concat([queries, queries, values], 1);
}

/**
 * A new model with random weights; the same for the same seed.
 * @throws InputError where no engine runs
 */
export function createModel(config: ModelConfig, seed: number): LanguageModel {
  requireEngine();
  const random = new Random(seed);
  const parameters = new Map<string, tf.Variable>();
  for (const { name, shape, trainable, initialise } of parameterSpecs(config)) {
    if (!initialise) {
      continue;
    }
    parameters.set(name, makeVariable(initialise(random), shape, trainable));
  }
  return new LanguageModel(config, parameters);
}

/** A variable that takes over its values. */
export function makeVariable(values: Float32Array, shape: number[], trainable: boolean): tf.Variable {
  const tensor = tf.tensor(values, shape, 'float32');
  const variable = tf.variable(tensor, trainable);
  tensor.dispose();
  return variable;
}
