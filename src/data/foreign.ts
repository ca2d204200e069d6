import { beginsWith } from './byteStream.js';
import { InputError } from './errors.js';

const PIPE = (command: string) => `decompress it first: ${command} FILE | protein-lm … -`;

/** Beginnings of files that are no text, and what to do about them. */
const FOREIGN: [kind: string, magic: readonly number[], advice: string][] = [
  ['a zstd file', [0x28, 0xb5, 0x2f, 0xfd], PIPE('zstd -dc')],
  ['a bzip2 file', [0x42, 0x5a, 0x68], PIPE('bzip2 -dc')],
  ['an xz file', [0xfd, 0x37, 0x7a, 0x58], PIPE('xz -dc')],
  ['an lzma file', [0x5d, 0, 0], PIPE('xz --format=lzma -dc')],
  ['an lz4 file', [0x04, 0x22, 0x4d, 0x18], PIPE('lz4 -dc')],
  ['an lz4 file', [0x02, 0x21, 0x4c, 0x18], PIPE('lz4 -dc')],
  ['an lzip file', [0x4c, 0x5a, 0x49, 0x50], PIPE('lzip -dc')],
  ['an lzop file', [0x89, 0x4c, 0x5a, 0x4f], PIPE('lzop -dc')],
  ['a snappy file', [0xff, 0x06, 0, 0], PIPE('snzip -dc')],
  ['a file of compress (.Z)', [0x1f, 0x9d], PIPE('uncompress -c')],
  ['a zlib stream', [0x78, 0x01], PIPE('zlib-flate -uncompress <')],
  ['a zlib stream', [0x78, 0x9c], PIPE('zlib-flate -uncompress <')],
  ['a zlib stream', [0x78, 0xda], PIPE('zlib-flate -uncompress <')],
  ['a zip file', [0x50, 0x4b, 0x03, 0x04], PIPE('unzip -p')],
  ['a 7z file', [0x37, 0x7a, 0xbc, 0xaf], PIPE('7z x -so')],
  ['a RAR file', [0x52, 0x61, 0x72, 0x21], PIPE('unrar p -inul')],
  ['a UTF-16 file', [0xff, 0xfe], 'save it as UTF-8'],
  ['a UTF-16 file', [0xfe, 0xff], 'save it as UTF-8'],
];

/** Where a tar archive says that it is one. */
const TAR = { at: 257, mark: [0x75, 0x73, 0x74, 0x61, 0x72] };

/**
 * Refuses files that are compressed in a way that is not read here, archives, and UTF-16.
 * @param head at least the first four bytes, of a tar archive 262
 * @throws InputError with the command that makes text of it
 */
export function checkText(head: Buffer, file: string): void {
  const foreign = FOREIGN.find(([, magic]) => beginsWith(head, magic));
  if (foreign) {
    throw new InputError(`${file}: ${foreign[0]}, plain text or gzip is needed; ${foreign[2]}`);
  }
  if (beginsWith(head.subarray(TAR.at), TAR.mark)) {
    throw new InputError(
      `${file}: a tar archive, plain text or gzip of one file is needed; unpack it first: tar -xf FILE, or ` +
        'tar -xOf FILE MEMBER | protein-lm … -',
    );
  }
}

/** What a file with NUL between its entries is, and what to do. */
export const DATABASE =
  'a database of MMseqs2 or ffindex (a NUL ends each entry), FASTA is needed; write it with mmseqs convert2fasta DB ' +
  "FILE.fasta, or of ffindex with tr -d '\\000' < DB.ffdata > FILE.fasta";

/** Alignments that are no FASTA: how each begins, and what it is called. */
const ALIGNMENTS: [kind: string, pattern: RegExp][] = [
  ['a Stockholm alignment', /^# *STOCKHOLM/i],
  ['a CLUSTAL alignment', /^(CLUSTAL|MUSCLE|PROBCONS)\b/i],
  ['a NEXUS file', /^#NEXUS/i],
  ['a PHYLIP alignment', /^\s*\d+\s+\d+\s*\n\S+\s+[A-Za-z-]/],
  ['a profile HMM', /^(HMMER\d|HHsearch)/],
  ['a GenBank or EMBL file', /^(LOCUS |ID {3})/],
];

/** What text of another kind is, and what to do; undefined where it is not known. */
export function kindOfText(text: string): string | undefined {
  const found = ALIGNMENTS.find(([, pattern]) => pattern.test(text));
  if (!found) {
    return undefined;
  }
  const [kind] = found;
  if (/alignment/.test(kind)) {
    return `${kind}, sequences are needed; score --alignment reads alignments, and esl-reformat fasta FILE makes FASTA of it`;
  }
  return `${kind}, FASTA is needed; seqret, esl-reformat or hmmemit make FASTA of it`;
}
