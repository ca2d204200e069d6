import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type * as tf from '@tensorflow/tfjs-core';
import { ALPHABETS, type Alphabet, readVocabulary, writeVocabulary } from '../data/alphabet.js';
import { InputError } from '../data/errors.js';
import { Random } from '../data/random.js';
import { ensureEngine } from '../engines/index.js';
import { writeFileAtomic } from '../formats/atomicFile.js';
import { SafetensorsFile, type WritableTensor, writeSafetensors } from '../formats/safetensors.js';
import { type ModelConfig, parseConfig } from './config.js';
import { LanguageModel, makeVariable } from './model.js';
import { type ParameterSpec, parameterSpecs } from './parameters.js';

const CONFIG = 'config.json';
const WEIGHTS = 'model.safetensors';
const VOCABULARY = 'vocab.txt';

/**
 * Loads a model folder, ours or a Hugging Face ESM's: config.json, model.safetensors, vocab.txt. Where no engine runs it
 * starts the default one, which is then the model's `engine`, to stop at the end.
 * @throws InputError naming the file, and the tensor where one is missing or of another shape than its configuration
 */
export async function loadModel(folder: string): Promise<LanguageModel> {
  const { config, alphabet } = await readModelConfig(folder);
  await ensureEngine();
  const file = SafetensorsFile.open(join(folder, WEIGHTS));
  const parameters = new Map<string, tf.Variable>();
  try {
    for (const spec of parameterSpecs(config)) {
      const values = readParameter(file, spec);
      if (values) {
        parameters.set(spec.name, makeVariable(values, spec.shape, spec.trainable));
      }
    }
    return new LanguageModel(config, parameters, alphabet);
  } catch (error) {
    for (const variable of parameters.values()) {
      variable.dispose();
    }
    throw error;
  } finally {
    file.close();
  }
}

/**
 * What a model folder says of the model without its weights: `config.json`, and the alphabet of `vocab.txt`.
 * @throws InputError where one is wrong, or they do not agree
 */
export async function readModelConfig(folder: string): Promise<{ config: ModelConfig; alphabet: Alphabet }> {
  const path = join(folder, CONFIG);
  if (!existsSync(path)) {
    throw new InputError(`${folder}: no ${CONFIG} in it: give a model or run folder`);
  }
  const config = parseConfig(readFileSync(path, 'utf8'), path);
  const vocabulary = join(folder, VOCABULARY);
  const named = config.alphabet ?? 'protein';
  const alphabet = existsSync(vocabulary) ? await readVocabulary(vocabulary) : ALPHABETS[named];
  if (alphabet.size !== config.vocab_size) {
    throw new InputError(
      `${vocabulary}: ${alphabet.size} tokens, but ${CONFIG} says ${config.vocab_size}: copy the model's own`,
    );
  }
  if (alphabet.name !== named) {
    throw new InputError(
      `${vocabulary}: its alphabet is ${alphabet.name}, but ${CONFIG} says ${named}: copy the model's own`,
    );
  }
  return { config, alphabet };
}

/** A parameter's values, its parts in the checkpoint stacked; undefined where it is optional and absent. */
function readParameter(file: SafetensorsFile, spec: ParameterSpec): Float32Array | undefined {
  const shape = [spec.shape[0] / spec.checkpoint.length, ...spec.shape.slice(1)];
  const size = shape.reduce((product, n) => product * n, 1);
  const values = new Float32Array(size * spec.checkpoint.length);
  for (const [part, wanted] of spec.checkpoint.entries()) {
    const name = !file.info(wanted) && spec.alias ? spec.alias : wanted;
    const info = file.info(name);
    if (!info && spec.optional) {
      return spec.initialise?.(new Random(0));
    }
    if (!info) {
      throw new InputError(`${file.path}: tensor '${wanted}' is missing: it does not fit its ${CONFIG}`);
    }
    if (info.shape.length !== shape.length || info.shape.some((n, i) => n !== shape[i])) {
      throw new InputError(
        `${file.path}: tensor '${name}' has shape [${info.shape}], but ${CONFIG} asks for [${shape}]`,
      );
    }
    values.set(file.read(name).data, part * size);
  }
  return values;
}

/** Saves a model as a folder that `loadModel` reads, in Hugging Face's layout. Each file is written atomically. */
export async function saveModel(model: LanguageModel, folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const tensors = new Map<string, WritableTensor>();
  for (const spec of parameterSpecs(model.config)) {
    const variable = model.parameters.get(spec.name);
    if (!variable) {
      continue;
    }
    const values = (await variable.data()) as Float32Array;
    const shape = [spec.shape[0] / spec.checkpoint.length, ...spec.shape.slice(1)];
    const size = values.length / spec.checkpoint.length;
    for (const [part, name] of spec.checkpoint.entries()) {
      tensors.set(name, { shape, data: values.slice(part * size, (part + 1) * size) });
    }
  }
  await writeVocabulary(join(folder, VOCABULARY), model.alphabet);
  await writeSafetensors(join(folder, WEIGHTS), tensors);
  await writeFileAtomic(join(folder, CONFIG), `${JSON.stringify(model.config, null, 2)}\n`);
}
