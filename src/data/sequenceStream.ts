import { Readable } from 'node:stream';
import { setTimeout } from 'node:timers/promises';
import { InputError } from './errors.js';
import { firstWord } from './whiteSpace.js';

/** An object of `bionode-fasta`: the whole header, the letters, and with its `includePath` the file they come from. */
export interface BionodeRecord {
  id: string;
  seq: string;
  path?: string;
}

/** A sequence of a stream as it came, unchecked but for its form. */
export interface StreamedSequence {
  /** The header's first word; empty where the header is. */
  id: string;
  /** The whole header, the identifier included. */
  description: string;
  sequence: string;
  /** The object's path; the stream's name where it has none. */
  file: string;
}

/**
 * Milliseconds that a stream of events is listened to after its end. `bionode-fasta` ends a stream of several files at
 * the end of the first, and reports what it reads of the others as errors, right after.
 */
const LATE = 50;

/** Sequences from a stream of objects, to be read once: see {@link sequencesFrom}. */
export class SequenceStream implements AsyncIterable<StreamedSequence> {
  /** How messages call it. */
  readonly name: string;
  private objects: AsyncIterable<unknown> | Iterable<unknown> | undefined;

  constructor(stream: NodeJS.ReadableStream | AsyncIterable<unknown> | Iterable<unknown>, name: string) {
    this.name = name;
    this.objects = 'on' in stream ? eventsOf(stream) : stream;
  }

  /** @throws InputError for an object that is no record, an error of the stream, and where it was read before */
  async *[Symbol.asyncIterator](): AsyncGenerator<StreamedSequence, void, undefined> {
    const { objects, name } = this;
    if (!objects) {
      throw new InputError(`${name}: it was read before, and can be read only once; make another stream`);
    }
    this.objects = undefined;
    let number = 0;
    try {
      for await (const object of objects) {
        yield sequenceOf(object, name, ++number);
      }
    } catch (error) {
      if (error instanceof InputError) {
        throw error;
      }
      const advice = (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'check the path' : ENDED_EARLY;
      throw new InputError(`${name}: ${(error as Error).message}, after ${number} objects; ${advice}`);
    }
  }
}

const ENDED_EARLY =
  'give each file a stream of its own (bionode-fasta ends one of several files at the end of the first)';

/**
 * Sequences from the objects of `bionode-fasta` (0.5.6), wherever FASTA is read: `readFasta`, `readProteins`,
 * `readNucleotides`, `readSequences`, `fastaStatistics`, `buildStore` and `cacheStore` take it in the place of a file, or
 * in a list of them. Its letters are checked as a file's are.
 *
 *     import fasta from 'bionode-fasta';
 *     for await (const { id, sequence } of readProteins(sequencesFrom(fasta.obj('proteins.fasta')))) …
 *
 * Any stream or iterable of such objects will do. Objects with a `path` (`fasta.obj({ includePath: true }, file)`) are
 * named by it in messages. Of several files (`filenameMode`) bionode-fasta 0.5.6 reads the first to its end and loses
 * records of the others, which is an error here: give each file a stream, `files.map((file) =>
 * sequencesFrom(fasta.obj(file)))`. What it throws from its own callbacks (text before the first header, a backslash in
 * a header, an empty file) no reader can catch; for such files `readFasta(path)` is there.
 *
 * @param options.name how messages call the stream; default `stream`
 */
export function sequencesFrom(
  stream: NodeJS.ReadableStream | AsyncIterable<BionodeRecord> | Iterable<BionodeRecord>,
  options: { name?: string } = {},
): SequenceStream {
  return new SequenceStream(stream, options.name ?? 'stream');
}

/** The objects of a stream that knows events only, as those of bionode-fasta, and the errors after its end. */
function eventsOf(stream: NodeJS.ReadableStream): AsyncIterable<unknown> {
  let failure: Error | undefined;
  stream.on('error', (error: Error) => {
    failure ??= error;
  });
  const objects = new Readable({ objectMode: true }).wrap(stream);
  // A stream may fail before anyone reads it.
  objects.on('error', () => {});
  return (async function* () {
    yield* objects;
    await setTimeout(LATE);
    if (failure) {
      throw failure;
    }
  })();
}

function sequenceOf(object: unknown, name: string, number: number): StreamedSequence {
  const { id, seq, path = name } = (object ?? {}) as Partial<Record<keyof BionodeRecord, unknown>>;
  if (typeof id !== 'string' || typeof seq !== 'string' || typeof path !== 'string') {
    const found = object instanceof Uint8Array || typeof object === 'string' ? 'text' : JSON.stringify(object);
    throw new InputError(
      `${name}, object ${number}: { id, seq } is needed, this is ${found}; ` +
        'make the stream with fasta.obj(…) or { objectMode: true }',
    );
  }
  if (/[\r\n]/.test(id) || /(^|[\r\n])>/.test(seq)) {
    throw new InputError(
      `${name}, object ${number}: a header of several lines, or one inside the sequence; give each record its own object`,
    );
  }
  return { id: firstWord(id), description: id, sequence: seq, file: path };
}
