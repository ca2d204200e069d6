/**
 * Buffers of tensors, kept for the next tensor of the same size. Replaces tfjs's manager, whose interface it has.
 *
 * Buffers belong to arenas. There is one for everything that is computed step by step, and one for each recorded step
 * (see Recording): nobody else may write into the buffers that a replay reads.
 */
export class BufferPool {
  numBytesUsed = 0;
  numBytesAllocated = 0;
  private readonly common = new Arena();
  private arena = this.common;
  private readonly owners = new WeakMap<GPUBuffer, Arena>();

  constructor(private readonly device: GPUDevice) {}

  acquireBuffer(size: number, usage: GPUBufferUsageFlags, mappedAtCreation = false, reuse = true): GPUBuffer {
    this.numBytesUsed += size;
    const kept = reuse ? this.arena.free.get(`${size},${usage}`)?.pop() : undefined;
    if (kept) return kept;
    this.numBytesAllocated += size;
    const buffer = this.device.createBuffer({ size, usage, mappedAtCreation });
    this.arena.buffers.add(buffer);
    this.owners.set(buffer, this.arena);
    return buffer;
  }

  releaseBuffer(buffer: GPUBuffer, reuse = true): void {
    const owner = this.owners.get(buffer);
    // The arena is gone, and the buffer with it.
    if (!owner?.buffers.has(buffer)) return;
    this.numBytesUsed -= buffer.size;
    if (!reuse) {
      this.destroy(owner, buffer);
      return;
    }
    const key = `${buffer.size},${buffer.usage}`;
    const kept = owner.free.get(key);
    if (kept) kept.push(buffer);
    else owner.free.set(key, [buffer]);
  }

  /** Runs `compute` with buffers of an arena of its own, which is returned with its result. */
  within<T>(compute: () => T): { arena: Arena; result: T } {
    const before = this.arena;
    const arena = new Arena();
    this.arena = arena;
    try {
      return { arena, result: compute() };
    } catch (error) {
      this.clear(arena);
      throw error;
    } finally {
      this.arena = before;
    }
  }

  /** Runs `compute` with the common buffers, from inside `within`. */
  outside<T>(compute: () => T): T {
    const before = this.arena;
    this.arena = this.common;
    try {
      return compute();
    } finally {
      this.arena = before;
    }
  }

  /** Ends all buffers of an arena. Work on them that was submitted still finishes. */
  clear(arena: Arena): void {
    for (const buffer of arena.buffers) this.destroy(arena, buffer);
    arena.free.clear();
  }

  /** Ends the common buffers that nothing uses. */
  trim(): void {
    for (const buffers of this.common.free.values()) for (const buffer of buffers) this.destroy(this.common, buffer);
    this.common.free.clear();
  }

  dispose(): void {
    this.clear(this.common);
  }

  private destroy(arena: Arena, buffer: GPUBuffer): void {
    this.numBytesAllocated -= buffer.size;
    arena.buffers.delete(buffer);
    buffer.destroy();
  }
}

/** Buffers that share a fate. */
export class Arena {
  readonly buffers = new Set<GPUBuffer>();
  readonly free = new Map<string, GPUBuffer[]>();
}
