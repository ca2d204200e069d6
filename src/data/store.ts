import { createHash } from 'node:crypto';
import { closeSync, createReadStream, openSync, readSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { recoverFolder } from '../formats/atomicFolder.js';
import { Alphabet, type AlphabetName, type Tokens } from './alphabet.js';
import { InputError } from './errors.js';
import type { SequenceSource } from './sequences.js';
import type { WarningCounts } from './warnings.js';

/** `ood`: held out by name (out of distribution). */
export const SPLITS = ['train', 'validation', 'test', 'ood'] as const;
export type SplitName = (typeof SPLITS)[number];

/** The files of a shard: `NAME.tokens`, `NAME.index`, `NAME.names`. */
export const SHARD_FILES = ['tokens', 'index', 'names'] as const;

export interface ShardManifest {
  name: string;
  sequences: number;
  residues: number;
  /** Bytes of each file. */
  bytes: Record<(typeof SHARD_FILES)[number], number>;
  /** Checksum of each file; of `NAME.clusters` where the store has clusters. */
  sha256: Record<(typeof SHARD_FILES)[number], string> & { clusters?: string };
}

export interface SplitManifest {
  sequences: number;
  residues: number;
  /** Residues of the longest sequence. */
  longest: number;
  /** Number of each letter, `<unk>` included, without those that do not occur. */
  composition: Record<string, number>;
  shards: ShardManifest[];
}

/**
 * `manifest.json`: what is in a store, and where. A sequence belongs to the split whose shards hold it, in the order of
 * the input. `.tokens` has one byte a letter, sequences end to end: its token's id less `tokenOffset`, so that a store of
 * bytes holds them as they are; `.names` the identifiers in UTF-8, end to end;
 * `.index` for each sequence, and once more at the end, two little-endian uint32: where it begins in the one and in
 * the other.
 */
export interface StoreManifest {
  format: 'protein-lm tokens';
  version: 1;
  /** Absent where it is `protein`. */
  alphabet?: AlphabetName;
  /** Tokens by id. */
  vocabulary: readonly string[];
  /** What is added to a byte of `.tokens` to give a token's id; absent where it is 0. */
  tokenOffset?: number;
  /** Letters that longer sequences were cut after; absent where they were not. */
  cut?: number;
  sequences: number;
  residues: number;
  /** Sequences equal to an earlier one. They share its split. */
  duplicateSequences: number;
  splits: Record<SplitName, SplitManifest>;
  /** Share of the sequences in each split, by hash. */
  fractions: { validation: number; test: number };
  splitSeed: number;
  /** What `--holdout` was given. */
  holdout: string[];
  /**
   * Clusters that the splits go by: their file, how many, and whether training draws one member of each. `NAME.clusters`
   * of a shard then has the cluster of each sequence, a little-endian uint32.
   */
  clusters?: { file: string; count: number; weighted: boolean };
  sources: { file: string; sequences: number; residues: number }[];
  /** Warnings of the build. */
  warnings: WarningCounts;
}

/** A built store, open for reading. It keeps no sequence in memory: each access reads from the shard's files. */
export class TokenStore {
  readonly folder: string;
  readonly manifest: StoreManifest;
  /** The vocabulary that tokens are given in: the store's own, or what `readAs` said. */
  alphabet: Alphabet;
  private readonly splits: Record<SplitName, StoreSplit>;

  constructor(folder: string, manifest: StoreManifest) {
    this.folder = folder;
    this.manifest = manifest;
    this.alphabet = new Alphabet(manifest.vocabulary, join(folder, 'manifest.json'));
    const split = (name: SplitName) =>
      new StoreSplit(
        folder,
        manifest.splits[name],
        this.alphabet,
        manifest.tokenOffset ?? 0,
        manifest.clusters?.weighted === true,
      );
    this.splits = { train: split('train'), validation: split('validation'), test: split('test'), ood: split('ood') };
  }

  split(name: SplitName): SequenceSource {
    return this.splits[name];
  }

  /**
   * Gives tokens by the ids of another vocabulary from here on, of the same letters: one that it lacks becomes `<unk>`.
   * @throws InputError where a standard letter has no token there
   */
  readAs(alphabet: Alphabet): void {
    const own = new Alphabet(this.manifest.vocabulary);
    const missing = [...own.residues].find((id) => alphabet.idOf(own.tokens[id]) === undefined);
    if (missing !== undefined) {
      throw new InputError(
        `${this.folder}: the model's vocabulary has no token ${own.tokens[missing]}; give other data`,
      );
    }
    this.alphabet = alphabet;
    const ids = alphabet.array(own.size).map((_, id) => alphabet.idOf(own.tokens[id]) ?? alphabet.unk);
    for (const split of Object.values(this.splits)) {
      split.translation = { alphabet, ids };
    }
  }

  /** Closes the files. */
  close(): void {
    for (const split of Object.values(this.splits)) {
      split.close();
    }
  }

  /** Compares every file with its checksum. @throws InputError at the first that differs. */
  async verify(): Promise<void> {
    for (const { shards } of Object.values(this.manifest.splits)) {
      for (const { name, sha256 } of shards) {
        for (const extension of sha256.clusters === undefined ? SHARD_FILES : [...SHARD_FILES, 'clusters' as const]) {
          const path = join(this.folder, `${name}.${extension}`);
          const hash = createHash('sha256');
          for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
            hash.update(chunk);
          }
          if (hash.digest('hex') !== sha256[extension]) {
            throw new InputError(
              `${path}: its checksum is not the manifest's; the file is damaged, build the data again`,
            );
          }
        }
      }
    }
  }
}

class StoreSplit implements SequenceSource {
  readonly size: number;
  /** Id of each token in the vocabulary that is asked for, where that is another. */
  translation?: { alphabet: Alphabet; ids: Tokens };
  private readonly folder: string;
  private readonly manifest: SplitManifest;
  private readonly alphabet: Alphabet;
  private readonly offset: number;
  private readonly weighted: boolean;
  private ownGroups: readonly Uint32Array[] | undefined;
  /** Index of each shard's first sequence. */
  private readonly starts: number[] = [];
  private readonly files = new Map<string, number>();
  private readonly entry = new DataView(new ArrayBuffer(16));

  constructor(folder: string, manifest: SplitManifest, alphabet: Alphabet, offset: number, weighted: boolean) {
    this.weighted = weighted;
    this.folder = folder;
    this.offset = offset;
    this.manifest = manifest;
    this.alphabet = alphabet;
    this.size = manifest.sequences;
    let start = 0;
    for (const shard of manifest.shards) {
      this.starts.push(start);
      start += shard.sequences;
    }
  }

  length(i: number): number {
    this.locate(i);
    return this.entry.getUint32(8, true) - this.entry.getUint32(0, true);
  }

  tokens(i: number): Tokens {
    const shard = this.locate(i);
    const start = this.entry.getUint32(0, true);
    const length = this.entry.getUint32(8, true) - start;
    const tokens = this.alphabet.array(length + 2);
    tokens[0] = this.alphabet.cls;
    if (tokens instanceof Uint8Array) {
      this.read(shard, 'tokens', tokens.subarray(1, length + 1), start);
    } else {
      const stored = new Uint8Array(length);
      this.read(shard, 'tokens', stored, start);
      for (let k = 0; k < length; k++) {
        tokens[k + 1] = stored[k] + this.offset;
      }
    }
    tokens[length + 1] = this.alphabet.eos;
    const { translation } = this;
    return translation ? translation.alphabet.array(length + 2).map((_, k) => translation.ids[tokens[k]]) : tokens;
  }

  name(i: number): string {
    const shard = this.locate(i);
    const start = this.entry.getUint32(4, true);
    const name = Buffer.alloc(this.entry.getUint32(12, true) - start);
    this.read(shard, 'names', name, start);
    return name.toString('utf8');
  }

  get groups(): readonly Uint32Array[] | undefined {
    if (!this.weighted) {
      return undefined;
    }
    if (!this.ownGroups) {
      const byCluster = new Map<number, number[]>();
      for (const [s, shard] of this.manifest.shards.entries()) {
        const numbers = new Uint8Array(4 * shard.sequences);
        this.read(shard, 'clusters', numbers, 0);
        const view = new DataView(numbers.buffer);
        for (let i = 0; i < shard.sequences; i++) {
          const cluster = view.getUint32(4 * i, true);
          const members = byCluster.get(cluster);
          if (members) {
            members.push(this.starts[s] + i);
          } else {
            byCluster.set(cluster, [this.starts[s] + i]);
          }
        }
      }
      this.ownGroups = [...byCluster.values()].map((members) => Uint32Array.from(members));
    }
    return this.ownGroups;
  }

  close(): void {
    for (const file of this.files.values()) {
      closeSync(file);
    }
    this.files.clear();
  }

  /** Reads the index entry of sequence i, and the next one, into `#entry`. */
  private locate(i: number): ShardManifest {
    if (!(i >= 0 && i < this.size)) {
      throw new RangeError(`sequence ${i} of ${this.size}`);
    }
    let low = 0;
    let high = this.starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.starts[middle] <= i) {
        low = middle;
      } else {
        high = middle - 1;
      }
    }
    const shard = this.manifest.shards[low];
    this.read(shard, 'index', new Uint8Array(this.entry.buffer), (i - this.starts[low]) * 8);
    return shard;
  }

  private read(
    shard: ShardManifest,
    extension: (typeof SHARD_FILES)[number] | 'clusters',
    into: Uint8Array,
    position: number,
  ): void {
    const path = join(this.folder, `${shard.name}.${extension}`);
    let file = this.files.get(path);
    if (file === undefined) {
      file = openSync(path, 'r');
      this.files.set(path, file);
    }
    if (readSync(file, into, 0, into.length, position) < into.length) {
      throw new InputError(`${path}: it is shorter than its manifest says; build the data again`);
    }
  }
}

/** Whether a folder says that `buildStore` wrote it, of whatever version. */
export async function holdsStore(folder: string): Promise<boolean> {
  await recoverFolder(folder);
  try {
    const { format } = JSON.parse(await readFile(join(folder, 'manifest.json'), 'utf8'));
    return format === 'protein-lm tokens';
  } catch {
    return false;
  }
}

/**
 * Opens a folder that `buildStore` wrote.
 * @throws InputError where it is no store, one of another version, or one with a file that is missing or cut.
 */
export async function openStore(folder: string): Promise<TokenStore> {
  await recoverFolder(folder);
  const path = join(folder, 'manifest.json');
  let manifest: StoreManifest;
  try {
    manifest = JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'no such file' : (error as Error).message;
    throw new InputError(`${path}: ${reason}; is ${folder} a folder of protein-lm data build?`);
  }
  if (manifest.format !== 'protein-lm tokens' || manifest.version !== 1) {
    throw new InputError(`${path}: not a manifest of version 1; build the data again`);
  }
  for (const { shards } of Object.values(manifest.splits)) {
    for (const shard of shards) {
      for (const extension of SHARD_FILES) {
        const file = join(folder, `${shard.name}.${extension}`);
        const size = statSync(file, { throwIfNoEntry: false })?.size;
        if (size !== shard.bytes[extension]) {
          const found = size === undefined ? 'it is missing' : `it has ${size} bytes, not ${shard.bytes[extension]}`;
          throw new InputError(`${file}: ${found}; build the data again`);
        }
      }
    }
  }
  return new TokenStore(folder, manifest);
}
