import { InputError } from '../data/errors.js';

/** Exit code of a command that a signal stopped, as shells have it of SIGINT. */
export const INTERRUPTED = 130;

/** A mistake in how a command was called. The command line prints its message and exits with 2. */
export class UsageError extends Error {
  override name = 'UsageError';
}

/** The operating system's codes that a user can do something about, in words. */
const SYSTEM_ERRORS: Record<string, string> = {
  ENOENT: 'no such file or folder',
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  EISDIR: 'it is a folder, a file is needed',
  ENOTDIR: 'a part of the path is not a folder',
  ENOSPC: 'no space left on the device',
  EROFS: 'the file system is read-only',
  EMFILE: 'too many open files',
};

/** The one line that a user sees of an error, and the command's exit code: 1 failed, 2 wrong usage. */
export function describeError(error: unknown): { line: string; exitCode: 1 | 2 } {
  if (error instanceof UsageError) {
    return { line: oneLine(error.message), exitCode: 2 };
  }
  if (error instanceof InputError) {
    return { line: oneLine(error.message), exitCode: 1 };
  }
  const { code, path, message } = error as NodeJS.ErrnoException;
  const reason = code === undefined ? undefined : SYSTEM_ERRORS[code];
  if (reason !== undefined && path !== undefined) {
    return { line: `${path}: ${reason}`, exitCode: 1 };
  }
  return { line: `${oneLine(String(message ?? error))} (add --debug for the stack trace)`, exitCode: 1 };
}

function oneLine(message: string): string {
  return message.replace(/\s*\n\s*/g, ' ').trim();
}
