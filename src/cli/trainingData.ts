import type { Command } from 'commander';
import type { AlphabetName } from '../data/alphabet.js';
import { cacheStore } from '../data/cache.js';
import { openStore, type TokenStore } from '../data/store.js';
import { Warnings } from '../data/warnings.js';
import { addDataOptions, type DataOptions, givenDataOptions, splitOptions } from './dataOptions.js';
import { byteProgress, printWarnings } from './dataOutput.js';
import { UsageError } from './errors.js';

/** Where a command's sequences come from. */
export interface TrainingDataOptions extends DataOptions {
  fasta?: string[];
  files?: string[];
  data?: string;
  quiet?: boolean;
}

/** Adds `--data`, `--fasta` and `--files`, and what says how they are read and split. */
export function addTrainingDataOptions(command: Command): Command {
  command
    .option('--fasta <file...>', 'FASTA files, plain or gzip; - for standard input')
    .option('--files <file...>', 'bytes: files of any kind, folders of them, or - for standard input')
    .option('--data <folder>', 'what `protein-lm data build` wrote, instead of --fasta or --files');
  return addDataOptions(command);
}

/**
 * Opens what `--data`, `--fasta` or `--files` names, undefined where none is given. Files are read once: their tokens
 * are kept in the cache.
 * @param alphabet what the files are read as; a store's own must be the same
 * @throws UsageError where several are given, or the wrong one for the alphabet, and for options of reading and
 * splitting where no files are read
 */
export async function openTrainingData(
  options: TrainingDataOptions,
  alphabet?: AlphabetName,
): Promise<TokenStore | undefined> {
  const { fasta, files, data } = options;
  const given = Object.entries({ fasta, files, data }).filter(([, value]) => value !== undefined);
  if (given.length > 1) {
    throw new UsageError(`${given.map(([name]) => `--${name}`).join(' and ')} exclude each other; give one of them`);
  }
  const ignored = fasta || files ? [] : givenDataOptions(options);
  if (ignored.length > 0) {
    throw new UsageError(
      data === undefined
        ? `${ignored.join(', ')}: about files to be read, and none are given; give --fasta or --files with it`
        : `--data ${data} was read and split by data build, which takes ${ignored.join(', ')}; leave it out here`,
    );
  }
  if (data !== undefined) {
    const store = await openStore(data);
    if (alphabet !== undefined && store.alphabet.name !== alphabet) {
      throw new UsageError(`--data ${data}: its alphabet is ${store.alphabet.name}, not ${alphabet}; give other data`);
    }
    return store;
  }
  if (fasta && alphabet === 'bytes') {
    throw new UsageError('--fasta: bytes are read from files as they are; give --files instead');
  }
  if (files && alphabet !== 'bytes') {
    throw new UsageError(`--files is for --alphabet bytes; give --fasta for ${alphabet ?? 'protein'} sequences`);
  }
  const sources = fasta ?? files;
  if (!sources) {
    return undefined;
  }
  const warnings = new Warnings({ strict: options.strict });
  const bar = byteProgress('reading', options.quiet);
  const { store } = await cacheStore(sources, {
    ...splitOptions(options, alphabet),
    warnings,
    onProgress: ({ bytes, totalBytes, sequences }) => bar.update(bytes, totalBytes, sequences),
  }).finally(() => bar.end());
  printWarnings(warnings);
  return store;
}
