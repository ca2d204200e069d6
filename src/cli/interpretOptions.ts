import { type Command, InvalidArgumentError, Option } from 'commander';
import type { AlphabetName } from '../data/alphabet.js';
import type { SequenceRecord } from '../data/letters.js';
import type { ReadingOptions } from '../data/reading.js';
import type { LanguageModel } from '../model/model.js';
import type { StructureOptions } from '../structures/structure.js';
import { type CommonOptions, wholeNumber } from './options.js';

/** `--model`, one of it. */
export function oneModelOption(): Option {
  return new Option('--model <folder>', 'run or model folder, ours or a Hugging Face ESM');
}

/** Which chain of a structure file is read. */
export interface ChainOptions {
  chain?: string;
  chainNames?: 'author' | 'label';
  modelNumber?: number;
}

/** Adds the options of `ChainOptions`. */
export function addChainOptions(command: Command, chain: string): Command {
  return command
    .option('--chain <id>', chain)
    .addOption(
      new Option('--chain-names <whose>', "mmCIF's names of chains that count: the author's or label_asym_id")
        .choices(['author', 'label'])
        .default('author'),
    )
    .option('--model-number <n>', 'model of a structure with several (default: the first)', wholeNumber(0));
}

/** `ChainOptions` as `readStructure` takes them. */
export function structureOptions({ chainNames, modelNumber }: ChainOptions): StructureOptions {
  return { chains: chainNames, model: modelNumber };
}

/** Parses `1,3-5` as [0, 2, 3, 4]: people count layers and heads from 1, the library from 0. */
export function indexList(text: string): number[] {
  const indices = text.split(',').flatMap((part) => {
    const range = /^\s*(\d+)\s*(?:-\s*(\d+)\s*)?$/.exec(part);
    const [first, last] = range ? [Number(range[1]), Number(range[2] ?? range[1])] : [0, 0];
    if (first < 1 || last < first) {
      throw new InvalidArgumentError('Numbers from 1 are needed, such as 1,3-5.');
    }
    return Array.from({ length: last - first + 1 }, (_, i) => first - 1 + i);
  });
  return [...new Set(indices)].sort((a, b) => a - b);
}

/** Starts the engine and loads the model; `stop` ends both. */
export async function openModel(
  folder: string,
  options: Pick<CommonOptions, 'device' | 'threads'>,
): Promise<{ model: LanguageModel; stop(): Promise<void> }> {
  const { startEngine } = await import('../engines/index.js');
  const { loadModel } = await import('../model/files.js');
  const engine = await startEngine(options.device, { threads: options.threads });
  const model = await loadModel(folder);
  return {
    model,
    async stop() {
      model.dispose();
      await engine.stop();
    },
  };
}

/**
 * All sequences of a file, whole and in memory, as a model of that alphabet reads them; warnings go to standard error.
 * @param reading of proteins: whether sequences that look like DNA or RNA are taken for what they say
 * @throws InputError where two have one identifier, and where there are none
 */
export async function readAllSequences(
  path: string,
  alphabet: AlphabetName = 'protein',
  reading: Pick<ReadingOptions, 'nucleotides'> = {},
): Promise<SequenceRecord[]> {
  const { readSequences } = await import('../data/reading.js');
  const { Warnings } = await import('../data/warnings.js');
  const { InputError } = await import('../data/errors.js');
  const warnings = new Warnings();
  const records: SequenceRecord[] = [];
  const options = { ...reading, alphabet, cut: Number.POSITIVE_INFINITY, warnings, duplicates: 'error' as const };
  for await (const record of readSequences(path, options)) {
    records.push(record);
  }
  for (const line of warnings.lines()) {
    process.stderr.write(`warning: ${line}\n`);
  }
  if (records.length === 0) {
    throw new InputError(`${path} has no sequences; give ${alphabet === 'bytes' ? 'another file' : 'a FASTA file'}`);
  }
  return records;
}

/**
 * The sequences that the model has positions for. Longer ones are an error, or with `skip` left out with a warning.
 * @throws InputError naming the first that is too long
 */
export async function fitting<T extends SequenceRecord>(
  records: T[],
  model: LanguageModel,
  skip = false,
): Promise<T[]> {
  const { maxLength } = await import('../model/config.js');
  const { UNITS } = await import('../data/alphabet.js');
  const { InputError } = await import('../data/errors.js');
  const most = maxLength(model.config) - 2;
  const long = records.filter(({ sequence }) => sequence.length > most);
  if (long.length === 0) {
    return records;
  }
  const { file, line, id, sequence } = long[0];
  const first = `${file}:${line}, record ${id}`;
  const unit = `${UNITS[model.alphabet.name]}s`;
  if (!skip) {
    throw new InputError(`${first}: ${sequence.length} ${unit}, but this model takes ${most}: crop the sequence`);
  }
  process.stderr.write(
    `warning: longer than the model's ${most} ${unit}, left out: ${long.length} (first: ${first})\n`,
  );
  const kept = records.filter((record) => record.sequence.length <= most);
  if (kept.length === 0) {
    throw new InputError(`${file}: every sequence is longer than the model's ${most} ${unit}`);
  }
  return kept;
}
