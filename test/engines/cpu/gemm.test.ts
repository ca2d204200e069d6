import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadAddon } from '../../../src/engines/cpu/addon.js';
import { type GemmOptions, gemm } from '../../../src/engines/cpu/gemm.js';
import { instructionSets } from './instructionSets.js';

const addon = loadAddon();
const best = addon.instructionSet();

/** Values in [-1, 1) from a linear congruential generator. */
function values(count: number, seed: number): Float32Array {
  let state = seed >>> 0 || 1;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

/** erf by its Maclaurin series, or 1 - erfc by its continued fraction: to 1e-14. */
function erf(x: number): number {
  const z = Math.abs(x);
  if (z > 6) {
    return Math.sign(x);
  }
  let term = z;
  let sum = z;
  if (z < 3) {
    for (let n = 1; n < 80; n++) {
      term *= (-z * z) / n;
      sum += term / (2 * n + 1);
    }
    return (Math.sign(x) * 2 * sum) / Math.sqrt(Math.PI);
  }
  let fraction = z;
  for (let n = 60; n > 0; n--) {
    fraction = z + n / 2 / fraction;
  }
  return Math.sign(x) * (1 - Math.exp(-z * z) / (Math.sqrt(Math.PI) * fraction));
}
const gelu = (x: number) => 0.5 * x * (1 + erf(x / Math.SQRT2));
const geluGradient = (x: number) =>
  0.5 * (1 + erf(x / Math.SQRT2)) + (x * Math.exp(-0.5 * x * x)) / Math.sqrt(2 * Math.PI);

/** The same product in float64, one element at a time. */
function reference(options: GemmOptions): { c: Float64Array; pre: Float64Array; rowSums: Float64Array } {
  const { m, n, k, a, b, c, alpha = 1, bias, activation = 'none', residual, preActivation } = options;
  const [outer, inner] = options.batch ?? [1, 1];
  const out = Float64Array.from(c.data);
  const pre = Float64Array.from(preActivation?.data ?? []);
  const rowSums = new Float64Array(m);
  const lda = a.stride ?? (options.transposeA ? m : k);
  const ldb = b.stride ?? (options.transposeB ? k : n);
  for (let i = 0; i < outer; i++) {
    for (let j = 0; j < inner; j++) {
      for (let row = 0; row < m; row++) {
        for (let column = 0; column < n; column++) {
          const a0 = (a.offset ?? 0) + i * (a.outerStride ?? 0) + j * (a.innerStride ?? 0);
          const b0 = (b.offset ?? 0) + i * (b.outerStride ?? 0) + j * (b.innerStride ?? 0);
          const c1 = i * (c.outerStride ?? 0) + j * (c.innerStride ?? 0) + row * (c.stride ?? n) + column;
          const at = (c.offset ?? 0) + c1;
          let sum = 0;
          for (let p = 0; p < k; p++) {
            const x = a.data[a0 + (options.transposeA ? p * lda + row : row * lda + p)];
            sum += x * b.data[b0 + (options.transposeB ? column * ldb + p : p * ldb + column)];
            if (i === 0 && j === 0 && column === 0) {
              rowSums[row] += x;
            }
          }
          sum *= alpha;
          if (options.accumulate) {
            sum += c.data[at];
          }
          if (bias) {
            sum += bias[column];
          }
          const h = (preActivation?.offset ?? 0) + c1;
          if (activation === 'gelu' && preActivation) {
            pre[h] = sum;
          }
          if (activation === 'gelu') {
            sum = gelu(sum);
          }
          if (activation === 'gelu-grad') {
            sum *= geluGradient(preActivation!.data[h]);
          }
          if (residual) {
            sum += residual.data[(residual.offset ?? 0) + c1];
          }
          out[at] = sum;
        }
      }
    }
  }
  return { c: out, pre, rowSums };
}

function expectClose(actual: Float32Array, expected: Float64Array, what: string, k: number): void {
  const scale = Math.max(1, Math.sqrt(k));
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(actual[i] - expected[i]);
    if (!(error <= 2e-6 * scale * Math.max(1, Math.abs(expected[i])))) {
      throw new Error(`${what}[${i}] is ${actual[i]}, expected ${expected[i]}`);
    }
  }
}

function check(options: GemmOptions): void {
  const expected = reference(options);
  gemm(options);
  expectClose(options.c.data, expected.c, 'c', options.k);
  if (options.activation === 'gelu' && options.preActivation) {
    expectClose(options.preActivation.data, expected.pre, 'pre', options.k);
  }
  if (options.rowSumsA && options.n > 0) {
    expectClose(options.rowSumsA, expected.rowSums, 'rowSums', options.k);
  }
}

/** A product with every array filled, the matrices spread out by `gap` elements a row. */
function product(
  [m, n, k]: readonly [number, number, number],
  extra: Partial<GemmOptions> & { gap?: number; offset?: number } = {},
): GemmOptions {
  const { gap = 0, offset = 0, ...rest } = extra;
  const [outer, inner] = rest.batch ?? [1, 1];
  const matrix = (rows: number, columns: number, seed: number) => {
    const stride = columns + gap;
    const innerStride = rows * stride + gap;
    const outerStride = inner * innerStride;
    return {
      data: values(offset + outer * outerStride + 1, seed),
      offset,
      stride,
      innerStride,
      outerStride,
    };
  };
  const c = matrix(m, n, 3);
  return {
    m,
    n,
    k,
    a: rest.transposeA ? matrix(k, m, 1) : matrix(m, k, 1),
    b: rest.transposeB ? matrix(n, k, 2) : matrix(k, n, 2),
    c,
    ...rest,
  };
}

const size = fc.oneof(
  fc.integer({ min: 0, max: 5 }),
  fc.integer({ min: 0, max: 70 }),
  fc.constantFrom(13, 14, 15, 16, 17, 28, 31, 32, 33, 48, 64, 96, 127, 128, 129),
);
const depth = fc.oneof(size, fc.constantFrom(255, 256, 257, 300, 511, 513, 700));

describe.each(instructionSets())('gemm on %s', (set) => {
  beforeAll(() => addon.setInstructionSet(set));
  afterAll(() => addon.setInstructionSet(best));

  it('agrees with float64 for any shape, layout and epilogue', () => {
    fc.assert(
      fc.property(
        fc.tuple(size, size, depth),
        fc.record({
          transposeA: fc.boolean(),
          transposeB: fc.boolean(),
          accumulate: fc.boolean(),
          alpha: fc.constantFrom(1, 0.125, -2),
          activation: fc.constantFrom('none' as const, 'none' as const, 'gelu' as const, 'gelu-grad' as const),
          gap: fc.constantFrom(0, 0, 1, 7),
          offset: fc.constantFrom(0, 0, 3),
          batch: fc.constantFrom([1, 1] as const, [1, 1] as const, [2, 3] as const),
        }),
        fc.record({ bias: fc.boolean(), pre: fc.boolean(), residual: fc.boolean(), sums: fc.boolean() }),
        (sizes, layout, parts) => {
          const options = product(sizes, layout);
          if (parts.bias) {
            options.bias = values(options.n, 4);
          }
          if (layout.activation === 'gelu-grad' || (parts.pre && layout.activation === 'gelu')) {
            options.preActivation = { data: values(options.c.data.length, 5), offset: layout.offset };
          }
          if (parts.residual) {
            options.residual = { data: values(options.c.data.length, 6), offset: layout.offset };
          }
          if (parts.sums) {
            options.rowSumsA = values(options.m, 7);
          }
          check(options);
        },
      ),
      { numRuns: 300, seed: 20 },
    );
  });

  it.each([
    [1, 1, 5000],
    [3, 5, 9001],
    [33, 40, 2051],
    [48, 64, 1030],
    [1, 700, 300],
    [700, 1, 300],
    [150, 130, 600],
  ] as const)('multiplies [%i, %i] over %i, both sides transposed or not', (m, n, k) => {
    for (const transposeA of [false, true]) {
      for (const transposeB of [false, true]) {
        check(product([m, n, k], { transposeA, transposeB, rowSumsA: new Float32Array(m) }));
      }
    }
  });

  it('writes nothing outside the m × n elements', () => {
    const options = product([15, 33, 40], { gap: 5, offset: 2 });
    const before = options.c.data.slice();
    gemm(options);
    const { offset = 0, stride = 0 } = options.c;
    before.forEach((value, i) => {
      const row = Math.floor((i - offset) / stride);
      const column = (i - offset) % stride;
      if (i < offset || row >= 15 || column >= 33) {
        expect(options.c.data[i]).toBe(value);
      }
    });
  });

  it('reads heads inside a fused qkv without a copy', () => {
    const [B, L, H, d] = [2, 37, 3, 16];
    const qkv = values(B * L * 3 * H * d, 9);
    const head = (part: number) => ({
      data: qkv,
      offset: part * H * d,
      stride: 3 * H * d,
      outerStride: L * 3 * H * d,
      innerStride: d,
    });
    const c = { data: new Float32Array(B * H * L * L), outerStride: H * L * L, innerStride: L * L };
    check({ m: L, n: L, k: d, batch: [B, H], a: head(0), b: head(1), transposeB: true, c, alpha: 0.25 });
    const kv = { data: new Float32Array(B * H * d * d), outerStride: H * d * d, innerStride: d * d };
    check({ m: d, n: d, k: L, batch: [B, H], a: head(1), transposeA: true, b: head(2), c: kv });
  });

  it('keeps NaN and infinity', () => {
    const a = new Float32Array([Number.NaN, 1, Number.POSITIVE_INFINITY, 2]);
    const c = new Float32Array(4);
    gemm({ m: 2, n: 2, k: 2, a: { data: a }, b: { data: new Float32Array([1, 0, 1, 1]) }, c: { data: c } });
    expect([...c]).toEqual([Number.NaN, Number.NaN, Number.POSITIVE_INFINITY, Number.NaN]);
  });

  it('gives the same bits on 1, 2, 3 and 8 threads', () => {
    const threads = addon.threads();
    for (const [sizes, transposeA] of [
      [[300, 200, 700], false],
      [[64, 64, 4100], true],
      [[33, 128, 2500], true],
    ] as const) {
      const results = [1, 2, 3, 8].map((count) => {
        addon.setThreads(count);
        const options = product(sizes, { transposeA, rowSumsA: new Float32Array(sizes[0]) });
        gemm(options);
        return [options.c.data, options.rowSumsA];
      });
      for (const result of results) {
        expect(result).toEqual(results[0]);
      }
    }
    addon.setThreads(threads);
  });
});

describe('gemm called wrongly', () => {
  it('throws for arrays that are too small, and writes nothing', () => {
    for (const change of [
      { a: { data: new Float32Array(11) } },
      { b: { data: new Float32Array(11) } },
      { c: { data: new Float32Array(8) } },
      { c: { data: new Float32Array(9), offset: 1 } },
      { c: { data: new Float32Array(9), stride: 2 } },
      { bias: new Float32Array(2) },
      { rowSumsA: new Float32Array(2) },
      { activation: 'gelu', preActivation: { data: new Float32Array(8) } },
      { activation: 'gelu-grad' },
      { residual: { data: new Float32Array(8) } },
      { batch: [2, 1], a: { data: new Float32Array(12), outerStride: 12 } },
      { m: -1 },
      { m: 1.5 },
      { k: Number.NaN },
      { n: 2 ** 60 },
      { batch: [2 ** 53 - 1, 1] },
      { m: 2 ** 53 - 1, a: { data: new Float32Array(12), stride: 2 ** 53 - 1 } },
    ] as Partial<GemmOptions>[]) {
      const c = new Float32Array(9).fill(7);
      const data = () => ({ data: new Float32Array(12) });
      expect(() => gemm({ m: 3, n: 3, k: 4, a: data(), b: data(), c: { data: c }, ...change })).toThrow(RangeError);
      expect(c.every((value) => value === 7)).toBe(true);
    }
  });

  it('throws for detached and wrongly typed arrays', () => {
    const detached = new Float32Array(12);
    structuredClone(detached.buffer, { transfer: [detached.buffer] });
    const data = () => ({ data: new Float32Array(12) });
    const options = { m: 3, n: 3, k: 4, a: data(), b: data(), c: data() };
    expect(() => gemm({ ...options, a: { data: detached } })).toThrow(/detached/);
    for (const wrong of [
      new Float64Array(12),
      new Int32Array(12),
      new ArrayBuffer(48),
      [1, 2],
      'x',
      3,
      null,
      undefined,
      {},
    ]) {
      expect(() => gemm({ ...options, b: { data: wrong as Float32Array } })).toThrow(/b must be a Float32Array/);
    }
    expect(() => (addon.gemm as unknown as () => void)()).toThrow(RangeError);
  });

  it('survives random sizes, strides and offsets', () => {
    const wild = fc.oneof(
      fc.integer({ min: 0, max: 9 }),
      fc.integer({ min: -3, max: 200 }),
      fc.constantFrom(2 ** 31, 2 ** 32 + 1, 2 ** 53 - 1, Number.NaN, Number.POSITIVE_INFINITY, 0.5),
    );
    fc.assert(
      fc.property(
        fc.array(wild, { minLength: 24, maxLength: 24 }),
        fc.integer({ min: 0, max: 120 }),
        (fields, length) => {
          const data = () => new Float32Array(length);
          try {
            addon.gemm(Float64Array.from(fields), data(), data(), data(), data(), data(), data(), data());
          } catch (error) {
            expect(error).toBeInstanceOf(RangeError);
          }
        },
      ),
      { numRuns: 20_000, seed: 5 },
    );
  });

  it('refuses a thread count or an instruction set that cannot be', () => {
    for (const count of [0, -1, 1.5, 5000, Number.NaN]) {
      expect(() => addon.setThreads(count)).toThrow(RangeError);
    }
    expect(() => addon.setInstructionSet('mmx')).toThrow(/mmx/);
  });
});
