import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { startEngine } from '../../src/engines/index.js';
import { newConfig } from '../../src/model/config.js';
import { saveModel } from '../../src/model/files.js';
import { createModel } from '../../src/model/model.js';
import { runCli } from './cli.js';

const folder = await mkdtemp(join(tmpdir(), 'engines-'));
afterAll(() => rm(folder, { recursive: true }));

test('an option that the named engine cannot honour ends a command in one line', async () => {
  const fasta = join(folder, 'one.fasta');
  writeFileSync(fasta, '>P1\nMKTVRQG\n');
  const model = join(folder, 'model');
  const engine = await startEngine();
  await saveModel(createModel(newConfig({ layers: 1, hidden: 16, heads: 2, feedForward: 16, dropout: 0 }), 1), model);
  await engine.stop();

  const pretrain = ['pretrain', '--fasta', fasta, '--preset', 'performer-tiny', '--steps', '1', '--device', 'cpu'];
  const half = await runCli([...pretrain, '--precision', 'f16', '--out', join(folder, 'run'), '--quiet']);
  expect(half.code).toBe(1);
  expect(half.stderr).toMatch(/^.*--device cpu: it cannot honour --precision f16.*\n$/);

  const threads = await runCli(['score', fasta, '--model', model, '--device', 'wasm', '--threads', '2', '--quiet']);
  expect(threads.code).toBe(1);
  expect(threads.stderr).toMatch(/^.*--device wasm: it cannot honour --threads 2.*\n$/);
});
