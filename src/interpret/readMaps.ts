import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { extname } from 'node:path';
import { InputError } from '../data/errors.js';
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

/**
 * Reads the maps that `protein-lm attention` wrote to an .npz or .safetensors file.
 * @throws InputError for other files, damaged ones, and maps too large to look at
 */
export function readMaps(path: string): ExportedMaps[] {
  const extension = extname(path).toLowerCase();
  if (extension === '.npy')
    throw new InputError(`${path}: an .npy does not say whose maps it holds: export .npz or .safetensors`);
  const { strings, arrays } = extension === '.npz' ? openNpz(path) : openSafetensors(path);
  const fields = ['sequences', 'layers', 'heads', 'tokens'].map((name) => strings.get(name));
  if (fields.some((field) => field === undefined))
    throw new InputError(`${path}: no attention maps: export them with protein-lm attention --out maps.npz`);
  const sequences: Record<string, string> = JSON.parse(fields[0]!);
  const layers: (number | 'mean')[] = JSON.parse(fields[1]!);
  const heads: (number | 'mean')[] = JSON.parse(fields[2]!);
  const margin = fields[3] === 'all' ? 1 : 0;
  return Object.entries(sequences).map(([id, sequence]) => {
    const array = arrays.get(id);
    const n = sequence.length;
    const side = n + 2 * margin;
    const count = layers.length * heads.length;
    if (array?.size !== count * side * side) throw new InputError(`${path}: the maps of ${id} are missing or damaged`);
    if (4 * array.size > LARGEST)
      throw new InputError(`${path}: ${count} maps of ${side} tokens are too many to draw: export fewer, or --average`);
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

/** A zip file of stored .npy members: what numpy.savez and `protein-lm attention` write. */
function openNpz(path: string): Arrays {
  const fail = (what: string): never => {
    throw new InputError(`${path}: ${what}: export it again with protein-lm attention`);
  };
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    throw new InputError(`${path}: cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
  const bytes = (from: number, length: number): Buffer => {
    const buffer = Buffer.alloc(length);
    if (readSync(file, buffer, 0, length, from) < length) fail('ends early');
    return buffer;
  };
  try {
    const { size } = fstatSync(file);
    const tail = bytes(Math.max(0, size - 65_557), Math.min(size, 65_557));
    const end = tail.lastIndexOf('PK\x05\x06', undefined, 'latin1');
    if (end < 0) fail('no .npz file, or a truncated one');
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
      if (directory.readUInt16LE(at + 10) !== 0) fail('compressed members');
      let offset = directory.readUInt32LE(at + 42);
      if (offset === 0xffffffff) offset = zip64Offset(directory, at, nameLength, extraLength);
      at += 46 + nameLength + extraLength + directory.readUInt16LE(at + 32);
      const local = bytes(offset, 30);
      const member = offset + 30 + local.readUInt16LE(26) + local.readUInt16LE(28);
      const headerLength = bytes(member, 10).readUInt16LE(8);
      const header = bytes(member + 10, headerLength).toString('latin1');
      const descr = /'descr': '([^']+)'/.exec(header)?.[1] ?? '';
      const shape = (/'shape': \(([^)]*)\)/.exec(header)?.[1] ?? '').split(',').map((part) => part.trim());
      const values = shape.filter(Boolean).reduce((product, part) => product * Number(part), 1);
      const from = member + 10 + headerLength;
      if (descr.startsWith('<U')) {
        const text = bytes(from, 4 * Number(descr.slice(2)));
        const points = Array.from({ length: text.length / 4 }, (_, i) => text.readUInt32LE(4 * i));
        result.strings.set(name, String.fromCodePoint(...points.filter((point) => point > 0)));
      } else if (descr === '<f4') {
        const read = (): Float32Array => {
          const values32 = new Float32Array(values);
          const again = openSync(path, 'r');
          readSync(again, new Uint8Array(values32.buffer), 0, values32.byteLength, from);
          closeSync(again);
          return values32;
        };
        result.arrays.set(name, { size: values, read });
      }
    }
    return result;
  } finally {
    closeSync(file);
  }
}

/** The offset of a member past 4 GB: in the extra field 1, after the sizes that overflow too. */
function zip64Offset(directory: Buffer, at: number, nameLength: number, extraLength: number): number {
  let field = at + 46 + nameLength;
  const end = field + extraLength;
  while (field < end && directory.readUInt16LE(field) !== 1) field += 4 + directory.readUInt16LE(field + 2);
  const before = [20, 24].filter((part) => directory.readUInt32LE(at + part) === 0xffffffff).length;
  return Number(directory.readBigUInt64LE(field + 4 + 8 * before));
}
