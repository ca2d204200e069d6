import { createReadStream, createWriteStream } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { finished, pipeline } from 'node:stream/promises';
import { type DataType, fixedSizeList, float32, int32, utf8 } from '@uwdata/flechette';
import yazl from 'yazl';
import { extent } from '../data/arrays.js';
import { createArrowFile } from '../data/arrowFile.js';
import { InputError } from '../data/errors.js';
import { writeFileAtomic } from '../data/files.js';
import { NPY_HEADER, npyHeader, npzName } from '../data/npy.js';
import type { Pool } from './embeddings.js';

/** One sequence's embedding: [D], or [residues, D] flat. */
export interface NamedEmbedding {
  id: string;
  sequence: string;
  values: Float32Array;
}

export const EMBEDDING_FORMATS = ['npy', 'npz', 'safetensors', 'arrow'] as const;
export type EmbeddingFormat = (typeof EMBEDDING_FORMATS)[number];

/** Takes embeddings one by one; `close` gives the file its name, `abort` leaves nothing behind. */
export interface EmbeddingWriter {
  append(embedding: NamedEmbedding): Promise<void>;
  close(): Promise<void>;
  abort(): Promise<void>;
}

/**
 * Opens a file of embeddings. One vector a sequence (`mean`, `cls`):
 * - `npy` [sequences, D], with the identifiers in `FILE.ids.txt`, one a line;
 * - `npz` arrays `embeddings` [sequences, D] and `ids`;
 * - `safetensors` tensor `embeddings` [sequences, D], identifiers as a JSON array in the metadata's `ids`;
 * - `arrow` columns `sequence_id`, `embedding`.
 *
 * One vector a residue (`none`):
 * - `npz`, `safetensors` an array [residues, D] named by each identifier, in `npz` as `npzName` gives it;
 * - `arrow` columns `sequence_id`, `position`, `residue`, `embedding`;
 * - `npy` [residues, D], for a single sequence.
 *
 * All are float32, and written as the embeddings come.
 *
 * @param size D
 */
export async function openEmbeddingWriter(
  path: string,
  format: EmbeddingFormat,
  pool: Pool,
  size: number,
): Promise<EmbeddingWriter> {
  const perResidue = pool === 'none';
  switch (format) {
    case 'npy':
      return npyWriter(path, perResidue, size);
    case 'npz':
      return npzWriter(path, perResidue, size);
    case 'safetensors':
      return safetensorsWriter(path, perResidue, size);
    case 'arrow':
      return arrowWriter(path, perResidue, size);
  }
}

const bytesOf = (values: Float32Array) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

/** Appends to a temporary file beside `path`. */
async function temporaryFile(path: string): Promise<{
  file: FileHandle;
  name: string;
  append(bytes: Uint8Array): Promise<void>;
  discard(): Promise<void>;
}> {
  const name = `${path}.${process.pid}.tmp`;
  const file = await open(name, 'w+');
  return {
    file,
    name,
    async append(bytes) {
      for (let at = 0; at < bytes.length; ) {
        at += (await file.write(bytes, at)).bytesWritten;
      }
    },
    async discard() {
      await file.close().catch(() => {});
      await rm(name, { force: true });
    },
  };
}

async function npyWriter(path: string, perResidue: boolean, size: number): Promise<EmbeddingWriter> {
  const { file, name, append, discard } = await temporaryFile(path);
  await append(npyHeader('<f4', [0, size])).catch(async (error) => {
    await discard();
    throw error;
  });
  const ids: string[] = [];
  let rows = 0;
  return {
    async append({ id, values }) {
      if (perResidue && ids.length > 0) {
        throw new InputError(
          `${path}: --pool none of several sequences does not fit one array; use .npz, .safetensors or .arrow`,
        );
      }
      ids.push(id);
      rows += values.length / size;
      await append(bytesOf(values));
    },
    async close() {
      await file.write(npyHeader('<f4', [rows, size]), 0, NPY_HEADER, 0);
      await file.sync();
      await file.close();
      await writeFileAtomic(`${path}.ids.txt`, ids.map((id) => `${id}\n`).join(''));
      await rename(name, path);
    },
    abort: discard,
  };
}

async function npzWriter(path: string, perResidue: boolean, size: number): Promise<EmbeddingWriter> {
  const name = `${path}.${process.pid}.tmp`;
  const zip = new yazl.ZipFile();
  const stream = createWriteStream(name, { flush: true });
  const written = pipeline(zip.outputStream, stream);
  written.catch(() => {});
  // numpy reads stored entries as they are; compressing float32 gains nothing.
  const add = (entry: string, pieces: Uint8Array[]) =>
    zip.addBuffer(Buffer.concat(pieces), `${entry}.npy`, { compress: false, mtime: new Date(0) });
  const body = perResidue ? undefined : await temporaryFile(`${path}.body`);
  const names = new UniqueNames(path);
  return {
    async append({ id, values }) {
      if (body) {
        names.ids.push(id);
        await body.append(bytesOf(values));
        return;
      }
      names.add(id);
      add(npzName(id), [npyHeader('<f4', [values.length / size, size]), bytesOf(values)]);
      // The archive's writer falls behind the model only where the disk does: then wait for it.
      if (stream.writableNeedDrain) {
        await new Promise<void>((resolve) => stream.once('drain', () => resolve()));
      }
    },
    async close() {
      if (body) {
        const { ids } = names;
        const width = Math.max(1, extent(ids.map((id) => [...id].length))[1]);
        const letters = new Uint32Array(ids.length * width);
        ids.forEach((id, row) => {
          [...id].forEach((letter, i) => {
            letters[row * width + i] = letter.codePointAt(0)!;
          });
        });
        await body.file.sync();
        const length = (await body.file.stat()).size;
        const entry = (async function* () {
          yield npyHeader('<f4', [ids.length, size]);
          if (length > 0) {
            yield* createReadStream(body.name);
          }
        })();
        const { Readable } = await import('node:stream');
        zip.addReadStream(Readable.from(entry, { objectMode: false }), 'embeddings.npy', {
          compress: false,
          mtime: new Date(0),
        });
        add('ids', [npyHeader(`<U${width}`, [ids.length]), new Uint8Array(letters.buffer)]);
      }
      zip.end();
      await written;
      await body?.discard();
      await rename(name, path);
    },
    async abort() {
      stream.destroy();
      await finished(stream).catch(() => {});
      await rm(name, { force: true });
      await body?.discard();
    },
  };
}

async function safetensorsWriter(path: string, perResidue: boolean, size: number): Promise<EmbeddingWriter> {
  // The header comes first in the file and is known last: the tensors wait in a file of their own.
  const body = await temporaryFile(`${path}.body`);
  const name = `${path}.${process.pid}.tmp`;
  const names = new UniqueNames(path);
  const tensors: Record<string, { dtype: 'F32'; shape: number[]; data_offsets: [number, number] }> =
    Object.create(null);
  let bytes = 0;
  return {
    async append({ id, values }) {
      if (perResidue) {
        names.add(id);
        const data_offsets: [number, number] = [bytes, bytes + values.byteLength];
        tensors[id] = { dtype: 'F32', shape: [values.length / size, size], data_offsets };
      } else {
        names.ids.push(id);
      }
      bytes += values.byteLength;
      await body.append(bytesOf(values));
    },
    async close() {
      const { ids } = names;
      const header = perResidue
        ? tensors
        : {
            __metadata__: { ids: JSON.stringify(ids) },
            embeddings: { dtype: 'F32', shape: [ids.length, size], data_offsets: [0, bytes] },
          };
      const json = Buffer.from(JSON.stringify(header));
      const padded = Buffer.alloc(8 + Math.ceil(json.length / 8) * 8, ' ');
      padded.writeBigUInt64LE(BigInt(padded.length - 8));
      json.copy(padded, 8);
      const source = (async function* () {
        yield padded;
        if (bytes > 0) {
          yield* createReadStream(body.name);
        }
      })();
      await pipeline(source, createWriteStream(name, { flush: true }));
      await body.discard();
      await rename(name, path);
    },
    async abort() {
      await body.discard();
      await rm(name, { force: true });
    },
  };
}

/** Bytes of values of a record batch. */
const ARROW_BATCH = 2 ** 24;

async function arrowWriter(path: string, perResidue: boolean, size: number): Promise<EmbeddingWriter> {
  const embedding = fixedSizeList(float32(), size);
  const types: Record<string, DataType> = perResidue
    ? { sequence_id: utf8(), position: int32(), residue: utf8(), embedding }
    : { sequence_id: utf8(), embedding };
  const file = await createArrowFile(path, types);
  const most = Math.ceil(ARROW_BATCH / (4 * size));
  const columns: Record<string, unknown[]> = Object.fromEntries(Object.keys(types).map((name) => [name, []]));
  const flush = async (): Promise<void> => {
    await file.append(columns);
    for (const column of Object.values(columns)) {
      column.length = 0;
    }
  };
  return {
    async append({ id, sequence, values }) {
      for (let row = 0; row < values.length / size; row++) {
        columns.sequence_id!.push(id);
        columns.position?.push(row + 1);
        columns.residue?.push(sequence[row]);
        columns.embedding!.push(values.slice(row * size, (row + 1) * size));
        if (columns.embedding!.length === most) {
          await flush();
        }
      }
    },
    async close() {
      if (columns.embedding!.length > 0) {
        await flush();
      }
      await file.close();
    },
    abort: file.discard,
  };
}

/** Identifiers that become names, so each may come once. */
class UniqueNames {
  readonly ids: string[] = [];
  private readonly seen = new Set<string>();

  constructor(private readonly path: string) {}

  add(id: string): void {
    if (this.seen.has(id)) {
      throw new InputError(`${this.path}: identifier ${id} comes twice, and arrays are named by it; use .arrow`);
    }
    this.seen.add(id);
    this.ids.push(id);
  }
}
