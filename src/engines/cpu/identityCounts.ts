import { type Addon, loadAddon } from './addon.js';

/** Bytes that the kernel compares at once (IDENTITY_BLOCK). */
const BLOCK = 64;
/** What ends a row, and what stands for gaps, where no two of them may be equal. */
const END = [0xff, 0xfe];
const NOTHING = 0xfd;

/**
 * How many rows have at least needed[i] letters in common with row i, position by position; row i itself is one of
 * them where it has as many letters. On all threads; without the native engine on one, in JavaScript.
 *
 * @param rows [depth × length] letters' codes, each below 128
 * @param needed [depth]
 * @param gap a code that is never in common, not even with itself; default none
 * @returns [depth]
 */
export function identityCounts(
  rows: Uint8Array,
  depth: number,
  length: number,
  needed: Int32Array,
  gap?: number,
): Int32Array {
  const addon = nativeAddon();
  return addon
    ? nativeCounts(addon, rows, depth, length, needed, gap)
    : referenceCounts(rows, depth, length, needed, gap);
}

function nativeAddon(): Addon | undefined {
  try {
    return loadAddon();
  } catch {
    return undefined;
  }
}

function nativeCounts(
  addon: Addon,
  rows: Uint8Array,
  depth: number,
  length: number,
  needed: Int32Array,
  gap: number | undefined,
): Int32Array {
  const stride = Math.ceil(length / BLOCK) * BLOCK;
  const [a, b] = END.map((end) => {
    const padded = new Uint8Array(depth * stride).fill(end);
    for (let row = 0; row < depth; row++) {
      padded.set(rows.subarray(row * length, (row + 1) * length), row * stride);
    }
    return padded;
  });
  if (gap !== undefined) {
    for (let i = 0; i < b.length; i++) {
      b[i] = b[i] === gap ? NOTHING : b[i];
    }
  }
  const counts = new Int32Array(depth);
  addon.identityCounts(Float64Array.of(depth, stride), a, b, needed, counts);
  return counts;
}

/** The same in plain loops: what the kernel is tested against. */
export function referenceCounts(
  rows: Uint8Array,
  depth: number,
  length: number,
  needed: Int32Array,
  gap = -1,
): Int32Array {
  const counts = new Int32Array(depth);
  for (let i = 0; i < depth; i++) {
    for (let j = 0; j <= i; j++) {
      const [a, b] = [i * length, j * length];
      const least = Math.min(needed[i], needed[j]);
      let common = 0;
      for (let at = 0; at < length && common + length - at >= least; at++) {
        const code = rows[a + at];
        common += Number(code === rows[b + at] && code !== gap);
      }
      counts[i] += Number(common >= needed[i]);
      counts[j] += Number(i !== j && common >= needed[j]);
    }
  }
  return counts;
}
