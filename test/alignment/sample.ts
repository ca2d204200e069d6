import { type Alignment, GAP, LETTERS } from '../../src/alignment/alignment.js';

/** An alignment of these rows, gaps as `-`; the first is the query, without a gap. */
export function alignmentOf(...texts: string[]): Alignment {
  return {
    file: 'x.fasta',
    query: 'q',
    querySequence: texts[0],
    positions: Int32Array.from(texts[0], (_, i) => i),
    depth: texts.length,
    length: texts[0].length,
    rows: Uint8Array.from([...texts.join('')], (letter) => (letter === '-' ? GAP : LETTERS.indexOf(letter))),
    names: texts.map((_, i) => `row${i}`),
  };
}
