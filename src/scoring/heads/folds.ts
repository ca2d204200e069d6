import { InputError } from '../../data/errors.js';
import { Random } from '../../data/random.js';
import type { Variant } from '../variants.js';

/**
 * Cross-validation splits of ProteinGym (Notin et al. 2023, ProteinNPT, section 4.1): `random` by variant; `contiguous`
 * by stretches of the mutated positions; `modulo` by every k-th of them. The last two ask for positions never seen.
 */
export const SPLITS = ['random', 'contiguous', 'modulo'] as const;
export type Split = (typeof SPLITS)[number];

/**
 * Assigns variants to folds as ProteinGym's scripts do: of single substitutions `random` draws each variant's fold, of
 * multiple ones it deals them out evenly within each number of mutations; `contiguous` and `modulo` go by the sorted
 * positions that occur, and are for single substitutions.
 *
 * @returns [variants.length], folds from 0
 * @throws InputError where there are fewer positions than folds, or a variant is not one substitution
 */
export function assignFolds(variants: readonly Variant[], split: Split, folds = 5, seed = 0): Uint8Array {
  const random = new Random(seed, folds);
  const single = variants.every((variant) => variant.edits.length <= 1);
  if (split === 'random') {
    if (single) {
      return Uint8Array.from(variants, () => random.int(folds));
    }
    const byDepth = new Map<number, number[]>();
    variants.forEach(({ edits }, i) => {
      byDepth.set(edits.length, [...(byDepth.get(edits.length) ?? []), i]);
    });
    const assigned = new Uint8Array(variants.length);
    for (const members of byDepth.values()) {
      const size = Math.ceil(members.length / folds);
      const numbers = random.shuffle(members.map((_, i) => Math.floor(i / size)));
      members.forEach((member, i) => {
        assigned[member] = numbers[i];
      });
    }
    return assigned;
  }
  if (!single) {
    throw new InputError(`--split ${split} is for single mutations; use random for several`);
  }
  const positionOf = (variant: Variant) => variant.edits[0]?.start ?? 0;
  const positions = [...new Set(variants.map(positionOf))].sort((a, b) => a - b);
  if (positions.length < folds) {
    throw new InputError(`--split ${split} of ${positions.length} positions into ${folds} folds; use fewer --folds`);
  }
  // numpy's array_split: the first ones are one longer.
  const size = Math.floor(positions.length / folds);
  const longer = positions.length % folds;
  const foldOf = new Map(
    positions.map((position, i) => {
      if (split === 'modulo') {
        return [position, i % folds];
      }
      const inLonger = i < longer * (size + 1);
      return [position, inLonger ? Math.floor(i / (size + 1)) : longer + Math.floor((i - longer * (size + 1)) / size)];
    }),
  );
  return Uint8Array.from(variants, (variant) => foldOf.get(positionOf(variant))!);
}
