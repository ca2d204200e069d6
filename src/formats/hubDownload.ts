import { createHash, type Hash } from 'node:crypto';
import { createReadStream, existsSync, readFileSync, statfsSync, statSync } from 'node:fs';
import { copyFile, mkdir, open, rename, rm, symlink } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import type { ListFileEntry } from '@huggingface/hub';
import { InputError } from '../data/errors.js';
import { syncFolder, writeFileAtomic } from './atomicFile.js';
import { describeBytes, writeError } from './fileErrors.js';
import { cacheFolderOf, findInCache, type HubModel, hubCache, hubHome, hubModel } from './hub.js';
import { lockFolder } from './lock.js';

export interface DownloadOptions {
  /** A branch, a tag or a commit; `main` by default, or what follows an `@` in the name. */
  revision?: string;
  /** Called as bytes arrive: of all files together, with those that were there before. */
  onProgress?: (done: number, total: number, file: string) => void;
}

/** Names of the files that a model is read from, weights apart. */
const WANTED =
  /^(config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|adapter_config)\.json$|^vocab\.txt$/;
/** Weights, in the order in which they are preferred. */
const WEIGHTS = [
  /^(model|adapter_model)(-\d+-of-\d+)?\.safetensors(\.index\.json)?$/,
  /^pytorch_model(-\d+-of-\d+)?\.bin(\.index\.json)?$/,
  /^(data\/weights\/)?[^/]+\.pth?$/,
];
/** How often a broken transfer is taken up again. */
const TRIES = 5;

/**
 * Gets a model from Hugging Face's hub into its cache, in the layout that its own programs share: blobs by their
 * digest, a snapshot of links to them, and the revision's name, which comes last. What an earlier, stopped call got is
 * gone on with; every file is checked against its digest. `HF_ENDPOINT` is the hub's address, `HF_TOKEN` or
 * `HF_HOME/token` the user's token.
 *
 * @param name `owner/name`, or `owner/name@revision`
 * @returns the snapshot's folder
 * @throws InputError where there is no such model, it needs a token, the hub cannot be reached, the disk has not the
 * room, or a file is not what the hub says
 */
export async function downloadModel(name: string, options: DownloadOptions = {}): Promise<string> {
  const model = hubModel(name, options.revision);
  if (!model) {
    throw new InputError(`${name}: no name of a model on the hub, such as facebook/esm2_t12_35M_UR50D`);
  }
  const { HF_HUB_OFFLINE } = process.env;
  if (HF_HUB_OFFLINE !== undefined && !['', '0', 'false'].includes(HF_HUB_OFFLINE.toLowerCase())) {
    throw new InputError(`${name}: HF_HUB_OFFLINE is set, which forbids to ask the hub; unset it to download`);
  }
  const hub = new Hub(model);
  const { commit, files } = await hub.list();
  const folder = cacheFolderOf(model);
  await mkdir(join(folder, 'blobs'), { recursive: true }).catch((error) => {
    throw writeError(error, folder);
  });
  const release = await lockFolder(folder, 3_600_000);
  try {
    const total = files.reduce((sum, file) => sum + file.size, 0);
    checkRoom(model, folder, files);
    let before = 0;
    for (const file of files) {
      await hub.fetch(commit, file, blobOf(folder, file), (done) =>
        options.onProgress?.(before + done, total, file.path),
      );
      before += file.size;
      await link(blobOf(folder, file), join(folder, 'snapshots', commit, file.path));
    }
    const ref = join(folder, 'refs', model.revision);
    if (model.revision !== commit) {
      await mkdir(dirname(ref), { recursive: true });
      await writeFileAtomic(ref, commit);
    }
  } finally {
    release();
  }
  const snapshot = findInCache(model);
  if (snapshot === undefined) {
    throw new InputError(`${name}: the hub has no weights of it that are read: safetensors, .bin, .pt or .pth`);
  }
  return snapshot;
}

/** A file of a model, and the digest that the hub has of it. */
interface HubFile {
  path: string;
  size: number;
  /** SHA-256 of its contents, or git's SHA-1 of a file that lies in the repository itself. */
  digest: string;
  isSha256: boolean;
}

const blobOf = (folder: string, { digest }: HubFile): string => join(folder, 'blobs', digest);

/** The hub, for one model. */
class Hub {
  private readonly url = (process.env.HF_ENDPOINT || 'https://huggingface.co').replace(/\/+$/, '');
  private readonly accessToken = readToken();

  constructor(private readonly model: HubModel) {}

  /** The revision's commit, and the files that a model is read from. */
  async list(): Promise<{ commit: string; files: HubFile[] }> {
    const { listFiles, modelInfo } = await import('@huggingface/hub');
    const { name, revision } = this.model;
    const access = { hubUrl: this.url, accessToken: this.accessToken };
    try {
      const { sha } = await modelInfo({ ...access, name, revision, additionalFields: ['sha'] });
      const entries: ListFileEntry[] = [];
      const repo = { type: 'model' as const, name };
      for await (const entry of listFiles({ ...access, repo, revision: sha, recursive: true })) {
        entries.push(entry);
      }
      return { commit: checkCommit(this.model, sha), files: wanted(this.model, entries) };
    } catch (error) {
      throw this.describe(error);
    }
  }

  /** Gets a file, or the rest of it, checks it, and gives it its name. */
  async fetch(commit: string, file: HubFile, blob: string, onProgress: (done: number) => void): Promise<void> {
    if (existsSync(blob) && statSync(blob).size === file.size) {
      onProgress(file.size);
      return;
    }
    const incomplete = `${blob}.incomplete`;
    for (let tries = 1; (sizeOf(incomplete) ?? 0) < file.size || !existsSync(incomplete); tries++) {
      const had = sizeOf(incomplete) ?? 0;
      try {
        await this.append(commit, file, incomplete, onProgress);
      } catch (error) {
        const went = (sizeOf(incomplete) ?? 0) > had;
        if (error instanceof InputError || !went || tries >= TRIES) {
          throw this.describe(error, file.path);
        }
      }
    }
    if ((await digestOf(incomplete, file)) !== file.digest) {
      await rm(incomplete, { force: true });
      throw new InputError(
        `${this.model.name}: ${file.path} arrived damaged (its digest is another); download it again`,
      );
    }
    await rename(incomplete, blob);
    await syncFolder(dirname(blob));
    onProgress(file.size);
  }

  private async append(
    commit: string,
    { path, size }: HubFile,
    incomplete: string,
    onProgress: (done: number) => void,
  ): Promise<void> {
    const { downloadFile } = await import('@huggingface/hub');
    const handle = await open(incomplete, 'a').catch((error) => {
      throw writeError(error, incomplete);
    });
    try {
      let have = (await handle.stat()).size;
      if (have > size) {
        await handle.truncate(0);
        have = 0;
      }
      if (size === 0) {
        return;
      }
      const repo = { type: 'model' as const, name: this.model.name };
      const { accessToken, url: hubUrl } = this;
      const whole = await downloadFile({ hubUrl, accessToken, repo, path, revision: commit, xet: false });
      if (!whole || whole.size !== size) {
        throw new InputError(`${this.model.name}: ${path} is not as large as the hub says; try again`);
      }
      const rest = have === 0 ? whole : whole.slice(have, size);
      for await (const piece of size === have ? [] : (rest.stream() as unknown as AsyncIterable<Uint8Array>)) {
        have += piece.length;
        if (have > size) {
          throw new InputError(`${this.model.name}: ${path} is larger than the hub says; try again`);
        }
        await handle.writeFile(piece).catch((error) => {
          throw writeError(error, incomplete);
        });
        onProgress(have);
      }
      if (have < size) {
        throw new Error('the transfer broke off');
      }
      await handle.sync();
    } finally {
      await handle.close();
    }
  }

  /** An error of the hub or of the way there, in the user's words. */
  private describe(error: unknown, file?: string): unknown {
    if (error instanceof InputError) {
      return error;
    }
    const { name, revision } = this.model;
    const what = file === undefined ? name : `${name}: ${file}`;
    const { statusCode, message, cause } = error as Error & { statusCode?: number };
    switch (statusCode) {
      case 401:
      case 403:
        return new InputError(
          `${what}: the hub wants to know who asks (${statusCode}): there is no such model, or it needs a token that may ` +
            'read it: set HF_TOKEN',
        );
      case 404:
        return new InputError(`${what}: the hub (${this.url}) has no such model, or no revision ${revision} of it`);
      case undefined: {
        const reason = (cause as NodeJS.ErrnoException | undefined)?.code ?? message;
        return new InputError(
          `${what}: the hub (${this.url}) cannot be reached or broke off (${reason}); try again, it goes on where it was`,
        );
      }
      default:
        return new InputError(`${what}: the hub (${this.url}) answers ${statusCode}; try again later`);
    }
  }
}

function readToken(): string | undefined {
  const { HF_TOKEN, HUGGING_FACE_HUB_TOKEN, HF_TOKEN_PATH } = process.env;
  const path = HF_TOKEN_PATH || join(hubHome(), 'token');
  const token = HF_TOKEN || HUGGING_FACE_HUB_TOKEN || (existsSync(path) ? readFileSync(path, 'utf8') : '');
  if (token.trim() !== '' && !token.trim().startsWith('hf_')) {
    throw new InputError(`the token in ${HF_TOKEN ? 'HF_TOKEN' : path} is none of Hugging Face: those begin with hf_`);
  }
  return token.trim() || undefined;
}

function checkCommit({ name }: HubModel, sha: unknown): string {
  if (typeof sha !== 'string' || !/^[\da-f]{40}$/.test(sha)) {
    throw new InputError(`${name}: the hub does not say which commit its files are of; try again later`);
  }
  return sha;
}

/** Configuration, vocabulary, and the weights in the form that is read best. */
function wanted({ name }: HubModel, entries: readonly ListFileEntry[]): HubFile[] {
  const files = entries.filter(({ type, path }) => type === 'file' && !path.split('/').includes('..'));
  const form = WEIGHTS.find((names) => files.some(({ path }) => names.test(path)));
  if (form === undefined) {
    throw new InputError(`${name}: the hub has no weights of it that are read: safetensors, .bin, .pt or .pth`);
  }
  return files
    .filter(({ path }) => WANTED.test(path) || form.test(path))
    .map(({ path, size, oid, lfs }) => {
      const digest = lfs?.oid ?? oid ?? '';
      if (!/^[\da-f]{40}$|^[\da-f]{64}$/.test(digest) || !Number.isSafeInteger(size)) {
        throw new InputError(`${name}: the hub does not say what ${path} is; try again later`);
      }
      return { path, size, digest, isSha256: lfs !== undefined };
    });
}

function checkRoom({ name }: HubModel, folder: string, files: readonly HubFile[]): void {
  const missing = files.reduce((sum, file) => {
    const blob = blobOf(folder, file);
    return existsSync(blob) ? sum : sum + file.size - Math.min(file.size, sizeOf(`${blob}.incomplete`) ?? 0);
  }, 0);
  const { bavail, bsize } = statfsSync(folder);
  if (missing > bavail * bsize) {
    throw new InputError(
      `${name}: ${describeBytes(missing)} are to be got, and ${hubCache()} has ${describeBytes(bavail * bsize)} free; ` +
        'make room, or set HF_HOME to a larger disk',
    );
  }
}

function sizeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.size;
}

async function digestOf(path: string, { size, isSha256 }: HubFile): Promise<string> {
  const hash: Hash = createHash(isSha256 ? 'sha256' : 'sha1');
  if (!isSha256) {
    hash.update(`blob ${size}\0`);
  }
  for await (const piece of createReadStream(path, { highWaterMark: 2 ** 20 })) {
    hash.update(piece as Buffer);
  }
  return hash.digest('hex');
}

/** A snapshot's name for a blob: a relative link, or a copy where the system lets no one make links. */
async function link(blob: string, path: string): Promise<void> {
  if (existsSync(path)) {
    return;
  }
  await mkdir(dirname(path), { recursive: true });
  await rm(path, { force: true });
  await symlink(relative(dirname(path), blob), path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPERM') {
      throw error;
    }
    return copyFile(blob, path);
  });
}
