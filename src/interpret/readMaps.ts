import { extname } from 'node:path';
import { InputError } from '../data/errors.js';
import { openArrayFile } from '../formats/arrayFile.js';

/** The maps of one protein, as `protein-lm attention` exports them. */
export interface ExportedMaps {
  id: string;
  sequence: string;
  /** Counted from 1, or `mean`. */
  layers: (number | 'mean')[];
  heads: (number | 'mean')[];
  /** One a layer and head, in that order: [residues × residues], row-major, <cls> and <eos> left out. */
  maps: Float32Array[];
}

/** Bytes of a protein's maps that are read into memory. */
const LARGEST = 2 ** 31;

/**
 * Reads the maps that `protein-lm attention` wrote to an .npy, .npz or .safetensors file.
 * @throws InputError for other files, damaged ones, and maps too large to look at
 */
export async function readMaps(path: string): Promise<ExportedMaps[]> {
  const { description, arrays } = await openArrayFile(path);
  const fields = ['sequences', 'layers', 'heads', 'tokens'].flatMap((name) => description.get(name) ?? []);
  if (fields.length < 4) {
    if (extname(path).toLowerCase() === '.npy' && description.size === 0) {
      throw new InputError(`${path}: ${path}.json is missing, which says whose maps these are: keep the two together`);
    }
    throw new InputError(`${path}: no attention maps: export them with protein-lm attention --out maps.npz`);
  }
  const sequences: Record<string, string> = JSON.parse(fields[0]);
  const layers: (number | 'mean')[] = JSON.parse(fields[1]);
  const heads: (number | 'mean')[] = JSON.parse(fields[2]);
  const margin = fields[3] === 'all' ? 1 : 0;
  const proteins: ExportedMaps[] = [];
  for (const [id, sequence] of Object.entries(sequences)) {
    const array = arrays.get(id);
    const n = sequence.length;
    const side = n + 2 * margin;
    const count = layers.length * heads.length;
    const size = array?.shape.reduce((product, length) => product * length, 1);
    if (array === undefined || size !== count * side * side) {
      throw new InputError(`${path}: the maps of ${id} are missing or damaged`);
    }
    if (4 * size > LARGEST) {
      throw new InputError(`${path}: ${count} maps of ${side} tokens are too many to draw: export fewer, or --average`);
    }
    const values = await array.read();
    const maps = Array.from({ length: count }, (_, index) => {
      const map = new Float32Array(n * n);
      for (let row = 0; row < n; row++) {
        const start = (index * side + row + margin) * side + margin;
        map.set(values.subarray(start, start + n), row * n);
      }
      return map;
    });
    proteins.push({ id, sequence, layers, heads, maps });
  }
  return proteins;
}
