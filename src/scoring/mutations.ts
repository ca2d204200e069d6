import { InputError } from '../data/errors.js';
import { readSequences } from '../data/reading.js';
import { type PlacementOptions, placeRows } from './assay.js';
import { type ColumnNames, readTable, type VariantRow, variantRows } from './tables.js';
import { diffSequences, type Variant } from './variants.js';

/** Variants of one or several proteins, as a file gives them. */
export interface Mutations {
  /** The file, for errors. */
  readonly path: string;
  /** Proteins that the rows name; undefined where they name none, and belong to a single protein. */
  readonly sequenceIds?: ReadonlySet<string>;
  /** The variants of one protein, in the file's order, and how many rows were skipped. */
  of(
    sequenceId: string,
    wildType: string,
  ): { variants: Variant[]; mismatches: number; unscorable: Record<string, number> };
}

const FASTA = /\.(fasta|fas|fa|faa|fna|ffn|fsa)(\.gz)?$/i;

/**
 * Reads variants to score: a table (see `readTable`) with a column of variants or of whole sequences, and one of
 * `sequence_id`s where it is about several proteins; or a FASTA file of whole variant sequences.
 * @param options.alphabet what FASTA is read as; default `protein`
 * @throws InputError with file and row
 */
export async function readMutations(
  path: string,
  options: PlacementOptions & { columns?: ColumnNames } = {},
): Promise<Mutations> {
  if (FASTA.test(path)) {
    const records: { name: string; sequence: string }[] = [];
    const { alphabet } = options;
    for await (const { id, sequence } of readSequences(path, { alphabet, cut: Number.POSITIVE_INFINITY })) {
      records.push({ name: id, sequence });
    }
    if (records.length === 0) {
      throw new InputError(`${path} has no sequences`);
    }
    return {
      path,
      of: (_, wildType) => ({
        variants: records.map(({ name, sequence }) =>
          diffSequences(wildType, sequence, { name, offset: options.offset }),
        ),
        mismatches: 0,
        unscorable: {},
      }),
    };
  }
  const rows = variantRows(await readTable(path), path, options.columns);
  const named = rows.find((row) => row.sequenceId !== undefined);
  const unnamed = rows.find((row) => row.sequenceId === undefined);
  if (named && unnamed) {
    throw new InputError(`${path} row ${unnamed.row} has no sequence_id, others have; fill it in`);
  }
  const byId = new Map<string, VariantRow[]>();
  for (const row of rows) {
    const group = byId.get(row.sequenceId ?? '');
    if (group) {
      group.push(row);
    } else {
      byId.set(row.sequenceId ?? '', [row]);
    }
  }
  return {
    path,
    sequenceIds: named ? new Set(byId.keys()) : undefined,
    of(sequenceId, wildType) {
      const { rows: _, ...placed } = placeRows(wildType, byId.get(named ? sequenceId : '') ?? [], path, options);
      return placed;
    },
  };
}
