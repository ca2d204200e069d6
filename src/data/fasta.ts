import { constants } from 'node:buffer';
import { beginsWith, describeReadError, type FileSource, readBytes, sourceList, sourceName } from './byteStream.js';
import { InputError } from './errors.js';
import { checkText, DATABASE, kindOfText } from './foreign.js';
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
  /** Takes the rows of a Stockholm file, without their gaps, as records; default false: an error. */
  unaligned?: boolean;
}

/** At most so much of the text before the first record is kept, for the message. */
const PREAMBLE = 1 << 10;
const NEWLINE = 10;
const RETURN = 13;
const GREATER = 62;
/** How an entry of a database ends: its last line, and a NUL. */
const ENTRY_END = '\n\0';

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

  /** Whether it holds the NUL that ends an entry of MMseqs2's and ffindex's databases, at a line's beginning. */
  get endsEntry(): boolean {
    return this.body.includes(ENTRY_END);
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
      : readSource(source, onBytes, options);
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
  { warnings, unaligned }: FastaOptions,
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
  const read = () => `${number.toLocaleString('en-US')} records`;
  const bytes = readBytes(
    source,
    onBytes,
    (head) => checkText(head, file),
    () => warnings?.add('BGZF file without its last block, it may be cut off', file),
  );
  try {
    let first = true;
    for await (const chunk of normalizeLines(withoutMark(beginning(bytes)))) {
      if (first) {
        checkText(chunk, file);
        if (unaligned && STOCKHOLM.test(chunk.toString('latin1', 0, PREAMBLE))) {
          yield* stockholmRecords(chunk, normalizeLines(bytes), file);
          return;
        }
        first = false;
      }
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
    throw describeReadError(error, file, read());
  }
  if (pieces) {
    yield finish(pieces);
  } else if (preamble.hasText) {
    const fastq = preamble.isFastq ? '; FASTQ becomes FASTA with seqtk seq -A' : '';
    const kind = preamble.kind ?? `a record begins with ">"${fastq}`;
    throw new InputError(`${file}:1: no FASTA record, the file begins with ${preamble}; ${kind}`);
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
  private entries = false;

  /** Returns the number of line ends. */
  take(bytes: Buffer): number {
    if (this.beginning.length < PREAMBLE) {
      this.beginning = (this.beginning + bytes.toString('utf8', 0, PREAMBLE)).trimStart();
    }
    this.entries ||= bytes.includes(ENTRY_END);
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

  /** What the text is, where it is of a known kind. */
  get kind(): string | undefined {
    return this.entries ? DATABASE : kindOfText(this.beginning);
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

const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf];

/** Bytes that tell a tar archive, unless there are fewer: the first chunk has them all. */
const HEAD = 512;

async function* beginning(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  let head: Buffer | undefined = Buffer.alloc(0);
  for await (const chunk of chunks) {
    if (head === undefined) {
      yield chunk;
      continue;
    }
    head = Buffer.concat([head, chunk]);
    if (head.length >= HEAD) {
      yield head;
      head = undefined;
    }
  }
  if (head !== undefined && head.length > 0) {
    yield head;
  }
}

const STOCKHOLM = /^# *STOCKHOLM/i;

/** The rows of a Stockholm file as records, without their gaps; it is in memory whole, as its blocks are joined. */
async function* stockholmRecords(
  head: Buffer,
  rest: AsyncIterable<Buffer>,
  file: string,
): AsyncGenerator<FastaRecord, void, undefined> {
  const pieces = [head];
  for await (const piece of rest) {
    pieces.push(piece);
  }
  const rows = new Map<string, { line: number; text: string }>();
  for (const [i, line] of Buffer.concat(pieces).toString('utf8').split('\n').entries()) {
    const [, name, text] = /^([^#\s]\S*)\s+(\S+)\s*$/.exec(line) ?? [];
    if (name === undefined || text === undefined) {
      continue;
    }
    const row = rows.get(name) ?? { line: i + 1, text: '' };
    row.text += text.replace(/[-.~_]/g, '');
    rows.set(name, row);
  }
  let number = 0;
  for (const [name, { line, text }] of rows) {
    yield new FastaRecord(Buffer.from(`>${name}\n${text}\n`), file, line, ++number);
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
