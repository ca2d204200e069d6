import type { Tokens } from '../data/alphabet.js';
import { createArrayFile } from '../formats/arrayFile.js';
import { AtomicFile } from '../formats/atomicFile.js';
import type { LanguageModel } from '../model/model.js';
import {
  type AttentionMapOptions,
  type AttentionTile,
  attentionMaps,
  attentionRollout,
  mapLabels,
} from './attentionMaps.js';
import { type AttentionPair, strongestPairs } from './pairs.js';

/** A sequence with its identifier. */
export interface NamedSequence {
  id: string;
  sequence: string;
}

/** Which maps are written. */
export interface MapExportOptions extends AttentionMapOptions {
  /** Attention rollout through the layers instead of single maps (Abnar and Zuidema 2020). */
  rollout?: boolean;
  /** Leaves out <cls> and <eos>: rows then sum to less than one. */
  residues?: boolean;
}

/** The row tiles of one protein's maps, whichever of them are asked for. */
async function* tilesOf(
  model: LanguageModel,
  tokens: Tokens,
  options: MapExportOptions,
): AsyncGenerator<AttentionTile> {
  if (!options.rollout) {
    yield* attentionMaps(model, tokens, options);
    return;
  }
  yield { layer: 'mean', head: 'mean', from: 0, values: await attentionRollout(model, tokens, options.layers) };
}

/** The rows and columns of the residues only, where the options ask for it. */
function crop(tile: AttentionTile, length: number, options: MapExportOptions): AttentionTile {
  if (!options.residues) {
    return tile;
  }
  const { from, values } = tile;
  const rows = values.length / length;
  const first = Math.max(from, 1);
  const last = Math.min(from + rows, length - 1);
  const inner = new Float32Array(Math.max(0, last - first) * (length - 2));
  for (let row = first; row < last; row++) {
    const start = (row - from) * length;
    inner.set(values.subarray(start + 1, start + length - 1), (row - first) * (length - 2));
  }
  return { ...tile, from: first - 1, values: inner };
}

function labels(model: LanguageModel, options: MapExportOptions) {
  if (options.rollout) {
    return { layers: ['mean' as const], heads: ['mean' as const] };
  }
  return mapLabels(model, options);
}

function fromOne(index: number | 'mean'): number | 'mean' {
  return index === 'mean' ? index : index + 1;
}

/** The maps of all proteins in turn, tile by tile, cut to what is asked for; `length` is in tokens. */
async function* croppedTiles(
  model: LanguageModel,
  records: readonly NamedSequence[],
  options: MapExportOptions,
  report: (done: number) => void,
) {
  for (const [index, { id, sequence }] of records.entries()) {
    const tokens = model.alphabet.encode(sequence);
    for await (const tile of tilesOf(model, tokens, options)) {
      yield { id, length: tokens.length, ...crop(tile, tokens.length, options) };
    }
    report(index + 1);
  }
}

/**
 * Writes maps as arrays: for each protein one [layers, heads, length, length] in an `.npz` or `.safetensors` file, or of
 * one protein an `.npy`.
 * @param report called with how many proteins are done
 */
export async function writeMapArrays(
  path: string,
  model: LanguageModel,
  records: readonly NamedSequence[],
  options: MapExportOptions = {},
  report: (done: number) => void = () => {},
): Promise<void> {
  const { layers, heads } = labels(model, options);
  const side = (record: NamedSequence) => record.sequence.length + (options.residues ? 0 : 2);
  const file = await createArrayFile(
    path,
    records.map((record) => ({
      name: record.id,
      shape: [layers.length, heads.length, side(record), side(record)],
    })),
    {
      ids: records.map(({ id }) => id),
      sequences: JSON.stringify(Object.fromEntries(records.map(({ id, sequence }) => [id, sequence]))),
      layers: JSON.stringify(layers.map(fromOne)),
      heads: JSON.stringify(heads.map(fromOne)),
      tokens: options.residues ? 'residues' : 'all',
      map: options.rollout ? 'rollout' : 'attention',
    },
  );
  try {
    for await (const { values } of croppedTiles(model, records, options, report)) {
      if (values.length > 0) {
        await file.write(values);
      }
    }
    await file.close();
  } catch (error) {
    await file.discard();
    throw error;
  }
}

/**
 * Writes maps as CSV, one row a pair of tokens; token 0 is <cls>, residues count from 1.
 * @param report called with how many proteins are done
 */
export async function writeMapTable(
  path: string,
  model: LanguageModel,
  records: readonly NamedSequence[],
  options: MapExportOptions = {},
  report: (done: number) => void = () => {},
): Promise<void> {
  const file = await AtomicFile.create(path);
  try {
    await file.write('sequence_id,layer,head,query,key,attention\n');
    const shift = options.residues ? 1 : 0;
    for await (const { id, length, layer, head, from, values } of croppedTiles(model, records, options, report)) {
      const name = /[",\n]/.test(id) ? `"${id.replaceAll('"', '""')}"` : id;
      const width = length - 2 * shift;
      const prefix = `${name},${fromOne(layer)},${fromOne(head)}`;
      for (let row = 0; row * width < values.length; row++) {
        const lines: string[] = [];
        for (let key = 0; key < width; key++) {
          const value = Number(values[row * width + key].toPrecision(7));
          lines.push(`${prefix},${from + row + shift},${key + shift},${value}\n`);
        }
        await file.write(lines.join(''));
      }
    }
    await file.commit();
  } catch (error) {
    await file.discard();
    throw error;
  }
}

/**
 * The strongest pairs of residues of each protein, which count from 1, as the columns of a table.
 * @param pairs how many of each protein, and their least distance in sequence
 * @param report called with how many proteins are done
 */
export async function pairColumns(
  model: LanguageModel,
  records: readonly NamedSequence[],
  pairs: { count: number; separation: number },
  options: MapExportOptions = {},
  report: (done: number) => void = () => {},
) {
  const rows: { id: string; sequence: string; pair: AttentionPair }[] = [];
  for (const [index, { id, sequence }] of records.entries()) {
    const tokens = model.alphabet.encode(sequence);
    const strongest = await strongestPairs(tilesOf(model, tokens, options), tokens.length, pairs);
    for (const pair of strongest) {
      rows.push({ id, sequence, pair });
    }
    report(index + 1);
  }
  return {
    sequence_id: rows.map(({ id }) => id),
    layer: rows.map(({ pair }) => fromOne(pair.layer)),
    head: rows.map(({ pair }) => fromOne(pair.head)),
    query: rows.map(({ pair }) => pair.query),
    query_residue: rows.map(({ sequence, pair }) => sequence[pair.query - 1]),
    key: rows.map(({ pair }) => pair.key),
    key_residue: rows.map(({ sequence, pair }) => sequence[pair.key - 1]),
    attention: rows.map(({ pair }) => Number(pair.attention.toPrecision(7))),
  };
}
