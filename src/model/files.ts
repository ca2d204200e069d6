import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type * as tf from '@tensorflow/tfjs-core';
import { ALPHABETS, type Alphabet, readVocabulary, writeVocabulary } from '../data/alphabet.js';
import { InputError } from '../data/errors.js';
import { Random } from '../data/random.js';
import { MODEL_WARNING } from '../data/warnings.js';
import { ensureEngine } from '../engines/index.js';
import { writeFileAtomic } from '../formats/atomicFile.js';
import { locateModel } from '../formats/hub.js';
import { findWeights, openWeights } from '../formats/openWeights.js';
import { type WritableTensor, writeSafetensors } from '../formats/safetensors.js';
import type { Weights } from '../formats/weights.js';
import { outdated } from './attention/index.js';
import type { CheckpointFamily } from './checkpoints/family.js';
import { architectureOf, familyOf, parseFields, recogniseWeights } from './checkpoints/index.js';
import { joinWeights, viewWeights } from './checkpoints/views.js';
import { attentionOf, type ModelConfig } from './config.js';
import { LanguageModel, makeVariable } from './model.js';
import { type ParameterSpec, parameterSpecs } from './parameters.js';

const CONFIG = 'config.json';
const WEIGHTS = 'model.safetensors';
const VOCABULARY = 'vocab.txt';

/**
 * Loads a model, ours or a checkpoint of any family and form that is known: a folder with config.json, weights
 * (safetensors or PyTorch's, whole or in shards) and vocabulary, or weights that tell their own configuration. Where no
 * engine runs it starts the default one, which is then the model's `engine`, to stop at the end.
 * @param place the folder, the file of weights that come without config.json, or a name of Hugging Face's hub that is in
 * its cache (`owner/name`)
 * @throws InputError naming the file, and the tensor where one is missing or of another shape than its configuration
 */
export async function loadModel(place: string): Promise<LanguageModel> {
  await ensureEngine();
  const { config, alphabet, weights } = await openCheckpoint(place);
  const note = outdated(config.attention);
  if (note) {
    process.emitWarning(`${place}: ${note}`, MODEL_WARNING);
  }
  const parameters = new Map<string, tf.Variable>();
  try {
    const { tensorsOf } = familyOf(config.model_type);
    for (const spec of parameterSpecs(architectureOf(config), attentionOf(config))) {
      const values = readParameter(weights, spec, tensorsOf(spec));
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
    weights.close();
  }
}

/**
 * What a model's files say of it without its weights: configuration and alphabet.
 * @throws InputError where one is wrong, or they do not agree
 */
export async function readModelConfig(name: string): Promise<{ config: ModelConfig; alphabet: Alphabet }> {
  const place = locateModel(name);
  if (existsSync(join(place, CONFIG))) {
    const { family, config } = readConfigFile(place);
    return { config, alphabet: await readAlphabet(place, config, family) };
  }
  const { config, alphabet, weights } = await openCheckpoint(place);
  weights.close();
  return { config, alphabet };
}

/** A model's files, open; the tensors go by the names of the family that its configuration names. */
async function openCheckpoint(name: string): Promise<{ config: ModelConfig; alphabet: Alphabet; weights: Weights }> {
  const place = locateModel(name);
  const entry = statSync(place, { throwIfNoEntry: false });
  if (!entry) {
    throw new InputError(`${place}: no such folder: give a model or run folder, or a file of weights`);
  }
  const folder = entry.isDirectory() ? place : dirname(place);
  const described = existsSync(join(place, CONFIG)) ? readConfigFile(place) : undefined;
  if (!described && folder === place && findWeights(place) === undefined) {
    throw new InputError(`${place}: no ${CONFIG} in it: give a model or run folder`);
  }
  const opened = await openWeights(place);
  try {
    let { family, config } = described ?? {};
    if (!family || !config) {
      const found = recogniseWeights(opened);
      family = found.family;
      config = family.readConfig(found.fields, opened.path);
    }
    const alphabet = await readAlphabet(folder, config, family);
    const beside = family.companions?.(opened.path).filter((path) => existsSync(path)) ?? [];
    const all = [opened, ...(await Promise.all(beside.map(openWeights)))];
    const joined = all.length > 1 ? joinWeights(all) : opened;
    const view = family.view;
    const weights = view ? viewWeights(joined, (name, shape) => view(name, shape, config)) : joined;
    return { config, alphabet, weights };
  } catch (error) {
    opened.close();
    throw error;
  }
}

function readConfigFile(folder: string): { family: CheckpointFamily; config: ModelConfig } {
  const path = join(folder, CONFIG);
  const { family, fields } = parseFields(readFileSync(path, 'utf8'), path);
  return { family, config: family.readConfig(fields, path) };
}

async function readAlphabet(folder: string, config: ModelConfig, family: CheckpointFamily): Promise<Alphabet> {
  const vocabulary = join(folder, VOCABULARY);
  const named = config.alphabet ?? 'protein';
  const alphabet = existsSync(vocabulary)
    ? await readVocabulary(vocabulary)
    : ((await family.readVocabulary?.(folder)) ?? ALPHABETS[named]);
  const { tokens } = familyOf(config.model_type).architecture(config);
  if (alphabet.size !== tokens) {
    throw new InputError(`${vocabulary}: ${alphabet.size} tokens, but ${CONFIG} says ${tokens}: copy the model's own`);
  }
  if (alphabet.name !== named) {
    throw new InputError(
      `${vocabulary}: its alphabet is ${alphabet.name}, but ${CONFIG} says ${named}: copy the model's own`,
    );
  }
  for (const [field, id, token] of [
    ['mask_token_id', alphabet.mask, '<mask>'],
    ['pad_token_id', alphabet.pad, '<pad>'],
  ] as const) {
    if (config[field] !== id) {
      throw new InputError(
        `${join(folder, CONFIG)}: ${field} is ${config[field]}, but ${token} is token ${id} of its vocabulary: ` +
          'one of the two belongs to another model',
      );
    }
  }
  return alphabet;
}

/** Types of the elements of weights. */
const FLOATS: ReadonlySet<string> = new Set(['F64', 'F32', 'F16', 'BF16']);

function allFinite(values: Float32Array): boolean {
  // 0 times anything finite: one comparison at the end instead of one an element.
  let sum = 0;
  for (let i = 0; i < values.length; i++) {
    sum += values[i] * 0;
  }
  return sum === 0;
}

/** A parameter's values, the tensors that it is made of stacked; undefined where it is optional and absent. */
function readParameter(weights: Weights, spec: ParameterSpec, tensors: string[]): Float32Array | undefined {
  const shape = [spec.shape[0] / tensors.length, ...spec.shape.slice(1)];
  const size = shape.reduce((product, n) => product * n, 1);
  const values = new Float32Array(size * tensors.length);
  for (const [part, name] of tensors.entries()) {
    const info = weights.info(name);
    if (!info && spec.optional) {
      return spec.initialise?.(new Random(0));
    }
    if (!info) {
      throw new InputError(`${weights.path}: tensor '${name}' is missing: it does not fit its ${CONFIG}`);
    }
    if (info.shape.length !== shape.length || info.shape.some((n, i) => n !== shape[i])) {
      throw new InputError(
        `${info.file}: tensor '${name}' has shape [${info.shape}], but ${CONFIG} asks for [${shape}]`,
      );
    }
    if (!FLOATS.has(info.dtype)) {
      throw new InputError(
        `${info.file}: tensor '${name}' is of type ${info.dtype}: its integers are no weights by themselves; ` +
          'save the model dequantized, in F32, F16 or BF16',
      );
    }
    const read = weights.read(name, values.subarray(part * size, (part + 1) * size));
    if (!allFinite(read)) {
      throw new InputError(`${info.file}: tensor '${name}' holds values that are no numbers: the file is damaged`);
    }
  }
  // Zeros hold the place of what is not there: see `placeholder` of the family.
  const absent = spec.optional && !spec.initialise && spec.shape.length > 1 && values.every((value) => value === 0);
  return absent ? undefined : values;
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
    const values = ((await model.parameters.get(spec.name)?.data()) ?? family.placeholder?.(spec, model.config)) as
      | Float32Array
      | undefined;
    if (!values) {
      continue;
    }
    const names = family.tensorsOf(spec);
    const shape = [spec.shape[0] / names.length, ...spec.shape.slice(1)];
    const size = values.length / names.length;
    for (const [part, name] of names.entries()) {
      tensors.set(name, { shape, data: values.slice(part * size, (part + 1) * size) });
    }
  }
  for (const [name, text] of Object.entries(family.vocabularyFiles?.(model.alphabet) ?? {})) {
    await writeFileAtomic(join(folder, name), text);
  }
  await writeVocabulary(join(folder, VOCABULARY), model.alphabet);
  await writeSafetensors(join(folder, WEIGHTS), tensors);
  await writeFileAtomic(join(folder, CONFIG), configText(family.writeConfig(model.config)));
}

/** Fields that are floats to Python's readers, which tell 0 from 0.0. */
const FLOAT_FIELDS = [
  'hidden_dropout_prob',
  'attention_probs_dropout_prob',
  'dropout_prob',
  'classifier_dropout',
  'layer_norm_eps',
  'norm_eps',
  'initializer_range',
  'rope_theta',
];
const WHOLE_FLOATS = new RegExp(`^( {2}"(?:${FLOAT_FIELDS.join('|')})": -?\\d+)(,?)$`, 'gm');

function configText(fields: Record<string, unknown>): string {
  return `${JSON.stringify(fields, null, 2).replace(WHOLE_FLOATS, '$1.0$2')}\n`;
}
