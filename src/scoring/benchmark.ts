import { readdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { InputError } from '../data/errors.js';
import { readProteins } from '../data/proteins.js';
import type { Warnings } from '../data/warnings.js';
import type { LanguageModel } from '../model/model.js';
import { type Assay, type AssayOptions, readAssay } from './assay.js';
import { type BlendOptions, scoreZeroShot } from './blend.js';
import { bootstrapSpearman, type Interval } from './bootstrap.js';
import { type Evidence, placeEvidence } from './evidence.js';
import { auc, binarise, evaluateScores, type Metrics } from './metrics.js';
import type { ScoreOptions } from './schemes.js';
import { readTable, type Table } from './tables.js';
import { isSubstitution } from './variants.js';

/** An assay of a folder, found but not read yet. */
export interface AssayFile {
  id: string;
  path: string;
  /** From the reference, or a FASTA file beside it; absent where the assay itself must say it. */
  wildType?: string;
  uniprot?: string;
  selectionType?: string;
  /** Published Spearman correlations by model. */
  published: Record<string, number>;
}

/** One line of a benchmark. */
export interface BenchmarkResult {
  id: string;
  /**
   * Whether the variants are single substitutions, also of several, or insertions and deletions; or, whatever they are, a
   * clinic's judgement is what the scores are measured by.
   */
  kind: 'singles' | 'multiples' | 'indels' | 'clinical';
  /** Variants scored. */
  variants: number;
  /** Rows left out: without a score (stop codons, unknown letters), a measured value, or a matching wild type. */
  left: { unscored: number; missing: number; mismatches: number; unscorable: Record<string, number> };
  metrics: Metrics;
  spearmanInterval?: Interval;
  /** [variants] */
  scores: Float64Array;
  measured: Float64Array;
  names: string[];
}

const TABLE = /\.(csv|tsv|jsonl?|ndjson|arrow|feather|parquet)(\.gz)?$/i;
const FASTA = /\.(fasta|fas|fa|faa)(\.gz)?$/i;
/** References that are taken when they lie in the folder of the assays. */
const REFERENCES = ['assays.csv', 'DMS_substitutions.csv', 'DMS_indels.csv'];

/**
 * Finds a folder's assays, sorted by name: every table that is no reference. A reference (ProteinGym's
 * `DMS_substitutions.csv`, or any table with `DMS_id` and `target_seq`) gives wild types, `UniProt_ID` and
 * `coarse_selection_type`; its columns of numbers between -1 and 1 count as published Spearman correlations.
 *
 * A wild type that no reference has comes from a FASTA file whose name is the assay's or begins it
 * (`A4_HUMAN.fasta` for `A4_HUMAN_Seuma_2022_indels.csv`), or from the assay's own columns.
 *
 * @param reference further references, or published values; default: those that lie in the folder
 */
export async function findAssays(folder: string, reference: readonly string[] = []): Promise<AssayFile[]> {
  const names = readdirSync(folder).sort();
  const inFolder = names.filter((name) => REFERENCES.includes(name)).map((name) => join(folder, name));
  // By their real paths: one file may be spelled in many ways.
  const references = new Map([...inFolder, ...reference].map((path) => [realpathSync(path), path]));
  const known = new Map<string, Omit<AssayFile, 'id' | 'path'>>();
  for (const path of references.values()) {
    const table = await readTable(path);
    // Figures of splits are a supervised benchmark's.
    if (!table.columnNames().includes('split')) {
      readReference(table, path, known);
    }
  }

  const proteins = new Map<string, string>();
  for (const name of names) {
    if (!FASTA.test(name)) {
      continue;
    }
    for await (const { sequence } of readProteins(join(folder, name))) {
      proteins.set(name.replace(FASTA, ''), sequence);
      break;
    }
  }
  const files = names.filter((name) => TABLE.test(name) && !references.has(realpathSync(join(folder, name))));
  if (files.length === 0) {
    throw new InputError(`${folder} has no assays; give a folder of .csv files in ProteinGym's columns`);
  }
  return files.map((name) => {
    const id = name.replace(TABLE, '');
    const entry = known.get(id);
    const stem = [...proteins.keys()].filter((key) => id.startsWith(key)).sort((a, b) => b.length - a.length)[0];
    return {
      published: {},
      ...entry,
      id,
      path: join(folder, name),
      wildType: entry?.wildType ?? (stem === undefined ? undefined : proteins.get(stem)),
    };
  });
}

/** Names of files that hold alignments, and structures. */
export const ALIGNMENT_FILES = /\.(a3m|a2m|fasta|fas|fa|afa|aln|clustal|clw|sto|stk|stockholm)(\.gz)?$/i;
export const STRUCTURE_FILES = /\.(pdb|ent|cif|mmcif|bcif)(\.gz)?$/i;

/**
 * The file of a folder that belongs to an assay: whose name is the assay's, else begins it, else begins with the entry
 * name that the assay's begins with (`BLAT_ECOLX`).
 * @param kind what names of files must match
 * @returns its path, or undefined where there is none
 * @throws InputError where several belong to it equally
 */
export function fileOfAssay(folder: string, kind: RegExp, { id, uniprot }: AssayFile): string | undefined {
  const entry = uniprot ?? id.split('_').slice(0, 2).join('_');
  const files = readdirSync(folder)
    .sort()
    .filter((name) => kind.test(name))
    .map((name) => ({ name, stem: name.replace(kind, '') }));
  const beginning = files.filter(({ stem }) => id.startsWith(`${stem}_`));
  const longest = Math.max(...beginning.map(({ stem }) => stem.length));
  const groups = [
    files.filter(({ stem }) => stem === id),
    beginning.filter(({ stem }) => stem.length === longest),
    files.filter(({ stem }) => stem === entry || stem.startsWith(`${entry}_`)),
  ];
  const found = groups.find((group) => group.length > 0) ?? [];
  if (found.length > 1) {
    const names = found.map(({ name }) => name).join(', ');
    throw new InputError(`${folder}: several files are of assay ${id}: ${names}; keep one`);
  }
  return found.length === 0 ? undefined : join(folder, found[0].name);
}

/** Columns of ProteinGym's reference files that are numbers between -1 and 1 without being published results. */
const NOT_PUBLISHED = /^(DMS_|MSA_|raw_|includes_)|version|offset|cutoff|threshold/i;

function readReference(source: Table, path: string, known: Map<string, Omit<AssayFile, 'id' | 'path'>>): void {
  const names = source.columnNames();
  const idColumn = ['DMS_id', 'DMS ID'].find((name) => names.includes(name));
  if (!idColumn) {
    throw new InputError(`${path} has no column DMS_id; it has ${names.join(', ')}`);
  }
  const column = (name: string) => (names.includes(name) ? (source.array(name) as ArrayLike<unknown>) : undefined);
  const ids = column(idColumn)!;
  const sequences = column('target_seq');
  const uniprots = column('UniProt_ID');
  const types = column('coarse_selection_type');
  const published = names.filter((name) => {
    if (name === idColumn || NOT_PUBLISHED.test(name)) {
      return false;
    }
    const cells = Array.from(column(name)!).filter((cell) => cell !== null && cell !== undefined);
    return cells.length > 0 && cells.every((cell) => String(cell).trim() !== '' && Math.abs(Number(cell)) <= 1);
  });
  const text = (cell: unknown) =>
    cell === null || cell === undefined || cell === '' ? undefined : String(cell).trim();
  for (let i = 0; i < source.numRows(); i++) {
    const id = text(ids[i]);
    if (id === undefined) {
      continue;
    }
    const before = known.get(id);
    const values = published.flatMap((name): [string, number][] => {
      const cell = text(column(name)![i]);
      return cell === undefined ? [] : [[name, Number(cell)]];
    });
    known.set(id, {
      wildType: text(sequences?.[i])?.toUpperCase() ?? before?.wildType,
      uniprot: text(uniprots?.[i]) ?? before?.uniprot,
      selectionType: text(types?.[i]) ?? before?.selectionType,
      published: { ...before?.published, ...Object.fromEntries(values) },
    });
  }
}

export interface BenchmarkOptions extends Omit<ScoreOptions, 'factors'>, BlendOptions {
  assay?: AssayOptions;
  /** What is known of the assay's protein beside the models. */
  evidence?: Evidence;
  /** Takes what does not fit between the evidence and the protein. */
  warnings?: Warnings;
  /** Resamples of the interval around Spearman's correlation; 0 leaves it out. Default 1000. */
  bootstrap?: number;
  seed?: number;
}

/**
 * Scores one assay zero-shot and measures it as ProteinGym does.
 * @param models may be empty where the evidence has an alignment
 */
export async function benchmarkAssay(
  models: readonly LanguageModel[],
  file: AssayFile,
  options: BenchmarkOptions = {},
): Promise<BenchmarkResult> {
  const assay = await readAssay(file.path, file.wildType, options.assay);
  const { offset } = options.assay ?? {};
  const evidence = placeEvidence(options.evidence ?? {}, assay.wildType, `the wild type of ${file.path}`, {
    offset,
    warnings: options.warnings,
  });
  const all = await scoreZeroShot(models, evidence, assay.wildType, assay.variants, options);
  const rows = [...all.keys()].filter((i) => !Number.isNaN(all[i]));
  if (rows.length === 0) {
    throw new InputError(`${file.path}: none of its variants has a score`);
  }
  const pick = <T>(values: ArrayLike<T>) => rows.map((row) => values[row]);
  const measured = Float64Array.from(pick(assay.measured));
  const scores = Float64Array.from(pick(all));
  const labels = assay.labels ? Uint8Array.from(pick(assay.labels)) : binarise(measured);
  const { bootstrap = 1000, seed } = options;
  return {
    id: file.id,
    kind: kindOf(assay),
    variants: rows.length,
    left: { unscored: all.length - rows.length, ...assay.skipped },
    metrics: assay.clinical ? { ...NO_METRICS, auc: auc(labels, scores) } : evaluateScores(measured, scores, labels),
    spearmanInterval:
      bootstrap > 0 && !assay.clinical ? bootstrapSpearman(measured, scores, { samples: bootstrap, seed }) : undefined,
    scores,
    measured,
    names: pick(assay.variants).map((variant) => variant.name),
  };
}

/** A judgement of two values has no other measure than how well scores part them. */
const NO_METRICS: Metrics = {
  spearman: Number.NaN,
  auc: Number.NaN,
  mcc: Number.NaN,
  ndcg: Number.NaN,
  topRecall: Number.NaN,
};

function kindOf({ clinical, variants }: Assay): BenchmarkResult['kind'] {
  if (clinical) {
    return 'clinical';
  }
  if (!variants.every(isSubstitution)) {
    return 'indels';
  }
  return variants.every((variant) => variant.edits.length <= 1) ? 'singles' : 'multiples';
}
