import { InputError } from '../data/errors.js';

/** What is read of a table; arquero's `ColumnTable` is one. */
export interface Table {
  numRows(): number;
  columnNames(): string[];
  /** A cell. */
  get(name: string, row: number): unknown;
  /** The cells of a column. */
  array(name: string): ArrayLike<unknown> & Iterable<unknown>;
}

/** Names of the columns to read; what is absent here has ProteinGym's name, or one of `COLUMN_NAMES`. */
export interface ColumnNames {
  /** Variants such as `A24G:K30R`. */
  mutant?: string;
  /** Whole mutated sequences. */
  mutatedSequence?: string;
  /** Measured values, higher is fitter. */
  score?: string;
  /** Measured values as 0 or 1. */
  label?: string;
  /** Which protein a row belongs to, where a table holds several. */
  sequenceId?: string;
  /** Whether a variant is pathogenic: `Pathogenic` and `Benign`, or 1 and 0. */
  clinical?: string;
}

/** What a column may be called when no name is given: ProteinGym's name first. */
export const COLUMN_NAMES = {
  // Of MaveDB, dms_variants, AlphaMissense, EVE, VEP, Enrich2 and ClinVar.
  mutant: [
    'mutant',
    'variant',
    'mutation',
    'hgvs_pro',
    'aa_substitutions',
    'protein_variant',
    'mutations',
    'HGVSp',
    'hgvs',
    'Name',
  ],
  // Of DiMSum.
  mutatedSequence: ['mutated_sequence', 'aa_seq'],
  // Of MaveDB and Enrich2, DiMSum, dms_variants.
  score: ['DMS_score', 'score', 'fitness', 'func_score'],
  label: ['DMS_score_bin'],
  sequenceId: ['sequence_id'],
  clinical: ['DMS_bin_score'],
} as const satisfies Record<keyof ColumnNames, readonly string[]>;

/** Columns that make up a substitution together: position, wild type and mutant, in any spelling of their case. */
const SITE_COLUMNS = {
  position: ['site', 'position', 'pos', 'resi', 'residue_number', 'aa_pos'],
  wildType: ['wildtype', 'wild_type', 'wt', 'wt_aa', 'wildtype_aa', 'aa_ref', 'ref_aa', 'aa1'],
  mutant: ['mutation', 'mutant', 'mut', 'mt_aa', 'mut_aa', 'mutant_aa', 'aa_alt', 'alt_aa', 'aa2'],
} as const;

/** One row of a table of variants. `row` counts from 1, the header not included. */
export interface VariantRow {
  row: number;
  /** Absent, with `mutatedSequence`, where the row has no variant. */
  mutant?: string;
  mutatedSequence?: string;
  /** NaN where the cell is empty or says NaN. */
  score?: number;
  label?: number;
  sequenceId?: string;
  /** Whether it is pathogenic, in tables of clinical variants. */
  pathogenic?: boolean;
}

const MISSING = new Set(['', 'na', 'n/a', 'nan', 'null', 'none']);

/**
 * Reads a table, by its content: CSV (with commas, semicolons or tabs, told by the header), JSON (rows, columns, what
 * pandas writes, a row a line), Arrow and Feather, also with LZ4 or Zstandard, Parquet, and FoldX's list of mutants;
 * text in UTF-8 or UTF-16, all plain or gzip. Lines with # before the header are comments. Cells of text stay text, or
 * null where empty.
 *
 * @throws InputError naming the file where it is empty, cut off, or no table, and what to do with a table of another kind
 */
export async function readTable(path: string): Promise<Table> {
  // Loaded with the first table: whoever reads none does not wait for it.
  const { readTableFile } = await import('./tableFiles.js');
  return readTableFile(path);
}

/**
 * The rows of a table of variants, typed and checked; blank lines are left out. Told by their content are whole sequences
 * in the column of variants (ProteinGym's indels), and a substitution in three columns (site, wild type, mutation). An
 * empty cell of `aa_substitutions` is the wild type, as dms_variants writes it.
 *
 * @param needed columns that must be there; an array means that one of them is enough
 * @throws InputError naming file, row and column of a cell that is no number, and a column that is absent
 */
export function variantRows(
  source: Table,
  path: string,
  names: ColumnNames = {},
  needed: readonly (keyof ColumnNames)[][] = [['mutant', 'mutatedSequence']],
): VariantRow[] {
  const present = source.columnNames();
  const columns: ColumnNames = {};
  for (const key of Object.keys(COLUMN_NAMES) as (keyof ColumnNames)[]) {
    const asked = names[key];
    if (asked !== undefined && !present.includes(asked)) {
      throw new InputError(`${path} has no column ${asked}; it has ${present.join(', ')}`);
    }
    columns[key] = asked ?? COLUMN_NAMES[key].find((name) => present.includes(name));
  }
  const column = (name: string) => source.array(name) as ArrayLike<unknown>;
  const sites = names.mutant === undefined ? siteColumns(source) : undefined;
  if (sites) {
    columns.mutant = sites.mutant;
  }
  if (columns.mutant !== undefined && columns.mutant === names.mutatedSequence) {
    columns.mutant = undefined;
  }
  if (
    columns.mutant !== undefined &&
    !sites &&
    names.mutatedSequence === undefined &&
    holdsSequences(column(columns.mutant))
  ) {
    columns.mutatedSequence = columns.mutant;
    columns.mutant = undefined;
  }
  for (const keys of needed) {
    if (keys.some((key) => columns[key] !== undefined)) {
      continue;
    }
    const wanted = keys.map((key) => names[key] ?? COLUMN_NAMES[key][0]).join(' or ');
    throw new InputError(
      `${path} has no column ${wanted}; it has ${present.join(', ')}: name yours by the column flags`,
    );
  }

  const cells = (key: keyof ColumnNames) => {
    const name = columns[key];
    return name === undefined ? undefined : (source.array(name) as ArrayLike<unknown>);
  };
  const mutants = sites ? sites.variants : cells('mutant');
  const clinical = cells('clinical');
  const emptyIsWildType = columns.mutant === 'aa_substitutions';
  const sequences = cells('mutatedSequence');
  const scores = cells('score');
  const labels = cells('label');
  const ids = cells('sequenceId');
  const rows: VariantRow[] = [];
  for (let i = 0; i < source.numRows(); i++) {
    if (present.every((name) => isBlank(column(name)[i]))) {
      continue;
    }
    const row = i + 1;
    const where = `${path} row ${row}`;
    const result: VariantRow = { row };
    const mutant = variantText(mutants?.[i]) ?? (emptyIsWildType ? 'WT' : undefined);
    const sequence = variantText(sequences?.[i]);
    const id = cellText(ids?.[i]);
    if (mutant !== undefined) {
      result.mutant = mutant;
    }
    if (sequence !== undefined) {
      result.mutatedSequence = readSequence(sequence, `${where}, ${columns.mutatedSequence}`);
    }
    if (scores) {
      result.score = readNumber(scores[i], `${where}, ${columns.score}`);
    }
    if (labels) {
      const label = readNumber(labels[i], `${where}, ${columns.label}`);
      if (!Number.isNaN(label) && label !== 0 && label !== 1) {
        throw new InputError(`${where}, ${columns.label}: "${String(labels[i])}" is neither 0 nor 1`);
      }
      if (!Number.isNaN(label)) {
        result.label = label;
      }
    }
    if (id !== undefined) {
      result.sequenceId = id;
    }
    if (clinical) {
      result.pathogenic = readClinical(clinical[i], `${where}, ${columns.clinical}`);
    }
    rows.push(result);
  }
  if (rows.length === 0) {
    throw new InputError(`${path} has no rows`);
  }
  return rows;
}

function isBlank(cell: unknown): boolean {
  return cell === null || cell === undefined || (typeof cell === 'string' && cell.trim() === '');
}

/** A variant's cell; undefined where it is empty or says that there is none. */
function variantText(cell: unknown): string | undefined {
  const content = cellText(cell);
  return content === undefined || MISSING.has(content.toLowerCase()) ? undefined : content;
}

/** Whether a column of variants holds whole sequences: letters only, of which some are longer than any code. */
function holdsSequences(cells: ArrayLike<unknown>): boolean {
  const texts = Array.from(cells, variantText).filter((text): text is string => text !== undefined);
  const sequences = texts.filter((text) => !/^_?(wt|sy|wild[-_]?type)$/i.test(text));
  return sequences.every((text) => /^[A-Za-z]+\*?$/.test(text)) && sequences.some((text) => text.length > 3);
}

/** Substitutions in three columns, and which of them holds the mutant; undefined where there are none. */
function siteColumns(source: Table): { mutant: string; variants: (string | null)[] } | undefined {
  const present = source.columnNames();
  const find = (names: readonly string[]) =>
    names.map((name) => present.find((one) => one.toLowerCase() === name)).find((name) => name !== undefined);
  const [position, wildType, mutant] = [SITE_COLUMNS.position, SITE_COLUMNS.wildType, SITE_COLUMNS.mutant].map(find);
  if (position === undefined || wildType === undefined || mutant === undefined) {
    return undefined;
  }
  const [places, before, after] = [position, wildType, mutant].map((name) =>
    Array.from(source.array(name) as ArrayLike<unknown>, cellText),
  );
  const isCode = (text: string | undefined) => text === undefined || /^([A-Za-z]{3}|[A-Za-z*=-]|del)$/.test(text);
  if (!before.every(isCode) || !after.every(isCode)) {
    return undefined;
  }
  const variants = places.map((place, i) =>
    place === undefined || before[i] === undefined || after[i] === undefined
      ? null
      : `${before[i]}${Number(place)}${after[i]}`,
  );
  return { mutant, variants };
}

/** Whether a cell says pathogenic: in words, or 1 (ProteinGym); undefined where it says neither. */
function readClinical(cell: unknown, where: string): boolean | undefined {
  const content = cellText(cell)?.toLowerCase();
  if (content === undefined || MISSING.has(content)) {
    return undefined;
  }
  if (/^((likely[_ ])?pathogenic|1(\.0)?)$/.test(content)) {
    return true;
  }
  if (/^((likely[_ ])?benign|0(\.0)?)$/.test(content)) {
    return false;
  }
  throw new InputError(`${where}: "${String(cell)}" is neither Pathogenic nor Benign (1 or 0)`);
}

function cellText(cell: unknown): string | undefined {
  if (cell === null || cell === undefined) {
    return undefined;
  }
  const content = String(cell).trim();
  return content === '' ? undefined : content;
}

/** A residue sequence in upper case; anything but letters and a stop is an error. */
function readSequence(content: string, where: string): string {
  const sequence = content.toUpperCase();
  const bad = /[^A-Z*]/.exec(sequence);
  if (bad) {
    throw new InputError(`${where}: "${bad[0]}" at position ${bad.index + 1} is no residue`);
  }
  return sequence;
}

function readNumber(cell: unknown, where: string): number {
  if (typeof cell === 'number' && Number.isFinite(cell)) {
    return cell;
  }
  if (typeof cell === 'boolean') {
    return cell ? 1 : 0;
  }
  const content = cell === null || cell === undefined ? '' : String(cell).trim();
  if (MISSING.has(content.toLowerCase())) {
    return Number.NaN;
  }
  if (/^(true|false)$/i.test(content)) {
    return content.toLowerCase() === 'true' ? 1 : 0;
  }
  const value = Number(content);
  if (!Number.isFinite(value)) {
    throw new InputError(`${where}: "${content}" is not a finite number`);
  }
  return value;
}
