import { from } from 'arquero';
import { type Command, Option } from 'commander';
import type { LanguageModel } from '../model/model.js';
import type { Method } from '../scoring/heads/assayHead.js';
import type { Split } from '../scoring/heads/folds.js';
import type { PublishedSplits, SupervisedResult } from '../scoring/supervised.js';
import { UsageError } from './errors.js';
import { modelAlphabet } from './modelAlphabet.js';
import { type CommonOptions, givenFlags, wholeNumber } from './options.js';
import { type OutputOptions, tableOutput } from './output.js';
import { createProgress } from './progress.js';
import { columnNames, type SchemeOptions, scoreOptions, type VariantTableOptions } from './scoringOptions.js';

export interface SupervisedOptions extends CommonOptions, OutputOptions, SchemeOptions, VariantTableOptions {
  supervised?: boolean;
  model?: string[];
  assays: string;
  reference?: string[];
  skipMissing?: boolean;
  method: Method[];
  split: Split[];
  folds: number;
  alignments?: string;
  structures?: string;
}

const OF_SUPERVISED = ['method', 'split', 'folds'] as const;
const OF_ZERO_SHOT = ['bootstrap', 'scores'] as const;

/** Adds the options of `benchmark --supervised`. */
export function addSupervisedOptions(command: Command): Command {
  return command
    .option('--supervised', "cross-validate heads instead, as ProteinGym's supervised benchmark does")
    .addOption(
      new Option('--method <name...>', 'with --supervised: heads, as finetune has them')
        .choices(['one-hot', 'augmented', 'augmented-embedding', 'mean-embedding', 'site-embedding', 'gp'])
        .default(['gp']),
    )
    .addOption(
      new Option('--split <name...>', 'with --supervised: folds')
        .choices(['random', 'modulo', 'contiguous'])
        .default(['random', 'modulo', 'contiguous']),
    )
    .option('--folds <n>', 'with --supervised: folds of a split', wholeNumber(2, 100), 5);
}

/** @throws UsageError for options that exclude each other, or would not be looked at */
export function checkSupervised(options: SupervisedOptions, command: Command): void {
  const idle = givenFlags(command, options.supervised ? OF_ZERO_SHOT : OF_SUPERVISED);
  if (idle.length > 0) {
    throw new UsageError(
      options.supervised
        ? `${idle.join(', ')} is of zero-shot scores: leave it out with --supervised`
        : `${idle.join(', ')} is of --supervised: add it, or leave them out`,
    );
  }
  const { model, method } = options;
  const needing = options.supervised ? method.find((name) => name !== 'gp' && name !== 'one-hot') : undefined;
  if (options.supervised && model === undefined && needing !== undefined) {
    throw new UsageError(`give --model FOLDER: --method ${needing} needs one`);
  }
}

/** `benchmark --supervised`: a row for each assay and split, and means of the splits. */
export async function benchmarkSupervised(options: SupervisedOptions): Promise<void> {
  const output = tableOutput(options);
  const { model: folders = [] } = options;
  if (folders.length > 0) {
    await modelAlphabet(folders, 'benchmark', ['protein']);
  }
  const { ALIGNMENT_FILES, fileOfAssay, findAssays, STRUCTURE_FILES } = await import('../scoring/benchmark.js');
  const { readTable } = await import('../scoring/tables.js');
  const { publishedSplits, superviseAssay, supervisedTable } = await import('../scoring/supervised.js');
  const { readGaussianEvidence } = await import('../scoring/heads/gp/evidence.js');
  const { Warnings } = await import('../data/warnings.js');
  const files = await findAssays(options.assays, options.reference);
  const published: PublishedSplits = new Map();
  for (const path of options.reference ?? []) {
    for (const [id, figures] of publishedSplits(await readTable(path)) ?? []) {
      published.set(id, figures);
    }
  }
  const { startEngine } = await import('../engines/index.js');
  const { loadModel } = await import('../model/files.js');
  const engine = await startEngine(options.device, { threads: options.threads });
  const models: LanguageModel[] = [];
  for (const folder of folders) {
    models.push(await loadModel(folder));
  }
  const { alignments, structures, offset } = options;
  const progress = createProgress({ label: 'heads', total: files.length, unit: 'assays', quiet: options.quiet });
  const results: SupervisedResult[] = [];
  for (const [i, file] of files.entries()) {
    progress.update(i, file.id);
    const warnings = new Warnings();
    const assay = superviseAssay(models, file, {
      methods: options.method,
      splits: options.split,
      folds: options.folds,
      seed: options.seed,
      assay: { ...options, columns: columnNames(options) },
      scoring: scoreOptions(options),
      evidence: (wildType) =>
        readGaussianEvidence(wildType, `the wild type of ${file.path}`, {
          alignment: alignments === undefined ? undefined : fileOfAssay(alignments, ALIGNMENT_FILES, file),
          structure: structures === undefined ? undefined : fileOfAssay(structures, STRUCTURE_FILES, file),
          offset,
          warnings,
        }),
      onLeftOut: (what, reason) => process.stderr.write(`warning: ${file.path}: ${what} left out, ${reason}\n`),
    });
    for await (const result of assay) {
      results.push(result);
      const { id, method, split, variants, spearman, mse, given, seconds } = result;
      progress.log(
        `${id} ${method} ${split}: Spearman ${spearman.toFixed(3)}, MSE ${mse.toFixed(3)} over ${variants} variants ` +
          `from ${given.join(' and ')}, ${seconds.toFixed(0)} s`,
      );
    }
    for (const line of warnings.lines()) {
      process.stderr.write(`warning: ${line}\n`);
    }
  }
  progress.update(files.length);
  progress.end();
  for (const model of models) {
    model.dispose();
  }
  await engine.stop();
  await output.write(from(supervisedTable(results, published)));
}
