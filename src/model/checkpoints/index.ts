import { InputError } from '../../data/errors.js';
import type { Weights } from '../../formats/weights.js';
import type { Architecture } from '../architecture.js';
import type { ModelConfig } from '../config.js';
import { amplify } from './amplify.js';
import { esm } from './esm.js';
import { esmC } from './esmC.js';
import { fairEsm } from './fairEsm.js';
import type { CheckpointFamily } from './family.js';
import { nvEsm } from './nvEsm.js';

const families = new Map<string, CheckpointFamily>();
/** Those whose files may come without a config.json. */
const recognisers: CheckpointFamily[] = [];

/**
 * Makes a family of checkpoints known: folders whose config.json has one of its `model_type`s are loaded and saved.
 * @throws Error where another has one of them
 */
export function registerFamily(family: CheckpointFamily): void {
  const taken = family.modelTypes.find((name) => families.has(name));
  if (taken !== undefined) {
    throw new Error(`a family of checkpoints of model_type ${taken} is there already`);
  }
  for (const name of family.modelTypes) {
    families.set(name, family);
  }
  if (family.recognise) {
    recognisers.push(family);
  }
}

registerFamily(esm);
registerFamily(fairEsm);
registerFamily(nvEsm);
registerFamily(esmC);
registerFamily(amplify);

/**
 * The family of weights that come without config.json, and what would stand there.
 * @throws InputError where it is none that we know
 */
export function recogniseWeights(weights: Weights): { family: CheckpointFamily; fields: Record<string, unknown> } {
  for (const family of recognisers) {
    const fields = family.recognise?.(weights);
    if (fields) {
      return { family, fields };
    }
  }
  throw new InputError(`${weights.path}: no config.json beside it, and its tensors are of no family known: give both`);
}

/** The family of a `model_type`, that of ESM where none is said. Throws InputError where it is unknown. */
export function familyOf(modelType: unknown = 'esm', where = 'config.json'): CheckpointFamily {
  const family = families.get(modelType as string);
  if (!family) {
    const known = [...families.keys()].map((name) => JSON.stringify(name)).join(' or ');
    throw new InputError(`${where}: model_type is ${JSON.stringify(modelType)}: it must be ${known}`);
  }
  return family;
}

/** What the network of a configuration is made of. */
export function architectureOf(config: ModelConfig): Architecture {
  return familyOf(config.model_type).architecture(config);
}

/**
 * Reads a config.json, of any family.
 * @param where names the file in errors
 * @throws InputError naming the field and its value
 */
export function parseConfig(text: string, where: string): ModelConfig {
  const { family, fields } = parseFields(text, where);
  return family.readConfig(fields, where);
}

/** The fields of a config.json, and the family that it is of. Throws as `parseConfig` does. */
export function parseFields(
  text: string,
  where: string,
): { family: CheckpointFamily; fields: Record<string, unknown> } {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new InputError(`${where}: not JSON (${(error as Error).message}): give a model's config.json`);
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new InputError(`${where}: not a JSON object: give a model's config.json`);
  }
  const fields = json as Record<string, unknown>;
  return { family: familyOf(fields.model_type ?? undefined, where), fields };
}

/** A configuration once more through the eyes of its family, after changes: completed and checked. */
export function checkedConfig(config: ModelConfig, where: string): ModelConfig {
  const family = familyOf(config.model_type, where);
  return family.readConfig(JSON.parse(JSON.stringify(family.writeConfig(config))), where);
}
