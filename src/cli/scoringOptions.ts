import { type Command, Option } from 'commander';
import { LIKELIHOODS, type Likelihood, SCHEMES, type Scheme, type ScoreOptions } from '../scoring/schemes.js';
import type { ColumnNames } from '../scoring/tables.js';
import { WINDOW_MODES, type WindowMode } from '../scoring/windows.js';
import { wholeNumber } from './options.js';

/** How variants are scored: shared by the commands that do. */
export interface SchemeOptions {
  scheme?: Scheme;
  maskTogether?: boolean;
  indels?: Likelihood;
  perResidue?: boolean;
  window?: WindowMode;
  windowSize?: number;
  batchTokens?: number;
}

/** Those of them that scores depend on. */
export const SCORE_SETTINGS = [
  'scheme',
  'maskTogether',
  'indels',
  'perResidue',
  'window',
  'windowSize',
] as const satisfies (keyof SchemeOptions)[];

/** How a table of variants is read. */
export interface VariantTableOptions {
  offset?: number;
  skipMismatches?: boolean;
  skipUnscorable?: boolean;
  mutantColumn?: string;
  sequenceColumn?: string;
  scoreColumn?: string;
  labelColumn?: string;
  idColumn?: string;
}

/** `--model`, which may come several times: an ensemble. */
export function modelOption(mandatory = true): Option {
  return new Option('--model <folder>', 'run or model folder, ours or a Hugging Face ESM; give several to average them')
    .argParser((folder: string, before: string[] | undefined) => [...(before ?? []), folder])
    .makeOptionMandatory(mandatory);
}

/** Adds the options of zero-shot schemes, those of models where no others are named. */
export function addSchemeOptions(
  command: Command,
  indels: Likelihood = 'masked',
  schemes: readonly string[] = SCHEMES,
): Command {
  const usual = schemes === SCHEMES ? 'masked-marginals' : "masked-marginals, an alignment's log-odds";
  return command
    .addOption(new Option('--scheme <name>', `zero-shot scheme (default: ${usual})`).choices(schemes))
    .option('--mask-together', "masked-marginals: mask all of a variant's positions together (Meier et al. 2021)")
    .addOption(
      new Option('--indels <how>', 'pseudo-log-likelihood of insertions and deletions')
        .choices(LIKELIHOODS)
        .default(indels),
    )
    .option(
      '--per-residue',
      'divide likelihoods by the length of their sequence (default for insertions and deletions)',
    )
    .option('--no-per-residue', 'insertions and deletions by sums, of which the length decides')
    .addOption(
      new Option(
        '--window <mode>',
        'for sequences longer than the model takes (default: optimal where tokens are masked, else overlapping)',
      ).choices(WINDOW_MODES),
    )
    .option('--window-size <tokens>', "tokens of a window (default: the model's positions)", wholeNumber(8))
    .option('--batch-tokens <n>', 'tokens that go through the model at once', wholeNumber(1));
}

/** What the schemes take, from the command line's options. */
export function scoreOptions(options: SchemeOptions): ScoreOptions {
  return {
    scheme: options.scheme,
    maskTogether: options.maskTogether,
    indels: options.indels,
    perResidue: options.perResidue,
    window: { mode: options.window, size: options.windowSize },
    tokensPerBatch: options.batchTokens,
  };
}

/** Adds the options of tables of variants; `measured` also those of what was measured. */
export function addVariantTableOptions(command: Command, measured: boolean): Command {
  command
    .option('--offset <n>', "number of the sequence's first residue in the variants (default: 1)", wholeNumber(-1e9))
    .option('--skip-mismatches', 'leave out and count rows whose wild-type residue does not match')
    .option(
      '--skip-unscorable',
      'leave out and count by reason rows with nothing to score: frameshifts, p.?, changes of DNA, no variant, mismatches',
    )
    .option('--mutant-column <name>', 'column of variants such as A24G:K30R (default: mutant)')
    .option('--sequence-column <name>', 'column of whole mutated sequences (default: mutated_sequence)');
  if (measured) {
    command
      .option('--score-column <name>', 'column of measured values, higher is fitter (default: DMS_score)')
      .option('--label-column <name>', 'column of measured values as 0 or 1 (default: DMS_score_bin)');
  } else {
    command.option('--id-column <name>', 'column that names the sequence of a row (default: sequence_id)');
  }
  return command;
}

/** The columns' names, from the command line's options. */
export function columnNames(options: VariantTableOptions): ColumnNames {
  return {
    mutant: options.mutantColumn,
    mutatedSequence: options.sequenceColumn,
    score: options.scoreColumn,
    label: options.labelColumn,
    sequenceId: options.idColumn,
  };
}
