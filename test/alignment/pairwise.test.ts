import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LETTERS } from '../../src/alignment/alignment.js';
import { alignPair } from '../../src/alignment/pairwise.js';

const PROTEIN = 'MSIQHFRVALIPFFAAFCLPVFAHPETLVKVKDAEDQLGARVGYIELDLNSGKILESFRPEERFPMMSTFKVLLCGAVLSRV';

describe('alignPair', () => {
  it('finds a part, either way round', () => {
    const part = PROTEIN.slice(20, 50);
    expect([...alignPair(part, PROTEIN).partners]).toEqual(
      Array.from(PROTEIN, (_, i) => (i >= 20 && i < 50 ? i - 20 : -1)),
    );
    expect([...alignPair(PROTEIN, part).partners]).toEqual(Array.from(part, (_, i) => i + 20));
  });

  it('keeps the places of substitutions, at the ends too', () => {
    const changed = `A${PROTEIN.slice(1, 30)}W${PROTEIN.slice(31, -1)}K`;
    const { partners, identical, pairs } = alignPair(PROTEIN, changed);
    expect([...partners]).toEqual(Array.from(PROTEIN, (_, i) => i));
    expect([identical, pairs]).toEqual([PROTEIN.length - 3, PROTEIN.length]);
  });

  it('passes over what one of them lacks', () => {
    const shorter = PROTEIN.slice(0, 25) + PROTEIN.slice(32);
    const { partners } = alignPair(shorter, PROTEIN);
    expect([...partners].filter((partner) => partner === -1)).toHaveLength(7);
    expect(Array.from(partners, (partner, i) => partner === -1 || shorter[partner] === PROTEIN[i])).not.toContain(
      false,
    );
    expect(alignPair(PROTEIN, shorter).identical).toBe(shorter.length);
  });

  it('takes overhangs of both for nothing', () => {
    const { partners, identical } = alignPair(`WWWWW${PROTEIN.slice(0, 60)}`, `${PROTEIN.slice(10)}CCCCC`);
    expect(identical).toBe(50);
    expect([...partners.slice(0, 50)]).toEqual(Array.from({ length: 50 }, (_, i) => i + 15));
  });

  it('expects unrelated sequences by chance, and related ones not', () => {
    const sequence = fc.string({ unit: fc.constantFrom(...LETTERS), minLength: 20, maxLength: 60 });
    fc.assert(
      fc.property(sequence, sequence, (a, b) => {
        expect(alignPair(a, b).expected).toBeGreaterThan(1e-6);
      }),
      { numRuns: 100 },
    );
    expect(alignPair(PROTEIN.slice(0, 20), PROTEIN).expected).toBeLessThan(1e-6);
    expect(alignPair('XXXXXXXXXX', 'XXXXXXXXXXX').expected).toBeGreaterThan(1);
  });

  it('pairs each residue at most once, in order', () => {
    const sequence = fc.string({ unit: fc.constantFrom(...'ACDW'), minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(sequence, sequence, (a, b) => {
        const { partners } = alignPair(a, b);
        const used = [...partners].filter((partner) => partner !== -1);
        expect(used).toEqual([...new Set(used)].sort((x, y) => x - y));
        expect(used.every((partner) => partner < a.length)).toBe(true);
      }),
    );
  });
});
