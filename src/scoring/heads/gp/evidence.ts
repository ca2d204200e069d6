import {
  GAP,
  LETTERS,
  placeAlignment,
  placeChain,
  readAlignment,
  sequenceWeights,
  weightedCounts,
} from '../../../alignment/index.js';
import { describeDifferences } from '../../../alignment/placement.js';
import type { Warnings } from '../../../data/warnings.js';
import { relativeAccessibility } from '../../../structures/solvent.js';
import { readChain } from '../../../structures/structure.js';
import { siteProfile } from './profile.js';

/** What is known of a protein beside its sequence: plain numbers, so that a saved head keeps them. */
export interface GaussianEvidence {
  wildType: string;
  /** [length × 20] Distribution of letters at each residue (see `siteProfile`). */
  profile: Float64Array;
  /** [length] Relative solvent accessibility, NaN where it is not known; absent without a structure. */
  accessibility?: Float64Array;
  /** [length × 3] Cα in ångström, NaN where it is not known; absent without a structure. */
  alphaCarbons?: Float64Array;
  /** What it comes from: `alignment`, `structure`, or neither. */
  given: readonly EvidenceKind[];
}

export type EvidenceKind = 'alignment' | 'structure';

/** Files to learn of a protein from. */
export interface EvidenceFiles {
  /** An alignment of its family (see `readAlignment`), and the row that is the protein. */
  alignment?: string;
  query?: string;
  /** A structure of it, and which chain. */
  structure?: string;
  chain?: string;
  /** Number of the protein's first residue, for messages. */
  offset?: number;
  /** Takes residues whose letter differs. */
  warnings?: Warnings;
}

/**
 * Reads what files tell of a protein; without any, its profile is BLOSUM62's.
 * @param protein how messages call it
 * @throws InputError where an alignment or a structure is of another protein
 */
export async function readGaussianEvidence(
  wildType: string,
  protein: string,
  files: EvidenceFiles = {},
): Promise<GaussianEvidence> {
  const { alignment, structure } = files;
  const given: EvidenceKind[] = [];
  let counts: Float64Array | undefined;
  if (alignment !== undefined) {
    counts = await countsOf(wildType, protein, alignment, files);
    given.push('alignment');
  }
  const evidence: GaussianEvidence = { wildType, profile: siteProfile(wildType, counts), given };
  if (structure !== undefined) {
    given.push('structure');
    const chain = readChain(structure, files.chain);
    const placement = placeChain(chain.sequence, structure, wildType, protein, files);
    if (placement.differences.length > 0) {
      files.warnings?.add('residues differ in the structure', `${structure}: ${describeDifferences(placement)}`);
    }
    const areas = relativeAccessibility(chain);
    evidence.accessibility = Float64Array.from(placement.indices, (index) => areas[index] ?? Number.NaN);
    evidence.alphaCarbons = new Float64Array(3 * wildType.length).fill(Number.NaN);
    for (const [site, index] of placement.indices.entries()) {
      const alpha = index === -1 ? undefined : chain.residues[index].atoms.find(({ name }) => name === 'CA');
      if (alpha) {
        evidence.alphaCarbons.set(alpha.position, 3 * site);
      } else {
        evidence.accessibility[site] = Number.NaN;
      }
    }
  }
  return evidence;
}

/** [length × 20] Weighted letters of the family at each residue. */
async function countsOf(wildType: string, protein: string, path: string, files: EvidenceFiles): Promise<Float64Array> {
  const alignment = await readAlignment(path, { query: files.query });
  const placement = placeAlignment(alignment, wildType, protein, files);
  if (placement.differences.length > 0) {
    files.warnings?.add('residues differ in the alignment', `${path}: ${describeDifferences(placement)}`);
  }
  const columns = weightedCounts(alignment, sequenceWeights(alignment));
  const counts = new Float64Array(wildType.length * LETTERS.length);
  for (const [site, column] of placement.indices.entries()) {
    if (column !== -1) {
      const first = column * (GAP + 1);
      counts.set(columns.subarray(first, first + LETTERS.length), site * LETTERS.length);
    }
  }
  return counts;
}
