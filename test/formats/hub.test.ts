import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { InputError } from '../../src/data/errors.js';
import { findInCache, hubCache, hubModel, locateModel } from '../../src/formats/hub.js';
import { downloadModel } from '../../src/formats/hubDownload.js';
import { runCli } from '../e2e/cli.js';
import { temporaryFolder } from '../training/tiny.js';
import { COMMIT, gitDigest, type HubServer, MODEL, sha256, startHub } from './hubServer.js';

const folder = temporaryFolder();
const VARIABLES = ['HF_HOME', 'HF_HUB_CACHE', 'HF_ENDPOINT', 'HF_TOKEN', 'HF_HUB_OFFLINE', 'HUGGING_FACE_HUB_TOKEN'];
const saved = Object.fromEntries(VARIABLES.map((name) => [name, process.env[name]]));
let hub: HubServer;
let home: string;
let count = 0;

beforeAll(async () => {
  hub = await startHub();
});
afterAll(() => hub.close());
beforeEach(() => {
  for (const name of VARIABLES) {
    delete process.env[name];
  }
  home = join(folder, String(count++));
  mkdirSync(home);
  Object.assign(process.env, { HF_HOME: home, HF_ENDPOINT: hub.url });
  hub.requests.length = 0;
  Object.assign(hub, { token: undefined, breakAfter: undefined, status: undefined, forged: undefined });
  hub.revisions = new Map([['main', COMMIT]]);
  hub.files = new Map([
    ['config.json', Buffer.from('{"model_type": "esm"}')],
    ['vocab.txt', Buffer.from('<cls>\n')],
    ['README.md', Buffer.from('# a model')],
    ['model.safetensors', Buffer.alloc(300_000, 'weights ')],
    ['pytorch_model.bin', Buffer.alloc(5000, 'pickle ')],
    ['tf_model.h5', Buffer.alloc(5000, 'other ')],
  ]);
});
afterEach(() => {
  for (const name of VARIABLES) {
    if (saved[name] === undefined) {
      delete process.env[name];
    } else {
      process.env[name] = saved[name];
    }
  }
});

const weights = () => hub.files.get('model.safetensors')!;
const cached = (...parts: string[]) => join(home, 'hub', 'models--owner--model', ...parts);

describe('names of models', () => {
  it('are those of the hub, or paths', () => {
    expect(hubModel('facebook/esm2_t12_35M_UR50D')).toEqual({ name: 'facebook/esm2_t12_35M_UR50D', revision: 'main' });
    expect(hubModel('a/b@v1.0')).toEqual({ name: 'a/b', revision: 'v1.0' });
    expect(hubModel('a/b@refs/pr/1')).toEqual({ name: 'a/b', revision: 'refs/pr/1' });
    for (const path of ['model', './a/b', '/a/b', 'a/b/c', '../a', 'a/..', 'a/b@../../x', 'a b/c', '']) {
      expect(hubModel(path)).toBeUndefined();
    }
  });

  it('mean a folder first, then the cache, and never the network', async () => {
    expect(locateModel(home)).toBe(home);
    expect(locateModel('a path/that is none')).toBe('a path/that is none');
    expect(() => locateModel(MODEL)).toThrow(
      `${MODEL}: no such folder, and no model of that name in Hugging Face's cache (${hubCache()}): check the path, or get it from the hub: protein-lm download ${MODEL}`,
    );
    expect(hub.requests).toEqual([]);
  });

  it("are found in the cache as Hugging Face's programs leave it", () => {
    const snapshot = cached('snapshots', COMMIT);
    mkdirSync(snapshot, { recursive: true });
    mkdirSync(cached('refs'));
    writeFileSync(cached('refs', 'main'), COMMIT);
    writeFileSync(join(snapshot, 'config.json'), '{}');
    expect(findInCache(hubModel(MODEL)!)).toBeUndefined();
    const index = { weight_map: { a: 'model-00001-of-00002.safetensors', b: 'model-00002-of-00002.safetensors' } };
    writeFileSync(join(snapshot, 'model.safetensors.index.json'), JSON.stringify(index));
    writeFileSync(join(snapshot, index.weight_map.a), '');
    expect(findInCache(hubModel(MODEL)!)).toBeUndefined();
    writeFileSync(join(snapshot, index.weight_map.b), '');
    expect(locateModel(MODEL)).toBe(snapshot);
    expect(locateModel(`${MODEL}@${COMMIT}`)).toBe(snapshot);
    expect(() => locateModel(`${MODEL}@v2`)).toThrow('no model of that name');
    process.env.HF_HUB_CACHE = join(home, 'elsewhere');
    expect(() => locateModel(MODEL)).toThrow(join(home, 'elsewhere'));
  });
});

describe('downloads', () => {
  it("lie in the cache in the layout of Hugging Face's programs, safetensors before pickles", async () => {
    const seen: [number, number][] = [];
    const snapshot = await downloadModel(MODEL, { onProgress: (done, total) => seen.push([done, total]) });
    expect(snapshot).toBe(cached('snapshots', COMMIT));
    expect(readdirSync(snapshot).sort()).toEqual(['config.json', 'model.safetensors', 'vocab.txt']);
    expect(lstatSync(join(snapshot, 'model.safetensors')).isSymbolicLink()).toBe(true);
    expect(readFileSync(join(snapshot, 'model.safetensors')).equals(weights())).toBe(true);
    const digests = [
      sha256(weights()),
      gitDigest(hub.files.get('config.json')!),
      gitDigest(hub.files.get('vocab.txt')!),
    ];
    expect(readdirSync(cached('blobs')).sort()).toEqual(digests.sort());
    expect(readFileSync(cached('refs', 'main'), 'utf8')).toBe(COMMIT);
    expect(readdirSync(cached()).sort()).toEqual(['blobs', 'refs', 'snapshots']);
    const total = 300_000 + 21 + 6;
    expect(seen.at(-1)).toEqual([total, total]);
    expect(seen.every(([done, all], i) => all === total && done >= (seen[i - 1]?.[0] ?? 0))).toBe(true);
    expect(locateModel(MODEL)).toBe(snapshot);
    hub.requests.length = 0;
    expect(await downloadModel(MODEL)).toBe(snapshot);
    expect(hub.requests.filter((request) => request.includes('/resolve/'))).toEqual([]);
  });

  it('of another revision, of a pickle, of ESM C', async () => {
    const other = 'd'.repeat(40);
    hub.revisions.set('v2', other);
    hub.files.delete('model.safetensors');
    const snapshot = await downloadModel(`${MODEL}@v2`);
    expect(snapshot).toBe(cached('snapshots', other));
    expect(readdirSync(snapshot)).toContain('pytorch_model.bin');
    expect(readFileSync(cached('refs', 'v2'), 'utf8')).toBe(other);
    hub.files = new Map([['data/weights/esmc.pth', Buffer.alloc(2000)]]);
    hub.revisions.set('v3', 'e'.repeat(40));
    expect(readdirSync(await downloadModel(MODEL, { revision: 'v3' }))).toEqual(['data']);
  });

  it('go on where they were broken off, and begin anew where what is there is wrong', async () => {
    hub.breakAfter = 100_000;
    const part = cached('blobs', `${sha256(weights())}.incomplete`);
    mkdirSync(cached('blobs'), { recursive: true });
    writeFileSync(part, weights().subarray(0, 40_000));
    const snapshot = await downloadModel(MODEL);
    expect(readFileSync(join(snapshot, 'model.safetensors')).equals(weights())).toBe(true);
    const ranges = hub.requests.filter((request) => /model\.safetensors bytes=(?!0-0)/.test(request));
    expect(ranges[0]).toContain('bytes=40000-299999');
    expect(ranges.length).toBeGreaterThan(1);
    hub.breakAfter = undefined;
    rmSync(home, { recursive: true });
    mkdirSync(cached('blobs'), { recursive: true });
    writeFileSync(part, Buffer.alloc(40_000, 'x'));
    await expect(downloadModel(MODEL)).rejects.toThrow('model.safetensors arrived damaged');
    expect(existsSync(part)).toBe(false);
    expect(existsSync(cached('refs'))).toBe(false);
    expect(existsSync(await downloadModel(MODEL))).toBe(true);
  });

  it('that are not what the hub says leave no model', async () => {
    hub.forged = new Map([['model.safetensors', Buffer.alloc(300_000, 'forged ')]]);
    await expect(downloadModel(MODEL)).rejects.toThrow(`${MODEL}: model.safetensors arrived damaged`);
    rmSync(home, { recursive: true });
    hub.forged = new Map([['config.json', Buffer.from('{"model_type": "xyz"}')]]);
    await expect(downloadModel(MODEL)).rejects.toThrow('config.json arrived damaged');
    expect(() => locateModel(MODEL)).toThrow('no such folder');
    expect(existsSync(cached('snapshots', COMMIT, 'model.safetensors'))).toBe(false);
  });

  it.each<[string, () => void, string, string]>([
    ['no such model', () => {}, 'owner/another', 'has no such model, or no revision main of it'],
    ['no such revision', () => {}, `${MODEL}@v9`, 'or no revision v9 of it'],
    ['a token is needed', () => Object.assign(hub, { token: 'hf_secret' }), MODEL, 'set HF_TOKEN'],
    ['the hub is ill', () => Object.assign(hub, { status: 503 }), MODEL, 'answers 503; try again later'],
    [
      'the hub is not there',
      () => Object.assign(process.env, { HF_ENDPOINT: 'http://127.0.0.1:9' }),
      MODEL,
      'cannot be reached',
    ],
    ['offline', () => Object.assign(process.env, { HF_HUB_OFFLINE: '1' }), MODEL, 'HF_HUB_OFFLINE is set'],
    ['a token of another', () => Object.assign(process.env, { HF_TOKEN: 'secret' }), MODEL, 'none of Hugging Face'],
    [
      'no weights',
      () => hub.files.delete('model.safetensors') && hub.files.delete('pytorch_model.bin'),
      MODEL,
      'no weights of it',
    ],
    ['too large for the disk', () => {}, MODEL, ''],
  ])('say in a line that %s', async (what, prepare, name, message) => {
    prepare();
    if (what === 'too large for the disk') {
      // A file that no disk has room for.
      Object.defineProperty(weights(), 'length', { value: 2 ** 50 });
      await expect(downloadModel(name)).rejects.toThrow(/are to be got, and .* has [\d.]+ [kMGT]?B free; make room/);
      return;
    }
    const error = await downloadModel(name).catch((reason) => reason);
    expect(error).toBeInstanceOf(InputError);
    expect(error.message).toContain(message);
    expect(error.message).not.toContain('\n');
  });

  it('ask with the token of HF_TOKEN, or of HF_HOME', async () => {
    hub.token = 'hf_secret';
    writeFileSync(join(home, 'token'), 'hf_secret\n');
    expect(existsSync(await downloadModel(MODEL))).toBe(true);
    expect(hub.requests.every((request) => request.endsWith(' Bearer hf_secret'))).toBe(true);
  });
});

it('the command line gets a model only where it is told to', { timeout: 120_000 }, async () => {
  const env = { HF_HOME: home, HF_ENDPOINT: hub.url };
  const without = await runCli(['evaluate', '--model', MODEL], { env });
  expect(without).toMatchObject({ code: 1, stderr: expect.stringContaining(`protein-lm download ${MODEL}`) });
  expect(hub.requests).toEqual([]);
  const got = await runCli(['download', MODEL, '--quiet'], { env });
  expect(got).toMatchObject({ code: 0, stdout: `${cached('snapshots', COMMIT)}\n`, stderr: '' });
  rmSync(home, { recursive: true });
  // The weights are none: it is enough that they were looked for.
  const named = await runCli(['embed', '-', '--out', join(folder, 'x.npy'), '--model', MODEL, '--download'], { env });
  expect(named.stderr).toContain(cached('snapshots', COMMIT));
  expect(readdirSync(cached('snapshots'))).toEqual([COMMIT]);
});
