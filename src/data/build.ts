import { createHash, type Hash } from 'node:crypto';
import { closeSync, createWriteStream, existsSync, fsyncSync, openSync, statSync, writeSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { writeFileAtomic } from '../formats/atomicFile.js';
import { AtomicFolder, recoverFolder } from '../formats/atomicFolder.js';
import { isDiskFull, writeError } from '../formats/fileErrors.js';
import { ALPHABETS, type Alphabet } from './alphabet.js';
import { type FileSource, sourceName } from './byteStream.js';
import { Clusters } from './clusters.js';
import { DuplicateFinder } from './duplicates.js';
import { InputError } from './errors.js';
import type { FastaSource } from './fasta.js';
import { Holdout } from './holdout.js';
import { type SequenceRecord, SKIPPED } from './letters.js';
import { hash32, hash53 } from './random.js';
import { cutOf, inputFiles, type ReadingOptions, readSequences } from './reading.js';
import { SequenceStream } from './sequenceStream.js';
import {
  openStore,
  type SHARD_FILES,
  type ShardManifest,
  SPLITS,
  type SplitManifest,
  type SplitName,
  type StoreManifest,
} from './store.js';
import { Warnings } from './warnings.js';

/** What decides the contents of a store, apart from the files. */
export interface SplitOptions
  extends Pick<ReadingOptions, 'alphabet' | 'cut' | 'lines' | 'invalid' | 'nucleotides' | 'unaligned'> {
  /** Share of the sequences, by hash, for validation and test; default 0.05 each. The rest is for training. */
  fractions?: { validation?: number; test?: number };
  /** Another seed gives another split by hash; default 0. */
  splitSeed?: number;
  /** Identifiers, families, or files of them for the `ood` split, of bytes the files' paths: see `Holdout`. */
  holdout?: readonly string[];
  /**
   * A file of clusters (MMseqs2's `_cluster.tsv`, CD-HIT's `.clstr`) of the sequences: splits then go by the hash of a
   * cluster's name, so that homologues share one, and what `holdout` names is held out with its whole cluster.
   */
  clusters?: string;
  /** With `clusters`: training draws one member of each cluster an epoch, so that a sequence weighs 1 / size. */
  clusterWeights?: boolean;
}

export interface BuildOptions extends SplitOptions {
  /** Takes every case that has a default; a `strict` one turns each into an error. */
  warnings?: Warnings;
  /** Replaces a store that is there; default false: an error. */
  overwrite?: boolean;
  /** Size of a shard's tokens in bytes, about, below 4 GiB; default 1 GiB. */
  shardBytes?: number;
  /** Stops the build; nothing is left of it. */
  signal?: AbortSignal;
  /** Called now and then. `totalBytes` is undefined where a source is a stream. */
  onProgress?: (progress: BuildProgress) => void;
}

export interface BuildProgress {
  bytes: number;
  totalBytes: number | undefined;
  sequences: number;
  residues: number;
}

/** Up to so many sequences, splits go by the rank of the hash, so that none stays empty. */
const RANKED = 1000;
/** Names with the same hash that are compared before the rest is taken to be equal. */
const COMPARED = 1000;
/** Places of sequences in one number: the split times this, plus the index in it. */
const PLACES = 2 ** 48;

/**
 * Builds a store of tokens from FASTA, or of bytes from any files: one pass over any amount of data in constant memory
 * (two where `holdout` is given). The store appears under its name when it is whole.
 *
 * A sequence's split follows from its residues alone: h = hash / 2^32 is uniform in [0, 1); below `validation` it is for
 * validation, below `validation + test` for test, else for training. So equal sequences share a split, and a sequence
 * stays in its split when others are added. Where there are no more than 1,000 sequences, the smallest hashes are taken
 * instead, so that validation (2 different sequences or more) and test (3 or more) are never empty. What `holdout`
 * names is for `ood`, with every sequence that equals one of those. With `clusters` the hash is of the cluster's name.
 *
 * Equal sequences are all kept, and counted in the manifest; identifiers that come twice are kept with a warning.
 */
export async function buildStore(
  sources: FastaSource | readonly FastaSource[],
  folder: string,
  options: BuildOptions = {},
): Promise<StoreManifest> {
  const { warnings = new Warnings(), splitSeed = 0 } = options;
  const fractions = checkFractions(options.fractions);
  const target = resolve(folder);
  await recoverFolder(target);
  if (existsSync(target)) {
    if (!options.overwrite) {
      throw new InputError(`${folder}: it exists already; take another name, or replace it (--overwrite)`);
    }
    // Opening it shows that nothing but a store is thrown away.
    (await openStore(folder)).close();
  }
  const unfinished = await AtomicFolder.create(target);
  const temporary = unfinished.path;
  const scratch = join(temporary, 'scratch');
  try {
    await mkdir(scratch);
    const builder = new StoreBuilder(temporary, scratch, fractions, splitSeed, options);
    const { alphabet } = builder;
    const clusters = options.clusters === undefined ? undefined : await Clusters.read(options.clusters);
    if (options.clusterWeights && !clusters) {
      throw new InputError('weights by cluster need clusters; name their file');
    }
    const names = options.holdout ?? [];
    const holdout = alphabet.name === 'bytes' ? Holdout.ofPaths(names) : await Holdout.read(names);
    let all = inputFiles(sources, alphabet.name);
    const heldOut: HeldOut = { sequences: new Set(), clusters: new Set() };
    if (!holdout.isEmpty) {
      all = await Promise.all(all.map((source, i) => spool(source, join(scratch, `source-${i}`))));
      // Which sequences are held out must be known before the first one that equals one of them is placed.
      for await (const record of readSequences(all, { ...options, warnings: new Warnings(), onBytes: undefined })) {
        options.signal?.throwIfAborted();
        const where = whereOf(record);
        if (holdout.matches(record.description, where)) {
          heldOut.sequences.add(hash53(stored(alphabet, record.sequence)));
          if (clusters) {
            heldOut.clusters.add(clusters.of(record.description, where));
          }
        }
      }
      holdout.checkClusters();
      for (const entry of holdout.unmatched()) {
        warnings.add('nothing to hold out has this name', entry);
      }
    }
    const totalBytes = total(all);
    let bytes = 0;
    const progress = () => {
      options.onProgress?.({ bytes, totalBytes, sequences: builder.sequences, residues: builder.residues });
    };
    const onBytes = (done: number) => {
      bytes = done;
      progress();
    };
    for await (const record of readSequences(all, { ...options, warnings, onBytes })) {
      options.signal?.throwIfAborted();
      builder.add(record, heldOut, clusters);
    }
    clusters?.checkMatched();
    options.signal?.throwIfAborted();
    if (builder.sequences === 0) {
      const skipped = warnings.counts()[SKIPPED]?.count ?? 0;
      const question =
        alphabet.name === 'bytes'
          ? 'it is empty'
          : skipped > 0
            ? `all ${skipped.toLocaleString('en-US')} have letters outside the alphabet, and --invalid skip left them out`
            : 'is it a FASTA file?';
      throw new InputError(`${all.map(sourceName).join(', ')}: no sequence in it; ${question}`);
    }
    progress();
    const manifest = builder.finish(
      holdout.given,
      clusters && { file: options.clusters!, count: clusters.size, weighted: options.clusterWeights === true },
    );
    // The identifiers are compared once they can be read back: hashes alone may be equal by chance.
    const save = () => writeFileAtomic(join(temporary, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
    await save();
    await builder.findDuplicateNames(warnings);
    manifest.warnings = warnings.counts();
    await save();
    await rm(scratch, { recursive: true });
    await unfinished.commit({ replace: options.overwrite });
    return manifest;
  } catch (error) {
    await unfinished.discard();
    throw isDiskFull(error) ? writeError(error, folder) : error;
  }
}

function checkFractions(given: BuildOptions['fractions'] = {}): { validation: number; test: number } {
  const { validation = 0.05, test = 0.05 } = given;
  if (!(validation >= 0 && test >= 0 && validation + test < 1)) {
    throw new InputError(
      `fractions: validation ${validation} and test ${test} must be 0 or more each and below 1 together`,
    );
  }
  return { validation, test };
}

/** What is held out: sequences by their hash, and clusters by their number. */
interface HeldOut {
  sequences: Set<number>;
  clusters: Set<number>;
}

function whereOf({ file, line, id }: SequenceRecord): string {
  return `${file}:${line}, record ${id}`;
}

/** Size of the files together; undefined where one is a stream or missing. */
function total(sources: readonly FastaSource[]): number | undefined {
  let sum = 0;
  for (const source of sources) {
    if (source === '-' || source instanceof Readable || source instanceof SequenceStream) {
      return undefined;
    }
    const path = typeof source === 'string' ? source : source.path;
    sum += statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  }
  return sum;
}

/** A source that can be read twice: a stream is written to `path` first. */
export async function spool(source: FastaSource, path: string): Promise<Exclude<FileSource, Readable>> {
  if (source instanceof SequenceStream) {
    await pipeline(Readable.from(fastaOf(source)), createWriteStream(path));
    return { path, name: source.name };
  }
  if (source !== '-' && !(source instanceof Readable)) {
    return source;
  }
  await pipeline(source === '-' ? process.stdin : source, createWriteStream(path));
  return { path, name: '-' };
}

async function* fastaOf(stream: SequenceStream): AsyncGenerator<string, void, undefined> {
  for await (const { description, sequence } of stream) {
    yield `>${description}\n${sequence}\n`;
  }
}

/** A sequence's letters as `.tokens` has them: see `Alphabet.storedOffset`. */
function stored(alphabet: Alphabet, sequence: string): Uint8Array {
  return alphabet.name === 'bytes'
    ? Buffer.from(sequence, 'latin1')
    : (alphabet.encodeResidues(sequence) as Uint8Array);
}

/** A sequence on its way into a split, and what the split follows from: its residues, or the name of its cluster. */
interface Entry {
  id: string;
  tokens: Uint8Array;
  key: Uint8Array;
  heldOut: boolean;
  cluster?: number;
}

class StoreBuilder {
  sequences = 0;
  residues = 0;
  readonly alphabet: Alphabet;
  private readonly cut: number | undefined;
  private readonly folder: string;
  private readonly fractions: { validation: number; test: number };
  private readonly splitSeed: number;
  private readonly writers: Record<SplitName, SplitWriter>;
  private readonly sources = new Map<string, { sequences: number; residues: number }>();
  private readonly equalNames: DuplicateFinder;
  private readonly equalSequences: DuplicateFinder;
  /** The first sequences, until it is known that there are enough to split by hash. */
  private waiting: Entry[] | undefined = [];

  constructor(
    folder: string,
    scratch: string,
    fractions: { validation: number; test: number },
    splitSeed: number,
    options: Pick<BuildOptions, 'alphabet' | 'cut' | 'shardBytes'>,
  ) {
    this.alphabet = ALPHABETS[options.alphabet ?? 'protein'];
    this.cut = cutOf(options);
    this.folder = folder;
    this.fractions = fractions;
    this.splitSeed = splitSeed;
    const writer = (split: SplitName) => new SplitWriter(folder, split, options.shardBytes ?? 2 ** 30, this.alphabet);
    this.writers = {
      train: writer('train'),
      validation: writer('validation'),
      test: writer('test'),
      ood: writer('ood'),
    };
    this.equalNames = new DuplicateFinder(scratch, 'names');
    this.equalSequences = new DuplicateFinder(scratch, 'sequences');
  }

  add(record: SequenceRecord, heldOut: HeldOut, clusters?: Clusters): void {
    const { id, sequence, file } = record;
    const tokens = stored(this.alphabet, sequence);
    this.sequences++;
    this.residues += tokens.length;
    const source = this.sources.get(file) ?? { sequences: 0, residues: 0 };
    source.sequences++;
    source.residues += tokens.length;
    this.sources.set(file, source);
    const hash = hash53(tokens);
    this.equalSequences.add(hash, this.sequences);
    const cluster = clusters?.of(record.description, whereOf(record));
    const entry: Entry = {
      id,
      tokens,
      key: clusters && cluster !== undefined ? Buffer.from(clusters.nameOf(cluster)) : tokens,
      heldOut: heldOut.sequences.has(hash) || (cluster !== undefined && heldOut.clusters.has(cluster)),
      cluster,
    };
    if (this.waiting === undefined) {
      this.write(entry, this.splitByHash(entry.key));
    } else {
      this.waiting.push(entry);
      if (this.waiting.length > RANKED) {
        this.place((key) => this.splitByHash(key));
      }
    }
  }

  /** Writes those that wait. */
  private place(splitOf: (key: Uint8Array) => SplitName): void {
    const waiting = this.waiting ?? [];
    this.waiting = undefined;
    for (const entry of waiting) {
      this.write(entry, splitOf(entry.key));
    }
  }

  private write({ id, tokens, heldOut, cluster }: Entry, byHash: SplitName): void {
    const split = heldOut ? 'ood' : byHash;
    const name = Buffer.from(id, 'utf8');
    const index = this.writers[split].add(tokens, name, cluster);
    this.equalNames.add(hash53(name), SPLITS.indexOf(split) * PLACES + index);
  }

  private splitByHash(key: Uint8Array): SplitName {
    const { validation, test } = this.fractions;
    const u = hash32(key, this.splitSeed) / 2 ** 32;
    return u < validation ? 'validation' : u < validation + test ? 'test' : 'train';
  }

  /** The splits of few sequences: the smallest hashes are for validation, the next for test. */
  private splitByRank(): (key: Uint8Array) => SplitName {
    const candidates = (this.waiting ?? []).filter(({ heldOut }) => !heldOut);
    const hashes = [...new Set(candidates.map(({ key }) => hash32(key, this.splitSeed)))].sort((a, b) => a - b);
    const share = (fraction: number, most: number) => Math.max(0, Math.min(Math.ceil(fraction * hashes.length), most));
    const validation = share(this.fractions.validation, hashes.length - 1);
    const test = share(this.fractions.test, hashes.length - 1 - validation);
    const rank = new Map(hashes.map((hash, i) => [hash, i]));
    return (key) => {
      const i = rank.get(hash32(key, this.splitSeed)) ?? hashes.length;
      return i < validation ? 'validation' : i < validation + test ? 'test' : 'train';
    };
  }

  finish(holdout: string[], clusters?: StoreManifest['clusters']): StoreManifest {
    if (this.waiting) {
      this.place(this.splitByRank());
    }
    let duplicateSequences = 0;
    for (const _ of this.equalSequences.duplicates()) {
      duplicateSequences++;
    }
    const splits = Object.fromEntries(SPLITS.map((split) => [split, this.writers[split].finish()]));
    return {
      format: 'protein-lm tokens',
      version: 1,
      ...(this.alphabet.name !== 'protein' && { alphabet: this.alphabet.name }),
      vocabulary: this.alphabet.tokens,
      ...(this.alphabet.storedOffset > 0 && { tokenOffset: this.alphabet.storedOffset }),
      ...(this.cut !== undefined && { cut: this.cut }),
      sequences: this.sequences,
      residues: this.residues,
      duplicateSequences,
      splits: splits as StoreManifest['splits'],
      fractions: this.fractions,
      splitSeed: this.splitSeed,
      holdout,
      ...(clusters && { clusters }),
      sources: [...this.sources].map(([file, counts]) => ({ file, ...counts })),
      warnings: {},
    };
  }

  async findDuplicateNames(warnings: Warnings): Promise<void> {
    const store = await openStore(this.folder);
    const nameAt = (place: number) => store.split(SPLITS[Math.floor(place / PLACES)]).name(place % PLACES);
    let compared = 0;
    let name = '';
    try {
      for (const { place, first } of this.equalNames.duplicates()) {
        // Hashes of 53 bits are equal by chance once or twice among a hundred million: the first ones are compared.
        if (compared < COMPARED) {
          name = nameAt(place);
          if (name !== nameAt(first)) {
            continue;
          }
          compared++;
        }
        warnings.add('duplicate identifier, kept', `record ${name}`);
      }
    } finally {
      store.close();
    }
  }
}

/** Writes the shards of one split. */
class SplitWriter {
  private readonly folder: string;
  private readonly split: SplitName;
  private readonly shardBytes: number;
  private readonly alphabet: Alphabet;
  private readonly counts = new Float64Array(256);
  private readonly shards: ShardManifest[] = [];
  private sequences = 0;
  private residues = 0;
  private longest = 0;
  private shard:
    | {
        name: string;
        sequences: number;
        files: Record<(typeof SHARD_FILES)[number], HashedFile>;
        clusters?: HashedFile;
      }
    | undefined;

  constructor(folder: string, split: SplitName, shardBytes: number, alphabet: Alphabet) {
    this.alphabet = alphabet;
    this.folder = folder;
    this.split = split;
    this.shardBytes = shardBytes;
  }

  /** Appends a sequence and returns its index in the split. */
  add(tokens: Uint8Array, name: Uint8Array, cluster?: number): number {
    this.shard ??= this.open();
    const { files } = this.shard;
    this.writeEntry();
    files.tokens.write(tokens);
    files.names.write(name);
    if (cluster !== undefined) {
      this.shard.clusters ??= new HashedFile(join(this.folder, `${this.shard.name}.clusters`));
      const number = Buffer.allocUnsafe(4);
      number.writeUInt32LE(cluster);
      this.shard.clusters.write(number);
    }
    this.shard.sequences++;
    this.residues += tokens.length;
    this.longest = Math.max(this.longest, tokens.length);
    for (const token of tokens) {
      this.counts[token]++;
    }
    if (files.tokens.length >= this.shardBytes || files.names.length >= this.shardBytes) {
      this.close();
    }
    return this.sequences++;
  }

  finish(): SplitManifest {
    this.close();
    const composition: Record<string, number> = {};
    const { tokens, storedOffset } = this.alphabet;
    this.counts.forEach((count, byte) => {
      if (count > 0) {
        composition[tokens[byte + storedOffset]] = count;
      }
    });
    return {
      sequences: this.sequences,
      residues: this.residues,
      longest: this.longest,
      composition,
      shards: this.shards,
    };
  }

  private open() {
    const name = `${this.split}-${String(this.shards.length).padStart(5, '0')}`;
    const file = (extension: string) => new HashedFile(join(this.folder, `${name}.${extension}`));
    return { name, sequences: 0, files: { tokens: file('tokens'), index: file('index'), names: file('names') } };
  }

  private writeEntry(): void {
    const { files } = this.shard!;
    const entry = Buffer.allocUnsafe(8);
    entry.writeUInt32LE(files.tokens.length, 0);
    entry.writeUInt32LE(files.names.length, 4);
    files.index.write(entry);
  }

  private close(): void {
    if (!this.shard) {
      return;
    }
    const { name, sequences, files, clusters } = this.shard;
    this.writeEntry();
    const bytes = { tokens: files.tokens.length, index: files.index.length, names: files.names.length };
    const sha256 = {
      tokens: files.tokens.close(),
      index: files.index.close(),
      names: files.names.close(),
      ...(clusters && { clusters: clusters.close() }),
    };
    this.shards.push({ name, sequences, residues: bytes.tokens, bytes, sha256 });
    this.shard = undefined;
  }
}

/** A file that is appended to through a buffer, with its checksum. */
class HashedFile {
  length = 0;
  private readonly file: number;
  private readonly hash: Hash = createHash('sha256');
  private readonly buffer = Buffer.allocUnsafe(1 << 18);
  private used = 0;

  constructor(path: string) {
    this.file = openSync(path, 'wx');
  }

  write(bytes: Uint8Array): void {
    this.length += bytes.length;
    if (this.used + bytes.length > this.buffer.length) {
      this.flush();
    }
    if (bytes.length > this.buffer.length) {
      this.put(bytes);
    } else {
      this.buffer.set(bytes, this.used);
      this.used += bytes.length;
    }
  }

  /** Writes what is left and returns the checksum. */
  close(): string {
    this.flush();
    fsyncSync(this.file);
    closeSync(this.file);
    return this.hash.digest('hex');
  }

  private flush(): void {
    this.put(this.buffer.subarray(0, this.used));
    this.used = 0;
  }

  private put(bytes: Uint8Array): void {
    this.hash.update(bytes);
    for (let done = 0; done < bytes.length; ) {
      done += writeSync(this.file, bytes, done);
    }
  }
}
