import type { KernelTimes } from '../engine.js';
import type { Dispatch } from './recording.js';

// Times in one query set: two for each kernel's run.
const TIMES = 4096;

/** Times of kernels, written by the GPU itself before and after each. */
export class Profile {
  private readonly dispatches: Dispatch[] = [];
  private readonly sets: GPUQuerySet[] = [];

  constructor(private readonly device: GPUDevice) {}

  /** Where the pass that runs a kernel alone writes its times. */
  next(dispatch: Dispatch): GPUComputePassTimestampWrites {
    const index = (2 * this.dispatches.length) % TIMES;
    if (index === 0) {
      this.sets.push(this.device.createQuerySet({ type: 'timestamp', count: TIMES }));
    }
    this.dispatches.push(dispatch);
    const querySet = this.sets[this.sets.length - 1];
    return { querySet, beginningOfPassWriteIndex: index, endOfPassWriteIndex: index + 1 };
  }

  /** The times by kernel, the longest first, once all work was submitted. Ends the profile. */
  async read(): Promise<KernelTimes[]> {
    const byName = new Map<string, KernelTimes>();
    for (const [i, set] of this.sets.entries()) {
      const times = await this.download(set);
      const part = this.dispatches.slice((i * TIMES) / 2, ((i + 1) * TIMES) / 2);
      for (const [j, { name, flops, bytes }] of part.entries()) {
        const entry = byName.get(name) ?? { name, runs: 0, milliseconds: 0, flops: 0, bytes: 0 };
        entry.runs += 1;
        entry.milliseconds += Number(times[2 * j + 1] - times[2 * j]) / 1e6;
        entry.flops += flops;
        entry.bytes += bytes;
        byName.set(name, entry);
      }
    }
    return [...byName.values()].sort((a, b) => b.milliseconds - a.milliseconds);
  }

  private async download(set: GPUQuerySet): Promise<BigUint64Array> {
    const size = 8 * TIMES;
    const usage = GPUBufferUsage;
    const resolved = this.device.createBuffer({ size, usage: usage.QUERY_RESOLVE | usage.COPY_SRC });
    const readable = this.device.createBuffer({ size, usage: usage.COPY_DST | usage.MAP_READ });
    const encoder = this.device.createCommandEncoder();
    encoder.resolveQuerySet(set, 0, TIMES, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, readable, 0, size);
    this.device.queue.submit([encoder.finish()]);
    await readable.mapAsync(GPUMapMode.READ);
    const times = new BigUint64Array(readable.getMappedRange().slice(0));
    for (const object of [set, resolved, readable]) {
      object.destroy();
    }
    return times;
  }
}
