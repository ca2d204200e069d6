import { createHash } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';

/** A process, told from every other one: of this machine, of other containers, of machines that share a disk. */
export interface ProcessIdentity {
  pid: number;
  /** When it began, in the system's words, as another process may get the same pid later; '' where it does not say. */
  began: string;
  /** Where its pid means something: a machine since it was started, and a namespace of pids in it. */
  place: string;
}

let own: ProcessIdentity | undefined;

/** This process. */
export function thisProcess(): ProcessIdentity {
  own ??= { pid: process.pid, began: beginning(process.pid) ?? '', place: placeOfPids() };
  return own;
}

/** Whether a process still runs; undefined where this machine cannot know. */
export function isRunning({ pid, began, place }: ProcessIdentity): boolean | undefined {
  return place === thisProcess().place ? beginning(pid) === began : undefined;
}

/** When a process of this place began: undefined where it does not run, '' where the system does not say. */
export function beginning(pid: number): string | undefined {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it runs, as another user's.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') {
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

/** Two containers may share a host's name, a kernel, and the numbers of their processes: their namespaces differ. */
function placeOfPids(): string {
  const hash = createHash('sha256').update(hostname());
  try {
    hash.update(readFileSync('/proc/sys/kernel/random/boot_id')).update(readlinkSync('/proc/self/ns/pid'));
  } catch {
    // Not Linux: the host's name alone.
  }
  return hash.digest('hex').slice(0, 10);
}
