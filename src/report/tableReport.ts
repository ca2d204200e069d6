import { basename } from 'node:path';
import { extent } from '../data/arrays.js';
import { InputError } from '../data/errors.js';
import { pearson, spearman } from '../scoring/metrics.js';
import type { Table } from '../scoring/tables.js';
import { parseVariant } from '../scoring/variants.js';
import { type Chain, contactPairs } from '../structures/structure.js';
import type { Report } from './page.js';
import {
  approximationReport,
  contactsReport,
  mapsReport,
  type ScoredVariant,
  scoresReport,
  similarityReport,
} from './reports.js';

/** What is known beside a table. */
export interface TableReportOptions {
  /** Proteins or nucleotides by identifier, for the letters that the table does not name. */
  sequences?: ReadonlyMap<string, string>;
  /** Measured values by variant, to compare scores with; default: the table's column `DMS_score`. */
  measured?: ReadonlyMap<string, number>;
  /** Structure to lay under contacts. */
  chain?: Chain;
  /** Only this protein. */
  protein?: string;
}

/** Proteins that one page shows; more would be slow to open. */
export const MOST_PROTEINS = 20;
/** The largest position that a page shows: a residue more than twice as far as in the longest protein known. */
const MOST_POSITIONS = 100_000;
/** Cells of maps for each row of their table, at most, where they are more than a million. */
const MOST_EMPTY = 16;

/**
 * The report of a table that `score`, `contacts`, `similarity` or `attention` wrote, known by its columns.
 * @param name of the table, such as its path: the page's title is the last part
 * @throws InputError where the columns are those of none of them, where a page cannot show so many proteins, and where
 *   the table does not fit what is known beside it
 */
export function tableReport(table: Table, name: string, options: TableReportOptions = {}): Report {
  const names = table.columnNames();
  const has = (...columns: string[]) => columns.every((column) => names.includes(column));
  if (has('residue_a', 'residue_b', 'attention', 'blosum62')) {
    return similarityFrom(table, name);
  }
  if (has('estimator', 'num_features', 'matrix_error')) {
    return approximationFrom(table, name);
  }
  if (has('layer', 'head', 'query', 'key', 'attention') && !has('query_residue')) {
    return mapsFrom(table, name, options);
  }
  if (has('i', 'j', 'probability')) {
    return contactsFrom(table, name, options);
  }
  if (has('score') && names.some((column) => ['variant', 'mutant', 'mutation'].includes(column))) {
    return scoresFrom(cells(table), name, options);
  }
  if (has('position', 'wild_type')) {
    return scoresFrom(unfold(table), name, options);
  }
  throw new InputError(
    `${name}: no table that a report is made of (columns ${names.join(', ')}): give maps, or what score, ` +
      'contacts, similarity or attention --approximation-error wrote',
  );
}

/** The proteins of a page: the one that is asked for, or all where they are few. */
export function chooseProteins<T extends { id: string }>(
  proteins: T[],
  name: string,
  options: TableReportOptions,
): T[] {
  if (options.protein !== undefined) {
    const chosen = proteins.filter(({ id }) => id === options.protein);
    if (chosen.length === 0) {
      throw new InputError(`${name}: no protein ${options.protein} in it`);
    }
    return chosen;
  }
  if (proteins.length > MOST_PROTEINS) {
    throw new InputError(`${name}: ${proteins.length} proteins, a page shows ${MOST_PROTEINS}: choose with --sequence`);
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

/** @throws InputError for a position so far away that no protein has it: what is drawn would have no end */
function checkPosition(position: number, name: string): void {
  if (!(Math.abs(position) <= MOST_POSITIONS)) {
    throw new InputError(`${name}: position ${position} is no protein's; a page shows positions to ${MOST_POSITIONS}`);
  }
}

/** A name without the extension of a table. */
function stem(name: string): string {
  return name.replace(/(\.[a-z0-9]+)(\.gz)?$/i, '');
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

function scoresFrom(columns: Cells, name: string, options: TableReportOptions): Report {
  const names = (columns.variant ?? columns.mutant ?? columns.mutation) as ArrayLike<string>;
  const scores = numbers(columns.score);
  const { measured, sequences = new Map<string, string>() } = options;
  const inTable = columns.DMS_score && numbers(columns.DMS_score);
  const groups = rowsByProtein(columns, scores.length, stem(basename(name)));
  const proteins = chooseProteins(groups, name, options).map(({ id, rows }) => {
    const variants = rows.map((row): ScoredVariant => {
      const variant = String(names[row]);
      const value = measured ? measured.get(variant) : inTable?.[row];
      return {
        variant,
        score: Number.isFinite(scores[row]) ? scores[row] : null,
        ...(value !== undefined && Number.isFinite(value) ? { measured: value } : {}),
        substitution: substitution(variant),
      };
    });
    const known = new Map(variants.flatMap(({ substitution: one }) => (one ? [[one.position, one.wildType]] : [])));
    const own =
      sequences.get(id) ?? (groups.length === 1 && sequences.size === 1 ? [...sequences.values()][0] : undefined);
    const [least, greatest] = extent(known.keys());
    for (const position of known.size > 0 ? [least, greatest] : []) {
      checkPosition(position, name);
    }
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
  return scoresReport(basename(name), proteins);
}

/** A variant as a single substitution of one residue by another, where it is one. */
function substitution(variant: string): ScoredVariant['substitution'] {
  try {
    const [mutation, ...others] = parseVariant(variant);
    if (others.length > 0 || mutation?.kind !== 'substitution' || mutation.residues.length !== 1) {
      return undefined;
    }
    return { position: mutation.first.position, wildType: mutation.first.residue, mutant: mutation.residues };
  } catch {
    return undefined;
  }
}

/** Maps as rows: token 0 is <cls>, residues count from 1. */
function mapsFrom(table: Table, name: string, options: TableReportOptions): Report {
  const columns = cells(table);
  const [query, key, attention] = [columns.query, columns.key, columns.attention].map(numbers);
  const groups = rowsByProtein(columns, table.numRows(), stem(basename(name)));
  const proteins = chooseProteins(groups, name, options).map(({ id, rows }) => {
    let [first, last] = [Number.POSITIVE_INFINITY, 0];
    for (const row of rows) {
      first = Math.min(first, query[row]);
      last = Math.max(last, query[row]);
    }
    const length = first === 0 ? last - 1 : last;
    checkPosition(last, name);
    const sequence = options.sequences?.get(id) ?? 'X'.repeat(length);
    if (sequence.length !== length) {
      throw new InputError(`${name}: the maps of ${id} are of ${length} residues, its sequence has ${sequence.length}`);
    }
    const of = (column: ArrayLike<unknown>) => {
      const names = new Set(rows.map((row) => String(column[row])));
      return [...names].map((text) => (text === 'mean' ? text : Number(text)));
    };
    const [layers, heads] = [of(columns.layer), of(columns.head)];
    // A whole map has a row for each of its cells.
    if (layers.length * heads.length * length ** 2 > Math.max(2 ** 20, MOST_EMPTY * rows.length)) {
      throw new InputError(
        `${name}: the maps of ${id} have ${length} × ${length} cells, the table ${rows.length} rows for all of them; ` +
          'give whole maps',
      );
    }
    const maps = layers.flatMap(() => heads.map(() => new Float32Array(length * length)));
    const places = (names: (number | 'mean')[]) => new Map(names.map((layer, place) => [String(layer), place]));
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
  return mapsReport(basename(name), proteins);
}

function contactsFrom(table: Table, name: string, options: TableReportOptions): Report {
  const columns = cells(table);
  const [i, j, probability] = [columns.i, columns.j, columns.probability].map(numbers);
  const { chain } = options;
  const groups = rowsByProtein(columns, table.numRows(), stem(basename(name)));
  const chosen = chooseProteins(groups, name, options);
  if (chain && chosen.length > 1) {
    throw new InputError(`${name}: ${chosen.length} proteins but one structure: choose one by its identifier`);
  }
  const proteins = chosen.map(({ id, rows }) => {
    for (const row of rows) {
      checkPosition(i[row], name);
      checkPosition(j[row], name);
    }
    const [, length] = extent(rows.map((row) => Math.max(i[row], j[row])));
    const letters = Array<string>(length).fill('X');
    for (const row of rows) {
      letters[i[row] - 1] = String(columns.residue_i?.[row] ?? 'X');
      letters[j[row] - 1] = String(columns.residue_j?.[row] ?? 'X');
    }
    const sequence = chain?.sequence ?? options.sequences?.get(id) ?? letters.join('');
    if (length > sequence.length || letters.some((letter, at) => letter !== 'X' && letter !== sequence[at])) {
      throw new InputError(`${name}: the contacts of ${id} do not fit the sequence of the structure or FASTA file`);
    }
    return {
      id,
      sequence,
      predicted: rows.map((row) => ({ i: i[row] - 1, j: j[row] - 1, probability: probability[row] })),
      ...(chain ? { structure: contactPairs(chain) } : {}),
    };
  });
  return contactsReport(basename(name), proteins);
}

function similarityFrom(table: Table, name: string): Report {
  const columns = cells(table);
  const [attention, blosum] = [columns.attention, columns.blosum62].map(numbers);
  const pairs = attention.map((value, row) => ({
    a: String(columns.residue_a[row]),
    b: String(columns.residue_b[row]),
    attention: value,
    blosum: blosum[row],
  }));
  return similarityReport(basename(name), pairs, {
    pearson: pearson(attention, blosum),
    spearman: spearman(attention, blosum),
  });
}

function approximationFrom(table: Table, name: string): Report {
  const columns = cells(table);
  const count = numbers(columns.num_features);
  const interval = (measure: string) => {
    const parts = [measure, `${measure}_low`, `${measure}_high`].map((column) => numbers(columns[column] ?? []));
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
  return approximationReport(basename(name), errors);
}
