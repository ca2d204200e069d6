import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadAddon } from '../../../src/engines/cpu/addon.js';
import { NativeBackend } from '../../../src/engines/cpu/backend.js';
import { BufferPool, sizeClass } from '../../../src/engines/cpu/pool.js';
import { type Engine, startEngine } from '../../../src/engines/index.js';
import { newConfig } from '../../../src/model/config.js';
import { createModel } from '../../../src/model/model.js';
import { favorReluAttention } from '../../../src/ops/favorReluAttention.js';
import { tokenEmbedding } from '../../../src/ops/tokenEmbedding.js';
import { Optimizer } from '../../../src/training/optimizer.js';
import { PAPER_OPTIMIZER } from '../../../src/training/recipe.js';
import { trainingStep } from '../../../src/training/step.js';

describe('size classes', () => {
  it('lose at most an eighth and never shrink', () => {
    for (const bytes of [0, 1, 63, 64, 65, 127, 128, 129, 1000, 4096, 4097, 1e6, 2 ** 31, 2 ** 33 + 1]) {
      const size = sizeClass(bytes);
      expect(size).toBeGreaterThanOrEqual(Math.max(bytes, 64));
      expect(size).toBeLessThanOrEqual(Math.max(bytes * 1.125 + 64, 64));
      expect(sizeClass(size)).toBe(size);
    }
  });
});

describe('the pool', () => {
  const make = (limit: number) => {
    const released: ArrayBuffer[] = [];
    const pool = new BufferPool(
      (bytes) => new ArrayBuffer(bytes),
      (buffer) => released.push(buffer),
      limit,
    );
    return { pool, released };
  };

  it('hands a block out again once its last owner has left', () => {
    const { pool } = make(1e6);
    const first = pool.acquire(1000);
    pool.share(first);
    pool.leave(first);
    expect(pool.acquire(1000)).not.toBe(first);
    pool.leave(first);
    expect(pool.acquire(1010)).toBe(first);
    expect(pool.memory()).toMatchObject({ systemAllocations: 2, inUse: 2048, peak: 2048, idle: 0 });
  });

  it('gives idle blocks back before it passes its limit, and says plainly when it must', () => {
    const { pool, released } = make(4096);
    const first = pool.acquire(3000);
    pool.leave(first);
    pool.acquire(2000);
    expect(released).toEqual([first]);
    expect(() => pool.acquire(3000)).toThrow(/out of memory on the cpu engine: .* use a smaller batch or length/);
  });

  it('says so when the system has no memory left', () => {
    const pool = new BufferPool(
      () => null,
      () => {},
      1e9,
    );
    expect(() => pool.acquire(100)).toThrow(/out of memory/);
  });
});

describe('tensors in the pool', () => {
  let engine: Engine;
  let backend: NativeBackend;
  beforeAll(async () => {
    engine = await startEngine('cpu');
    backend = tf.backend() as NativeBackend;
  });
  afterAll(async () => {
    tf.disposeVariables();
    await engine.stop();
  });

  it('is the engine of the addon', () => {
    expect(backend).toBeInstanceOf(NativeBackend);
    expect(loadAddon().threads()).toBeGreaterThan(0);
  });

  it('reports what its tensors take, and keeps to the limit it is given', async () => {
    const limited = await startEngine('cpu', { maxMemory: 50e6 });
    expect(limited.description).toContain('up to 0.1 GB for tensors');
    const before = limited.memory!();
    expect(before.limit).toBe(50e6);
    const x = tf.tidy(() => tf.add(tf.zeros([1000, 1000]), 1));
    expect(limited.memory!().inUse).toBeGreaterThanOrEqual(before.inUse + 4e6);
    expect(() => tf.tile(x, [20, 1])).toThrow(/out of memory on the cpu engine/);
    x.dispose();
    expect(limited.memory!().inUse).toBe(before.inUse);
    await startEngine('cpu');
  });

  it('keeps what kernels work in to the limit as well: a one-line error, and the next call computes', async () => {
    const addon = loadAddon();
    const threads = addon.threads();
    // Of causal features a kernel holds sums for every chunk of the sequence.
    const heads = 4;
    const attend = (length: number) =>
      tf.tidy(() => {
        const qkv = tf.fill([1, length, 3 * heads * 16], 0.1) as tf.Tensor3D;
        const projection = tf.fill([2048, 16], 0.1) as tf.Tensor2D;
        const keep = tf.ones([1, length]) as tf.Tensor2D;
        return favorReluAttention(qkv, keep, projection, { heads, epsilon: 1e-3, causal: true });
      });
    const held = addon.scratchBytes();
    const limited = await startEngine('cpu', { threads: 1, maxMemory: 8e6 + held });
    try {
      expect(() => attend(4096)).toThrow(
        /^out of memory on the cpu engine: [\d.]+ MB more on top of [\d.]+ MB in use, of [\d.]+ MB; use a smaller batch or length$/,
      );
      const small = attend(64);
      expect((await small.data())[0]).toBeCloseTo(0.1, 5);
      small.dispose();
      expect(limited.memory!().inUse + addon.scratchBytes()).toBeLessThanOrEqual(8e6 + held);
    } finally {
      await startEngine('cpu', { threads });
    }
    const whole = attend(4096);
    expect((await whole.data())[0]).toBeCloseTo(0.1, 5);
    whole.dispose();
    expect(addon.scratchBytes()).toBeGreaterThan(held);
  });

  it('keeps its own copy of an array that the caller may change', () => {
    const values = Float32Array.of(1, 2, 3);
    const x = tf.tensor1d(values);
    values.fill(9);
    expect(x.dataSync()).toEqual(Float32Array.of(1, 2, 3));
    x.dispose();
  });

  it('hands out copies: a value that was read survives the tensor', async () => {
    const x = tf.fill([1000], 7);
    const y = tf.add(x, 1);
    const now = y.dataSync();
    const later = await y.data();
    tf.dispose([x, y]);
    tf.dispose(tf.add(tf.zeros([1000]), 5));
    expect(now.every((value) => value === 8)).toBe(true);
    expect(later.every((value) => value === 8)).toBe(true);
  });

  it("does not reuse memory that a view of tfjs's own kernels still shows", () => {
    const x = tf.add(tf.range(0, 64), 0) as tf.Tensor1D;
    const view = tf.tidy(() => tf.reverse(tf.reverse(tf.reshape(tf.slice(x, 0, 64), [8, 8]))));
    const clone = x.clone();
    x.dispose();
    const other = tf.add(tf.zeros([64]), 99);
    expect(Array.from(clone.dataSync())).toEqual([...Array(64).keys()]);
    expect(Array.from(view.dataSync())).toEqual([...Array(64).keys()]);
    tf.dispose([view, clone, other]);
  });

  it('gives an error for a disposed tensor', () => {
    const x = tf.ones([4]);
    x.dispose();
    expect(() => tf.add(x, 1)).toThrow(/disposed/);
  });

  it('gets its memory back from an operation that fails', () => {
    const word = tf.ones([10, 64]) as tf.Tensor2D;
    const ids = tf.tensor2d([[1, 99]], [1, 2], 'int32');
    const before = backend.pool.memory().inUse;
    const options = { padId: 0, maskId: 2, tokenDropout: false };
    expect(() => tf.tidy(() => tokenEmbedding(ids, word, undefined, options))).toThrow(/token id 99 at \[0, 1\]/);
    expect(backend.pool.memory().inUse).toBe(before);
    tf.dispose([word, ids]);
  });

  it('takes nothing from the system, and leaks nothing, in training steps at steady state', async () => {
    const config = newConfig({ layers: 2, hidden: 32, heads: 2, feedForward: 64, dropout: 0.1, length: 64 });
    const model = createModel(config, 1);
    const optimizer = new Optimizer(model.trainable, PAPER_OPTIMIZER);
    const ids = Int32Array.from({ length: 3 * 60 }, (_, i) => 4 + (i % 20));
    const positions = Int32Array.of(1, 5, 70, 100, 179);
    const pass = { ids, batch: 3, length: 60, positions, labels: Int32Array.of(5, 6, 7, 8, 9) };
    const step = () => trainingStep(model, optimizer, [pass], { learningRate: 1e-3, seed: 1 });
    for (let i = 0; i < 3; i++) {
      await step();
    }
    const tensors = tf.memory().numTensors;
    const before = backend.pool.memory();
    for (let i = 0; i < 5; i++) {
      await step();
    }
    const after = backend.pool.memory();
    expect(tf.memory().numTensors).toBe(tensors);
    // Which thread takes which piece, and grows its room for it, is left to timing.
    expect(after).toEqual({ ...before, scratch: after.scratch });
    model.dispose();
    optimizer.dispose();
    expect(backend.pool.memory().inUse).toBeLessThan(before.inUse);
  });
});
