// Bytes of idle buffers that are always worth keeping.
const KEPT = 64 * 2 ** 20;

/**
 * Buffers of tensors, kept for the next tensor of the same size. Replaces tfjs's manager, whose interface it has.
 *
 * Buffers belong to arenas. There is one for everything that is computed step by step, and one for each recorded step
 * (see Recording): nobody else may write into the buffers that a replay reads. Of the common ones, those that have been
 * idle for longest end where more lie idle than were ever in use at once: lengths that never come again cost nothing.
 */
export class BufferPool {
  numBytesUsed = 0;
  numBytesAllocated = 0;
  mostAllocated = 0;
  private mostUsed = KEPT;
  private idleBytes = 0;
  // Of the common arena, those released first come first.
  private readonly idle = new Set<GPUBuffer>();
  private readonly common = new Arena();
  private arena = this.common;
  private readonly owners = new WeakMap<GPUBuffer, Arena>();

  constructor(private readonly device: GPUDevice) {}

  acquireBuffer(size: number, usage: GPUBufferUsageFlags, mappedAtCreation = false, reuse = true): GPUBuffer {
    this.numBytesUsed += size;
    this.mostUsed = Math.max(this.mostUsed, this.numBytesUsed);
    const kept = reuse ? this.arena.free.get(`${size},${usage}`)?.pop() : undefined;
    if (kept && this.idle.delete(kept)) {
      this.idleBytes -= size;
    }
    if (kept) {
      return kept;
    }
    this.numBytesAllocated += size;
    this.mostAllocated = Math.max(this.mostAllocated, this.numBytesAllocated);
    const buffer = this.device.createBuffer({ size, usage, mappedAtCreation });
    this.arena.buffers.add(buffer);
    this.owners.set(buffer, this.arena);
    return buffer;
  }

  /** A buffer of a tensor's values; one that is not used again for others. */
  upload(values: ArrayLike<number>, dtype: string): GPUBuffer {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const buffer = this.acquireBuffer(4 * values.length, usage, true, false);
    const range = buffer.getMappedRange();
    if (dtype === 'float32') {
      new Float32Array(range).set(values);
    } else {
      new Int32Array(range).set(values);
    }
    buffer.unmap();
    return buffer;
  }

  releaseBuffer(buffer: GPUBuffer, reuse = true): void {
    const owner = this.owners.get(buffer);
    // The arena is gone, and the buffer with it.
    if (!owner?.buffers.has(buffer)) {
      return;
    }
    this.numBytesUsed -= buffer.size;
    if (!reuse) {
      this.destroy(owner, buffer);
      return;
    }
    const key = `${buffer.size},${buffer.usage}`;
    const kept = owner.free.get(key);
    if (kept) {
      kept.push(buffer);
    } else {
      owner.free.set(key, [buffer]);
    }
    if (owner !== this.common) {
      return;
    }
    this.idle.add(buffer);
    this.idleBytes += buffer.size;
  }

  /** Runs `compute` with buffers of an arena, which ends where that fails. */
  within<T>(arena: Arena, compute: () => T): T {
    const before = this.arena;
    this.arena = arena;
    try {
      return compute();
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
    for (const buffer of arena.buffers) {
      this.destroy(arena, buffer);
    }
    arena.free.clear();
  }

  /**
   * Ends the common buffers that have been idle for longest, until no more bytes lie idle. To be called when all work on
   * them was submitted.
   * @param most bytes that may stay. Default: as many as were ever in use at once
   */
  trim(most = this.mostUsed): void {
    for (const buffer of this.idle) {
      if (this.idleBytes <= most) {
        return;
      }
      this.idle.delete(buffer);
      this.idleBytes -= buffer.size;
      const key = `${buffer.size},${buffer.usage}`;
      const kept = this.common.free.get(key)!;
      kept.splice(kept.indexOf(buffer), 1);
      if (kept.length === 0) {
        this.common.free.delete(key);
      }
      this.destroy(this.common, buffer);
    }
  }

  dispose(): void {
    this.clear(this.common);
    this.idle.clear();
    this.idleBytes = 0;
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
