import { describe, expect, it } from 'vitest';
import type { Alignment } from '../../src/alignment/alignment.js';
import { describeDifferences, placeAlignment, placeChain } from '../../src/alignment/placement.js';
import { alignmentOf } from './sample.js';

const PROTEIN = 'MSIQHFRVALIPFFAAFCLPVFAHPETLVKVKDAEDQLGARVGYIELDLNSGKILESFRPEERFPMMSTFKVLLCGAVLSRV';
const OTHER = 'MTAIIKEIVSRNKRRYQEDGFDLDLTYIYPNIIAMGFPAERLEGVYRNNIDDVVRFLDSKHKNHYKIYNLCAERHYDTAKF';

const queryOf = (sequence: string): Alignment => alignmentOf(sequence, '-'.repeat(sequence.length));
const place = (sequence: string, protein = PROTEIN) => placeAlignment(queryOf(sequence), protein, 'protein blat');

describe('placeAlignment', () => {
  it('finds where the query begins', () => {
    const { indices, placed, differences } = place(PROTEIN.slice(23, 60));
    expect([...indices]).toEqual(Array.from(PROTEIN, (_, i) => (i >= 23 && i < 60 ? i - 23 : -1)));
    expect([placed, differences]).toEqual([37, []]);
  });

  it("names differences by the protein's numbers", () => {
    const changed = `${PROTEIN.slice(0, 40)}W${PROTEIN.slice(41)}`;
    expect(place(changed).differences).toEqual(['R41W']);
    const placement = placeAlignment(queryOf(changed), PROTEIN, 'blat', { offset: 25 });
    expect(describeDifferences(placement)).toBe('1 (R65W)');
  });

  it('leaves residues out that have no column', () => {
    const alignment = queryOf(PROTEIN);
    // The third residue is an X: a residue of the query without a column.
    alignment.positions = alignment.positions.filter((position) => position !== 2);
    alignment.length--;
    const { indices, placed } = placeAlignment(alignment, PROTEIN, 'blat');
    expect([...indices.slice(0, 5)]).toEqual([0, 1, -1, 2, 3]);
    expect(placed).toBe(PROTEIN.length - 1);
  });

  it('refuses another protein', () => {
    expect(() => place(OTHER)).toThrow(
      /^x\.fasta: its query q is another protein than protein blat: \d+ of \d+ residues beside each other are equal; give/,
    );
    const half = PROTEIN.replaceAll(/[AELVKR]/g, 'G');
    expect(() => place(half)).toThrow(/is another protein/);
  });
});

describe('placeChain', () => {
  it('maps what it overlaps, and counts differences', () => {
    const related = PROTEIN.slice(10, 70).replaceAll('E', 'D').replace('NSGK', '');
    const { indices, differences } = placeChain(related, 'x.pdb', PROTEIN, 'blat');
    expect(indices[10]).toBe(0);
    expect(indices[69]).toBe(55);
    expect([...indices].filter((index) => index === -1)).toHaveLength(10 + PROTEIN.length - 70 + 4);
    expect(differences).toHaveLength(6);
    expect(differences[0]).toBe('E26D');
  });

  it('refuses a chain that has nothing in common', () => {
    expect(() => placeChain(OTHER, 'x.pdb', PROTEIN, 'protein blat')).toThrow(
      /^x\.pdb: nothing of its chain of 81 residues is in protein blat: .* give a structure of this protein, or another/,
    );
  });
});
