import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { from } from 'arquero';
import { Command, Option } from 'commander';
import { ALPHABET_NAMES, type AlphabetName, UNITS } from '../data/alphabet.js';
import { buildStore, type SplitOptions } from '../data/build.js';
import type { FileSource } from '../data/byteStream.js';
import { InputError } from '../data/errors.js';
import type { InvalidLetters } from '../data/letters.js';
import {
  type FastaStatistics,
  fastaStatistics,
  LENGTHS,
  type SequenceStatistics,
  storeStatistics,
} from '../data/statistics.js';
import { holdsStore, openStore, SPLITS, type SplitName, type StoreManifest } from '../data/store.js';
import { Warnings } from '../data/warnings.js';
import { writeFileAtomic } from '../formats/atomicFile.js';
import { UsageError } from './errors.js';
import { addCommonOptions, addExamples, type CommonOptions, number, wholeNumber } from './options.js';
import { type OutputOptions, tableOutput } from './output.js';
import { createProgress } from './progress.js';

const LINES = ['--lines', 'bytes: each line is a sequence, instead of each file'] as const;

/** `protein-lm data`: `build`, `stats` and `cache`. */
export function dataCommand(): Command {
  const command = new Command('data')
    .description('Turn FASTA files, or files of any kind as bytes, into training data, and look at both.')
    .helpCommand(false)
    .addCommand(buildCommand())
    .addCommand(statsCommand())
    .addCommand(cacheCommand());
  return addExamples(
    command,
    'protein-lm data stats proteins.fasta.gz',
    'protein-lm data build proteins.fasta.gz --out proteins.tokens',
    'protein-lm data cache --prune 30',
  );
}

/** The options that say how files become training data, for every command that does it. */
export interface DataOptions {
  cut?: number;
  lines?: boolean;
  validationFraction?: number;
  testFraction?: number;
  holdout?: string[];
  clusters?: string;
  clusterWeights?: boolean;
  unaligned?: boolean;
  invalid: InvalidLetters;
  nucleotides?: boolean;
  strict?: boolean;
}

/** Adds the options of `DataOptions`. */
export function addDataOptions(command: Command): Command {
  const fraction = number(0, 1);
  return command
    .option('--validation-fraction <x>', 'share of the sequences for validation, by hash (default: 0.05)', fraction)
    .option('--test-fraction <x>', 'share of the sequences for test, by hash (default: 0.05)', fraction)
    .option(
      '--holdout <names...>',
      'identifiers, families (a.4.5, OX=9606), files of them or of clusters, kept out as the ood split',
    )
    .option(
      '--clusters <file>',
      "clusters of the sequences (MMseqs2's _cluster.tsv, CD-HIT's .clstr): splits and --holdout take them whole",
    )
    .option(
      '--cluster-weights',
      'with --clusters: training draws one member of each cluster an epoch (weight 1 / size)',
    )
    .addOption(
      new Option(
        '--invalid <what>',
        'letters outside the alphabet: stop, leave the sequence out, or take them as <unk>',
      )
        .choices(['error', 'skip', 'unknown'])
        .default('error'),
    )
    .option('--unaligned', 'read the rows of an alignment (A3M, A2M, Stockholm) as proteins, without gaps')
    .option('--nucleotides', 'read sequences that look like DNA or RNA as amino acids all the same')
    .option(
      '--cut <n>',
      'letters that longer sequences are cut after (default: 16384 for nucleotides and bytes, proteins stay whole)',
      wholeNumber(16, 2 ** 28),
    )
    .option(...LINES)
    .option('--strict', 'make every warning about the input an error');
}

/** `--alphabet`. */
export function alphabetOption(): Option {
  return new Option(
    '--alphabet <name>',
    'what a letter is: an amino acid, a base of DNA or RNA, or a byte of files of any kind (default: protein)',
  ).choices(ALPHABET_NAMES);
}

/** The flags of `DataOptions` that ask for something: `--invalid error`, which is the default, does not. */
export function givenDataOptions(options: DataOptions): string[] {
  const { cut, lines, validationFraction, testFraction, holdout, clusters, clusterWeights } = options;
  const { invalid, nucleotides, unaligned, strict } = options;
  const values = {
    '--validation-fraction': validationFraction,
    '--test-fraction': testFraction,
    '--holdout': holdout,
    '--clusters': clusters,
    '--cluster-weights': clusterWeights,
    '--invalid': invalid === 'error' ? undefined : invalid,
    '--nucleotides': nucleotides,
    '--unaligned': unaligned,
    '--cut': cut,
    '--lines': lines,
    '--strict': strict,
  };
  return Object.entries(values).flatMap(([flag, value]) => (value === undefined ? [] : [flag]));
}

/**
 * `DataOptions` as `buildStore` and `cacheStore` take them.
 * @throws UsageError for an option that the alphabet has no use for
 */
export function splitOptions(options: DataOptions, alphabet: AlphabetName = 'protein'): SplitOptions {
  const { validationFraction: validation, testFraction: test, holdout, clusters, clusterWeights } = options;
  const { invalid, nucleotides, unaligned, cut, lines } = options;
  if (clusterWeights && clusters === undefined) {
    throw new UsageError('--cluster-weights needs --clusters FILE');
  }
  if (clusters !== undefined && alphabet === 'bytes') {
    throw new UsageError('--clusters is about sequences; leave it out with --alphabet bytes');
  }
  if (lines && alphabet !== 'bytes') {
    throw new UsageError('--lines is for --alphabet bytes; FASTA has records');
  }
  if (nucleotides && alphabet !== 'protein') {
    throw new UsageError(`--nucleotides is about proteins; leave it out with --alphabet ${alphabet}`);
  }
  return {
    fractions: { validation, test },
    holdout,
    clusters,
    clusterWeights,
    alphabet,
    invalid,
    nucleotides,
    unaligned,
    cut,
    lines,
  };
}

interface BuildOptions extends DataOptions, CommonOptions {
  alphabet?: AlphabetName;
  out: string;
  overwrite?: boolean;
}

function buildCommand(): Command {
  const command = new Command('build')
    .description(
      'Turn FASTA files (plain or gzip, - for standard input) into a folder of tokens, split for training; with ' +
        '--alphabet bytes files of any kind, and folders of them.',
    )
    .argument('<file...>', 'FASTA files, or with --alphabet bytes files and folders of any kind')
    .addOption(alphabetOption())
    .requiredOption('--out <folder>', 'folder to write')
    .option('--overwrite', 'replace the data in that folder')
    .action(build);
  addCommonOptions(addDataOptions(command), 'seed');
  return addExamples(
    command,
    'protein-lm data build uniref50.fasta.gz --out uniref50.tokens --validation-fraction 0.001 --test-fraction 0.001',
    'protein-lm data build scop.fasta --out scop.tokens --holdout a.4.5 c.37.1',
    'protein-lm data build proteins.fasta --clusters proteins_cluster.tsv --cluster-weights --out proteins.tokens',
    'protein-lm data build --alphabet nucleotide genome.fna.gz --out genome.tokens --holdout chr21',
    'protein-lm data build --alphabet bytes books/ --out books.tokens',
    'zstd -dc proteins.fasta.zst | protein-lm data build - --out proteins.tokens',
  );
}

async function build(sources: string[], options: BuildOptions): Promise<void> {
  const warnings = new Warnings({ strict: options.strict });
  const bar = byteProgress('reading', options.quiet);
  const stop = new AbortController();
  const interrupt = () => {
    const reason = new InputError('interrupted; nothing was written');
    stop.abort(reason);
    // Standard input may have nothing to say for a long time. Nobody may be reading it yet to hear of the error.
    if (sources.includes('-')) {
      process.stdin.on('error', () => {}).destroy(reason);
    }
  };
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  let manifest: StoreManifest;
  try {
    manifest = await buildStore(sources, options.out, {
      ...splitOptions(options, options.alphabet),
      splitSeed: options.seed,
      overwrite: options.overwrite,
      warnings,
      signal: stop.signal,
      onProgress: ({ bytes, totalBytes, sequences }) => bar.update(bytes, totalBytes, sequences),
    });
  } finally {
    bar.end();
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
  }
  printWarnings(warnings);
  const rows = SPLITS.map((split) => {
    const { sequences, residues, longest } = manifest.splits[split];
    return [split, count(sequences), count(residues), count(longest)];
  });
  rows.push(['all', count(manifest.sequences), count(manifest.residues), '']);
  const unit = UNITS[options.alphabet ?? 'protein'];
  process.stdout.write(columns(['split', 'sequences', `${unit}s`, 'longest'], rows));
}

interface StatsOptions extends CommonOptions, Pick<OutputOptions, 'out'> {
  alphabet?: AlphabetName;
  lines?: boolean;
  json?: boolean;
}

function statsCommand(): Command {
  const command = new Command('stats')
    .description('Count sequences, lengths, residues and unusual letters of FASTA files, or of what data build wrote.')
    .argument(
      '<input...>',
      'FASTA files (plain or gzip, - for standard input), with --alphabet bytes files and folders of any kind; or one ' +
        'folder of data build',
    )
    .addOption(alphabetOption())
    .option(...LINES)
    .option('--json', 'print JSON')
    .option('--out <file>', 'write to this file (.json, .csv, .tsv or .arrow) instead of standard output')
    .action(stats);
  addCommonOptions(command);
  return addExamples(
    command,
    'protein-lm data stats proteins.fasta.gz',
    'protein-lm data stats proteins.tokens --json',
    'protein-lm data stats --alphabet nucleotide genome.fna.gz',
    'protein-lm data stats --alphabet bytes books/',
  );
}

async function stats(inputs: string[], options: StatsOptions): Promise<void> {
  const output = options.out === undefined || options.out === '-' ? undefined : tableOutput(options);
  const found = (await isStore(inputs, options)) ? await statsOfStore(inputs[0]) : await statsOfFiles(inputs, options);
  const json = `${JSON.stringify(found, null, 2)}\n`;
  if (output?.format === 'json') {
    await writeFileAtomic(options.out!, json);
  } else if (output) {
    await output.write(from(longRows(found)));
  } else {
    process.stdout.write(options.json ? json : tables(found));
  }
}

/** Statistics of FASTA files, or of the splits of a store. */
type Found = FastaStatistics | { splits: Record<SplitName, SequenceStatistics> };

async function isStore(inputs: string[], { alphabet }: StatsOptions): Promise<boolean> {
  const [folder, ...others] = inputs;
  if (folder === undefined || others.length > 0 || folder === '-') {
    return false;
  }
  if (!(await stat(folder).catch(() => undefined))?.isDirectory()) {
    return false;
  }
  // A folder may as well be of bytes, with a manifest.json of somebody else's among its files.
  return alphabet !== 'bytes' || holdsStore(folder);
}

async function statsOfFiles(inputs: FileSource[], { alphabet, lines, quiet }: StatsOptions): Promise<Found> {
  const warnings = new Warnings();
  const bar = byteProgress('reading', quiet);
  let bytes = 0;
  const statistics = await fastaStatistics(inputs, {
    alphabet,
    lines,
    warnings,
    onBytes: (done) => {
      bytes = done;
    },
    onSequences: (sequences) => bar.update(bytes, undefined, sequences),
  }).finally(() => bar.end());
  printWarnings(warnings);
  return statistics;
}

async function statsOfStore(folder: string): Promise<Found> {
  const store = await openStore(folder);
  try {
    return { splits: storeStatistics(store) };
  } finally {
    store.close();
  }
}

/** A row a number, for files that other programs read. */
function longRows(found: Found): { split: string; statistic: string; name: string; value: number }[] {
  const items = 'splits' in found ? Object.entries(found.splits) : [['all', found] as const];
  return items.flatMap(([split, statistics]) => {
    const { length, composition, unusual, ...counts } = statistics;
    const row = (statistic: string, name: string, value: number) => ({ split, statistic, name, value });
    return [
      ...Object.entries(counts).map(([name, value]) => row('count', name, value)),
      ...Object.entries(length).map(([name, value]) => row('length', name, value)),
      ...Object.entries(composition).map(([letter, { count }]) => row('residues', letter, count)),
      ...Object.entries(composition).map(([letter, { fraction }]) => row('fraction', letter, fraction)),
      ...Object.entries(unusual).map(([letter, { count }]) => row('unusual', letter, count)),
    ];
  });
}

/** Tables to read. */
function tables(found: Found): string {
  if ('splits' in found) {
    const { splits } = found;
    const rows = SPLITS.map((split) => [split, count(splits[split].sequences), count(splits[split].residues)]);
    const filled = SPLITS.filter((split) => splits[split].sequences > 0);
    const details = describe(filled.map((split) => [split, splits[split]]));
    return [columns(['split', 'sequences', 'residues'], rows), ...details].join('\n');
  }
  const { length, composition, unusual, ...counts } = found;
  const rows = Object.entries(counts).map(([name, value]) => [words(name), count(value)]);
  return [columns(['', 'count'], rows), ...describe([['', found]])].join('\n');
}

/** Tables of lengths, composition and unusual letters; a column for each of `items`. */
function describe(items: [name: string, statistics: SequenceStatistics][]): string[] {
  const names = items.map(([name]) => name || 'residues');
  const lengths = LENGTHS.map((name) => [name, ...items.map(([, { length }]) => count(length[name]))]);
  const composition = Object.keys(items[0][1].composition).map((letter) => [
    letter,
    ...items.map(([, statistics]) => `${(100 * statistics.composition[letter].fraction).toFixed(2)} %`),
  ]);
  const letters = [...new Set(items.flatMap(([, { unusual }]) => Object.keys(unusual)))];
  const unusual = letters.map((letter) => [
    /^[\x21-\x7e]+$/.test(letter) ? letter : JSON.stringify(letter),
    ...items.map(([, statistics]) => count(statistics.unusual[letter]?.count ?? 0)),
  ]);
  return [
    columns(['length', ...names], lengths),
    columns(['residue', ...names.map((name) => (name === 'residues' ? 'share' : name))], composition),
    unusual.length === 0 ? 'no unusual letters\n' : columns(['unusual letter', ...names], unusual),
  ];
}

interface CacheOptions extends CommonOptions {
  prune?: number;
  clear?: boolean;
}

function cacheCommand(): Command {
  const command = new Command('cache')
    .description(
      'List what --fasta left in the cache, or remove it: it is built again where it is needed, but a run that began ' +
        'with it then wants its --fasta once more to be resumed.',
    )
    .option('--prune <days>', 'remove what was not used for so many days', number(0))
    .option('--clear', 'remove everything')
    .action(cache);
  addCommonOptions(command);
  return addExamples(command, 'protein-lm data cache', 'protein-lm data cache --prune 30');
}

async function cache({ prune, clear }: CacheOptions): Promise<void> {
  const { cacheFolder, listCache, removeFromCache } = await import('../data/cache.js');
  if (prune !== undefined && clear) {
    throw new UsageError('--clear removes everything; leave out --prune');
  }
  const entries = await listCache();
  const days = clear ? Number.NEGATIVE_INFINITY : (prune ?? Number.POSITIVE_INFINITY);
  const old = entries.filter(({ lastUsed }) => Date.now() - lastUsed.getTime() > days * 86_400_000);
  const megabytes = (of: typeof entries) => count(of.reduce((sum, { bytes }) => sum + bytes, 0) / 1e6);
  if (prune !== undefined || clear) {
    await removeFromCache(old);
    process.stdout.write(`removed ${old.length} of ${entries.length} from ${cacheFolder()}: ${megabytes(old)} MB\n`);
    return;
  }
  const rows = entries.map(({ folder, bytes, lastUsed, manifest }) => [
    manifest ? shortList(manifest.sources.map(({ file }) => basename(file))) : 'unfinished',
    manifest ? count(manifest.sequences) : '',
    count(bytes / 1e6),
    lastUsed.toISOString().slice(0, 10),
    basename(folder),
  ]);
  process.stdout.write(`${cacheFolder()}: ${megabytes(entries)} MB\n`);
  if (rows.length > 0) {
    process.stdout.write(columns(['from', 'sequences', 'MB', 'last used', 'folder'], rows));
  }
}

/** The first two names, and how many more there are. */
function shortList(names: string[]): string {
  const [shown, more] = names.length > 3 ? [names.slice(0, 2), names.length - 2] : [names, 0];
  return more > 0 ? `${shown.join(', ')} and ${more} more` : shown.join(', ');
}

/** Warnings about the input, a line each, on standard error. They appear with `--quiet`, too. */
export function printWarnings(warnings: Warnings): void {
  for (const line of warnings.lines()) {
    process.stderr.write(`warning: ${line}\n`);
  }
}

/** Progress through files: in megabytes, with the sequences so far. */
export function byteProgress(label: string, quiet: boolean | undefined) {
  let progress: ReturnType<typeof createProgress> | undefined;
  return {
    update(bytes: number, totalBytes: number | undefined, sequences: number): void {
      progress ??= createProgress({ label, unit: 'MB', quiet, total: totalBytes && totalBytes / 1e6 });
      progress.update(bytes / 1e6, `${count(sequences)} sequences`);
    },
    end: () => progress?.end(),
  };
}

/** Text in columns: the first to the left, numbers to the right. */
function columns(header: string[], rows: string[][]): string {
  const widths = header.map((_, i) => Math.max(...[header, ...rows].map((row) => row[i].length)));
  const line = (row: string[]) => row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])));
  return [header, ...rows].map((row) => `${line(row).join('  ').trimEnd()}\n`).join('');
}

/** 1234.56 -> `1,234.6` */
function count(value: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: 1 });
}

/** `duplicateSequences` -> `duplicate sequences` */
function words(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}
