import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { from, table, toCSV } from 'arquero';
import { Command } from 'commander';
import { InputError } from '../data/errors.js';
import { Warnings } from '../data/warnings.js';
import { writeFileAtomic } from '../formats/atomicFile.js';
import type { LanguageModel } from '../model/model.js';
import type { BenchmarkedAssay } from '../scoring/benchmarkTable.js';
import {
  addSupervisedOptions,
  benchmarkSupervised,
  checkSupervised,
  type SupervisedOptions,
} from './benchmarkSupervised.js';
import { UsageError } from './errors.js';
import {
  ALL_SCHEMES,
  addEvidenceOptions,
  checkEvidence,
  type EvidenceOptions,
  readEvidence,
  zeroShotOptions,
} from './evidenceOptions.js';
import { modelAlphabet } from './modelAlphabet.js';
import { addCommonOptions, addExamples, type CommonOptions, wholeNumber } from './options.js';
import { addOutputOptions, type OutputOptions, tableOutput } from './output.js';
import { createProgress } from './progress.js';
import {
  addSchemeOptions,
  addVariantTableOptions,
  columnNames,
  modelOption,
  type VariantTableOptions,
} from './scoringOptions.js';

interface BenchmarkCommandOptions extends CommonOptions, OutputOptions, EvidenceOptions, VariantTableOptions {
  model?: string[];
  alignments?: string;
  structures?: string;
  assays: string;
  reference?: string[];
  bootstrap: number;
  skipMissing?: boolean;
  scores?: string;
}

/** `protein-lm benchmark`: ProteinGym's measures of a model over a folder of assays. */
export function benchmarkCommand(): Command {
  const command = new Command('benchmark')
    .description(
      'Score deep mutational scans and measure the scores as ProteinGym does: Spearman with a bootstrap interval, AUC, ' +
        'MCC, NDCG and top recall of each assay, means over assays, and published values beside them.',
    )
    .requiredOption('--assays <folder>', "tables in ProteinGym's columns, and a reference with their wild types")
    .addOption(modelOption(false))
    .option(
      '--alignments <folder>',
      'score by alignments, each named as its assay or the beginning of it, alone or in a blend',
    )
    .option(
      '--structures <folder>',
      'multiply scores by 1 - relative solvent accessibility in structures, named likewise',
    )
    .option(
      '--reference <file...>',
      "ProteinGym's DMS_substitutions.csv, or tables of published values by DMS_id (default: those in the folder)",
    )
    .option('--bootstrap <n>', "resamples of the interval around Spearman's correlation", wholeNumber(0, 1e6), 1000)
    .option('--scores <folder>', 'also write the score of every variant, one table an assay')
    .option('--skip-missing', 'leave out and count rows without a measured value');
  addSupervisedOptions(command);
  addSchemeOptions(command, 'single-pass', ALL_SCHEMES);
  addEvidenceOptions(command);
  addVariantTableOptions(command, true);
  addOutputOptions(command);
  addCommonOptions(command, 'seed', 'device', 'threads');
  command.action((options: BenchmarkCommandOptions & SupervisedOptions) => {
    checkSupervised(options, command);
    if (options.supervised) {
      return benchmarkSupervised(options);
    }
    return benchmark(options, command);
  });
  command.addHelpText(
    'after',
    `
Lines of the table, by the column level:
  assay           one assay
  mean            mean over the assays of a kind: singles, multiples, indels, clinical (AUC only)
  selection_type  mean over the proteins of a selection type, where a reference tells them
  average         mean over selection types: ProteinGym's figure, with its bootstrap standard error

--supervised: one line for each assay and split, and the means of the splits; Spearman of all folds' predictions
together, mean squared error of standardised values, coverage of intervals, and what the head was given. Published
figures come from a --reference with the columns DMS_id and split.`,
  );
  return addExamples(
    command,
    'protein-lm benchmark --assays dms --model runs/first',
    'protein-lm benchmark --assays DMS_ProteinGym_substitutions --reference DMS_substitutions.csv --model esm2_t6_8M_UR50D --out results.csv',
    'protein-lm benchmark --assays dms --supervised --alignments alignments --structures structures --reference published.csv --out heads.csv',
    'protein-lm benchmark --assays dms --model runs/first --scheme wt-marginals --scores runs/first/scores',
    'protein-lm benchmark --assays dms --alignments alignments --structures structures --scheme rsalor',
  );
}

async function benchmark(options: BenchmarkCommandOptions, command: Command): Promise<void> {
  const { model: folders = [], alignments, structures } = options;
  if (folders.length === 0 && alignments === undefined) {
    throw new UsageError('give --model FOLDER, or --alignments FOLDER; or --supervised to cross-validate heads');
  }
  checkEvidence(
    options,
    command,
    { model: folders.length > 0, alignment: alignments !== undefined, structure: structures !== undefined },
    { alignment: '--alignments FOLDER', structure: '--structures FOLDER' },
  );
  const output = tableOutput(options);
  if (folders.length > 0) {
    await modelAlphabet(folders, 'benchmark', ['protein']);
  }
  const { ALIGNMENT_FILES, benchmarkAssay, fileOfAssay, findAssays, STRUCTURE_FILES } = await import(
    '../scoring/benchmark.js'
  );
  const { benchmarkTable } = await import('../scoring/benchmarkTable.js');
  const files = await findAssays(options.assays, options.reference);
  const { startEngine } = await import('../engines/index.js');
  const { loadModel } = await import('../model/files.js');
  const engine = folders.length > 0 ? await startEngine(options.device, { threads: options.threads }) : undefined;
  const models: LanguageModel[] = [];
  for (const folder of folders) {
    models.push(await loadModel(folder));
  }
  if (options.scores !== undefined) {
    mkdirSync(options.scores, { recursive: true });
  }

  const progress = createProgress({ label: 'scoring', total: files.length, unit: 'assays', quiet: options.quiet });
  const results: BenchmarkedAssay[] = [];
  for (const [i, file] of files.entries()) {
    progress.update(i, file.id);
    const alignment = alignments === undefined ? undefined : fileOfAssay(alignments, ALIGNMENT_FILES, file);
    const structure = structures === undefined ? undefined : fileOfAssay(structures, STRUCTURE_FILES, file);
    const lacking = [
      ...(alignments !== undefined && alignment === undefined ? [alignments] : []),
      ...(structures !== undefined && structure === undefined ? [structures] : []),
    ];
    if (lacking.length > 0) {
      process.stderr.write(`warning: ${file.path}: left out, ${lacking.join(' and ')} has no file of it\n`);
      continue;
    }
    const warnings = new Warnings();
    const result = await benchmarkAssay(models, file, {
      ...zeroShotOptions(options),
      evidence: await readEvidence({ alignment, structure }, options, warnings),
      warnings,
      assay: { ...options, columns: columnNames(options) },
      bootstrap: options.bootstrap,
      seed: options.seed,
      onProgress: (done, total) => progress.update(i + done / total, `${file.id} ${done}/${total}`),
    });
    results.push({ file, result });
    for (const line of warnings.lines()) {
      process.stderr.write(`warning: ${line}\n`);
    }
    const { metrics, spearmanInterval: interval, variants } = result;
    const range = interval ? ` [${interval.low.toFixed(3)}, ${interval.high.toFixed(3)}]` : '';
    const figure =
      result.kind === 'clinical' ? `AUC ${metrics.auc.toFixed(3)}` : `Spearman ${metrics.spearman.toFixed(3)}${range}`;
    progress.log(`${file.id}: ${figure} over ${variants} variants`);
    const { unscorable, ...left } = result.left;
    for (const [reason, count] of Object.entries({ ...left, ...unscorable })) {
      if (count > 0) {
        process.stderr.write(`warning: ${file.path}: ${count} rows left out (${REASONS[reason] ?? reason})\n`);
      }
    }
    if (options.scores !== undefined) {
      const { names, measured, scores } = result;
      const lines = toCSV(table({ mutant: names, DMS_score: [...measured], score: [...scores] }));
      await writeFileAtomic(join(options.scores, `${file.id}.csv`), lines);
    }
  }
  progress.update(files.length);
  progress.end();
  for (const model of models) {
    model.dispose();
  }
  await engine?.stop();
  if (results.length === 0) {
    throw new InputError(`${options.assays}: no assay has the files that are asked for`);
  }
  await output.write(from(benchmarkTable(results, options)));
}

const REASONS: Record<string, string> = {
  unscored: 'stop codons, letters without a score, residues without a column or out of the structure',
  missing: 'no measured value',
  mismatches: 'the wild type does not match',
};
