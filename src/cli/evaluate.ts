import { basename, resolve } from 'node:path';
import { from } from 'arquero';
import { Command, Option } from 'commander';
import { UNITS } from '../data/alphabet.js';
import { InputError } from '../data/errors.js';
import type { SequenceSource } from '../data/sequences.js';
import { SPLITS, type SplitName, type TokenStore } from '../data/store.js';
import { maxLength } from '../model/config.js';
import { DEFAULT_LENGTH } from '../model/presets.js';
import type { TrainingState } from '../training/checkpoint.js';
import type { Tally } from '../training/metrics.js';
import { UsageError } from './errors.js';
import { addCommonOptions, addExamples, type CommonOptions, wholeNumber } from './options.js';
import { addOutputOptions, type OutputOptions, tableOutput } from './output.js';
import { createProgress } from './progress.js';
import { addTrainingDataOptions, openTrainingData, type TrainingDataOptions } from './trainingData.js';

interface EvaluateOptions extends CommonOptions, OutputOptions, TrainingDataOptions {
  model: string;
  split?: (SplitName | 'all')[];
  length?: number;
  sequences?: number;
}

const TOKENS_PER_PASS = 8192;

/** `protein-lm evaluate`: accuracy and perplexity of a model, beside those of the residue frequencies. */
export function evaluateCommand(): Command {
  const command = new Command('evaluate')
    .description(
      'Accuracy and perplexity at masked positions, or of the next token, beside those of the frequencies of the ' +
        'letters in the training data. Where that is not at hand (not a run of ours, or its data is gone) they are ' +
        "those of the train split of what is evaluated, and the row's name ends in (this data).",
    )
    .requiredOption('--model <folder>', 'run or model folder')
    .addOption(
      new Option('--split <name...>', 'splits of the data (default: validation, or all of --fasta or --files)').choices(
        [...SPLITS, 'all'],
      ),
    );
  addTrainingDataOptions(command);
  command
    .option('--sequences <n>', 'take only so many sequences of a split', wholeNumber(1))
    .option('--length <n>', "tokens of a window (default: the run's length)", wholeNumber(3));
  addOutputOptions(command);
  addCommonOptions(command, 'seed', 'device', 'threads');
  command.action(evaluateModel);
  return addExamples(
    command,
    'protein-lm evaluate --model runs/first',
    'protein-lm evaluate --model runs/first --split validation test ood --out figures.csv',
    'protein-lm evaluate --model esm2_t6_8M_UR50D --fasta proteins.fasta',
  );
}

async function evaluateModel(options: EvaluateOptions): Promise<void> {
  const output = tableOutput(options);
  const { startEngine } = await import('../engines/index.js');
  const { loadModel, readModelConfig } = await import('../model/files.js');
  const { matchAlphabet } = await import('../training/alphabet.js');
  const { latestCheckpoint, readState } = await import('../training/checkpoint.js');
  const { evaluate, residueFrequencies } = await import('../training/evaluate.js');
  const { figuresOf } = await import('../training/metrics.js');
  const { openStore } = await import('../data/store.js');

  const checkpoint = latestCheckpoint(options.model);
  const run = checkpoint && readState(checkpoint);
  if (!run && !options.fasta && !options.files && !options.data) {
    throw new UsageError(`${options.model} is no run with data of its own: give --fasta, --files or --data`);
  }
  const { alphabet } = await readModelConfig(options.model);
  const given = await openTrainingData(options, alphabet.name);
  const trained = run && (await openTrained(run, given));
  const store = given ?? trained ?? (await openStore(run!.data.folder));
  matchAlphabet(alphabet, store);
  const engine = await startEngine(options.device, { threads: options.threads });
  const model = await loadModel(options.model);
  const frequencies = residueFrequencies(trained ?? store);
  const baseline = `${UNITS[alphabet.name]} frequencies${trained ? '' : ' (this data)'}`;
  const length = Math.min(options.length ?? run?.recipe.length ?? DEFAULT_LENGTH, maxLength(model.config));
  const rows: Record<string, string | number>[] = [];
  for (const split of options.split ?? (options.fasta || options.files ? ['all' as const] : ['validation' as const])) {
    const source = split === 'all' ? allSequences(store) : store.split(split);
    if (source.size === 0) {
      throw new InputError(`${store.folder}: no sequences in its ${split} split`);
    }
    const progress = createProgress({
      label: `evaluating ${split}`,
      total: Math.min(source.size, options.sequences ?? source.size),
      unit: 'sequences',
      quiet: options.quiet,
    });
    const { sequences, ...tallies } = await evaluate(model, source, frequencies, {
      seed: options.seed,
      length,
      tokensPerPass: TOKENS_PER_PASS,
      sequences: options.sequences,
      onProgress: (done) => progress.update(done),
    });
    progress.end();
    const row = (name: string, tally: Tally) => {
      const { accuracy, perplexity } = figuresOf(tally);
      rows.push({
        split,
        model: name,
        sequences,
        positions: tally.positions,
        accuracy: significant(accuracy),
        perplexity: significant(perplexity),
        ...(alphabet.name === 'bytes' && { bits_per_byte: significant(Math.log2(perplexity)) }),
      });
    };
    row(basename(resolve(options.model)), tallies.model);
    row(baseline, tallies.baseline);
  }
  model.dispose();
  store.close();
  trained?.close();
  await engine.stop();
  await output.write(from(rows));
}

/** What a run was trained on: `given` where it is that, or else its own data where that is still there. */
async function openTrained({ data }: TrainingState, given?: TokenStore): Promise<TokenStore | undefined> {
  const { openStore } = await import('../data/store.js');
  const { contentKey } = await import('../training/run.js');
  if (given && contentKey(given) === data.key) {
    return given;
  }
  const own = await openStore(data.folder).catch(() => undefined);
  if (own === undefined || contentKey(own) === data.key) {
    return own;
  }
  own.close();
  return undefined;
}

/** The sequences of all splits, one after the other. */
function allSequences(store: TokenStore): SequenceSource {
  const splits = SPLITS.map((name) => store.split(name));
  const at = <T>(read: (source: SequenceSource, i: number) => T) => {
    return (i: number): T => {
      let rest = i;
      for (const split of splits) {
        if (rest < split.size) {
          return read(split, rest);
        }
        rest -= split.size;
      }
      throw new RangeError(`no sequence ${i}`);
    };
  };
  return {
    size: splits.reduce((sum, split) => sum + split.size, 0),
    length: at((source, i) => source.length(i)),
    tokens: at((source, i) => source.tokens(i)),
    name: at((source, i) => source.name(i)),
  };
}

/** Six digits are what float32 and the number of positions bear. */
function significant(value: number): number {
  return Number(value.toPrecision(6));
}
