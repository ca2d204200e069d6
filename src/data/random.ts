/** The whole state of a generator: four 32-bit integers, ready for JSON. */
export type RandomState = [number, number, number, number];

/**
 * A seedable generator whose state is four integers: xoshiro128** 1.1 (Blackman and Vigna 2018).
 *
 *     const random = new Random(42);
 *     const saved = random.state;             // JSON
 *     Random.fromState(saved).uniform() === random.uniform()
 *
 * Several keys give independent streams: `new Random(seed, epoch, index)`.
 */
export class Random {
  private a = 0;
  private b = 0;
  private c = 0;
  private d = 0;

  /** `keys` are whole numbers below 2^53; the same keys in the same order give the same stream. */
  constructor(...keys: number[]) {
    let hash = 0x9e3779b9 ^ keys.length;
    for (const key of keys) {
      hash = mix32(hash ^ (key >>> 0)) + 0x9e3779b9;
      hash = mix32(hash ^ (Math.floor(key / 2 ** 32) >>> 0)) + 0x9e3779b9;
    }
    const next = () => {
      hash = (hash + 0x9e3779b9) | 0;
      return mix32(hash);
    };
    this.state = [next(), next(), next(), next()];
  }

  static fromState(state: RandomState): Random {
    const random = new Random();
    random.state = state;
    return random;
  }

  get state(): RandomState {
    return [this.a >>> 0, this.b >>> 0, this.c >>> 0, this.d >>> 0];
  }

  set state([a, b, c, d]: RandomState) {
    this.a = a | 0;
    this.b = b | 0;
    this.c = c | 0;
    this.d = d | 0;
    // All zeros is the one state that xoshiro never leaves.
    if ((this.a | this.b | this.c | this.d) === 0) {
      this.a = 1;
    }
  }

  /** A whole number in [0, 2^32). */
  uint32(): number {
    const result = Math.imul(rotateLeft(Math.imul(this.b, 5), 7), 9) >>> 0;
    const shifted = this.b << 9;
    this.c ^= this.a;
    this.d ^= this.b;
    this.b ^= this.c;
    this.a ^= this.d;
    this.c ^= shifted;
    this.d = rotateLeft(this.d, 11);
    return result;
  }

  /** A number in [0, 1), with 53 random bits. */
  uniform(): number {
    return ((this.uint32() >>> 5) * 2 ** 26 + (this.uint32() >>> 6)) / 2 ** 53;
  }

  /** A whole number in [0, n), each equally likely; n is at most 2^32. */
  int(n: number): number {
    const limit = 2 ** 32 - (2 ** 32 % n);
    let value = this.uint32();
    while (value >= limit) {
      value = this.uint32();
    }
    return value % n;
  }

  /** A number of the standard normal distribution (Box and Muller 1958). */
  normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.uniform())) * Math.cos(2 * Math.PI * this.uniform());
  }

  /** Shuffles in place (Fisher and Yates), and returns what it was given. */
  shuffle<T extends { length: number; [index: number]: unknown }>(items: T): T {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.int(i + 1);
      const kept = items[i];
      items[i] = items[j];
      items[j] = kept;
    }
    return items;
  }
}

/**
 * A random order of 0 … size-1 that takes no memory: `at(i)` is the i-th of it. A Feistel network over the next power
 * of four, walked until it lands inside (Black and Rogaway 2002, section 3). So the order of a corpus of any size is
 * there at once, and a training run resumes in the middle of it from the index alone.
 */
export class Permutation {
  readonly size: number;
  private readonly halfBits: number;
  private readonly keys: number[];

  /** @param size at most 2^32 */
  constructor(size: number, ...keys: number[]) {
    this.size = size;
    this.halfBits = 1;
    while (4 ** this.halfBits < size) {
      this.halfBits++;
    }
    const random = new Random(...keys);
    this.keys = Array.from({ length: 8 }, () => random.uint32());
  }

  at(index: number): number {
    const bits = this.halfBits;
    const half = 2 ** bits;
    let value = index;
    do {
      let left = Math.floor(value / half);
      let right = value % half;
      for (const key of this.keys) {
        const next = (left ^ (mix32(right ^ key) >>> (32 - bits))) >>> 0;
        left = right;
        right = next;
      }
      value = left * half + right;
    } while (value >= this.size);
    return value;
  }
}

/**
 * MurmurHash3_x86_32 (Appleby 2011) of bytes: a whole number in [0, 2^32).
 *
 *     hash32(new TextEncoder().encode('test')) === 0xba6bd213
 */
export function hash32(bytes: Uint8Array, seed = 0): number {
  let hash = seed | 0;
  const blocks = bytes.length & ~3;
  for (let i = 0; i < blocks; i += 4) {
    const block = bytes[i] | (bytes[i + 1] << 8) | (bytes[i + 2] << 16) | (bytes[i + 3] << 24);
    hash = Math.imul(rotateLeft(hash ^ scramble(block), 13), 5) + 0xe6546b64;
  }
  let tail = 0;
  for (let i = bytes.length - 1; i >= blocks; i--) {
    tail = (tail << 8) | bytes[i];
  }
  if (blocks < bytes.length) {
    hash ^= scramble(tail);
  }
  hash ^= bytes.length;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** A hash of 53 bits, exact in a number: two of `hash32` with different seeds. */
export function hash53(bytes: Uint8Array): number {
  return (hash32(bytes, 0x5bd1e995) >>> 11) * 2 ** 32 + hash32(bytes, 0);
}

function scramble(block: number): number {
  return Math.imul(rotateLeft(Math.imul(block, 0xcc9e2d51), 15), 0x1b873593);
}

function rotateLeft(x: number, k: number): number {
  return (x << k) | (x >>> (32 - k));
}

/** Mixes 32 bits so that each bit of the result depends on each of `x` (lowbias32, Wellons 2018). */
function mix32(x: number): number {
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return (x ^ (x >>> 16)) >>> 0;
}
