import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PROTEIN, RESIDUES, type Tokens } from '../../src/data/alphabet.js';
import { maskForEvaluation, maskForTraining } from '../../src/data/masking.js';
import { Random } from '../../src/data/random.js';

const sequence = (minLength = 0) =>
  fc
    .array(fc.constantFrom(...RESIDUES, 'X', 'U', 'B', 'Z', 'O'), { minLength, maxLength: 300 })
    .map((letters) => letters.join(''));
const letterCount = 27;

test('masked for training: rates are 15 % of the letters, of those 80/10/10', () => {
  const random = new Random(1);
  const tokens = PROTEIN.encode(RESIDUES.repeat(500));
  let selected = 0;
  let masked = 0;
  let kept = 0;
  let letters = 0;
  const replacements = new Map<number, number>();
  for (let round = 0; round < 20; round++) {
    const { ids, positions, labels } = maskForTraining(tokens, random);
    letters += tokens.length - 2;
    selected += positions.length;
    positions.forEach((position, i) => {
      expect(labels[i]).toBe(tokens[position]);
      const id = ids[position];
      if (id === PROTEIN.mask) {
        masked++;
      } else if (id === tokens[position]) {
        kept++;
      } else {
        replacements.set(id, (replacements.get(id) ?? 0) + 1);
      }
    });
  }
  const replaced = [...replacements.values()].reduce((a, b) => a + b);
  // Five standard deviations of a binomial share.
  const near = (share: number, expected: number, n: number) =>
    expect(Math.abs(share - expected)).toBeLessThan(5 * Math.sqrt((expected * (1 - expected)) / n));
  near(selected / letters, 0.15, letters);
  near(masked / selected, 0.8, selected);
  // A random residue is the old one by chance in 1 of 20 cases.
  near(kept / selected, 0.1 + 0.1 / 20, selected);
  expect([...replacements.keys()].every((id) => PROTEIN.residues.includes(id))).toBe(true);
  expect(replacements.size).toBe(20);
  for (const count of replacements.values()) {
    near(count / replaced, 1 / 20, replaced);
  }
});

describe.each(['training', 'evaluation'] as const)('masked for %s', (kind) => {
  const mask = (tokens: Tokens, seed: number) =>
    kind === 'training' ? maskForTraining(tokens, new Random(seed)) : maskForEvaluation(tokens, seed);

  test('special tokens are never selected, and nothing else changes', () => {
    fc.assert(
      fc.property(sequence(), fc.nat(), (text, seed) => {
        const tokens = PROTEIN.encode(text);
        const before = tokens.slice();
        const { ids, positions, labels } = mask(tokens, seed);
        expect(tokens).toEqual(before);
        expect(ids[0]).toBe(PROTEIN.cls);
        expect(ids.at(-1)).toBe(PROTEIN.eos);
        const restored = ids.slice();
        positions.forEach((position, i) => {
          expect(PROTEIN.isLetter(labels[i])).toBe(true);
          restored[position] = labels[i];
        });
        expect(restored).toEqual(tokens);
      }),
    );
  });

  test('the options change the rate', () => {
    const tokens = PROTEIN.encode('L'.repeat(1000));
    const options = { rate: 1, maskShare: 1, randomShare: 0 };
    const { positions } =
      kind === 'training' ? maskForTraining(tokens, new Random(1), options) : maskForEvaluation(tokens, 1, options);
    expect(positions.length).toBe(1000);
  });
});

describe('masked for evaluation', () => {
  test('every selected position is <mask>, one at least', () => {
    fc.assert(
      fc.property(sequence(1), fc.nat(), (text, seed) => {
        const { ids, positions } = maskForEvaluation(PROTEIN.encode(text), seed);
        expect(positions.length).toBeGreaterThan(0);
        expect(positions.every((position) => ids[position] === PROTEIN.mask)).toBe(true);
        expect(ids.filter((id) => id === PROTEIN.mask).length).toBe(positions.length);
      }),
    );
  });

  test('which ones depends on the sequence and the seed, not on <cls> and <eos> or what came before', () => {
    fc.assert(
      fc.property(sequence(1), fc.nat(), (text, seed) => {
        const whole = maskForEvaluation(PROTEIN.encode(text), seed);
        maskForEvaluation(PROTEIN.encode('MKTVRQG'), seed);
        const again = maskForEvaluation(PROTEIN.encode(text), seed);
        const bare = maskForEvaluation(PROTEIN.encodeResidues(text), seed);
        expect(again).toEqual(whole);
        expect(bare.positions.map((position) => position + 1)).toEqual(whole.positions);
      }),
    );
  });

  test('the rate is 15 %', () => {
    let selected = 0;
    for (let i = 0; i < 200; i++) {
      const text = Array.from({ length: 500 }, (_, k) => RESIDUES[(k * k + i) % 20]).join('');
      selected += maskForEvaluation(PROTEIN.encode(text), i).positions.length;
    }
    expect(Math.abs(selected / 100_000 - 0.15)).toBeLessThan(0.006);
  });
});

test('letters of the alphabet that are no standard residues may be predicted, too', () => {
  const text = 'XBUZO.-';
  const { labels } = maskForEvaluation(PROTEIN.encode(text), 1, { rate: 1 });
  expect(PROTEIN.decode(labels)).toBe(text);
  expect(PROTEIN.tokens.filter((_, id) => PROTEIN.isLetter(id)).length).toBe(letterCount);
});
