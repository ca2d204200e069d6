import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { readAssay } from '../../src/scoring/assay.js';
import { readMutations } from '../../src/scoring/mutations.js';
import { readTable } from '../../src/scoring/tables.js';

const folder = mkdtempSync(join(tmpdir(), 'tableFiles-'));
afterAll(() => rmSync(folder, { recursive: true }));
const file = (name: string, content: string | Uint8Array): string => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};
const fixture = (name: string) => new URL(`fixtures/${name}`, import.meta.url).pathname;
const WILD_TYPE = 'MKTV';
const CSV = 'mutant,mutated_sequence,DMS_score,DMS_score_bin\nM1A,AKTV,0.5,1\nK2A:T3S,MASV,-0.1,0\n';
const ROWS = [
  { mutant: 'M1A', mutated_sequence: 'AKTV', DMS_score: 0.5, DMS_score_bin: 1 },
  { mutant: 'K2A:T3S', mutated_sequence: 'MASV', DMS_score: -0.1, DMS_score_bin: 0 },
];
const NAMES = Object.keys(ROWS[0]) as (keyof (typeof ROWS)[0])[];
const byIndex = (cells: unknown[]) => Object.fromEntries(cells.map((cell, i) => [i, cell]));
const utf16 = (text: string, mark: boolean) => {
  const bytes = Buffer.from(`\uFEFF${text}`, 'utf16le');
  return mark ? bytes.swap16() : bytes;
};

describe('files that hold the same assay', () => {
  it.each<[name: string, content: string | Uint8Array]>([
    ['semicolons.csv', CSV.replaceAll(',', ';')],
    ['decimal-commas.csv', CSV.replaceAll(',', ';').replace('0.5', '0,5').replace('-0.1', '-1,0e-1')],
    ['tabs.csv', CSV.replaceAll(',', '\t')],
    ['commas.txt', CSV],
    ['spaces.txt', CSV.replaceAll(',', ' ')],
    ['comments.csv', `# Accession: urn:mavedb:1\n# License: CC0, free\n#\n${CSV}`],
    ['utf16le.csv', utf16(CSV, false)],
    ['utf16be.csv', utf16(CSV, true)],
    ['gzip-without-its-name.csv', gzipSync(CSV)],
    [
      'pandas.json',
      JSON.stringify(Object.fromEntries(NAMES.map((name) => [name, byIndex(ROWS.map((row) => row[name]))]))),
    ],
    ['index.json', JSON.stringify(byIndex(ROWS))],
    [
      'split.json',
      JSON.stringify({ columns: NAMES, index: [0, 1], data: ROWS.map((row) => NAMES.map((name) => row[name])) }),
    ],
    ['table.json', JSON.stringify({ schema: { fields: [] }, data: ROWS.map((row, index) => ({ index, ...row })) })],
    ['lines.jsonl', ROWS.map((row) => `${JSON.stringify(row)}\n`).join('')],
    ['lines.ndjson.gz', gzipSync(ROWS.map((row) => JSON.stringify(row)).join('\n'))],
    ['lines.json', ROWS.map((row) => JSON.stringify(row)).join('\r\n')],
  ])('%s', async (name, content) => {
    const assay = await readAssay(file(name, content), WILD_TYPE);
    expect(assay.variants.map((variant) => variant.name)).toEqual(['M1A', 'K2A:T3S']);
    expect([...assay.measured]).toEqual([0.5, -0.1]);
    expect([...assay.labels!]).toEqual([1, 0]);
  });

  // Written by DuckDB 1.5, and by flechette with the programs lz4 1.9.4 and zstd 1.5.4.
  it.each(['snappy', 'zstd', 'gzip', 'lz4_raw', 'brotli'])('Parquet with %s', async (codec) => {
    const assay = await readAssay(fixture(`${codec}.parquet`), WILD_TYPE);
    expect(assay.variants.map((variant) => variant.name)).toEqual(['M1A', 'K2A:T3S']);
    expect([...assay.measured]).toEqual([0.5, -0.1]);
    expect([...assay.labels!]).toEqual([1, 0]);
  });

  it.each(['lz4', 'zstd'])('Arrow with %s', async (codec) => {
    const assay = await readAssay(fixture(`${codec}.arrow`), WILD_TYPE);
    expect(assay.variants.map((variant) => variant.name)).toEqual(Array(200).fill(['M1A', 'K2A:T3S']).flat());
    expect([...assay.measured]).toEqual(Array(200).fill([0.5, -0.1]).flat());
  });
});

describe('files of others', () => {
  it.each<[name: string, magic: number[] | string, message: RegExp]>([
    ['a.xlsx', 'PK\x03\x04', /a\.xlsx is an Excel workbook; CSV, TSV, .* are read: save the sheet as \.csv/],
    ['a.csv', [0x28, 0xb5, 0x2f, 0xfd, 0], /a\.csv is a Zstandard file; .* zstd -d/],
    ['a.h5', [0x89, 0x48, 0x44, 0x46, 0x0d], /a\.h5 is an HDF5 file; .*read_hdf/],
    ['a.feather', 'FEA1\0\0', /a\.feather is a Feather file of version 1; .*version 2/],
    ['a.bin', [1, 0, 2, 3], /a\.bin is no text and no table that is read/],
    ['list.json', '[[1, 2], [3, 4]]', /list\.json is a list without names of columns; write it with orient='records'/],
    ['broken.jsonl', '{"mutant":"M1A"}\n{"mutant":\n', /broken\.jsonl row 2 is no JSON/],
  ])('%s', async (name, content, message) => {
    const bytes = typeof content === 'string' ? content : Uint8Array.from(content);
    await expect(readTable(file(name, bytes))).rejects.toThrow(message);
  });
});

describe('tables of other tools', () => {
  const variants = async (name: string, text: string, options = {}) =>
    (await readMutations(file(name, text), options)).of('', WILD_TYPE).variants.map((variant) => variant.name);

  it('MaveDB: comments, NA, _wt, _sy, and what cannot be scored left out by reason', async () => {
    const path = file(
      'urn-mavedb-1.csv',
      '# Accession: urn:mavedb:00000001-a-1\naccession,hgvs_nt,hgvs_splice,hgvs_pro,score\n' +
        [
          'u#1,c.1A>G,NA,p.Met1Val,1.5',
          'u#2,_wt,NA,_wt,1',
          'u#3,c.6G>A,NA,_sy,0.9',
          'u#4,c.6G>A,NA,p.Lys2=,0.8',
          'u#5,NA,NA,p.?,0.1',
          'u#6,NA,NA,p.Lys2fs,0.1',
          'u#7,NA,NA,p.Lys2ThrfsTer3,0.1',
          'u#8,NA,NA,p.Ter5Lys,0.1',
          'u#9,NA,NA,NA,0.1',
          'u#10,NA,NA,p.Ala2Gly,0.1',
          'u#11,NA,NA,p.Thr3Ser,NA',
        ].join('\n'),
    );
    const assay = await readAssay(path, WILD_TYPE, { skipUnscorable: true });
    expect(assay.variants.map(({ name, edits }) => [name, edits.length])).toEqual([
      ['p.Met1Val', 1],
      ['_wt', 0],
      ['_sy', 0],
      ['p.Lys2=', 0],
    ]);
    expect([...assay.measured]).toEqual([1.5, 1, 0.9, 0.8]);
    expect(assay.skipped).toEqual({
      mismatches: 1,
      missing: 1,
      unscorable: { 'unknown effect': 1, frameshift: 2, extension: 1, 'no variant': 1 },
    });
    await expect(readAssay(path, WILD_TYPE, { skipMissing: true })).rejects.toThrow(
      /row 5: variant "p\.\?": .*unknown effect.*; --skip-unscorable leaves such rows out/,
    );
  });

  it('dms_variants: spaces between mutations, and an empty cell is the wild type', async () => {
    const path = file('dms_variants.csv', 'aa_substitutions,func_score\nM1A K2A,-2\n,0.1\n\nT3S,1\n');
    const assay = await readAssay(path, WILD_TYPE);
    expect(assay.variants.map(({ name, edits }) => [name, edits.length])).toEqual([
      ['M1A K2A', 2],
      ['WT', 0],
      ['T3S', 1],
    ]);
    expect([...assay.measured]).toEqual([-2, 0.1, 1]);
    await expect(readAssay(file('hole.csv', 'mutant,DMS_score\nM1A,1\n,2\n'), WILD_TYPE)).rejects.toThrow(
      'row 2 has no variant',
    );
  });

  it.each([
    ['site, wildtype, mutation', 'sites.csv', 'site,wildtype,mutation\n1,M,A\n2,K,R\n', ['M1A', 'K2R']],
    ['position and codes of three letters', 'three.csv', 'pos,wt,mut\n1,Met,Ala\n2,Lys,Ter\n', ['Met1Ala', 'Lys2Ter']],
    ['a column mutant of letters', 'letters.csv', 'wt,site,mutant\nM,1,A\nK,2,*\n', ['M1A', 'K2*']],
    ['EVE', 'EVE.csv', 'wt_aa,position,mt_aa,EVE_scores_ASM\nM,1,A,0.9\n', ['M1A']],
    ['EVE, as computed', 'evol.csv', 'protein_name,mutations,evol_indices\nX,M1A,9\n', ['M1A']],
    [
      'AlphaMissense',
      'am.tsv',
      '# Copyright\n#CHROM\tPOS\tprotein_variant\tam_pathogenicity\nchr1\t9\tM1A\t0.9\n',
      ['M1A'],
    ],
    [
      'Enrich2',
      'enrich.tsv',
      '\tSE\tscore\nc.1A>G (p.Met1Val), c.8C>G (p.Thr3Ser)\t0.1\t1\n_wt\t0\t0\n'.replace('\t', 'hgvs\t'),
      ['c.1A>G (p.Met1Val), c.8C>G (p.Thr3Ser)', '_wt'],
    ],
    ['ClinVar', 'clinvar.txt', 'Name\tGene(s)\nNM_1.3(G):c.1A>G (p.Met1Val)\tG\n', ['NM_1.3(G):c.1A>G (p.Met1Val)']],
    ['VEP', 'vep.tsv', 'HGVSc\tHGVSp\nENST1:c.6G>A\tENSP1.2:p.Lys2%3D\n', ['ENSP1.2:p.Lys2%3D']],
    ['FoldX', 'individual_list.txt', 'MA1A;\nKA2A,TA3S;\n', ['MA1A;', 'KA2A,TA3S;']],
    ['MAVE-HGVS with hgvs_pro alone', 'pro.csv', 'hgvs_pro\np.Met1Ala\n', ['p.Met1Ala']],
  ])('%s', async (_, name, text, expected) => {
    expect(await variants(name, text)).toEqual(expected);
  });

  it('DiMSum: whole sequences and fitness', async () => {
    const path = file(
      'fitness.txt',
      'nt_seq aa_seq Nham_aa fitness sigma\natg MKTV 0 0 0.1\nacg MATV 1 -0.5 0.1\nacg MK*V 1 -1 0.1\n',
    );
    const assay = await readAssay(path, WILD_TYPE);
    expect(assay.variants.map(({ name }) => name)).toEqual(['WT', 'K2A', 'T3*']);
    expect([...assay.measured]).toEqual([0, -0.5, -1]);
  });

  it('refuses changes of DNA for a protein, whatever mismatches are to be done with', async () => {
    for (const change of ['c.4A>G', 'n.4A>G', 'g.4A>G', '4A>G', 'NM_1.3(G):c.4A>G']) {
      const path = file('dna.csv', `mutant\n${change}\n`);
      const mutations = await readMutations(path, { skipMismatches: true });
      expect(() => mutations.of('', WILD_TYPE)).toThrow(
        /row 1: variant ".*" is a change of DNA or RNA.*nucleotide model/,
      );
      const counted = (await readMutations(path, { skipUnscorable: true })).of('', WILD_TYPE);
      expect(counted).toEqual({ variants: [], mismatches: 0, unscorable: { 'a change of DNA or RNA': 1 } });
      const bases = await readMutations(path, { alphabet: 'nucleotide' });
      if (!change.startsWith('NM_')) {
        expect(bases.of('', 'ATGAAA').variants).toHaveLength(1);
      }
    }
  });
});

describe("ProteinGym's other files", () => {
  it('indels: whole sequences in the column mutant, by their content', async () => {
    const path = file('indels.csv', 'mutant,DMS_score\nMKV,1\nMKTTV,2\nMAKTV,0\n');
    const assay = await readAssay(path, WILD_TYPE);
    expect(assay.variants.map(({ name }) => name)).toEqual(['T3del', 'T3_V4insT', 'M1_K2insA']);
    const { variants } = (await readMutations(path)).of('', WILD_TYPE);
    expect(variants).toHaveLength(3);
  });

  it('the column mutant is released where --sequence-column names it', async () => {
    const path = file('short.csv', 'mutant,DMS_score\nMKV,1\nMK,2\n');
    const { variants } = (await readMutations(path, { columns: { mutatedSequence: 'mutant' } })).of('', WILD_TYPE);
    expect(variants.map(({ name }) => name)).toEqual(['T3del', 'T3_V4del']);
  });

  it('clinical variants: 1 and Pathogenic are unfit, and the table has the wild type', async () => {
    const text = (bad: string, good: string) =>
      `protein,protein_sequence,mutant,mutated_sequence,DMS_bin_score\nNP_1,MKTV,M1A,AKTV,${bad}\nNP_1,MKTV,K2R,MRTV,${good}\n`;
    for (const [bad, good] of [
      ['Pathogenic', 'Benign'],
      ['1', '0'],
      ['1.0', '0.0'],
    ]) {
      const assay = await readAssay(file('clinical.csv', text(bad, good)));
      expect(assay).toMatchObject({ wildType: 'MKTV', clinical: true });
      expect([...assay.measured]).toEqual([0, 1]);
      expect([...assay.labels!]).toEqual([0, 1]);
    }
    await expect(readAssay(file('clinical.csv', text('maybe', '0')))).rejects.toThrow(
      'row 1, DMS_bin_score: "maybe" is neither Pathogenic nor Benign (1 or 0)',
    );
  });
});
