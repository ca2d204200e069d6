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
  /** Bytes that kernels work in, beside the blocks. */
  scratch: number;
  /** The most that `inUse + idle + scratch` may reach, in bytes. */
  limit: number;
}

interface Block {
  readonly buffer: ArrayBuffer;
  /** Tensors whose values lie in this block: tfjs's slice of contiguous rows shares its input's memory. */
  owners: number;
}

/** What kernels work in beside the pool's blocks, under the same limit. */
export interface ScratchMemory {
  /** Bytes that it takes. */
  bytes(): number;
  /** Sets the most that it may take. */
  setLimit(bytes: number): void;
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
  private readonly figures: Omit<PoolMemory, 'scratch'>;

  /**
   * @param allocate gives a block of so many bytes, aligned to a cache line; null when there is no memory left.
   * @param release gives a block's memory back to the system.
   * @param limit the most bytes that the pool and `scratch` may hold.
   */
  constructor(
    private readonly allocate: (bytes: number) => ArrayBuffer | null,
    private readonly release: (buffer: ArrayBuffer) => void,
    limit: number,
    private readonly scratch?: ScratchMemory,
  ) {
    this.figures = { inUse: 0, peak: 0, idle: 0, systemAllocations: 0, limit };
    this.leaveToScratch(limit);
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
    this.leaveToScratch(this.figures.limit - this.figures.inUse);
  }

  /** Changes the most that the pool may hold; what is in use beyond it stays. */
  setLimit(bytes: number): void {
    this.figures.limit = bytes;
    if (this.figures.inUse + this.figures.idle > bytes) {
      this.trim();
    }
    this.leaveToScratch(bytes - this.figures.inUse - this.figures.idle);
  }

  /** The error of a request for `bytes` more than there are. */
  exhausted(bytes: number): InputError {
    const { inUse, limit, scratch } = this.memory();
    return new InputError(
      `out of memory on the cpu engine: ${megabytes(bytes)} MB more on top of ${megabytes(inUse + scratch)} MB in use, ` +
        `of ${megabytes(limit)} MB; use a smaller batch or length`,
    );
  }

  memory(): PoolMemory {
    return { ...this.figures, scratch: this.scratch?.bytes() ?? 0 };
  }

  private fromSystem(size: number): ArrayBuffer {
    const { limit } = this.figures;
    const needed = this.figures.inUse + (this.scratch?.bytes() ?? 0) + size;
    if (needed + this.figures.idle > limit) {
      this.trim();
    }
    let buffer = needed > limit ? null : this.allocate(size);
    if (buffer === null && needed <= limit) {
      this.trim();
      buffer = this.allocate(size);
    }
    if (buffer === null) {
      throw this.exhausted(size);
    }
    this.figures.systemAllocations++;
    this.leaveToScratch(limit - this.figures.inUse - this.figures.idle - size);
    return buffer;
  }

  private leaveToScratch(bytes: number): void {
    this.scratch?.setLimit(Math.max(0, bytes));
  }
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0);
}
