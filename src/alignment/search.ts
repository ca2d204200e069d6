import { spawn } from 'node:child_process';
import { createWriteStream, existsSync, readdirSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { InputError } from '../data/errors.js';
import { readProteins } from '../data/proteins.js';
import type { Warnings } from '../data/warnings.js';
import { scratchFolder } from '../formats/temporary.js';
import { residuesOf } from './alignment.js';
import { readRows } from './rows.js';

/** Programs that find a protein's family, the first that is installed taken where none is named. */
export const SEARCH_PROGRAMS = ['mmseqs2', 'hmmer'] as const;
export type SearchProgram = (typeof SEARCH_PROGRAMS)[number];

const EXECUTABLES: Readonly<Record<SearchProgram, string>> = { mmseqs2: 'mmseqs', hmmer: 'jackhmmer' };

export interface SearchOptions {
  /** Default: the first of `SEARCH_PROGRAMS` that is installed. */
  program?: SearchProgram;
  /** Rounds of search, each with the profile of the one before; default 3. */
  rounds?: number;
  /** Largest E-value of a row; default 1e-3. */
  expected?: number;
  /** Least share of the query's residues that a row has beside it; default 0.5. */
  coverage?: number;
  /** CPU threads; default all. */
  threads?: number;
  warnings?: Warnings;
}

/** A family as it was found: its alignment, and how many rows were too short. */
export interface FoundFamily {
  /** The alignment as a3m, the query first. */
  a3m: string;
  program: SearchProgram;
  /** Rows, the query with them. */
  rows: number;
  /** Rows that cover too little of the query, left out. */
  short: number;
}

/**
 * Searches a database of proteins for the family of one, with MMseqs2 (`search` by profiles, `result2msa`) or HMMER
 * (`jackhmmer`), and aligns what is found to it.
 * @param database FASTA, plain or gzip
 * @param beside a path on a disk with room for a copy of the database, in whose folder the programs work
 * @throws InputError where no program is installed, or one of them fails, with its last line
 */
export async function searchFamily(
  query: { id: string; sequence: string },
  database: string,
  beside: string,
  options: SearchOptions = {},
): Promise<FoundFamily> {
  const program = installed(options.program);
  const { folder, remove } = scratchFolder(beside);
  try {
    const paths = { query: join(folder, 'query.fasta'), database: join(folder, 'database.fasta'), folder };
    await writeFasta([query], paths.query);
    const residues = await writeFasta(readProteins(database, { warnings: options.warnings }), paths.database);
    const rows = await (program === 'mmseqs2'
      ? searchMmseqs(paths, residues, options)
      : searchHmmer(paths, query, options));
    return { program, ...familyOf(query, rows, options.coverage ?? 0.5) };
  } finally {
    remove();
  }
}

function installed(wanted: SearchProgram | undefined): SearchProgram {
  const folders = (process.env.PATH ?? '').split(delimiter);
  const has = (program: SearchProgram) => folders.some((folder) => existsSync(join(folder, EXECUTABLES[program])));
  const found = wanted === undefined ? SEARCH_PROGRAMS.find(has) : has(wanted) ? wanted : undefined;
  if (found) {
    return found;
  }
  throw new InputError(
    wanted === undefined
      ? 'neither mmseqs (MMseqs2) nor jackhmmer (HMMER) is installed; install one: apt install mmseqs2, or hmmer'
      : `${EXECUTABLES[wanted]} is not installed; install it: apt install ${wanted}`,
  );
}

/** @returns how many residues there are */
async function writeFasta(
  records: Iterable<{ id: string; sequence: string }> | AsyncIterable<{ id: string; sequence: string }>,
  path: string,
): Promise<number> {
  let residues = 0;
  async function* text(): AsyncGenerator<string> {
    for await (const { id, sequence } of records) {
      residues += sequence.length;
      yield `>${id}\n${sequence}\n`;
    }
  }
  await pipeline(text, createWriteStream(path));
  return residues;
}

interface Paths {
  query: string;
  database: string;
  folder: string;
}

/** A row of a3m, without its line end. */
interface A3mRow {
  id: string;
  text: string;
}

/** Residues of a database below which MMseqs2's table of words of six would be mostly empty: some 700 MB, a round. */
const FEW_RESIDUES = 2e7;

async function searchMmseqs(paths: Paths, residues: number, options: SearchOptions): Promise<A3mRow[]> {
  const at = (name: string) => join(paths.folder, name);
  const { rounds = 3, expected = 1e-3, threads } = options;
  const common = ['-v', '1', ...(threads === undefined ? [] : ['--threads', String(threads)])];
  await run('mmseqs', ['createdb', paths.query, at('query'), '-v', '1']);
  await run('mmseqs', ['createdb', paths.database, at('database'), '-v', '1']);
  const databases = [at('query'), at('database'), at('found')];
  await run('mmseqs', [
    ...['search', ...databases, at('work'), '--num-iterations', String(rounds)],
    ...['-s', '7.5', '-e', String(expected), '--max-seqs', '100000', ...common],
    ...(residues < FEW_RESIDUES ? ['-k', '5'] : []),
  ]);
  // 5: a3m
  await run('mmseqs', ['result2msa', ...databases, at('msa'), '--msa-format-mode', '5', ...common]);
  await run('mmseqs', [
    'unpackdb',
    at('msa'),
    at('unpacked'),
    '--unpack-name-mode',
    '0',
    '--unpack-suffix',
    '.a3m',
    '-v',
    '1',
  ]);
  const [file] = readdirSync(at('unpacked')).filter((name) => name.endsWith('.a3m'));
  if (file === undefined) {
    return [];
  }
  const records = readFileSync(join(at('unpacked'), file), 'latin1')
    .replaceAll('\0', '')
    .split(/^>/m)
    .slice(1);
  return records.map((record) => {
    const [header, ...lines] = record.split('\n');
    return { id: header.split(/\s/)[0], text: lines.join('').trim() };
  });
}

async function searchHmmer(paths: Paths, query: { id: string }, options: SearchOptions): Promise<A3mRow[]> {
  const { rounds = 3, expected = 1e-3, threads } = options;
  const found = join(paths.folder, 'found.sto');
  await run('jackhmmer', [
    ...['-N', String(rounds), '-E', String(expected), '--incE', String(expected), '--noali', '-o', '/dev/null'],
    ...['-A', found, ...(threads === undefined ? [] : ['--cpu', String(threads)]), paths.query, paths.database],
  ]);
  if (!existsSync(found) || readFileSync(found).length === 0) {
    return [];
  }
  const rows: A3mRow[] = [];
  for await (const { id, text } of readRows(found, 'stockholm')) {
    rows.push({ id, text });
  }
  // The query's row has its name without a range; the columns are where it has residues.
  const own = rows.find(({ id }) => id === query.id);
  if (!own) {
    return [];
  }
  const isColumn = [...own.text].map((letter) => residuesOf(letter) !== '');
  const toA3m = ({ id, text }: A3mRow): A3mRow => ({
    id,
    text: [...text]
      .map((letter, i) => {
        const residue = residuesOf(letter);
        return isColumn[i] ? residue || '-' : residue.toLowerCase();
      })
      .join(''),
  });
  return rows.filter((row) => row !== own).map(toA3m);
}

/** The a3m of a query and the rows found for it, but those that cover too little of it and those that are it. */
function familyOf(
  query: { id: string; sequence: string },
  rows: readonly A3mRow[],
  coverage: number,
): Omit<FoundFamily, 'program'> {
  let short = 0;
  const kept = rows.filter(({ text }) => {
    const residues = text.replace(/[^A-Z]/g, '').length;
    const long = residues >= coverage * query.sequence.length;
    short += Number(!long);
    return long && text !== query.sequence;
  });
  const all = [{ id: query.id, text: query.sequence }, ...kept];
  return { a3m: all.map(({ id, text }) => `>${id}\n${text}\n`).join(''), rows: all.length, short };
}

/** Runs a program to its end. @throws InputError with the last line that it wrote, where it fails */
async function run(program: string, args: string[]): Promise<void> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-4096);
    });
  }
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  if (code !== 0) {
    const last = output.trim().split('\n').at(-1) ?? '';
    throw new InputError(`${program} ${args[0]} failed with code ${code}: ${last || 'it wrote nothing'}`);
  }
}
