import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InputError } from '../../src/data/errors.js';
import {
  applyVariant,
  diffSequences,
  formatVariant,
  isSubstitution,
  type Mutation,
  parseVariant,
  placeVariant,
  readVariant,
  singleSubstitutions,
  VariantError,
} from '../../src/scoring/variants.js';

fc.configureGlobal({ seed: 20 });

const RESIDUES = 'ACDEFGHIKLMNPQRSTVWY';
//                  1234567890
const WILD_TYPE = 'MKTVRQGAAL';
const mutate = (text: string, offset?: number) => applyVariant(WILD_TYPE, readVariant(WILD_TYPE, text, { offset }));

describe('notations', () => {
  it.each([
    ['K2A', 'MATVRQGAAL'],
    ['k2a', 'MATVRQGAAL'],
    [' K2A ', 'MATVRQGAAL'],
    ['Lys2Ala', 'MATVRQGAAL'],
    ['LYS2ALA', 'MATVRQGAAL'],
    ['p.Lys2Ala', 'MATVRQGAAL'],
    ['p.(Lys2Ala)', 'MATVRQGAAL'],
    ['p.K2A', 'MATVRQGAAL'],
    ['NP_003997.1:p.Lys2Ala', 'MATVRQGAAL'],
    ['P12345:p.Lys2Ala', 'MATVRQGAAL'],
    ['P12345-2:p.(Lys2Ala)', 'MATVRQGAAL'],
    ['A0A024R1R8:p.[Lys2Ala;Thr3Ser]', 'MASVRQGAAL'],
    ['A4_HUMAN:p.Lys2Ala', 'MATVRQGAAL'],
    ['LYS2_YEAST:p.=', WILD_TYPE],
    ['K2A:p.Thr3Ser', 'MASVRQGAAL'],
    ['K2del:p.Thr3Ser', 'MSVRQGAAL'],
    ['p.Lys2Ala:p.Thr3Ser', 'MASVRQGAAL'],
    ['K2A:T3S', 'MASVRQGAAL'],
    ['K2A,T3S', 'MASVRQGAAL'],
    ['K2A/T3S', 'MASVRQGAAL'],
    ['K2A;T3S', 'MASVRQGAAL'],
    ['K2A; T3S;', 'MASVRQGAAL'],
    ['K2A T3S', 'MASVRQGAAL'],
    ['K2A  T3S', 'MASVRQGAAL'],
    ['K2A+T3S', 'MASVRQGAAL'],
    ['K2A_T3S', 'MASVRQGAAL'],
    ['Lys2Ala_Thr3Ser', 'MASVRQGAAL'],
    ['K2_V4del_G7W', 'MRQWAAL'],
    ['MSH2:p.Lys2Ala', 'MATVRQGAAL'],
    ['ARG1:p.Lys2Ala', 'MATVRQGAAL'],
    ['F9:p.Lys2Ala', 'MATVRQGAAL'],
    ['TPK1:p.(Lys2Ala)', 'MATVRQGAAL'],
    ['K2:p.Thr3Ser', 'MKSVRQGAAL'],
    // Genes whose names are those of substitutions, which the wild type does not have.
    ['A2M:p.Lys2Ala', 'MATVRQGAAL'],
    ['C4A:p.Lys2Ala', 'MATVRQGAAL'],
    ['C1R:p.[Lys2Ala;Thr3Ser]', 'MASVRQGAAL'],
    ['ENSP00000233146.2:p.Lys2%3D', WILD_TYPE],
    ['ENSP00000233146.2:p.Lys2Ala', 'MATVRQGAAL'],
    ['NM_000251.3(MSH2):c.4A>G (p.Lys2Ala)', 'MATVRQGAAL'],
    ['NM_000251.3(MSH2):c.4_6del (p.Lys2del)', 'MTVRQGAAL'],
    ['c.4A>G (p.Lys2Ala), c.8C>G (p.Thr3Ser)', 'MASVRQGAAL'],
    ['c.4A>G (p.Lys2Ala), c.5A>G (p.Lys2Ala)', 'MATVRQGAAL'],
    ['c.6G>A (p.=)', WILD_TYPE],
    ['KA2A;', 'MATVRQGAAL'],
    ['KA2A,TA3S;', 'MASVRQGAAL'],
    ['_sy', WILD_TYPE],
    ['T3S:K2A', 'MASVRQGAAL'],
    ['p.[Lys2Ala;Thr3Ser]', 'MASVRQGAAL'],
    ['p.[(Lys2Ala);(Thr3Ser)]', 'MASVRQGAAL'],
    ['p.Lys2Ala,p.Thr3Ser', 'MASVRQGAAL'],
    ['K2del', 'MTVRQGAAL'],
    ['K2-', 'MTVRQGAAL'],
    ['p.Lys2_Val4del', 'MRQGAAL'],
    ['p.Lys2_Val4delLysThrVal', 'MRQGAAL'],
    ['p.Lys2_Thr3insArgSerGln', 'MKRSQTVRQGAAL'],
    ['K2_T3insRSQ', 'MKRSQTVRQGAAL'],
    ['p.Lys2delinsTrpVal', 'MWVTVRQGAAL'],
    ['K2_V4delinsW', 'MWRQGAAL'],
    ['p.Ala8dup', 'MKTVRQGAAAL'],
    ['p.Lys2_Val4dup', 'MKTVKTVRQGAAL'],
    ['K2_V4dupKTV', 'MKTVKTVRQGAAL'],
    ['K2A:A8_A9del:L10_L10delinsWW', 'MATVRQGWW'],
    ['K2K', WILD_TYPE],
    ['p.Lys2=', WILD_TYPE],
    ['p.=', WILD_TYPE],
    ['p.(=)', WILD_TYPE],
    ['WT', WILD_TYPE],
    ['_wt', WILD_TYPE],
    ['R5*', 'MKTV'],
    ['p.Arg5Ter', 'MKTV'],
    ['p.Arg5_Gln6delinsTrpTer', 'MKTVW'],
    ['K2X', 'MXTVRQGAAL'],
    ['p.Lys2Sec', 'MUTVRQGAAL'],
  ])('%s', (text, expected) => expect(mutate(text)).toBe(expected));

  it('of bases, where the alphabet has them', () => {
    const bases = (text: string) =>
      applyVariant('ATGAAACCC', readVariant('ATGAAACCC', text, { alphabet: 'nucleotide' }));
    for (const text of ['4A>G', 'c.4A>G', 'NC_000001.11:g.4A>G', 'n.4A>G', 'A4G']) {
      expect(bases(text)).toBe('ATGGAACCC');
    }
    expect(bases('c.[4A>G;7C>T]')).toBe('ATGGAATCC');
    expect(() => bases('p.Lys2Ala')).toThrow('variant "p.Lys2Ala" is a change of a protein');
  });

  it('counts from the offset', () => {
    expect(mutate('K25A', 24)).toBe('MATVRQGAAL');
    expect(mutate('M0A', 0)).toBe('AKTVRQGAAL');
    expect(mutate('M-3A', -3)).toBe('AKTVRQGAAL');
  });

  it('leaves no edit for synonymous changes and splits a delins of equal length', () => {
    expect(readVariant(WILD_TYPE, 'K2=:T3T').edits).toEqual([]);
    expect(readVariant(WILD_TYPE, 'K2_V4delinsATS').edits).toEqual([
      { start: 1, end: 2, residues: 'A' },
      { start: 3, end: 4, residues: 'S' },
    ]);
  });
});

describe('what is refused', () => {
  it.each([
    ['', 'empty'],
    ['24', 'does not read'],
    ['K2', 'names no mutant residue'],
    ['K2AA', 'does not read'],
    ['Lys2Foo', 'no amino acid'],
    ['p.Lys2fs', 'frameshift'],
    ['p.Lys2ProfsTer23', 'frameshift'],
    ['K2Pfs*23', 'frameshift'],
    ['p.Met1ext-5', 'extension'],
    ['p.Ter11GlnextTer17', 'extension'],
    ['p.Lys2[4]', 'repeat'],
    ['p.Met1?', 'unknown effect'],
    ['p.?', 'unknown effect'],
    ['p.(?)', 'unknown effect'],
    ['p.0', 'no protein'],
    ['p.Ter11Lys', 'stop codon'],
    ['c.4A>G', 'change of DNA or RNA'],
    ['NM_000251.3(MSH2):c.4A>G', 'change of DNA or RNA'],
    ['c.[4A>G;8C>G]', 'change of DNA or RNA'],
    ['c.4_6del', 'change of DNA or RNA'],
    ['c.*4A>G', 'change of DNA or RNA'],
    ['n.4A>G', 'change of DNA or RNA'],
    ['g.4A>G', 'change of DNA or RNA'],
    ['m.4A>G', 'change of DNA or RNA'],
    ['r.4a>g', 'change of DNA or RNA'],
    ['4A>G', 'change of DNA or RNA'],
    ['2K>A', 'does not read'],
    ['K2A:4A>G', 'change of DNA or RNA'],
    ['KA2A,TB3S;', 'several chains'],
    ['K2_V4ins', 'names no inserted'],
    ['K2_V4insA', 'two neighbours'],
    ['K2insA', 'two neighbours'],
    ['V4_K2del', 'ends before'],
    ['K2_T2del', 'two residues at position 2'],
    ['K2_V4delKT', 'other residues'],
    ['K2A::T3S', 'does not read'],
    ['K2_V41:p.Thr3Ser', 'names no mutant residue'],
    ['p.Lys2fs:p.Thr3Ser', 'frameshift'],
    ['K2A:K2S', 'change position 2'],
    ['K2_V4del:T3S', 'change position 3'],
    ['K2_T3insA:K2_T3insS', 'change position 3'],
  ])('%s', (text, message) => {
    expect(() => mutate(text)).toThrow(VariantError);
    expect(() => mutate(text)).toThrow(message);
  });

  it('names variant, position, expected and found residue', () => {
    const error = (text: string, offset?: number): VariantError => {
      try {
        mutate(text, offset);
      } catch (caught) {
        return caught as VariantError;
      }
      throw new Error('nothing was thrown');
    };
    expect(error('A24G', 23)).toMatchObject({ variant: 'A24G', position: 24, expected: 'A', found: 'K' });
    expect(error('A24G', 23).message).toBe(
      'variant A24G: position 24 of the wild type is K, not A; check the sequence and --offset',
    );
    expect(error('A24G')).toMatchObject({ variant: 'A24G', position: 24, expected: 'A', found: undefined });
    expect(error('A24G').message).toContain('residues 1 to 10');
    expect(error('A0G').message).toContain('outside');
    const listed = { position: 3, expected: 'A', found: 'T' };
    expect(error('K2_V4delKAV')).toMatchObject({ variant: 'K2_V4delKAV', ...listed });
    expect(error('p.Lys2_Val4dupLysAlaVal')).toMatchObject(listed);
    expect(error('K25delR', 24)).toMatchObject({ position: 25, expected: 'R', found: 'K' });
    expect(error('K2_A8delKTVinsW')).toMatchObject({ position: 5, expected: 'I', found: 'R' });
  });
});

/** Mutations that fit a wild type, in order and apart from each other. */
const mutationsOf = (wildType: string, offset: number): fc.Arbitrary<Mutation[]> => {
  const site = (index: number) => ({ residue: wildType[index], position: index + offset });
  const residues = (minLength: number, maxLength: number) =>
    fc.string({ unit: fc.constantFrom(...RESIDUES), minLength, maxLength });
  const at = (start: number): fc.Arbitrary<Mutation[]> => {
    const last = Math.min(start + 2, wildType.length - 1);
    const range = { first: site(start), last: site(last) };
    return fc.oneof(
      fc.constant<Mutation[]>([]),
      fc
        .constantFrom(...RESIDUES, '*')
        .map((r): Mutation[] => [{ kind: 'substitution', first: site(start), last: site(start), residues: r }]),
      fc.constant<Mutation[]>([{ kind: 'deletion', ...range, residues: '' }]),
      fc.constant<Mutation[]>([{ kind: 'duplication', ...range, residues: '' }]),
      residues(1, 5).map((r): Mutation[] => [{ kind: 'delins', ...range, residues: r }]),
      start + 1 < wildType.length
        ? residues(1, 5).map((r): Mutation[] => [
            { kind: 'insertion', first: site(start), last: site(start + 1), residues: r },
          ])
        : fc.constant<Mutation[]>([]),
    );
  };
  const starts = Array.from({ length: Math.ceil(wildType.length / 4) }, (_, i) => i * 4);
  return fc.tuple(...starts.map(at)).map((parts) => parts.flat());
};
const protein = fc.string({ unit: fc.constantFrom(...RESIDUES), minLength: 1, maxLength: 40 });
const placed = fc.tuple(protein, fc.integer({ min: -50, max: 2000 })).chain(([wildType, offset]) =>
  fc.record({
    wildType: fc.constant(wildType),
    offset: fc.constant(offset),
    mutations: mutationsOf(wildType, offset),
  }),
);

describe('properties', () => {
  it('what is written reads back, in both styles', () => {
    fc.assert(
      fc.property(placed, ({ mutations }) => {
        expect(parseVariant(formatVariant(mutations, 'short'))).toEqual(mutations);
        expect(parseVariant(formatVariant(mutations, 'hgvs'))).toEqual(mutations);
      }),
    );
  });

  it('applying changes the length by what the mutations say, and nothing outside them', () => {
    fc.assert(
      fc.property(placed, ({ wildType, offset, mutations }) => {
        const variant = placeVariant(wildType, mutations, { offset });
        const mutated = applyVariant(wildType, variant);
        if (mutations.some((m) => m.residues.includes('*'))) {
          expect(mutated).not.toContain('*');
          return;
        }
        let grown = 0;
        for (const m of mutations) {
          const span = m.last.position - m.first.position + 1;
          if (m.kind === 'insertion') {
            grown += m.residues.length;
          } else if (m.kind === 'duplication') {
            grown += span;
          } else {
            grown += m.residues.length - span;
          }
        }
        expect(mutated.length).toBe(wildType.length + grown);
        const untouched = mutations[0] ? mutations[0].first.position - offset : wildType.length;
        expect(mutated.slice(0, untouched)).toBe(wildType.slice(0, untouched));
      }),
    );
  });

  it('the difference of two sequences leads from one to the other, also by its name', () => {
    fc.assert(
      fc.property(protein, protein, fc.integer({ min: -5, max: 500 }), (wildType, mutated, offset) => {
        const variant = diffSequences(wildType, mutated, { offset });
        expect(applyVariant(wildType, variant)).toBe(mutated);
        expect(applyVariant(wildType, readVariant(wildType, variant.name, { offset }))).toBe(mutated);
      }),
    );
  });

  it('any text either reads or gives a one-line input error', () => {
    const noise = fc.oneof(
      fc.string(),
      fc.string({ unit: fc.constantFrom(...'AKx24_:;/,p.()[]=*-delinsupfTr ') }),
      fc.tuple(placed, fc.nat(), fc.string({ maxLength: 2 })).map(([{ mutations }, at, text]) => {
        const written = formatVariant(mutations, 'hgvs');
        const cut = at % written.length;
        return written.slice(0, cut) + text + written.slice(cut + 1);
      }),
    );
    fc.assert(
      fc.property(noise, (text) => {
        try {
          readVariant(WILD_TYPE, text);
        } catch (error) {
          expect(error).toBeInstanceOf(InputError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

it('lists every single substitution', () => {
  const variants = [...singleSubstitutions('MK', RESIDUES, 24)];
  expect(variants).toHaveLength(38);
  expect(variants[0].name).toBe('M24A');
  expect(variants.every(isSubstitution)).toBe(true);
  expect(applyVariant('MK', variants[37])).toBe('MY');
});
