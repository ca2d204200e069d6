import { buffer } from 'node:stream/consumers';
import { ZipFile } from 'yazl';

/** Pickles and files of PyTorch from pieces, opcode by opcode (CPython's pickletools.py). */

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};

type Piece = string | Buffer;
export const join = (...pieces: Piece[]): Buffer =>
  Buffer.concat(pieces.map((piece) => (typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece)));

export const text = (value: string): Buffer => {
  const bytes = Buffer.from(value);
  return join('X', u32(bytes.length), bytes);
};
export const int = (value: number): Buffer => join('J', u32(value >>> 0));
export const global = (module: string, name: string): Buffer => join('c', `${module}\n${name}\n`);
export const tuple = (...items: Piece[]): Buffer => join('(', ...items, 't');
export const call = (callable: Piece, ...values: Piece[]): Buffer => join(callable, tuple(...values), 'R');
export const dict = (entries: Record<string, Piece>): Buffer =>
  join('}(', ...Object.entries(entries).flatMap(([key, value]) => [text(key), value]), 'u');
export const pickle = (value: Piece): Buffer => join('\x80\x02', value, '.');

export const ORDERED_DICT = global('collections', 'OrderedDict');

export function storage(type: string, key: string, elements: number, view: Piece[] = []): Buffer {
  return join(tuple(text('storage'), global('torch', type), text(key), text('cpu'), int(elements), ...view), 'Q');
}

export function tensor(from: Piece, offset: number, shape: number[], strides: number[]): Buffer {
  const sizes = (values: number[]) => tuple(...values.map(int));
  return call(
    global('torch._utils', '_rebuild_tensor_v2'),
    from,
    int(offset),
    sizes(shape),
    sizes(strides),
    '\x89',
    call(ORDERED_DICT),
  );
}

/** The zip form: a pickle, and storages by key. */
export async function zipFile(
  data: Buffer,
  storages: Record<string, Uint8Array>,
  byteOrder = 'little',
): Promise<Buffer> {
  const zip = new ZipFile();
  const add = (name: string, bytes: Uint8Array) => zip.addBuffer(Buffer.from(bytes), name, { compress: false });
  add('archive/data.pkl', data);
  add('archive/byteorder', Buffer.from(byteOrder));
  for (const [key, bytes] of Object.entries(storages)) {
    add(`archive/data/${key}`, bytes);
  }
  zip.end();
  return buffer(zip.outputStream);
}

/** The older form without zip; each storage with the number of its elements. */
export function unzippedFile(data: Buffer, storages: Record<string, { elements: number; bytes: Uint8Array }>): Buffer {
  const magic = pickle(join('\x8a\x0a', Buffer.from('6cfc9c46f9206aa85019', 'hex')));
  const system = pickle(dict({ protocol_version: join('M', '\xe9\x03'), little_endian: '\x88' }));
  const keys = pickle(join('](', ...Object.keys(storages).map(text), 'e'));
  const bodies = Object.values(storages).flatMap(({ elements, bytes }) => [
    join(u32(elements), u32(0)),
    Buffer.from(bytes),
  ]);
  return join(magic, pickle(join('M', '\xe9\x03')), system, data, keys, ...bodies);
}

export const bytesOf = (values: ArrayBufferView): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
