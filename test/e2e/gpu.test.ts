import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { probeEngines } from '../../src/engines/index.js';
import { randomFasta, temporaryFolder } from '../training/tiny.js';
import { runCli } from './cli.js';

const usable = (await probeEngines()).filter((report) => report.usable).map((report) => report.device);

const folder = temporaryFolder();
const fasta = join(folder, 'proteins.fasta');
writeFileSync(fasta, randomFasta(120));
const env = { XDG_CACHE_HOME: join(folder, 'cache') };

/** Trains a small model for 20 steps on a device. Its losses, step by step. */
async function losses(device: string, ...more: string[]): Promise<number[]> {
  const run = join(folder, `${device}${more.join('')}`);
  const sizes = ['--layers', '2', '--hidden', '32', '--heads', '2', '--feed-forward', '48', '--length', '48'];
  const recipe = [
    '--tokens-per-batch',
    '768',
    '--warmup',
    '5',
    '--dropout',
    '0.1',
    '--steps',
    '20',
    '--log-every',
    '1',
  ];
  const model = ['--preset', 'performer-tiny', ...sizes, ...recipe];
  const args = ['pretrain', '--fasta', fasta, '--out', run, '--device', device, ...model, ...more];
  const { code, stderr } = await runCli(args, { env });
  expect(code, stderr).toBe(0);
  expect(existsSync(join(run, 'model.safetensors'))).toBe(true);
  const lines = readFileSync(join(run, 'metrics.jsonl'), 'utf8').trim().split('\n');
  return lines.map((line) => JSON.parse(line).loss).filter((loss) => loss !== undefined);
}

let onCpu: Promise<number[]> | undefined;

describe.each(['webgpu', 'tensorflow'] as const)('pretrain --device %s', (device) => {
  test.skipIf(!usable.includes(device))(
    'has the losses of --device cpu, and ends',
    async () => {
      onCpu ??= losses('cpu');
      const expected = await onCpu;
      const actual = await losses(device, '--precision', 'f32');
      expect(expected.length).toBeGreaterThanOrEqual(20);
      expect(actual).toHaveLength(expected.length);
      for (const [step, loss] of actual.entries()) expect(Math.abs(loss / expected[step] - 1)).toBeLessThan(1e-3);
    },
    300_000,
  );
});

test.skipIf(usable.includes('webgpu'))('without a GPU, --device webgpu says what is missing in one line', async () => {
  const args = ['pretrain', '--fasta', fasta, '--out', join(folder, 'none'), '--device', 'webgpu', '--steps', '1'];
  const { code, stderr } = await runCli([...args, '--quiet'], { env });
  expect(code).toBe(1);
  expect(stderr.trim().split('\n')).toHaveLength(1);
  expect(stderr).toContain('error: --device webgpu: ');
});
