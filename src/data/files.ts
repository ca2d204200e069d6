import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Writes a file so that `path` holds either its old content or all of the new, whatever happens: into a temporary
 * file beside it, synced to disk, then renamed.
 * @param data the content, or its pieces in order
 */
export function writeFileAtomic(path: string, data: string | Uint8Array | Iterable<string | Uint8Array>): void {
  const temporary = `${path}.${process.pid}.tmp`;
  const pieces = typeof data === 'string' || data instanceof Uint8Array ? [data] : data;
  const file = openSync(temporary, 'w');
  try {
    try {
      for (const piece of pieces) writeFully(file, typeof piece === 'string' ? Buffer.from(piece) : piece);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
  syncFolder(dirname(path));
}

function writeFully(file: number, bytes: Uint8Array): void {
  for (let written = 0; written < bytes.length; ) written += writeSync(file, bytes, written);
}

/** Makes renames within a folder durable. Windows cannot sync a folder and does not need to. */
export function syncFolder(path: string): void {
  if (process.platform === 'win32') return;
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
