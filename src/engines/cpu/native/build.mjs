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

if (optional && existsSync(join(root, 'prebuilds', `${process.platform}-${process.arch}`, 'protein_lm_cpu.node'))) {
  process.exit(0);
}

/** node-gyp takes its settings from npm's environment first: only what is set here may say where headers are. */
const env = Object.fromEntries(
  Object.entries(process.env).filter(
    ([name]) => !/^npm_(package_)?config_(node_gyp_)?(nodedir|disturl|dist_url)$/i.test(name),
  ),
);
const carried = process.env.npm_config_node_gyp;
const [command, first] = carried ? [process.execPath, [carried]] : ['node-gyp', []];
const nodedir = join(root, 'src/engines/cpu/native/gyp');
const built = spawnSync(
  command,
  [...first, 'rebuild', '--jobs', 'max', '--nodedir', nodedir, '--force-process-config', '--loglevel', 'error'],
  { cwd: root, env, stdio: optional ? ['ignore', 'pipe', 'pipe'] : ['ignore', 'ignore', 'inherit'], encoding: 'utf8' },
);

if (built.status !== 0 && !optional) process.exit(1);
if (built.status !== 0) {
  const why = /^.*\b(?:error|not found|No such file|could not find|Could not find).*$/m
    .exec(built.stderr ?? '')?.[0]
    .trim();
  console.warn(
    `protein-lm: the native CPU engine was not built (${why ?? built.error?.message ?? 'node-gyp failed'}); ` +
      'WebAssembly will be used, several times slower. Install g++ (or clang), make and python3, then: npm rebuild protein-lm',
  );
}
