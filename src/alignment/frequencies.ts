import { type Alignment, GAP, LETTERS } from './alignment.js';

/** Letters of a column's counts: the 20 amino acids and the gap. */
export const STATES = LETTERS.length + 1;

/**
 * The sum of the weights of the rows that have each letter, column by column.
 * @param weights [depth]; see `sequenceWeights`
 * @returns [length × 21], the gap last
 */
export function weightedCounts(alignment: Alignment, weights: Float64Array): Float64Array {
  const { depth, length, rows } = alignment;
  const counts = new Float64Array(length * STATES);
  for (let row = 0; row < depth; row++) {
    const weight = weights[row];
    for (let column = 0; column < length; column++) {
      counts[column * STATES + rows[row * length + column]] += weight;
    }
  }
  return counts;
}

/**
 * The distribution of amino acids in each column, gaps left out: (count + α/20) / (sum of counts + α).
 * @param counts [length × 21]
 * @param pseudocount α, spread over the 20; default 1
 * @returns [length × 20]
 */
export function siteFrequencies(counts: Float64Array, pseudocount = 1): Float64Array {
  const length = counts.length / STATES;
  const frequencies = new Float64Array(length * LETTERS.length);
  for (let column = 0; column < length; column++) {
    const own = counts.subarray(column * STATES, column * STATES + GAP);
    const total = own.reduce((sum, count) => sum + count, 0) + pseudocount;
    for (const [letter, count] of own.entries()) {
      frequencies[column * LETTERS.length + letter] = (count + pseudocount / LETTERS.length) / total;
    }
  }
  return frequencies;
}

/**
 * The letters that some row of an alignment has at each position of a sequence.
 * @param columns of the sequence's positions, -1 where there is none: see `placeAlignment`
 * @param among the letters asked about; default: the 20 amino acids
 */
export function seenLetters(
  alignment: Alignment,
  columns: ArrayLike<number>,
  among: string = LETTERS,
): (position: number) => string {
  const counts = weightedCounts(alignment, new Float64Array(alignment.depth).fill(1));
  return (position) => {
    const column = columns[position];
    const seen = (letter: string) => column !== -1 && counts[column * STATES + LETTERS.indexOf(letter)] > 0;
    return [...among].filter(seen).join('');
  };
}
