import { type Command, InvalidArgumentError, Option } from 'commander';
import { ACQUISITIONS, type Acquisition } from '../scoring/suggest/acquisition.js';
import { UsageError } from './errors.js';
import {
  ALL_SCHEMES,
  addEvidenceOptions,
  checkEvidence,
  EVIDENCE_SETTINGS,
  type EvidenceOptions,
} from './evidenceOptions.js';
import { addCommonOptions, type CommonOptions, givenFlags, number, wholeNumber } from './options.js';
import { addOutputOptions, type OutputOptions } from './output.js';
import {
  addSchemeOptions,
  addVariantTableOptions,
  modelOption,
  SCORE_SETTINGS,
  type VariantTableOptions,
} from './scoringOptions.js';

/** What `protein-lm suggest` takes. */
export interface SuggestCommandOptions extends CommonOptions, OutputOptions, EvidenceOptions, VariantTableOptions {
  head?: string;
  model?: string[];
  alignment?: string;
  structure?: string;
  measured?: string;
  budget: number;
  mutations: number;
  positions?: number[];
  fixed?: number[];
  letters?: string;
  seen?: boolean;
  acquisition?: Acquisition;
  kappa: number;
  best?: number;
  diversity: number;
  search: 'beam' | 'evolution';
  width: number;
  enumerate: number;
}

/** Adds the options of `suggest`. */
export function addSuggestOptions(command: Command): void {
  command
    .option('--head <folder>', 'score by a head; --method gp knows how sure it is')
    .addOption(modelOption(false))
    .option('--alignment <file>', "score by an alignment of the family; with --seen also the letters' choice")
    .option('--structure <file>', 'multiply zero-shot scores by 1 - relative solvent accessibility')
    .option('--measured <file>', 'variants that were measured, and are not to be repeated (a table or FASTA)')
    .option('--budget <n>', 'variants to suggest', wholeNumber(1, 1e5), 96)
    .option('--mutations <k>', 'most mutations of a variant', wholeNumber(1, 100), 1)
    .option('--positions <list...>', 'positions that may change: 24 30-35 (default: all)', ranges)
    .option('--fixed <list...>', 'positions that stay as they are', ranges)
    .option('--letters <letters>', 'letters that may come in (default: the 20 amino acids)', lettersOf)
    .option('--seen', 'only letters that the alignment has at the position')
    .addOption(
      new Option(
        '--acquisition <name>',
        'mean, expected improvement, upper confidence bound or Thompson draws (default: ei where a head knows deviations, else mean)',
      ).choices(ACQUISITIONS),
    )
    .option('--kappa <value>', 'ucb: standard deviations above the mean', number(0), 2)
    .option('--best <value>', 'ei: the best value so far (default: of what the head was trained on)', number())
    .option('--diversity <value>', 'what sharing mutations with an earlier suggestion costs', number(0), 0)
    .addOption(
      new Option('--search <how>', 'how to search more variants than can be enumerated')
        .choices(['beam', 'evolution'])
        .default('beam'),
    )
    .option('--width <n>', 'variants that the search keeps from round to round', wholeNumber(1, 1e5), 200)
    .option('--enumerate <n>', 'score all variants where there are no more', wholeNumber(1, 1e7), 20_000);
  addSchemeOptions(command, 'masked', ALL_SCHEMES);
  addEvidenceOptions(command);
  addVariantTableOptions(command, false);
  addOutputOptions(command);
  addCommonOptions(command, 'seed', 'device', 'threads');
}

function ranges(text: string, before: number[] | undefined): number[] {
  const match = /^(\d+)(?:-(\d+))?$/.exec(text);
  if (!match) {
    throw new InvalidArgumentError('Positions are numbers or ranges, such as 24 or 30-35.');
  }
  const first = Number(match[1]);
  const last = Number(match[2] ?? first);
  if (last < first || last - first > 1e6) {
    throw new InvalidArgumentError('A range goes from its lower to its higher position.');
  }
  return [...(before ?? []), ...Array.from({ length: last - first + 1 }, (_, i) => first + i)];
}

function lettersOf(text: string): string {
  const letters = text.toUpperCase();
  if (!/^[ACDEFGHIKLMNPQRSTVWY]+$/.test(letters)) {
    throw new InvalidArgumentError('The 20 amino acids are ACDEFGHIKLMNPQRSTVWY.');
  }
  return letters;
}

/** @throws UsageError for options that exclude each other, or that would not be looked at */
export function checkSuggestUsage(options: SuggestCommandOptions, command: Command): void {
  const { head, model, alignment, structure, seen, acquisition } = options;
  if (head === undefined && model === undefined && alignment === undefined) {
    throw new UsageError('give --head FOLDER, --model FOLDER or --alignment FILE: what to score variants by');
  }
  if (seen && alignment === undefined) {
    throw new UsageError('--seen takes the letters of an alignment: give --alignment FILE');
  }
  if (head !== undefined) {
    const ofScores = [...SCORE_SETTINGS, 'structure', ...EVIDENCE_SETTINGS.filter((name) => name !== 'query')];
    const idle = [...givenFlags(command, ofScores), ...(seen ? [] : givenFlags(command, ['alignment', 'query']))];
    if (idle.length > 0) {
      throw new UsageError(`${idle.join(', ')} is of zero-shot scores, and a head keeps finetune's: leave it out`);
    }
    return;
  }
  checkEvidence(options, command, {
    model: model !== undefined,
    alignment: alignment !== undefined,
    structure: structure !== undefined,
  });
  if (acquisition !== undefined && acquisition !== 'mean') {
    throw new UsageError(`--acquisition ${acquisition} needs deviations: give --head FOLDER of --method gp`);
  }
}
