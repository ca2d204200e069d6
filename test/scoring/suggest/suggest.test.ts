import { describe, expect, test } from 'vitest';
import { Random } from '../../../src/data/random.js';
import { expectedImprovement, normalCdf, upperConfidenceBound } from '../../../src/scoring/suggest/acquisition.js';
import { type CandidateScorer, similarity, suggestVariants } from '../../../src/scoring/suggest/suggest.js';
import { VariantSpace } from '../../../src/scoring/suggest/variantSpace.js';
import { applyVariant, readVariant, type Variant } from '../../../src/scoring/variants.js';

const WILD_TYPE = 'MKTAYIAKQR';
const LETTERS = 'ACDEFGHIKLMNPQRSTVWY';

/** An additive landscape: what each letter at each position is worth. */
const worth = (() => {
  const random = new Random(3);
  return Array.from({ length: 200 }, () => random.normal());
})();
const worthOf = ({ edits }: Variant) =>
  edits.reduce((sum, { start, residues }) => sum + worth[start * 20 + LETTERS.indexOf(residues)], 0);
const scorer: CandidateScorer = {
  predict: async (variants) => ({ values: variants.map(worthOf) }),
};
const unsure: CandidateScorer = {
  predict: async (variants) => ({
    values: variants.map(worthOf),
    deviations: variants.map(({ edits }) => edits[0].start / 10),
  }),
  sample: async (variants, draws, random) =>
    Array.from({ length: draws }, () => Float64Array.from(variants, (variant) => worthOf(variant) + random.normal())),
};
const names = (suggestions: { variant: Variant }[]) => suggestions.map(({ variant }) => variant.name);

describe('a space of variants', () => {
  test('counts what it enumerates, each once', () => {
    const space = new VariantSpace(WILD_TYPE, {
      positions: [1, 2, 5, 7],
      fixed: [5],
      letters: (position) => (position === 1 ? 'KR' : 'ACD'),
      mutations: 3,
      offset: 20,
    });
    const all = [...space.all()];
    // K2R, three letters at T3 and three at K8: (1 + 1)(1 + 3)(1 + 3) − 1.
    expect(space.size).toBe(31);
    expect(new Set(all.map((variant) => applyVariant(WILD_TYPE, variant))).size).toBe(31);
    expect(all[0].name).toBe('K21R');
    expect(all.every((variant) => space.has(variant))).toBe(true);
    expect(all.at(-1)!.name).toBe('K21R:T22D:K27D');
  });

  test('mutants and children stay inside', () => {
    const space = new VariantSpace(WILD_TYPE, { fixed: [0, 1], letters: () => 'AVW', mutations: 2 });
    const random = new Random(1);
    let [a, b] = space.singles();
    let outside = 0;
    for (let i = 0; i < 500; i++) {
      const next = i % 2 === 0 ? space.mutate(a, random) : space.cross(a, b, random);
      outside += space.has(next) ? 0 : 1;
      [a, b] = [next, a];
    }
    expect(outside).toBe(0);
  });

  test('refuses positions outside, and nothing that may change', () => {
    expect(() => new VariantSpace(WILD_TYPE, { positions: [10], offset: 5 })).toThrow(/position 15 .* 5 to 14/);
    expect(() => new VariantSpace(WILD_TYPE, { positions: [3], letters: () => 'A' })).toThrow(/nothing may change/);
  });
});

test('Φ, expected improvement and the bound have their known values', () => {
  expect(normalCdf(1.959964)).toBeCloseTo(0.975, 6);
  expect(normalCdf(-1)).toBeCloseTo(0.158655, 6);
  // σ φ(0) where the mean is the best; the difference where nothing is unsure.
  expect(expectedImprovement(2, 3, 2)).toBeCloseTo(3 * 0.39894228, 6);
  expect(expectedImprovement(2.5, 0, 2)).toBe(0.5);
  expect(expectedImprovement(1, 0, 2)).toBe(0);
  expect(upperConfidenceBound(1, 2, 3)).toBe(7);
});

describe('suggestions', () => {
  const space = (mutations: number) => new VariantSpace(WILD_TYPE, { mutations });

  test('of a space that is enumerated are its best, without what was measured', async () => {
    const ranked = [...space(1).all()].sort((a, b) => worthOf(b) - worthOf(a));
    const measured = new Set(ranked.slice(0, 2).map((variant) => applyVariant(WILD_TYPE, variant)));
    const suggestions = await suggestVariants(scorer, space(1), { budget: 5, measured });
    expect(names(suggestions)).toEqual(ranked.slice(2, 7).map(({ name }) => name));
    expect(suggestions[0].sequence).toBe(applyVariant(WILD_TYPE, ranked[2]));
    expect(await suggestVariants(scorer, space(1), { budget: 1000, measured })).toHaveLength(190 - 2);
  });

  test.each(['beam', 'evolution'] as const)('%s finds the best of a space too large to enumerate', async (search) => {
    const best = [...WILD_TYPE].map((own, position) =>
      Math.max(...[...LETTERS].flatMap((letter, i) => (letter === own ? [] : [worth[position * 20 + i]]))),
    );
    const expected = best
      .sort((a, b) => b - a)
      .slice(0, 4)
      .reduce((sum, value) => sum + value, 0);
    const [first, second] = await suggestVariants(scorer, space(4), { budget: 2, search, seed: 1 });
    expect(first.value).toBeCloseTo(expected, 12);
    expect(first.variant.edits).toHaveLength(4);
    expect(second.sequence).not.toBe(first.sequence);
  });

  test('the bound and the expected improvement prefer what is less sure', async () => {
    const [bound] = await suggestVariants(unsure, space(1), { budget: 1, acquisition: 'ucb', kappa: 1000 });
    expect(bound.variant.edits[0].start).toBe(9);
    const improving = await suggestVariants(unsure, space(1), { budget: 3, best: 2 });
    const scores = improving.map(({ value, deviation }) => expectedImprovement(value, deviation!, 2));
    expect(improving.map(({ acquisition }) => acquisition)).toEqual(scores);
    expect(scores[0]).toBeGreaterThanOrEqual(scores[1]);
  });

  test('draws of Thompson differ from each other, and do not repeat', async () => {
    const options = { budget: 40, acquisition: 'thompson' } as const;
    const drawn = await suggestVariants(unsure, space(1), options);
    expect(new Set(names(drawn)).size).toBe(40);
    expect(names(await suggestVariants(unsure, space(1), options))).toEqual(names(drawn));
    expect(names(await suggestVariants(unsure, space(1), { ...options, seed: 5 }))).not.toEqual(names(drawn));
  });

  test('diversity spreads a batch over positions', async () => {
    const positions = async (diversity: number) => {
      const suggestions = await suggestVariants(scorer, space(1), { budget: 10, diversity });
      return new Set(suggestions.map(({ variant }) => variant.edits[0].start)).size;
    };
    expect(await positions(100)).toBe(10);
    expect(await positions(0)).toBeLessThan(10);
    const [a, b, c] = ['K2A:T3C', 'K2A', 'T3D'].map((name) => readVariant(WILD_TYPE, name));
    expect([similarity(a, a), similarity(a, b), similarity(a, c), similarity(b, c)]).toEqual([1, 0.5, 0.25, 0]);
  });

  test('what needs deviations, or the best so far, says so', async () => {
    await expect(suggestVariants(scorer, space(1), { acquisition: 'ucb' })).rejects.toThrow(
      /needs standard deviations/,
    );
    await expect(suggestVariants(unsure, space(1), { acquisition: 'ei' })).rejects.toThrow(/best value so far/);
  });
});
