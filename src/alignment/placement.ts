import { InputError } from '../data/errors.js';
import type { Alignment } from './alignment.js';
import { alignPair } from './pairwise.js';

/** Share of equal residues below which a query is another protein than the wild type. */
const SAME_PROTEIN = 0.8;
/** Above so many alignments as good by chance, two sequences have nothing in common. */
const MOST_EXPECTED = 1e-3;
/** Differences that a message names. */
const NAMED = 5;

/** Where another numbering of a protein, an alignment's or a structure's, lies on its sequence. */
export interface Placement {
  /** [protein's length] Index in the other numbering of each residue, from 0; -1 where it has none. */
  indices: Int32Array;
  /** Residues that have one. */
  placed: number;
  /** Those among them whose letter differs: `A42G`, the protein's letter first. */
  differences: string[];
}

export interface PlacementOptions {
  /** Number of the protein's first residue, for messages; default 1. */
  offset?: number;
}

/**
 * Finds the columns of an alignment on a protein: its query lies in the sequence as it is, or is aligned to it.
 * @param protein how messages call the sequence
 * @returns indices of columns
 * @throws InputError where the query is another protein: below 80 % of equal residues, or nothing in common
 */
export function placeAlignment(
  alignment: Alignment,
  sequence: string,
  protein: string,
  options: PlacementOptions = {},
): Placement {
  const { file, query, querySequence, positions } = alignment;
  const { partners, pairs, identical, expected } = alignPair(querySequence, sequence);
  if (identical < SAME_PROTEIN * pairs || expected > MOST_EXPECTED) {
    throw new InputError(
      `${file}: its query ${query} is another protein than ${protein}: ${identical} of ${pairs} residues beside each ` +
        'other are equal; give the alignment of this protein, or name its row by --query',
    );
  }
  const columnOf = new Int32Array(querySequence.length).fill(-1);
  for (const [column, position] of positions.entries()) {
    columnOf[position] = column;
  }
  const indices = partners.map((residue) => (residue === -1 ? -1 : columnOf[residue]));
  return summary(indices, sequence, (column) => querySequence[positions[column]], options.offset);
}

/**
 * Finds the residues of a structure's chain on a protein; the chain may miss some, or be of a related protein.
 * @param chain its letters, one a residue
 * @param file the structure's, for messages
 * @returns indices of the chain's residues
 * @throws InputError where the two have nothing in common
 */
export function placeChain(
  chain: string,
  file: string,
  sequence: string,
  protein: string,
  options: PlacementOptions = {},
): Placement {
  const { partners, pairs, identical, expected } = alignPair(chain, sequence);
  if (expected > MOST_EXPECTED) {
    throw new InputError(
      `${file}: nothing of its chain of ${chain.length} residues is in ${protein}: ${identical} of ${pairs} residues ` +
        'beside each other are equal, as by chance; give a structure of this protein, or another chain by --chain',
    );
  }
  return summary(partners, sequence, (residue) => chain[residue], options.offset);
}

function summary(indices: Int32Array, sequence: string, letterAt: (index: number) => string, offset = 1): Placement {
  const differences: string[] = [];
  let placed = 0;
  for (const [i, index] of indices.entries()) {
    if (index === -1) {
      continue;
    }
    placed++;
    if (letterAt(index) !== sequence[i]) {
      differences.push(`${sequence[i]}${i + offset}${letterAt(index)}`);
    }
  }
  return { indices, placed, differences };
}

/** Differences in words: their number, and the first of them. */
export function describeDifferences({ differences }: Placement): string {
  const named = differences.slice(0, NAMED).join(', ');
  return `${differences.length} (${named}${differences.length > NAMED ? ', …' : ''})`;
}
