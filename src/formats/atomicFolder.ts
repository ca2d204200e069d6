import { existsSync } from 'node:fs';
import { mkdir, open, readdir, realpath, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { syncFolder } from './atomicFile.js';
import { writeError } from './fileErrors.js';
import { type Temporary, temporaryBeside } from './temporary.js';

/**
 * A folder whose name never shows a half-written state: its files are written to a temporary folder beside it, which
 * is synced whole and then gets the name.
 *
 *     const folder = await AtomicFolder.create('store');
 *     try { …write to join(folder.path, …)…; await folder.commit(); } catch (error) { await folder.discard(); throw error; }
 *
 * One that replaces another takes two renames, old away and new there. A kill between them leaves nothing under the
 * name, but the new folder whole as `.NAME.whole`: `recoverFolder` then gives it its name, and whoever reads such
 * folders calls it first.
 */
export class AtomicFolder {
  private constructor(
    readonly target: string,
    private readonly temporary: Temporary,
  ) {}

  /** @param target may be a link to a folder: what it leads to is replaced then */
  static async create(target: string): Promise<AtomicFolder> {
    const real = existsSync(target) ? await realpath(target) : resolve(target);
    await recoverFolder(real);
    const temporary = temporaryBeside(real);
    try {
      await mkdir(temporary.path, { recursive: true });
    } catch (error) {
      temporary.release();
      throw writeError(error, target);
    }
    return new AtomicFolder(real, temporary);
  }

  /** Where its files are written until `commit`. */
  get path(): string {
    return this.temporary.path;
  }

  /** Gives the folder its name. @param replace a folder of that name; otherwise one that is not empty is an error */
  async commit({ replace = false } = {}): Promise<void> {
    const { target, path } = this;
    const parent = dirname(target);
    try {
      await syncBelow(path);
      if (!(replace && existsSync(target))) {
        await rename(path, target);
        await syncFolder(parent);
      } else {
        const whole = wholeName(target);
        const old = temporaryBeside(target);
        await rm(whole, { recursive: true, force: true });
        await rename(path, whole);
        await syncFolder(parent);
        await rename(target, old.path);
        await recoverFolder(target);
        await rm(old.path, { recursive: true, force: true });
        old.release();
      }
    } catch (error) {
      throw writeError(error, target);
    }
    this.temporary.release();
  }

  /** Gives up: nothing is left behind. Does nothing to a folder that has its name. */
  async discard(): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
    this.temporary.release();
  }
}

/** Gives a folder its name where the process that replaced it was stopped half-way. */
export async function recoverFolder(target: string): Promise<void> {
  const whole = wholeName(target);
  if (existsSync(target) || !existsSync(whole)) {
    return;
  }
  try {
    await rename(whole, target);
    await syncFolder(dirname(target));
  } catch (error) {
    // Another process may recover it at the same time.
    if (!existsSync(target)) {
      throw writeError(error, `${target} (its contents lie whole in ${whole})`);
    }
  }
}

/** Recovers every folder in this one, and removes what ended processes left. */
export async function recoverFoldersIn(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const target = /^\.(.+)\.whole$/.exec(name)?.[1];
    if (target !== undefined) {
      await recoverFolder(join(parent, target));
      await rm(join(parent, name), { recursive: true, force: true });
    }
  }
}

function wholeName(target: string): string {
  return join(dirname(target), `.${basename(target)}.whole`);
}

async function syncBelow(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      await syncBelow(path);
    } else {
      const handle = await open(path, 'r+');
      await handle.sync().finally(() => handle.close());
    }
  }
  await syncFolder(folder);
}
