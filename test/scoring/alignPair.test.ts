import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { applyVariant, diffSequences, isSubstitution, readVariant } from '../../src/scoring/variants.js';

fc.configureGlobal({ seed: 20 });

//                 1234567890123456789012345678901234567890
const WILD_TYPE = 'MDAEFRHDSGYEVHHQKLVFFAEDVGSNKGAIIGLMVGGV';
const nameOf = (mutated: string) => diffSequences(WILD_TYPE, mutated).name;

describe('two sequences', () => {
  it('a deletion and an insertion of one residue each are no substitutions of all between', () => {
    const without = WILD_TYPE.slice(0, 7) + WILD_TYPE.slice(8);
    const shifted = `${without.slice(0, 28)}W${without.slice(28)}`;
    expect(shifted).toHaveLength(WILD_TYPE.length);
    const variant = diffSequences(WILD_TYPE, shifted);
    expect(variant.name).toBe('D8del:K29_G30insW');
    expect(isSubstitution(variant)).toBe(false);
    expect(variant.edits).toEqual([
      { start: 7, end: 8, residues: '' },
      { start: 29, end: 29, residues: 'W' },
    ]);
  });

  it('a shift by one of the whole sequence is two gaps', () => {
    expect(nameOf(`${WILD_TYPE.slice(1)}A`)).toBe('M1del:V40delinsVA');
  });

  it('few changes are substitutions, beside each other as well', () => {
    expect(nameOf(WILD_TYPE.replace('RHDS', 'HDSR'))).toBe('R6H:H7D:D8S:S9R');
    const many = WILD_TYPE.replace('AEF', 'WWW').replace('VFF', 'KKK').replace('GSN', 'PPP');
    expect(nameOf(many)).toBe('A3W:E4W:F5W:V19K:F20K:F21K:G26P:S27P:N28P');
  });

  it('changes far apart are not one delins', () => {
    const changed = WILD_TYPE.replace('EFR', 'ER').replace('LMV', 'LWV');
    expect(nameOf(changed)).toBe('F5del:M36W');
  });

  it('gaps stand as far towards the end as they can', () => {
    expect(nameOf(WILD_TYPE.replace('HH', 'H'))).toBe('H15del');
    expect(nameOf(WILD_TYPE.replace('HH', 'HHH'))).toBe('H15_Q16insH');
    expect(diffSequences('MKTKTKTV', 'MKTKTV').name).toBe('K6_T7del');
  });

  it('equal ones are the wild type', () => {
    expect(diffSequences(WILD_TYPE, WILD_TYPE)).toEqual({ name: 'WT', edits: [] });
  });

  it('any pair: edits and name give the second one', () => {
    const residue = fc.constantFrom(...'AGLKW');
    const text = fc.array(residue, { minLength: 1, maxLength: 24 }).map((letters) => letters.join(''));
    fc.assert(
      fc.property(text, text, (before, after) => {
        const variant = diffSequences(before, after);
        expect(applyVariant(before, variant)).toBe(after);
        expect(applyVariant(before, readVariant(before, variant.name))).toBe(after);
      }),
      { numRuns: 500 },
    );
  });
});
