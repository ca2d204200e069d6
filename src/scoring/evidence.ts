import { type Alignment, LETTERS, readAlignment } from '../alignment/alignment.js';
import { describeDifferences, placeAlignment, placeChain } from '../alignment/placement.js';
import { type AlignmentScheme, type SchemeTerms, schemeTerms } from '../alignment/scores.js';
import type { Warnings } from '../data/warnings.js';
import { type AreaTable, relativeAccessibility } from '../structures/solvent.js';
import { type Chain, otherAtoms, readChain } from '../structures/structure.js';
import { isSubstitution, type Variant } from './variants.js';

/** What is known of a protein beside what a language model says. */
export interface Evidence {
  alignment?: AlignmentEvidence;
  structure?: StructureEvidence;
}

/** A family's alignment, and what a scheme makes of it. */
export interface AlignmentEvidence extends SchemeTerms {
  alignment: Alignment;
  scheme: AlignmentScheme;
}

/** A chain, and how much of each of its residues the solvent reaches. */
export interface StructureEvidence {
  file: string;
  chain: Chain;
  /** [residues] Relative solvent accessibility; NaN where it is not known. */
  accessibility: Float64Array;
}

export interface AlignmentEvidenceOptions {
  /** Default `log-odds`. */
  scheme?: AlignmentScheme;
  /** The row whose residues are the columns; default the first. */
  query?: string;
  /** Takes an alignment that is too shallow to say much. */
  warnings?: Warnings;
}

/** Effective sequences a column below which a family says little. */
const SHALLOW = 1;

/** Reads an alignment, and counts it for a scheme. @throws InputError as `readAlignment` */
export async function readAlignmentEvidence(
  path: string,
  { scheme = 'log-odds', query, warnings }: AlignmentEvidenceOptions = {},
): Promise<AlignmentEvidence> {
  const alignment = await readAlignment(path, { query });
  const counted = schemeTerms(alignment, scheme);
  const ratio = counted.effectiveDepth / alignment.length;
  if (ratio < SHALLOW) {
    const effective = Number(counted.effectiveDepth.toPrecision(4)).toLocaleString('en-US');
    warnings?.add(
      'a shallow alignment, Neff/L below 1, says little of its family',
      `${path}, Neff ${effective} over ${alignment.length} columns, Neff/L ${ratio.toFixed(2)}`,
    );
  }
  return { alignment, scheme, ...counted };
}

export interface StructureEvidenceOptions {
  /** The chain's name; default the first. */
  chain?: string;
  /** Maxima that areas are divided by; default Tien et al. 2013. */
  areas?: AreaTable;
  /** Lets ligands and ions cover the chain. */
  hetero?: boolean;
  /** Lets waters cover the chain. */
  water?: boolean;
  warnings?: Warnings;
}

/**
 * Reads a chain of a structure's first model, and computes the solvent accessibility of its residues, alone unless other
 * atoms are asked for. Of alternative locations the first counts.
 * @throws InputError as `readStructure`
 */
export function readStructureEvidence(path: string, options: StructureEvidenceOptions = {}): StructureEvidence {
  const { chain: id, areas: table, hetero, water, warnings } = options;
  const chain = readChain(path, id, { locations: 'first', warnings });
  const others = hetero || water ? otherAtoms(path, { locations: 'first', hetero, water }) : [];
  return { file: path, chain, accessibility: relativeAccessibility(chain, { table, others }) };
}

/** What evidence says of one protein. */
export interface ProteinEvidence {
  /** [protein × 20] Terms of the letters at each residue, in the order of `LETTERS`; NaN where it has no column. */
  terms?: Float64Array;
  /** [protein] 1 − relative solvent accessibility, at least 0; NaN where it is not known. */
  factors?: Float64Array;
}

/**
 * Puts evidence on a protein's sequence.
 * @param where the protein, for messages
 * @param offset number of its first residue, for messages
 * @throws InputError where the alignment is another protein's, or the structure has nothing in common with it
 */
export function placeEvidence(
  { alignment, structure }: Evidence,
  sequence: string,
  where: string,
  { offset, warnings }: { offset?: number; warnings?: Warnings } = {},
): ProteinEvidence {
  const placed: ProteinEvidence = {};
  if (alignment) {
    const placement = placeAlignment(alignment.alignment, sequence, where, { offset });
    if (placement.differences.length > 0) {
      warnings?.add(
        "the alignment's query differs from the sequence, whose residues count",
        `${where}, ${describeDifferences(placement)}`,
      );
    }
    placed.terms = new Float64Array(sequence.length * LETTERS.length).fill(Number.NaN);
    for (const [i, column] of placement.indices.entries()) {
      if (column !== -1) {
        const own = alignment.terms.subarray(column * LETTERS.length, (column + 1) * LETTERS.length);
        placed.terms.set(own, i * LETTERS.length);
      }
    }
  }
  if (structure) {
    const { chain, file, accessibility } = structure;
    const placement = placeChain(chain.sequence, file, sequence, where, { offset });
    if (placement.differences.length > 0) {
      warnings?.add(
        'the structure differs from the sequence, its residues mapped all the same',
        `${where}, ${placement.placed} residues mapped, different ${describeDifferences(placement)}`,
      );
    }
    placed.factors = Float64Array.from(placement.indices, (residue) =>
      residue === -1 ? Number.NaN : 1 - Math.min(accessibility[residue], 1),
    );
  }
  return placed;
}

/** Scores of variants by an alignment, each substitution times its residue's factor where there are factors. NaN: see `unscorableBy`. */
export function scoreByEvidence(
  evidence: ProteinEvidence,
  sequence: string,
  variants: readonly Variant[],
): Float64Array {
  const { terms, factors } = evidence;
  return Float64Array.from(variants, ({ edits, ...variant }) => {
    if (!terms || !isSubstitution({ ...variant, edits })) {
      return Number.NaN;
    }
    let score = 0;
    for (const { start, residues } of edits) {
      const term = (letter: string) => terms[start * LETTERS.length + LETTERS.indexOf(letter)];
      const known = LETTERS.includes(residues) && LETTERS.includes(sequence[start]);
      score += known ? (term(residues) - term(sequence[start])) * (factors?.[start] ?? 1) : Number.NaN;
    }
    return score;
  });
}

/** Why evidence has no score for a variant, or undefined where it has. */
export function unscorableBy(evidence: ProteinEvidence, sequence: string, variant: Variant): string | undefined {
  const { terms, factors } = evidence;
  for (const { start, end, residues } of variant.edits) {
    if (residues.includes('*')) {
      return 'stop codon';
    }
    if (terms && (end - start !== 1 || residues.length !== 1)) {
      return 'an insertion or deletion, which an alignment does not score';
    }
    const letter = [residues, sequence[start]].find((one) => terms && !LETTERS.includes(one));
    if (letter !== undefined) {
      return `letter ${letter}, which alignments do not count`;
    }
    if (terms && Number.isNaN(terms[start * LETTERS.length])) {
      return 'no column of the alignment';
    }
    if (factors && Number.isNaN(factors[start])) {
      return 'no accessibility in the structure';
    }
  }
  return undefined;
}
