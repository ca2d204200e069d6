import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { from, table, toCSV } from 'arquero';
import { Command } from 'commander';
import { writeFileAtomic } from '../formats/atomicFile.js';
import type { LanguageModel } from '../model/model.js';
import type { BenchmarkedAssay } from '../scoring/benchmarkTable.js';
import { modelAlphabet } from './modelAlphabet.js';
import { addCommonOptions, addExamples, type CommonOptions, wholeNumber } from './options.js';
import { addOutputOptions, type OutputOptions, tableOutput } from './output.js';
import { createProgress } from './progress.js';
import {
  addSchemeOptions,
  addVariantTableOptions,
  columnNames,
  modelOption,
  type SchemeOptions,
  scoreOptions,
  type VariantTableOptions,
} from './scoringOptions.js';

interface BenchmarkCommandOptions extends CommonOptions, OutputOptions, SchemeOptions, VariantTableOptions {
  model: string[];
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
    .addOption(modelOption())
    .option(
      '--reference <file...>',
      "ProteinGym's DMS_substitutions.csv, or tables of published values by DMS_id (default: those in the folder)",
    )
    .option('--bootstrap <n>', "resamples of the interval around Spearman's correlation", wholeNumber(0, 1e6), 1000)
    .option('--scores <folder>', 'also write the score of every variant, one table an assay')
    .option('--skip-missing', 'leave out and count rows without a measured value');
  addSchemeOptions(command, 'single-pass');
  addVariantTableOptions(command, true);
  addOutputOptions(command);
  addCommonOptions(command, 'seed', 'device', 'threads');
  command.action(benchmark);
  command.addHelpText(
    'after',
    `
Lines of the table, by the column level:
  assay           one assay
  mean            mean over the assays of a kind: singles, multiples, indels
  selection_type  mean over the proteins of a selection type, where a reference tells them
  average         mean over selection types: ProteinGym's figure, with its bootstrap standard error`,
  );
  return addExamples(
    command,
    'protein-lm benchmark --assays dms --model runs/first',
    'protein-lm benchmark --assays DMS_ProteinGym_substitutions --reference DMS_substitutions.csv --model esm2_t6_8M_UR50D --out results.csv',
    'protein-lm benchmark --assays dms --model runs/first --scheme wt-marginals --scores runs/first/scores',
  );
}

async function benchmark(options: BenchmarkCommandOptions): Promise<void> {
  const output = tableOutput(options);
  await modelAlphabet(options.model, 'benchmark', ['protein']);
  const { benchmarkAssay, findAssays } = await import('../scoring/benchmark.js');
  const { benchmarkTable } = await import('../scoring/benchmarkTable.js');
  const files = await findAssays(options.assays, options.reference);
  const { startEngine } = await import('../engines/index.js');
  const { loadModel } = await import('../model/files.js');
  const engine = await startEngine(options.device, { threads: options.threads });
  const models: LanguageModel[] = [];
  for (const folder of options.model) {
    models.push(await loadModel(folder));
  }
  if (options.scores !== undefined) {
    mkdirSync(options.scores, { recursive: true });
  }

  const progress = createProgress({ label: 'scoring', total: files.length, unit: 'assays', quiet: options.quiet });
  const results: BenchmarkedAssay[] = [];
  for (const [i, file] of files.entries()) {
    progress.update(i, file.id);
    const result = await benchmarkAssay(models, file, {
      ...scoreOptions(options),
      assay: { ...options, columns: columnNames(options) },
      bootstrap: options.bootstrap,
      seed: options.seed,
      onProgress: (done, total) => progress.update(i + done / total, `${file.id} ${done}/${total}`),
    });
    results.push({ file, result });
    const { metrics, spearmanInterval: interval, variants } = result;
    const range = interval ? ` [${interval.low.toFixed(3)}, ${interval.high.toFixed(3)}]` : '';
    progress.log(`${file.id}: Spearman ${metrics.spearman.toFixed(3)}${range} over ${variants} variants`);
    for (const [reason, count] of Object.entries(result.left)) {
      if (count > 0) {
        process.stderr.write(`warning: ${file.path}: ${count} rows left out (${REASONS[reason]})\n`);
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
  await engine.stop();
  await output.write(from(benchmarkTable(results, options)));
}

const REASONS: Record<string, string> = {
  unscored: 'stop codons or letters that the model does not know',
  missing: 'no measured value',
  mismatches: 'the wild type does not match',
};
