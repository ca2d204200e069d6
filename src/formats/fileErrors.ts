import { statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { InputError } from '../data/errors.js';

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

/** Whether an error says that a disk took no more. */
export function isDiskFull(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT', 'EFBIG'].includes((error as NodeJS.ErrnoException)?.code ?? '');
}

/** An error from writing a file or folder, as an InputError where the user can mend it. */
export function writeError(error: unknown, path: string): unknown {
  switch ((error as NodeJS.ErrnoException).code) {
    case 'ENOSPC':
      return new InputError(`${path}: the disk is full${freeSpace(path)}; make room and run it again`);
    case 'EDQUOT':
      return new InputError(`${path}: your quota of the disk is used up${freeSpace(path)}; make room and run it again`);
    case 'EFBIG':
      return new InputError(`${path}: larger than a file may be there; write it to another disk`);
    case 'EACCES':
    case 'EPERM':
      return new InputError(`${path}: permission denied; write to a place of your own`);
    case 'EROFS':
      return new InputError(`${path}: the file system is read-only; write to another place`);
    case 'ENOENT':
      return new InputError(`${path}: the folder ${dirname(path)} does not exist; make it first`);
    case 'ENOTDIR':
      return new InputError(`${path}: a part of the path is not a folder; take another name`);
    case 'EISDIR':
    case 'EEXIST':
    case 'ENOTEMPTY':
      return new InputError(`${path}: something else has that name; take another, or remove it`);
    default:
      return error;
  }
}

/** What is left of the disk that a path lies on, for a message. */
function freeSpace(path: string): string {
  try {
    const { bavail, bsize } = statfsSync(dirname(path));
    return ` (${describeBytes(bavail * bsize)} free)`;
  } catch {
    return '';
  }
}

/** A number of bytes as people read it: 1.5 GB. */
export function describeBytes(bytes: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  let unit = 0;
  let value = bytes;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return unit === 0 ? `${bytes} bytes` : `${Number(value.toPrecision(3))} ${units[unit]}`;
}
