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

/**
 * An array's name as that of a member of an `.npz`. Zip files have paths for names, and readers refuse those that lead
 * out of the archive: a name with `..` between slashes, a slash at its start, a drive letter or a backslash is
 * percent-encoded as in a URL, and so is one with a percent sign, so that decoding any of them gives the array's name.
 *
 * @example npzName('A:1') // 'A%3A1'
 */
export function npzName(name: string): string {
  return /^\/|^[a-zA-Z]:|[\\%]|(^|\/)\.\.\//.test(name) ? encodeURIComponent(name) : name;
}

/** The name of the array that a member of an `.npz` holds: what `npzName` was given. */
export function arrayName(member: string): string {
  try {
    return decodeURIComponent(member);
  } catch {
    return member; // Written by another program, with a percent sign of its own.
  }
}
