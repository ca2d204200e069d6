import { LETTERS } from '../../alignment/index.js';
import { InputError } from '../../data/errors.js';
import type { Random } from '../../data/random.js';
import type { Edit, Variant } from '../variants.js';

/** What may be made of a protein. */
export interface VariantSpaceOptions {
  /** Positions that may change, from 0; default all. */
  positions?: readonly number[];
  /** Positions that stay as they are, from 0. */
  fixed?: readonly number[];
  /** Letters that may come in at a position; default the 20 amino acids. */
  letters?: (position: number) => string;
  /** Most mutations of a variant; default 1. */
  mutations?: number;
  /** Number of the wild type's first residue in variants' names; default 1. */
  offset?: number;
}

/** All variants of a wild type with one to several substitutions at chosen positions by allowed letters. */
export class VariantSpace {
  /** Positions that can change, ascending, and what they can become. */
  private readonly choices: { position: number; letters: string }[];
  private readonly byPosition: Map<number, string>;
  readonly mutations: number;
  private readonly offset: number;

  /** @throws InputError where nothing may change, or a position lies outside the protein */
  constructor(
    readonly wildType: string,
    options: VariantSpaceOptions = {},
  ) {
    const { positions = Array.from(wildType, (_, i) => i), fixed = [], mutations = 1, offset = 1 } = options;
    const outside = [...positions, ...fixed].find((position) => !(position >= 0 && position < wildType.length));
    if (outside !== undefined) {
      throw new InputError(
        `position ${outside + offset} is none of the protein's, ${offset} to ${wildType.length + offset - 1}`,
      );
    }
    const staying = new Set(fixed);
    this.choices = [...new Set(positions)]
      .filter((position) => !staying.has(position))
      .sort((a, b) => a - b)
      .map((position) => ({
        position,
        letters: [...(options.letters?.(position) ?? LETTERS)]
          .filter((letter) => letter !== wildType[position])
          .join(''),
      }))
      .filter(({ letters }) => letters !== '');
    if (this.choices.length === 0) {
      throw new InputError('nothing may change: allow more positions or letters');
    }
    this.byPosition = new Map(this.choices.map(({ position, letters }) => [position, letters]));
    this.mutations = Math.min(mutations, this.choices.length);
    this.offset = offset;
  }

  /** How many variants there are: Σ over k of the elementary symmetric polynomials of the letters' numbers. */
  get size(): number {
    const sums = new Float64Array(this.mutations + 1);
    sums[0] = 1;
    for (const { letters } of this.choices) {
      for (let k = this.mutations; k > 0; k--) {
        sums[k] += sums[k - 1] * letters.length;
      }
    }
    return sums.reduce((sum, value) => sum + value, -1);
  }

  /** Every variant of the space, those with fewest mutations first. */
  *all(): Generator<Variant> {
    for (let k = 1; k <= this.mutations; k++) {
      yield* this.combinations(k, 0, []);
    }
  }

  /** Every single substitution of the space. */
  singles(): Variant[] {
    return [...this.combinations(1, 0, [])];
  }

  /** A variant by its edits, whose order does not matter. */
  variant(edits: readonly Edit[]): Variant {
    const sorted = [...edits].sort((a, b) => a.start - b.start);
    const name = sorted
      .map(({ start, residues }) => `${this.wildType[start]}${start + this.offset}${residues}`)
      .join(':');
    return { name, edits: sorted };
  }

  /** Whether a variant is one of the space. */
  has({ edits }: Variant): boolean {
    return (
      edits.length > 0 &&
      edits.length <= this.mutations &&
      edits.every(
        ({ start, end, residues }) => end - start === 1 && this.byPosition.get(start)?.includes(residues) === true,
      )
    );
  }

  /** A neighbour: one mutation more, one less, or one exchanged. */
  mutate({ edits }: Variant, random: Random): Variant {
    const kept = [...edits];
    const action = random.int(3);
    if (kept.length > 1 && (action === 0 || kept.length === this.mutations)) {
      kept.splice(random.int(kept.length), 1);
    }
    if (kept.length === this.mutations) {
      kept.splice(random.int(kept.length), 1);
    }
    if (action !== 0 || kept.length === 0) {
      const { position, letters } = this.choices[random.int(this.choices.length)];
      const others = kept.filter(({ start }) => start !== position);
      others.push({ start: position, end: position + 1, residues: letters[random.int(letters.length)] });
      return this.variant(others);
    }
    return this.variant(kept);
  }

  /** A child with mutations of both, not more than allowed. */
  cross(a: Variant, b: Variant, random: Random): Variant {
    const taken = new Map<number, Edit>();
    for (const edit of random.shuffle([...a.edits, ...b.edits])) {
      if (taken.size < this.mutations && !taken.has(edit.start)) {
        taken.set(edit.start, edit);
      }
    }
    return this.variant([...taken.values()]);
  }

  private *combinations(left: number, from: number, edits: readonly Edit[]): Generator<Variant> {
    if (left === 0) {
      yield this.variant(edits);
      return;
    }
    for (let at = from; at <= this.choices.length - left; at++) {
      const { position, letters } = this.choices[at];
      for (const residues of letters) {
        yield* this.combinations(left - 1, at + 1, [...edits, { start: position, end: position + 1, residues }]);
      }
    }
  }
}
