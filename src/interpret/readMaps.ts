import { closeSync, existsSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { extname } from 'node:path';
import { InputError } from '../data/errors.js';
import { arrayName } from '../data/npy.js';
import { SafetensorsFile } from '../model/safetensors.js';

/** The maps of one protein, as `protein-lm attention` exports them. */
export interface ExportedMaps {
  id: string;
  sequence: string;
  /** Counted from 1, or `mean`. */
  layers: (number | 'mean')[];
  heads: (number | 'mean')[];
  /** One a layer and head, in that order: [residues × residues], row-major, <cls> and <eos> left out. */
  maps: Float32Array[];
}

/** Bytes of a protein's maps that are read into memory. */
const LARGEST = 2 ** 31;

const OPEN: Record<string, (path: string) => Arrays> = {
  '.npy': openNpy,
  '.npz': openNpz,
  '.safetensors': openSafetensors,
};

/**
 * Reads the maps that `protein-lm attention` wrote to an .npy, .npz or .safetensors file.
 * @throws InputError for other files, damaged ones, and maps too large to look at
 */
export function readMaps(path: string): ExportedMaps[] {
  const { strings, arrays } = OPEN[extname(path).toLowerCase()](path);
  const fields = ['sequences', 'layers', 'heads', 'tokens'].flatMap((name) => strings.get(name) ?? []);
  if (fields.length < 4) {
    throw new InputError(`${path}: no attention maps: export them with protein-lm attention --out maps.npz`);
  }
  const sequences: Record<string, string> = JSON.parse(fields[0]);
  const layers: (number | 'mean')[] = JSON.parse(fields[1]);
  const heads: (number | 'mean')[] = JSON.parse(fields[2]);
  const margin = fields[3] === 'all' ? 1 : 0;
  return Object.entries(sequences).map(([id, sequence]) => {
    const array = arrays.get(id);
    const n = sequence.length;
    const side = n + 2 * margin;
    const count = layers.length * heads.length;
    if (array?.size !== count * side * side) {
      throw new InputError(`${path}: the maps of ${id} are missing or damaged`);
    }
    if (4 * array.size > LARGEST) {
      throw new InputError(`${path}: ${count} maps of ${side} tokens are too many to draw: export fewer, or --average`);
    }
    const values = array.read();
    const maps = Array.from({ length: count }, (_, index) => {
      const map = new Float32Array(n * n);
      for (let row = 0; row < n; row++) {
        const start = (index * side + row + margin) * side + margin;
        map.set(values.subarray(start, start + n), row * n);
      }
      return map;
    });
    return { id, sequence, layers, heads, maps };
  });
}

interface Arrays {
  strings: Map<string, string>;
  arrays: Map<string, { size: number; read(): Float32Array }>;
}

function openSafetensors(path: string): Arrays {
  const read = <T>(use: (file: SafetensorsFile) => T): T => {
    const file = SafetensorsFile.open(path);
    try {
      return use(file);
    } finally {
      file.close();
    }
  };
  return read((file) => ({
    strings: new Map(Object.entries(file.metadata)),
    arrays: new Map(
      file.names.map((name) => [
        name,
        {
          size: file.info(name)!.shape.reduce((product, length) => product * length, 1),
          read: () => read((again) => again.read(name).data as Float32Array),
        },
      ]),
    ),
  }));
}

type Bytes = (from: number, length: number) => Buffer;

function fail(path: string, what: string): never {
  throw new InputError(`${path}: ${what}: export it again with protein-lm attention`);
}

/** Opens a file for `use`, which is given what reads its bytes, and its size. */
function readFile<T>(path: string, use: (bytes: Bytes, size: number) => T): T {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    throw new InputError(`${path}: cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
  try {
    const { size } = fstatSync(file);
    const bytes = (from: number, length: number): Buffer => {
      if (!(from >= 0 && from + length <= size)) {
        fail(path, 'ends early');
      }
      const buffer = Buffer.alloc(length);
      readSync(file, buffer, 0, length, from);
      return buffer;
    };
    return use(bytes, size);
  } finally {
    closeSync(file);
  }
}

/** What an .npy file, or a member of an .npz, says of itself: its type, its values, and where they begin. */
function npyHeader(bytes: Bytes, start: number): { descr: string; size: number; from: number } {
  const length = bytes(start, 10).readUInt16LE(8);
  const header = bytes(start + 10, length).toString('latin1');
  const descr = /'descr': '([^']+)'/.exec(header)?.[1] ?? '';
  const shape = (/'shape': \(([^)]*)\)/.exec(header)?.[1] ?? '').split(',').map((part) => part.trim());
  const size = shape.filter(Boolean).reduce((product, part) => product * Number(part), 1);
  return { descr, size, from: start + 10 + length };
}

/** Float32 values of a file, read when they are asked for. */
function floats(path: string, from: number, size: number): { size: number; read(): Float32Array } {
  return {
    size,
    read: () =>
      readFile(path, (bytes) => {
        const { buffer, byteOffset } = bytes(from, 4 * size);
        return new Float32Array(buffer, byteOffset, size);
      }),
  };
}

/** One array, and beside it what it is of. */
function openNpy(path: string): Arrays {
  const about = `${path}.json`;
  if (!existsSync(about)) {
    throw new InputError(`${path}: ${about} is missing, which says whose maps these are: keep the two together`);
  }
  let strings: Map<string, string>;
  let id: string;
  try {
    strings = new Map(Object.entries(JSON.parse(readFileSync(about, 'utf8'))));
    [id] = Object.keys(JSON.parse(strings.get('sequences')!));
  } catch {
    return fail(about, 'does not say whose maps these are');
  }
  return readFile(path, (bytes) => {
    if (bytes(0, 6).toString('latin1') !== '\x93NUMPY') {
      fail(path, 'no .npy file');
    }
    const { descr, size, from } = npyHeader(bytes, 0);
    if (descr !== '<f4') {
      fail(path, `no float32 values (${descr})`);
    }
    return { strings, arrays: new Map([[id, floats(path, from, size)]]) };
  });
}

/** A zip file of stored .npy members: what numpy.savez and `protein-lm attention` write. */
function openNpz(path: string): Arrays {
  return readFile(path, (bytes, size) => {
    const tail = bytes(Math.max(0, size - 65_557), Math.min(size, 65_557));
    const end = tail.lastIndexOf('PK\x05\x06', undefined, 'latin1');
    if (end < 0) {
      fail(path, 'no .npz file, or a truncated one');
    }
    let [count, length, start] = [
      tail.readUInt16LE(end + 10),
      tail.readUInt32LE(end + 12),
      tail.readUInt32LE(end + 16),
    ];
    // Zip64: the true numbers stand in a record that the locator before the end points at.
    if (start === 0xffffffff || count === 0xffff) {
      const record = bytes(Number(tail.readBigUInt64LE(end - 20 + 8)), 56);
      [count, length, start] = [32, 40, 48].map((at) => Number(record.readBigUInt64LE(at))) as [number, number, number];
    }
    const directory = bytes(start, length);
    const result: Arrays = { strings: new Map(), arrays: new Map() };
    for (let entry = 0, at = 0; entry < count; entry++) {
      const nameLength = directory.readUInt16LE(at + 28);
      const extraLength = directory.readUInt16LE(at + 30);
      const name = directory.toString('utf8', at + 46, at + 46 + nameLength).replace(/\.npy$/, '');
      if (directory.readUInt16LE(at + 10) !== 0) {
        fail(path, 'compressed members');
      }
      let offset = directory.readUInt32LE(at + 42);
      if (offset === 0xffffffff) {
        offset = zip64Offset(directory, at, nameLength, extraLength);
      }
      at += 46 + nameLength + extraLength + directory.readUInt16LE(at + 32);
      const local = bytes(offset, 30);
      const member = offset + 30 + local.readUInt16LE(26) + local.readUInt16LE(28);
      const { descr, size: values, from } = npyHeader(bytes, member);
      if (descr.startsWith('<U')) {
        const text = bytes(from, 4 * Number(descr.slice(2)));
        const points = Array.from({ length: text.length / 4 }, (_, i) => text.readUInt32LE(4 * i));
        const letters = points.filter((point) => point > 0).map((point) => String.fromCodePoint(point));
        result.strings.set(name, letters.join(''));
      } else if (descr === '<f4') {
        result.arrays.set(arrayName(name), floats(path, from, values));
      }
    }
    return result;
  });
}

/** The offset of a member past 4 GB: in the extra field 1, after the sizes that overflow too. */
function zip64Offset(directory: Buffer, at: number, nameLength: number, extraLength: number): number {
  let field = at + 46 + nameLength;
  const end = field + extraLength;
  while (field < end && directory.readUInt16LE(field) !== 1) {
    field += 4 + directory.readUInt16LE(field + 2);
  }
  const before = [20, 24].filter((part) => directory.readUInt32LE(at + part) === 0xffffffff).length;
  return Number(directory.readBigUInt64LE(field + 4 + 8 * before));
}
