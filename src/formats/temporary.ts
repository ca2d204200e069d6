import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, rmSync, statSync, utimesSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { isRunning, thisProcess } from './process.js';

/** How often a writer says that it is alive, and how long another machine believes it. */
const HEARTBEAT = 60_000;
const SILENCE = 15 * HEARTBEAT;
/** Letters of a name that its temporaries carry: a file's name has 255 bytes at most. */
const CARRIED = 40;

/** A name beside `path`, for what gets that name once it is whole. */
export interface Temporary {
  path: string;
  /** Stops telling others that it is in use. */
  release(): void;
}

/**
 * A name for a file or folder beside `path` that no other process has, in no container and on no machine that shares
 * the disk: `.NAME.<pid>-<its start>-<its machine>-<random>.tmp`. What ended processes left under such names for
 * `path` is removed.
 */
export function temporaryBeside(path: string): Temporary {
  removeStale(path);
  const { pid, began, place } = thisProcess();
  const name = `${prefixOf(path)}${pid}-${began}-${place}-${randomBytes(4).toString('hex')}.tmp`;
  const temporary = join(dirname(path), name);
  const timer = setInterval(() => {
    try {
      const now = new Date();
      utimesSync(temporary, now, now);
    } catch {
      // Not made yet, or gone.
    }
  }, HEARTBEAT);
  timer.unref();
  return { path: temporary, release: () => clearInterval(timer) };
}

/**
 * Makes a folder for files that nobody else needs, named as `temporaryBeside(path)`.
 * @returns the folder, and what removes it
 */
export function scratchFolder(path: string): { folder: string; remove(): void } {
  const temporary = temporaryBeside(path);
  mkdirSync(temporary.path);
  const remove = (): void => {
    rmSync(temporary.path, { recursive: true, force: true });
    temporary.release();
  };
  return { folder: temporary.path, remove };
}

/** Removes the temporaries of `path` whose process has ended, or where that cannot be told, has long been silent. */
export function removeStale(path: string): void {
  const folder = dirname(path);
  const prefix = prefixOf(path);
  let names: string[];
  try {
    names = readdirSync(folder).filter((name) => name.startsWith(prefix));
  } catch {
    return; // Whoever writes there will say what is wrong with the folder.
  }
  for (const name of names) {
    const match = /^(\d+)-(\d*)-([0-9a-f]+)-[0-9a-f]+\.tmp$/.exec(name.slice(prefix.length));
    if (!match) {
      continue;
    }
    const temporary = join(folder, name);
    const owner = { pid: Number(match[1]), began: match[2], place: match[3] };
    const running = isRunning(owner) ?? Date.now() - (lastTouched(temporary) ?? 0) < SILENCE;
    if (!running) {
      rmSync(temporary, { recursive: true, force: true });
    }
  }
}

function lastTouched(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs;
}

function prefixOf(path: string): string {
  return `.${[...basename(path)].slice(0, CARRIED).join('')}.`;
}
