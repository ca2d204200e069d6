import { basename } from 'node:path';
import { Command } from 'commander';
import { type AlphabetName, UNITS } from '../data/alphabet.js';
import { buildStore } from '../data/build.js';
import { InputError } from '../data/errors.js';
import { SPLITS, type StoreManifest } from '../data/store.js';
import { Warnings } from '../data/warnings.js';
import { addDataOptions, alphabetOption, type DataOptions, splitOptions } from './dataOptions.js';
import { byteProgress, columns, count, printWarnings } from './dataOutput.js';
import { statsCommand } from './dataStats.js';
import { UsageError } from './errors.js';
import { addCommonOptions, addExamples, type CommonOptions, number } from './options.js';

/** `protein-lm data`: `build`, `stats`, `verify` and `cache`. */
export function dataCommand(): Command {
  const command = new Command('data')
    .description('Turn FASTA files, or files of any kind as bytes, into training data, and look at both.')
    .helpCommand(false)
    .addCommand(buildCommand())
    .addCommand(statsCommand())
    .addCommand(verifyCommand())
    .addCommand(cacheCommand());
  return addExamples(
    command,
    'protein-lm data stats proteins.fasta.gz',
    'protein-lm data build proteins.fasta.gz --out proteins.tokens',
    'protein-lm data cache --prune 30',
  );
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

function verifyCommand(): Command {
  const command = new Command('verify')
    .description('Compare the files that data build wrote with their checksums: a disk may lose bits in silence.')
    .argument('<folder...>', 'folders of data build')
    .action(verify);
  addCommonOptions(command);
  return addExamples(command, 'protein-lm data verify proteins.tokens');
}

async function verify(folders: string[], { quiet }: CommonOptions): Promise<void> {
  const { openStore } = await import('../data/store.js');
  for (const folder of folders) {
    const store = await openStore(folder);
    await store.verify().finally(() => store.close());
    if (!quiet) {
      process.stderr.write(`${folder}: every file is as it was written\n`);
    }
  }
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
