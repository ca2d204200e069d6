import { expect, test } from 'vitest';
import { probeEngines } from '../../src/engines/index.js';
import { runCli } from './cli.js';

const gpu = (await probeEngines()).find((report) => report.device === 'webgpu')!.usable;
const TINY = ['--preset', 'performer-tiny', '--batch', '1', '--length', '32', '--steps', '1'];

test.skipIf(!gpu)("profile on webgpu lists a training step's kernels, the longest first", async () => {
  const { code, stdout, stderr } = await runCli(['profile', ...TINY, '--format', 'json']);
  expect(code, stderr).toBe(0);
  const rows: { kernel: string; runs: number; milliseconds: number; gflops: number | null }[] = JSON.parse(stdout);
  const times = rows.map((row) => row.milliseconds);
  expect(times).toEqual([...times].sort((a, b) => b - a));
  // Four layers of four products each, and two in the head.
  expect(rows.find((row) => row.kernel === 'Linear')).toMatchObject({ runs: 18 });
  expect(rows.find((row) => row.kernel === 'Linear')!.gflops).toBeGreaterThan(0);
});

test.skipIf(gpu)('profile without a GPU says so in one line', async () => {
  const { code, stderr } = await runCli(['profile', ...TINY]);
  expect(code).toBe(1);
  expect(stderr.trim().split('\n')).toHaveLength(1);
});
