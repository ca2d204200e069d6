import { open as openFile } from 'node:fs/promises';
import type { Entry, ZipFile } from 'yauzl';
import yauzl from 'yauzl';
import { InputError } from '../data/errors.js';
import { readError } from './fileErrors.js';

/** Bytes that a compressed member may grow to: what says that it is larger is damaged, or meant to fill the memory. */
const LARGEST_EXPANDED = 2 ** 31;

/** A zip file, open: its directory is read whole, its members when they are asked for. Close it after use. */
export class ZipArchive {
  private constructor(
    readonly path: string,
    private readonly zip: ZipFile,
    private readonly entries: Map<string, Entry>,
  ) {}

  /** @throws InputError where the file is missing, no zip file, or a truncated one */
  static async open(path: string): Promise<ZipArchive> {
    let zip: ZipFile | undefined;
    try {
      // yauzl's own message for a path that cannot be opened has no advice.
      await openFile(path).then((file) => file.close());
      zip = await yauzl.openPromise(path, { autoClose: false, decodeStrings: false });
      const entries = new Map<string, Entry>();
      for await (const entry of zip.eachEntry()) {
        entries.set((entry.fileName as unknown as Buffer).toString('utf8'), entry);
      }
      return new ZipArchive(path, zip, entries);
    } catch (error) {
      zip?.close();
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
    this.zip.close();
  }

  private entry(name: string): Entry {
    const entry = this.entries.get(name);
    if (!entry) {
      throw new InputError(`${this.path}: no ${name} in it`);
    }
    return entry;
  }
}

function describe(error: unknown, path: string): unknown {
  if (error instanceof InputError) {
    return error;
  }
  const known = readError(error, path);
  if (known instanceof InputError) {
    return known;
  }
  return new InputError(`${path}: not a whole zip file (${(error as Error).message}); get or write it again`);
}
