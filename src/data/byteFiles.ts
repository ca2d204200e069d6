import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describeReadError, type FileSource, readBytes, sourceName } from './byteStream.js';
import { InputError } from './errors.js';
import type { SequenceRecord } from './letters.js';

export interface ByteOptions {
  /** Bytes of a document at most; a longer file, or line, goes on in the next one. Default: no limit. */
  cut?: number;
  /** Takes each line for a document, without its end; empty lines are none. */
  lines?: boolean;
  /** Called with the bytes read so far, of all sources together, before decompression. */
  onBytes?: (bytes: number) => void;
}

/** Bytes of a document that memory is made for. */
const MOST = 2 ** 28;
const NEWLINE = 10;
const RETURN = 13;

/**
 * Reads files of any kind as their bytes, gzip decompressed: each file is a document, or with `lines` each line. A
 * document is in memory whole, so large files want `cut`. It is named by its file, with `lines` `file:line`; what is
 * cut has the bytes' numbers as well, from 1: `file:1-16384`.
 *
 * @throws InputError for a file that is missing or truncated, and for a document of more than 256 MiB
 */
export async function* readByteFiles(
  sources: readonly FileSource[],
  options: ByteOptions = {},
): AsyncGenerator<SequenceRecord, void, undefined> {
  let bytes = 0;
  const onBytes = (length: number) => {
    bytes += length;
    options.onBytes?.(bytes);
  };
  for (const source of sources) {
    const file = sourceName(source);
    let read = 0;
    try {
      const chunks = readBytes(source, onBytes);
      const documents = options.lines ? linesOf(chunks, file, options.cut) : cutBytes(chunks, options.cut, file, file);
      for await (const document of documents) {
        read += document.sequence.length;
        yield { ...document, description: file, file };
      }
    } catch (error) {
      throw describeReadError(error, file, `${read.toLocaleString('en-US')} bytes`);
    }
  }
}

interface Piece {
  id: string;
  sequence: string;
  line: number;
}

/** The files that sources name: those below a folder in the order of their names, without hidden ones. */
export function filesBelow(sources: readonly FileSource[]): FileSource[] {
  return sources.flatMap((source) => {
    if (typeof source !== 'string' || source === '-') {
      return [source];
    }
    if (!statSync(source, { throwIfNoEntry: false })?.isDirectory()) {
      return [source];
    }
    const files = filesIn(source);
    if (files.length === 0) {
      throw new InputError(`${source}: no files in this folder; give another`);
    }
    return files;
  });
}

function filesIn(folder: string): string[] {
  const entries = readdirSync(folder, { withFileTypes: true }).filter(({ name }) => !name.startsWith('.'));
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  return entries.flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      return filesIn(path);
    }
    return statSync(path, { throwIfNoEntry: false })?.isFile() ? [path] : [];
  });
}

/** Documents of `cut` bytes, the last one what is left; one of all bytes without it. */
async function* cutBytes(
  chunks: AsyncIterable<Buffer>,
  cut: number | undefined,
  id: string,
  file: string,
): AsyncGenerator<Piece, void, undefined> {
  const most = cut ?? MOST;
  let pieces: Buffer[] = [];
  let held = 0;
  let done = 0;
  const take = (length: number): Piece => {
    const all = pieces.length === 1 ? pieces[0] : Buffer.concat(pieces);
    const from = done;
    done += length;
    pieces = [all.subarray(length)];
    held -= length;
    const whole = from === 0 && held === 0;
    return {
      id: whole ? id : `${id}:${from + 1}-${done}`,
      sequence: all.toString('latin1', 0, length),
      line: 1,
    };
  };
  for await (const chunk of chunks) {
    pieces.push(chunk);
    held += chunk.length;
    // One byte more than a piece shows that the file goes on.
    while (held > most) {
      if (cut === undefined) {
        throw new InputError(`${file}: more than ${most.toLocaleString('en-US')} bytes; cut it into pieces with --cut`);
      }
      yield take(most);
    }
  }
  if (held > 0) {
    yield take(held);
  }
}

/** A document a line. */
async function* linesOf(
  chunks: AsyncIterable<Buffer>,
  file: string,
  cut: number | undefined,
): AsyncGenerator<Piece, void, undefined> {
  let line = 0;
  let pieces: Buffer[] = [];
  let held = 0;
  async function* finish(): AsyncGenerator<Piece, void, undefined> {
    line++;
    let all = pieces.length === 1 ? pieces[0] : Buffer.concat(pieces);
    pieces = [];
    held = 0;
    if (all.at(-1) === RETURN) {
      all = all.subarray(0, -1);
    }
    for await (const piece of cutBytes(only(all), cut, `${file}:${line}`, file)) {
      yield { ...piece, line };
    }
  }
  for await (const chunk of chunks) {
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, from)) {
      pieces.push(chunk.subarray(from, end));
      yield* finish();
      from = end + 1;
    }
    pieces.push(chunk.subarray(from));
    held += chunk.length - from;
    if (held > MOST) {
      throw new InputError(
        `${file}: line ${line + 1} has more than ${MOST.toLocaleString('en-US')} bytes; leave out --lines`,
      );
    }
  }
  if (held > 0) {
    yield* finish();
  }
}

async function* only(bytes: Buffer): AsyncGenerator<Buffer, void, undefined> {
  yield bytes;
}
