import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deflateSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { runCli } from './cli.js';

const folder = mkdtempSync(join(tmpdir(), 'files-'));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string) => join(folder, name);
const file = (name: string, content: string | Uint8Array) => {
  writeFileSync(at(name), content);
  return at(name);
};
const build = (path: string, out: string, ...args: string[]) =>
  runCli(['data', 'build', path, '--out', at(out), '--quiet', ...args]);
const manifestOf = (out: string) => JSON.parse(readFileSync(join(at(out), 'manifest.json'), 'utf8'));
const PROTEINS = [
  'MKTVRQGWAALLSEKHNDYP',
  'MKTVRQGWAALLSEKHNDYA',
  'GDVEKGKKIFVQKCAQCHTV',
  'GDVEKGKKIFVQKCAQCHTW',
  'HPETLVKVKDAEDQLGARVG',
];
const NAMES = ['P10001', 'P10002', 'P10003', 'P10004', 'P10005'];

describe('data build with clusters', () => {
  it('holds out whole clusters, and stops where names do not tell', async () => {
    const fasta = file('all.fasta', NAMES.map((name, i) => `>sp|${name}|X_HUMAN\n${PROTEINS[i]}\n`).join(''));
    const tsv = file(
      'c_cluster.tsv',
      'P10001\tP10001\nP10001\tP10002\nP10003\tP10003\nP10003\tP10004\nP10005\tP10005\n',
    );
    const clstr = file(
      'c.clstr',
      '>Cluster 0\n0\t20aa, >sp|P10001|X_HUMAN... *\n1\t20aa, >sp|P10002|X_HUMAN... at 95.00%\n',
    );
    const held = async (out: string, ...args: string[]) => {
      const result = await build(fasta, out, ...args);
      expect(result.code, result.stderr).toBe(0);
      return manifestOf(out).splits.ood.sequences;
    };
    expect(await held('whole', '--clusters', tsv, '--cluster-weights', '--holdout', 'P10002')).toBe(2);
    expect(manifestOf('whole').clusters).toEqual({ file: tsv, count: 3, weighted: true });
    expect(await held('members', '--holdout', clstr)).toBe(2);
    const other = file('d_cluster.tsv', 'P10001\tP10001\nP10001\tP99999\n');
    const stopped = await build(fasta, 'never', '--clusters', other);
    expect(stopped).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^error: .*all\.fasta:3, record sp\|P10002\|X_HUMAN: in no cluster of/),
    });
    expect((await build(fasta, 'never', '--cluster-weights')).code).toBe(2);
  });
});

describe('files of other tools', () => {
  it.each<[string, string | Uint8Array, RegExp]>([
    ['db', 'MKTVRQG\n\0MKTV\n\0', /a database of MMseqs2 or ffindex .*mmseqs convert2fasta/],
    ['x.fasta', deflateSync('>a\nMKTV\n'), /a zlib stream, .*decompress it first/],
    ['x.a3m', '>a\nMKTV\n>b\nMK-V\n', /this is an alignment \(A3M or A2M\); .*--unaligned/],
    ['x.sto', '# STOCKHOLM 1.0\na MKTV\nb MK-V\n//\n', /a Stockholm alignment, sequences are needed/],
    ['odd.fasta', '>a\nMK1V\n', /all 1 have letters outside the alphabet, and --invalid skip left them out/],
  ])('%s is refused in one line', async (name, content, message) => {
    const result = await build(file(name, content), 'never', '--invalid', 'skip');
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(message);
    expect(result.stderr.trim().split('\n')).toHaveLength(1);
  });

  it('data stats refuses them too, and --unaligned reads an alignment', async () => {
    const stats = await runCli(['data', 'stats', file('y.fasta', deflateSync('>a\nMKTV\n')), '--quiet']);
    expect(stats).toMatchObject({ code: 1, stderr: expect.stringContaining('a zlib stream') });
    const rows = await build(file('rows.sto', '# STOCKHOLM 1.0\na MKTVRQ\nb MK-VWW\n//\n'), 'rows', '--unaligned');
    expect(rows.code, rows.stderr).toBe(0);
    expect(manifestOf('rows')).toMatchObject({ sequences: 2, residues: 11 });
  });
});
