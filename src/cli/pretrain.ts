import { join } from 'node:path';
import { Command } from 'commander';
import { type AlphabetName, UNITS } from '../data/alphabet.js';
import { InputError } from '../data/errors.js';
import { DEFAULT_CUT } from '../data/reading.js';
import type { TokenStore } from '../data/store.js';
import type { Engine } from '../engines/index.js';
import { lockFolder } from '../formats/lock.js';
import { attentionKind } from '../model/attention/index.js';
import type { NewRun } from '../training/newRun.js';
import type { Budget } from '../training/recipe.js';
import type { Training } from '../training/run.js';
import { attentionFields, checkAttentionOptions } from './attentionOptions.js';
import { INTERRUPTED, UsageError } from './errors.js';
import { addExamples, givenFlags } from './options.js';
import { addPretrainOptions, FIXED, type PretrainOptions, SHAPE } from './pretrainOptions.js';
import { count } from './progress.js';
import { openTrainingData } from './trainingData.js';
import { runWithProgress } from './trainingProgress.js';

/** `protein-lm pretrain`: trains a model on FASTA files, bytes or a token store, in a run folder. */
export function pretrainCommand(): Command {
  const command = new Command('pretrain').description(
    'Train a language model: of proteins or nucleotides on FASTA files, of bytes on files of any kind.',
  );
  addPretrainOptions(command);
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
  const fresh = options.resume ? undefined : await freshRun(options, command, opened?.alphabet.name);
  const { startEngine } = await import('../engines/index.js');
  const { startTraining, resumeTraining, train } = await import('../training/run.js');
  const log = (line: string) => quiet || process.stderr.write(`${line}\n`);

  const release = await lockFolder(out);
  // Until steps are taken there is nothing to save.
  const leave = () => {
    release();
    process.exit(INTERRUPTED);
  };
  process.on('SIGINT', leave).on('SIGTERM', leave).on('SIGHUP', leave);
  const stay = () => process.off('SIGINT', leave).off('SIGTERM', leave).off('SIGHUP', leave);
  let store: TokenStore | undefined;
  let engine: Engine | undefined;
  try {
    store = opened ?? (await openFiles(options, fresh));
    if (!store && fresh) {
      const files = fresh.config.alphabet === 'bytes' ? '--files FILE...' : '--fasta FILE...';
      throw new UsageError(`no data: give ${files} or --data STORE`);
    }
    if (options.verify) {
      await store?.verify();
    }
    engine = await startEngine(options.device, { threads: options.threads, precision: options.precision });
    log(`engine: ${engine.device}, ${engine.description}`);
    let training: Training;
    if (fresh) {
      const { initialModel } = await import('../training/newRun.js');
      const { init, seed } = options;
      const initial = init === undefined ? undefined : await initialModel(init, fresh.config, seed);
      training = startTraining(fresh.config, fresh.recipe, store!, initial);
    } else {
      training = await resumeTraining(out, (damage) => process.stderr.write(`warning: ${damage}\n`));
      const budget = budgetOf(options);
      if (budget) {
        training.state.recipe = { ...training.state.recipe, budget };
      }
      if (!store) {
        store = await openRunData(out, training);
        await (options.verify ? store.verify() : undefined);
      }
    }
    const { unstable } = attentionKind(training.model.config.attention.kind);
    if (unstable) {
      process.stderr.write(`warning: ${unstable}\n`);
    }
    warnOfPieces(training, store!);
    log(describeTraining(training, store!));
    stay();
    await runWithProgress(options, training, store!, train);
  } finally {
    stay();
    store?.close();
    await engine?.stop();
    release();
  }
}

/** What a new run is made of, checked. */
async function freshRun(options: PretrainOptions, command: Command, alphabet?: AlphabetName): Promise<NewRun> {
  const { init, causal } = options;
  const shape = init === undefined ? [] : givenFlags(command, SHAPE);
  if (shape.length > 0) {
    throw new UsageError(`--init ${init} has its own shape; leave out ${shape.join(', ')}`);
  }
  const { newRun } = await import('../training/newRun.js');
  const attention = { ...attentionFields(options), ...(causal && { causal }) };
  const run = await newRun({ alphabet, ...options, attention, budget: budgetOf(options) });
  checkAttentionOptions(options, run.config.attention);
  return run;
}

/** What `--fasta` or `--files` names, read as the run needs it: a fresh one, or the one of `--out`. */
async function openFiles(options: PretrainOptions, fresh: NewRun | undefined): Promise<TokenStore | undefined> {
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
async function readRun(out: string): Promise<NewRun> {
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
