import { createHash } from 'node:crypto';
import { createReadStream, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { InputError } from '../../data/errors.js';
import { writeFileAtomic } from '../../formats/atomicFile.js';
import { AtomicFolder } from '../../formats/atomicFolder.js';
import { openWeights } from '../../formats/openWeights.js';
import { readSafetensors, type WritableTensor, writeSafetensors } from '../../formats/safetensors.js';
import { loadModel, saveModel } from '../../model/files.js';
import type { LanguageModel } from '../../model/model.js';
import type { ScoreOptions } from '../schemes.js';
import { type AssayHead, METHODS, type Method } from './assayHead.js';
import type { Classification } from './classifier.js';
import { describeGaussianHead, type GaussianDescription, readGaussianHead } from './gp/gaussianFile.js';
import { GradientHead, LOSSES, type Loss } from './gradientHead.js';

/** How the zero-shot score is computed that a head has as a feature; nothing that only decides the speed. */
export type HeadScoring = Pick<ScoreOptions, 'scheme' | 'maskTogether' | 'indels' | 'perResidue' | 'window'>;

/** What a head's `head.json` says. */
export interface HeadDescription {
  format: 1;
  method: Method;
  /** Folders of the models it stands on, as seen from the head's folder, and a digest of their weights. */
  models: { folder: string; digest: string }[];
  /** The sequence that its variants change; empty for a classification head. */
  wildType: string;
  /** Number of the wild type's first residue in the variants. */
  offset: number;
  /** Variants that it was trained on. */
  trained: number;
  /** Absent in heads of before it was written. */
  scoring?: HeadScoring;
  /** Ridge penalty, or what a fine-tuned head predicts by. */
  alpha?: number;
  loss?: Loss;
  scale?: { mean: number; deviation: number };
  prior?: { mean: number; deviation: number };
  /** Of a Gaussian process. */
  gaussian?: GaussianDescription;
  /** Whether the model's layers were trained too, and lie in `model/`. */
  tuned?: boolean;
  /** What a classification head tells, and its classes; absent for a head that predicts an assay. */
  task?: Classification;
  classes?: string[];
  /** Names of its weights and of its own model in the folder; absent where they are the usual ones. */
  files?: HeadNames;
}

interface HeadNames {
  weights: string;
  /** The model of a head whose layers were trained. */
  model: string;
}

const JSON_NAME = 'head.json';
const USUAL: HeadNames = { weights: 'head.safetensors', model: 'model' };
/** Other names: a head that replaces one lies beside it until `head.json` names the new one. */
const REPLACING = /^(head-[0-9a-f]{12}\.safetensors|model-[0-9a-f]{12})$/;

/** A digest of a model's configuration and weights. */
export async function modelDigest(place: string): Promise<string> {
  const hash = createHash('sha256');
  const config = join(place, 'config.json');
  for (const path of [...(existsSync(config) ? [config] : []), ...(await weightFiles(place))]) {
    for await (const chunk of createReadStream(path)) {
      hash.update(chunk as Uint8Array);
    }
  }
  return hash.digest('hex');
}

/** The files that hold a model's weights. */
async function weightFiles(place: string): Promise<string[]> {
  const weights = await openWeights(place);
  try {
    return [...new Set(weights.names.map((name) => weights.info(name)!.file))];
  } finally {
    weights.close();
  }
}

/**
 * Saves a head as a folder: `head.json`, `head.safetensors`, and `model/` where the model's layers were trained too.
 * The models it stands on are named, not copied. A head that was there before is replaced: the new one lies beside it,
 * under names of its own, until `head.json` names that, so that the folder holds the one or the other at any moment.
 *
 * @throws InputError where the place of its own model is that of a model it stands on
 */
export async function saveHead(
  head: AssayHead,
  folder: string,
  about: {
    models: readonly string[];
    wildType: string;
    offset: number;
    trained: number;
    /** What its `VariantFeatures` were made with. */
    scoring?: ScoreOptions;
    /** Whether the model's layers were trained too. */
    tuned?: boolean;
    /** Of a Gaussian process: that of its fit. */
    seed?: number;
    task?: Classification;
    classes?: string[];
  },
): Promise<void> {
  checkHeadFolder(folder, about.models);
  mkdirSync(folder, { recursive: true });
  const { wildType, offset, trained, task, classes } = about;
  const tuned = head.method === 'fine-tune' && about.tuned === true;
  const models: HeadDescription['models'] = [];
  for (const path of about.models) {
    models.push({ folder: relative(resolve(folder), resolve(path)) || '.', digest: await modelDigest(path) });
  }
  const description: HeadDescription = {
    format: 1,
    method: head.method,
    models,
    wildType,
    offset,
    trained,
    scoring: task ? undefined : scoringOf({ ...about.scoring, perResidue: about.scoring?.perResidue ?? 'indels' }),
    tuned,
    task,
    classes,
  };
  let tensors = new Map<string, WritableTensor>();
  if (head.method === 'gp') {
    const { gaussian, tensors: own } = describeGaussianHead(head, about.seed);
    description.gaussian = gaussian;
    tensors = own;
  } else if (head.method === 'fine-tune') {
    Object.assign(description, { loss: head.loss, scale: head.scale, prior: head.prior });
    for (const name of ['weights', 'bias'] as const) {
      tensors.set(name, { shape: [...head[name].shape], data: (await head[name].data()) as Float32Array });
    }
  } else {
    description.alpha = head.alpha;
    const { weights, coefficients, intercept } = head;
    const add = (name: string, values: ArrayLike<number>) =>
      tensors.set(name, { shape: [values.length], data: Float64Array.from(values) });
    add('weights', weights);
    add('coefficients', coefficients);
    add('intercept', [intercept]);
  }
  const jsonPath = join(folder, JSON_NAME);
  const before = existsSync(jsonPath) ? readFileSync(jsonPath, 'utf8') : undefined;
  if (before !== undefined) {
    description.files = replacingNames(description, tensors);
  }
  const { weights, model } = description.files ?? USUAL;
  await writeSafetensors(join(folder, weights), tensors);
  if (tuned) {
    await saveTuned(head.model, join(folder, model), before !== undefined);
  }
  await writeFileAtomic(jsonPath, `${JSON.stringify(description, null, 2)}\n`);
  removeReplaced(folder, before, [weights, ...(tuned ? [model] : [])]);
}

/** Names that follow from what is saved: saving it again, after a stop, writes the same ones. */
function replacingNames(description: HeadDescription, tensors: ReadonlyMap<string, WritableTensor>): HeadNames {
  const hash = createHash('sha256').update(JSON.stringify(description));
  for (const { data } of tensors.values()) {
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  const digest = hash.digest('hex').slice(0, 12);
  return { weights: `head-${digest}.safetensors`, model: `model-${digest}` };
}

async function saveTuned(model: LanguageModel, folder: string, atomic: boolean): Promise<void> {
  if (!atomic) {
    await saveModel(model, folder);
    return;
  }
  const unfinished = await AtomicFolder.create(folder);
  try {
    await saveModel(model, unfinished.path);
    await unfinished.commit({ replace: true });
  } catch (error) {
    await unfinished.discard();
    throw error;
  }
}

/** Removes the files of the head that was there before, and those that one that was not finished left. */
function removeReplaced(folder: string, before: string | undefined, kept: readonly string[]): void {
  const old = before === undefined ? [] : filesOf(before);
  for (const name of new Set([...old, ...readdirSync(folder).filter((file) => REPLACING.test(file))])) {
    if (!kept.includes(name)) {
      rmSync(join(folder, name), { recursive: true, force: true });
    }
  }
}

/** The settings with `VariantFeatures`' default. */
function scoringOf({ scheme, maskTogether, indels, perResidue, window }: HeadScoring = {}): HeadScoring {
  return { scheme, maskTogether, indels: indels ?? 'single-pass', perResidue, window };
}

/** The files that a `head.json` names. */
function filesOf(json: string): string[] {
  try {
    const description = JSON.parse(json) as HeadDescription;
    const { weights, model } = namesOf(description);
    return description.method === 'fine-tune' && description.tuned !== false ? [weights, model] : [weights];
  } catch {
    return [];
  }
}

function namesOf({ files }: HeadDescription): HeadNames {
  return files && REPLACING.test(files.weights) && REPLACING.test(files.model) ? files : USUAL;
}

/**
 * Checks that a head can be saved in a folder without touching the models it stands on.
 * @throws InputError naming the model in the way
 */
export function checkHeadFolder(folder: string, models: readonly string[]): void {
  const inTheWay = models.find((model) => {
    const [parent, name] = [dirname(resolve(model)), basename(resolve(model))];
    return parent === resolve(folder) && (name === USUAL.model || REPLACING.test(name));
  });
  if (inTheWay === undefined) {
    return;
  }
  throw new InputError(`${inTheWay} would be overwritten by the head saved in ${folder}; save it in another folder`);
}

/** A head read from its folder, with its models. `dispose` frees all of them. */
export interface LoadedHead {
  head: AssayHead;
  description: HeadDescription;
  /** Models that features come from, and how: what `VariantFeatures` is to be made with. */
  models: LanguageModel[];
  scoring: HeadScoring;
  dispose(): void;
}

/**
 * Loads a saved head with the models it names.
 *
 * @param modelFolders where the models lie now, where not at the place that the head remembers
 * @throws InputError where a file is missing, and where a model is another one than the head was trained with
 */
export async function loadHead(folder: string, modelFolders?: readonly string[]): Promise<LoadedHead> {
  const path = join(folder, JSON_NAME);
  if (!existsSync(path)) {
    throw new InputError(`${folder}: no ${JSON_NAME} in it; give a folder that finetune --save wrote`);
  }
  const json = readFileSync(path, 'utf8');
  let description: HeadDescription;
  try {
    description = JSON.parse(json) as HeadDescription;
  } catch (error) {
    throw new InputError(`${path}: not JSON (${(error as Error).message}); train the head anew`);
  }
  const { method, models: named, wildType } = description;
  if (description.format !== 1 || !METHODS.includes(method) || !Array.isArray(named) || typeof wildType !== 'string') {
    throw new InputError(`${path}: not a head of a known format; train it anew`);
  }
  if (modelFolders && modelFolders.length !== named.length) {
    throw new InputError(`${path} stands on ${named.length} models; ${modelFolders.length} were given`);
  }
  // Heads that say nothing of it were trained on sums.
  const scoring = scoringOf({ perResidue: false, ...description.scoring });
  const models: LanguageModel[] = [];
  let own: LanguageModel | undefined;
  const dispose = () => {
    for (const model of models) {
      model.dispose();
    }
    own?.dispose();
  };
  const checkUnchanged = () => {
    if (existsSync(path) && readFileSync(path, 'utf8') === json) {
      return;
    }
    throw new InputError(`${folder}: another head was saved there while this one was read; try again`);
  };
  try {
    for (const [i, { folder: place, digest }] of named.entries()) {
      const modelFolder = modelFolders?.[i] ?? resolve(folder, place);
      models.push(await loadModel(modelFolder));
      if ((await modelDigest(modelFolder)) !== digest) {
        throw new InputError(
          `${modelFolder} is not the model that ${folder} was trained with; give that one by --model`,
        );
      }
    }
    const names = namesOf(description);
    const { tensors } = readSafetensors(join(folder, names.weights));
    const values = (name: string) => {
      const tensor = tensors.get(name);
      if (!tensor) {
        throw new InputError(`${join(folder, names.weights)} has no ${name}; train the head anew`);
      }
      return { shape: tensor.shape, data: tensor.data as Float32Array | Float64Array };
    };
    if (method === 'gp') {
      if (!description.gaussian) {
        throw new InputError(`${path}: not a head of a known format; train it anew`);
      }
      const tensor = (name: string) => values(name).data;
      const head = readGaussianHead(wildType, description.gaussian, tensor, (name) => tensors.has(name));
      checkUnchanged();
      return { head, description, models, scoring, dispose };
    }
    if (method !== 'fine-tune') {
      const head: AssayHead = {
        method,
        weights: Float64Array.from(values('weights').data),
        coefficients: Float64Array.from(values('coefficients').data),
        intercept: values('intercept').data[0],
        alpha: description.alpha ?? Number.NaN,
      };
      checkUnchanged();
      return { head, description, models, scoring, dispose };
    }
    const { loss, scale, prior } = description;
    if (!loss || !LOSSES.includes(loss) || !scale || !prior) {
      throw new InputError(`${path}: not a head of a known format; train it anew`);
    }
    const tunedFolder = join(folder, names.model);
    // Heads of before `tuned` was written had the model's folder alone to tell.
    if (description.tuned ?? existsSync(tunedFolder)) {
      own = await loadModel(tunedFolder);
    }
    checkUnchanged();
    const variable = (name: string) => {
      const { shape, data } = values(name);
      return tf.tidy(() => tf.variable(tf.tensor(data, shape), false));
    };
    const trained = new GradientHead(own ?? models[0], loss, variable('weights'), variable('bias'), scale, prior);
    const end = () => {
      trained.dispose();
      dispose();
    };
    return { head: Object.assign(trained, { method }), description, models, scoring, dispose: end };
  } catch (error) {
    dispose();
    throw error;
  }
}
