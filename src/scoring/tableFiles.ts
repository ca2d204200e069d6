import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { type ColumnTable, fromCSV, fromJSON, table } from 'arquero';
import { InputError } from '../data/errors.js';
import { decodeLz4Frame } from '../data/lz4.js';

const decompress = promisify(gunzip);

/** What `readTable` does. */
export async function readTableFile(path: string): Promise<ColumnTable> {
  let bytes: Uint8Array = await readFile(path);
  const name = path.toLowerCase();
  if (startsWith(bytes, GZIP) || name.endsWith('.gz')) {
    bytes = await decompress(bytes).catch((error: Error) => {
      throw new InputError(`${path} is no whole gzip file (${error.message}); fetch it again`);
    });
  }
  if (bytes.length === 0) {
    throw new InputError(`${path} is empty; a table of variants is needed`);
  }
  let result: ColumnTable;
  try {
    result = await readContent(bytes, name.replace(/\.gz$/, ''), path);
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

const GZIP = [0x1f, 0x8b];
const UTF_16 = { 'utf-16le': [0xff, 0xfe], 'utf-16be': [0xfe, 0xff] } as const;
const ASCII = (text: string) => [...text].map((letter) => letter.charCodeAt(0));

/** Files that are no tables here, by their first bytes, and what to do. */
const FOREIGN: [kind: string, magic: number[], advice: string][] = [
  ['an Excel workbook', ASCII('PK\x03\x04'), 'save the sheet as .csv'],
  ['an Excel workbook', [0xd0, 0xcf, 0x11, 0xe0], 'save the sheet as .csv'],
  ['a Zstandard file', [0x28, 0xb5, 0x2f, 0xfd], 'decompress it first with zstd -d'],
  ['an LZ4 file', [0x04, 0x22, 0x4d, 0x18], 'decompress it first with lz4 -d'],
  ['an xz file', [0xfd, 0x37, 0x7a, 0x58], 'decompress it first with xz -d'],
  ['a bzip2 file', ASCII('BZh'), 'decompress it first with bzip2 -d'],
  ['an HDF5 file', [0x89, 0x48, 0x44, 0x46], 'write its table of scores as .csv (pandas: read_hdf(FILE, KEY).to_csv)'],
  ['a Feather file of version 1', ASCII('FEA1'), 'write it again with version 2 (pyarrow.feather.write_feather)'],
  ['a SQLite file', ASCII('SQLite format 3'), 'write its table as .csv'],
  ['an R file', ASCII('RDX'), 'write its table as .csv with write.csv'],
  ['a pickle', [0x80, 0x04, 0x95], 'write it as .parquet or .csv in pandas'],
];

function startsWith(bytes: Uint8Array, magic: readonly number[]): boolean {
  return magic.every((byte, i) => bytes[i] === byte);
}

async function readContent(bytes: Uint8Array, name: string, path: string): Promise<ColumnTable> {
  if (startsWith(bytes, ASCII('PAR1'))) {
    return readParquet(bytes);
  }
  if (startsWith(bytes, ASCII('ARROW1')) || startsWith(bytes, [0xff, 0xff, 0xff, 0xff])) {
    return readArrow(bytes);
  }
  const foreign = FOREIGN.find(([, magic]) => startsWith(bytes, magic));
  if (foreign) {
    throw new InputError(
      `${path} is ${foreign[0]}; CSV, TSV, JSON, Arrow, Feather and Parquet are read: ${foreign[2]}`,
    );
  }
  if (/\.(arrow|feather|ipc|parquet)$/.test(name)) {
    throw new InputError(`${path} does not read as a table (it does not begin as its extension says)`);
  }
  const wide = Object.entries(UTF_16).find(([, mark]) => startsWith(bytes, mark));
  const content = new TextDecoder(wide?.[0]).decode(bytes);
  if (content.trim() === '') {
    throw new InputError(`${path} is empty; a table of variants is needed`);
  }
  if (content.includes('\0')) {
    throw new InputError(`${path} is no text and no table that is read; give .csv, .tsv, .json, .arrow or .parquet`);
  }
  if (/\.(json|jsonl|ndjson)$/.test(name) || /^\s*[[{]/.test(content)) {
    return readJson(content, path);
  }
  return readText(content, name, path);
}

async function readParquet(bytes: Uint8Array): Promise<ColumnTable> {
  const { parquetReadObjects } = await import('hyparquet');
  const { compressors } = await import('hyparquet-compressors');
  const file = Uint8Array.from(bytes).buffer;
  const rows = await parquetReadObjects({ file, compressors });
  const names = Object.keys(rows[0] ?? {});
  return table(names.map((column): [string, unknown[]] => [column, rows.map((row) => plain(row[column]))]));
}

async function readArrow(bytes: Uint8Array): Promise<ColumnTable> {
  const { CompressionType, setCompressionCodec, tableFromIPC } = await import('@uwdata/flechette');
  const { decompressZstd } = await import('hyparquet-compressors');
  const encode = () => {
    throw new Error('tables are written without compression');
  };
  setCompressionCodec(CompressionType.LZ4_FRAME, { decode: decodeLz4Frame, encode });
  setCompressionCodec(CompressionType.ZSTD, { decode: (buffer: Uint8Array) => decompressZstd(buffer), encode });
  const arrow = tableFromIPC(bytes, { useDate: true });
  return table(arrow.schema.fields.map(({ name }): [string, unknown[]] => [name, [...arrow.getChild(name)]]));
}

/** A value as cells have it: whole numbers of 64 bits as numbers. */
function plain(value: unknown): unknown {
  return typeof value === 'bigint' ? Number(value) : value === undefined ? null : value;
}

type Rows = Record<string, unknown>[];

function readJson(content: string, path: string): ColumnTable {
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch (error) {
    const lines = content.split(/\r?\n/).filter((line) => line.trim() !== '');
    // A row a line, unless the first line is no value of its own.
    if (lines.length < 2 || !/^\s*\{.*\}\s*$/.test(lines[0])) {
      throw error;
    }
    const rows = lines.map((line, i) => {
      try {
        return JSON.parse(line) as Record<string, unknown>;
      } catch (fault) {
        throw new InputError(`${path} row ${i + 1} is no JSON (${(fault as Error).message})`);
      }
    });
    return fromRows(rows);
  }
  if (Array.isArray(value)) {
    if (value.length > 0 && !value.every(isRecord)) {
      throw new InputError(`${path} is a list without names of columns; write it with orient='records'`);
    }
    return fromRows(value as Rows);
  }
  if (!isRecord(value)) {
    throw new InputError(`${path} is no table; JSON with rows or columns is needed`);
  }
  // pandas: orient 'table' and 'split'.
  if (Array.isArray(value.data) && (isRecord(value.schema) || Array.isArray(value.columns))) {
    const { columns } = value;
    return Array.isArray(columns)
      ? table(
          columns.map((name, i): [string, unknown[]] => [
            String(name),
            (value.data as unknown[][]).map((row) => row[i] ?? null),
          ]),
        )
      : fromRows(value.data as Rows);
  }
  const entries = Object.entries(value);
  if (entries.length > 0 && entries.every(([, cells]) => isRecord(cells))) {
    // Its default, a column's cells by the row's name; or with orient 'index' a row's by the column's.
    const byRow = entries.every(([key]) => /^\d+$/.test(key));
    return byRow
      ? fromRows(entries.map(([, row]) => row as Record<string, unknown>))
      : table(entries.map(([name, cells]): [string, unknown[]] => [name, Object.values(cells as object)]));
  }
  return fromJSON(content, { autoType: false });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Columns of all names that occur, null where a row lacks one. */
function fromRows(rows: Rows): ColumnTable {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  return table(names.map((name): [string, unknown[]] => [name, rows.map((row) => row[name] ?? null)]));
}

const FOLDX_LINE = /^[A-Z]{2}-?\d+[A-Z](,[A-Z]{2}-?\d+[A-Z])*;$/;

function readText(content: string, name: string, path: string): ColumnTable {
  const filled = content.split(/\r?\n/).filter((line) => line.trim() !== '');
  if (filled.every((line) => FOLDX_LINE.test(line.trim()))) {
    return table({ mutant: filled.map((line) => line.trim()) });
  }
  const known = /\.(csv|tsv|tab|txt|dat)$/.exec(name)?.[1];
  if (known === undefined) {
    throw new InputError(
      `${path}: the extension names no table; use .csv, .tsv, .json, .arrow or .parquet, or .gz of them`,
    );
  }
  const { header, rest } = withoutComments(content);
  if (header === '') {
    throw new InputError(`${path} has no rows`);
  }
  const delimiter = delimiterOf(header, known);
  const text = `${header}\n${rest}`;
  return delimiter === ' '
    ? readDelimited(text.replace(/^ +| +$/gm, '').replace(/[ \t]+/g, '\t'), '\t', path)
    : readDelimited(text, delimiter, path);
}

/** The header, after lines that begin with #, and what follows it. */
function withoutComments(content: string): { header: string; rest: string } {
  let text = content;
  let comment = '';
  for (;;) {
    const [line] = text.split('\n', 1);
    const rest = text.slice(line.length + 1);
    if (line.startsWith('#')) {
      comment = line;
    } else if (line.trim() !== '' || rest === '') {
      const tabs = (of: string) => of.split('\t').length;
      // As in VCF, the header itself may begin with #.
      return /^#\w/.test(comment) && tabs(comment) > 1 && tabs(comment) === tabs(line)
        ? { header: comment.slice(1).trimEnd(), rest: text }
        : { header: line.trimEnd(), rest };
    }
    text = rest;
  }
}

/** What separates the cells of a header: what its extension says where it is there, else what is there most often. */
function delimiterOf(header: string, extension: string): ',' | ';' | '\t' | ' ' {
  const outside = header.replace(/"[^"]*"/g, '');
  const count = (letter: string) => outside.split(letter).length - 1;
  const usual = extension === 'csv' ? ',' : '\t';
  const [best] = (['\t', ';', ','] as const)
    .filter((letter) => count(letter) > 0)
    .sort((a, b) => count(b) - count(a) || Number(b === usual) - Number(a === usual));
  if (best !== undefined) {
    return best;
  }
  return extension !== 'csv' && /\S +\S/.test(outside) ? ' ' : usual;
}

const NAMES = { ',': 'comma', ';': 'semicolon', '\t': 'tab' };

function readDelimited(text: string, delimiter: ',' | ';' | '\t', path: string): ColumnTable {
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
        `${NAMES[delimiter]} in double quotes, join the mutations of one variant by ':', or name the column`,
    );
  }
  // Where semicolons separate cells, commas are decimal points.
  const decimal = (value: string) => (/^-?\d+,\d+(e[+-]?\d+)?$/i.test(value) ? value.replace(',', '.') : value);
  const columns = new Map<string, unknown[]>();
  for (const [i, { name: header, values }] of parsed.slice(0, width).entries()) {
    const name = header || `col${i + 1}`;
    if (columns.has(name)) {
      throw new InputError(`${path} has two columns named ${name}; rename one`);
    }
    columns.set(
      name,
      values.map((value) =>
        value === null || value === undefined ? null : delimiter === ';' ? decimal(value) : value,
      ),
    );
  }
  return table([...columns]);
}
