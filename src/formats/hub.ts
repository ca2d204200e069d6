import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { InputError } from '../data/errors.js';
import { findWeights } from './openWeights.js';

/** A model on Hugging Face's hub: `owner/name`, or `owner/name@revision`. */
export interface HubModel {
  name: string;
  /** A branch, a tag or a commit; `main` by default. */
  revision: string;
}

/** What `owner/name` or `owner/name@revision` means on the hub; undefined for what is no such name. */
export function hubModel(name: string, revision?: string): HubModel | undefined {
  const match = /^([\w.-]+\/[\w.-]+?)(?:@([\w./-]+))?$/.exec(name);
  const parts = match?.[1].split('/') ?? [];
  if (!match || parts.some((part) => /^\.+$/.test(part)) || match[2]?.split('/').includes('..')) {
    return undefined;
  }
  return { name: match[1], revision: revision ?? match[2] ?? 'main' };
}

/** Hugging Face's cache of this user: `HF_HUB_CACHE`, or `hub` in `HF_HOME`, by default `~/.cache/huggingface`. */
export function hubCache(): string {
  const { HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE } = process.env;
  return HF_HUB_CACHE || HUGGINGFACE_HUB_CACHE || join(hubHome(), 'hub');
}

/** Where Hugging Face's programs keep what they know of this user. */
export function hubHome(): string {
  const { HF_HOME, XDG_CACHE_HOME } = process.env;
  return HF_HOME || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'huggingface');
}

/** The cache's folder of a model, of all its revisions. */
export function cacheFolderOf({ name }: HubModel): string {
  return join(hubCache(), `models--${name.replaceAll('/', '--')}`);
}

/** The folder of a model's revision in the cache; undefined where it is not there whole. */
export function findInCache(model: HubModel): string | undefined {
  const folder = cacheFolderOf(model);
  const ref = join(folder, 'refs', model.revision);
  const commit = existsSync(ref) ? readFileSync(ref, 'utf8').trim() : model.revision;
  const snapshot = join(folder, 'snapshots', commit);
  return /^[\w.-]+$/.test(commit) && existsSync(snapshot) && holdsModel(snapshot) ? snapshot : undefined;
}

/** Programs of Hugging Face fetch single files as well: a snapshot may have the configuration alone. */
function holdsModel(snapshot: string): boolean {
  const weights = findWeights(snapshot);
  if (weights === undefined) {
    return false;
  }
  if (!weights.endsWith('.index.json')) {
    return true;
  }
  try {
    const { weight_map: map } = JSON.parse(readFileSync(weights, 'utf8')) as { weight_map: Record<string, string> };
    return Object.values(map).every((file) => existsSync(join(snapshot, file)));
  } catch {
    return false;
  }
}

/**
 * The folder or file of a model that is named: what is there under that name, else the model of that name on the hub,
 * from Hugging Face's cache. It uses no network.
 *
 * @param name a path, or `owner/name`, or `owner/name@revision`
 * @throws InputError for a name of the hub that is not in the cache, with the command that gets it
 */
export function locateModel(name: string): string {
  const model = existsSync(name) ? undefined : hubModel(name);
  if (model === undefined) {
    return name;
  }
  const found = findInCache(model);
  if (found === undefined) {
    throw new InputError(
      `${name}: no such folder, and no model of that name in Hugging Face's cache (${hubCache()}): check the path, or ` +
        `get it from the hub: protein-lm download ${name}`,
    );
  }
  return found;
}
