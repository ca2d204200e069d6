import { randomBytes } from 'node:crypto';
import {
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { InputError } from '../data/errors.js';
import { isDiskFull, readError, writeError } from './fileErrors.js';
import { beginning, isRunning, type ProcessIdentity, thisProcess } from './process.js';

const NAME = '.lock';
/** How often the owner says that it is alive, and how long another machine believes it. */
const HEARTBEAT = 60_000;
const SILENCE = 15 * HEARTBEAT;
/** A lock file whose text has not arrived yet is younger than this. */
const WRITING = 5_000;

interface Owner extends Omit<ProcessIdentity, 'place'> {
  host: string;
  /** Absent in locks of before it was written: the host's name tells where its pid means something. */
  place?: string;
}

/** Locks of this process by folder: it may take one several times. */
const held = new Map<string, { count: number; release(): void }>();

/**
 * Makes this process the only one that writes a folder, by a file `.lock` in it that names process and machine. A lock
 * whose process has ended is taken over; of another machine's, which cannot be asked, where it has not been touched for
 * 15 minutes. A process may lock a folder several times.
 *
 *     const release = await lockFolder('runs/first');
 *     try { ... } finally { release(); }
 *
 * @param folder made where it is missing; removed by `release` where it was made here and is still empty
 * @param patience milliseconds to wait for the other process to end
 * @throws InputError naming the other process
 */
export async function lockFolder(folder: string, patience = 0): Promise<() => void> {
  const made = mkdirSync(folder, { recursive: true });
  const top = made && realpathSync(made);
  const real = realpathSync(folder);
  let lock = held.get(real);
  if (!lock) {
    await take(join(real, NAME), folder, patience);
    lock = { count: 0, release: keepAlive(join(real, NAME), real, top) };
    held.set(real, lock);
  }
  lock.count++;
  let released = false;
  return () => {
    if (released) {
      return;
    }
    released = true;
    if (--lock.count > 0) {
      return;
    }
    held.delete(real);
    lock.release();
  };
}

/**
 * Makes this process the only one that writes a file, by a lock beside it; as `lockFolder`.
 * @throws InputError naming the other process
 */
export async function lockFile(path: string): Promise<() => void> {
  const folder = realpathSync(dirname(path));
  const lock = join(folder, `.${basename(path)}${NAME}`);
  if (held.has(lock)) {
    throw new InputError(`${path}: this process is writing it already`);
  }
  await take(lock, path, 0);
  const release = keepAlive(lock, folder, undefined);
  held.set(lock, { count: 1, release });
  return () => {
    held.delete(lock);
    release();
  };
}

async function take(path: string, folder: string, patience: number): Promise<void> {
  const mine: Owner = { ...thisProcess(), host: hostname() };
  const deadline = performance.now() + patience;
  for (;;) {
    if (create(path, `${JSON.stringify(mine)}\n`)) {
      return;
    }
    const other = look(path);
    if (other === 'gone') {
      continue;
    }
    if (other.stale) {
      takeAway(path, other.text);
      continue;
    }
    // Its text is on its way, or its process may be about to end.
    if (other.owner !== undefined && performance.now() >= deadline) {
      throw busy(folder, path, other.owner);
    }
    await sleep(100);
  }
}

/** Writes a lock where there is none. */
function create(path: string, text: string): boolean {
  try {
    writeFileSync(path, text, { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') {
      return false;
    }
    // A full disk has room for the name, not for the text.
    if (isDiskFull(error)) {
      rmSync(path, { force: true });
    }
    throw writeError(error, path);
  }
}

interface Found {
  text: string;
  owner?: Owner;
  stale: boolean;
}

function look(path: string): Found | 'gone' {
  let text: string;
  let age: number;
  try {
    text = readFileSync(path, 'utf8');
    age = Date.now() - statSync(path).mtimeMs;
  } catch (error) {
    switch ((error as NodeJS.ErrnoException).code) {
      case 'ENOENT':
        return 'gone';
      case 'EISDIR':
        throw new InputError(`${path}: it is a folder, where a lock is to be written; remove it`);
      default:
        throw readError(error, path);
    }
  }
  const owner = ownerOf(text);
  if (!owner) {
    // Clocks differ: one that is dated in the future is not being written either.
    return { text, stale: Math.abs(age) > WRITING };
  }
  const { pid, host, began, place } = owner;
  const here = host === hostname() ? beginning(pid) === began : undefined;
  const running = place === undefined ? here : isRunning({ pid, began, place });
  return { text, owner, stale: running === undefined ? Math.abs(age) > SILENCE : !running };
}

function ownerOf(text: string): Owner | undefined {
  try {
    const owner = JSON.parse(text) as Owner | null;
    const whole =
      typeof owner === 'object' &&
      Number.isSafeInteger(owner?.pid) &&
      typeof owner?.host === 'string' &&
      typeof owner.began === 'string';
    return whole ? (owner as Owner) : undefined;
  } catch {
    return undefined;
  }
}

/** Takes a stale lock's name away. Where another process was faster, the lock is that one's: it gets its name back. */
function takeAway(path: string, text: string): void {
  const aside = `${path}.${randomBytes(8).toString('hex')}`;
  try {
    renameSync(path, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      return;
    }
    throw error;
  }
  if (readFileSync(aside, 'utf8') === text) {
    rmSync(aside);
  } else {
    renameSync(aside, path);
  }
}

function busy(folder: string, path: string, { pid, host, place }: Owner): InputError {
  const here = host === hostname() && (place === undefined || place === thisProcess().place);
  const where = host === hostname() ? (here ? '' : ' of another container or start of this machine') : ` on ${host}`;
  const unsure = here ? '' : '; where it has ended, remove the lock';
  return new InputError(
    `${folder}: process ${pid}${where} is writing it (${path}); wait for its end, or stop it${unsure}`,
  );
}

/** Touches the lock as long as it is held; returns what gives it up, and the empty folders up to `top` with it. */
function keepAlive(path: string, folder: string, top: string | undefined): () => void {
  const timer = setInterval(() => {
    try {
      const now = new Date();
      utimesSync(path, now, now);
    } catch {
      // The folder was removed: there is nothing to guard.
    }
  }, HEARTBEAT);
  timer.unref();
  return () => {
    clearInterval(timer);
    rmSync(path, { force: true });
    if (top === undefined) {
      return;
    }
    try {
      for (let empty = folder; empty.startsWith(top); empty = dirname(empty)) {
        rmdirSync(empty);
      }
    } catch {
      // Something was written into it: it stays.
    }
  };
}
