import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { probeEngines } from '../../src/engines/index.js';
import { latestCheckpoint } from '../../src/training/checkpoint.js';
import { randomFasta, temporaryFolder } from '../training/tiny.js';
import { runCli } from './cli.js';

const usable = (await probeEngines()).filter((report) => report.usable).map((report) => report.device);

const folder = temporaryFolder();
const fasta = join(folder, 'proteins.fasta');
writeFileSync(fasta, randomFasta(120));
const env = { XDG_CACHE_HOME: join(folder, 'cache') };

const SIZES = ['--layers', '2', '--hidden', '32', '--heads', '2', '--feed-forward', '48', '--length', '48'];
const RECIPE = ['--tokens-per-batch', '768', '--warmup', '5', '--dropout', '0.1', '--log-every', '1'];

/** The command line that trains a small model for some steps on a device. */
function pretrain(run: string, device: string, steps: number, ...more: string[]): string[] {
  const budget = ['--steps', `${steps}`];
  const where = ['--fasta', fasta, '--out', run, '--device', device];
  return ['pretrain', ...where, '--preset', 'performer-tiny', ...SIZES, ...RECIPE, ...budget, ...more];
}

/** Trains a small model for 20 steps on a device. Its losses, step by step. */
async function losses(device: string, ...more: string[]): Promise<number[]> {
  const run = join(folder, `${device}${more.join('')}`);
  const { code, stderr } = await runCli(pretrain(run, device, 20, ...more), { env });
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
      for (const [step, loss] of actual.entries()) {
        expect(Math.abs(loss / expected[step] - 1)).toBeLessThan(1e-3);
      }
    },
    900_000,
  );
});

describe.skipIf(!usable.includes('webgpu'))('a GPU that is lost', () => {
  const cadence = ['--checkpoint-every', '2', '--validate-every', '4', '--quiet'];
  const hook = new URL('loseDevice.mjs', import.meta.url).href;
  /** Trains until the GPU is lost at a submission: what the command says. */
  const lose = async (run: string, at: number) => {
    const lossy = { ...env, NODE_OPTIONS: `--import ${hook}`, LOSE_AT: `${at}` };
    const { code, signal, stderr } = await runCli(pretrain(run, 'webgpu', 8, ...cadence), { env: lossy });
    expect({ code, signal }).toEqual({ code: 1, signal: null });
    // Drivers have their own to say.
    return stderr.split('\n').filter((line) => line !== '' && !line.startsWith('Warning: '));
  };
  const weights = (run: string) =>
    ['model.safetensors', 'optimizer.safetensors'].map((name) =>
      readFileSync(join(latestCheckpoint(run)!.folder, name)),
    );

  test('ends the run with one line; from its last checkpoint it goes on exactly', async () => {
    const whole = join(folder, 'never lost');
    expect((await runCli(pretrain(whole, 'webgpu', 8, ...cadence), { env })).code).toBe(0);
    // During steps, validations, and the downloads of checkpoints.
    const seen = new Set<number>();
    for (const at of [1, 130, 260]) {
      const run = join(folder, `lost at ${at}`);
      const lines = await lose(run, at);
      const { step } = latestCheckpoint(run)!;
      const command = `protein-lm pretrain --out '${run}' --resume`;
      expect(lines).toEqual([
        expect.stringMatching(/^error: the GPU was lost \(.+\); step \d+ is saved; go on with: protein-lm /),
      ]);
      expect(lines[0]).toContain(`; step ${step} is saved; go on with: ${command}`);
      const again = ['pretrain', '--out', run, '--resume', '--device', 'webgpu', ...cadence];
      expect((await runCli(again, { env })).code).toBe(0);
      expect(weights(run)).toEqual(weights(whole));
      seen.add(step);
    }
    expect(seen.size).toBeGreaterThan(1);
  }, 900_000);
});

test.skipIf(usable.includes('webgpu'))('without a GPU, --device webgpu says what is missing in one line', async () => {
  const args = ['pretrain', '--fasta', fasta, '--out', join(folder, 'none'), '--device', 'webgpu', '--steps', '1'];
  const { code, stderr } = await runCli([...args, '--quiet'], { env });
  expect(code).toBe(1);
  expect(stderr.trim().split('\n')).toHaveLength(1);
  expect(stderr).toContain('error: --device webgpu: ');
});
