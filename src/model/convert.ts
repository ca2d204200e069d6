import type * as tf from '@tensorflow/tfjs-core';
import { Random } from '../data/random.js';
import { attentionKind, completeAttention, EXACT_ATTENTION, withRevision } from './attention/index.js';
import type { AttentionConfig } from './attention/options.js';
import { architectureOf, checkedConfig } from './checkpoints/index.js';
import { attentionOf, type ModelConfig, maxLength } from './config.js';
import { LanguageModel, makeVariable } from './model.js';
import { type ParameterSpec, parameterSpecs } from './parameters.js';

/** What of a model changes. */
export interface Conversion {
  /** The new attention; fields that it leaves out take the defaults of its kind. `causal` stays as it was. */
  attention?: Partial<AttentionConfig>;
  /** Tokens of the longest sequence, where that is more than the model takes: its position table grows. */
  length?: number;
  /** Share of elements dropped from every sublayer's result in training. */
  dropout?: number;
}

/** The configuration of a model after a conversion. Throws InputError as parseConfig does, `where` naming its place. */
export function convertConfig(
  config: ModelConfig,
  { attention, length, dropout }: Conversion,
  where = 'conversion',
): ModelConfig {
  const { kind: before, causal } = config.attention;
  let changed = config.attention;
  if (attention) {
    const { kind = EXACT_ATTENTION } = attention;
    const own = attentionKind(kind, where).converted?.(attentionKind(before, where));
    changed = completeAttention({ causal, ...own, ...attention, kind });
  }
  const grows = length !== undefined && length > maxLength(config);
  return checkedConfig(
    {
      ...config,
      max_position_embeddings: grows ? length + config.pad_token_id + 1 : config.max_position_embeddings,
      hidden_dropout_prob: dropout ?? config.hidden_dropout_prob,
      attention: withRevision(changed),
    },
    where,
  );
}

/**
 * The same weights under another attention (Choromanski et al. 2021, section 4.2): a Transformer becomes a Performer.
 * What the new attention adds (random features, Linformer's mixtures) begins as in a new model; new positions begin as
 * sinusoids. With `lsh`, which shares them, the queries' weights become those of the keys as well.
 * @param seed of what is drawn
 * @returns a new model; the one converted stays as it is
 */
export async function convertModel(model: LanguageModel, conversion: Conversion, seed: number): Promise<LanguageModel> {
  const config = convertConfig(model.config, conversion);
  // An attention of one's own stays, whatever the configuration names.
  const own = conversion.attention ? undefined : model.ownAttention;
  const parameters = new Map<string, tf.Variable>();
  for (const [index, spec] of parameterSpecs(architectureOf(config), own ?? attentionOf(config)).entries()) {
    const values = await converted(model, config, spec, new Random(seed, index));
    if (values) {
      parameters.set(spec.name, makeVariable(values, spec.shape, spec.trainable));
    }
  }
  return new LanguageModel(config, parameters, model.alphabet, own);
}

async function converted(
  model: LanguageModel,
  config: ModelConfig,
  { name, shape, parts: count, initialise }: ParameterSpec,
  random: Random,
): Promise<Float32Array | undefined> {
  const source = model.parameters.get(name);
  if (!source) {
    return initialise?.(random);
  }
  const values = (await source.data()) as Float32Array;
  if (source.shape.every((size, i) => size === shape[i])) {
    return values.slice();
  }
  if (name.includes('.attention.qkv.')) {
    const part = (values.length / source.shape[0]) * config.hidden_size;
    const parts = (count === 2 ? [0, 2] : [0, 0, 1]).map((i) => values.subarray(i * part, (i + 1) * part));
    return Float32Array.from(parts.flatMap((rows) => [...rows]));
  }
  const fresh = initialise!(random);
  // Rows of the position table that were there before stay; anything else of another shape begins anew.
  if (name === 'embeddings.position') {
    fresh.set(values);
  }
  return fresh;
}
