import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Addon, loadAddon } from '../../../src/engines/cpu/addon.js';

const addon = loadAddon() as unknown as Record<keyof Addon, (...args: unknown[]) => unknown>;

/**
 * A call of each entry point that works, with small sizes. `f` and `i` make arrays of so many elements, which the
 * tests then shorten, detach or swap for something else.
 */
const f = (count: number) => Float32Array.from({ length: count }, (_, i) => Math.sin(i));
const i = (...values: number[]) => Int32Array.from(values);
const d = (...values: number[]) => Float64Array.from(values);
const calls: { [name in keyof Addon]?: () => unknown[] } = {
  linear: () => [d(3, 4, 5, 1), f(12), f(20), f(5), f(15), f(15)],
  linearGrad: () => [d(3, 4, 5), f(15), f(12), f(20), f(5), f(15), f(12), f(20), f(5), f(15)],
  layerNorm: () => [d(3, 4, 1e-5, 0.1, 7), f(12), f(12), f(4), f(4), f(12), f(12), f(6)],
  layerNormGrad: () => [d(3, 4, 0.1, 7), f(12), f(12), f(12), f(4), f(6), f(12), f(4), f(4), f(12)],
  tokenEmbedding: () => [d(2, 3, 4, 6, 5, 1, 5, 1), i(0, 2, 1, 3, 4, 5), f(24), f(20), f(24)],
  tokenEmbeddingGrad: () => [d(2, 3, 4, 6, 5, 1, 5, 1), f(24), i(0, 2, 1, 3, 4, 5), f(24), f(20), f(24), f(20)],
  rotary: () => [d(2, 3, 2, 4, 0), f(144), f(2), f(144)],
  favorRelu: () => [d(2, 3, 2, 4, 5, 1e-3, 1), f(144), f(6), f(20), f(48), f(12)],
  favorReluGrad: () => [d(2, 3, 2, 4, 5, 1e-3, 1), f(48), f(144), f(6), f(20), f(48), f(12), undefined, f(144)],
  favorSoftmax: () => [
    ...[d(2, 3, 2, 4, 5, 1e-6, 0), f(144), f(6), f(20)],
    ...[f(48), f(12), f(4), i(2, 0, -1, 0, 0, 4, 2, 4)],
  ],
  favorSoftmaxGrad: () => [
    ...[d(2, 3, 2, 4, 5, 1e-6, 0), f(48), f(144), f(6), f(20)],
    ...[f(48), f(12), f(4), i(2, 0, -1, 0, 0, 4, 2, 4), f(144)],
  ],
  softmaxAttention: () => [d(2, 3, 2, 4, 0), f(144), f(6), f(48), f(12)],
  softmaxAttentionGrad: () => [d(2, 3, 2, 4, 0), f(48), f(144), f(6), f(48), f(12), f(144)],
  lshAttention: () => [
    ...[d(2, 3, 2, 4, 2, 2, 2, 1), f(144), f(6), f(16)],
    ...[f(48), new Int32Array(24), f(12), f(12)],
  ],
  lshAttentionGrad: () => [
    ...[d(2, 3, 2, 4, 2, 2, 2, 1), f(48), f(144), f(6), f(16)],
    ...[f(48), new Int32Array(24).fill(2), f(12), f(12), f(144)],
  ],
  gatherRows: () => [d(4, 3, 5), f(20), i(3, 0, 3), f(15)],
  gatherRowsGrad: () => [d(4, 3, 5), f(15), i(3, 0, 3), f(20)],
  crossEntropy: () => [d(3, 7), f(21), i(0, 6, 3), f(3), f(1), f(1), f(3)],
  crossEntropyGrad: () => [d(3, 7), f(1), f(21), i(0, 6, 3), f(3), f(3), f(21)],
  adamW: () => [d(0.9, 0.98, 1e-9, 0.5, 0.1, 0), f(3), ...Array.from({ length: 4 }, () => [f(4), f(5)]), f(1)],
  copyStrided: () => [d(2, 3, 4, 0, 4, 1, 0, 1, 3), f(12), f(12)],
  binary: () => [d(0, 2, 3, 4, 4, 1, 0, 1), f(12), f(4), f(12)],
  unary: () => [d(3), f(9), f(9)],
  reduce: () => [d(0, 2, 3, 4, 1), f(24), f(8)],
  softmax: () => [d(3, 5), f(15), f(15)],
  identityCounts: () => [d(2, 64), new Uint8Array(128), new Uint8Array(128), i(1, 2), i(0, 0)],
  cumulativeSum: () => [d(2, 3, 4, 0, 1), f(24), f(24)],
  allocate: () => [128],
  setThreads: () => [2],
  setScratchLimit: () => [2 ** 30],
};
/** A call's arguments with the size at `index` another. */
const resized = (args: unknown[], index: number, value: number) =>
  args.with(0, (args[0] as Float64Array).with(index, value));

/** Anything that JavaScript might pass instead. */
const anything = fc.oneof(
  fc.constantFrom(undefined, null, true, '', 'x', Number.NaN, -1, 0.5, 0, 1, 2, 3, 7, 64, 2 ** 31, 2 ** 53, 1e300),
  fc.nat(40).map((count) => new Float32Array(count)),
  fc.nat(40).map((count) => new Int32Array(count)),
  fc.array(fc.oneof(fc.integer({ min: -3, max: 2 ** 40 }), fc.double())).map((values) => Float64Array.from(values)),
  fc.array(fc.integer({ min: -2, max: 50 })).map((values) => Int32Array.from(values)),
  fc.constant([new Float32Array(3), 'x', null]),
  fc.constant({ length: 5 }),
  fc.constant(new Float32Array(new ArrayBuffer(64), 16, 5)),
  fc.constantFrom(new DataView(new ArrayBuffer(8)), new ArrayBuffer(16), () => 0, Symbol('s'), 10n),
);

/** Calls, and takes an Error for an answer: what must not happen is a crash, or anything else thrown. */
function survives(name: keyof Addon, args: unknown[]): void {
  try {
    addon[name](...args);
  } catch (error) {
    expect(error).toBeInstanceOf(Error);
  }
}

describe.each(Object.keys(calls) as (keyof Addon)[])('addon.%s', (name) => {
  const make = calls[name] as () => unknown[];

  it('takes right arguments', () => {
    expect(() => addon[name](...make())).not.toThrow();
  });

  it('survives any arguments', () => {
    const count = make().length;
    fc.assert(
      fc.property(fc.array(anything, { maxLength: count + 2 }), (args) => survives(name, args)),
      { numRuns: 200, seed: 1 },
    );
  });

  it('survives right arguments of which some are not', () => {
    const index = fc.nat(make().length - 1);
    fc.assert(
      fc.property(fc.array(fc.tuple(index, anything), { minLength: 1, maxLength: 3 }), (changes) => {
        const args = make();
        for (const [at, value] of changes) {
          args[at] = value;
        }
        survives(name, args);
      }),
      { numRuns: 500, seed: 2 },
    );
  });

  it('refuses any array that is too short or detached', () => {
    make().forEach((value, at) => {
      if (!ArrayBuffer.isView(value)) {
        return;
      }
      const array = value as Float32Array;
      const detached = array.slice();
      structuredClone(detached.buffer, { transfer: [detached.buffer] });
      const detachedArgs = make().with(at, detached);
      expect(() => addon[name](...detachedArgs), `argument ${at} detached`).toThrow(RangeError);
      // An elementwise function has no size but its input's.
      if (name === 'unary' && at === 1) {
        return;
      }
      const shortArgs = make().with(at, array.subarray(0, array.length - 1));
      expect(() => addon[name](...shortArgs), `argument ${at} short`).toThrow(RangeError);
    });
  });

  it('survives sizes that its arrays do not have', () => {
    const sizes = make()[0];
    for (let at = 0; sizes instanceof Float64Array && at < sizes.length; at++) {
      for (const wrong of [2 ** 31, 2 ** 53, -1, 0.5, Number.NaN, Infinity]) {
        survives(name, resized(make(), at, wrong));
      }
    }
  });
});

describe('wrong values', () => {
  const call = (name: keyof Addon) => (calls[name] as () => unknown[])();
  const places = (...values: number[]) => i(...values, -1, 0, 0, 4, 2, 4);
  const refused: [string, keyof Addon, unknown[]][] = [
    ['a token outside of the vocabulary', 'tokenEmbedding', call('tokenEmbedding').with(1, i(0, 2, 1, 3, 4, 6))],
    ['a negative token', 'tokenEmbedding', call('tokenEmbedding').with(1, i(0, -2, 1, 3, 4, 5))],
    ['more tokens than positions', 'tokenEmbedding', resized(call('tokenEmbedding'), 4, 4).with(3, f(16))],
    ['positions without a gradient', 'tokenEmbeddingGrad', call('tokenEmbeddingGrad').with(6, undefined)],
    ['a row that is not there', 'gatherRows', call('gatherRows').with(2, i(0, 1, 4))],
    ['a negative row', 'gatherRowsGrad', call('gatherRowsGrad').with(2, i(0, -1, 2))],
    ['a position that is not there', 'lshAttentionGrad', call('lshAttentionGrad').with(6, new Int32Array(24).fill(3))],
    ['a negative position', 'lshAttentionGrad', call('lshAttentionGrad').with(6, new Int32Array(24).fill(-1))],
    ['a label outside of the classes', 'crossEntropy', call('crossEntropy').with(2, i(0, 7, 3))],
    ['a dropout rate of 1', 'layerNorm', resized(call('layerNorm'), 3, 1)],
    ['half a truth', 'linear', resized(call('linear'), 3, 0.5)],
    ['heads of an odd size that turn', 'rotary', [d(1, 1, 1, 3, 0), f(9), f(1), f(9)]],
    ['moments of another size', 'adamW', call('adamW').with(3, [f(4), f(4)])],
    ['a parameter without a weight decay', 'adamW', call('adamW').with(0, d(0.9, 0.98, 1e-9, 0.5, 0.1))],
    ['no heads', 'favorRelu', resized(call('favorRelu'), 2, 0)],
    ['no projection', 'favorSoftmax', call('favorSoftmax').with(3, null)],
    ['a maximum past the keys', 'favorSoftmaxGrad', call('favorSoftmaxGrad').with(8, places(3, 0))],
    ['a maximum past the features', 'favorSoftmaxGrad', call('favorSoftmaxGrad').with(8, places(2, 5))],
    ['strides that leave the array', 'copyStrided', resized(call('copyStrided'), 4, 5)],
    ['an offset that leaves the array', 'copyStrided', resized(call('copyStrided'), 6, 1)],
    ['more axes than sizes', 'copyStrided', resized(call('copyStrided'), 0, 4)],
    ['an operation that does not exist', 'unary', resized(call('unary'), 0, 1000)],
    ['too few sizes', 'softmax', call('softmax').with(0, d(3))],
    ['no sizes', 'softmax', call('softmax').slice(1)],
    ['no threads', 'setThreads', [0]],
  ];
  it.each(refused)('%s: %s refuses', (_, name, args) => {
    expect(() => addon[name](...args)).toThrow(RangeError);
  });
});
