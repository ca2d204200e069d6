import { stat } from 'node:fs/promises';
import { from } from 'arquero';
import { Command } from 'commander';
import type { AlphabetName } from '../data/alphabet.js';
import type { FileSource } from '../data/byteStream.js';
import {
  type FastaStatistics,
  fastaStatistics,
  LENGTHS,
  type SequenceStatistics,
  storeStatistics,
} from '../data/statistics.js';
import { holdsStore, openStore, SPLITS, type SplitName } from '../data/store.js';
import { Warnings } from '../data/warnings.js';
import { writeFileAtomic } from '../formats/atomicFile.js';
import { alphabetOption, LINES } from './dataOptions.js';
import { byteProgress, columns, count, printWarnings } from './dataOutput.js';
import { addCommonOptions, addExamples, type CommonOptions } from './options.js';
import { type OutputOptions, tableOutput } from './output.js';

interface StatsOptions extends CommonOptions, Pick<OutputOptions, 'out'> {
  alphabet?: AlphabetName;
  lines?: boolean;
  json?: boolean;
}

/** `protein-lm data stats`. */
export function statsCommand(): Command {
  const command = new Command('stats')
    .description('Count sequences, lengths, residues and unusual letters of FASTA files, or of what data build wrote.')
    .argument(
      '<input...>',
      'FASTA files (plain or gzip, - for standard input), with --alphabet bytes files and folders of any kind; or one ' +
        'folder of data build',
    )
    .addOption(alphabetOption())
    .option(...LINES)
    .option('--json', 'print JSON')
    .option('--out <file>', 'write to this file (.json, .csv, .tsv or .arrow) instead of standard output')
    .action(stats);
  addCommonOptions(command);
  return addExamples(
    command,
    'protein-lm data stats proteins.fasta.gz',
    'protein-lm data stats proteins.tokens --json',
    'protein-lm data stats --alphabet nucleotide genome.fna.gz',
    'protein-lm data stats --alphabet bytes books/',
  );
}

async function stats(inputs: string[], options: StatsOptions): Promise<void> {
  const output = options.out === undefined || options.out === '-' ? undefined : tableOutput(options);
  const found = (await isStore(inputs, options)) ? await statsOfStore(inputs[0]) : await statsOfFiles(inputs, options);
  const json = `${JSON.stringify(found, null, 2)}\n`;
  if (output?.format === 'json') {
    await writeFileAtomic(options.out!, json);
  } else if (output) {
    await output.write(from(longRows(found)));
  } else {
    process.stdout.write(options.json ? json : tables(found));
  }
}

/** Statistics of FASTA files, or of the splits of a store. */
type Found = FastaStatistics | { splits: Record<SplitName, SequenceStatistics> };

async function isStore(inputs: string[], { alphabet }: StatsOptions): Promise<boolean> {
  const [folder, ...others] = inputs;
  if (folder === undefined || others.length > 0 || folder === '-') {
    return false;
  }
  if (!(await stat(folder).catch(() => undefined))?.isDirectory()) {
    return false;
  }
  // A folder may as well be of bytes, with a manifest.json of somebody else's among its files.
  return alphabet !== 'bytes' || holdsStore(folder);
}

async function statsOfFiles(inputs: FileSource[], { alphabet, lines, quiet }: StatsOptions): Promise<Found> {
  const warnings = new Warnings();
  const bar = byteProgress('reading', quiet);
  let bytes = 0;
  const statistics = await fastaStatistics(inputs, {
    alphabet,
    lines,
    warnings,
    onBytes: (done) => {
      bytes = done;
    },
    onSequences: (sequences) => bar.update(bytes, undefined, sequences),
  }).finally(() => bar.end());
  printWarnings(warnings);
  return statistics;
}

async function statsOfStore(folder: string): Promise<Found> {
  const store = await openStore(folder);
  try {
    return { splits: storeStatistics(store) };
  } finally {
    store.close();
  }
}

/** A row a number, for files that other programs read. */
function longRows(found: Found): { split: string; statistic: string; name: string; value: number }[] {
  const items = 'splits' in found ? Object.entries(found.splits) : [['all', found] as const];
  return items.flatMap(([split, statistics]) => {
    const { length, composition, unusual, ...counts } = statistics;
    const row = (statistic: string, name: string, value: number) => ({ split, statistic, name, value });
    return [
      ...Object.entries(counts).map(([name, value]) => row('count', name, value)),
      ...Object.entries(length).map(([name, value]) => row('length', name, value)),
      ...Object.entries(composition).map(([letter, { count }]) => row('residues', letter, count)),
      ...Object.entries(composition).map(([letter, { fraction }]) => row('fraction', letter, fraction)),
      ...Object.entries(unusual).map(([letter, { count }]) => row('unusual', letter, count)),
    ];
  });
}

/** Tables to read. */
function tables(found: Found): string {
  if ('splits' in found) {
    const { splits } = found;
    const rows = SPLITS.map((split) => [split, count(splits[split].sequences), count(splits[split].residues)]);
    const filled = SPLITS.filter((split) => splits[split].sequences > 0);
    const details = describe(filled.map((split) => [split, splits[split]]));
    return [columns(['split', 'sequences', 'residues'], rows), ...details].join('\n');
  }
  const { length, composition, unusual, ...counts } = found;
  const rows = Object.entries(counts).map(([name, value]) => [words(name), count(value)]);
  return [columns(['', 'count'], rows), ...describe([['', found]])].join('\n');
}

/** Tables of lengths, composition and unusual letters; a column for each of `items`. */
function describe(items: [name: string, statistics: SequenceStatistics][]): string[] {
  const names = items.map(([name]) => name || 'residues');
  const lengths = LENGTHS.map((name) => [name, ...items.map(([, { length }]) => count(length[name]))]);
  const composition = Object.keys(items[0][1].composition).map((letter) => [
    letter,
    ...items.map(([, statistics]) => `${(100 * statistics.composition[letter].fraction).toFixed(2)} %`),
  ]);
  const letters = [...new Set(items.flatMap(([, { unusual }]) => Object.keys(unusual)))];
  const unusual = letters.map((letter) => [
    /^[\x21-\x7e]+$/.test(letter) ? letter : JSON.stringify(letter),
    ...items.map(([, statistics]) => count(statistics.unusual[letter]?.count ?? 0)),
  ]);
  return [
    columns(['length', ...names], lengths),
    columns(['residue', ...names.map((name) => (name === 'residues' ? 'share' : name))], composition),
    unusual.length === 0 ? 'no unusual letters\n' : columns(['unusual letter', ...names], unusual),
  ];
}

/** `duplicateSequences` -> `duplicate sequences` */
function words(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}
