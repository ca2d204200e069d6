import { existsSync } from 'node:fs';
import { type FileHandle, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type ColumnTable, fromCSV, table } from 'arquero';
import { InputError } from '../data/errors.js';
import { syncFolder, writeFileAtomic } from '../formats/atomicFile.js';
import { writeError } from '../formats/fileErrors.js';
import { lockFile } from '../formats/lock.js';
import type { Cell } from '../scoring/scan.js';
import { type OutputOptions, type TableFormat, tableOutput } from './output.js';

/** A table that is written group by group, such as one protein's rows after the other's. */
export interface TableWriter {
  /** Groups that an earlier, stopped run has written already: how many, the last one's identifier, and the file. */
  readonly done: { readonly groups: number; readonly last?: string; readonly path?: string };
  /** Writes a group's rows; once it resolves, a stopped run goes on after them. */
  append(group: string, rows: readonly (readonly Cell[])[]): Promise<void>;
  /** Ends the table; a file takes its name only now. */
  close(): Promise<void>;
  /** Lets another process write the file, whether it is ended or not; what was appended stays. */
  release(): Promise<void>;
}

interface Journal {
  settings: unknown;
  groups: number;
  last?: string;
  bytes: number;
}

/**
 * Opens a table for writing in groups. To standard output each group goes at once; to `--out FILE` it goes to
 * `FILE.partial`, with a journal beside it, and a later call with the same settings goes on where that one stopped.
 * `close` gives the file its name. Missing numbers (NaN) are empty cells, null in JSON and Arrow.
 *
 * @param columns names, in the order of the rows' cells
 * @param settings JSON of everything that decides the content; a partial file of other settings is an error
 */
export async function openTableWriter(
  options: OutputOptions,
  columns: readonly string[],
  settings: unknown,
): Promise<TableWriter> {
  const output = tableOutput(options);
  const path = options.out === '-' ? undefined : options.out;
  // Arrow needs all rows at once: they are kept as CSV until the end.
  const kept: TableFormat = output.format === 'arrow' ? 'csv' : output.format;
  if (path === undefined) {
    let text = '';
    let first = true;
    const send = async (content: string) => {
      if (output.format === 'arrow') {
        text += content;
      } else {
        await new Promise<void>((resolve, reject) => process.stdout.write(content, (e) => (e ? reject(e) : resolve())));
      }
    };
    await send(opening(kept, columns));
    return {
      done: { groups: 0 },
      async append(_, rows) {
        await send(encodeRows(kept, columns, rows, first));
        if (rows.length > 0) {
          first = false;
        }
      },
      async close() {
        if (output.format === 'arrow') {
          await output.write(parseRows(text));
        } else {
          await send(closing(kept, first));
        }
      },
      async release() {},
    };
  }

  const release = await lockFile(path);
  try {
    return await openPartial(path, kept, columns, settings, output, release);
  } catch (error) {
    release();
    throw error;
  }
}

async function openPartial(
  path: string,
  kept: TableFormat,
  columns: readonly string[],
  settings: unknown,
  output: ReturnType<typeof tableOutput>,
  release: () => void,
): Promise<TableWriter> {
  const partial = `${path}.partial`;
  const journalPath = `${partial}.json`;
  const journal = await readJournal(partial, journalPath, settings);
  let file: FileHandle;
  try {
    file = await open(partial, journal.bytes > 0 ? 'r+' : 'w');
  } catch (error) {
    throw writeError(error, partial);
  }
  const { size } = await file.stat();
  if (size < journal.bytes) {
    await file.close();
    throw new InputError(
      `${partial} is damaged: it has ${size} bytes, ${journalPath} says ${journal.bytes}; delete both to start anew`,
    );
  }
  if (journal.bytes === 0) {
    journal.bytes = await writeAt(path, file, opening(kept, columns), 0);
  }
  await file.truncate(journal.bytes);
  const emptyBytes = Buffer.byteLength(opening(kept, columns));
  return {
    done: { groups: journal.groups, last: journal.last, path: partial },
    async append(group, rows) {
      const content = encodeRows(kept, columns, rows, journal.bytes === emptyBytes);
      journal.bytes += await writeAt(path, file, content, journal.bytes);
      journal.groups++;
      journal.last = group;
      await file.datasync();
      await writeFileAtomic(journalPath, JSON.stringify(journal));
    },
    async close() {
      await writeAt(path, file, closing(kept, journal.bytes === emptyBytes), journal.bytes);
      await file.sync();
      await file.close();
      if (output.format === 'arrow') {
        await output.write(parseRows(await readFile(partial, 'utf8')));
        await rm(partial);
      } else {
        await rename(partial, path);
        await syncFolder(dirname(path));
      }
      await rm(journalPath, { force: true });
    },
    async release() {
      await file.close();
      release();
    },
  };
}

async function readJournal(partial: string, path: string, settings: unknown): Promise<Journal> {
  const fresh: Journal = { settings, groups: 0, bytes: 0 };
  if (!existsSync(partial) || !existsSync(path)) {
    return fresh;
  }
  let journal: Journal;
  try {
    journal = JSON.parse(await readFile(path, 'utf8'));
    const { groups, bytes } = journal;
    if (![groups, bytes].every((count) => Number.isSafeInteger(count) && count >= 0)) {
      throw new Error('no counts of groups and bytes');
    }
  } catch (error) {
    throw new InputError(`${path} is damaged (${(error as Error).message}); delete it and ${partial} to start anew`);
  }
  if (JSON.stringify(journal.settings) !== JSON.stringify(settings)) {
    throw new InputError(
      `${partial} is an unfinished table of another input, model or scheme; delete it and ${path} to start anew`,
    );
  }
  return journal;
}

async function writeAt(path: string, file: FileHandle, content: string, position: number): Promise<number> {
  const bytes = Buffer.from(content);
  try {
    for (let written = 0; written < bytes.length; ) {
      written += (await file.write(bytes, written, bytes.length - written, position + written)).bytesWritten;
    }
  } catch (error) {
    throw writeError(error, path);
  }
  return bytes.length;
}

function opening(format: TableFormat, columns: readonly string[]): string {
  return format === 'json' ? '[' : encodeLine(columns, format);
}

function closing(format: TableFormat, empty: boolean): string {
  return format === 'json' ? (empty ? ']\n' : '\n]\n') : '';
}

function encodeRows(
  format: TableFormat,
  columns: readonly string[],
  rows: readonly (readonly Cell[])[],
  first: boolean,
): string {
  if (format !== 'json') {
    return rows.map((row) => encodeLine(row, format)).join('');
  }
  const lines = rows.map((row) => JSON.stringify(Object.fromEntries(columns.map((name, i) => [name, row[i]]))));
  return lines.map((line, i) => `${first && i === 0 ? '' : ','}\n  ${line}`).join('');
}

function encodeLine(cells: readonly Cell[], format: TableFormat): string {
  const delimiter = format === 'tsv' ? '\t' : ',';
  const encode = (cell: Cell): string => {
    if (cell === null || (typeof cell === 'number' && Number.isNaN(cell))) {
      return '';
    }
    const text = String(cell);
    return text.includes(delimiter) || /["\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return `${cells.map(encode).join(delimiter)}\n`;
}

/** The rows of a finished CSV, with numbers as numbers, except where they are names. */
function parseRows(csv: string): ColumnTable {
  const parsed = fromCSV(csv, { parse: { sequence_id: String, variant: String } });
  return table(parsed.columnNames().map((name) => [name, [...parsed.array(name)]]));
}
