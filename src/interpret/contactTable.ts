import { readFileSync } from 'node:fs';
import { InputError } from '../data/errors.js';
import type { Chain } from '../structures/structure.js';
import type { ContactHead, KnownContacts } from './contacts.js';

/** A predicted contact of a protein; positions from 0. */
export interface ContactRow {
  protein: { id: string; sequence: string; known?: KnownContacts & { chain: Chain } };
  i: number;
  j: number;
  probability: number;
}

/**
 * Predicted contacts as the columns of a table, positions from 1. Where a structure is known, its residue numbers stand
 * beside them, and whether the pair is in contact there: null where a residue of it was not resolved.
 */
export function contactColumns(rows: readonly ContactRow[]): Record<string, (string | number | null)[]> {
  const contacts = new Map<ContactRow['protein'], Set<number>>();
  const inContact = ({ protein, i, j }: ContactRow): number | null => {
    const { known, sequence } = protein;
    if (!known || known.unresolved?.has(i) || known.unresolved?.has(j)) {
      return null;
    }
    const pairs = contacts.get(protein) ?? new Set(known.contacts.map(([a, b]) => a * sequence.length + b));
    contacts.set(protein, pairs);
    return Number(pairs.has(i * sequence.length + j));
  };
  return {
    sequence_id: rows.map(({ protein }) => protein.id),
    i: rows.map(({ i }) => i + 1),
    j: rows.map(({ j }) => j + 1),
    residue_i: rows.map(({ protein, i }) => protein.sequence[i]),
    residue_j: rows.map(({ protein, j }) => protein.sequence[j]),
    probability: rows.map(({ probability }) => (Number.isNaN(probability) ? null : Number(probability.toPrecision(6)))),
    ...(rows.some(({ protein }) => protein.known)
      ? {
          number_i: rows.map(({ protein, i }) => protein.known?.chain.residues[i].number || null),
          number_j: rows.map(({ protein, j }) => protein.known?.chain.residues[j].number || null),
          contact: rows.map(inContact),
        }
      : {}),
  };
}

/**
 * Reads a contact head that `contacts --fit` wrote.
 * @throws InputError where the file is something else
 */
export function readContactHead(path: string): ContactHead {
  try {
    const { weights, bias } = JSON.parse(readFileSync(path, 'utf8'));
    if (Array.isArray(weights) && [...weights, bias].every(Number.isFinite)) {
      return { weights: Float32Array.from(weights), bias };
    }
  } catch {
    // Not JSON: said below.
  }
  throw new InputError(`${path}: not a contact head: write it with protein-lm contacts --fit`);
}
