import { type Command, Option } from 'commander';
import { ALPHABET_NAMES, type AlphabetName } from '../data/alphabet.js';
import type { SplitOptions } from '../data/build.js';
import type { InvalidLetters } from '../data/letters.js';
import { UsageError } from './errors.js';
import { number, wholeNumber } from './options.js';

/** `--lines`. */
export const LINES = ['--lines', 'bytes: each line is a sequence, instead of each file'] as const;

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
