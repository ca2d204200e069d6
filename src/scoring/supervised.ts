import type { LanguageModel } from '../model/model.js';
import { mean } from './aggregate.js';
import { type AssayOptions, readAssay } from './assay.js';
import type { AssayFile } from './benchmark.js';
import { type AssayHeadOptions, crossValidate, type Method } from './heads/assayHead.js';
import { type Coverage, coverageOf, methodFits, splitFits, trainingVariants } from './heads/crossValidation.js';
import { assignFolds, type Split } from './heads/folds.js';
import type { GaussianEvidence } from './heads/gp/evidence.js';
import { spearman } from './metrics.js';
import type { ScoreOptions } from './schemes.js';
import type { Table } from './tables.js';

/** Published figures of a supervised benchmark, by assay and split: `Spearman Kermut`, `MSE Kermut`. */
export type PublishedSplits = Map<string, Map<string, Record<string, number>>>;

/** Published figures that a table has by `DMS_id` and `split`; undefined where it has no such columns. */
export function publishedSplits(table: Table): PublishedSplits | undefined {
  const names = table.columnNames();
  if (!names.includes('DMS_id') || !names.includes('split')) {
    return undefined;
  }
  const published: PublishedSplits = new Map();
  const columns = names.filter((name) => name !== 'DMS_id' && name !== 'split');
  for (let row = 0; row < table.numRows(); row++) {
    const id = String(table.get('DMS_id', row));
    const splits = published.get(id) ?? new Map<string, Record<string, number>>();
    const figures = columns.flatMap((name): [string, number][] => {
      const value = Number(table.get(name, row) ?? Number.NaN);
      return Number.isNaN(value) ? [] : [[name, value]];
    });
    splits.set(String(table.get('split', row)), Object.fromEntries(figures));
    published.set(id, splits);
  }
  return published;
}

/** The published figures of an assay: by its identifier, or by the longest that begins it. */
export function publishedOf(published: PublishedSplits, id: string, split: string): Record<string, number> {
  const known = published.has(id)
    ? id
    : [...published.keys()].filter((key) => id.startsWith(`${key}_`)).sort((a, b) => b.length - a.length)[0];
  return (known === undefined ? undefined : published.get(known)?.get(split)) ?? {};
}

/** One cross-validated head: an assay, a split. */
export interface SupervisedResult {
  id: string;
  method: Method;
  split: Split;
  variants: number;
  /** What the head was given: `alignment`, `structure`, `model`; or `sequence` alone. */
  given: string[];
  /** Of the predictions of all folds together. */
  spearman: number;
  /** Mean over the variants, of values standardised by each fold's training variants. */
  mse: number;
  coverage?: Coverage;
  /** Seconds that the folds took. */
  seconds: number;
}

export interface SupervisedOptions extends AssayHeadOptions {
  methods: readonly Method[];
  splits: readonly Split[];
  /** Default 5. */
  folds?: number;
  assay?: AssayOptions;
  scoring?: ScoreOptions;
  evidence?: (wildType: string) => Promise<GaussianEvidence>;
  /** Called with what is left out, and why. */
  onLeftOut?: (what: string, reason: string) => void;
}

/**
 * Cross-validates heads on an assay as ProteinGym's supervised benchmark does (Notin et al. 2023): in `random`, `modulo`
 * and `contiguous` folds, Spearman's correlation of all folds' predictions together, and the squared error of
 * standardised values. Splits and methods that do not fit the variants are left out.
 * @param models may be empty: methods other than `gp` and `one-hot` need some
 */
export async function* superviseAssay(
  models: readonly LanguageModel[],
  file: AssayFile,
  options: SupervisedOptions,
): AsyncGenerator<SupervisedResult, void, undefined> {
  const { methods, splits, folds: count = 5, seed = 0 } = options;
  const assay = await readAssay(file.path, file.wildType, options.assay);
  const evidence = await options.evidence?.(assay.wildType);
  const { features, measured } = trainingVariants(models, assay, { ...options.scoring, evidence });
  const rows = features.variants.map((_, row) => row);
  const given = [...(evidence?.given ?? []), ...(models.length > 0 ? ['model'] : [])];
  for (const method of methods) {
    if (!methodFits(method, features.variants)) {
      options.onLeftOut?.(`--method ${method}`, 'its variants change the length');
      continue;
    }
    for (const split of splits) {
      if (!splitFits(split, features.variants)) {
        options.onLeftOut?.(`--split ${split}`, 'it is for single substitutions');
        continue;
      }
      const start = performance.now();
      const folds = assignFolds(features.variants, split, count, seed);
      const predictions = await crossValidate(method, features, measured, folds, options);
      yield {
        id: file.id,
        method,
        split,
        variants: rows.length,
        given: given.length > 0 ? given : ['sequence'],
        spearman: spearman(measured, predictions.values),
        mse: mean([...predictions.squaredErrors]),
        coverage: coverageOf(predictions, measured, rows),
        seconds: (performance.now() - start) / 1000,
      };
    }
  }
}

type Row = Record<string, string | number | null>;

/**
 * The rows of a supervised benchmark, by their column `level`: `assay`, one for each split; `mean` of a split over the
 * assays, and over those with published figures, which stand beside in columns of their own. Four decimals.
 */
export function supervisedTable(results: readonly SupervisedResult[], published: PublishedSplits = new Map()): Row[] {
  const columns = [...new Set([...published.values()].flatMap((splits) => [...splits.values()].flatMap(Object.keys)))];
  const entries = results.map((result) => ({ result, beside: publishedOf(published, result.id, result.split) }));
  const line = (level: string, name: string, of: typeof entries): Row => {
    const [{ result }] = of as [(typeof entries)[number]];
    const average = (value: (entry: (typeof entries)[number]) => number | undefined) =>
      rounded(mean(of.map((entry) => value(entry) ?? Number.NaN)));
    return {
      level,
      assay: name,
      method: result.method,
      split: result.split,
      variants: of.reduce((sum, entry) => sum + entry.result.variants, 0),
      given: level === 'assay' ? result.given.join(' ') : null,
      spearman: average((entry) => entry.result.spearman),
      mse: average((entry) => entry.result.mse),
      coverage_50: average((entry) => entry.result.coverage?.half),
      coverage_90: average((entry) => entry.result.coverage?.most),
      ...Object.fromEntries(columns.map((column) => [column, average((entry) => entry.beside[column])])),
    };
  };
  const rows = entries.map((entry) => line('assay', entry.result.id, [entry]));
  for (const kind of new Set(entries.map(({ result }) => `${result.method} ${result.split}`))) {
    const group = entries.filter(({ result }) => `${result.method} ${result.split}` === kind);
    rows.push(line('mean', `all ${group.length} assays`, group));
    const compared = group.filter(({ beside }) => columns.every((column) => column in beside));
    if (columns.length > 0 && compared.length > 0 && compared.length < group.length) {
      rows.push(line('mean', `the ${compared.length} assays with published figures`, compared));
    }
  }
  return rows;
}

function rounded(value: number): number | null {
  return Number.isNaN(value) ? null : Math.round(value * 1e4) / 1e4;
}
