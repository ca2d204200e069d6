import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { spearman } from '../../src/scoring/metrics.js';
import { SHARED } from '../shared.js';
import { runCli } from './cli.js';

const folder = mkdtempSync(join(tmpdir(), 'alignment-'));
afterAll(() => rmSync(folder, { recursive: true }));
const file = (name: string, content: string): string => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};
const protein = file('p.fasta', '>P1 a protein\nMKTVRQGHWEA\n');
const family = file('f.a3m', '>q\nMKTVRQGHWEA\n>a\nMRTVaRQGHWEA\n>b\nMKSVRN-HWEA\n');
const score = (...args: string[]) => runCli(['score', protein, ...args]);
const readRows = (csv: string) =>
  csv
    .trim()
    .split(/\r?\n/)
    .slice(1)
    .map((line) => line.split(','));

describe('score --alignment', () => {
  it('scores without a model, and warns of a shallow family', async () => {
    const { code, stdout, stderr } = await score('--alignment', family, '--quiet');
    expect(code).toBe(0);
    expect(stderr).toMatch(/^warning: a shallow alignment, Neff\/L below 1.*f\.a3m, Neff \S+ over 11 columns/);
    const rows = readRows(stdout);
    expect(rows).toHaveLength(11 * 19);
    const of = (name: string) => Number(rows.find(([, variant]) => variant === name)?.[2]);
    expect(of('K2R')).toBeGreaterThan(of('K2W'));
    expect(of('M1A')).toBe(of('M1C'));
  });

  it.each([
    [[], /give --model FOLDER, --alignment FILE, or --head FOLDER/],
    [['--model', 'm', '--alignment', family], /give one score by --blend/],
    [['--alignment', family, '--blend'], /--blend is of a model and an alignment/],
    [['--alignment', family, '--scheme', 'wt-marginals'], /--scheme wt-marginals is of a model/],
    [['--model', 'm', '--scheme', 'pssm'], /--scheme pssm is of an alignment: give --alignment FILE/],
    [['--alignment', family, '--scheme', 'rsalor'], /takes solvent accessibility from a structure: give --structure/],
    [['--alignment', family, '--solvent'], /--solvent would not be looked at/],
    [['--alignment', family, '--chain', 'B'], /--chain would not be looked at/],
    [['--alignment', family, '--ensemble', 'min'], /--ensemble would not be looked at/],
    [['--head', 'h', '--alignment', family], /--alignment is of zero-shot scores/],
  ])('refuses %j', async (args, message) => {
    const { code, stdout, stderr } = await score(...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(message);
  });

  it('has one line for an alignment of another protein, before any output', async () => {
    const other = file('other.a3m', '>other\nWWCCPPNNDDGGYYFF\n>b\nWWCCPPNNDDGGYYFF\n');
    const { code, stdout, stderr } = await score('--alignment', other);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/^error: .*other\.a3m: its query other is another protein than .*p\.fasta:1, record P1: /);
  });
});

describe.skipIf(!SHARED)('on real assays', () => {
  const data = join(SHARED ?? '', 'data');
  it.each([
    ['PTEN_HUMAN_Mighell_2018', 'PTEN_HUMAN.a2m', 'PTEN_HUMAN_Mighell_2018.pdb', 'tien', 0.4962, 0.5165],
    ['BLAT_ECOLX_Stiffler_2015', 'BLAT_ECOLX.a3m', 'alphafold2/BLAT_ECOLX_Stiffler_2015.pdb', 'rsalor', 0.6607, 0.7244],
  ])('%s correlates as published implementations do', async (id, alignment, structure, areas, plain, solvent) => {
    const [, sequence] =
      readRows(readFileSync(join(data, 'dms', 'assays.csv'), 'utf8')).find(([name]) => name === id) ?? [];
    const fasta = file(`${id}.fasta`, `>${id}\n${sequence}\n`);
    const assay = join(data, 'dms', `${id}.csv`);
    const measured = new Map(readRows(readFileSync(assay, 'utf8')).map(([mutant, value]) => [mutant, Number(value)]));
    const common = [fasta, '--alignment', join(data, 'alignments', alignment), '--mutations', assay, '--quiet'];
    for (const [args, expected] of [
      [[], plain],
      [['--scheme', 'rsalor', '--structure', join(data, 'structures', structure), '--areas', areas], solvent],
    ] as const) {
      const { code, stdout } = await runCli(['score', ...common, ...args]);
      expect(code).toBe(0);
      const rows = readRows(stdout);
      expect(rows).toHaveLength(measured.size);
      const [a, b] = [
        rows.map(([, , value]) => Number(value)),
        rows.map(([, name]) => measured.get(name) ?? Number.NaN),
      ];
      expect(spearman(a, b)).toBeCloseTo(expected, 4);
    }
  });

  it('benchmark finds alignments and structures by their names', async () => {
    const { code, stdout, stderr } = await runCli([
      ...['benchmark', '--assays', join(data, 'dms'), '--alignments', join(data, 'alignments', 'corpus')],
      ...['--structures', join(data, 'structures', 'alphafold2'), '--bootstrap', '0', '--quiet'],
    ]);
    expect(code).toBe(0);
    expect(stderr).toMatch(/PTEN_HUMAN_Mighell_2018\.csv: left out/);
    const assays = readRows(stdout).filter(([level]) => level === 'assay');
    expect(assays.map(([, id]) => id)).toContain('RL401_YEAST_Roscoe_2014');
    expect(assays.length).toBeGreaterThanOrEqual(6);
  });
});
