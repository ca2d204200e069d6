import { open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { InputError } from './errors.js';

/**
 * Writes a file so that its name never shows a half-written state, not even after a power failure: a temporary file in
 * the same folder, fsync, rename, fsync of the folder.
 */
export async function writeFileAtomic(path: string, data: string | Uint8Array | Iterable<Uint8Array>): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.${counter++}.tmp`);
  try {
    const handle = await open(temporary, 'wx');
    try {
      const pieces = typeof data === 'string' || data instanceof Uint8Array ? [data] : data;
      for (const piece of pieces) {
        await handle.writeFile(piece);
      }
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncFolder(dirname(path));
}

/** Two writers in one process may write the same name at once. */
let counter = 0;

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

/** An error from reading a file that a user named, as an InputError where the user can mend it. */
export function readError(error: unknown, file: string): unknown {
  switch ((error as NodeJS.ErrnoException).code) {
    case 'ENOENT':
      return new InputError(`${file}: no such file; check the path`);
    case 'EISDIR':
      return new InputError(`${file}: it is a folder; name a file in it`);
    case 'EACCES':
      return new InputError(`${file}: permission denied; check who may read it`);
    default:
      return error;
  }
}
