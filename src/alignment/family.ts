import { type AlignmentOptions, readAlignment, residuesOf } from './alignment.js';
import { alignmentFormat, readRows } from './rows.js';
import { effectiveDepth, sequenceWeights } from './weights.js';

/** The sequences of a family, each as often as it weighs. */
export interface Family {
  /** Whole sequences of rows, insertions with them, without gaps. */
  sequences: { id: string; sequence: string }[];
  /** Rows of the alignment. */
  depth: number;
  /** The sum of the rows' weights. */
  effectiveDepth: number;
}

/**
 * The sequences of an alignment to learn from, as many as it has rows: each is drawn in proportion to its weight (EVE's,
 * at 80 % identity), so that a crowd of near relatives counts as one. The draws are systematic (Madow 1949): a row whose
 * share is 2.3 comes two or three times, and the same alignment gives the same sequences.
 * @throws InputError as `readAlignment`
 */
export async function familySequences(path: string, options: AlignmentOptions = {}): Promise<Family> {
  const alignment = await readAlignment(path, options);
  const { depth, query } = alignment;
  const weights = sequenceWeights(alignment);
  const total = effectiveDepth(weights);
  const copies = drawCopies(weights, depth);
  const sequences: Family['sequences'] = [];
  let found = false;
  let next = 1;
  for await (const { id, text } of readRows(path, await alignmentFormat(path))) {
    const isQuery: boolean = !found && id === query;
    found ||= isQuery;
    const sequence = residuesOf(text);
    for (let copy = 0; copy < copies[isQuery ? 0 : next]; copy++) {
      sequences.push({ id: copy === 0 ? id : `${id}#${copy + 1}`, sequence });
    }
    next += Number(!isQuery);
  }
  return { sequences, depth, effectiveDepth: total };
}

/**
 * How often each is drawn in so many draws, in proportion to weights: by points a step apart along their running sum.
 * @param weights [n], not all 0
 * @returns [n], whose sum is `draws`
 */
export function drawCopies(weights: Float64Array, draws: number): Int32Array {
  const step = effectiveDepth(weights) / draws;
  const copies = new Int32Array(weights.length);
  let sum = 0;
  let drawn = 0;
  let last = 0;
  for (const [i, weight] of weights.entries()) {
    sum += weight;
    last = weight > 0 ? i : last;
    while (drawn < draws && (drawn + 0.5) * step < sum) {
      copies[i]++;
      drawn++;
    }
  }
  copies[last] += draws - drawn;
  return copies;
}
