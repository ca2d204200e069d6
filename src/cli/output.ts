import { existsSync } from 'node:fs';
import { dirname, extname } from 'node:path';
import { type ColumnTable, toArrowIPC, toCSV } from 'arquero';
import { type Command, Option } from 'commander';
import { writeFileAtomic } from '../formats/atomicFile.js';
import { UsageError } from './errors.js';

export const TABLE_FORMATS = ['csv', 'tsv', 'json', 'arrow'] as const;
export type TableFormat = (typeof TABLE_FORMATS)[number];

export interface OutputOptions {
  /** File to write; its extension gives the format. Standard output when absent or `-`. */
  out?: string;
  /** Format; needed only where the extension does not say it. */
  format?: TableFormat;
}

/** Rows turned into text at once, so that a long table never becomes one string. */
const CHUNK_ROWS = 65_536;

/** Adds `--out` and `--format` to a command that prints a table. */
export function addOutputOptions(command: Command): Command {
  return command
    .option('--out <file>', 'write to this file (.csv, .tsv, .json or .arrow) instead of standard output')
    .addOption(new Option('--format <name>', 'format (default: by the extension, else csv)').choices(TABLE_FORMATS));
}

/**
 * Where a command's table goes. Made before the work starts, so that a wrong `--out` shows at once.
 *
 *     const output = tableOutput(options);
 *     …
 *     await output.write(table);
 *
 * A file appears under its name only when it is whole.
 * @throws UsageError for an extension without a format and a folder that does not exist.
 */
export function tableOutput(options: OutputOptions): {
  format: TableFormat;
  write(table: ColumnTable): Promise<void>;
} {
  const path = options.out === '-' ? undefined : options.out;
  const format = options.format ?? (path === undefined ? 'csv' : formatOf(path));
  if (path !== undefined && !existsSync(dirname(path))) {
    throw new UsageError(`--out ${path}: the folder ${dirname(path)} does not exist; make it first`);
  }
  return {
    format,
    async write(table) {
      if (path === undefined) {
        await print(encode(table, format));
        return;
      }
      await writeFileAtomic(path, encode(table, format));
    },
  };
}

function formatOf(path: string): TableFormat {
  const extension = extname(path).slice(1).toLowerCase();
  const format = TABLE_FORMATS.find((name) => name === extension);
  if (format === undefined) {
    throw new UsageError(`--out ${path}: the extension says no format; use .csv, .tsv, .json or .arrow, or --format`);
  }
  return format;
}

async function print(chunks: Iterable<string | Uint8Array>): Promise<void> {
  for (const chunk of chunks) {
    await new Promise<void>((resolve, reject) => {
      process.stdout.write(chunk, (error) => (error ? reject(error) : resolve()));
    });
  }
}

/** The table's bytes in a format, in pieces. JSON is an array of one object a row. */
function* encode(table: ColumnTable, format: TableFormat): Generator<string | Uint8Array> {
  if (format === 'arrow') {
    yield toArrowIPC(table, { format: 'file' });
  } else if (format === 'json') {
    let opening = '[\n';
    for (let offset = 0; offset < table.numRows(); offset += CHUNK_ROWS) {
      const rows = table.objects({ limit: CHUNK_ROWS, offset }).map((row) => `  ${JSON.stringify(row)}`);
      yield opening + rows.join(',\n');
      opening = ',\n';
    }
    yield opening === '[\n' ? '[]\n' : '\n]\n';
  } else {
    const delimiter = format === 'tsv' ? '\t' : ',';
    for (let offset = 0; offset === 0 || offset < table.numRows(); offset += CHUNK_ROWS) {
      yield toCSV(table, { delimiter, header: offset === 0, limit: CHUNK_ROWS, offset });
    }
  }
}
