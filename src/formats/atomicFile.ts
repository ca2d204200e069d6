import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { writeError } from './fileErrors.js';
import { type Temporary, temporaryBeside } from './temporary.js';

/**
 * A file whose name never shows a half-written state, not even after a power failure: it is written under a temporary
 * name in the same folder, then synced, renamed, and its folder synced.
 *
 *     const file = await AtomicFile.create('scores.csv');
 *     try { await file.write(…); await file.commit(); } catch (error) { await file.discard(); throw error; }
 *
 * What the disk refuses (full, read-only, no such folder) is an InputError of one line that names the file.
 */
export class AtomicFile {
  private written = 0;
  private open = true;

  private constructor(
    readonly path: string,
    private readonly temporary: Temporary,
    private readonly handle: FileHandle,
  ) {}

  static async create(path: string): Promise<AtomicFile> {
    const temporary = temporaryBeside(path);
    try {
      return new AtomicFile(path, temporary, await open(temporary.path, 'wx+'));
    } catch (error) {
      temporary.release();
      throw writeError(error, path);
    }
  }

  /** Bytes written so far. */
  get size(): number {
    return this.written;
  }

  /** Appends. */
  async write(data: string | Uint8Array): Promise<void> {
    const bytes = typeof data === 'string' ? Buffer.from(data) : data;
    await this.put(bytes, this.written);
    this.written += bytes.length;
  }

  /** Replaces bytes that were written before. */
  async overwrite(bytes: Uint8Array, position: number): Promise<void> {
    await this.put(bytes, position);
  }

  /** What was written before, in pieces of a megabyte that each hold until the next one. */
  async *read(from: number, length: number): AsyncGenerator<Uint8Array, void, undefined> {
    const buffer = new Uint8Array(Math.min(length, 2 ** 20));
    for (let done = 0; done < length; done += buffer.length) {
      const piece = buffer.subarray(0, Math.min(buffer.length, length - done));
      for (let have = 0; have < piece.length; ) {
        const { bytesRead } = await this.handle.read(piece, have, piece.length - have, from + done + have);
        if (bytesRead === 0) {
          throw new RangeError(`${this.path}: bytes ${from} to ${from + length} of ${this.written}`);
        }
        have += bytesRead;
      }
      yield piece;
    }
  }

  /**
   * Gives the file its name.
   * @param before called when the file is on the disk, just before it gets its name
   */
  async commit(before?: () => Promise<void>): Promise<void> {
    try {
      await this.handle.sync();
      await this.close();
      await before?.();
      await rename(this.temporary.path, this.path);
      this.temporary.release();
      await syncFolder(dirname(this.path));
    } catch (error) {
      throw writeError(error, this.path);
    }
  }

  /** Gives up: nothing is left behind. Does nothing to a file that has its name. */
  async discard(): Promise<void> {
    await this.close().catch(() => {});
    await rm(this.temporary.path, { force: true });
    this.temporary.release();
  }

  private async close(): Promise<void> {
    if (this.open) {
      this.open = false;
      await this.handle.close();
    }
  }

  private async put(bytes: Uint8Array, position: number): Promise<void> {
    try {
      for (let done = 0; done < bytes.length; ) {
        const { bytesWritten } = await this.handle.write(bytes, done, bytes.length - done, position + done);
        done += bytesWritten;
      }
    } catch (error) {
      throw writeError(error, this.path);
    }
  }
}

/** Writes a whole file, as `AtomicFile` does. */
export async function writeFileAtomic(
  path: string,
  data: string | Uint8Array | Iterable<string | Uint8Array> | AsyncIterable<string | Uint8Array>,
): Promise<void> {
  const file = await AtomicFile.create(path);
  try {
    for await (const piece of typeof data === 'string' || data instanceof Uint8Array ? [data] : data) {
      await file.write(piece);
    }
    await file.commit();
  } catch (error) {
    await file.discard();
    throw error;
  }
}

/** Makes renames inside a folder survive a power failure, where the system lets folders be synced (not Windows). */
export async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') {
    return;
  }
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
