import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type * as tf from '@tensorflow/tfjs-core';
import { ALPHABETS, type Alphabet, readVocabulary, writeVocabulary } from '../data/alphabet.js';
import { InputError } from '../data/errors.js';
import { Random } from '../data/random.js';
import { MODEL_WARNING } from '../data/warnings.js';
import { ensureEngine } from '../engines/index.js';
import { writeFileAtomic } from '../formats/atomicFile.js';
import { SafetensorsFile, type WritableTensor, writeSafetensors } from '../formats/safetensors.js';
import { outdated } from './attention/index.js';
import type { CheckpointFamily } from './checkpoints/family.js';
import { architectureOf, familyOf, parseConfig } from './checkpoints/index.js';
import { attentionOf, type ModelConfig } from './config.js';
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
  const note = outdated(config.attention);
  if (note) {
    process.emitWarning(`${folder}: ${note}`, MODEL_WARNING);
  }
  await ensureEngine();
  const file = SafetensorsFile.open(join(folder, WEIGHTS));
  const parameters = new Map<string, tf.Variable>();
  try {
    const family = familyOf(config.model_type);
    const names = tensorNames(file, family);
    for (const spec of parameterSpecs(architectureOf(config), attentionOf(config))) {
      const values = readParameter(file, names, spec, family.tensorsOf(spec));
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

/** Where a file has the tensors of a family: its own names by the family's, of which the first counts. */
function tensorNames(file: SafetensorsFile, { canonical = (name) => name }: CheckpointFamily): Map<string, string> {
  const names = new Map<string, string>();
  for (const name of file.names) {
    const known = canonical(name);
    if (known === name || !names.has(known)) {
      names.set(known, name);
    }
  }
  return names;
}

/** A parameter's values, the tensors that it is made of stacked; undefined where it is optional and absent. */
function readParameter(
  file: SafetensorsFile,
  names: Map<string, string>,
  spec: ParameterSpec,
  tensors: string[],
): Float32Array | undefined {
  const shape = [spec.shape[0] / tensors.length, ...spec.shape.slice(1)];
  const size = shape.reduce((product, n) => product * n, 1);
  const values = new Float32Array(size * tensors.length);
  for (const [part, wanted] of tensors.entries()) {
    const name = names.get(wanted);
    if (name === undefined && spec.optional) {
      return spec.initialise?.(new Random(0));
    }
    if (name === undefined) {
      throw new InputError(`${file.path}: tensor '${wanted}' is missing: it does not fit its ${CONFIG}`);
    }
    const { shape: found } = file.info(name)!;
    if (found.length !== shape.length || found.some((n, i) => n !== shape[i])) {
      throw new InputError(`${file.path}: tensor '${name}' has shape [${found}], but ${CONFIG} asks for [${shape}]`);
    }
    values.set(file.read(name).data, part * size);
  }
  return values;
}

/**
 * Saves a model as a folder that `loadModel` reads, in the layout of its family. Each file is written atomically.
 * @throws InputError for a model with an attention of one's own that is no registered kind
 */
export async function saveModel(model: LanguageModel, folder: string): Promise<void> {
  if (model.ownAttention) {
    throw new InputError(
      `${folder}: a model with an attention of its own cannot be saved, as its configuration names another: ` +
        'make it a kind with registerAttention, and name that in the configuration',
    );
  }
  mkdirSync(folder, { recursive: true });
  const family = familyOf(model.config.model_type);
  const tensors = new Map<string, WritableTensor>();
  for (const spec of model.specs) {
    const variable = model.parameters.get(spec.name);
    if (!variable) {
      continue;
    }
    const values = (await variable.data()) as Float32Array;
    const names = family.tensorsOf(spec);
    const shape = [spec.shape[0] / names.length, ...spec.shape.slice(1)];
    const size = values.length / names.length;
    for (const [part, name] of names.entries()) {
      tensors.set(name, { shape, data: values.slice(part * size, (part + 1) * size) });
    }
  }
  await writeVocabulary(join(folder, VOCABULARY), model.alphabet);
  await writeSafetensors(join(folder, WEIGHTS), tensors);
  await writeFileAtomic(join(folder, CONFIG), `${JSON.stringify(family.writeConfig(model.config), null, 2)}\n`);
}
