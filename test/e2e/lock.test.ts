import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, expect, test } from 'vitest';
import { lockFolder } from '../../src/formats/lock.js';
import { latestCheckpoint } from '../../src/training/checkpoint.js';
import { randomFasta, temporaryFolder } from '../training/tiny.js';
import { type CliResult, runCli, startCli } from './cli.js';

const folder = temporaryFolder();
const path = (name: string) => join(folder, name);
const env = { XDG_CACHE_HOME: path('cache') };
const run = path('run');
const MODEL = ['--preset', 'performer-tiny', '--layers', '1', '--hidden', '16', '--heads', '2', '--feed-forward', '16'];
const NEW = ['pretrain', '--fasta', path('proteins.fasta'), '--out', run, ...MODEL, '--length', '48'];
const RESUMED = ['pretrain', '--out', run, '--resume'];
const ENDLESS = ['--steps', '100000000', '--checkpoint-every', '20'];
const PATIENCE = 180_000;

beforeAll(() => writeFileSync(path('proteins.fasta'), randomFasta(120)));

const ownerOf = () => JSON.parse(readFileSync(join(run, '.lock'), 'utf8')).pid as number;

test(
  'one process at a time writes a run, and a killed one does not stand in the way',
  async () => {
    const first = startCli([...NEW, ...ENDLESS], { env });
    while (!latestCheckpoint(run)) {
      await sleep(20);
    }
    const refused = `error: ${run}: process ${first.process.pid} is writing it (${run}/.lock); wait for its end, or stop it\n`;
    for (const args of [
      [...RESUMED, ...ENDLESS],
      [...NEW, '--steps', '5'],
    ]) {
      expect(await runCli(args, { env })).toEqual({ code: 1, signal: null, stdout: '', stderr: refused });
    }
    first.process.kill('SIGKILL');
    await first.result;
    expect(ownerOf()).toBe(first.process.pid);

    // Four at once find the dead one's lock: one goes on, the others name it.
    const all = [1, 2, 3, 4].map(() => startCli([...RESUMED, ...ENDLESS], { env }));
    const ended: CliResult[] = [];
    for (const { result } of all) {
      result.then((end) => ended.push(end));
    }
    while (ended.length < 3) {
      await sleep(20);
    }
    const winner = all.filter(({ process: { exitCode } }) => exitCode === null);
    expect(winner).toHaveLength(1);
    const { pid } = winner[0].process;
    expect(ownerOf()).toBe(pid);
    for (const loser of ended) {
      expect(loser).toMatchObject({ code: 1, stderr: expect.stringContaining(`process ${pid} is writing it`) });
    }
    winner[0].process.kill('SIGINT');
    expect(await winner[0].result).toMatchObject({ code: 130 });
    expect(readdirSync(run).filter((name) => name.startsWith('.'))).toEqual([]);
  },
  PATIENCE,
);

test('heads and experiments are guarded as well', async () => {
  const release = await lockFolder(path('taken'));
  writeFileSync(path('compare.json'), JSON.stringify({ fasta: [path('proteins.fasta')], attentions: {} }));
  for (const args of [
    ['finetune', '--assay', path('none.csv'), '--model', run, '--save', path('taken')],
    ['experiment', 'compare', '--config', path('compare.json'), '--out', path('taken')],
  ]) {
    const { code, stderr } = await runCli(args, { env });
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: `error: ${path('taken')}: process ${process.pid} is writing it (${path('taken')}/.lock); wait for its end, or stop it\n`,
    });
  }
  release();
  expect(existsSync(path('taken'))).toBe(false);
});
