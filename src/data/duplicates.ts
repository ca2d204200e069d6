import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const BUCKETS = 256;
/** Entries that a bucket keeps in memory before it writes them. */
const ENTRIES = 1024;

/**
 * Finds equal hashes among any number of them in bounded memory: (hash, place) pairs are dealt to 256 buckets by their
 * hash, each of which goes to a file of its own once it is full, 16 bytes a pair. Few pairs never touch the disk.
 */
export class DuplicateFinder {
  private readonly prefix: string;
  private readonly buckets = Array.from({ length: BUCKETS }, () => ({
    pairs: new Float64Array(2 * ENTRIES),
    used: 0,
    file: -1,
  }));

  /** `folder` is for the temporary files, which whoever made it removes; `name` tells two finders apart. */
  constructor(folder: string, name: string) {
    this.prefix = join(folder, name);
  }

  /** Adds a hash below 2^53 and where it comes from. */
  add(hash: number, place: number): void {
    const bucket = this.buckets[hash % BUCKETS];
    bucket.pairs[2 * bucket.used] = hash;
    bucket.pairs[2 * bucket.used + 1] = place;
    if (++bucket.used < ENTRIES) {
      return;
    }
    if (bucket.file === -1) {
      bucket.file = openSync(`${this.prefix}-${hash % BUCKETS}.pairs`, 'wx');
    }
    writeSync(bucket.file, new Uint8Array(bucket.pairs.buffer));
    bucket.used = 0;
  }

  /** The places whose hash came before, each with the first place of that hash. Call it once, at the end. */
  *duplicates(): Generator<{ place: number; first: number }, void, undefined> {
    for (const [number, bucket] of this.buckets.entries()) {
      let pairs = bucket.pairs.subarray(0, 2 * bucket.used);
      if (bucket.file !== -1) {
        closeSync(bucket.file);
        const written = readFileSync(`${this.prefix}-${number}.pairs`);
        const all = new Float64Array(written.length / 8 + pairs.length);
        new Uint8Array(all.buffer).set(written);
        all.set(pairs, written.length / 8);
        pairs = all;
      }
      const sorted = pairs.filter((_, i) => i % 2 === 0).sort();
      const repeated = new Map<number, number>();
      for (let i = 1; i < sorted.length; i++) {
        if (sorted[i] === sorted[i - 1]) {
          repeated.set(sorted[i], -1);
        }
      }
      if (repeated.size === 0) {
        continue;
      }
      for (let i = 0; i < pairs.length; i += 2) {
        const first = repeated.get(pairs[i]);
        if (first === undefined) {
          continue;
        }
        if (first === -1) {
          repeated.set(pairs[i], pairs[i + 1]);
        } else {
          yield { place: pairs[i + 1], first };
        }
      }
    }
  }
}
