import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readAlignment } from '../../src/alignment/alignment.js';
import { effectiveDepth, sequenceWeights, WEIGHTINGS } from '../../src/alignment/weights.js';
import { SHARED } from '../shared.js';
import { alignmentOf } from './sample.js';

const ALIGNMENTS = join(SHARED ?? '', 'data', 'alignments');

describe('sequenceWeights', () => {
  // The second has 8 of the first's 10 letters, the third the first half of it, the fourth nothing at all.
  const alignment = alignmentOf('ACDEFGHIKL', 'ACDEFGHIVV', 'ACDEF-----', '----------');

  it('compares residues alone as EVE does, one way round', () => {
    // Of the third row's 5 residues all are the first's and the second's; 8 of 10 is not more than 80 %.
    expect([...sequenceWeights(alignment)]).toEqual([1, 1, 1 / 3, 0]);
    expect([...sequenceWeights(alignment, { identity: 0.79 })]).toEqual([1 / 2, 1 / 2, 1 / 3, 0]);
  });

  it('counts gaps as letters, and 80 % as enough, as EVcouplings does', () => {
    expect([...sequenceWeights(alignment, { weighting: 'evcouplings' })]).toEqual([1 / 2, 1 / 2, 1, 1]);
    expect([...sequenceWeights(alignment, { weighting: 'evcouplings', identity: 0.5 })]).toEqual([
      1 / 3,
      1 / 3,
      1 / 4,
      1 / 2,
    ]);
  });

  it('needs more than 80 % of the columns as rsalor does', () => {
    expect([...sequenceWeights(alignment, { weighting: 'rsalor' })]).toEqual([1, 1, 1, 1]);
    expect([...sequenceWeights(alignment, { weighting: 'rsalor', identity: 0.75 })]).toEqual([1 / 2, 1 / 2, 1, 1]);
  });

  it.each(WEIGHTINGS)('shares one between equal rows: %s', (weighting) => {
    const weights = sequenceWeights(alignmentOf('ACDEFGHIKL', 'ACDEFGHIKL', 'WWWWWWWWWW'), { weighting });
    expect([...weights]).toEqual([0.5, 0.5, 1]);
    expect(effectiveDepth(weights)).toBe(2);
  });

  // Figures of independent implementations.
  it.skipIf(!SHARED).each([
    ['BLAT_ECOLX.a3m', 3390.4, 3415.2, 1],
    ['PTEN_HUMAN.a2m', 136.829, 146.171, 3],
  ])('adds up to the effective number of sequences: %s', async (name, eve, evcouplings, decimals) => {
    const known = await readAlignment(join(ALIGNMENTS, name));
    expect(effectiveDepth(sequenceWeights(known))).toBeCloseTo(eve, decimals);
    expect(effectiveDepth(sequenceWeights(known, { weighting: 'evcouplings' }))).toBeCloseTo(evcouplings, decimals);
  });
});
