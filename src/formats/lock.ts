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
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { InputError } from '../data/errors.js';

const NAME = '.lock';
/** How often the owner says that it is alive, and how long another machine believes it. */
const HEARTBEAT = 60_000;
const SILENCE = 15 * HEARTBEAT;
/** A lock file whose text has not arrived yet is younger than this. */
const WRITING = 5_000;

interface Owner {
  pid: number;
  host: string;
  /** When the process began, in the system's words: another process may get the same pid later. */
  began: string;
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

async function take(path: string, folder: string, patience: number): Promise<void> {
  const mine: Owner = { pid: process.pid, host: hostname(), began: began(process.pid) ?? '' };
  const deadline = performance.now() + patience;
  for (;;) {
    try {
      writeFileSync(path, `${JSON.stringify(mine)}\n`, { flag: 'wx' });
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
        throw error;
      }
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
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      return 'gone';
    }
    throw error;
  }
  let owner: Owner | undefined;
  try {
    owner = JSON.parse(text);
  } catch {
    return { text, stale: age > WRITING };
  }
  const { pid, host, began: since } = owner!;
  if (host !== hostname()) {
    return { text, owner, stale: age > SILENCE };
  }
  return { text, owner, stale: began(pid) !== since };
}

/** Takes a stale lock's name away. Where another process was faster, the lock is that one's: it gets its name back. */
function takeAway(path: string, text: string): void {
  const aside = `${path}.${process.pid}`;
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

function busy(folder: string, path: string, { pid, host }: Owner): InputError {
  const where = host === hostname() ? '' : ` on ${host}`;
  return new InputError(`${folder}: process ${pid}${where} is writing it (${path}); wait for its end, or stop it`);
}

/** When a process began: undefined where it does not run, '' where the system does not say. */
function began(pid: number): string | undefined {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it runs, as another user's.
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') {
      return undefined;
    }
  }
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The fields after the name, which may hold spaces: the state, …, and as the 20th the start in ticks since boot.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    // A zombie has ended, its parent has only not noticed.
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return '';
  }
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
