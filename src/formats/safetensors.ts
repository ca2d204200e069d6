import { closeSync, fstatSync, openSync } from 'node:fs';
import { InputError } from '../data/errors.js';
import { writeFileAtomic } from './atomicFile.js';
import {
  decodeElements,
  ELEMENT_BYTES,
  type Elements,
  type ElementType,
  readFloats,
  UNREAD_TYPES,
} from './elements.js';
import { readFully } from './readFully.js';

/** A tensor of a safetensors file: its type there, its shape, and its values row-major. */
export interface SafetensorsTensor {
  dtype: ElementType;
  shape: number[];
  /** F16 and BF16 come as float32; I64 as float64, exact to 2^53. */
  data: Elements;
}

// The limit of the format's own implementation: a longer header is a corrupt or hostile file.
const LONGEST_HEADER = 100_000_000;

interface Entry {
  dtype: ElementType;
  shape: number[];
  start: number;
  end: number;
}

/** A safetensors file, open: its header is checked whole, its tensors are read one at a time. Close it after use. */
export class SafetensorsFile {
  private constructor(
    readonly path: string,
    private readonly file: number,
    /** The header's `__metadata__`. */
    readonly metadata: Record<string, string>,
    private readonly entries: Map<string, Entry>,
  ) {}

  /**
   * @throws InputError where the file is missing, truncated, or its header is not valid: not JSON, longer than the
   * file, unknown types, shapes that do not fit their bytes, tensors that overlap, leave gaps or lie outside
   */
  static open(path: string): SafetensorsFile {
    let file: number;
    try {
      file = openSync(path, 'r');
    } catch (error) {
      throw new InputError(
        `${path}: cannot be read (${(error as NodeJS.ErrnoException).code}): give a safetensors file`,
      );
    }
    try {
      const { metadata, entries } = readHeader(path, file);
      return new SafetensorsFile(path, file, metadata, entries);
    } catch (error) {
      closeSync(file);
      throw error;
    }
  }

  /** Names of the tensors, in the file's order. */
  get names(): string[] {
    return [...this.entries.keys()];
  }

  /** Type and shape of a tensor, or undefined where there is none of that name. */
  info(name: string): { dtype: ElementType; shape: number[] } | undefined {
    return this.entries.get(name);
  }

  /** @throws InputError where the file has no tensor of that name, or one of a type that is not read */
  read(name: string): SafetensorsTensor {
    const entry = this.entry(name);
    const bytes = new Uint8Array(entry.end - entry.start);
    readFully(this.path, this.file, bytes, entry.start);
    return { dtype: entry.dtype, shape: entry.shape, data: decodeElements(bytes, entry.dtype) };
  }

  /**
   * A tensor's values as float32, whatever its type.
   * @param into where they go; a new array by default
   * @throws InputError where the file has no tensor of that name
   */
  readFloats(name: string, into?: Float32Array): Float32Array {
    const { dtype, shape, start } = this.entry(name);
    const values = into ?? new Float32Array(count(shape));
    if (values.length !== count(shape)) {
      throw new RangeError(`${this.path}: room for ${values.length} values of '${name}', which has ${count(shape)}`);
    }
    readFloats(this.path, this.file, dtype, start, values);
    return values;
  }

  close(): void {
    closeSync(this.file);
  }

  private entry(name: string): Entry {
    const entry = this.entries.get(name);
    if (!entry) {
      throw new InputError(`${this.path}: no tensor '${name}' in it`);
    }
    if (UNREAD_TYPES.has(entry.dtype)) {
      throw new InputError(`${this.path}: tensor '${name}' is of type ${entry.dtype}, which is not read: convert it`);
    }
    return entry;
  }
}

/** Reads a whole safetensors file. Throws as SafetensorsFile.open does. */
export function readSafetensors(path: string): {
  tensors: Map<string, SafetensorsTensor>;
  metadata: Record<string, string>;
} {
  const file = SafetensorsFile.open(path);
  try {
    return { tensors: new Map(file.names.map((name) => [name, file.read(name)])), metadata: file.metadata };
  } finally {
    file.close();
  }
}

/** A tensor to write; its array's type gives the file's. */
export interface WritableTensor {
  shape: number[];
  data: Float32Array | Float64Array | Int32Array;
}

/** Writes a safetensors file atomically, tensors sorted by name as the format's own implementation does. */
export async function writeSafetensors(
  path: string,
  tensors: Map<string, WritableTensor>,
  metadata: Record<string, string> = { format: 'pt' },
): Promise<void> {
  // Eight-byte types come first so that every tensor is aligned.
  const names = [...tensors.keys()].sort((a, b) => {
    const order = tensors.get(b)!.data.BYTES_PER_ELEMENT - tensors.get(a)!.data.BYTES_PER_ELEMENT;
    return order !== 0 ? order : a < b ? -1 : 1;
  });
  const entries = names.map((name): HeaderEntry => {
    const { shape, data } = tensors.get(name)!;
    if (count(shape) !== data.length) {
      throw new Error(`${name}: ${data.length} values for shape [${shape}]`);
    }
    return { name, shape, dtype: data instanceof Float32Array ? 'F32' : data instanceof Float64Array ? 'F64' : 'I32' };
  });
  const values = names.map((name) => {
    const { data } = tensors.get(name)!;
    return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  });
  await writeFileAtomic(path, [safetensorsHeader(entries, metadata), ...values]);
}

/** A tensor's place in a header. */
export interface HeaderEntry {
  name: string;
  dtype: ElementType;
  shape: readonly number[];
}

/** What a safetensors file begins with; the tensors' bytes follow, in the order of the entries. */
export function safetensorsHeader(
  entries: readonly HeaderEntry[],
  metadata?: Readonly<Record<string, string>>,
): Buffer {
  let offset = 0;
  // Joined by hand: a JavaScript object would take a tensor named __proto__ for something else.
  const fields = entries.map(({ name, dtype, shape }) => {
    const start = offset;
    offset += count(shape) * ELEMENT_BYTES[dtype];
    return `${JSON.stringify(escapeName(name))}:${JSON.stringify({ dtype, shape, data_offsets: [start, offset] })}`;
  });
  if (metadata) {
    fields.unshift(`"${METADATA}":${JSON.stringify(metadata)}`);
  }
  const unpadded = `{${fields.join(',')}}`;
  const text = Buffer.from(unpadded + ' '.repeat((8 - (Buffer.byteLength(unpadded) % 8)) % 8));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([size, text]);
}

/** The format's one name that no tensor may have. Ours of that name have its first letter percent-encoded. */
const METADATA = '__metadata__';

function escapeName(name: string): string {
  return name === METADATA
    ? `%5F${METADATA.slice(1)}`
    : /^%(25)*5F_metadata__$/.test(name)
      ? `%25${name.slice(1)}`
      : name;
}

function unescapeName(name: string): string {
  return /^%(25)*5F_metadata__$/.test(name) ? decodeURIComponent(name) : name;
}

function readHeader(path: string, file: number): { metadata: Record<string, string>; entries: Map<string, Entry> } {
  const fail = (what: string): never => {
    throw new InputError(`${path}: not a valid safetensors file: ${what}; download or save it again`);
  };
  const { size } = fstatSync(file);
  if (size < 8) {
    fail(`${size} bytes, too short for a header`);
  }
  const prefix = new Uint8Array(8);
  readFully(path, file, prefix, 0);
  const length = new DataView(prefix.buffer).getBigUint64(0, true);
  if (length > LONGEST_HEADER || 8 + Number(length) > size) {
    fail(`a header of ${length} bytes in a file of ${size}`);
  }
  const text = new Uint8Array(Number(length));
  readFully(path, file, text, 8);
  let json = '';
  let header: Record<string, unknown> = {};
  try {
    json = new TextDecoder('utf-8', { fatal: true }).decode(text);
    header = JSON.parse(json);
  } catch {
    fail('its header is not JSON');
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header)) {
    fail('its header is not a JSON object');
  }
  const { __metadata__: metadata = {} } = header;
  if (typeof metadata !== 'object' || metadata === null || Object.values(metadata).some((x) => typeof x !== 'string')) {
    fail('its __metadata__ is not an object of texts');
  }
  const twice = repeatedKey(json);
  if (twice !== undefined) {
    fail(`tensor '${twice}' stands twice in its header`);
  }
  const base = 8 + Number(length);
  const entries = new Map<string, Entry>();
  for (const [name, value] of Object.entries(header)) {
    if (name === METADATA) {
      continue;
    }
    const { dtype, shape, data_offsets: offsets } = (value ?? {}) as Record<string, unknown>;
    if (typeof dtype !== 'string' || !Object.hasOwn(ELEMENT_BYTES, dtype)) {
      fail(`tensor '${name}' has type ${JSON.stringify(dtype)}`);
    }
    if (!isSizes(shape)) {
      fail(`tensor '${name}' has shape ${JSON.stringify(shape)}`);
    }
    if (!isSizes(offsets) || (offsets as number[]).length !== 2) {
      fail(`tensor '${name}' has offsets ${JSON.stringify(offsets)}`);
    }
    const [start, end] = offsets as number[];
    if (end - start !== count(shape as number[]) * ELEMENT_BYTES[dtype as ElementType]) {
      fail(`tensor '${name}' takes ${end - start} bytes for ${dtype} of shape [${shape}]`);
    }
    entries.set(unescapeName(name), {
      dtype: dtype as ElementType,
      shape: shape as number[],
      start: base + start,
      end: base + end,
    });
  }
  let position = base;
  for (const [name, { start, end }] of [...entries].sort(([, a], [, b]) => a.start - b.start || a.end - b.end)) {
    if (start !== position) {
      fail(`tensor '${name}' begins at byte ${start}, not where the one before it ends`);
    }
    position = end;
  }
  if (position !== size) {
    fail(`${size} bytes, but its tensors end at ${position}`);
  }
  return { metadata: metadata as Record<string, string>, entries };
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((x) => Number.isSafeInteger(x) && x >= 0);
}

function count(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** The first key that an object's JSON has twice at its top, which JSON.parse takes the last of. */
function repeatedKey(json: string): string | undefined {
  const seen = new Set<string>();
  let depth = 0;
  for (const [token] of json.matchAll(/"(?:[^"\\]|\\.)*"(?:\s*:)?|[{}[\]]/g)) {
    if (token === '{' || token === '[') {
      depth++;
    } else if (token === '}' || token === ']') {
      depth--;
    } else if (depth === 1 && token.endsWith(':')) {
      const key: string = JSON.parse(token.slice(0, -1));
      if (seen.has(key)) {
        return key;
      }
      seen.add(key);
    }
  }
  return undefined;
}
