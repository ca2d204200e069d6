import type * as tf from '@tensorflow/tfjs-core';
import { Random } from '../data/random.js';
import { createAttention } from './attention/index.js';
import { type Conversion, convertConfig, type ModelConfig } from './config.js';
import { LanguageModel, makeVariable } from './model.js';
import { type ParameterSpec, parameterSpecs } from './parameters.js';

/**
 * The same weights under another attention (Choromanski et al. 2021, section 4.2): a Transformer becomes a Performer.
 * What the new attention adds (random features, Linformer's mixtures) begins as in a new model; new positions begin as
 * sinusoids. With `lsh`, which shares them, the queries' weights become those of the keys as well.
 * @param seed of what is drawn
 * @returns a new model; the one converted stays as it is
 */
export async function convertModel(model: LanguageModel, conversion: Conversion, seed: number): Promise<LanguageModel> {
  const config = convertConfig(model.config, conversion);
  const parameters = new Map<string, tf.Variable>();
  for (const [index, spec] of parameterSpecs(config).entries()) {
    const values = await converted(model, config, spec, new Random(seed, index));
    if (values) {
      parameters.set(spec.name, makeVariable(values, spec.shape, spec.trainable));
    }
  }
  return new LanguageModel(config, parameters, model.alphabet);
}

async function converted(
  model: LanguageModel,
  config: ModelConfig,
  { name, shape, initialise }: ParameterSpec,
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
    const shared = createAttention(config).sharedQueryKey;
    const parts = (shared ? [0, 2] : [0, 0, 1]).map((i) => values.subarray(i * part, (i + 1) * part));
    return Float32Array.from(parts.flatMap((rows) => [...rows]));
  }
  const fresh = initialise!(random);
  // Rows of the position table that were there before stay; anything else of another shape begins anew.
  if (name === 'embeddings.position') {
    fresh.set(values);
  }
  return fresh;
}
