import { type Command, Option } from 'commander';
import type { Method } from '../scoring/heads/assayHead.js';
import type { Classification } from '../scoring/heads/classifier.js';
import type { Split } from '../scoring/heads/folds.js';
import { UsageError } from './errors.js';
import { addCommonOptions, type CommonOptions, givenFlags, number, wholeNumber } from './options.js';
import { addOutputOptions, type OutputOptions } from './output.js';
import {
  addSchemeOptions,
  addVariantTableOptions,
  modelOption,
  SCORE_SETTINGS,
  type SchemeOptions,
  type VariantTableOptions,
} from './scoringOptions.js';

export interface FinetuneOptions extends CommonOptions, OutputOptions, SchemeOptions, VariantTableOptions {
  model?: string[];
  alignment?: string;
  query?: string;
  structure?: string;
  chain?: string;
  alignments?: string;
  structures?: string;
  assay?: string;
  assays?: string;
  reference?: string[];
  wildType?: string;
  method: Method[];
  split?: Split[];
  folds: number;
  trainSize?: number[];
  repeats: number;
  save?: string;
  skipMissing?: boolean;
  alpha?: number;
  loss: 'regression' | 'ranking';
  layers: number | 'all';
  task: 'fitness' | Classification;
  epochs: number;
  patience: number;
  learningRate: number;
  batchSize: number;
}

const METHOD_NAMES = [
  'one-hot',
  'augmented',
  'augmented-embedding',
  'mean-embedding',
  'site-embedding',
  'gp',
  'fine-tune',
] as const;

/** Methods that need no language model. */
const WITHOUT_MODEL: readonly Method[] = ['one-hot', 'gp'];

/** What only a Gaussian process looks at. */
const OF_PROCESSES = [
  'alignment',
  'query',
  'structure',
  'chain',
  'alignments',
  'structures',
] as const satisfies (keyof FinetuneOptions)[];

/** Options of assays, which classes have no use for. */
const OF_ASSAYS = [
  'wildType',
  'method',
  'trainSize',
  'repeats',
  'skipMissing',
  'alpha',
  'loss',
  'offset',
  'skipMismatches',
  'skipUnscorable',
  'mutantColumn',
  'scoreColumn',
  ...OF_PROCESSES,
  ...SCORE_SETTINGS,
] as const satisfies (keyof FinetuneOptions)[];

/** Adds the options of finetune. */
export function addFinetuneOptions(command: Command): void {
  command
    .option('--assay <file>', "measured variants in ProteinGym's columns (.csv, .tsv, .json, .arrow, also .gz)")
    .option('--assays <folder>', 'cross-validate on every assay of a folder, as benchmark finds them')
    .option('--reference <file...>', 'with --assays: tables of wild types by DMS_id (default: those in the folder)')
    .option('--wild-type <fasta>', "the assay's wild type (default: from its columns mutant and mutated_sequence)")
    .addOption(modelOption(false))
    .option('--alignment <file>', "gp: an alignment of the protein's family (a3m, a2m, FASTA, Stockholm, CLUSTAL)")
    .option('--query <id>', "the alignment's row that is the protein (default: the first)")
    .option('--structure <file>', 'gp: a structure of the protein (PDB, mmCIF)')
    .option('--chain <id>', "the structure's chain (default: the first)")
    .option('--alignments <folder>', 'with --assays: alignments, each named as its assay or the beginning of it')
    .option('--structures <folder>', 'with --assays: structures, named likewise')
    .addOption(
      new Option('--task <name>', 'what to learn: an assay, or classes of whole sequences or of residues')
        .choices(['fitness', 'sequences', 'residues'])
        .default('fitness'),
    )
    .addOption(
      new Option('--method <name...>', 'heads; the first is the one that is saved')
        .choices(METHOD_NAMES)
        .default(['augmented']),
    )
    .addOption(new Option('--split <name...>', 'cross-validation splits').choices(['random', 'contiguous', 'modulo']))
    .option('--folds <n>', 'folds of a split', wholeNumber(2, 100), 5)
    .option('--train-size <n...>', 'low-N: train on so many random variants, test on a fifth held out', sizes)
    .option('--repeats <n>', 'low-N: how often', wholeNumber(1, 1000), 5)
    .option('--save <folder>', 'train on the whole assay and save the head')
    .option('--skip-missing', 'leave out and count rows without a measured value')
    .option('--alpha <value>', 'ridge penalty (default: chosen from the training variants)', number(0))
    .addOption(
      new Option('--loss <name>', 'fine-tune: what to learn').choices(['regression', 'ranking']).default('regression'),
    )
    .option('--layers <n|all>', 'fine-tune: how many of the last layers to train', layers, 1)
    .option('--epochs <n>', 'fine-tune: passes over the assay at most', wholeNumber(1), 30)
    .option(
      '--patience <n>',
      'fine-tune: stop after so many passes without a better held-out result',
      wholeNumber(1),
      5,
    )
    .option('--learning-rate <value>', "fine-tune: of the model's layers; the head's is ten times it", number(0), 1e-4)
    .option('--batch-size <n>', 'fine-tune: variants of a step', wholeNumber(2), 16);
  addSchemeOptions(command, 'single-pass');
  addVariantTableOptions(command, true);
  addOutputOptions(command);
  addCommonOptions(command, 'seed', 'device', 'threads');
}

function layers(text: string): number | 'all' {
  return text === 'all' ? text : wholeNumber(0)(text);
}

function sizes(text: string, before: number[] | undefined): number[] {
  return [...(before ?? []), wholeNumber(3)(text)];
}

/** @throws UsageError for options that exclude each other, or that the task would not look at */
export function checkUsage(options: FinetuneOptions, command: Command): void {
  if ((options.assay === undefined) === (options.assays === undefined)) {
    throw new UsageError('give either --assay FILE or --assays FOLDER');
  }
  if (options.assays !== undefined && options.save !== undefined) {
    throw new UsageError('--save is for the head of one --assay');
  }
  if (options.assays !== undefined && options.wildType !== undefined) {
    throw new UsageError(
      '--wild-type is that of one --assay: with --assays give --reference, or FASTA files beside them',
    );
  }
  if (options.assays === undefined && options.reference !== undefined) {
    throw new UsageError('--reference is of --assays: give --wild-type with --assay');
  }
  const { task, split = [] } = options;
  if (task === 'fitness') {
    checkEvidence(options, command);
    return;
  }
  if (options.model === undefined) {
    throw new UsageError(`give --model FOLDER: --task ${task} learns through one`);
  }
  const given = givenFlags(command, OF_ASSAYS);
  if (given.length > 0) {
    throw new UsageError(`${given.join(', ')} is of --task fitness: leave it out with --task ${task}`);
  }
  const other = split.find((name) => name !== 'random');
  if (other !== undefined) {
    throw new UsageError(`--split ${other} is of --task fitness: --task ${task} has random folds`);
  }
}

function checkEvidence(options: FinetuneOptions, command: Command): void {
  const { assays, method, model } = options;
  const needing = method.find((name) => !WITHOUT_MODEL.includes(name));
  if (model === undefined && needing !== undefined) {
    throw new UsageError(
      `give --model FOLDER: --method ${needing} needs one; ${WITHOUT_MODEL.join(' and ')} need none`,
    );
  }
  const given = givenFlags(command, OF_PROCESSES);
  if (given.length > 0 && !method.includes('gp')) {
    throw new UsageError(`${given.join(', ')} is of --method gp: leave it out`);
  }
  const other = givenFlags(
    command,
    assays === undefined ? ['alignments', 'structures'] : ['alignment', 'structure', 'query', 'chain'],
  );
  if (other.length > 0) {
    throw new UsageError(
      assays === undefined
        ? `${other.join(', ')} is of --assays: give --alignment and --structure with --assay`
        : `${other.join(', ')} is of one --assay: give --alignments and --structures with --assays`,
    );
  }
  const idle = [
    ...(options.alignment === undefined ? givenFlags(command, ['query']) : []),
    ...(options.structure === undefined ? givenFlags(command, ['chain']) : []),
  ];
  if (idle.length > 0) {
    throw new UsageError(`${idle.join(', ')} would not be looked at: give the file that it is of`);
  }
}
