import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hash32, hash53, Permutation, Random } from '../../src/data/random.js';

const bytes = (text: string) => new TextEncoder().encode(text);

describe('Random', () => {
  test('gives the numbers of the reference implementation, xoshiro128starstar.c', () => {
    const random = Random.fromState([1, 2, 3, 4]);
    const numbers = Array.from({ length: 10 }, () => random.uint32());
    expect(numbers).toEqual([
      11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849, 3729100597, 4258142804,
    ]);
  });

  test('continues from a saved state', () => {
    const random = new Random(7, 1);
    for (let i = 0; i < 100; i++) {
      random.normal();
    }
    const copy = Random.fromState(JSON.parse(JSON.stringify(random.state)));
    const take = (r: Random) => Array.from({ length: 50 }, () => r.uniform());
    expect(take(copy)).toEqual(take(random));
  });

  test('other keys give other streams', () => {
    const keys = [[], [0], [1], [0, 0], [0, 1], [1, 0], [2 ** 32], [2 ** 40 + 1], [-1]];
    expect(new Set(keys.map((k) => new Random(...k).uint32())).size).toBe(keys.length);
  });

  test('uniform, normal and int have the moments of their distributions', () => {
    const random = new Random(3);
    const n = 200_000;
    const moments = (draw: () => number) => {
      let sum = 0;
      let squares = 0;
      for (let i = 0; i < n; i++) {
        const x = draw();
        sum += x;
        squares += x * x;
      }
      return { mean: sum / n, variance: squares / n - (sum / n) ** 2 };
    };
    const uniform = moments(() => random.uniform());
    expect(uniform.mean).toBeCloseTo(1 / 2, 2);
    expect(uniform.variance).toBeCloseTo(1 / 12, 3);
    const normal = moments(() => random.normal());
    expect(Math.abs(normal.mean)).toBeLessThan(0.01);
    expect(Math.abs(normal.variance - 1)).toBeLessThan(0.02);
    const counts = new Array(20).fill(0);
    for (let i = 0; i < n; i++) {
      counts[random.int(20)]++;
    }
    const chiSquare = counts.reduce((sum, count) => sum + (count - n / 20) ** 2 / (n / 20), 0);
    // 99.9 % quantile of the chi-square distribution with 19 degrees of freedom.
    expect(chiSquare).toBeLessThan(43.82);
  });

  test('shuffle keeps what it shuffles', () => {
    fc.assert(
      fc.property(fc.array(fc.integer()), fc.nat(), (items, seed) => {
        const shuffled = new Random(seed).shuffle([...items]);
        expect(shuffled.sort((a, b) => a - b)).toEqual([...items].sort((a, b) => a - b));
      }),
    );
  });
});

test('shuffle gives every order alike', () => {
  const counts = new Map<string, number>();
  for (let seed = 0; seed < 6000; seed++) {
    const order = new Random(seed).shuffle([0, 1, 2]).join('');
    counts.set(order, (counts.get(order) ?? 0) + 1);
  }
  expect([...counts.keys()].sort()).toEqual(['012', '021', '102', '120', '201', '210']);
  const chiSquare = [...counts.values()].reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0);
  // The 0.999 quantile of five degrees of freedom.
  expect(chiSquare).toBeLessThan(20.52);
});

describe('Permutation', () => {
  test('holds every index once', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5000 }), fc.nat(), (size, seed) => {
        const order = new Permutation(size, seed);
        const seen = new Set(Array.from({ length: size }, (_, i) => order.at(i)));
        expect(seen.size).toBe(size);
        expect(Math.max(...seen)).toBe(size - 1);
      }),
      { numRuns: 50 },
    );
  });

  test('keeps neighbours apart and differs from seed to seed', () => {
    const order = new Permutation(10_000, 1, 0);
    const other = new Permutation(10_000, 1, 1);
    let neighbours = 0;
    let equal = 0;
    for (let i = 0; i + 1 < 10_000; i++) {
      if (Math.abs(order.at(i) - order.at(i + 1)) === 1) {
        neighbours++;
      }
      if (order.at(i) === other.at(i)) {
        equal++;
      }
    }
    // Both are Poisson with means 2 and 1 for a random order.
    expect(neighbours).toBeLessThan(10);
    expect(equal).toBeLessThan(8);
  });

  test('reaches 2^32 items', () => {
    const order = new Permutation(2 ** 32, 5);
    for (const i of [0, 1, 2 ** 32 - 1]) {
      expect(order.at(i)).toBeGreaterThanOrEqual(0);
      expect(order.at(i)).toBeLessThan(2 ** 32);
    }
  });
});

test.each([
  ['', 0, 0],
  ['', 1, 0x514e28b7],
  ['', 0xffffffff, 0x81f16f39],
  ['test', 0, 0xba6bd213],
  ['test', 0x9747b28c, 0x704b81dc],
  ['Hello, world!', 0, 0xc0363e43],
  ['Hello, world!', 0x9747b28c, 0x24884cba],
  ['The quick brown fox jumps over the lazy dog', 0, 0x2e4ff723],
  ['aaa', 0x9747b28c, 0x283e0130],
])('hash32(%j, %i) is MurmurHash3_x86_32', (text, seed, hash) => {
  expect(hash32(bytes(text), seed)).toBe(hash);
});

test('hash53 fits a number', () => {
  fc.assert(fc.property(fc.uint8Array(), (input) => Number.isSafeInteger(hash53(input))));
});
