import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as zlib from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { buildStore } from '../../src/data/build.js';
import { readFasta } from '../../src/data/fasta.js';
import { readProteins } from '../../src/data/proteins.js';
import { fastaStatistics } from '../../src/data/statistics.js';
import { Warnings } from '../../src/data/warnings.js';

const folder = mkdtempSync(join(tmpdir(), 'foreign-'));
afterAll(() => rmSync(folder, { recursive: true }));
const file = (name: string, content: string | Uint8Array) => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};
const FASTA = `>sp|P1|A\nMKTVRQGWAALLSEKHNDYP\n>sp|P2|B\nMKTWRQGWAALLSEKHNDYP\n`;
const all = async (path: string, options: Parameters<typeof readProteins>[1] = {}) => {
  const records: string[][] = [];
  for await (const { id, sequence } of readProteins(path, options)) {
    records.push([id, sequence]);
  }
  return records;
};
const has = (program: string) => spawnSync(program, ['--version']).error === undefined;

/** A tar archive of one file. */
function tar(name: string, content: string): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write('0000644\0', 100);
  header.write(`${content.length.toString(8).padStart(11, '0')}\0`, 124);
  header.write('ustar\0', 257);
  const body = Buffer.alloc(Math.ceil(content.length / 512) * 512);
  body.write(content);
  return Buffer.concat([header, body, Buffer.alloc(1024)]);
}

describe('what is compressed in another way is named, with the command that reads it', () => {
  it.each<[string, Uint8Array, RegExp]>([
    ['zlib', zlib.deflateSync(FASTA), /a zlib stream, plain text or gzip is needed; decompress it first: zlib-flate/],
    ['fast zlib', zlib.deflateSync(FASTA, { level: 1 }), /a zlib stream/],
    ['best zlib', zlib.deflateSync(FASTA, { level: 9 }), /a zlib stream/],
    ['tar', tar('a.fasta', FASTA), /a tar archive, .* tar -xOf FILE MEMBER/],
    ['tar.gz', zlib.gzipSync(tar('a.fasta', FASTA)), /a tar archive/],
    ['zip', Buffer.from('PK\x03\x04....', 'latin1'), /a zip file, .*unzip -p/],
    ['zip.gz', zlib.gzipSync(Buffer.from('PK\x03\x04....', 'latin1')), /a zip file/],
    ['7z', Buffer.from([0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c]), /a 7z file, .*7z x -so/],
  ])('%s', async (name, content, message) => {
    await expect(all(file(name, content))).rejects.toThrow(message);
  });

  it.each([
    ['lz4', ['-c'], /an lz4 file, .*lz4 -dc/],
    ['xz', ['-c'], /an xz file, .*xz -dc/],
    ['xz', ['--format=lzma', '-c'], /an lzma file, .*xz --format=lzma -dc/],
    ['bzip2', ['-c'], /a bzip2 file, .*bzip2 -dc/],
  ])('%s %s', async (program, args, message) => {
    if (!has(program)) {
      return;
    }
    const path = file(`${program}${args.length}`, execFileSync(program, args, { input: FASTA }));
    await expect(all(path)).rejects.toThrow(message);
  });

  it('zstd is read where Node.js can', async () => {
    const { zstdCompressSync } = zlib as { zstdCompressSync?: (text: string) => Buffer };
    // A frame of one raw block.
    const raw = Buffer.concat([
      Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x20, FASTA.length, 1 | ((FASTA.length << 3) & 0xff), FASTA.length >> 5, 0]),
      Buffer.from(FASTA),
    ]);
    const path = file('raw.zst', raw);
    if (zstdCompressSync) {
      expect(await all(path)).toHaveLength(2);
      expect(await all(file('own.zst', zstdCompressSync(FASTA)))).toHaveLength(2);
    } else {
      await expect(all(path)).rejects.toThrow(/a zstd file, .*zstd -dc/);
    }
  });
});

describe('databases', () => {
  it.each([
    ['an MMseqs2 database', 'MKTVRQGWAALLSEKHNDYP\n\0MKTWRQG\n\0'],
    ['an ffindex database of FASTA', `>a\nMKTVRQG\n\0>b\nMKTV\n\0`],
    ['an ffindex database of A3M', `>a\nMKTVRQG\n>a2\nMK-VRQG\n\0>b\nMKTV\n\0`],
  ])('%s is named with its converter, whatever --invalid says', async (name, text) => {
    const path = file(name, text);
    for (const invalid of ['error', 'skip', 'unknown'] as const) {
      await expect(all(path, { invalid })).rejects.toThrow(
        /[:;] a database of MMseqs2 or ffindex \(a NUL ends each entry\), FASTA is needed; write it with mmseqs convert2fasta/,
      );
    }
    await expect(fastaStatistics(path)).rejects.toThrow(/a database of MMseqs2 or ffindex/);
  });
});

describe('alignments', () => {
  const A3M = '>q\nMKTVRQG\n>a\nMK-VaaRQG\n>b\nMKT--QG\n';
  const STOCKHOLM =
    '# STOCKHOLM 1.0\n#=GF ID x\n\nq/1-4  MK.T\na      M--T\n#=GC RF x.xx\n\nq/1-4  VRQ\na      V.Q\n//\n';

  it.each([
    ['rows.a3m', A3M],
    ['rows.fasta', A3M],
    ['rows.a2m', '>q\nMKTVRQG\n>a\nMK-V-QG\n'],
    ['dots.a2m', '>q\nMK.TV\n>a\nMKaTV\n>b\nM-.TV\n'],
  ])('%s is named, and read without gaps when asked', async (name, text) => {
    const path = file(name, text);
    await expect(all(path)).rejects.toThrow(
      /record [ab]: this is an alignment \(A3M or A2M\); score --alignment reads it$/,
    );
    await expect(all(path, { unaligned: undefined })).rejects.toThrow(
      /, or give --unaligned to read its rows as proteins$/,
    );
    const rows = await all(path, { unaligned: true });
    expect(rows.map(([, sequence]) => sequence)).toEqual(
      text
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('>'))
        .map((line) => line.replace(/[-.]/g, '').toUpperCase()),
    );
  });

  it('Stockholm too, blocks joined', async () => {
    const path = file('rows.sto', STOCKHOLM);
    await expect(all(path)).rejects.toThrow(
      /rows\.sto:1: no FASTA record, .*; a Stockholm alignment, sequences are needed; score --alignment .* esl-reformat/,
    );
    expect(await all(path, { unaligned: true })).toEqual([
      ['q/1-4', 'MKTVRQ'],
      ['a', 'MTVQ'],
    ]);
  });

  it('CLUSTAL and others by name', async () => {
    await expect(all(file('x.aln', 'CLUSTAL W (1.8)\n\na  MKT\nb  M-T\n'))).rejects.toThrow(/a CLUSTAL alignment/);
    await expect(all(file('x.hmm', 'HMMER3/f [3.3]\nNAME x\n'))).rejects.toThrow(/a profile HMM/);
  });

  it('gaps alone, soft masking alone and lengths that differ are no alignment', async () => {
    expect(await all(file('gaps.fasta', '>a\nMK-V\n>b\nMKTV\n>c\nM--V\n'))).toHaveLength(3);
    expect(await all(file('soft.fasta', '>a\nMKtv\n>b\nMKtvAA\n'))).toHaveLength(2);
    expect(await all(file('mixed.fasta', '>a\nMK-tv\n>b\nMKtvAA\n'))).toHaveLength(2);
  });
});

describe('BGZF', () => {
  // What `bgzip` of htslib writes: a block with its size, and an empty one.
  const block = (text: string) => {
    const deflated = zlib.deflateRawSync(text);
    const header = Buffer.from('1f8b08040000000000ff0600424302000000', 'hex');
    header.writeUInt16LE(header.length + deflated.length + 8 - 1, 16);
    const tail = zlib.gzipSync(text).subarray(-8);
    return Buffer.concat([header, deflated, tail]);
  };
  const end = Buffer.from('1f8b08040000000000ff0600424302001b0003000000000000000000', 'hex');

  it('without its last block is read with a warning', async () => {
    for (const [name, content, lines] of [
      ['whole.bgz', Buffer.concat([block(FASTA), end]), 0],
      ['cut.bgz', block(FASTA), 1],
      ['plain.gz', zlib.gzipSync(FASTA), 0],
    ] as const) {
      const warnings = new Warnings();
      expect(await all(file(name, content), { warnings })).toHaveLength(2);
      expect(warnings.lines()).toHaveLength(lines);
      if (lines > 0) {
        expect(warnings.lines()[0]).toMatch(
          /^BGZF file without its last block, it may be cut off: 1 \(first: .*cut\.bgz\)$/,
        );
      }
    }
  });
});

describe('sequences', () => {
  it('<mask>, and chains that are joined, are named', async () => {
    await expect(all(file('m.fasta', '>a\nMK<mask>V\n'))).rejects.toThrow(
      /m\.fasta:2:3, record a: <mask> in a sequence; score --fill/,
    );
    await expect(all(file('c.fasta', '>a\nMKTV:MKTW\n'))).rejects.toThrow(
      /c\.fasta:2:5, record a: : in a sequence joins the chains/,
    );
    await expect(all(file('s.fasta', '>a\nMKTV/MKTW\n'))).rejects.toThrow(
      /record a: \/ in a sequence joins the chains/,
    );
    const warnings = new Warnings();
    await all(file('g.fasta', `>a\nMKTV${'G'.repeat(25)}MKTW\n>b\nMKTV${'G'.repeat(8)}\n`), { warnings });
    expect(warnings.lines()).toEqual([
      expect.stringMatching(
        /^20 glycines or more in a row: are these chains joined by a linker\?: 1 \(first: .*record a\)$/,
      ),
    ]);
  });

  it('says that --invalid skip left out everything', async () => {
    const path = file('odd.fasta', '>a\nMK1V\n>b\nMK2V\n');
    await expect(buildStore(path, join(folder, 'none'), { invalid: 'skip' })).rejects.toThrow(
      /odd\.fasta: no sequence in it; all 2 have letters outside the alphabet, and --invalid skip left them out$/,
    );
  });

  it('an identifier ends at Ctrl-A', async () => {
    const ids: string[] = [];
    for await (const { id } of readFasta(file('nr.fasta', '>NP_1.1\x01NP_2.1 other\nMKTV\n'))) {
      ids.push(id);
    }
    expect(ids).toEqual(['NP_1.1']);
  });
});
