import { InputError } from '../data/errors.js';
import { NucleotideTally } from '../data/proteins.js';
import { type AlignmentFormat, type AlignmentRow, alignmentFormat, readRows } from './rows.js';

/** Letters of a column, in the order of their codes: the 20 amino acids by their one-letter codes. */
export const LETTERS = 'ACDEFGHIKLMNPQRSTVWY';
/** Code of a gap, and of what is no certain amino acid (B, J, O, U, X, Z). */
export const GAP = LETTERS.length;

/** A family's sequences over the residues of one of them, the query. */
export interface Alignment {
  /** The file's name, for messages. */
  file: string;
  /** The query's name. */
  query: string;
  /** The query's residues as the file has them, without gaps. */
  querySequence: string;
  /** [length] Which residue of `querySequence` each column is, from 0. A residue that counts as a gap has no column. */
  positions: Int32Array;
  /** Rows, the query with them. */
  depth: number;
  /** Columns. */
  length: number;
  /** [depth × length] Codes of the letters, `GAP` for a gap; the query's row comes first. */
  rows: Uint8Array;
  /** [depth] The rows' names. */
  names: string[];
}

export interface AlignmentOptions {
  /**
   * The row whose residues are the columns; default the first. A name without its range is enough where only one row
   * has it: `YAP1_HUMAN` for `YAP1_HUMAN/173-202`.
   */
  query?: string;
}

/** Rows that the check for nucleotides looks at. */
const TALLIED = 1000;

/**
 * Reads an alignment: a3m, a2m, aligned FASTA, Stockholm or CLUSTAL, plain or gzip, told by what the file holds. It is
 * read twice, in memory for its columns alone.
 *
 * - Rows that are equally long as written are columns letter by letter: lower case, which marks columns with many gaps
 *   (EVcouplings), counts as upper case, and `.` as a gap.
 * - Rows that are not are an a3m's: lower case and `.` are insertions, which have no column.
 * - Columns in which the query has a gap are left out. B, J, O, U, X, Z and `*` count as gaps.
 *
 * @throws InputError with file and line, for: no rows; the query alone; no row of that name, or several; rows that are
 *   not equally long; letters of no protein; nucleotides
 */
export async function readAlignment(path: string, options: AlignmentOptions = {}): Promise<Alignment> {
  const format = await alignmentFormat(path);
  const { query, depth, ragged } = await survey(path, format, options.query);
  const shape = columnsOf(query, path, ragged);
  const { columns, width, positions } = shape;
  const length = positions.length;
  const rows = new Uint8Array(depth * length);
  const names: string[] = [query.id];
  let next = 1;
  for await (const row of readRows(path, format)) {
    const isQuery = row.line === query.line;
    encode(row, path, ragged, width, columns, rows, (isQuery ? 0 : next) * length);
    if (!isQuery) {
      names[next++] = row.id;
    }
  }
  return {
    file: path,
    query: query.id,
    querySequence: residuesOf(query.text),
    positions,
    depth,
    length,
    rows,
    names,
  };
}

/** The residues of a row, without gaps, in upper case. */
export function residuesOf(text: string): string {
  return text.replace(/[-.~_*]/g, '').toUpperCase();
}

/** What is written where a row has no residue. */
const GAPS = '-.~_*';

/** What the first reading tells: the query, how many rows there are, and whether they are an a3m's. */
async function survey(
  path: string,
  format: AlignmentFormat,
  wanted: string | undefined,
): Promise<{ query: AlignmentRow; depth: number; ragged: boolean }> {
  const tally = new NucleotideTally();
  const named: AlignmentRow[] = [];
  const inRange: AlignmentRow[] = [];
  const few: string[] = [];
  let first: AlignmentRow | undefined;
  let other: AlignmentRow | undefined;
  let depth = 0;
  for await (const row of readRows(path, format)) {
    first ??= row;
    if (row.text.length !== first.text.length) {
      other ??= row;
    }
    if (depth++ < TALLIED) {
      tally.add(residuesOf(row.text));
    }
    if (few.length < 3) {
      few.push(row.id);
    }
    if (row.id === wanted) {
      named.push(row);
    } else if (wanted !== undefined && row.id.startsWith(`${wanted}/`)) {
      inRange.push(row);
    }
  }
  if (!first) {
    throw new InputError(`${path}: no rows in it; give an alignment`);
  }
  if (tally.isNucleotide) {
    throw new InputError(
      `${path}: these look like DNA or RNA, an alignment of proteins is needed; translate the sequences and align them`,
    );
  }
  if (other) {
    checkRagged(path, format, first, other);
  }
  if (depth === 1) {
    throw new InputError(
      `${path}: one row, ${first.id}, which tells nothing of its family; give an alignment with its homologues`,
    );
  }
  const found = named.length > 0 ? named.slice(0, 1) : inRange;
  if (wanted !== undefined && found.length !== 1) {
    throw new InputError(
      found.length === 0
        ? `${path}: no row ${wanted}; it has ${few.join(', ')}${depth > few.length ? ' and others' : ''}`
        : `${path}: ${found.length} rows are of ${wanted}; name one of ${found.map(({ id }) => id).join(', ')}`,
    );
  }
  return { query: found[0] ?? first, depth, ragged: other !== undefined };
}

/** @throws InputError where rows of different lengths cannot be an a3m's */
function checkRagged(path: string, format: AlignmentFormat, first: AlignmentRow, other: AlignmentRow): void {
  const lengths =
    `${path}:${other.line}, row ${other.id}: ${other.text.length} letters and gaps, the first row has ` +
    `${first.text.length}`;
  if (format !== 'fasta') {
    throw new InputError(`${lengths}; the rows of an alignment are equally long, get it again`);
  }
  if (/\.a2m(\.gz)?$/i.test(path)) {
    throw new InputError(
      `${lengths}; an a2m's rows are equally long (where lower case letters are insertions, name the file .a3m)`,
    );
  }
}

const isInsertion = (code: number) => code === DOT || (code >= LOWER_A && code <= LOWER_Z);
const DOT = '.'.charCodeAt(0);
const LOWER_A = 'a'.charCodeAt(0);
const LOWER_Z = 'z'.charCodeAt(0);

/** Which of a row's columns are the query's residues: `columns` [width], the number of the kept column or -1. */
function columnsOf(
  query: AlignmentRow,
  path: string,
  ragged: boolean,
): { columns: Int32Array; width: number; positions: Int32Array } {
  const columns: number[] = [];
  const positions: number[] = [];
  let residue = 0;
  for (let i = 0; i < query.text.length; i++) {
    const character = query.text.charCodeAt(i);
    const code = codeOf(character);
    if (!(ragged && isInsertion(character))) {
      columns.push(code < GAP ? positions.length : -1);
      if (code < GAP) {
        positions.push(residue);
      }
    }
    if (!GAPS.includes(query.text[i])) {
      residue++;
    }
  }
  if (positions.length === 0) {
    throw new InputError(`${path}:${query.line}, row ${query.id}: the query has no residues; give another by --query`);
  }
  return { columns: Int32Array.from(columns), width: columns.length, positions: Int32Array.from(positions) };
}

function encode(
  row: AlignmentRow,
  path: string,
  ragged: boolean,
  width: number,
  columns: Int32Array,
  rows: Uint8Array,
  offset: number,
): void {
  const { text } = row;
  let column = 0;
  for (let i = 0; i < text.length; i++) {
    const character = text.charCodeAt(i);
    const code = codeOf(character);
    if (code === INVALID) {
      throw new InputError(
        `${path}:${row.line}, row ${row.id}: ${JSON.stringify(text[i])} is no letter of a protein's row`,
      );
    }
    if (ragged && isInsertion(character)) {
      continue;
    }
    const kept = columns[column++];
    if (kept >= 0) {
      rows[offset + kept] = code;
    }
  }
  if (column !== width) {
    throw new InputError(
      `${path}:${row.line}, row ${row.id}: ${column} columns (capitals and -), the query has ${width}; ` +
        'the rows of an alignment have equally many: is it aligned?',
    );
  }
}

const INVALID = 255;

const CODES = Uint8Array.from({ length: 128 }, (_, character) => {
  const letter = String.fromCharCode(character).toUpperCase();
  const code = LETTERS.indexOf(letter);
  return code !== -1 ? code : `BJOUXZ${GAPS}`.includes(letter) ? GAP : INVALID;
});

function codeOf(character: number): number {
  return character < CODES.length ? CODES[character] : INVALID;
}
