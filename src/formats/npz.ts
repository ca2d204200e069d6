import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { ZipFile } from 'yazl';
import { InputError } from '../data/errors.js';
import { AtomicFile } from './atomicFile.js';
import { LONGEST_NPY_HEADER, npyHeader, npyTexts, parseNpyHeader, parseNpyTexts } from './npy.js';
import { ZipArchive } from './zip.js';

/** The same bytes whenever a file is written. */
const DATE = new Date(0);
/** Bytes of an array that wait for the disk. */
const WAITING = 2 ** 22;

/**
 * Writes an `.npz`: a zip file of `.npy` files, stored without compression as numpy.savez does, so that readers can map
 * it. Members are written one after the other, arrays a piece at a time.
 */
export class NpzWriter {
  private readonly zip = new ZipFile();
  private readonly written: Promise<void>;
  private stream: PassThrough | undefined;

  private constructor(private readonly file: AtomicFile) {
    this.written = this.drain();
    this.written.catch(() => {});
  }

  static async create(path: string): Promise<NpzWriter> {
    return new NpzWriter(await AtomicFile.create(path));
  }

  /** A text, or a list of texts as an array of strings. */
  texts(member: string, texts: string | readonly string[]): void {
    this.zip.addBuffer(npyTexts(texts), `${member}.npy`, { compress: false, mtime: DATE });
  }

  /** Begins an array of float32, after which exactly its values are written. */
  begin(member: string, shape: readonly number[]): void {
    const header = npyHeader('<f4', shape);
    const size = header.length + 4 * shape.reduce((product, length) => product * length, 1);
    const stream = new PassThrough({ highWaterMark: WAITING });
    this.zip.addReadStream(stream, `${member}.npy`, { compress: false, mtime: DATE, size });
    stream.write(header);
    this.stream = stream;
  }

  /** The array's next bytes. */
  async write(bytes: Uint8Array): Promise<void> {
    // The stream keeps them until they are written: they must not change under it.
    if (!this.stream!.write(Buffer.from(bytes))) {
      await Promise.race([once(this.stream!, 'drain'), this.written]);
    }
  }

  /** Ends the array. */
  end(): void {
    this.stream!.end();
    this.stream = undefined;
  }

  async close(): Promise<void> {
    this.zip.end();
    await this.written;
    await this.file.commit();
  }

  async discard(): Promise<void> {
    this.stream?.destroy();
    (this.zip.outputStream as PassThrough).destroy();
    await this.written.catch(() => {});
    await this.file.discard();
  }

  private async drain(): Promise<void> {
    for await (const piece of this.zip.outputStream) {
      await this.file.write(piece as Buffer);
    }
  }
}

/** An array of an `.npz`; its values are read when they are asked for. */
export interface NpzArray {
  shape: number[];
  read(): Promise<Float32Array>;
}

/**
 * Reads an `.npz`: the arrays of float32 by member (without `.npy`), and texts, a list of them as JSON. Arrays of other
 * types are left out.
 * @throws InputError for a file that is damaged
 */
export async function readNpz(path: string): Promise<{ texts: Map<string, string>; arrays: Map<string, NpzArray> }> {
  const texts = new Map<string, string>();
  const arrays = new Map<string, NpzArray>();
  const archive = await ZipArchive.open(path);
  try {
    for (const file of archive.names) {
      const member = file.replace(/\.npy$/, '');
      const info = parseNpyHeader(await archive.read(file, LONGEST_NPY_HEADER));
      if (info?.descr.startsWith('<U')) {
        const found = parseNpyTexts(await archive.read(file));
        if (found === undefined) {
          throw damaged(path, file);
        }
        texts.set(member, typeof found === 'string' ? found : JSON.stringify(found));
      } else if (info?.descr === '<f4') {
        const { shape, from } = info;
        const count = shape.reduce((product, length) => product * length, 1);
        if (archive.size(file) !== from + 4 * count) {
          throw damaged(path, file);
        }
        arrays.set(member, { shape, read: () => readValues(path, file, from) });
      }
    }
  } finally {
    archive.close();
  }
  return { texts, arrays };
}

async function readValues(path: string, file: string, from: number): Promise<Float32Array> {
  const archive = await ZipArchive.open(path);
  try {
    return new Float32Array(new Uint8Array((await archive.read(file)).subarray(from)).buffer);
  } finally {
    archive.close();
  }
}

function damaged(path: string, member: string): InputError {
  return new InputError(`${path}: ${member} is damaged; write the file again`);
}

/**
 * An array's name as that of a member of an `.npz`. Zip files have paths for names, and readers refuse those that lead
 * out of the archive: a name with `..` between slashes, a slash at its start, a drive letter or a backslash is
 * percent-encoded as in a URL, and so is one with a percent sign, so that decoding any of them gives the array's name.
 * Of a name that another member has, the first letter is encoded.
 *
 * @param taken names of the texts that describe the arrays
 * @example npzName('A:1') // 'A%3A1'
 */
export function npzName(name: string, taken: readonly string[] = []): string {
  if (taken.includes(name)) {
    return `%${name.charCodeAt(0).toString(16).toUpperCase()}${name.slice(1)}`;
  }
  return /^\/|^[a-zA-Z]:|[\\%]|(^|\/)\.\.\//.test(name) ? encodeURIComponent(name) : name;
}

/** The name of the array that a member of an `.npz` holds: what `npzName` was given. */
export function arrayName(member: string): string {
  try {
    return decodeURIComponent(member);
  } catch {
    return member; // Written by another program, with a percent sign of its own.
  }
}
