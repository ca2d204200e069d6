import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../../../src/data/random.js';
import type { Engine } from '../../../src/engines/index.js';
import { announce } from '../../../src/engines/running.js';
import { findAdapter } from '../../../src/engines/webgpu/adapter.js';
import { Arena, BufferPool } from '../../../src/engines/webgpu/bufferPool.js';
import { startOn } from '../../../src/engines/webgpu/index.js';
import { newConfig } from '../../../src/model/config.js';
import { createModel } from '../../../src/model/model.js';

const MIB = 2 ** 20;
const found = await findAdapter('null');

describe('the pool of buffers', () => {
  /** A device that keeps count. */
  function open() {
    const alive = new Set<object>();
    const createBuffer = ({ size, usage }: GPUBufferDescriptor) => {
      const buffer = { size, usage, destroy: () => alive.delete(buffer) };
      alive.add(buffer);
      return buffer;
    };
    return { alive, pool: new BufferPool({ createBuffer } as unknown as GPUDevice) };
  }

  it('hands a buffer out again, and ends those that have been idle for longest', () => {
    const { alive, pool } = open();
    const buffers = [...Array(4).keys()].map((i) => pool.acquireBuffer(40 * MIB, i));
    // 160 MiB were in use at once: so many may lie idle.
    for (const buffer of buffers) {
      pool.releaseBuffer(buffer);
    }
    pool.trim();
    expect(alive.size).toBe(4);
    expect(pool.acquireBuffer(40 * MIB, 0)).toBe(buffers[0]);
    pool.releaseBuffer(buffers[0]);
    const [more, yetMore] = [4, 5].map((i) => pool.acquireBuffer(40 * MIB, i));
    pool.releaseBuffer(more);
    pool.releaseBuffer(yetMore);
    pool.trim();
    expect([...alive]).toEqual([buffers[0], buffers[3], more, yetMore]);
    expect(pool).toMatchObject({ numBytesUsed: 0, numBytesAllocated: 160 * MIB });
    expect(pool.acquireBuffer(40 * MIB, 1)).not.toBe(buffers[1]);
    pool.dispose();
    expect(alive.size).toBe(0);
  });

  it('leaves alone what is in use, or belongs to a recorded step', () => {
    const { alive, pool } = open();
    const used = pool.acquireBuffer(MIB, 1);
    const arena = new Arena();
    const result = pool.within(arena, () => {
      const recorded = pool.acquireBuffer(MIB, 1);
      pool.releaseBuffer(recorded);
      return recorded;
    });
    pool.trim(0);
    expect([...alive]).toEqual([used, result]);
    pool.clear(arena);
    expect([...alive]).toEqual([used]);
  });
});

// Dawn's null backend computes nothing, and takes memory like any other.
describe.skipIf(!('adapter' in found))('inference on proteins of many lengths', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = announce(await startOn(found as { adapter: GPUAdapter; gpu: GPU }));
  });
  afterAll(() => engine.stop());

  it('takes at most twice the memory that was ever in use at once', async () => {
    const sizes = { layers: 2, hidden: 256, heads: 4, feedForward: 512, length: 4096, dropout: 0 };
    const model = createModel(newConfig(sizes), 1);
    const pool = (tf.backend() as unknown as { bufferManager: BufferPool }).bufferManager;
    let most = 64 * MIB;
    let allocated = 0;
    const { acquireBuffer } = pool;
    pool.acquireBuffer = (...args) => {
      const buffer = acquireBuffer.apply(pool, args);
      most = Math.max(most, pool.numBytesUsed);
      allocated = Math.max(allocated, pool.numBytesAllocated);
      return buffer;
    };
    const random = new Random(3);
    const afterwards: number[] = [];
    for (let protein = 0; protein < 60; protein++) {
      const length = 200 + random.int(3800);
      const logits = model.logits(tf.fill([1, length], 5, 'int32') as tf.Tensor2D);
      await logits.data();
      logits.dispose();
      afterwards.push(pool.numBytesAllocated);
    }
    // Between two submissions a few more are made.
    expect(allocated).toBeLessThan(2.5 * most);
    expect(Math.max(...afterwards)).toBeLessThan(2 * most);
    model.dispose();
  });
});
