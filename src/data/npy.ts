/** Enough for any shape, and a multiple of 64 as the format asks. */
export const NPY_HEADER = 128;

/** Header of a `.npy` file, version 1.0 (numpy/lib/format.py), padded to `NPY_HEADER` bytes. */
export function npyHeader(descr: string, shape: readonly number[]): Buffer {
  const dimensions = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${dimensions}), }`;
  const header = Buffer.alloc(NPY_HEADER, ' ');
  header.write('\x93NUMPY\x01\x00', 'latin1');
  header.writeUInt16LE(NPY_HEADER - 10, 8);
  header.write(text, 10, 'latin1');
  header[NPY_HEADER - 1] = 10;
  return header;
}
