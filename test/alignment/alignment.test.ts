import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { type Alignment, GAP, LETTERS, readAlignment, residuesOf } from '../../src/alignment/alignment.js';
import { SHARED } from '../shared.js';

const folder = mkdtempSync(join(tmpdir(), 'alignment-'));
const ALIGNMENTS = join(SHARED ?? '', 'data', 'alignments');

function file(name: string, content: string | Buffer): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

/** An alignment's rows as text, gaps as `-`. */
function textOf({ rows, depth, length }: Alignment): string[] {
  return Array.from({ length: depth }, (_, row) =>
    Array.from(rows.subarray(row * length, (row + 1) * length), (code) => (code === GAP ? '-' : LETTERS[code])).join(
      '',
    ),
  );
}

const read = async (name: string, content: string | Buffer, query?: string) =>
  readAlignment(file(name, content), { query });

describe('rows', () => {
  it('of an a3m lose their insertions', async () => {
    const a3m = '>q the query\nMKTVRQ\n>a\t274\t0.5\nM-TaaV.RQ\n>b\nMKT\nVRcQ\n';
    const alignment = await read('x.a3m', a3m);
    expect(textOf(alignment)).toEqual(['MKTVRQ', 'M-TVRQ', 'MKTVRQ']);
    expect(alignment.names).toEqual(['q', 'a', 'b']);
    expect(alignment).toMatchObject({ query: 'q', querySequence: 'MKTVRQ', depth: 3, length: 6 });
  });

  it('of equal lengths keep lower case, and take . for a gap', async () => {
    expect(textOf(await read('x.a2m', '>q\nmKTv\n>a\n.KT.\n>b\nmK-v\n'))).toEqual(['MKTV', '-KT-', 'MK-V']);
  });

  it('lose the columns in which the query has a gap', async () => {
    const alignment = await read('gaps.fasta', '>q\nM-KT.V\n>a\nMAKTAV\n');
    expect(textOf(alignment)).toEqual(['MKTV', 'MKTV']);
    expect([...alignment.positions]).toEqual([0, 1, 2, 3]);
  });

  it('take letters of no certain amino acid for gaps, in the query too', async () => {
    const alignment = await read('letters.fasta', '>q\nMXKTV\n>a\nBJOUX\n>b\nZAK*~\n');
    expect(textOf(alignment)).toEqual(['MKTV', '----', '-K--']);
    expect(alignment.querySequence).toBe('MXKTV');
    expect([...alignment.positions]).toEqual([0, 2, 3, 4]);
  });

  it("count an a3m query's own insertions in its sequence", async () => {
    const alignment = await read('own.a3m', '>q\nMKaaTV\n>a\nMKTV\n');
    expect(alignment.querySequence).toBe('MKAATV');
    expect([...alignment.positions]).toEqual([0, 1, 4, 5]);
  });

  it('are read from Stockholm, in blocks', async () => {
    const text =
      '# STOCKHOLM 1.0\n#=GF ID x\n\n#=GS q/1-6 DE query\nq/1-6  MKt\na.1    M-t\n#=GC RF xx.\n\nq/1-6  VRQ\na.1    V.Q\n//\n';
    const alignment = await read('x.sto', text);
    expect(textOf(alignment)).toEqual(['MKTVRQ', 'M-TV-Q']);
    expect(alignment.names).toEqual(['q/1-6', 'a.1']);
  });

  it('are read from CLUSTAL, in blocks with counts and marks', async () => {
    const text =
      'CLUSTAL O(1.2.4) multiple sequence alignment\r\n\r\n\r\nq      MKT 3\r\na      M-T 2\r\n       * *\r\n\r\nq      VRQ 6\r\na      VRQ 5\r\n       ***\r\n';
    expect(textOf(await read('x.aln', text))).toEqual(['MKTVRQ', 'M-TVRQ']);
  });

  it('are read from gzip, and after comment lines', async () => {
    expect(textOf(await read('x.a3m.gz', gzipSync('#4\t1\n>q\nMKTV\n>a\nMKtTV\n')))).toEqual(['MKTV', 'MKTV']);
  });
});

describe('the query', () => {
  const text = '>a/1-4\nMK-V\n>YAP1_HUMAN/9-11\nM-TV\n>YAP2_HUMAN/1-3\nM-TV\n>YAP2_HUMAN/7-9\nMAAV\n';

  it('is any row, and comes first', async () => {
    const alignment = await read('query.fasta', text, 'YAP1_HUMAN/9-11');
    expect(alignment.names).toEqual(['YAP1_HUMAN/9-11', 'a/1-4', 'YAP2_HUMAN/1-3', 'YAP2_HUMAN/7-9']);
    expect(textOf(alignment)).toEqual(['MTV', 'M-V', 'MTV', 'MAV']);
  });

  it('may be named without its range where one row has it', async () => {
    expect((await read('query.fasta', text, 'YAP1_HUMAN')).query).toBe('YAP1_HUMAN/9-11');
    await expect(read('query.fasta', text, 'YAP2_HUMAN')).rejects.toThrow(
      /2 rows are of YAP2_HUMAN; name one of YAP2_HUMAN\/1-3, YAP2_HUMAN\/7-9$/,
    );
  });

  it('must be there', async () => {
    await expect(read('query.fasta', text, 'YAP1')).rejects.toThrow(/no row YAP1; it has a\/1-4, YAP1_HUMAN\/9-11/);
  });
});

describe('an error in one line', () => {
  it.each([
    ['empty.a3m', '', /empty\.a3m: empty, no alignment in it/],
    ['blank.a3m', '\n \n', /empty, no alignment in it/],
    ['text.txt', 'hello there\n', /text\.txt:1: begins with "hello there"/],
    ['header.sto', '# STOCKHOLM 1.0\n//\n', /header\.sto: no rows in it/],
    ['one.a3m', '>q\nMKTVRQ\n', /one\.a3m: one row, q, which tells nothing of its family/],
    ['ragged.a2m', '>q\nMKTVRQ\n>b\nMKTVR\n', /ragged\.a2m:3, row b: 5 letters and gaps, the first row has 6/],
    ['lower.a2m', '>q\nMKTVRQ\n>b\nMKTVRaQ\n', /lower\.a2m:3.*name the file \.a3m/],
    [
      'ragged.fasta',
      '>q\nMKTVRQ\n>b\nMKTVR\n',
      /ragged\.fasta:3, row b: 5 columns \(capitals and -\), the query has 6/,
    ],
    ['long.a3m', '>q\nMKTVRQ\n>b\nMKTaVRQQ\n', /long\.a3m:3, row b: 7 columns \(capitals and -\), the query has 6/],
    [
      'ragged.sto',
      '# STOCKHOLM 1.0\nq MKTV\nb MK\n//\n',
      /ragged\.sto:3, row b: 2 letters and gaps, the first row has 4/,
    ],
    ['cut.sto', '# STOCKHOLM 1.0\nq MKTV\nb MKTV\n', /cut\.sto: ends without \/\/; it is truncated/],
    ['two.sto', '# STOCKHOLM 1.0\nq MK\nb MK\n//\n# STOCKHOLM 1.0\n', /two\.sto:5: a second alignment/],
    ['name.aln', 'CLUSTAL W\n\nq MKTV\nb\n', /name\.aln:4: "b" has no row beside it/],
    ['digit.fasta', '>q\nMKTV\n>b\nMK1V\n', /digit\.fasta:3, row b: "1" is no letter of a protein's row/],
    ['gaps.fasta', '>q\n--X-\n>b\nMKTV\n', /gaps\.fasta:1, row q: the query has no residues/],
    [
      'dna.fasta',
      '>q\nACGTAC-GTACGTACGTNA\n>b\nACGTACTGTACGTACGTAA\n',
      /look like DNA or RNA, an alignment of proteins/,
    ],
    ['rna.fasta', '>q\nACGUACGUACGUACGU\n>b\nACGUACGUACGUACG-\n', /look like DNA or RNA/],
    ['cut.a3m.gz', gzipSync('>q\nMKTV\n>b\nMKTV\n').subarray(0, 20), /gzip file ends too early/],
  ])('%s', async (name, content, message) => {
    await expect(read(name, content)).rejects.toThrow(message);
  });

  it('for a file that is not there', async () => {
    await expect(readAlignment(join(folder, 'absent.a3m'))).rejects.toThrow(
      /absent\.a3m: no such file; check the path/,
    );
  });
});

describe('residuesOf', () => {
  it('takes gaps out', () => {
    expect(residuesOf('M-k.T~v_*')).toBe('MKTV');
  });
});

describe.skipIf(!SHARED)('alignments of shared/data', () => {
  it.each([
    ['BLAT_ECOLX.a3m', undefined, 4501, 286, '101'],
    ['PTEN_HUMAN.a2m', undefined, 1197, 403, 'PTEN_HUMAN/1-403'],
    ['PF00397_WW.fasta', 'YAP1_HUMAN/173-202', 39_045, 30, 'YAP1_HUMAN/173-202'],
    ['6acv_A_29-94.fasta', undefined, 563, 66, '6acv_A_29-94'],
  ])('%s', async (name, query, depth, length, first) => {
    const alignment = await readAlignment(join(ALIGNMENTS, name), { query });
    expect(alignment).toMatchObject({ depth, length, query: first });
    expect(new Set(alignment.names).size).toBeGreaterThan(depth / 2);
  });
});
