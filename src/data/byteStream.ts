import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { readError } from '../formats/fileErrors.js';
import { InputError } from './errors.js';

/**
 * A file's path, `-` for standard input, a stream of bytes, or a file under another name for messages. Plain or gzip,
 * told by the first bytes.
 */
export type FileSource = string | Readable | { path: string; name: string };

/** Bytes read and decompressed at once. */
const CHUNK = 1 << 20;
const GZIP = [0x1f, 0x8b];

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
 * The bytes of a source, decompressed where it is gzip.
 * @param onBytes called with the number of each chunk's bytes, before decompression
 * @param check called with the first four bytes, or as many as there are
 */
export async function* readBytes(
  source: FileSource,
  onBytes: (length: number) => void = () => {},
  check: (head: Buffer) => void = () => {},
): AsyncGenerator<Buffer, void, undefined> {
  const stream = open(source);
  const chunks = counted(stream, onBytes);
  const head = await firstBytes(chunks);
  if (head === undefined) {
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
  const compressed = Readable.from(joined(head, chunks), { objectMode: false });
  const gunzip = createGunzip({ chunkSize: CHUNK });
  compressed.on('error', (error) => gunzip.destroy(error));
  try {
    yield* compressed.pipe(gunzip);
  } finally {
    compressed.destroy();
  }
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

async function* counted(stream: Readable, onBytes: (length: number) => void): AsyncGenerator<Buffer, void, undefined> {
  for await (const chunk of stream) {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    onBytes(bytes.length);
    if (bytes.length > 0) {
      yield bytes;
    }
  }
}

/** At least four bytes, unless there are fewer; undefined where there is none. */
async function firstBytes(chunks: AsyncGenerator<Buffer>): Promise<Buffer | undefined> {
  const head: Buffer[] = [];
  let length = 0;
  while (length < 4) {
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
