import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { fromCSV, toArrowIPC } from 'arquero';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { InputError } from '../../src/data/errors.js';
import { readAssay } from '../../src/scoring/assay.js';
import { readTable, variantRows } from '../../src/scoring/tables.js';

fc.configureGlobal({ seed: 20 });

const folder = mkdtempSync(join(tmpdir(), 'tables-'));
afterAll(() => rmSync(folder, { recursive: true }));
const file = (name: string, content: string | Uint8Array): string => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};
const WILD_TYPE = 'MKTV';
const CSV = 'mutant,mutated_sequence,DMS_score,DMS_score_bin\nM1A,AKTV,0.5,1\nK2A:T3S,MASV,-1e-1,0\n';

describe('every format gives the same assay', () => {
  it.each([
    ['a.csv', CSV],
    ['bom.csv', `\uFEFF${CSV}`],
    ['windows.csv', CSV.replaceAll('\n', '\r\n')],
    ['quoted.csv', CSV.replace('M1A', '"M1A"')],
    ['spreadsheet.csv', CSV.replaceAll('\n', ',,\n')],
    ['ragged.csv', CSV.replaceAll(/(\d)\n(?!K)/g, '$1,, ,\n')],
    ['blank.csv', CSV.replace('\nK2A', '\n\nK2A')],
    ['a.tsv', CSV.replaceAll(',', '\t')],
    ['a.csv.gz', gzipSync(CSV)],
    ['rows.json', JSON.stringify(fromCSV(CSV).objects())],
    [
      'columns.json',
      JSON.stringify(
        Object.fromEntries(
          fromCSV(CSV)
            .columnNames()
            .map((n) => [n, [...fromCSV(CSV).array(n)]]),
        ),
      ),
    ],
    ['a.arrow', toArrowIPC(fromCSV(CSV), { format: 'file' })],
    ['stream.arrow', toArrowIPC(fromCSV(CSV), { format: 'stream' })],
  ])('%s', async (name, content) => {
    const assay = await readAssay(file(name, content!), WILD_TYPE);
    expect(assay.variants.map((variant) => variant.name)).toEqual(['M1A', 'K2A:T3S']);
    expect([...assay.measured]).toEqual([0.5, -0.1]);
    expect([...assay.labels!]).toEqual([1, 0]);
  });

  it('reads quoted cells with delimiters, ends of lines and quotes in them', async () => {
    const names = ['a "b", c\nd', 'e\r\nf', 'g'];
    const cells = names.map((name) => `"${name.replaceAll('"', '""')}"`);
    const source = await readTable(file('cells.csv', `x,y\n${cells.join(',1\n')}`));
    expect([...source.array('x')]).toEqual(names);
    expect([...source.array('y')]).toEqual(['1', '1', null]);
  });

  it('derives the wild type from variant and mutated sequence', async () => {
    expect((await readAssay(file('b.csv', CSV))).wildType).toBe(WILD_TYPE);
  });

  it('takes whole sequences alone, columns by other names, and an offset', async () => {
    const indels = file('indels.csv', 'seq,fitness\nMKV,1\nMKTAAV,2\n');
    const columns = { mutatedSequence: 'seq', score: 'fitness' };
    const assay = await readAssay(indels, WILD_TYPE, { columns });
    expect(assay.variants.map((variant) => variant.name)).toEqual(['T3del', 'T3_V4insAA']);
    const shifted = await readAssay(file('shifted.csv', 'variant,DMS_score\nK101A,1\n'), WILD_TYPE, { offset: 100 });
    expect(shifted.variants[0].edits[0].start).toBe(1);
  });
});

describe('what is wrong is said in one line, with the row', () => {
  const rows = (...lines: string[]) => `mutant,DMS_score\n${lines.join('\n')}\n`;
  it.each<[name: string, content: string | Uint8Array, message: RegExp]>([
    ['empty.csv', '', /empty\.csv is empty/],
    ['white.csv', ' \n\n', /white\.csv is empty/],
    ['header.csv', 'mutant,DMS_score\n', /has no rows/],
    ['empty.json', '', /is empty/],
    ['none.json', '[]', /has no rows|does not read/],
    ['broken.json', '[{"mutant":', /broken\.json does not read as a table/],
    ['broken.arrow', 'no arrow', /broken\.arrow does not read as a table/],
    ['cut.csv.gz', gzipSync(CSV.repeat(99)).subarray(0, 60), /no whole gzip file/],
    ['plain.csv.gz', CSV, /no whole gzip file/],
    ['table.xlsx', 'PK\x03\x04', /table\.xlsx is an Excel workbook; .* save the sheet as \.csv/],
    ['table.foo', CSV, /use \.csv, \.tsv, \.json, \.arrow or \.parquet/],
    ['twice.csv', 'mutant,mutant,DMS_score\nM1A,M1A,1\n', /two columns named mutant/],
    ['nocolumn.csv', 'foo,DMS_score\nM1A,1\n', /no column mutant or mutated_sequence; it has foo, DMS_score/],
    ['noscore.csv', 'mutant,activity\nM1A,1\n', /no column DMS_score or DMS_bin_score; it has mutant, activity/],
    ['word.csv', rows('M1A,1', 'K2A,high'), /word\.csv row 2, DMS_score: "high" is not a finite number/],
    ['infinite.csv', rows('M1A,inf'), /row 1, DMS_score: "inf" is not/],
    [
      'wide.csv',
      'mutant,DMS_score\nM1A,1\nK2A,T3S,0.5\n',
      /wide\.csv row 2 has 3 cells, its header names 2 columns; put a cell that holds a comma in double quotes, join/,
    ],
    ['wide.tsv', 'mutant\tDMS_score\nM1A\t1\t\tnote\n', /wide\.tsv row 1 has 4 cells, .* a cell that holds a tab/],
    ['nameless.csv', 'mutant,DMS_score,\nM1A,1,high\n', /nameless\.csv row 1 has 3 cells, its header names 2 columns/],
    ['nan.csv', rows('M1A,1', 'K2A,NaN'), /nan\.csv row 2 has no measured value/],
    ['hole.csv', rows('M1A,1', 'K2A,'), /hole\.csv row 2 has no measured value/],
    ['short.csv', rows('M1A,1', 'K2A'), /short\.csv row 2 has no measured value/],
    ['novariant.csv', rows('M1A,1', ',2'), /novariant\.csv row 2 has no variant/],
    ['notation.csv', rows('M1A,1', 'K2,1'), /row 2: variant "K2": "K2" names no mutant residue/],
    [
      'mismatch.csv',
      rows('M1A,1', 'A2G,2'),
      /row 2: variant A2G: position 2 of the wild type is K, not A; check the sequence and --offset, or pass --skip-mismatches/,
    ],
    ['outside.csv', rows('K200A,2'), /row 1: variant K200A: position 200 lies outside the sequence/],
    ['afterblank.csv', rows('M1A,1', '', 'A2G,2'), /row 3: variant A2G/],
    ['label.csv', 'mutant,DMS_score,DMS_score_bin\nM1A,1,2\n', /row 1, DMS_score_bin: "2" is neither 0 nor 1/],
    ['gap.csv', 'mutated_sequence,DMS_score\nMK-V,1\n', /row 1, mutated_sequence: "-" at position 3 is no residue/],
    ['differ.csv', 'mutant,mutated_sequence,DMS_score\nM1A,MKTV,1\n', /row 1: variant M1A: its mutated sequence has M/],
  ])('%s', async (name, content, message) => {
    const error = await readAssay(file(name, content), WILD_TYPE).catch((caught: Error) => caught);
    expect(error).toBeInstanceOf(InputError);
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message).not.toContain('\n');
  });

  it('skips and counts what it is told to', async () => {
    const path = file('skip.csv', rows('M1A,1', 'A2G,2', 'K2A,NaN', 'K99A,1'));
    const assay = await readAssay(path, WILD_TYPE, { skipMismatches: true, skipMissing: true });
    expect(assay.variants).toHaveLength(1);
    expect(assay.skipped).toEqual({ mismatches: 2, missing: 1, unscorable: {} });
  });

  it('names a column asked for that is not there', async () => {
    const source = await readTable(file('c.csv', CSV));
    expect(() => variantRows(source, 'c.csv', { mutant: 'mut' })).toThrow(
      'c.csv has no column mut; it has mutant, mutated_sequence, DMS_score, DMS_score_bin',
    );
  });
});

it('any file either reads or gives a one-line input error', async () => {
  const cell = fc.oneof(
    fc.constantFrom('mutant', 'DMS_score', 'mutated_sequence', 'M1A', 'K2A:T3S', '0.5', 'NaN', '"', '""', '__proto__'),
    fc.string({ maxLength: 6 }),
  );
  const line = fc.array(cell, { maxLength: 4 }).map((cells) => cells.join(','));
  const content = fc.array(line, { maxLength: 6 }).map((lines) => lines.join('\n'));
  const headed = content.map((body) => `mutant,DMS_score\n${body}`);
  await fc.assert(
    fc.asyncProperty(fc.oneof(content, headed), fc.constantFrom('f.csv', 'f.tsv', 'f.json'), async (body, name) => {
      try {
        await readAssay(file(name, body), WILD_TYPE);
      } catch (error) {
        if (!(error instanceof InputError)) {
          throw error;
        }
      }
    }),
    { numRuns: 500 },
  );
});
