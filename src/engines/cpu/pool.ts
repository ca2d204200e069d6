import { InputError } from '../../data/errors.js';
import type { EngineMemory } from '../engine.js';

/** What the pool holds, in bytes, and how often it had to ask the system. */
export interface PoolMemory extends EngineMemory {
  /** Bytes of blocks that tensors hold at the moment. */
  inUse: number;
  /** The largest `inUse` so far. */
  peak: number;
  /** Bytes of blocks that wait to be used again. */
  idle: number;
  /** Blocks taken from the system since the start; constant over training steps at steady state. */
  systemAllocations: number;
  /** The most that `inUse + idle` may reach, in bytes. */
  limit: number;
}

interface Block {
  readonly buffer: ArrayBuffer;
  /** Tensors whose values lie in this block: tfjs's slice of contiguous rows shares its input's memory. */
  owners: number;
}

/** The smallest block, in bytes: one cache line. */
const SMALLEST = 64;

/**
 * The size class of a request: the next multiple of an eighth of its power of two, so that at most an eighth is lost.
 * Example: 1,000 bytes -> 1,024; 1,100 -> 1,152.
 */
export function sizeClass(bytes: number): number {
  if (bytes <= SMALLEST) {
    return SMALLEST;
  }
  const step = Math.max(SMALLEST, 2 ** (Math.floor(Math.log2(bytes - 1)) - 3));
  return Math.ceil(bytes / step) * step;
}

/**
 * Memory of the tensors of the CPU engine: blocks by size class, kept when a tensor goes and handed to the next one of
 * the class. A training step at steady state takes nothing from the system.
 */
export class BufferPool {
  private readonly idleBlocks = new Map<number, Block[]>();
  private readonly blocks = new Map<ArrayBufferLike, Block>();
  private readonly figures: PoolMemory;

  /**
   * @param allocate gives a block of so many bytes, aligned to a cache line; null when there is no memory left.
   * @param release gives a block's memory back to the system.
   * @param limit the most bytes that the pool may hold.
   */
  constructor(
    private readonly allocate: (bytes: number) => ArrayBuffer | null,
    private readonly release: (buffer: ArrayBuffer) => void,
    limit: number,
  ) {
    this.figures = { inUse: 0, peak: 0, idle: 0, systemAllocations: 0, limit };
  }

  /** A block of at least `bytes` bytes with one owner; what it contains is left over from its last use. */
  acquire(bytes: number): ArrayBuffer {
    const size = sizeClass(bytes);
    const waiting = this.idleBlocks.get(size);
    let block = waiting?.pop();
    if (block === undefined) {
      block = { buffer: this.fromSystem(size), owners: 0 };
    } else {
      this.figures.idle -= size;
    }
    block.owners = 1;
    this.blocks.set(block.buffer, block);
    this.figures.inUse += size;
    this.figures.peak = Math.max(this.figures.peak, this.figures.inUse);
    return block.buffer;
  }

  /** Notes one more owner if the memory belongs to the pool. */
  share(buffer: ArrayBufferLike): void {
    const block = this.blocks.get(buffer);
    if (block !== undefined) {
      block.owners++;
    }
  }

  /** Takes one owner away; the last one's going makes the block free for the next tensor. */
  leave(buffer: ArrayBufferLike): void {
    const block = this.blocks.get(buffer);
    if (block === undefined || --block.owners > 0) {
      return;
    }
    this.blocks.delete(buffer);
    const size = block.buffer.byteLength;
    this.figures.inUse -= size;
    this.figures.idle += size;
    const waiting = this.idleBlocks.get(size);
    if (waiting === undefined) {
      this.idleBlocks.set(size, [block]);
    } else {
      waiting.push(block);
    }
  }

  /** Gives the idle blocks back to the system. */
  trim(): void {
    for (const waiting of this.idleBlocks.values()) {
      for (const block of waiting) {
        this.release(block.buffer);
      }
    }
    this.idleBlocks.clear();
    this.figures.idle = 0;
  }

  /** Changes the most that the pool may hold; what is in use beyond it stays. */
  setLimit(bytes: number): void {
    this.figures.limit = bytes;
    if (this.figures.inUse + this.figures.idle > bytes) {
      this.trim();
    }
  }

  memory(): PoolMemory {
    return { ...this.figures };
  }

  private fromSystem(size: number): ArrayBuffer {
    const { inUse, limit } = this.figures;
    if (inUse + this.figures.idle + size > limit) {
      this.trim();
    }
    let buffer = inUse + size > limit ? null : this.allocate(size);
    if (buffer === null && inUse + size <= limit) {
      this.trim();
      buffer = this.allocate(size);
    }
    if (buffer === null) {
      throw new InputError(
        `out of memory on the cpu engine: ${megabytes(size)} MB more on top of ${megabytes(inUse)} MB in use, ` +
          `of ${megabytes(limit)} MB; use a smaller batch or length`,
      );
    }
    this.figures.systemAllocations++;
    return buffer;
  }
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0);
}
