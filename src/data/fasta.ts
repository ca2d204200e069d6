import { constants } from 'node:buffer';
import { beginsWith, describeReadError, type FileSource, readBytes, sourceList, sourceName } from './byteStream.js';
import { InputError } from './errors.js';
import { SequenceStream } from './sequenceStream.js';
import type { Warnings } from './warnings.js';
import { firstWord, trimEnd } from './whiteSpace.js';

/** What FASTA records come from: a file or stream of bytes, or a stream of objects ({@link SequenceStream}). */
export type FastaSource = FileSource | SequenceStream;

export interface FastaOptions {
  /** Takes what Biopython passes over in silence: text before the first record, a file without any record. */
  warnings?: Warnings;
  /** Called with the bytes read so far, of all sources together, before decompression. */
  onBytes?: (bytes: number) => void;
}

/** At most so much of the text before the first record is kept, for the message. */
const PREAMBLE = 1 << 10;
const NEWLINE = 10;
const RETURN = 13;
const GREATER = 62;

/** One record of a FASTA file, as Biopython's `SeqIO.parse(…, 'fasta')` gives it. */
export class FastaRecord {
  /** The header's first word, of NCBI's joined titles the first one's; empty where the header is. */
  readonly id: string;
  /** The whole header after `>`, the identifier included. */
  readonly description: string;
  /** The letters as they are in the file, without line ends and spaces. */
  readonly sequence: string;
  /** Name of the file; `-` for standard input. */
  readonly file: string;
  /** Line of the header, counted from 1; 0 where the record comes from a stream of objects, which tells none. */
  readonly line: number;
  /** Which record of its file it is, counted from 1. */
  readonly number: number;
  /** Lines that the record takes. */
  readonly lines: number;
  private readonly body: Buffer;

  /** @param bytes from `>` to before the next record's, with `\n` line ends */
  constructor(bytes: Buffer, file: string, line: number, number: number) {
    let end = bytes.indexOf(NEWLINE);
    if (end === -1) {
      end = bytes.length;
    }
    this.description = trimEnd(bytes.toString('utf8', 1, end));
    this.id = firstWord(this.description);
    this.file = file;
    this.line = line;
    this.number = number;
    this.body = bytes.subarray(end + 1);
    const text = this.body.toString('latin1');
    const lines = text.split('\n');
    const closed = text.length === 0 || text.endsWith('\n');
    this.lines = lines.length + (closed ? 0 : 1);
    this.sequence = PLAIN.test(text) ? lines.join('') : cleanLines(this.body.toString('utf8')).join('');
  }

  /** Where a letter of `sequence` stands in the file; line and column count from 1. */
  locate(index: number): { line: number; column: number } {
    const lines = this.body.toString('utf8').split('\n');
    let left = index;
    for (const [i, raw] of lines.entries()) {
      const kept = cleanLines(raw)[0].length;
      if (left >= kept) {
        left -= kept;
        continue;
      }
      let column = 0;
      for (let letters = -1; letters < left; column++) {
        if (raw[column] !== ' ') {
          letters++;
        }
      }
      return { line: this.line + 1 + i, column };
    }
    return { line: this.line, column: 1 };
  }

  /** `file:line`, for messages; `file, object N` where the record comes from a stream of objects. */
  get place(): string {
    return this.line === 0 ? `${this.file}, object ${this.number}` : `${this.file}:${this.line}`;
  }

  /** `file:line, record ID`, for messages. */
  get where(): string {
    return `${this.place}, record ${this.id || this.number}`;
  }

  /** `file:line:column, record ID` of a letter of `sequence`, for messages; its number where no line is known. */
  whereLetter(index: number): string {
    if (this.line === 0) {
      return `${this.where}, letter ${index + 1}`;
    }
    const { line, column } = this.locate(index);
    return `${this.file}:${line}:${column}, record ${this.id || this.number}`;
  }
}

/** A body with nothing to clean but its line ends. */
const PLAIN = /^[!-~\n]*$/;

function cleanLines(text: string): string[] {
  return text.split('\n').map((line) => trimEnd(line).replaceAll(' ', ''));
}

/**
 * Reads FASTA records, one after the other, in memory for one record: plain or gzip, one source or several, `-` for
 * standard input. Records are as Biopython's parser (`SeqIO.parse(…, 'fasta')`) gives them: `\n`, `\r\n` and `\r` end
 * lines; white space at a line's end, blank lines and spaces within a sequence are dropped; lower case, `*` and lines
 * with `;` or `#` stay letters of the sequence; text before the first `>` is skipped, here with a warning. A byte order
 * mark is skipped, where Biopython loses the first record.
 *
 *     for await (const { id, sequence } of readFasta(['a.fasta', 'b.fasta.gz'])) …
 *
 * The objects of a stream (`sequencesFrom`) become records in the same way.
 *
 * @throws InputError for a file that is missing, compressed in another way, truncated, in UTF-16 or without a record.
 */
export async function* readFasta(
  sources: FastaSource | readonly FastaSource[],
  options: FastaOptions = {},
): AsyncGenerator<FastaRecord, void, undefined> {
  let bytes = 0;
  const onBytes = (length: number) => {
    bytes += length;
    options.onBytes?.(bytes);
  };
  for (const source of sourceList(sources)) {
    yield* source instanceof SequenceStream
      ? readStream(source, onBytes, options.warnings)
      : readSource(source, onBytes, options.warnings);
  }
}

async function* readStream(
  source: SequenceStream,
  onBytes: (length: number) => void,
  warnings: Warnings | undefined,
): AsyncGenerator<FastaRecord, void, undefined> {
  let number = 0;
  for await (const { description, sequence, file } of source) {
    const bytes = Buffer.from(`>${description}\n${sequence}\n`);
    onBytes(bytes.length);
    yield new FastaRecord(bytes, file, 0, ++number);
  }
  if (number === 0) {
    warnings?.add('stream without a record', source.name);
  }
}

async function* readSource(
  source: FileSource,
  onBytes: (length: number) => void,
  warnings: Warnings | undefined,
): AsyncGenerator<FastaRecord, void, undefined> {
  const file = sourceName(source);
  const preamble = new Preamble();
  let line = 1;
  let number = 0;
  let pieces: Buffer[] | undefined;
  let atLineStart = true;

  const take = (bytes: Buffer) => {
    if (pieces) {
      pieces.push(bytes);
    } else {
      line += preamble.take(bytes);
    }
  };
  const finish = (all: Buffer[]) => {
    const length = all.reduce((sum, bytes) => sum + bytes.length, 0);
    if (length > constants.MAX_STRING_LENGTH) {
      const most = constants.MAX_STRING_LENGTH.toLocaleString('en-US');
      throw new InputError(
        `${file}:${line}: a record of ${length.toLocaleString('en-US')} bytes, at most ${most} can be read; split it`,
      );
    }
    const record = new FastaRecord(all.length === 1 ? all[0] : Buffer.concat(all), file, line, ++number);
    line += record.lines;
    return record;
  };
  try {
    for await (const chunk of normalizeLines(
      withoutMark(readBytes(source, onBytes, (head) => checkText(head, file))),
    )) {
      let from = 0;
      let start = atLineStart && chunk[0] === GREATER ? 0 : nextRecord(chunk, 0);
      while (start !== -1) {
        if (start > from) {
          take(chunk.subarray(from, start));
        }
        if (pieces) {
          yield finish(pieces);
        } else if (preamble.hasText) {
          warnings?.add('text before the first record, skipped', `${file}:1, ${preamble}`);
        }
        pieces = [];
        from = start;
        start = nextRecord(chunk, start);
      }
      take(chunk.subarray(from));
      atLineStart = chunk[chunk.length - 1] === NEWLINE;
    }
  } catch (error) {
    throw describeReadError(error, file, `${number.toLocaleString('en-US')} records`);
  }
  if (pieces) {
    yield finish(pieces);
  } else if (preamble.hasText) {
    const fastq = preamble.isFastq ? '; FASTQ becomes FASTA with seqtk seq -A' : '';
    throw new InputError(
      `${file}:1: no FASTA record, the file begins with ${preamble}; a record begins with ">"${fastq}`,
    );
  } else {
    warnings?.add('file without a record', file);
  }
}

function nextRecord(chunk: Buffer, from: number): number {
  const end = chunk.indexOf('\n>', from, 'latin1');
  return end === -1 ? -1 : end + 1;
}

/** The text before the first record: counted, and its beginning kept for a message. */
class Preamble {
  private beginning = '';

  /** Returns the number of line ends. */
  take(bytes: Buffer): number {
    if (this.beginning.length < PREAMBLE) {
      this.beginning = (this.beginning + bytes.toString('utf8', 0, PREAMBLE)).trimStart();
    }
    let lines = 0;
    for (const byte of bytes) {
      if (byte === NEWLINE) {
        lines++;
      }
    }
    return lines;
  }

  get hasText(): boolean {
    return this.beginning !== '';
  }

  /** `@name`, letters, `+`. */
  get isFastq(): boolean {
    return /^@[^\n]*\n[A-Za-z.*-]+\n\+/.test(this.beginning);
  }

  toString(): string {
    const line = this.beginning.split('\n', 1)[0];
    return JSON.stringify(line.length > 40 ? `${line.slice(0, 40)}…` : line);
  }
}

/** Beginnings of files that are no text, and what to do about them. */
const FOREIGN: [kind: string, magic: number[], advice: string][] = [
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd], 'decompress it first: zstd -dc FILE | protein-lm … -'],
  ['bzip2', [0x42, 0x5a, 0x68], 'decompress it first: bzip2 -dc FILE | protein-lm … -'],
  ['xz', [0xfd, 0x37, 0x7a, 0x58], 'decompress it first: xz -dc FILE | protein-lm … -'],
  ['zip', [0x50, 0x4b, 0x03, 0x04], 'decompress it first: unzip -p FILE | protein-lm … -'],
  ['UTF-16', [0xff, 0xfe], 'save it as UTF-8'],
  ['UTF-16', [0xfe, 0xff], 'save it as UTF-8'],
];
const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf];

/** @throws InputError for a file that is compressed in a way that is not read here, or in UTF-16. */
function checkText(head: Buffer, file: string): void {
  const foreign = FOREIGN.find(([, magic]) => beginsWith(head, magic));
  if (foreign) {
    throw new InputError(`${file}: a ${foreign[0]} file, plain text or gzip is needed; ${foreign[2]}`);
  }
}

async function* withoutMark(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  let first = true;
  for await (const chunk of chunks) {
    yield first && beginsWith(chunk, BYTE_ORDER_MARK) ? chunk.subarray(BYTE_ORDER_MARK.length) : chunk;
    first = false;
  }
}

/** Turns `\r\n` and `\r` into `\n`. */
async function* normalizeLines(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  let afterReturn = false;
  for await (const chunk of chunks) {
    if (chunk.length === 0) {
      continue;
    }
    if (!afterReturn && !chunk.includes(RETURN)) {
      yield chunk;
      continue;
    }
    const normal = Buffer.allocUnsafe(chunk.length);
    let length = 0;
    for (const byte of chunk) {
      if (byte !== NEWLINE || !afterReturn) {
        normal[length++] = byte === RETURN ? NEWLINE : byte;
      }
      afterReturn = byte === RETURN;
    }
    if (length > 0) {
      yield normal.subarray(0, length);
    }
  }
}
