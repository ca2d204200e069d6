import { existsSync } from 'node:fs';
import { dirname, extname } from 'node:path';
import { table } from 'arquero';
import { Command, InvalidArgumentError, Option } from 'commander';
import { InputError } from '../data/errors.js';
import { UsageError } from './errors.js';
import { fitting, indexList, oneModelOption, openModel, readAllSequences } from './interpretOptions.js';
import { modelAlphabet } from './modelAlphabet.js';
import { addCommonOptions, addExamples, type CommonOptions, number, wholeNumber } from './options.js';
import { type OutputOptions, tableOutput } from './output.js';
import { createProgress } from './progress.js';

interface AttentionOptions extends CommonOptions, OutputOptions {
  model?: string;
  layers?: number[];
  heads?: number[];
  average?: 'heads' | 'layers' | 'both';
  rollout?: boolean;
  residues?: boolean;
  top?: number;
  minSeparation: number;
  approximationError?: boolean;
  features: number[];
  samples: number;
  length: number;
  headSize: number;
  norm?: number;
}

const ARRAYS = ['.npy', '.npz', '.safetensors'];

/** `protein-lm attention`: maps, strongest pairs, and how far random features are from exact attention. */
export function attentionCommand(): Command {
  const command = new Command('attention')
    .description(
      'Export attention maps: for each protein an array [layers, heads, length, length] in an .npz or .safetensors ' +
        'file (.npy for one protein), or rows in a .csv. Row i is how token i attends; <cls> comes first and <eos> ' +
        'last, and each row sums to one. A Performer never forms the map: it is rebuilt from the features.',
    )
    .argument('[fasta]', 'proteins: FASTA, plain or gzip; - for standard input')
    .addOption(oneModelOption())
    .option('--layers <list>', 'layers, counted from 1, such as 1,3-5 (default: all)', indexList)
    .option('--heads <list>', 'heads, counted from 1 (default: all)', indexList)
    .addOption(new Option('--average <what>', 'average over these').choices(['heads', 'layers', 'both']))
    .option('--rollout', 'attention rollout through the layers instead of single maps (Abnar and Zuidema 2020)')
    .option('--residues', 'leave out <cls> and <eos>; rows then sum to less than one')
    .option('--top <k>', 'a table of the k strongest pairs of residues of each protein instead', wholeNumber(1))
    .option('--min-separation <n>', 'least distance in sequence of the pairs of --top', wholeNumber(0), 1)
    .option('--approximation-error', 'error of random features against exact softmax attention (figure 4) instead')
    .option('--features <list>', 'numbers of random features', counts, [16, 32, 64, 128, 256])
    .option('--samples <n>', 'draws that the mean and its 95 % interval are over', wholeNumber(2), 15)
    .option('--length <n>', 'tokens of the random inputs, where there is no model', wholeNumber(2), 4096)
    .option('--head-size <n>', 'size of a head of the random inputs', wholeNumber(1), 16)
    .option('--norm <x>', 'length of random queries and keys after scaling by d^-1/4 (default: as drawn)', number(0))
    .option('--out <file>', 'file to write: .npz, .npy, .safetensors, .csv; tables also .tsv, .json, .arrow')
    .addOption(new Option('--format <name>', 'format of a table').choices(['csv', 'tsv', 'json', 'arrow']));
  addCommonOptions(command, 'seed', 'device', 'threads');
  command.action((fasta: string | undefined, options: AttentionOptions) =>
    options.approximationError ? approximation(fasta, options) : attention(fasta, options),
  );
  return addExamples(
    command,
    'protein-lm attention protein.fasta --model runs/first --out maps.npz',
    'protein-lm attention protein.fasta --model runs/first --layers 36 --average heads --out last.npy',
    'protein-lm attention protein.fasta --model runs/first --average both --top 50 --min-separation 6',
    'protein-lm attention --approximation-error --out figure4.csv',
    'protein-lm attention protein.fasta --model esm2_t6_8M_UR50D --approximation-error --samples 30',
  );
}

function counts(text: string): number[] {
  const values = text.split(',').map(Number);
  if (values.some((value) => !Number.isInteger(value) || value < 1)) {
    throw new InvalidArgumentError('Whole numbers are needed, such as 16,64,256.');
  }
  return values;
}

async function attention(fasta: string | undefined, options: AttentionOptions): Promise<void> {
  if (fasta === undefined || options.model === undefined) {
    throw new UsageError('give a FASTA file and --model (only --approximation-error does without)');
  }
  if (options.rollout && (options.heads || options.average)) {
    throw new UsageError('--rollout averages over all heads: leave out --heads and --average');
  }
  const extension = options.out === undefined ? '' : extname(options.out).toLowerCase();
  const pairs = options.top === undefined ? undefined : tableOutput(options);
  if (!pairs) {
    if (![...ARRAYS, '.csv'].includes(extension)) {
      throw new UsageError('--out FILE is needed: .npz, .npy, .safetensors or .csv (or --top K for a table)');
    }
    if (!existsSync(dirname(options.out!))) {
      throw new UsageError(`--out ${options.out}: the folder ${dirname(options.out!)} does not exist; make it first`);
    }
  }
  const alphabet = await modelAlphabet([options.model], 'attention');
  const records = await readAllSequences(fasta, alphabet.name);
  if (extension === '.npy' && records.length > 1) {
    throw new InputError(`${fasta} has ${records.length} sequences, an .npy holds one: use .npz or .safetensors`);
  }
  const { pairColumns, writeMapArrays, writeMapTable } = await import('../interpret/mapExport.js');
  const { model, stop } = await openModel(options.model, options);
  checkChoice('layers', options.layers, model.config.num_hidden_layers);
  checkChoice('heads', options.heads, model.config.num_attention_heads);
  await fitting(records, model);
  const progress = createProgress({
    label: 'attention',
    total: records.length,
    unit: 'proteins',
    quiet: options.quiet,
  });
  if (pairs) {
    const chosen = { count: options.top!, separation: options.minSeparation };
    await pairs.write(table(await pairColumns(model, records, chosen, options, progress.update)));
  } else if (extension === '.csv') {
    await writeMapTable(options.out!, model, records, options, progress.update);
  } else {
    await writeMapArrays(options.out!, model, records, options, progress.update);
  }
  progress.end();
  await stop();
}

function checkChoice(name: string, chosen: number[] | undefined, count: number): void {
  const beyond = chosen?.find((index) => index >= count);
  if (beyond !== undefined) {
    throw new InputError(`--${name} ${beyond + 1}: the model has ${name} 1 to ${count}`);
  }
}

async function approximation(fasta: string | undefined, options: AttentionOptions): Promise<void> {
  if ((fasta === undefined) !== (options.model === undefined)) {
    throw new UsageError('--approximation-error takes a FASTA file and --model together, or neither of them');
  }
  const output = tableOutput(options);
  const { approximationError, modelInputs, randomInputs } = await import('../interpret/approximation.js');
  const { startEngine } = await import('../engines/index.js');
  const progress = createProgress({
    label: 'approximation',
    total: options.samples,
    unit: 'samples',
    quiet: options.quiet,
  });
  const settings = {
    counts: options.features,
    samples: options.samples,
    seed: options.seed,
    onSample: (done: number) => progress.update(done),
  };
  let errors: import('../interpret/approximation.js').ApproximationError[];
  if (fasta !== undefined && options.model !== undefined) {
    const alphabet = await modelAlphabet([options.model], 'attention');
    const records = await readAllSequences(fasta, alphabet.name);
    const { model, stop } = await openModel(options.model, options);
    const tokens = (await fitting(records, model, true)).map(({ sequence }) => model.alphabet.encode(sequence));
    errors = await approximationError(modelInputs(model, tokens, options.seed), settings);
    await stop();
  } else {
    const engine = await startEngine(options.device, { threads: options.threads });
    const inputs = randomInputs(options.length, options.headSize, options.seed, options.norm);
    errors = await approximationError(inputs, settings);
    await engine.stop();
  }
  progress.end();
  const column = (value: (error: (typeof errors)[0]) => number) =>
    errors.map((error) => Number(value(error).toPrecision(6)));
  await output.write(
    table({
      features: errors.map((error) => error.features),
      estimator: errors.map((error) => error.estimator),
      num_features: errors.map((error) => error.count),
      samples: errors.map((error) => error.samples),
      matrix_error: column((error) => error.matrixError),
      matrix_error_low: column((error) => error.matrixLow),
      matrix_error_high: column((error) => error.matrixHigh),
      output_error: column((error) => error.outputError),
      output_error_low: column((error) => error.outputLow),
      output_error_high: column((error) => error.outputHigh),
    }),
  );
}
