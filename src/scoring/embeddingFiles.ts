import { type DataType, fixedSizeList, float32, int32, utf8 } from '@uwdata/flechette';
import { InputError } from '../data/errors.js';
import { createArrayFile, NpyFile } from '../formats/arrayFile.js';
import { createArrowFile } from '../formats/arrow.js';
import { AtomicFile } from '../formats/atomicFile.js';
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
 * - `npy`, `npz`, `safetensors` an array `embeddings` [sequences, D];
 * - `arrow` columns `sequence_id`, `embedding`.
 *
 * One vector a residue (`none`):
 * - `npz`, `safetensors` an array [residues, D] named by each identifier;
 * - `arrow` columns `sequence_id`, `position`, `residue`, `embedding`;
 * - `npy` [residues, D], for a single sequence.
 *
 * Arrays are described by `ids`, the identifiers in order, as `createArrayFile` describes them.
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
    case 'arrow':
      return arrowWriter(path, perResidue, size);
    default:
      return arraysWriter(path, perResidue, size);
  }
}

const bytesOf = (values: Float32Array) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

async function npyWriter(path: string, perResidue: boolean, size: number): Promise<EmbeddingWriter> {
  const file = await NpyFile.create(path, { name: POOLED, shape: [0, size] });
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
      await file.write(bytesOf(values));
    },
    async close() {
      const name = perResidue ? ids[0] : POOLED;
      await file.close({ name, shape: [rows, size] }, { ids });
    },
    abort: () => file.discard(),
  };
}

/** What the array of one vector a sequence is called. */
const POOLED = 'embeddings';

/** Writes an .npz or .safetensors, which tell the shapes before the values: these wait in a file of their own. */
async function arraysWriter(path: string, perResidue: boolean, size: number): Promise<EmbeddingWriter> {
  const waiting = await AtomicFile.create(`${path}.values`);
  const ids: string[] = [];
  const rows: number[] = [];
  const seen = new Set<string>();
  return {
    async append({ id, values }) {
      if (perResidue && seen.has(id)) {
        throw new InputError(`${path}: identifier ${id} comes twice, and arrays are named by it; use .arrow`);
      }
      seen.add(id);
      ids.push(id);
      rows.push(values.length / size);
      await waiting.write(bytesOf(values));
    },
    async close() {
      const arrays = perResidue
        ? ids.map((name, i) => ({ name, shape: [rows[i], size] }))
        : [{ name: POOLED, shape: [ids.length, size] }];
      const file = await createArrayFile(path, arrays, { ids });
      try {
        let from = 0;
        for (const { shape } of arrays) {
          const bytes = 4 * shape[0] * size;
          for await (const piece of waiting.read(from, bytes)) {
            await file.write(new Float32Array(piece.buffer, piece.byteOffset, piece.length / 4));
          }
          from += bytes;
        }
        await file.close();
      } catch (error) {
        await file.discard();
        throw error;
      }
      await waiting.discard();
    },
    abort: () => waiting.discard(),
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
