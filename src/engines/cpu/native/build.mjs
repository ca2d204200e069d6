// Builds the addon with the machine's C++ compiler and the headers of node-api-headers: no network, and neither the
// make nor the python3 that node-gyp asks for.
//
//   node src/engines/cpu/native/build.mjs             build, and fail when that fails
//   node src/engines/cpu/native/build.mjs --optional  (npm's install step) the same, but a machine without a compiler
//                                                     installs all the same, and a prebuilt addon is left alone
//   node src/engines/cpu/native/build.mjs --sanitize  with the sanitizers of addresses and of undefined behaviour, in
//                                                     build/Sanitize, for the smallest instruction set alone; see
//                                                     .ci/sanitize
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';

const FILE = 'protein_lm_cpu.node';
const SOURCES = import.meta.dirname;
const root = join(SOURCES, '../../../..');
const optional = process.argv.includes('--optional');
const sanitize = process.argv.includes('--sanitize');

const FLAGS = [
  ...['-std=c++17', '-O3', '-DNDEBUG', '-fPIC', '-pthread', '-fvisibility=hidden', '-fno-rtti'],
  ...['-fno-math-errno', '-fno-trapping-math', '-ffp-contract=fast', '-fno-semantic-interposition'],
  ...['-Wall', '-Wextra', '-Wno-psabi', '-DNAPI_VERSION=8'],
];
const SANITIZE = ['-O1', '-g', '-fno-omit-frame-pointer', '-fsanitize=address,undefined', '-fno-sanitize-recover=all'];
const LINK =
  process.platform === 'darwin' ? ['-bundle', '-undefined', 'dynamic_lookup'] : ['-shared', '-Wl,-z,nodelete'];

/** Runs the compiler; gives its messages where it fails. */
function compile(compiler, args) {
  return new Promise((resolve) => {
    const child = spawn(compiler, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    let messages = '';
    child.stderr.on('data', (text) => {
      messages += text;
    });
    child.on('error', (error) => resolve(error.message));
    child.on('close', (status) => resolve(status === 0 ? undefined : messages || `${compiler} exited with ${status}`));
  });
}

/** Why the addon cannot be built here, or undefined once it is. */
async function build() {
  if (process.platform === 'win32') {
    return "Windows' compiler lacks vector types";
  }
  const runs = (command) => command && spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0;
  const compiler = [process.env.CXX, 'g++', 'clang++'].find(runs);
  if (!compiler) {
    return 'not found: g++ or clang';
  }
  const headers = createRequire(import.meta.url)('node-api-headers').include_dir;
  const flags = sanitize ? [...FLAGS, ...SANITIZE, '-DPROTEIN_LM_BASE_ONLY'] : FLAGS;
  const target = join(root, 'build', sanitize ? 'Sanitize' : 'Release');
  mkdirSync(target, { recursive: true });
  const objects = mkdtempSync(join(root, 'build', 'objects-'));
  try {
    const waiting = readdirSync(SOURCES).filter((name) => name.endsWith('.cc'));
    const made = waiting.map((name) => join(objects, `${name}.o`));
    let failure;
    const work = async () => {
      for (let name = waiting.pop(); name && !failure; name = waiting.pop()) {
        const output = ['-c', join(SOURCES, name), '-o', join(objects, `${name}.o`)];
        failure ??= await compile(compiler, [...flags, '-I', headers, ...output]);
      }
    };
    await Promise.all(Array.from({ length: availableParallelism() }, work));
    failure ??= await compile(compiler, [
      '-pthread',
      ...(sanitize ? SANITIZE : []),
      ...LINK,
      ...made,
      '-o',
      join(objects, FILE),
    ]);
    if (!failure) {
      renameSync(join(objects, FILE), join(target, FILE));
    }
    return failure;
  } finally {
    rmSync(objects, { recursive: true, force: true });
  }
}

const prebuilt = join(root, 'prebuilds', `${process.platform}-${process.arch}`, FILE);
const failure = optional && existsSync(prebuilt) ? undefined : await build();
if (failure) {
  const reason = /^.*\berror:.*$/m.exec(failure)?.[0] ?? failure.split('\n')[0];
  if (!optional) {
    console.error(failure);
  }
  console.warn(
    `protein-lm: the native CPU engine was not built (${reason}); WebAssembly takes its place, several times slower. ` +
      'With g++ or clang installed, build it with: npm rebuild protein-lm (in a checkout: npm run build:addon)',
  );
  if (!optional) {
    process.exitCode = 1;
  }
}
