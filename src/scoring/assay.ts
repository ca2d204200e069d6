import { InputError } from '../data/errors.js';
import { readProteins } from '../data/proteins.js';
import { type ColumnNames, readTable, type VariantRow, variantRows } from './tables.js';
import { applyVariant, diffSequences, parseVariant, readVariant, type Variant, VariantError } from './variants.js';

/** What to do with rows that do not fit, and how they number the residues. */
export interface PlacementOptions {
  /** The number of the wild type's first residue in the rows' numbering; default 1. */
  offset?: number;
  /** Leaves out, and counts, rows whose wild type does not match, instead of failing at the first. */
  skipMismatches?: boolean;
}

export interface AssayOptions extends PlacementOptions {
  columns?: ColumnNames;
  /** Leaves out, and counts, rows without a measured value, instead of failing at the first. */
  skipMissing?: boolean;
}

/** A deep mutational scan: variants of one wild type and what was measured of them. */
export interface Assay {
  wildType: string;
  variants: Variant[];
  /** [n], higher is fitter. */
  measured: Float64Array;
  /** [n] of 0/1 where every row has one. */
  labels?: Uint8Array;
  /** Rows left out. */
  skipped: { mismatches: number; missing: number };
}

/**
 * Reads an assay in ProteinGym's columns (`mutant` and/or `mutated_sequence`, `DMS_score`, `DMS_score_bin`).
 *
 * @param wildType may be absent where a row has both `mutant` and `mutated_sequence`, which give it
 * @throws InputError naming the file and row of what does not fit
 */
export async function readAssay(path: string, wildType?: string, options: AssayOptions = {}): Promise<Assay> {
  const rows = variantRows(await readTable(path), path, options.columns, [['mutant', 'mutatedSequence'], ['score']]);
  const sequence = wildType ?? deriveWildType(rows, path, options.offset);
  const kept: VariantRow[] = [];
  let missing = 0;
  for (const row of rows) {
    if (!Number.isNaN(row.score)) {
      kept.push(row);
    } else if (options.skipMissing) {
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
    wildType: sequence,
    variants: placed.variants,
    measured: Float64Array.from(placed.rows, (row) => row.score!),
    skipped: { mismatches: placed.mismatches, missing },
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
): { variants: Variant[]; rows: VariantRow[]; mismatches: number } {
  const variants: Variant[] = [];
  const kept: VariantRow[] = [];
  let mismatches = 0;
  for (const row of rows) {
    try {
      variants.push(placeRow(wildType, row, options.offset));
      kept.push(row);
    } catch (error) {
      if (!(error instanceof VariantError)) {
        throw error;
      }
      // A variant that does not read at all is no mismatch, and always an error.
      if (options.skipMismatches && error.expected !== undefined) {
        mismatches++;
        continue;
      }
      throw new VariantError(
        `${path} row ${row.row}: ${error.message}${error.expected ? ', or pass --skip-mismatches' : ''}`,
        error.variant,
        error.position,
        error.expected,
        error.found,
      );
    }
  }
  return { variants, rows: kept, mismatches };
}

function placeRow(wildType: string, row: VariantRow, offset?: number): Variant {
  if (row.mutant === undefined) {
    return diffSequences(wildType, row.mutatedSequence!, { offset });
  }
  const variant = readVariant(wildType, row.mutant, { offset });
  const { mutatedSequence } = row;
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

/** The wild type behind a row that has both a substitution and the mutated sequence. */
function deriveWildType(rows: readonly VariantRow[], path: string, offset = 1): string {
  for (const { mutant, mutatedSequence } of rows) {
    if (mutant === undefined || mutatedSequence === undefined) {
      continue;
    }
    let mutations: ReturnType<typeof parseVariant>;
    try {
      mutations = parseVariant(mutant);
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
