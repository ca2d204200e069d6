import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { float32 } from '@uwdata/flechette';
import { afterAll, describe, expect, it } from 'vitest';
import { InputError } from '../../src/data/errors.js';
import { createArrayFile, NpyFile, openArrayFile } from '../../src/formats/arrayFile.js';
import { createArrowFile } from '../../src/formats/arrow.js';
import { AtomicFile, writeFileAtomic } from '../../src/formats/atomicFile.js';
import { AtomicFolder, recoverFolder, recoverFoldersIn } from '../../src/formats/atomicFolder.js';
import { lockFolder } from '../../src/formats/lock.js';
import { thisProcess } from '../../src/formats/process.js';
import { writeSafetensors } from '../../src/formats/safetensors.js';
import { temporaryBeside } from '../../src/formats/temporary.js';
import { openEmbeddingWriter } from '../../src/scoring/embeddingFiles.js';
import { temporaryFolder } from '../training/tiny.js';

const folder = temporaryFolder();
let count = 0;
const fresh = (): string => {
  const path = join(folder, String(count++));
  mkdirSync(path);
  return path;
};

describe('temporary names', () => {
  it('are never the same, and tell process and machine', () => {
    const place = fresh();
    const names = Array.from({ length: 100 }, () => {
      const temporary = temporaryBeside(join(place, 'x.csv'));
      temporary.release();
      return temporary.path;
    });
    expect(new Set(names).size).toBe(100);
    const { pid, began, place: machine } = thisProcess();
    expect(names[0]).toContain(`.x.csv.${pid}-${began}-${machine}-`);
    expect(machine).toMatch(/^[0-9a-f]{10}$/);
  });

  it('of ended processes are removed where the same file is written again, others stay', async () => {
    const place = fresh();
    const { pid, began, place: here } = thisProcess();
    const [dead, alive] = [2 ** 22 + 1, pid];
    const names = {
      dead: `.x.csv.${dead}-1-${here}-0a.tmp`,
      reused: `.x.csv.${alive}-1-${here}-0b.tmp`,
      alive: `.x.csv.${alive}-${began}-${here}-0c.tmp`,
      elsewhere: `.x.csv.${alive}-${began}-0123456789-0d.tmp`,
      silent: `.x.csv.${alive}-${began}-0123456789-0e.tmp`,
      another: `.x.csv.gz.${dead}-1-${here}-0f.tmp`,
      unknown: '.x.csv.backup.tmp',
    };
    for (const name of Object.values(names)) {
      writeFileSync(join(place, name), '');
    }
    rmSync(join(place, names.reused));
    mkdirSync(join(place, names.reused, 'below'), { recursive: true });
    const then = new Date(Date.now() - 20 * 60_000);
    utimesSync(join(place, names.silent), then, then);
    await writeFileAtomic(join(place, 'x.csv'), 'x');
    expect(readdirSync(place).sort()).toEqual(
      ['x.csv', names.alive, names.elsewhere, names.another, names.unknown].sort(),
    );
  });

  it('fit where the file itself has the longest name', async () => {
    const name = 'é'.repeat(125);
    await writeFileAtomic(join(fresh(), name), 'x');
    expect(readFileSync(join(folder, String(count - 1), name), 'utf8')).toBe('x');
  });
});

describe('atomic folders', () => {
  const put = async (target: string, text: string, replace = false) => {
    const unfinished = await AtomicFolder.create(target);
    mkdirSync(join(unfinished.path, 'below'));
    writeFileSync(join(unfinished.path, 'below', 'file'), text);
    await unfinished.commit({ replace });
  };
  const textOf = (target: string) => readFileSync(join(target, 'below', 'file'), 'utf8');

  it('appear whole, replace only where asked, and leave nothing', async () => {
    const place = fresh();
    const target = join(place, 'store');
    await put(target, 'old');
    await expect(put(target, 'new')).rejects.toThrow(`${target}: something else has that name`);
    const unfinished = await AtomicFolder.create(target);
    await unfinished.discard();
    await put(target, 'new', true);
    expect(textOf(target)).toBe('new');
    symlinkSync(target, join(place, 'link'));
    await put(join(place, 'link'), 'newer', true);
    expect(textOf(target)).toBe('newer');
    expect(
      readdirSync(place)
        .filter((name) => !name.includes('store.') || !name.endsWith('.tmp'))
        .sort(),
    ).toEqual(['link', 'store']);
  });

  it('are recovered where a kill left neither under the name', async () => {
    const place = fresh();
    const target = join(place, 'store');
    await put(join(place, '.store.whole'), 'new');
    await recoverFolder(target);
    expect(textOf(target)).toBe('new');
    // Where both are there, the name's is what counts.
    await put(join(place, '.store.whole'), 'unfinished');
    await recoverFolder(target);
    expect(textOf(target)).toBe('new');
    await recoverFoldersIn(place);
    expect(readdirSync(place)).toEqual(['store']);
  });
});

describe('names that mean something to a format', () => {
  const NAMES = [
    ...['__metadata__', '%5F_metadata__', '%255F_metadata__', '%25', 'layers', '%6Cayers', 'heads', 'sequences'],
    ...['tokens', 'map', 'ids', 'embeddings', 'array', '__proto__', 'constructor', '1', '0', 'a/b', '.', ' ', 'é𝄞'],
  ];
  const description = { ids: NAMES, layers: '[1]', heads: '[1]', sequences: '{}', tokens: 'all', map: 'attention' };

  it.each(['.npz', '.safetensors'])('are names of arrays in %s as well', async (extension) => {
    const path = join(fresh(), `arrays${extension}`);
    const file = await createArrayFile(
      path,
      NAMES.map((name) => ({ name, shape: [2] })),
      description,
    );
    for (const i of NAMES.keys()) {
      await file.write(Float32Array.of(i, -i));
    }
    await file.close();
    const { arrays, description: read } = await openArrayFile(path);
    expect(Object.fromEntries(read)).toEqual({ ...description, ids: JSON.stringify(NAMES) });
    expect([...arrays.keys()].sort()).toEqual([...NAMES].sort());
    for (const [i, name] of NAMES.entries()) {
      expect(await arrays.get(name)!.read()).toEqual(Float32Array.of(i, -i));
    }
  });

  it.each(['npz', 'safetensors'] as const)('and of embeddings of residues in .%s', async (format) => {
    const path = join(fresh(), `embeddings.${format}`);
    const writer = await openEmbeddingWriter(path, format, 'none', 2);
    for (const [i, id] of NAMES.entries()) {
      await writer.append({ id, sequence: 'MK', values: Float32Array.of(i, 1, 2, 3) });
    }
    await writer.close();
    const { arrays, description: read } = await openArrayFile(path);
    expect(JSON.parse(read.get('ids')!)).toEqual(NAMES);
    for (const [i, name] of NAMES.entries()) {
      expect(arrays.get(name)!.shape).toEqual([2, 2]);
      expect(await arrays.get(name)!.read()).toEqual(Float32Array.of(i, 1, 2, 3));
    }
  });

  it('twice are refused', async () => {
    const twice = [
      { name: 'a', shape: [1] },
      { name: 'a', shape: [1] },
    ];
    await expect(createArrayFile(join(fresh(), 'x.npz'), twice)).rejects.toThrow('two arrays are named a');
  });
});

describe('an .npy and what describes it', () => {
  const write = async (path: string, value: number, ids: string[]) => {
    const file = await NpyFile.create(path, { name: 'embeddings', shape: [0, 1] });
    await file.write(new Uint8Array(Float32Array.of(value).buffer));
    return () => file.close({ name: 'embeddings', shape: [1, 1] }, { ids });
  };

  it('belong together by the digest of the values', async () => {
    const [a, b] = [join(fresh(), 'a.npy'), join(fresh(), 'b.npy')];
    await (await write(a, 1, ['one']))();
    await (await write(b, 2, ['two']))();
    const { arrays, description } = await openArrayFile(a);
    expect(description.get('ids')).toBe('["one"]');
    expect(await arrays.get('embeddings')!.read()).toEqual(Float32Array.of(1));
    writeFileSync(`${a}.json`, readFileSync(`${b}.json`));
    await expect(openArrayFile(a)).rejects.toThrow(`${a}.json: it describes other values than those of ${a}`);
    writeFileSync(`${a}.json`, '{"ids": ');
    await expect(openArrayFile(a)).rejects.toThrow(`${a}.json: not a description of an array`);
  });

  it('of older versions are read', async () => {
    const path = join(fresh(), 'old.npy');
    await (await write(path, 1, ['x']))();
    rmSync(`${path}.json`);
    writeFileSync(`${path}.ids.txt`, 'sp|P1\nP2\n');
    expect((await openArrayFile(path)).description.get('ids')).toBe('["sp|P1","P2"]');
    writeFileSync(`${path}.json`, '{"sequences": "{\\"P1\\":\\"MK\\"}", "layers": "[1]"}');
    const { arrays, description } = await openArrayFile(path);
    expect([...arrays.keys()]).toEqual(['P1']);
    expect(description.get('layers')).toBe('[1]');
  });

  it('never lie side by side with those of another, at whatever moment a kill comes', async () => {
    const path = join(fresh(), 'x.npy');
    const place = join(path, '..');
    await (await write(path, 1, ['one']))();
    writeFileSync(`${path}.ids.txt`, 'one\n');
    const close = await write(path, 2, ['two']);
    const seen = new Set<string>();
    const look = (): string => {
      const value = readFileSync(path).readFloatLE(128);
      const json = existsSync(`${path}.json`) ? JSON.parse(readFileSync(`${path}.json`, 'utf8')).ids[0] : 'none';
      const text = existsSync(`${path}.ids.txt`) ? readFileSync(`${path}.ids.txt`, 'utf8').trim() : 'none';
      return `${value} ${json} ${text}`;
    };
    const done = close().then(() => 'done');
    for (;;) {
      seen.add(look());
      if ((await Promise.race([done, new Promise((resolve) => setImmediate(resolve, ''))])) === 'done') {
        break;
      }
    }
    seen.add(look());
    const allowed = ['1 one one', '1 none one', '1 none none', '2 none none', '2 two none'];
    expect(allowed).toEqual(expect.arrayContaining([...seen]));
    expect(look()).toBe('2 two none');
    expect(readdirSync(place).sort()).toEqual(['x.npy', 'x.npy.json']);
  });
});

const STRACE = spawnSync('strace', ['-V']).status === 0 && process.platform === 'linux';
describe.skipIf(!STRACE)('kills at every change of a file (need strace)', () => {
  const formats = new URL('../../dist/formats/', import.meta.url).pathname;
  /** Runs a script again and again, killed at the first, second, … call of each kind that changes a file. */
  const killAtEach = (script: string, begin: () => void, check: () => void): number => {
    let kills = 0;
    for (const call of ['rename', 'fsync', 'unlink', 'rmdir', 'mkdir']) {
      for (let nth = 1; ; nth++) {
        begin();
        const inject = `inject=${call}:signal=SIGKILL:when=${nth}`;
        const { signal } = spawnSync(
          'strace',
          ['-f', '-o', '/dev/null', '-e', `trace=${call}`, '-e', inject].concat(
            process.execPath,
            '--input-type=module',
            '-e',
            script,
          ),
          // strace counts each thread's calls by itself.
          { env: { ...process.env, UV_THREADPOOL_SIZE: '1' } },
        );
        check();
        if (signal === null) {
          break;
        }
        kills++;
      }
    }
    return kills;
  };
  const run = (script: string) => execFileSync(process.execPath, ['--input-type=module', '-e', script]);

  it('an .npy over another: each reads as one of the two, or without its description', {
    timeout: 300_000,
  }, async () => {
    const path = join(fresh(), 'x.npy');
    const script = (value: number) => `
      const { createArrayFile } = await import(${JSON.stringify(`${formats}arrayFile.js`)});
      const file = await createArrayFile(${JSON.stringify(path)}, [{ name: 'a', shape: [1] }], { ids: ['${value}'] });
      await file.write(Float32Array.of(${value}));
      await file.close();`;
    const states = new Set<string>();
    const begin = () => {
      run(script(1));
    };
    const kills = killAtEach(script(2), begin, () => {
      const json = existsSync(`${path}.json`) ? JSON.parse(readFileSync(`${path}.json`, 'utf8')).ids[0] : 'none';
      states.add(`${readFileSync(path).readFloatLE(128)} ${json}`);
    });
    expect(kills).toBeGreaterThan(5);
    expect([...states].sort()).toEqual(['1 1', '1 none', '2 2', '2 none']);
    expect(readdirSync(join(path, '..')).sort()).toEqual(['x.npy', 'x.npy.json']);
  });

  it('a folder over another: the old or the new one, whole', { timeout: 300_000 }, async () => {
    const place = fresh();
    const target = join(place, 'store');
    const script = (text: string) => `
      import { writeFileSync } from 'node:fs';
      const { AtomicFolder } = await import(${JSON.stringify(`${formats}atomicFolder.js`)});
      const folder = await AtomicFolder.create(${JSON.stringify(target)});
      writeFileSync(folder.path + '/a', '${text}');
      writeFileSync(folder.path + '/b', '${text}');
      await folder.commit({ replace: true });`;
    const seen = new Set<string>();
    const recover = `
      const { recoverFolder } = await import(${JSON.stringify(`${formats}atomicFolder.js`)});
      await recoverFolder(${JSON.stringify(target)});`;
    const kills = killAtEach(
      script('new'),
      () => run(script('old')),
      () => {
        run(recover);
        seen.add(readFileSync(join(target, 'a'), 'utf8') + readFileSync(join(target, 'b'), 'utf8'));
      },
    );
    expect(kills).toBeGreaterThan(8);
    expect([...seen].sort()).toEqual(['newnew', 'oldold']);
    expect(readdirSync(place)).toEqual(['store']);
  });
});

/** A file system of so many bytes, or none where this system does not let us make one. */
const small = join(folder, 'small');
mkdirSync(small);
const MOUNTED = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'none', small]).status === 0;
afterAll(() => {
  if (MOUNTED) {
    spawnSync('umount', [small]);
  }
});
describe.skipIf(!MOUNTED)('a full disk (needs the right to mount)', () => {
  const large = new Float32Array(50_000);
  const writers: [string, (path: string) => Promise<void>][] = [
    ['x.txt', (path) => writeFileAtomic(path, 'x'.repeat(200_000))],
    ['x.st', (path) => writeSafetensors(path, new Map([['x', { shape: [50_000], data: large }]]))],
    ...['npy', 'npz', 'safetensors'].map((format): [string, (path: string) => Promise<void>] => [
      `x.${format}`,
      async (path) => {
        const file = await createArrayFile(path, [{ name: 'x', shape: [50_000] }]);
        try {
          for (let i = 0; i < 50_000; i += 1000) {
            await file.write(large.subarray(i, i + 1000));
          }
          await file.close();
        } catch (error) {
          await file.discard();
          throw error;
        }
      },
    ]),
    ...(['npy', 'npz', 'safetensors', 'arrow'] as const).map((format): [string, (path: string) => Promise<void>] => [
      `e.${format}`,
      async (path) => {
        const writer = await openEmbeddingWriter(path, format, 'mean', 1000);
        try {
          for (let i = 0; i < 50; i++) {
            await writer.append({ id: String(i), sequence: 'M', values: large.subarray(i * 1000, (i + 1) * 1000) });
          }
          await writer.close();
        } catch (error) {
          await writer.abort();
          throw error;
        }
      },
    ]),
    [
      'x.arrow',
      async (path) => {
        const file = await createArrowFile(path, { x: float32() });
        try {
          await file.append({ x: [...large] });
          await file.close();
        } catch (error) {
          await file.discard();
          throw error;
        }
      },
    ],
  ];
  it.each(writers)('%s: one line with the file and what is free, and nothing is left', async (name, write) => {
    writeFileSync(join(small, name), 'older');
    const error = await write(join(small, name)).then(
      () => undefined,
      (reason) => reason,
    );
    expect(error).toBeInstanceOf(InputError);
    expect((error as Error).message).toMatch(
      new RegExp(
        `^${small}/${name}(\\.values)?: the disk is full \\([\\d.]+ (bytes|kB) free\\); make room and run it again$`,
      ),
    );
    expect(readdirSync(small)).toEqual([name]);
    expect(readFileSync(join(small, name), 'utf8')).toBe('older');
    rmSync(join(small, name));
  });

  it('a lock leaves nothing either', async () => {
    const filler = await AtomicFile.create(join(small, 'filler'));
    await expect(filler.write(new Uint8Array(200_000))).rejects.toThrow('the disk is full');
    await expect(lockFolder(small)).rejects.toThrow(`${small}/.lock: the disk is full`);
    await filler.discard();
    expect(readdirSync(small)).toEqual([]);
  });
});
