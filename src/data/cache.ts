import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { mkdir, readdir, rm, stat, utimes } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { isDiskFull, readError, writeError } from '../formats/fileErrors.js';
import { scratchFolder } from '../formats/temporary.js';
import { type BuildOptions, buildStore, spool } from './build.js';
import { type FileSource, sourceName } from './byteStream.js';
import type { FastaSource } from './fasta.js';
import { cutOf, inputFiles } from './reading.js';
import { openStore, type StoreManifest, type TokenStore } from './store.js';
import { Warnings } from './warnings.js';

/** Where `cacheStore` keeps stores: `$XDG_CACHE_HOME/protein-lm/data`, or below `~/.cache`. */
export function cacheFolder(): string {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'protein-lm', 'data');
}

/**
 * The store of sources and options: the one that was built before from the same bytes with the same options, else a new
 * one. The files' dates do not count, their contents do, and for the bytes alphabet their names. The warnings of the
 * build are given again.
 */
export async function cacheStore(
  sources: FastaSource | readonly FastaSource[],
  options: Omit<BuildOptions, 'overwrite'> = {},
): Promise<{ store: TokenStore; built: boolean }> {
  const { warnings = new Warnings() } = options;
  const cache = cacheFolder();
  await mkdir(cache, { recursive: true }).catch((error) => {
    throw writeError(error, cache);
  });
  const scratch = scratchFolder(join(cache, 'input'));
  try {
    const files: Exclude<FileSource, Readable>[] = [];
    const inputs = inputFiles(sources, options.alphabet);
    for (const [i, source] of inputs.entries()) {
      files.push(await spool(source, join(scratch.folder, String(i))));
    }
    const folder = join(cache, await key(files, options));
    if (existsSync(folder)) {
      const store = await openStore(folder).catch(() => undefined);
      if (store) {
        // The folder's date says when it was last used.
        const now = new Date();
        await utimes(folder, now, now);
        warnings.addAll(store.manifest.warnings);
        return { store, built: false };
      }
      await rm(folder, { recursive: true });
    }
    try {
      await buildStore(files, folder, { ...options, warnings });
    } catch (error) {
      // Another process may have built the same in the meantime.
      if (!existsSync(folder)) {
        throw error;
      }
    }
    return { store: await openStore(folder), built: true };
  } catch (error) {
    throw isDiskFull(error) ? writeError(error, cache) : error;
  } finally {
    scratch.remove();
  }
}

/** A store in the cache, or what a process that was killed left there. */
export interface CacheEntry {
  folder: string;
  bytes: number;
  lastUsed: Date;
  /** Absent where the store is not whole. */
  manifest?: StoreManifest;
}

/** What the cache holds, last used first. */
export async function listCache(): Promise<CacheEntry[]> {
  const cache = cacheFolder();
  const names = await readdir(cache).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') {
      return [];
    }
    throw error;
  });
  const entries = await Promise.all(
    names.map(async (name): Promise<CacheEntry> => {
      const folder = join(cache, name);
      const store = await openStore(folder).catch(() => undefined);
      store?.close();
      const { mtime } = await stat(folder);
      return { folder, bytes: await bytesBelow(folder), lastUsed: mtime, manifest: store?.manifest };
    }),
  );
  return entries.sort((a, b) => b.lastUsed.getTime() - a.lastUsed.getTime());
}

/** Removes entries of the cache. What needs them again is built again. */
export async function removeFromCache(entries: readonly CacheEntry[]): Promise<void> {
  for (const { folder } of entries) {
    await rm(folder, { recursive: true, force: true });
  }
}

async function bytesBelow(folder: string): Promise<number> {
  let bytes = 0;
  for (const name of await readdir(folder, { recursive: true })) {
    const item = await stat(join(folder, name));
    if (item.isFile()) {
      bytes += item.size;
    }
  }
  return bytes;
}

/** Everything that the contents of a store follow from. */
async function key(files: Exclude<FileSource, Readable>[], options: BuildOptions): Promise<string> {
  const { fractions = {}, splitSeed = 0, holdout = [], invalid = 'error', nucleotides = false, lines } = options;
  const isBytes = options.alphabet === 'bytes';
  const alphabet = options.alphabet === 'protein' ? undefined : options.alphabet;
  const { validation, test } = fractions;
  const hash = createHash('sha256');
  const { shardBytes } = options;
  const { clusters, clusterWeights, unaligned } = options;
  const settings = {
    version: 1,
    validation,
    test,
    splitSeed,
    invalid,
    nucleotides,
    shardBytes,
    clusterWeights,
    unaligned,
  };
  hash.update(JSON.stringify({ ...settings, alphabet, cut: cutOf(options), lines }));
  for (const file of files) {
    const name = isBytes ? ` ${JSON.stringify(sourceName(file))}` : '';
    hash.update(`file ${await sha256(typeof file === 'string' ? file : file.path)}${name}\n`);
  }
  if (clusters !== undefined) {
    hash.update(`clusters ${await sha256(clusters)}\n`);
  }
  for (const item of holdout) {
    hash.update(`holdout ${!isBytes && existsSync(item) ? await sha256(item) : item}\n`);
  }
  return hash.digest('hex').slice(0, 32);
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
      hash.update(chunk);
    }
  } catch (error) {
    throw readError(error, path);
  }
  return hash.digest('hex');
}
