import type { Command } from 'commander';
import { cacheStore } from '../data/cache.js';
import { openStore, type TokenStore } from '../data/store.js';
import { Warnings } from '../data/warnings.js';
import { addDataOptions, byteProgress, type DataOptions, printWarnings, splitOptions } from './data.js';
import { UsageError } from './errors.js';

/** Where a command's sequences come from. */
export interface TrainingDataOptions extends DataOptions {
  fasta?: string[];
  data?: string;
  quiet?: boolean;
}

/** Adds `--data` and `--fasta`, and what says how FASTA is read and split. */
export function addTrainingDataOptions(command: Command): Command {
  command
    .option('--fasta <file...>', 'FASTA files, plain or gzip; - for standard input')
    .option('--data <folder>', 'what `protein-lm data build` wrote, instead of --fasta');
  return addDataOptions(command);
}

/**
 * Opens what `--data` or `--fasta` names, undefined where neither is given. FASTA is read once: its tokens are kept
 * in the cache.
 * @throws UsageError where both are given
 */
export async function openTrainingData(options: TrainingDataOptions): Promise<TokenStore | undefined> {
  const { fasta, data } = options;
  if (fasta && data !== undefined) throw new UsageError('--fasta and --data exclude each other; give one of them');
  if (data !== undefined) return openStore(data);
  if (!fasta) return undefined;
  const warnings = new Warnings({ strict: options.strict });
  const bar = byteProgress('reading', options.quiet);
  const { store } = await cacheStore(fasta, {
    ...splitOptions(options),
    warnings,
    onProgress: ({ bytes, totalBytes, sequences }) => bar.update(bytes, totalBytes, sequences),
  }).finally(() => bar.end());
  printWarnings(warnings);
  return store;
}
