import { closeSync, fstatSync, openSync, read } from 'node:fs';
import { Readable } from 'node:stream';
import type { Entry, ZipFile } from 'yauzl';
import yauzl from 'yauzl';
import { InputError } from '../data/errors.js';
import { readError } from './fileErrors.js';
import { readFully } from './readFully.js';

/** Bytes that a compressed member may grow to: what says that it is larger is damaged, or meant to fill the memory. */
const LARGEST_EXPANDED = 2 ** 31;

/** Bytes that are read at once. */
const PIECE = 2 ** 18;

/** A file for yauzl, which trusts the offsets in it: those outside of the file are errors, not exceptions. */
class FileReader extends yauzl.RandomAccessReader {
  constructor(
    private readonly path: string,
    private readonly file: number,
    private readonly size: number,
  ) {
    super();
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null) => void,
  ): void {
    if (!(position >= 0 && length >= 0 && position + length <= this.size)) {
      callback(new Error(`it tells of byte ${position} of ${this.size}`));
      return;
    }
    read(this.file, buffer, offset, length, position, (error, done) => {
      callback(error ?? (done < length ? new Error('it ends early') : null));
    });
  }

  override _readStreamForRange(start: number, end: number): Readable {
    return Readable.from(this.pieces(start, end), { objectMode: false });
  }

  private *pieces(start: number, end: number): Generator<Buffer> {
    for (let from = start; from < end; from += PIECE) {
      const piece = Buffer.alloc(Math.min(PIECE, end - from));
      readFully(this.path, this.file, piece, from);
      yield piece;
    }
  }

  /** Whoever opened the file closes it. */
  override close(callback: (error: Error | null) => void): void {
    setImmediate(callback, null);
  }
}

/** A zip file, open: its directory is read whole, its members when they are asked for. Close it after use. */
export class ZipArchive {
  private constructor(
    readonly path: string,
    private readonly file: number,
    private readonly zip: ZipFile,
    private readonly entries: Map<string, Entry>,
  ) {}

  /** @throws InputError where the file is missing, no zip file, or a truncated one */
  static async open(path: string): Promise<ZipArchive> {
    const file = openFile(path);
    const { size } = fstatSync(file);
    const reader = new FileReader(path, file, size);
    try {
      const zip = await yauzl.fromRandomAccessReaderPromise(reader, size, { autoClose: false, decodeStrings: false });
      const entries = new Map<string, Entry>();
      for await (const entry of zip.eachEntry()) {
        entries.set((entry.fileName as unknown as Buffer).toString('utf8'), entry);
      }
      return new ZipArchive(path, file, zip, entries);
    } catch (error) {
      closeSync(file);
      throw describe(error, path);
    }
  }

  /** Names of the members, in the directory's order. */
  get names(): string[] {
    return [...this.entries.keys()];
  }

  has(name: string): boolean {
    return this.entries.has(name);
  }

  /** Bytes of a member, uncompressed. */
  size(name: string): number {
    return this.entry(name).uncompressedSize;
  }

  /** Where in the file a member's bytes lie; undefined where they are compressed or encrypted. */
  async place(name: string): Promise<{ from: number; length: number } | undefined> {
    const entry = this.entry(name);
    if (entry.compressionMethod !== 0 || entry.isEncrypted()) {
      return undefined;
    }
    try {
      const { fileDataStart } = await this.zip.readLocalFileHeaderPromise(entry, { minimal: true });
      return { from: fileDataStart, length: entry.uncompressedSize };
    } catch (error) {
      throw describe(error, this.path);
    }
  }

  /**
   * A member's first bytes, decompressed; checked against its checksum where they are all of it.
   * @param most bytes that are wanted
   */
  async read(name: string, most = Number.POSITIVE_INFINITY): Promise<Buffer> {
    const entry = this.entry(name);
    const length = Math.min(entry.uncompressedSize, most);
    if (entry.compressionMethod !== 0 && length > LARGEST_EXPANDED) {
      throw new InputError(`${this.path}: ${name} says that it expands to ${length} bytes; the file is damaged`);
    }
    const pieces: Buffer[] = [];
    let have = 0;
    try {
      const stream = await this.zip.openReadStreamPromise(entry);
      for await (const piece of stream) {
        pieces.push(piece as Buffer);
        have += (piece as Buffer).length;
        if (have >= length && length < entry.uncompressedSize) {
          break;
        }
      }
    } catch (error) {
      throw describe(error, this.path);
    }
    return Buffer.concat(pieces, length);
  }

  close(): void {
    closeSync(this.file);
  }

  private entry(name: string): Entry {
    const entry = this.entries.get(name);
    if (!entry) {
      throw new InputError(`${this.path}: no ${name} in it`);
    }
    return entry;
  }
}

function openFile(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (error) {
    throw readError(error, path);
  }
}

function describe(error: unknown, path: string): unknown {
  if (error instanceof InputError) {
    return error;
  }
  return new InputError(`${path}: not a whole zip file (${(error as Error).message}); get or write it again`);
}
