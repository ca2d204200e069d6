import { InputError } from '../../data/errors.js';
import type { Architecture } from '../architecture.js';
import type { ModelConfig } from '../config.js';
import { esm } from './esm.js';
import type { CheckpointFamily } from './family.js';

const families = new Map<string, CheckpointFamily>();

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
}

registerFamily(esm);

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
  return familyOf(fields.model_type ?? undefined, where).readConfig(fields, where);
}

/** A configuration once more through the eyes of its family, after changes: completed and checked. */
export function checkedConfig(config: ModelConfig, where: string): ModelConfig {
  const family = familyOf(config.model_type, where);
  return family.readConfig(JSON.parse(JSON.stringify(family.writeConfig(config))), where);
}
