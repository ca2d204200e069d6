import { readFully } from './readFully.js';

/** Types of a tensor's elements in files, as safetensors calls them. */
export type ElementType =
  | ('F64' | 'F32' | 'F16' | 'BF16' | 'I64' | 'I32' | 'I16' | 'I8' | 'U8' | 'BOOL')
  | ('U64' | 'U32' | 'U16' | 'C64' | 'F8_E4M3' | 'F8_E5M2' | 'F8_E8M0');

/** Bytes of an element. */
export const ELEMENT_BYTES: Readonly<Record<ElementType, number>> = {
  F64: 8,
  I64: 8,
  F32: 4,
  I32: 4,
  F16: 2,
  BF16: 2,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
  U64: 8,
  U32: 4,
  U16: 2,
  C64: 8,
  F8_E4M3: 1,
  F8_E5M2: 1,
  F8_E8M0: 1,
};

export type Elements = Float32Array | Float64Array | Int32Array | Int16Array | Int8Array | Uint8Array;

/** Types that files may hold and nothing here reads. */
export const UNREAD_TYPES: ReadonlySet<ElementType> = new Set(['C64', 'F8_E4M3', 'F8_E5M2', 'F8_E8M0']);

/**
 * The elements of little-endian bytes that fill their buffer: F16 and BF16 as float32; I64, U64 and U32 as float64,
 * exact to 2^53; U16 as int32. Types that nothing reads have no elements.
 */
export function decodeElements(bytes: Uint8Array, type: ElementType): Elements {
  const { buffer } = bytes;
  switch (type) {
    case 'F64':
      return new Float64Array(buffer);
    case 'F32':
      return new Float32Array(buffer);
    case 'I32':
      return new Int32Array(buffer);
    case 'I16':
      return new Int16Array(buffer);
    case 'I8':
      return new Int8Array(buffer);
    case 'I64':
      return Float64Array.from(new BigInt64Array(buffer), Number);
    case 'U64':
      return Float64Array.from(new BigUint64Array(buffer), Number);
    case 'U32':
      return Float64Array.from(new Uint32Array(buffer));
    case 'U16':
      return Int32Array.from(new Uint16Array(buffer));
    case 'F16':
      return halfToFloat(new Uint16Array(buffer));
    case 'BF16':
      return bfloatToFloat(new Uint16Array(buffer));
    default:
      return bytes;
  }
}

/** Bytes that are read and widened at once. */
const PIECE = 2 ** 22;

/** Fills `into` with elements of an open file from a byte on, as float32, in memory that does not grow with them. */
export function readFloats(path: string, file: number, type: ElementType, from: number, into: Float32Array): void {
  if (type === 'F32') {
    readFully(path, file, new Uint8Array(into.buffer, into.byteOffset, into.byteLength), from);
    return;
  }
  const size = ELEMENT_BYTES[type];
  const most = PIECE / size;
  const buffer = new Uint8Array(Math.min(PIECE, into.length * size));
  for (let done = 0; done < into.length; done += most) {
    const values = into.subarray(done, done + most);
    const bytes = buffer.subarray(0, values.length * size);
    readFully(path, file, bytes, from + done * size);
    if (type === 'F16') {
      halfToFloat(new Uint16Array(buffer.buffer, 0, values.length), values);
    } else if (type === 'BF16') {
      bfloatToFloat(new Uint16Array(buffer.buffer, 0, values.length), values);
    } else {
      values.set(decodeElements(bytes.slice(), type));
    }
  }
}

/** Every binary16 as a float32, filled at first use. */
let table: Float32Array | undefined;

/** IEEE 754 binary16 to binary32, exactly. */
function halfToFloat(halves: Uint16Array, into: Float32Array = new Float32Array(halves.length)): Float32Array {
  table ??= Float32Array.from({ length: 2 ** 16 }, (_, bits) => halfValue(bits));
  for (let i = 0; i < halves.length; i++) {
    into[i] = table[halves[i]];
  }
  return into;
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
function bfloatToFloat(halves: Uint16Array, into: Float32Array = new Float32Array(halves.length)): Float32Array {
  const bits = new Uint32Array(into.buffer, into.byteOffset, into.length);
  for (let i = 0; i < halves.length; i++) {
    bits[i] = halves[i] << 16;
  }
  return into;
}
