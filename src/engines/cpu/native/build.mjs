// Builds the addon with the node-gyp that npm carries, from the headers in node-api-headers, without the network.
//
//   node src/engines/cpu/native/build.mjs             build, and fail when that fails
//   node src/engines/cpu/native/build.mjs --optional  (npm's install step) the same, but a machine without a compiler
//                                                     installs all the same, and a prebuilt addon is left alone
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../../../..');
const optional = process.argv.includes('--optional');

const runs = (command) => command && spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0;
const compiler = [process.env.CXX, 'g++', 'clang++'].find(runs);

/** Why the addon cannot be built here, or undefined once it is. */
function build() {
  if (process.platform === 'win32') return "Windows' compiler lacks vector types";
  const missing = Object.entries({
    'g++ or clang': compiler,
    make: runs('make'),
    python3: ['python3', 'python'].some(runs),
  }).filter(([, found]) => !found);
  if (missing.length > 0) return `not found: ${missing.map(([name]) => name).join(', ')}`;

  // node-gyp believes npm's environment before its arguments; only what is set here may say where the headers are.
  const headers = /^npm_(package_)?config_(node_gyp_)?(nodedir|disturl|dist_url)$/i;
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !headers.test(name)));
  const bundled = process.env.npm_config_node_gyp;
  const [command, ...first] = bundled ? [process.execPath, bundled] : ['node-gyp'];
  const nodedir = join(root, 'src/engines/cpu/native/gyp');
  const result = spawnSync(
    command,
    [...first, 'rebuild', '--jobs', 'max', '--nodedir', nodedir, '--force-process-config', '--loglevel', 'error'],
    { cwd: root, env: { ...env, CXX: compiler }, encoding: 'utf8' },
  );
  if (result.status === 0) return undefined;
  if (!optional) console.error(result.stderr ?? '');
  return result.error?.message ?? /^.*\berror:.*$/m.exec(result.stderr)?.[0] ?? 'node-gyp failed';
}

const prebuilt = join(root, 'prebuilds', `${process.platform}-${process.arch}`, 'protein_lm_cpu.node');
const reason = optional && existsSync(prebuilt) ? undefined : build();
if (reason) {
  console.warn(
    `protein-lm: the native CPU engine was not built (${reason}); WebAssembly takes its place, several times slower. ` +
      'With g++ (or clang), make and python3 installed, build it with: npm rebuild protein-lm (in a checkout: npm run build:addon)',
  );
  if (!optional) process.exit(1);
}
