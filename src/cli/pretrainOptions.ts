import { type Command, Option } from 'commander';
import type { AlphabetName } from '../data/alphabet.js';
import type { ModelConfig } from '../model/config.js';
import { PRESETS } from '../model/presets.js';
import { type Budget, type Cadence, DEFAULT_CADENCE, type Preset, type Recipe } from '../training/recipe.js';
import { ATTENTION_OPTIONS, type AttentionOptions, addAttentionOptions } from './attentionOptions.js';
import { alphabetOption } from './dataOptions.js';
import {
  addCommonOptions,
  addPrecisionOption,
  type CommonOptions,
  number,
  type PrecisionOptions,
  wholeNumber,
} from './options.js';
import { addTrainingDataOptions, type TrainingDataOptions } from './trainingData.js';

export interface PretrainOptions
  extends CommonOptions,
    PrecisionOptions,
    TrainingDataOptions,
    AttentionOptions,
    Budget,
    Partial<Cadence> {
  out: string;
  alphabet?: AlphabetName;
  resume?: boolean;
  init?: string;
  alignment?: string;
  query?: string;
  verify: boolean;
  recompute?: boolean;
  preset: Preset;
  config?: string;
  layers?: number;
  hidden?: number;
  heads?: number;
  feedForward?: number;
  causal?: boolean;
  positions?: ModelConfig['position_embedding_type'];
  dropout?: number;
  length?: number;
  mode?: Recipe['mode'];
  learningRate?: number;
  warmup?: number;
  schedule?: Recipe['schedule'];
  tokensPerBatch?: number;
  tokensPerPass?: number;
}

/** Options that decide the weights: a run that goes on keeps those it was started with. */
export const FIXED = [
  'alphabet',
  'init',
  'preset',
  'config',
  'layers',
  'hidden',
  'heads',
  'feedForward',
  ...ATTENTION_OPTIONS,
  'causal',
  'positions',
  'dropout',
  'length',
  'mode',
  'learningRate',
  'warmup',
  'schedule',
  'tokensPerBatch',
  'tokensPerPass',
  'seed',
] as const;

/** Options that say what a model with weights already is. */
export const SHAPE = ['config', 'layers', 'hidden', 'heads', 'feedForward', 'positions'] as const;

/** Adds the options of pretrain. */
export function addPretrainOptions(command: Command): void {
  command.requiredOption('--out <run>', 'folder of the run: model, checkpoints, metrics');
  command.addOption(alphabetOption());
  addTrainingDataOptions(command);
  const choice = (flags: string, text: string, choices: readonly string[]) =>
    command.addOption(new Option(flags, text).choices(choices));
  command
    .option('--resume', 'go on from the last checkpoint of --out')
    .option('--alignment <file>', 'learn from a family: the sequences of an alignment, each as often as it weighs')
    .option('--query <id>', "the alignment's row that is the protein (default: the first)")
    .option('--no-verify', 'do not compare the data with its checksums first')
    .option('--init <model>', "begin with a model's weights, ours or a Hugging Face ESM's, instead of random ones");
  command.addOption(
    new Option('--preset <name>', 'model and recipe').choices(Object.keys(PRESETS)).default('performer-36'),
  );
  command
    .option('--config <file>', "a model's config.json instead of the preset's sizes; its `training` changes the recipe")
    .option('--layers <n>', 'layers', wholeNumber(1))
    .option('--hidden <n>', 'width of the hidden states', wholeNumber(1))
    .option('--heads <n>', 'attention heads', wholeNumber(1))
    .option('--feed-forward <n>', 'width of the feed-forward layer', wholeNumber(1));
  addAttentionOptions(command, 'kind of attention (default: favor-relu)');
  choice('--positions <kind>', 'position embeddings (default: absolute)', ['absolute', 'rotary']);
  command
    .option('--causal', 'predict the next residue instead of masked ones')
    .option('--dropout <share>', 'dropout in training', number(0, 0.99))
    .option('--length <n>', 'tokens of a row, <cls> and <eos> included', wholeNumber(3));
  choice('--mode <mode>', 'one cropped sequence a row (the default of proteins), or rows packed with sequences', [
    'single',
    'packed',
  ]);
  command
    .option('--steps <n>', 'train for so many steps', wholeNumber(1))
    .option('--tokens <n>', 'or so many tokens', wholeNumber(1))
    .option('--minutes <n>', 'or so many minutes', number(0))
    .option('--tokens-per-batch <n>', 'tokens of a step', wholeNumber(3))
    .option('--tokens-per-pass <n>', 'tokens through the model at once; less takes less memory', wholeNumber(3))
    .option('--recompute', 'keep less for the gradients and compute it again: less memory, a third more time')
    .option('--learning-rate <x>', 'learning rate', number(0, 10))
    .option('--warmup <steps>', 'steps of linear warm-up', wholeNumber(0));
  choice('--schedule <name>', 'learning rate after the warm-up', ['constant', 'cosine']);
  command
    .option('--log-every <steps>', 'steps between lines of metrics.jsonl', wholeNumber(1), DEFAULT_CADENCE.logEvery)
    .option('--validate-every <steps>', 'steps between validations', wholeNumber(1), DEFAULT_CADENCE.validateEvery)
    .option(
      '--validation-sequences <n>',
      'sequences of a validation',
      wholeNumber(1),
      DEFAULT_CADENCE.validationSequences,
    )
    .option(
      '--checkpoint-every <steps>',
      'steps between checkpoints, 15 minutes at most',
      wholeNumber(1),
      DEFAULT_CADENCE.checkpointEvery,
    )
    .option('--keep <n>', 'checkpoints kept, beside the best', wholeNumber(1), DEFAULT_CADENCE.keep);
  addPrecisionOption(command);
  addCommonOptions(command, 'seed', 'device', 'threads');
}
