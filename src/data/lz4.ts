const MAGIC = 0x184d2204;

/**
 * The content of an LZ4 frame (frame format 1.6.x), its checksums not compared.
 * @param length of the content in bytes
 * @throws RangeError or Error where the frame is damaged
 */
export function decodeLz4Frame(frame: Uint8Array, length: number): Uint8Array {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (view.getUint32(0, true) !== MAGIC) {
    throw new Error('no LZ4 frame');
  }
  const flags = frame[4];
  const [blockChecksum, hasSize, hasDictionary] = [0x10, 0x08, 0x01].map((bit) => (flags & bit) !== 0);
  let at = 7 + (hasSize ? 8 : 0) + (hasDictionary ? 4 : 0);
  const output = new Uint8Array(length);
  let written = 0;
  for (;;) {
    const size = view.getUint32(at, true);
    at += 4;
    if (size === 0) {
      break;
    }
    const bytes = size & 0x7fffffff;
    const block = frame.subarray(at, at + bytes);
    if (size >= 0x80000000) {
      output.set(block, written);
      written += bytes;
    } else {
      written = decodeBlock(block, output, written);
    }
    at += bytes + (blockChecksum ? 4 : 0);
  }
  if (written !== length) {
    throw new Error(`an LZ4 frame of ${written} bytes, ${length} were expected`);
  }
  return output;
}

/** Appends a block's content from `to` on: literals, and copies of what was written before. Returns the new end. */
function decodeBlock(block: Uint8Array, output: Uint8Array, to: number): number {
  let at = 0;
  let end = to;
  const longer = (start: number) => {
    let length = start;
    if (start === 15) {
      let more = 255;
      while (more === 255) {
        more = block[at++];
        length += more;
      }
    }
    return length;
  };
  while (at < block.length) {
    const token = block[at++];
    const literals = longer(token >> 4);
    output.set(block.subarray(at, at + literals), end);
    at += literals;
    end += literals;
    if (at >= block.length) {
      break;
    }
    const distance = block[at] | (block[at + 1] << 8);
    at += 2;
    const length = longer(token & 15) + 4;
    if (distance === 0 || distance > end || end + length > output.length) {
      throw new Error('a damaged LZ4 block');
    }
    // What is copied may overlap what it makes.
    for (let i = 0; i < length; i++) {
      output[end + i] = output[end + i - distance];
    }
    end += length;
  }
  return end;
}
