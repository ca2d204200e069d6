import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { InputError } from '../data/errors.js';
import { readError } from './fileErrors.js';
import { SafetensorsFile } from './safetensors.js';
import type { TensorInfo, Weights } from './weights.js';

/** What a folder's weights are called, in the order in which they are looked for. */
const NAMES = [
  'model.safetensors',
  'model.safetensors.index.json',
  'pytorch_model.bin',
  'pytorch_model.bin.index.json',
];

/**
 * The file that holds a folder's weights, or the index of several: Hugging Face's names, or else the only `.pt` or
 * `.pth` in it or in its `data/weights`, apart from contact regressions. Undefined where there is none.
 * @throws InputError where there are several of them
 */
export function findWeights(folder: string): string | undefined {
  const named = NAMES.map((name) => join(folder, name)).find((path) => existsSync(path));
  if (named !== undefined) {
    return named;
  }
  for (const place of [folder, join(folder, 'data', 'weights')]) {
    const files = existsSync(place) ? readdirSync(place) : [];
    const found = files.filter((name) => /\.pth?$/.test(name) && !name.endsWith('-contact-regression.pt'));
    if (found.length > 1) {
      throw new InputError(`${place}: several files of weights (${found.sort().join(', ')}); give the one meant`);
    }
    if (found.length === 1) {
      return join(place, found[0]);
    }
  }
  return undefined;
}

/**
 * Opens weights: safetensors, or a pickle of PyTorch (`.bin`, `.pt`, `.pth`), of which nothing is executed; one file, or
 * several by their index (`*.index.json`). Close them after use.
 *
 * @param path the file or index, or a folder that has one (see `findWeights`)
 * @throws InputError where a file is missing or damaged, names what no weights need, a shard of an index is missing, or
 * two shards hold the same tensor
 */
export async function openWeights(path: string): Promise<Weights> {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) {
    const found = findWeights(path);
    if (found === undefined) {
      throw new InputError(`${path}: no weights in it: ${NAMES.join(', ')}, or one .pt or .pth file`);
    }
    return openWeights(found);
  }
  if (path.endsWith('.index.json')) {
    return openShards(path);
  }
  if (path.endsWith('.safetensors')) {
    return new SafetensorsWeights(SafetensorsFile.open(path));
  }
  const { TorchFile } = await import('./torchFile.js');
  return TorchFile.open(path);
}

class SafetensorsWeights implements Weights {
  readonly path: string;
  readonly names: readonly string[];
  readonly metadata: Readonly<Record<string, unknown>>;

  constructor(private readonly file: SafetensorsFile) {
    this.path = file.path;
    this.names = file.names;
    this.metadata = file.metadata;
  }

  info(name: string): TensorInfo | undefined {
    const info = this.file.info(name);
    return info && { ...info, file: this.path };
  }

  read(name: string, into?: Float32Array): Float32Array {
    return this.file.readFloats(name, into);
  }

  close(): void {
    this.file.close();
  }
}

/** Which shard holds a tensor, by its name. */
function readIndex(path: string): Map<string, string> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw readError(error, path);
  }
  let map: unknown;
  try {
    map = (JSON.parse(text) as { weight_map?: unknown } | null)?.weight_map;
  } catch (error) {
    throw new InputError(`${path}: not JSON (${(error as Error).message}); get it again`);
  }
  if (typeof map !== 'object' || map === null || Array.isArray(map)) {
    throw new InputError(`${path}: no weight_map in it, which says what each shard holds; get it again`);
  }
  for (const [name, file] of Object.entries(map)) {
    if (typeof file !== 'string' || file === '' || file !== basename(file) || file.endsWith('.index.json')) {
      throw new InputError(`${path}: tensor '${name}' lies in ${JSON.stringify(file)}, which is no file beside it`);
    }
  }
  return new Map(Object.entries(map as Record<string, string>));
}

async function openShards(path: string): Promise<Weights> {
  const wanted = readIndex(path);
  const shards = new Map<string, Weights>();
  const close = (): void => {
    for (const shard of shards.values()) {
      shard.close();
    }
  };
  try {
    for (const file of new Set(wanted.values())) {
      const place = join(dirname(path), file);
      if (!existsSync(place)) {
        throw new InputError(`${place}: this shard is missing, which ${basename(path)} names; get it too`);
      }
      shards.set(file, await openWeights(place));
    }
    const holders = new Map<string, string>();
    for (const [file, shard] of shards) {
      for (const name of shard.names) {
        const other = holders.get(name);
        if (other !== undefined) {
          throw new InputError(`${path}: tensor '${name}' lies in two shards, ${other} and ${file}; get them again`);
        }
        holders.set(name, file);
      }
    }
    for (const [name, file] of wanted) {
      if (holders.get(name) !== file) {
        throw new InputError(`${join(dirname(path), file)}: no tensor '${name}' in it, which ${basename(path)} tells`);
      }
    }
    return new ShardedWeights(path, shards, holders, close);
  } catch (error) {
    close();
    throw error;
  }
}

class ShardedWeights implements Weights {
  readonly names: readonly string[];
  readonly metadata: Readonly<Record<string, unknown>>;

  constructor(
    readonly path: string,
    private readonly shards: Map<string, Weights>,
    private readonly holders: Map<string, string>,
    readonly close: () => void,
  ) {
    this.names = [...holders.keys()];
    this.metadata = Object.assign({}, ...[...shards.values()].map((shard) => shard.metadata));
  }

  info(name: string): TensorInfo | undefined {
    return this.holder(name)?.info(name);
  }

  read(name: string, into?: Float32Array): Float32Array {
    const holder = this.holder(name);
    if (!holder) {
      throw new InputError(`${this.path}: no tensor '${name}' in its shards`);
    }
    return holder.read(name, into);
  }

  private holder(name: string): Weights | undefined {
    return this.shards.get(this.holders.get(name) ?? '');
  }
}
