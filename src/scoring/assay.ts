import type { AlphabetName } from '../data/alphabet.js';
import { InputError } from '../data/errors.js';
import { readProteins } from '../data/proteins.js';
import { type ColumnNames, readTable, type Table, type VariantRow, variantRows } from './tables.js';
import { applyVariant, diffSequences, parseVariant, readVariant, type Variant, VariantError } from './variants.js';

/** What to do with rows that do not fit, and how they number the residues. */
export interface PlacementOptions {
  /** The number of the wild type's first residue in the rows' numbering; default 1. */
  offset?: number;
  /** Leaves out, and counts, rows whose wild type does not match, instead of failing at the first. */
  skipMismatches?: boolean;
  /**
   * Leaves out, and counts by reason, rows that have nothing to score: frameshifts, unknown effects, changes of DNA, no
   * variant at all, what does not read or does not match.
   */
  skipUnscorable?: boolean;
  /** What positions count; default `protein`. */
  alphabet?: AlphabetName;
}

export interface AssayOptions extends PlacementOptions {
  columns?: ColumnNames;
  /** Leaves out, and counts, rows without a measured value, instead of failing at the first. */
  skipMissing?: boolean;
}

/** A deep mutational scan: variants of one wild type and what was measured of them. */
export interface Assay {
  /**
   * Whether its values are a clinic's judgement: 1 benign, 0 pathogenic, in `measured` as in `labels`, so that higher is
   * fitter here too.
   */
  clinical?: boolean;
  wildType: string;
  variants: Variant[];
  /** [n], higher is fitter. */
  measured: Float64Array;
  /** [n] of 0/1 where every row has one. */
  labels?: Uint8Array;
  /** Rows left out. */
  skipped: { mismatches: number; missing: number; unscorable: Record<string, number> };
}

/**
 * Reads an assay in ProteinGym's columns (`mutant` and/or `mutated_sequence`, `DMS_score`, `DMS_score_bin`; of clinical
 * variants `DMS_bin_score`), or the others of `COLUMN_NAMES`.
 *
 * @param wildType may be absent where the table has it (`protein_sequence`), or a row both `mutant` and
 *   `mutated_sequence`, which give it
 * @throws InputError naming the file and row of what does not fit
 */
export async function readAssay(path: string, wildType?: string, options: AssayOptions = {}): Promise<Assay> {
  const source = await readTable(path);
  const needed: (keyof ColumnNames)[][] = [
    ['mutant', 'mutatedSequence'],
    ['score', 'clinical'],
  ];
  const rows = variantRows(source, path, options.columns, needed);
  const clinical = rows.every(({ score }) => score === undefined);
  if (clinical) {
    for (const row of rows) {
      row.score = row.pathogenic === undefined ? Number.NaN : Number(!row.pathogenic);
      row.label = row.pathogenic === undefined ? undefined : Number(!row.pathogenic);
    }
  }
  const sequence = wildType ?? wildTypeOf(source, path) ?? deriveWildType(rows, path, options);
  const kept: VariantRow[] = [];
  let missing = 0;
  for (const row of rows) {
    if (!Number.isNaN(row.score)) {
      kept.push(row);
    } else if (options.skipMissing || options.skipUnscorable) {
      missing++;
    } else {
      throw new InputError(`${path} row ${row.row} has no measured value; remove it, or pass --skip-missing`);
    }
  }
  const placed = placeRows(sequence, kept, path, options);
  if (placed.rows.length === 0) {
    throw new InputError(`${path}: no row is left after skipping`);
  }
  const assay: Assay = {
    clinical,
    wildType: sequence,
    variants: placed.variants,
    measured: Float64Array.from(placed.rows, (row) => row.score!),
    skipped: { mismatches: placed.mismatches, missing, unscorable: placed.unscorable },
  };
  if (placed.rows.every((row) => row.label !== undefined)) {
    assay.labels = Uint8Array.from(placed.rows, (row) => row.label!);
  }
  return assay;
}

/**
 * Places rows on their wild type. Where a row has both a `mutant` and a `mutated_sequence`, they must agree.
 *
 * @throws VariantError with the row, the variant, the position, the expected and the found residue
 */
export function placeRows(
  wildType: string,
  rows: readonly VariantRow[],
  path: string,
  options: PlacementOptions = {},
): { variants: Variant[]; rows: VariantRow[]; mismatches: number; unscorable: Record<string, number> } {
  const variants: Variant[] = [];
  const kept: VariantRow[] = [];
  let mismatches = 0;
  const unscorable: Record<string, number> = {};
  for (const row of rows) {
    try {
      variants.push(placeRow(wildType, row, options));
      kept.push(row);
    } catch (error) {
      if (!(error instanceof VariantError)) {
        throw error;
      }
      // A variant that does not read at all is no mismatch.
      const { variant, position, expected, found, reason } = error;
      const mismatch = expected !== undefined;
      if (mismatch && (options.skipMismatches || options.skipUnscorable)) {
        mismatches++;
        continue;
      }
      if (options.skipUnscorable) {
        unscorable[reason] = (unscorable[reason] ?? 0) + 1;
        continue;
      }
      if (reason === 'no variant') {
        throw new InputError(`${path} row ${row.row} has no variant; remove it, or pass --skip-unscorable`);
      }
      const way = mismatch ? ', or pass --skip-mismatches' : '; --skip-unscorable leaves such rows out';
      throw new VariantError(
        `${path} row ${row.row}: ${error.message}${way}`,
        variant,
        position,
        expected,
        found,
        reason,
      );
    }
  }
  return { variants, rows: kept, mismatches, unscorable };
}

function placeRow(wildType: string, row: VariantRow, { offset, alphabet }: PlacementOptions): Variant {
  const { mutant, mutatedSequence } = row;
  if (mutant === undefined) {
    if (mutatedSequence === undefined) {
      throw new VariantError('no variant', '', undefined, undefined, undefined, 'no variant');
    }
    return diffSequences(wildType, mutatedSequence, { offset });
  }
  const variant = readVariant(wildType, mutant, { offset, alphabet });
  if (mutatedSequence === undefined) {
    return variant;
  }
  const expected = applyVariant(wildType, variant);
  if (mutatedSequence !== expected && mutatedSequence.split('*', 1)[0] !== expected) {
    let at = 0;
    while (mutatedSequence[at] === expected[at]) {
      at++;
    }
    const [wanted, found] = [expected[at] ?? 'the end', mutatedSequence[at] ?? 'the end'];
    const position = at + (offset ?? 1);
    throw new VariantError(
      `variant ${variant.name}: its mutated sequence has ${found} at position ${position}, not ${wanted}; ` +
        'one of the two columns is wrong',
      variant.name,
      position,
      wanted,
      found,
    );
  }
  return variant;
}

/**
 * The first sequence of a FASTA file, as an assay's wild type.
 * @throws InputError where it has none
 */
export async function readWildType(path: string): Promise<string> {
  for await (const { sequence } of readProteins(path)) {
    return sequence;
  }
  throw new InputError(`${path} has no sequence; give a FASTA file with the wild type`);
}

/** The wild type that a table says in each row, as ProteinGym's clinical ones do. */
function wildTypeOf(source: Table, path: string): string | undefined {
  if (!source.columnNames().includes('protein_sequence')) {
    return undefined;
  }
  const sequences = new Set(
    Array.from(source.array('protein_sequence') as ArrayLike<unknown>, (cell) => String(cell ?? '')),
  );
  sequences.delete('');
  if (sequences.size > 1) {
    throw new InputError(
      `${path} has variants of ${sequences.size} proteins (protein_sequence); give one table a protein`,
    );
  }
  const [only] = sequences;
  return only?.trim().toUpperCase();
}

/** The wild type behind a row that has both a substitution and the mutated sequence. */
function deriveWildType(
  rows: readonly VariantRow[],
  path: string,
  { offset = 1, alphabet }: Pick<PlacementOptions, 'offset' | 'alphabet'>,
): string {
  for (const { mutant, mutatedSequence } of rows) {
    if (mutant === undefined || mutatedSequence === undefined) {
      continue;
    }
    let mutations: ReturnType<typeof parseVariant>;
    try {
      mutations = parseVariant(mutant, { alphabet });
    } catch {
      continue; // A row that does not read is reported with its number when it is placed.
    }
    if (mutations.some((m) => m.kind !== 'substitution' || m.residues === '*')) {
      continue;
    }
    const residues = [...mutatedSequence];
    for (const { first } of mutations) {
      residues[first.position - offset] = first.residue;
    }
    if (residues.length === mutatedSequence.length) {
      return residues.join('');
    }
  }
  throw new InputError(`${path} does not say its wild type; give it as a FASTA file`);
}
