/** Every binary16 as a float32, filled at first use. */
let table: Float32Array | undefined;

/** IEEE 754 binary16 to binary32, exactly. */
export function halfToFloat(halves: Uint16Array): Float32Array {
  table ??= Float32Array.from({ length: 2 ** 16 }, (_, bits) => halfValue(bits));
  const result = new Float32Array(halves.length);
  for (let i = 0; i < halves.length; i++) {
    result[i] = table[halves[i]];
  }
  return result;
}

function halfValue(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) {
    return sign * fraction * 2 ** -24;
  }
  if (exponent === 31) {
    return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  }
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** bfloat16, the upper half of a binary32, to binary32. */
export function bfloatToFloat(halves: Uint16Array): Float32Array {
  const bits = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) {
    bits[i] = halves[i] << 16;
  }
  return new Float32Array(bits.buffer);
}
