import { basename } from 'node:path';
import { InputError } from '../data/errors.js';
import type { LanguageModel } from '../model/model.js';
import type { Assay } from '../scoring/assay.js';
import type { AssayFile } from '../scoring/benchmark.js';
import type { AssayHeadOptions, Method } from '../scoring/heads/assayHead.js';
import type { Coverage, TrainingVariants } from '../scoring/heads/crossValidation.js';
import type { GaussianEvidence } from '../scoring/heads/gp/evidence.js';
import { type FigureRow, figures } from './figures.js';
import type { FinetuneOptions } from './finetuneOptions.js';
import { createProgress } from './progress.js';
import { columnNames, scoreOptions } from './scoringOptions.js';

/** Heads of assays: each is cross-validated on each assay, and with `--save` the first is trained on all of it. */
export async function finetuneAssays(options: FinetuneOptions): Promise<FigureRow[]> {
  const { readAssay, readWildType } = await import('../scoring/assay.js');
  const { findAssays } = await import('../scoring/benchmark.js');
  const { assay: path, wildType } = options;
  const files: AssayFile[] =
    path === undefined
      ? await findAssays(options.assays!, options.reference)
      : [
          {
            id: basename(path).replace(/\.\w+(\.gz)?$/, ''),
            path,
            published: {},
            wildType: wildType === undefined ? undefined : await readWildType(wildType),
          },
        ];
  const { startEngine } = await import('../engines/index.js');
  const { loadModel } = await import('../model/files.js');
  const engine = await startEngine(options.device, { threads: options.threads });
  const models: LanguageModel[] = [];
  for (const folder of options.model ?? []) {
    models.push(await loadModel(folder));
  }
  const rows: FigureRow[] = [];
  for (const file of files) {
    const assay = await readAssay(file.path, file.wildType, { ...options, columns: columnNames(options) });
    const { unscorable, ...skipped } = assay.skipped;
    warnOfRows(file.path, { ...skipped, ...unscorable });
    const evidence = await evidenceOf(file, assay.wildType, options);
    rows.push(...(await finetuneAssay(file.id, file.path, assay, models, evidence, options)));
  }
  for (const model of models) {
    model.dispose();
  }
  await engine.stop();
  return rows;
}

async function finetuneAssay(
  id: string,
  path: string,
  assay: Assay,
  models: readonly LanguageModel[],
  evidence: GaussianEvidence | undefined,
  options: FinetuneOptions,
): Promise<FigureRow[]> {
  const { crossValidateAssay, methodFits, splitFits, trainingVariants } = await import(
    '../scoring/heads/crossValidation.js'
  );
  const progress = createProgress({ label: id, unit: 'steps', quiet: options.quiet });
  const data = trainingVariants(models, assay, {
    ...scoreOptions(options),
    evidence,
    onProgress: (done, total) => progress.update(done, `of ${total}: features`),
  });
  warnOfRows(path, { 'stop codons or letters that the model does not know': data.unscorable });
  const { variants } = data.features;
  const methods = options.method.filter((method) => {
    const fits = methodFits(method, variants);
    return fits || leftOut(path, `--method ${method}`, 'its variants change the length');
  });
  const { split, trainSize: trainSizes = [] } = options;
  const onlySaved = options.save !== undefined && options.assays === undefined;
  const splits = (split ?? (trainSizes.length > 0 || onlySaved ? [] : (['random'] as const))).filter((name) => {
    return splitFits(name, variants) || leftOut(path, `--split ${name}`, 'it is for single substitutions');
  });
  const settings = {
    ...options,
    onEpoch: (epoch: number, figure: number) => progress.update(epoch, `epochs, held out ${figure.toFixed(3)}`),
  };
  const rows: FigureRow[] = [];
  for await (const line of crossValidateAssay(data, {
    ...settings,
    methods,
    splits,
    trainSizes,
    where: path,
    onFold: (done, name, method) => progress.update(done, `folds of ${name}, ${method}`),
  })) {
    const { metrics, mse, coverage, ...about } = line;
    const { topRecall: top_recall, ...others } = metrics;
    rows.push({
      assay: id,
      ...about,
      ...figures({ ...others, top_recall }),
      ...(methods.includes('gp') ? coverageColumns(coverage) : {}),
    });
    if (line.fold === 'all') {
      progress.log(`${id} ${line.method} ${line.split}: Spearman ${(rows.at(-1)!.spearman as number).toFixed(3)}`);
    }
  }
  progress.end();
  if (options.save !== undefined) {
    const [method] = methods;
    if (!method) {
      throw new InputError(`${path}: no method is left to save`);
    }
    await saveAssayHead(method, data, options.save, { ...options, ...settings });
  }
  return rows;
}

/** What the files beside an assay tell of its protein; undefined where there are none. */
async function evidenceOf(
  file: AssayFile,
  wildType: string,
  options: FinetuneOptions,
): Promise<GaussianEvidence | undefined> {
  if (!options.method.includes('gp')) {
    return undefined;
  }
  const { ALIGNMENT_FILES, fileOfAssay, STRUCTURE_FILES } = await import('../scoring/benchmark.js');
  const { readGaussianEvidence } = await import('../scoring/heads/gp/evidence.js');
  const { Warnings } = await import('../data/warnings.js');
  const { alignments, structures, query, chain, offset } = options;
  const warnings = new Warnings();
  const evidence = await readGaussianEvidence(wildType, `the wild type of ${file.path}`, {
    alignment: alignments === undefined ? options.alignment : fileOfAssay(alignments, ALIGNMENT_FILES, file),
    structure: structures === undefined ? options.structure : fileOfAssay(structures, STRUCTURE_FILES, file),
    query,
    chain,
    offset,
    warnings,
  });
  for (const line of warnings.lines()) {
    process.stderr.write(`warning: ${line}\n`);
  }
  return evidence;
}

function coverageColumns(coverage: Coverage | undefined): FigureRow {
  const { half, most } = coverage ?? { half: Number.NaN, most: Number.NaN };
  return figures({ coverage_50: half, coverage_90: most });
}

/** Trains a head on the whole assay, and saves it. */
async function saveAssayHead(
  method: Method,
  { features, measured }: TrainingVariants,
  folder: string,
  options: FinetuneOptions & AssayHeadOptions,
): Promise<void> {
  const { fitAssayHead } = await import('../scoring/heads/assayHead.js');
  const { saveHead } = await import('../scoring/heads/headFiles.js');
  const all = features.variants.map((_, i) => i);
  const head = await fitAssayHead(method, features, all, measured, options);
  await saveHead(head, folder, {
    models: options.model ?? [],
    seed: options.seed,
    wildType: features.wildType,
    offset: options.offset ?? 1,
    trained: all.length,
    scoring: scoreOptions(options),
    tuned: method === 'fine-tune' && options.layers !== 0,
  });
  if (!options.quiet) {
    process.stderr.write(`saved ${folder}: use it with protein-lm score --head ${folder}\n`);
  }
}

function warnOfRows(path: string, counts: Record<string, number>): void {
  for (const [reason, count] of Object.entries(counts)) {
    if (count > 0) {
      process.stderr.write(`warning: ${path}: ${count} rows left out (${reason})\n`);
    }
  }
}

function leftOut(path: string, what: string, reason: string): false {
  process.stderr.write(`warning: ${path}: ${what} left out, ${reason}\n`);
  return false;
}
