import { expect, test } from 'vitest';
import { DEVICES } from '../../src/engines/engine.js';
import { runCli } from './cli.js';

test('doctor lists the engines, and measures those that run', async () => {
  const { code, stdout } = await runCli(['doctor', '--format', 'json']);
  expect(code).toBe(0);
  const engines: { device: string; usable: boolean; default: boolean; gflops: number | null; reason: string | null }[] =
    JSON.parse(stdout);
  expect(engines.length).toBeGreaterThan(0);
  for (const engine of engines) {
    expect(DEVICES).toContain(engine.device);
    if (engine.usable) {
      expect(engine.gflops).toBeGreaterThan(0);
    } else {
      expect(engine.reason).toBeTruthy();
    }
  }
  expect(engines.filter((engine) => engine.default)).toHaveLength(1);
});

test('doctor reads well without a format', async () => {
  const { code, stdout } = await runCli(['doctor']);
  expect(code).toBe(0);
  expect(stdout).toMatch(/usable, taken by --device auto: .+\n {12}matrix product: [\d.e+]+ GFLOP\/s/);
});

test('doctor --kernels lists which engine has which kernel', async () => {
  const { code, stdout } = await runCli(['doctor', '--kernels', '--format', 'json']);
  expect(code).toBe(0);
  const rows: Record<string, string | null>[] = JSON.parse(stdout);
  const row = (kernel: string) => rows.find((each) => each.kernel === kernel);
  expect(Object.keys(rows[0])).toEqual(['kernel', ...DEVICES]);
  expect(row('LshAttention')).toMatchObject({ wasm: 'reference', webgpu: 'reference' });
  expect(row('SoftmaxAttentionGrad')).toMatchObject({ wasm: 'reference', webgpu: 'own' });
  expect(row('UnsortedSegmentSum')).toMatchObject({ wasm: 'host', webgpu: 'own' });
  const text = await runCli(['doctor', '--kernels']);
  expect(text.code).toBe(0);
  expect(text.stdout).toMatch(/^kernel +cpu +webgpu +tensorflow +wasm\n/);
  expect(text.stdout).toMatch(/^Linear +(own|-) +own +\S+ +reference$/m);
});
