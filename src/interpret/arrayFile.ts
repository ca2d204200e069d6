import { createWriteStream } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { PassThrough } from 'node:stream';
import { finished } from 'node:stream/promises';
import { ZipFile } from 'yazl';
import { InputError } from '../data/errors.js';
import { writeFileAtomic } from '../data/files.js';
import { npyHeader, npzName } from '../data/npy.js';

export interface ArraySpec {
  name: string;
  shape: readonly number[];
}

/** Float32 arrays written to one file in order, a piece at a time, so that none is ever held whole. */
export interface ArrayFile {
  /** The next values of the arrays, row-major. */
  write(values: Float32Array): Promise<void>;
  /** Ends the file and gives it its name. */
  close(): Promise<void>;
  /** Gives up: nothing is left behind. */
  discard(): Promise<void>;
}

export const ARRAY_FORMATS = ['.npy', '.npz', '.safetensors'] as const;

/**
 * Begins a file of float32 arrays, in the format of its extension: `.npy` (one array), `.npz`, `.safetensors`.
 * Until `close` it has a temporary name.
 * @param strings small texts that belong to the arrays, by name: `.npz` has them as arrays of text, `.safetensors` as
 * metadata, `.npy` in a file of JSON beside it, `FILE.npy.json`
 * The arrays of an `.npz` have names as `npzName` gives them.
 * @throws InputError for another extension, and for several arrays in an `.npy`
 */
export async function createArrayFile(
  path: string,
  arrays: readonly ArraySpec[],
  strings: Readonly<Record<string, string>> = {},
): Promise<ArrayFile> {
  const format = extname(path).toLowerCase();
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.tmp`);
  if (format === '.npy') {
    if (arrays.length !== 1) {
      throw new InputError(`${path}: an .npy holds one array, these are ${arrays.length}: use .npz or .safetensors`);
    }
    const file = await streamFile(path, temporary, npyHeader('<f4', arrays[0].shape), arrays);
    const close = async (): Promise<void> => {
      await writeFileAtomic(`${path}.json`, `${JSON.stringify(strings, null, 1)}\n`);
      await file.close();
    };
    return { ...file, close };
  }
  if (format === '.safetensors') {
    return streamFile(path, temporary, safetensorsHeader(arrays, strings), arrays);
  }
  if (format === '.npz') {
    return zipFile(path, temporary, arrays, strings);
  }
  throw new InputError(`${path}: no format for arrays: use ${ARRAY_FORMATS.join(', ')} (or .csv)`);
}

async function streamFile(
  path: string,
  temporary: string,
  header: Uint8Array,
  arrays: readonly ArraySpec[],
): Promise<ArrayFile> {
  const file: FileHandle = await open(temporary, 'w');
  let left = arrays.reduce((sum, { shape }) => sum + size(shape), 0);
  const discard = async (): Promise<void> => {
    await file.close().catch(() => {});
    await rm(temporary, { force: true });
  };
  await file.writeFile(header).catch(async (error) => {
    await discard();
    throw error;
  });
  return {
    async write(values) {
      left -= values.length;
      await file.writeFile(bytesOf(values));
    },
    async close() {
      if (left !== 0) {
        throw new Error(`${path}: ${left} values are missing`);
      }
      await file.sync();
      await file.close();
      await rename(temporary, path);
    },
    discard,
  };
}

/** A zip file of .npy files, stored without compression as numpy.savez does, so that readers can map it. */
async function zipFile(
  path: string,
  temporary: string,
  arrays: readonly ArraySpec[],
  strings: Readonly<Record<string, string>>,
): Promise<ArrayFile> {
  const zip = new ZipFile();
  const out = createWriteStream(temporary);
  zip.outputStream.pipe(out);
  const done = finished(out);
  done.catch(() => {});
  const streams: PassThrough[] = [];
  const discard = async (): Promise<void> => {
    for (const stream of streams) {
      stream.destroy();
    }
    out.destroy();
    await done.catch(() => {});
    await rm(temporary, { force: true });
  };
  try {
    for (const [name, text] of Object.entries(strings)) {
      zip.addBuffer(npyText(text), `${npzName(name)}.npy`, { compress: false });
    }
    for (const { name, shape } of arrays) {
      const stream = new PassThrough({ highWaterMark: 2 ** 22 });
      const header = npyHeader('<f4', shape);
      zip.addReadStream(stream, `${npzName(name)}.npy`, { compress: false, size: header.length + 4 * size(shape) });
      stream.write(header);
      streams.push(stream);
    }
  } catch (error) {
    await discard();
    throw error;
  }
  zip.end();
  let at = 0;
  let left = arrays.length ? size(arrays[0].shape) : 0;
  return {
    async write(values) {
      if (values.length > left) {
        throw new Error(`${path}: a piece that spans two arrays`);
      }
      left -= values.length;
      // The stream keeps the bytes until they are written: they must not change under it.
      const bytes = Buffer.from(bytesOf(values));
      if (!streams[at].write(bytes)) {
        await Promise.race([new Promise((resolve) => streams[at].once('drain', resolve)), done]);
      }
      if (left === 0) {
        streams[at].end();
        at++;
        left = at < arrays.length ? size(arrays[at].shape) : 0;
      }
    },
    async close() {
      if (at < arrays.length) {
        throw new Error(`${path}: array ${arrays[at].name} is not complete`);
      }
      await done;
      const file = await open(temporary, 'r+');
      await file.sync();
      await file.close();
      await rename(temporary, path);
    },
    discard,
  };
}

function size(shape: readonly number[]): number {
  return shape.reduce((product, length) => product * length, 1);
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** A text as a NumPy array of one string. */
function npyText(text: string): Buffer {
  const points = Uint32Array.from([...text], (character) => character.codePointAt(0)!);
  return Buffer.concat([npyHeader(`<U${Math.max(1, points.length)}`, []), Buffer.from(points.buffer)]);
}

function safetensorsHeader(arrays: readonly ArraySpec[], strings: Readonly<Record<string, string>>): Buffer {
  const header: Record<string, unknown> = { __metadata__: strings };
  let offset = 0;
  for (const { name, shape } of arrays) {
    const end = offset + 4 * size(shape);
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, end] };
    offset = end;
  }
  const text = JSON.stringify(header);
  const padded = Buffer.from(text + ' '.repeat((8 - (Buffer.byteLength(text) % 8)) % 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  return Buffer.concat([length, padded]);
}
