import { createReadStream } from 'node:fs';
import { Readable, type Transform } from 'node:stream';
import * as zlib from 'node:zlib';
import { createGunzip } from 'node:zlib';
import { readError } from '../formats/fileErrors.js';
import { InputError } from './errors.js';

/**
 * A file's path, `-` for standard input, a stream of bytes, or a file under another name for messages. Plain or gzip,
 * told by the first bytes.
 */
export type FileSource = string | Readable | { path: string; name: string };

/** Bytes that a format is told by. */
const HEAD = 16;
/** Bytes read and decompressed at once. */
const CHUNK = 1 << 20;
const GZIP = [0x1f, 0x8b];
const ZSTD = [0x28, 0xb5, 0x2f, 0xfd];
/** The empty block that ends a BGZF file (SAM specification 4.1.2). */
const BGZF_END = Buffer.from('1f8b08040000000000ff0600424302001b0003000000000000000000', 'hex');

/** One source or several, as a list. @throws InputError for standard input twice. */
export function sourceList<Source>(sources: Source | readonly Source[]): Source[] {
  const list: Source[] = Array.isArray(sources) ? [...sources] : [sources as Source];
  if (list.filter((source) => source === '-').length > 1) {
    throw new InputError('-: standard input is named twice, but can be read only once; name it once');
  }
  return list;
}

/** How messages call a source. */
export function sourceName(source: FileSource | { name: string }): string {
  return typeof source === 'string' ? source : source instanceof Readable ? '-' : source.name;
}

/**
 * The bytes of a source, decompressed where it is gzip, or Zstandard where Node.js can (22.15 or newer).
 * @param onBytes called with the number of each chunk's bytes, before decompression
 * @param check called with the first bytes, 16 at least unless there are fewer
 * @param onCut called where a BGZF file ends without its last, empty block: it may be cut off between two blocks
 */
export async function* readBytes(
  source: FileSource,
  onBytes: (length: number) => void = () => {},
  check: (head: Buffer) => void = () => {},
  onCut: () => void = () => {},
): AsyncGenerator<Buffer, void, undefined> {
  const stream = open(source);
  let tail: Buffer = Buffer.alloc(0);
  const chunks = counted(stream, onBytes, (chunk) => {
    tail = Buffer.concat([tail, chunk.subarray(-BGZF_END.length)]).subarray(-BGZF_END.length);
  });
  const head = await firstBytes(chunks);
  if (head === undefined) {
    return;
  }
  const unzstd = beginsWith(head, ZSTD) ? createZstd() : undefined;
  if (unzstd) {
    yield* decompressed(joined(head, chunks), unzstd);
    return;
  }
  try {
    check(head);
  } catch (error) {
    stream.destroy();
    throw error;
  }
  if (!beginsWith(head, GZIP)) {
    yield* joined(head, chunks);
    return;
  }
  yield* decompressed(joined(head, chunks), createGunzip({ chunkSize: CHUNK }));
  if (isBgzf(head) && !tail.equals(BGZF_END)) {
    onCut();
  }
}

async function* decompressed(
  chunks: AsyncIterable<Buffer>,
  decoder: Transform,
): AsyncGenerator<Buffer, void, undefined> {
  const compressed = Readable.from(chunks, { objectMode: false });
  compressed.on('error', (error) => decoder.destroy(error));
  try {
    yield* compressed.pipe(decoder);
  } finally {
    compressed.destroy();
  }
}

/** Decompresses Zstandard; undefined where this Node.js cannot. */
function createZstd(): Transform | undefined {
  const { createZstdDecompress } = zlib as { createZstdDecompress?: (options: { chunkSize: number }) => Transform };
  return createZstdDecompress?.({ chunkSize: CHUNK });
}

/** Whether gzip comes in blocks of bgzip: an extra field tells the size of each. */
function isBgzf(head: Buffer): boolean {
  return head.length >= 14 && (head[3] & 4) !== 0 && head[12] === 0x42 && head[13] === 0x43;
}

/** Whether bytes begin with these. */
export function beginsWith(bytes: Buffer, magic: readonly number[]): boolean {
  return magic.every((byte, i) => bytes[i] === byte);
}

/** What went wrong while reading a source, in the user's words; `after` says how far it came. */
export function describeReadError(error: unknown, file: string, after: string): unknown {
  switch ((error as NodeJS.ErrnoException).code) {
    case 'Z_BUF_ERROR':
      return new InputError(`${file}: the gzip file ends too early, after ${after}; it is truncated, get it again`);
    case 'ZSTD_error_corruption_detected':
      return new InputError(`${file}: the zstd file is damaged, after ${after}; get it again`);
    case 'Z_DATA_ERROR':
      return new InputError(
        `${file}: the gzip file is damaged, after ${after} (${(error as Error).message}); get it again`,
      );
    default:
      return readError(error, file);
  }
}

function open(source: FileSource): Readable {
  if (source === '-') {
    return process.stdin;
  }
  if (source instanceof Readable) {
    return source;
  }
  return createReadStream(typeof source === 'string' ? source : source.path, { highWaterMark: CHUNK });
}

async function* counted(
  stream: Readable,
  onBytes: (length: number) => void,
  onChunk: (chunk: Buffer) => void,
): AsyncGenerator<Buffer, void, undefined> {
  for await (const chunk of stream) {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    onBytes(bytes.length);
    onChunk(bytes);
    if (bytes.length > 0) {
      yield bytes;
    }
  }
}

/** At least as many bytes as tell the format, unless there are fewer; undefined where there is none. */
async function firstBytes(chunks: AsyncGenerator<Buffer>): Promise<Buffer | undefined> {
  const head: Buffer[] = [];
  let length = 0;
  while (length < HEAD) {
    const { value, done } = await chunks.next();
    if (done) {
      break;
    }
    head.push(value);
    length += value.length;
  }
  return length === 0 ? undefined : Buffer.concat(head);
}

async function* joined(head: Buffer, rest: AsyncGenerator<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  yield head;
  yield* rest;
}
