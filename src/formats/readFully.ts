import { readSync } from 'node:fs';
import { InputError } from '../data/errors.js';

/** Bytes of one read: the system takes no more than 2 GiB at once. */
const MOST = 2 ** 30;

/** Fills `into` with an open file's bytes from `position` on. @throws InputError where the file ends before that */
export function readFully(path: string, file: number, into: Uint8Array, position: number): void {
  for (let done = 0; done < into.length; ) {
    const read = readSync(file, into, done, Math.min(into.length - done, MOST), position + done);
    if (read === 0) {
      throw new InputError(`${path}: ends early, at byte ${position + done}: get or write it again`);
    }
    done += read;
  }
}
