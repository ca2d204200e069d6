import { existsSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { Command, Option } from 'commander';
import { extent } from '../data/arrays.js';
import { InputError } from '../data/errors.js';
import type { Theme } from '../report/look.js';
import type { Report } from '../report/page.js';
import type { ScoredVariant, TrainingLine } from '../report/reports.js';
import type { Table } from '../scoring/tables.js';
import { UsageError } from './errors.js';
import { addChainOptions, type ChainOptions, readAllSequences, structureOptions } from './interpretOptions.js';
import { addExamples, type CommonOptions } from './options.js';

interface ReportOptions extends Pick<CommonOptions, 'quiet' | 'debug'>, ChainOptions {
  out?: string;
  charts?: string;
  theme: Theme;
  fasta?: string;
  assay?: string;
  structure?: string;
  sequence?: string;
}

/** Proteins that one page shows; more would be slow to open. */
const MOST_PROTEINS = 20;

/** `protein-lm report`: what other commands wrote, as a page to look at. */
export function reportCommand(): Command {
  const command = new Command('report')
    .description(
      'Draw a training run, scores, attention maps, contacts, residue similarity or approximation errors: one HTML ' +
        'file that needs nothing else, and with --charts each chart as .svg and .png.',
    )
    .argument(
      '<source>',
      'a run folder, maps (.npy, .npz, .safetensors, .csv), or a table that score, contacts, similarity or ' +
        'attention --approximation-error wrote',
    )
    .option('--out <file>', 'HTML file (default: report.html in a run folder, else <source>.html)')
    .option('--charts <folder>', 'also write each chart as .svg and .png into this folder')
    .addOption(new Option('--theme <name>', 'colours of --charts').choices(['light', 'dark']).default('light'))
    .option('--fasta <file>', 'the proteins or nucleotides of a table, for the letters that it does not name')
    .option('--assay <file>', 'measured values of the variants, to compare the scores with')
    .option('--structure <file>', 'structure to lay under contacts (PDB, mmCIF, BinaryCIF)')
    .option('--sequence <id>', `only this protein (a page shows at most ${MOST_PROTEINS})`)
    .option('--quiet', 'do not list the files that are written')
    .option('--debug', 'show the stack trace of an error')
    .action(report);
  addChainOptions(command, 'chain of --structure (default: the first)');
  return addExamples(
    command,
    'protein-lm report runs/first',
    'protein-lm report scores.csv --fasta protein.fasta --assay BLAT_ECOLX.csv --charts figures',
    'protein-lm report maps.npz --out maps.html',
    'protein-lm report contacts.csv --structure 1btl.pdb',
  );
}

async function report(source: string, options: ReportOptions): Promise<void> {
  if (!existsSync(source)) {
    throw new InputError(`${source}: no such file or folder`);
  }
  const folder = statSync(source).isDirectory();
  const html = options.out ?? (folder ? join(source, 'report.html') : `${withoutExtension(source)}.html`);
  if (!existsSync(dirname(html))) {
    throw new UsageError(`--out ${html}: the folder ${dirname(html)} does not exist; make it first`);
  }
  const { writeReport } = await import('../report/write.js');
  const content = folder ? await runReport(source) : await fileReport(source, options);
  const written = await writeReport(content, { html, charts: options.charts, theme: options.theme });
  if (!options.quiet) {
    for (const path of written) {
      process.stderr.write(`${path}\n`);
    }
  }
}

function withoutExtension(path: string): string {
  const plain = path.replace(/\.gz$/, '');
  return plain.slice(0, plain.length - extname(plain).length);
}

/** The report of a run folder: its curves, and what was trained. */
export async function runReport(folder: string): Promise<Report> {
  const { MetricsLog } = await import('../training/metrics.js');
  const { trainingReport } = await import('../report/reports.js');
  const lines: TrainingLine[] = new MetricsLog(folder).read();
  if (lines.length === 0) {
    throw new InputError(`${folder}: no metrics.jsonl in it: give a folder that protein-lm pretrain wrote`);
  }
  const facts: [string, string | number][] = [];
  const path = join(folder, 'config.json');
  if (existsSync(path)) {
    const { parseConfig } = await import('../model/checkpoints/index.js');
    const config = parseConfig(readFileSync(path, 'utf8'), path);
    facts.push(
      ['Layers', config.num_hidden_layers],
      ['Hidden size', config.hidden_size],
      ['Heads', config.num_attention_heads],
      ['Attention', config.attention.kind],
    );
  }
  return trainingReport(basename(folder), lines, facts);
}

async function fileReport(source: string, options: ReportOptions): Promise<Report> {
  if (['.npy', '.npz', '.safetensors'].includes(extname(source).toLowerCase())) {
    const { readMaps } = await import('../interpret/readMaps.js');
    const { mapsReport } = await import('../report/reports.js');
    return mapsReport(basename(source), choose(await readMaps(source), source, options));
  }
  const { readTable } = await import('../scoring/tables.js');
  const table = await readTable(source);
  const names = table.columnNames();
  const has = (...columns: string[]) => columns.every((column) => names.includes(column));
  if (has('residue_a', 'residue_b', 'attention', 'blosum62')) {
    return similarityFrom(table, source);
  }
  if (has('estimator', 'num_features', 'matrix_error')) {
    return approximationFrom(table, source);
  }
  if (has('layer', 'head', 'query', 'key', 'attention') && !has('query_residue')) {
    return mapsFrom(table, source, options);
  }
  if (has('i', 'j', 'probability')) {
    return contactsFrom(table, source, options);
  }
  if (has('score') && names.some((name) => ['variant', 'mutant', 'mutation'].includes(name))) {
    return scoresFrom(table, source, options);
  }
  if (has('position', 'wild_type')) {
    return scoresFrom(unfold(table), source, options);
  }
  throw new InputError(
    `${source}: no table that a report is made of (columns ${names.join(', ')}): give maps, or what score, ` +
      'contacts, similarity or attention --approximation-error wrote',
  );
}

/** The proteins of a page: the one that is asked for, or all where they are few. */
function choose<T extends { id: string }>(proteins: T[], source: string, options: ReportOptions): T[] {
  if (options.sequence !== undefined) {
    const chosen = proteins.filter(({ id }) => id === options.sequence);
    if (chosen.length === 0) {
      throw new InputError(`${source}: no protein ${options.sequence} in it`);
    }
    return chosen;
  }
  if (proteins.length > MOST_PROTEINS) {
    throw new InputError(
      `${source}: ${proteins.length} proteins, a page shows ${MOST_PROTEINS}: choose with --sequence`,
    );
  }
  return proteins;
}

type Cells = Record<string, ArrayLike<unknown>>;

function cells(table: Table): Cells {
  return Object.fromEntries(table.columnNames().map((name) => [name, table.array(name) as ArrayLike<unknown>]));
}

function toNumber(value: unknown): number {
  return value === null || value === undefined || value === '' ? Number.NaN : Number(value);
}

function numbers(values: ArrayLike<unknown>): number[] {
  return Array.from(values, toNumber);
}

/** Rows by protein, in the order in which the proteins come. */
function rowsByProtein(columns: Cells, rows: number, fallback: string): { id: string; rows: number[] }[] {
  const groups = new Map<string, number[]>();
  for (let row = 0; row < rows; row++) {
    const id = String(columns.sequence_id?.[row] ?? fallback);
    const group = groups.get(id);
    if (group) {
      group.push(row);
    } else {
      groups.set(id, [row]);
    }
  }
  return [...groups].map(([id, rows]) => ({ id, rows }));
}

/** The sequences of `--fasta`, by identifier: bases are letters of proteins, too, and no more than letters are drawn. */
async function sequencesOf({ fasta }: ReportOptions): Promise<Map<string, string>> {
  const records = fasta === undefined ? [] : await readAllSequences(fasta, 'protein', { nucleotides: true });
  return new Map(records.map(({ id, sequence }) => [id, sequence]));
}

/** A matrix of scores (a row a position, a column a residue) as a row a substitution. */
function unfold(table: Table): Cells {
  const columns = cells(table);
  const residues = [...'ACDEFGHIKLMNPQRSTVWY'].filter((residue) => residue in columns);
  const rows = { sequence_id: [] as unknown[], variant: [] as string[], score: [] as number[] };
  for (let row = 0; row < table.numRows(); row++) {
    for (const residue of residues) {
      if (residue === columns.wild_type[row]) {
        continue;
      }
      rows.sequence_id.push(columns.sequence_id?.[row]);
      rows.variant.push(`${columns.wild_type[row]}${columns.position[row]}${residue}`);
      rows.score.push(toNumber(columns[residue][row]));
    }
  }
  return rows;
}

async function scoresFrom(source: Table | Cells, path: string, options: ReportOptions): Promise<Report> {
  const { parseVariant } = await import('../scoring/variants.js');
  const { spearman } = await import('../scoring/metrics.js');
  const { scoresReport } = await import('../report/reports.js');
  const columns =
    'columnNames' in source && typeof source.columnNames === 'function' ? cells(source as Table) : (source as Cells);
  const names = (columns.variant ?? columns.mutant ?? columns.mutation) as ArrayLike<string>;
  const scores = numbers(columns.score);
  const measured = options.assay === undefined ? undefined : await measuredValues(options.assay);
  const inTable = columns.DMS_score && numbers(columns.DMS_score);
  const sequences = await sequencesOf(options);
  const groups = rowsByProtein(columns, scores.length, withoutExtension(basename(path)));
  const proteins = choose(groups, path, options).map(({ id, rows }) => {
    const variants = rows.map((row): ScoredVariant => {
      const variant = String(names[row]);
      const value = measured ? measured.get(variant) : inTable?.[row];
      return {
        variant,
        score: Number.isFinite(scores[row]) ? scores[row] : null,
        ...(value !== undefined && Number.isFinite(value) ? { measured: value } : {}),
        substitution: substitution(parseVariant, variant),
      };
    });
    const known = new Map(variants.flatMap(({ substitution: one }) => (one ? [[one.position, one.wildType]] : [])));
    const own =
      sequences.get(id) ?? (groups.length === 1 && sequences.size === 1 ? [...sequences.values()][0] : undefined);
    const [least, greatest] = extent(known.keys());
    const first = own ? Math.min(1, least) : least;
    const last = own ? own.length + first - 1 : greatest;
    const wildType = known.size
      ? Array.from({ length: last - first + 1 }, (_, i) => known.get(first + i) ?? own?.[i] ?? 'X').join('')
      : '';
    const both = variants.filter((row) => row.score !== null && row.measured !== undefined);
    return {
      id,
      wildType,
      firstPosition: known.size ? first : 1,
      rows: variants,
      ...(both.length > 2
        ? {
            spearman: spearman(
              both.map((row) => row.measured as number),
              both.map((row) => row.score as number),
            ),
          }
        : {}),
    };
  });
  return scoresReport(basename(path), proteins);
}

/** A variant as a single substitution of one residue by another, where it is one. */
function substitution(
  parse: typeof import('../scoring/variants.js').parseVariant,
  variant: string,
): ScoredVariant['substitution'] {
  try {
    const [mutation, ...others] = parse(variant);
    if (others.length > 0 || mutation?.kind !== 'substitution' || mutation.residues.length !== 1) {
      return undefined;
    }
    return { position: mutation.first.position, wildType: mutation.first.residue, mutant: mutation.residues };
  } catch {
    return undefined;
  }
}

async function measuredValues(path: string): Promise<Map<string, number>> {
  const { readTable, variantRows } = await import('../scoring/tables.js');
  const rows = variantRows(await readTable(path), path, {}, [['mutant'], ['score']]);
  return new Map(
    rows.flatMap(({ mutant, score }) => (mutant !== undefined && score !== undefined ? [[mutant, score]] : [])),
  );
}

/** Maps as rows: token 0 is <cls>, residues count from 1. */
async function mapsFrom(table: Table, path: string, options: ReportOptions): Promise<Report> {
  const { mapsReport } = await import('../report/reports.js');
  const columns = cells(table);
  const [query, key, attention] = [columns.query, columns.key, columns.attention].map(numbers);
  const known = await sequencesOf(options);
  const groups = rowsByProtein(columns, table.numRows(), withoutExtension(basename(path)));
  const proteins = choose(groups, path, options).map(({ id, rows }) => {
    let [first, last] = [Number.POSITIVE_INFINITY, 0];
    for (const row of rows) {
      first = Math.min(first, query[row]);
      last = Math.max(last, query[row]);
    }
    const length = first === 0 ? last - 1 : last;
    const sequence = known.get(id) ?? 'X'.repeat(length);
    if (sequence.length !== length) {
      throw new InputError(`${path}: the maps of ${id} are of ${length} residues, its sequence has ${sequence.length}`);
    }
    const of = (column: ArrayLike<unknown>) => {
      const names = new Set(rows.map((row) => String(column[row])));
      return [...names].map((name) => (name === 'mean' ? name : Number(name)));
    };
    const [layers, heads] = [of(columns.layer), of(columns.head)];
    const maps = layers.flatMap(() => heads.map(() => new Float32Array(length * length)));
    const places = (names: (number | 'mean')[]) => new Map(names.map((name, place) => [String(name), place]));
    const [layerPlaces, headPlaces] = [places(layers), places(heads)];
    for (const row of rows) {
      const [i, j] = [query[row] - 1, key[row] - 1];
      if (!(i >= 0 && i < length && j >= 0 && j < length)) {
        continue;
      }
      const layer = layerPlaces.get(String(columns.layer[row]))!;
      const head = headPlaces.get(String(columns.head[row]))!;
      maps[layer * heads.length + head][i * length + j] = attention[row];
    }
    return { id, sequence, layers, heads, maps };
  });
  return mapsReport(basename(path), proteins);
}

async function contactsFrom(table: Table, path: string, options: ReportOptions): Promise<Report> {
  const { contactPairs, readChain } = await import('../structures/structure.js');
  const { contactsReport } = await import('../report/reports.js');
  const columns = cells(table);
  const [i, j, probability] = [columns.i, columns.j, columns.probability].map(numbers);
  const chain =
    options.structure === undefined
      ? undefined
      : readChain(options.structure, options.chain, structureOptions(options));
  const sequences = await sequencesOf(options);
  const groups = rowsByProtein(columns, table.numRows(), withoutExtension(basename(path)));
  const chosen = choose(groups, path, options);
  if (chain && chosen.length > 1) {
    throw new InputError(`${path}: ${chosen.length} proteins but one structure: choose with --sequence`);
  }
  const proteins = chosen.map(({ id, rows }) => {
    const [, length] = extent(rows.map((row) => Math.max(i[row], j[row])));
    const letters = Array<string>(length).fill('X');
    for (const row of rows) {
      letters[i[row] - 1] = String(columns.residue_i?.[row] ?? 'X');
      letters[j[row] - 1] = String(columns.residue_j?.[row] ?? 'X');
    }
    const sequence = chain?.sequence ?? sequences.get(id) ?? letters.join('');
    if (length > sequence.length || letters.some((letter, at) => letter !== 'X' && letter !== sequence[at])) {
      throw new InputError(`${path}: the contacts of ${id} do not fit the sequence of the structure or FASTA file`);
    }
    return {
      id,
      sequence,
      predicted: rows.map((row) => ({ i: i[row] - 1, j: j[row] - 1, probability: probability[row] })),
      ...(chain ? { structure: contactPairs(chain) } : {}),
    };
  });
  return contactsReport(basename(path), proteins);
}

async function similarityFrom(table: Table, path: string): Promise<Report> {
  const { pearson, spearman } = await import('../scoring/metrics.js');
  const { similarityReport } = await import('../report/reports.js');
  const columns = cells(table);
  const [attention, blosum] = [columns.attention, columns.blosum62].map(numbers);
  const pairs = attention.map((value, row) => ({
    a: String(columns.residue_a[row]),
    b: String(columns.residue_b[row]),
    attention: value,
    blosum: blosum[row],
  }));
  return similarityReport(basename(path), pairs, {
    pearson: pearson(attention, blosum),
    spearman: spearman(attention, blosum),
  });
}

async function approximationFrom(table: Table, path: string): Promise<Report> {
  const { approximationReport } = await import('../report/reports.js');
  const columns = cells(table);
  const count = numbers(columns.num_features);
  const interval = (name: string) => {
    const parts = [name, `${name}_low`, `${name}_high`].map((column) => numbers(columns[column] ?? []));
    return (row: number) => parts.map((part) => part[row]) as [number, number, number];
  };
  const [matrix, output] = [interval('matrix_error'), interval('output_error')];
  const errors = count.map((value, row) => ({
    features: String(columns.features[row]),
    estimator: String(columns.estimator[row]),
    count: value,
    matrix: matrix(row),
    output: output(row),
  }));
  return approximationReport(basename(path), errors);
}
