import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startEngine } from '../../src/engines/index.js';
import { newConfig } from '../../src/model/config.js';
import { saveModel } from '../../src/model/files.js';
import { createModel } from '../../src/model/model.js';
import { randomFasta } from '../training/tiny.js';
import { runCli } from './cli.js';

const folder = mkdtempSync(join(tmpdir(), 'convert-'));
const path = (name: string) => join(folder, name);
const configOf = (name: string) => JSON.parse(readFileSync(join(path(name), 'config.json'), 'utf8'));
beforeAll(async () => {
  const engine = await startEngine();
  const sizes = { layers: 2, hidden: 16, heads: 2, feedForward: 24, dropout: 0, length: 40 };
  const model = createModel(newConfig({ ...sizes, attention: { kind: 'softmax' } }), 1);
  await saveModel(model, path('transformer'));
  model.dispose();
  await engine.stop();
  writeFileSync(path('some.fasta'), randomFasta(60));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('convert', () => {
  it('turns a Transformer into a Performer, from which pretrain goes on', async () => {
    const args = ['--attention', 'favor-softmax', '--num-features', '32', '--redraw-interval', '2'];
    const converted = await runCli(['convert', '--from', path('transformer'), ...args, '--out', path('performer')]);
    expect(converted).toMatchObject({ code: 0, stdout: '' });
    expect(converted.stderr).toContain('softmax -> favor-softmax');
    expect(configOf('performer').attention).toMatchObject({
      kind: 'favor-softmax',
      num_features: 32,
      redraw_interval: 2,
      causal: false,
    });
    const data = ['--fasta', path('some.fasta'), '--tokens-per-batch', '200', '--warmup', '0'];
    const init = ['pretrain', '--init', path('performer'), '--preset', 'performer-tiny', '--steps', '3', '--recompute'];
    const env = { XDG_CACHE_HOME: path('cache') };
    const trained = await runCli([...init, ...data, '--length', '60', '--out', path('run')], { env });
    expect(trained).toMatchObject({ code: 0 });
    expect(configOf('run')).toMatchObject({ hidden_size: 16, max_position_embeddings: 62 });
    // The queries of a Transformer's weights are long; a new model of its shape begins with the usual ε.
    expect(configOf('run').attention.kernel_epsilon).toBe(1e-15);
    const config = ['pretrain', '--config', join(path('transformer'), 'config.json'), '--attention', 'favor-softmax'];
    const fresh = await runCli([...config, '--steps', '1', ...data, '--length', '40', '--out', path('fresh')], { env });
    expect(fresh, fresh.stderr).toMatchObject({ code: 0 });
    expect(configOf('fresh').attention).toMatchObject({ kind: 'favor-softmax', kernel_epsilon: 1e-6 });
    const again = await runCli(['convert', '--from', path('run'), '--attention', 'softmax', '--out', path('again')]);
    expect(again.code).toBe(0);
    expect(configOf('again').model_type).toBe('esm');
  });

  it('says what is wrong in one line', async () => {
    const out = ['--out', path('nothing')];
    const cases: [string[], number, string][] = [
      [['convert', '--from', path('transformer'), ...out], 2, 'nothing to convert'],
      [['convert', '--from', path('transformer'), '--attention', 'magic', ...out], 2, "'magic' is invalid"],
      [
        ['convert', '--from', path('none'), '--attention', 'lsh', ...out],
        1,
        'no such folder: give a model or run folder',
      ],
      [
        ['convert', '--from', path('transformer'), '--attention', 'lsh', '--out', path('transformer')],
        1,
        'holds a model',
      ],
      [
        ['convert', '--from', path('transformer'), '--num-features', '8', '--kernel', 'exp', ...out],
        2,
        '--kernel, --num-features: softmax attention has no use for it; leave it out',
      ],
      [
        ['pretrain', '--init', path('transformer'), '--attention', 'favor-relu', '--redraw-interval', '8', ...out],
        2,
        '--redraw-interval: deterministic favor-relu attention has no use for it; leave it out, or give --features',
      ],
      [
        ['pretrain', '--fasta', 'x', '--attention', 'lsh', '--features', 'iid', '--redraw-interval', '8', ...out],
        2,
        '--features: lsh attention has no use for it',
      ],
      [['pretrain', '--init', path('transformer'), '--layers', '3', ...out], 2, 'leave out --layers'],
    ];
    for (const [args, code, message] of cases) {
      const result = await runCli(args);
      expect(result.stderr.trimEnd().split('\n')).toHaveLength(1);
      expect(result.stderr).toContain(message);
      expect(result.code).toBe(code);
    }
    expect(existsSync(path('nothing'))).toBe(false);
  });
});
