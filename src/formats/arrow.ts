import { type DataType, tableFromArrays, tableToIPC } from '@uwdata/flechette';
import { AtomicFile } from './atomicFile.js';

/** An Arrow file written a batch of rows at a time, so that no more than a batch is ever held. */
export interface ArrowFile {
  /** Columns of the next rows. */
  append(columns: Record<string, readonly unknown[]>): Promise<void>;
  /** Ends the file and gives it its name. */
  close(): Promise<void>;
  /** Gives up: nothing is left behind. */
  discard(): Promise<void>;
}

/** Where a record batch stands in the file: offset, bytes of its description, bytes of its values. */
type Block = [offset: number, metadata: number, body: number];

/** The format's first bytes, padded as the format asks, and the mark after its last message. */
const MAGIC = Buffer.from('ARROW1\0\0', 'latin1');
const END = 8;

/**
 * Begins an Arrow file (the IPC file format: Feather version 2). Until `close` it has a temporary name.
 * flechette encodes whole tables only, so each batch is encoded as a stream of its own, of which its record batch is
 * taken; the footer is that of a table with as many batches, told where these stand.
 * @param types of the columns; without dictionaries
 */
export async function createArrowFile(path: string, types: Record<string, DataType>): Promise<ArrowFile> {
  const empty = Object.fromEntries(Object.keys(types).map((name) => [name, [] as unknown[]]));
  const stream = (columns: Record<string, readonly unknown[]>): Buffer =>
    Buffer.from(tableToIPC(tableFromArrays(columns as Record<string, unknown[]>, { types }), { format: 'stream' })!);
  const opening = stream(empty);
  const schema = messageEnd(opening);
  const blocks: Block[] = [];
  const file = await AtomicFile.create(path);
  const discard = () => file.discard();
  try {
    await file.write(MAGIC);
    await file.write(opening.subarray(0, schema));
  } catch (error) {
    await discard();
    throw error;
  }
  return {
    async append(columns) {
      const bytes = stream(columns);
      const batch = bytes.subarray(schema, bytes.length - END);
      const metadata = messageEnd(batch);
      blocks.push([file.size, metadata, batch.length - metadata]);
      await file.write(batch);
    },
    async close() {
      await file.write(footer(types, blocks));
      await file.commit();
    },
    discard,
  };
}

/** Where the description of a message ends: after a mark and its length, four bytes each. */
function messageEnd(bytes: Buffer): number {
  return 8 + bytes.readInt32LE(4);
}

/** What follows the batches: the end of the stream, the footer with their places, its length, the format's mark. */
function footer(types: Record<string, DataType>, blocks: readonly Block[]): Buffer {
  const rows = Object.fromEntries(Object.keys(types).map((name) => [name, blocks.map(() => null)]));
  const table = tableFromArrays(rows, { types, maxBatchRows: 1 });
  const bytes = Buffer.from(tableToIPC(table, { format: 'file' })!);
  // The file ends with the footer, a flatbuffer, its length and 'ARROW1'.
  const end = bytes.length - 10;
  const start = end - bytes.readInt32LE(end);
  if (blocks.length === 0) {
    return bytes.subarray(start - END);
  }
  const root = start + bytes.readUInt32LE(start);
  const fields = root - bytes.readInt32LE(root);
  // Field 3 of the Footer table (Arrow's File.fbs) is the vector of record batches: structs of 24 bytes.
  const field = root + bytes.readUInt16LE(fields + 4 + 2 * 3);
  const vector = field + bytes.readUInt32LE(field);
  if (bytes.readUInt32LE(vector) !== blocks.length) {
    throw new Error('an Arrow footer that is not understood');
  }
  blocks.forEach(([offset, metadata, body], i) => {
    const at = vector + 4 + 24 * i;
    bytes.writeBigInt64LE(BigInt(offset), at);
    bytes.writeInt32LE(metadata, at + 8);
    bytes.writeBigInt64LE(BigInt(body), at + 16);
  });
  return bytes.subarray(start - END);
}
