import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import type { ColumnTable } from 'arquero';
import { InputError } from '../data/errors.js';

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
}

/** What a column may be called when no name is given: ProteinGym's name first. */
export const COLUMN_NAMES = {
  mutant: ['mutant', 'variant', 'mutation', 'hgvs_pro'],
  mutatedSequence: ['mutated_sequence'],
  score: ['DMS_score'],
  label: ['DMS_score_bin'],
  sequenceId: ['sequence_id'],
} as const satisfies Record<keyof ColumnNames, readonly string[]>;

/** One row of a table of variants. `row` counts from 1, the header not included. */
export interface VariantRow {
  row: number;
  mutant?: string;
  mutatedSequence?: string;
  /** NaN where the cell is empty or says NaN. */
  score?: number;
  label?: number;
  sequenceId?: string;
}

const MISSING = new Set(['', 'na', 'n/a', 'nan', 'null', 'none']);
const decompress = promisify(gunzip);

/**
 * Reads a table: `.csv`, `.tsv`/`.txt` (tabs), `.json` (rows or columns) or `.arrow`/`.feather`, each also with `.gz`.
 * Cells of CSV and TSV stay text, or null where empty.
 *
 * @throws InputError naming the file where it is empty, cut off, or no table
 */
export async function readTable(path: string): Promise<ColumnTable> {
  let bytes: Uint8Array = await readFile(path);
  let name = path.toLowerCase();
  if (name.endsWith('.gz')) {
    name = name.slice(0, -3);
    bytes = await decompress(bytes).catch((error: Error) => {
      throw new InputError(`${path} is no whole gzip file (${error.message}); fetch it again`);
    });
  }
  if (bytes.length === 0) {
    throw new InputError(`${path} is empty; a table of variants is needed`);
  }
  const read = READERS.find(([pattern]) => pattern.test(name))?.[1];
  if (!read) {
    throw new InputError(`${path}: the extension names no table; use .csv, .tsv, .json or .arrow, or .gz of them`);
  }
  // Loaded with the first table: whoever reads none does not wait for it.
  const arquero = await import('arquero');
  let result: ColumnTable;
  try {
    result = read(arquero, bytes, path);
  } catch (error) {
    if (error instanceof InputError) {
      throw error;
    }
    throw new InputError(`${path} does not read as a table (${(error as Error).message})`);
  }
  if (result.numRows() === 0) {
    throw new InputError(`${path} has no rows`);
  }
  return result;
}

type Arquero = typeof import('arquero');

const READERS: [RegExp, (arquero: Arquero, bytes: Uint8Array, path: string) => ColumnTable][] = [
  [/\.csv$/, (arquero, bytes, path) => readDelimited(arquero, text(bytes), ',', path)],
  [/\.(tsv|txt|tab)$/, (arquero, bytes, path) => readDelimited(arquero, text(bytes), '\t', path)],
  [/\.json$/, ({ fromJSON }, bytes) => fromJSON(text(bytes), { autoType: false })],
  [/\.(arrow|feather|ipc)$/, ({ fromArrow }, bytes) => fromArrow(bytes)],
];

/** UTF-8 without its byte order mark. */
function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function readDelimited({ fromCSV, table }: Arquero, content: string, delimiter: string, path: string): ColumnTable {
  if (content.trim() === '') {
    throw new InputError(`${path} is empty; a table of variants is needed`);
  }
  const text = content.replace(/^[\r\n]+/, '');
  // arquero takes as many cells of a row as the first row has: one of empty cells goes before all, with as many as any.
  const most = text.split('\n').reduce((cells, line) => Math.max(cells, line.split(delimiter).length), 2);
  const padded = `${delimiter.repeat(most - 1)}\n${text}`;
  // The header is read as a row, so that a name that occurs twice is seen.
  const cells = fromCSV(padded, { delimiter, header: false, autoType: false });
  const parsed = cells.columnNames().map((column) => {
    const [, header, ...values] = [...cells.array(column)] as (string | null | undefined)[];
    return { name: header?.trim() ?? '', values };
  });
  // Spreadsheets end every line with the delimiters of empty columns.
  const isEmpty = (cell?: string | null) => (cell ?? '').trim() === '';
  const width = parsed.findLastIndex(({ name }) => name !== '') + 1;
  const wide = parsed.slice(width).map(({ values }) => values.findIndex((value) => !isEmpty(value)));
  const row = Math.min(...wide.filter((place) => place !== -1));
  if (row !== Number.POSITIVE_INFINITY) {
    const count = parsed.findLastIndex(({ values }) => !isEmpty(values[row])) + 1;
    throw new InputError(
      `${path} row ${row + 1} has ${count} cells, its header names ${width} columns; put a cell that holds a ` +
        `${delimiter === '\t' ? 'tab' : 'comma'} in double quotes, join the mutations of one variant by ':', or name ` +
        'the column',
    );
  }
  const columns = new Map<string, unknown[]>();
  for (const [i, { name: header, values }] of parsed.slice(0, width).entries()) {
    const name = header || `col${i + 1}`;
    if (columns.has(name)) {
      throw new InputError(`${path} has two columns named ${name}; rename one`);
    }
    columns.set(
      name,
      values.map((value) => value ?? null),
    );
  }
  return table([...columns]);
}

/**
 * The rows of a table of variants, typed and checked; blank lines are left out.
 *
 * @param needed columns that must be there; an array means that one of them is enough
 * @throws InputError naming file, row and column of a cell that is no number, and a column that is absent
 */
export function variantRows(
  source: ColumnTable,
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
  const mutants = cells('mutant');
  const sequences = cells('mutatedSequence');
  const scores = cells('score');
  const labels = cells('label');
  const ids = cells('sequenceId');
  const rows: VariantRow[] = [];
  for (let i = 0; i < source.numRows(); i++) {
    const all = [mutants?.[i], sequences?.[i], scores?.[i], labels?.[i], ids?.[i]];
    if (all.every((cell) => cell === undefined || cell === null)) {
      continue;
    }
    const row = i + 1;
    const where = `${path} row ${row}`;
    const result: VariantRow = { row };
    const mutant = cellText(mutants?.[i]);
    const sequence = cellText(sequences?.[i]);
    const id = cellText(ids?.[i]);
    if (mutant !== undefined) {
      result.mutant = mutant;
    }
    if (sequence !== undefined) {
      result.mutatedSequence = readSequence(sequence, `${where}, ${columns.mutatedSequence}`);
    }
    if (result.mutant === undefined && result.mutatedSequence === undefined) {
      throw new InputError(`${where} has no variant: ${columns.mutant ?? columns.mutatedSequence} is empty`);
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
    rows.push(result);
  }
  if (rows.length === 0) {
    throw new InputError(`${path} has no rows`);
  }
  return rows;
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
