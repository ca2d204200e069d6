import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, Option } from 'commander';
import { type AlphabetName, UNITS } from '../data/alphabet.js';
import { InputError } from '../data/errors.js';
import { DEFAULT_CUT } from '../data/reading.js';
import type { TokenStore } from '../data/store.js';
import { DeviceLostError } from '../engines/engine.js';
import type { Engine } from '../engines/index.js';
import { lockFolder } from '../formats/lock.js';
import { attentionKind, completeAttention } from '../model/attention/index.js';
import { checkedConfig, parseConfig } from '../model/checkpoints/index.js';
import { changeAlphabet, type ModelConfig, maxLength, newConfig } from '../model/config.js';
import { convertConfig } from '../model/convert.js';
import type { LanguageModel } from '../model/model.js';
import { PRESETS } from '../model/presets.js';
import type { Figures } from '../training/metrics.js';
import { type Budget, type Cadence, changeRecipe, DEFAULT_CADENCE, RECIPES, type Recipe } from '../training/recipe.js';
import type { Training, TrainingStatus } from '../training/run.js';
import {
  ATTENTION_OPTIONS,
  type AttentionOptions,
  addAttentionOptions,
  attentionFields,
  changeAttention,
  checkAttentionOptions,
} from './attentionOptions.js';
import { alphabetOption } from './data.js';
import { UsageError } from './errors.js';
import {
  addCommonOptions,
  addExamples,
  addPrecisionOption,
  type CommonOptions,
  givenFlags,
  number,
  type PrecisionOptions,
  wholeNumber,
} from './options.js';
import { createProgress, formatDuration } from './progress.js';
import { addTrainingDataOptions, openTrainingData, type TrainingDataOptions } from './trainingData.js';

interface PretrainOptions
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
  recompute?: boolean;
  preset: keyof typeof PRESETS;
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
const FIXED = [
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

/** Exit code of a run that a signal stopped, as shells give it for Ctrl-C. */
const INTERRUPTED = 130;

/** `protein-lm pretrain`: trains a model on FASTA files, bytes or a token store, in a run folder. */
export function pretrainCommand(): Command {
  const command = new Command('pretrain')
    .description('Train a language model: of proteins or nucleotides on FASTA files, of bytes on files of any kind.')
    .requiredOption('--out <run>', 'folder of the run: model, checkpoints, metrics');
  command.addOption(alphabetOption());
  addTrainingDataOptions(command);
  const choice = (flags: string, text: string, choices: readonly string[]) =>
    command.addOption(new Option(flags, text).choices(choices));
  command
    .option('--resume', 'go on from the last checkpoint of --out')
    .option('--alignment <file>', 'learn from a family: the sequences of an alignment, each as often as it weighs')
    .option('--query <id>', "the alignment's row that is the protein (default: the first)")
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
  command.action((options: PretrainOptions) => pretrain(options, command));
  return addExamples(
    command,
    'protein-lm pretrain --fasta proteins.fasta.gz --preset performer-tiny --minutes 2 --out runs/first',
    'protein-lm pretrain --data tokens/uniref50 --preset performer-12 --tokens-per-batch 65536 --out runs/p12',
    'protein-lm pretrain --data tokens/uniref50 --init esm2_t6_8M_UR50D --attention favor-softmax --out runs/esm',
    'protein-lm pretrain --init esm2_t6_8M_UR50D --alignment family.a3m --steps 200 --out runs/family',
    'protein-lm pretrain --alphabet nucleotide --fasta genome.fna.gz --preset performer-6 --out runs/genome',
    'protein-lm pretrain --alphabet bytes --files books/ --causal --length 8192 --preset performer-12 --out runs/books',
    'protein-lm pretrain --out runs/p12 --resume',
  );
}

async function pretrain(options: PretrainOptions, command: Command): Promise<void> {
  const { out, quiet } = options;
  if (options.resume) {
    const flags = givenFlags(command, FIXED);
    if (flags.length > 0) {
      throw new UsageError(`${flags.join(', ')}: a resumed run keeps what it was started with; leave it out`);
    }
  }
  // What is wrong with the configuration shows before the data is read.
  if (options.alignment !== undefined && (options.fasta ?? options.files ?? options.data) !== undefined) {
    throw new UsageError('--alignment excludes --fasta, --files and --data; give one of them');
  }
  if (options.query !== undefined && options.alignment === undefined) {
    throw new UsageError('--query is of an alignment: give --alignment FILE');
  }
  const named = options.fasta ?? options.files ?? options.alignment;
  const fromFiles = options.data === undefined && named !== undefined;
  const opened = fromFiles ? undefined : await openTrainingData(options, options.alphabet);
  const fresh = options.resume ? undefined : await newRun(options, options.alphabet ?? opened?.alphabet.name);
  const { startEngine } = await import('../engines/index.js');
  const { startTraining, resumeTraining, train } = await import('../training/run.js');
  const log = (line: string) => quiet || process.stderr.write(`${line}\n`);

  const release = await lockFolder(out);
  let store: TokenStore | undefined;
  let engine: Engine | undefined;
  try {
    store = opened ?? (await openFiles(options, fresh));
    if (!store && fresh) {
      const files = fresh.config.alphabet === 'bytes' ? '--files FILE...' : '--fasta FILE...';
      throw new UsageError(`no data: give ${files} or --data STORE`);
    }
    engine = await startEngine(options.device, { threads: options.threads, precision: options.precision });
    log(`engine: ${engine.device}, ${engine.description}`);
    let training: Training;
    if (fresh) {
      training = startTraining(fresh.config, fresh.recipe, store!, await initialModel(options, fresh.config));
    } else {
      training = await resumeTraining(out);
      const budget = budgetOf(options);
      if (budget) {
        training.state.recipe = { ...training.state.recipe, budget };
      }
      store ??= await openRunData(out, training);
    }
    const { unstable } = attentionKind(training.model.config.attention.kind);
    if (unstable) {
      process.stderr.write(`warning: ${unstable}\n`);
    }
    warnOfPieces(training, store!);
    log(describeTraining(training, store!));
    await runWithProgress(options, training, store!, train);
  } finally {
    store?.close();
    await engine?.stop();
    release();
  }
}

/** What `--fasta` or `--files` names, read as the run needs it: a fresh one, or the one of `--out`. */
async function openFiles(
  options: PretrainOptions,
  fresh: { config: ModelConfig; recipe: Recipe } | undefined,
): Promise<TokenStore | undefined> {
  if (!options.fasta && !options.files && options.alignment === undefined) {
    return undefined;
  }
  const { config, recipe } = fresh ?? (await readRun(options.out));
  const alphabet = config.alphabet ?? 'protein';
  // Rows of training are to be cut from longer pieces.
  const cut = alphabet === 'protein' ? undefined : Math.max(DEFAULT_CUT, 4 * recipe.length);
  if (options.alignment !== undefined && alphabet !== 'protein') {
    throw new UsageError(`--alignment is of proteins, and the model's alphabet is ${alphabet}`);
  }
  const fasta = options.alignment === undefined ? options.fasta : [await writeFamily(options.alignment, options)];
  return openTrainingData({ ...options, fasta, cut: options.cut ?? cut }, alphabet);
}

/** Writes the sequences of an alignment into the run's folder. @returns the file */
async function writeFamily(path: string, { out, query, quiet }: PretrainOptions): Promise<string> {
  const { familySequences } = await import('../alignment/family.js');
  const { writeFileAtomic } = await import('../formats/atomicFile.js');
  const { sequences, depth, effectiveDepth } = await familySequences(path, { query });
  const file = join(out, 'family.fasta');
  await writeFileAtomic(file, sequences.map(({ id, sequence }) => `>${id}\n${sequence}\n`).join(''));
  if (!quiet) {
    process.stderr.write(`family: ${count(depth)} rows of ${path}, Neff ${effectiveDepth.toFixed(1)}\n`);
  }
  return file;
}

/** The configuration and recipe of a run that goes on. */
async function readRun(out: string): Promise<{ config: ModelConfig; recipe: Recipe }> {
  const { latestCheckpoint, readState } = await import('../training/checkpoint.js');
  const { readModelConfig } = await import('../model/files.js');
  const checkpoint = latestCheckpoint(out);
  if (!checkpoint) {
    throw new InputError(`${out}: no checkpoint in it; start a new run without --resume`);
  }
  return { config: (await readModelConfig(checkpoint.folder)).config, recipe: readState(checkpoint).recipe };
}

/** Data that was cut for shorter rows has no longer context. */
function warnOfPieces({ state: { recipe } }: Training, { manifest, folder }: TokenStore): void {
  if (manifest.cut === undefined || manifest.cut >= recipe.length) {
    return;
  }
  process.stderr.write(
    `warning: the sequences of ${folder} were cut after ${count(manifest.cut)}, rows have ${count(recipe.length)} ` +
      `tokens; build the data with --cut ${4 * recipe.length}\n`,
  );
}

/**
 * The configuration and recipe of a new run.
 * @param alphabet as the options or the data say; else that of the model that the options name, or `protein`
 */
async function newRun(
  options: PretrainOptions,
  alphabet?: AlphabetName,
): Promise<{ config: ModelConfig; recipe: Recipe }> {
  const { preset, causal, positions, length } = options;
  const attention = attentionFields(options);
  let config: ModelConfig;
  let changes: Partial<Recipe> = {};
  if (options.init !== undefined) {
    config = await initialConfig(options, options.init);
    const { alphabet: own = 'protein' } = config;
    if (alphabet !== undefined && own !== alphabet) {
      throw new UsageError(
        `--init ${options.init}: its alphabet is ${own}, not ${alphabet}; give data of its alphabet`,
      );
    }
    changes = { length: Math.min(RECIPES[preset].length, maxLength(config)) };
  } else if (options.config === undefined) {
    config = newConfig({
      ...PRESETS[preset],
      length: length ?? RECIPES[preset].length,
      attention: { ...attention, causal: causal ?? false },
      alphabet,
      ...(positions && { positions }),
    });
  } else {
    ({ config, changes } = readConfigFile(options.config));
    if (alphabet !== undefined && alphabet !== (config.alphabet ?? 'protein')) {
      config = changeAlphabet(config, alphabet);
    }
    if (positions) {
      config.position_embedding_type = positions;
    }
    // Complete: a new model has the defaults of its kind, not those of converted weights.
    config = convertConfig(config, { attention: completeAttention(changeAttention(config.attention, options)) });
    if (causal) {
      config.attention.causal = true;
    }
  }
  const sizes = {
    num_hidden_layers: options.layers,
    hidden_size: options.hidden,
    num_attention_heads: options.heads,
    intermediate_size: options.feedForward,
    hidden_dropout_prob: options.dropout,
  };
  for (const [name, value] of Object.entries(sizes)) {
    if (value !== undefined) {
      Object.assign(config, { [name]: value });
    }
  }
  // Once more, because of what the options changed.
  config = checkedConfig(config, options.config ?? 'options');
  checkAttentionOptions(options, config.attention);
  // Long sequences are cut into pieces, of which rows are packed.
  const preferred: Partial<Recipe> = config.alphabet === undefined ? {} : { mode: 'packed' };
  const recipe = changeRecipe({ ...RECIPES[preset], ...preferred }, changes, options.config ?? 'options');
  const { mode, learningRate, warmup, schedule, tokensPerBatch, tokensPerPass, seed } = options;
  const budget = budgetOf(options);
  const flags = { length, mode, learningRate, warmup, schedule, tokensPerBatch, tokensPerPass, seed, budget };
  return { config, recipe: changeRecipe(recipe, flags, 'options') };
}

/** The model of `--init`, with the attention and length of `config`; undefined without. */
async function initialModel({ init, seed }: PretrainOptions, config: ModelConfig): Promise<LanguageModel | undefined> {
  if (init === undefined) {
    return undefined;
  }
  const { loadModel } = await import('../model/files.js');
  const { convertModel } = await import('../model/convert.js');
  const loaded = await loadModel(init);
  const { attention, hidden_dropout_prob: dropout } = config;
  const model = await convertModel(loaded, { attention, length: maxLength(config), dropout }, seed);
  loaded.dispose();
  return model;
}

/** Options that say what a model with weights already is. */
const SHAPE = ['config', 'layers', 'hidden', 'heads', 'feedForward', 'positions'] as const;

/** The configuration of the model that a run begins with, with the attention and length that the options give. */
async function initialConfig(options: PretrainOptions, init: string): Promise<ModelConfig> {
  const given = SHAPE.find((name) => options[name] !== undefined);
  if (given) {
    throw new UsageError(`--init ${init} has its own shape; leave out --${kebab(given)}`);
  }
  const { readModelConfig } = await import('../model/files.js');
  const { config } = await readModelConfig(init);
  const causal = options.causal ?? config.attention.causal;
  const attention = { ...changeAttention(config.attention, options), causal };
  return convertConfig(config, { attention, length: options.length });
}

function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** A config.json, whose `training` changes the recipe. */
function readConfigFile(path: string): { config: ModelConfig; changes: Partial<Recipe> } {
  let json: Record<string, unknown>;
  try {
    json = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new InputError(`${path}: ${code === 'ENOENT' ? 'no such file' : message}; give a model's config.json`);
  }
  const { training, ...model } = json;
  return { config: parseConfig(JSON.stringify(model), path), changes: (training ?? {}) as Partial<Recipe> };
}

function budgetOf({ steps, tokens, minutes }: Budget): Budget | undefined {
  return steps === undefined && tokens === undefined && minutes === undefined ? undefined : { steps, tokens, minutes };
}

/** The data that a run was started with. */
async function openRunData(run: string, { state }: Training): Promise<TokenStore> {
  const { openStore } = await import('../data/store.js');
  try {
    return await openStore(state.data.folder);
  } catch (error) {
    throw new InputError(
      `the data of ${run} cannot be opened (${(error as Error).message}); give it with --fasta, --files or --data`,
    );
  }
}

function describeTraining({ model, state }: Training, store: TokenStore): string {
  const parameters = [...model.trainable.values()].reduce((sum, parameter) => sum + parameter.size, 0);
  const { sequences, residues } = store.manifest.splits.train;
  return (
    `model: ${count(parameters)} parameters, step ${count(state.step)}; ` +
    `data: ${count(sequences)} sequences, ${count(residues)} ${UNITS[model.alphabet.name]}s to train on`
  );
}

type Train = typeof import('../training/run.js').train;

async function runWithProgress(
  options: PretrainOptions,
  training: Training,
  store: TokenStore,
  train: Train,
): Promise<void> {
  const { out, quiet, logEvery, validateEvery, validationSequences, checkpointEvery, keep } = options;
  const { recipe, step: firstStep, seconds: firstSeconds } = training.state;
  const unit = UNITS[training.model.alphabet.name];
  const progress = createProgress({
    label: 'training',
    total: recipe.budget.steps,
    unit: 'steps',
    start: firstStep,
    quiet,
  });
  const controller = new AbortController();
  const stop = () => {
    if (controller.signal.aborted) {
      process.exit(INTERRUPTED);
    }
    controller.abort();
    progress.log('stopping after this step; once more stops at once');
  };
  process.on('SIGINT', stop).on('SIGTERM', stop);
  let firstFraction: number | undefined;
  const onStep = (status: TrainingStatus) => {
    firstFraction ??= status.fraction;
    const share = status.fraction - firstFraction;
    const secondsLeft = share > 0 ? ((status.seconds - firstSeconds) * (1 - status.fraction)) / share : undefined;
    const detail = `loss ${status.loss.toFixed(3)}  ${figures(status)}  ${count(Math.round(status.tokensPerSecond))} tokens/s`;
    progress.update(status.step, detail, { fraction: status.fraction, secondsLeft });
  };
  try {
    const result = await train(out, training, store, {
      cadence: { logEvery, validateEvery, validationSequences, checkpointEvery, keep },
      recompute: options.recompute,
      signal: controller.signal,
      onStep,
      onValidation: (step, model, baseline) =>
        progress.log(`step ${step}: validation ${compared(model, baseline, unit)}`),
    });
    progress.end();
    // The model is saved: that its curves cannot be drawn is no failure of the run.
    await writeRunReport(out).catch((error: Error) =>
      process.stderr.write(`warning: no report.html: ${error.message.split('\n')[0]}\n`),
    );
    if (!result.finished) {
      process.stderr.write(`stopped after step ${result.step}; go on with: ${resumeCommand(out)}\n`);
      process.exitCode = INTERRUPTED;
    } else if (result.step === firstStep) {
      const done = `${count(result.step)} steps are done, as asked`;
      process.stderr.write(`${out}: ${done}; give more --steps, --tokens or --minutes to go on\n`);
    } else if (!quiet) {
      const work = `${count(result.step)} steps, ${count(result.tokens)} tokens`;
      const outcome = result.validation
        ? `; validation ${compared(result.validation.model, result.validation.baseline, unit)}`
        : '';
      process.stderr.write(`${out}: ${work} in ${formatDuration(result.seconds)}${outcome}\n`);
    }
  } catch (error) {
    if (!(error instanceof DeviceLostError)) {
      throw error;
    }
    const { latestCheckpoint } = await import('../training/checkpoint.js');
    const checkpoint = latestCheckpoint(out);
    if (!checkpoint) {
      throw error;
    }
    throw new InputError(`${error.what}; step ${checkpoint.step} is saved; go on with: ${resumeCommand(out)}`);
  } finally {
    progress.end();
    process.off('SIGINT', stop).off('SIGTERM', stop);
  }
}

function resumeCommand(run: string): string {
  return `protein-lm pretrain --out ${shellWord(run)} --resume`;
}

/** The curves of the run so far, as `protein-lm report` draws them. */
async function writeRunReport(run: string): Promise<void> {
  const { MetricsLog } = await import('../training/metrics.js');
  if (new MetricsLog(run).read().length === 0) {
    return;
  }
  const { runReport } = await import('./report.js');
  const { writeReport } = await import('../report/write.js');
  await writeReport(await runReport(run), { html: join(run, 'report.html') });
}

/** 1234567 -> `1,234,567`. */
function count(value: number): string {
  return value.toLocaleString('en-US');
}

/** A path as one word of a shell's command line. */
function shellWord(text: string): string {
  return /^[\w./@%+=:,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function figures({ accuracy, perplexity }: Figures): string {
  return `perplexity ${perplexity.toFixed(2)}  accuracy ${(100 * accuracy).toFixed(1)} %`;
}

function compared(model: Figures, baseline: Figures, unit: string): string {
  return `${figures(model)} (${unit} frequencies: ${figures(baseline)})`;
}
