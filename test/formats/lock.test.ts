import { existsSync, mkdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { lockFile, lockFolder } from '../../src/formats/lock.js';
import { beginning, thisProcess } from '../../src/formats/process.js';
import { temporaryFolder } from '../training/tiny.js';

const folder = temporaryFolder();

test('a folder is made, locked, and both are gone afterwards where nothing was written', async () => {
  const release = await lockFolder(join(folder, 'a', 'b'));
  const owner = JSON.parse(readFileSync(join(folder, 'a', 'b', '.lock'), 'utf8'));
  expect(owner).toMatchObject({ pid: process.pid, host: hostname() });
  const again = await lockFolder(join(folder, 'a', '.', 'b'));
  release();
  release();
  expect(existsSync(join(folder, 'a', 'b', '.lock'))).toBe(true);
  again();
  expect(existsSync(join(folder, 'a'))).toBe(false);
  expect(existsSync(folder)).toBe(true);
});

test('a folder with something in it stays', async () => {
  const run = join(folder, 'kept');
  const release = await lockFolder(run);
  writeFileSync(join(run, 'model'), '');
  release();
  expect(existsSync(join(run, 'model'))).toBe(true);
  expect(existsSync(join(run, '.lock'))).toBe(false);
});

/** A folder with this text in its lock, last touched so many minutes ago. */
function lockedFolder(name: string, text: string, minutes = 0): string {
  const run = join(folder, name);
  mkdirSync(run);
  writeFileSync(join(run, '.lock'), text);
  const then = new Date(Date.now() - 60_000 * minutes);
  utimesSync(join(run, '.lock'), then, then);
  return run;
}

test("another machine's lock holds while it is touched", async () => {
  const text = JSON.stringify({ pid: 12, host: 'elsewhere', began: '1' });
  const run = lockedFolder('elsewhere', text, 10);
  await expect(lockFolder(run)).rejects.toThrow(
    `${run}: process 12 on elsewhere is writing it (${run}/.lock); wait for its end, or stop it`,
  );
  expect(readFileSync(join(run, '.lock'), 'utf8')).toBe(text);
  (await lockFolder(lockedFolder('silent', text, 20)))();
});

test('the lock of a process that has ended is taken over, also where its number lives on', async () => {
  const dead = JSON.stringify({ pid: 2 ** 22 + 1, host: hostname(), began: '1' });
  (await lockFolder(lockedFolder('dead', dead)))();
  const reused = JSON.stringify({ pid: process.ppid, host: hostname(), began: 'at another time' });
  (await lockFolder(lockedFolder('reused', reused)))();
  (await lockFolder(lockedFolder('never written', '', 1)))();
});

test('a process of another container holds its lock, though host and number are the same', async () => {
  const { pid, began } = thisProcess();
  const text = JSON.stringify({ pid, host: hostname(), began, place: '0123456789' });
  await expect(lockFolder(lockedFolder('container', text, 10))).rejects.toThrow(
    `process ${pid} of another container or start of this machine is writing it`,
  );
  (await lockFolder(lockedFolder('silent container', text, 20)))();
});

test.each(['', 'null', '5', '[]', '{}', '{"pid":1}'])(
  'a lock that says %j is taken over, also one dated in the future',
  async (text) => {
    (await lockFolder(lockedFolder(`past ${text}`, text, 1)))();
    (await lockFolder(lockedFolder(`future ${text}`, text, -1000)))();
  },
);

test('a folder in the place of the lock is named', async () => {
  const run = join(folder, 'folder for a lock');
  mkdirSync(join(run, '.lock'), { recursive: true });
  await expect(lockFolder(run)).rejects.toThrow(
    `${run}/.lock: it is a folder, where a lock is to be written; remove it`,
  );
});

test('a lock from a clock that runs ahead ends like one from a clock that runs behind', async () => {
  const text = JSON.stringify({ pid: 12, host: 'elsewhere', began: '1' });
  (await lockFolder(lockedFolder('an hour ahead', text, -60)))();
  await expect(lockFolder(lockedFolder('a minute ahead', text, -1))).rejects.toThrow('process 12 on elsewhere');
});

test('a file is locked beside it, once at a time', async () => {
  const path = join(folder, 'table.csv');
  const release = await lockFile(path);
  await expect(lockFile(path)).rejects.toThrow(`${path}: this process is writing it already`);
  release();
  expect(existsSync(join(folder, '.table.csv.lock'))).toBe(false);
  const pid = process.ppid;
  const owner = { pid, host: hostname(), began: beginning(pid), place: thisProcess().place };
  writeFileSync(join(folder, '.table.csv.lock'), JSON.stringify(owner));
  await expect(lockFile(path)).rejects.toThrow(`${path}: process ${pid} is writing it`);
});
