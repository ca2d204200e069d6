// npm run setup:tensorflow [-- --gpu | --cpu]
//
// Builds tfjs-node's addon against the TensorFlow that pip installed. The package itself would download libtensorflow
// 2.9.1 of 2022, for CUDA 11.2. Run it again after either changes; it does nothing where all is in place.
// PYTHON names the interpreter whose TensorFlow is meant; the default is python3.
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '../../..');
const python = process.env.PYTHON ?? 'python3';

function fail(message) {
  process.stderr.write(`setup:tensorflow: ${message}\n`);
  process.exit(1);
}

function run(command, args, cwd = root) {
  try {
    execFileSync(command, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 1 << 28 });
  } catch (error) {
    const tail = `${error.stdout ?? ''}${error.stderr ?? error.message}`.trim().split('\n').slice(-15).join('\n');
    fail(`${command} ${args.join(' ')} failed:\n${tail}`);
  }
}

/** Where pip has put TensorFlow, without loading it: that takes seconds. */
function findTensorFlow() {
  const code = [
    'import importlib.metadata as metadata, importlib.util as util',
    'spec = util.find_spec("tensorflow")',
    'installed = [d.metadata["Name"].lower().replace("_", "-") for d in metadata.distributions()]',
    'names = [name for name in installed if name in ("tensorflow", "tensorflow-cpu", "tf-nightly")]',
    'print(spec.submodule_search_locations[0], names[0], metadata.version(names[0]), sep="\\n") if spec and names else None',
  ].join('\n');
  let answer;
  try {
    answer = execFileSync(python, ['-c', code], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    fail(`${python} does not run (${error.message.split('\n')[0]}): install Python 3, or set PYTHON to one`);
  }
  const [folder, name, version] = answer.trim().split('\n');
  if (!version) {
    fail(`${python} has no TensorFlow: ${python} -m pip install tensorflow-cpu (or tensorflow[and-cuda])`);
  }
  return { folder, name, version };
}

if (process.platform !== 'linux') {
  fail('only Linux is supported: elsewhere npm install @tensorflow/tfjs-node');
}
const tensorflow = findTensorFlow();
const options = process.argv.slice(2);
const unknown = options.find((option) => option !== '--gpu' && option !== '--cpu');
if (unknown) {
  fail(`unknown option '${unknown}': --gpu or --cpu`);
}
const cuda =
  options.length > 0
    ? options.includes('--gpu')
    : tensorflow.name !== 'tensorflow-cpu' && existsSync('/proc/driver/nvidia/version');
const name = cuda ? '@tensorflow/tfjs-node-gpu' : '@tensorflow/tfjs-node';
const { version } = JSON.parse(readFileSync(join(root, 'node_modules/@tensorflow/tfjs-core/package.json'), 'utf8'));
const folder = join(root, 'node_modules', name);
const stamp = `${name} ${version} with ${tensorflow.name} ${tensorflow.version} in ${tensorflow.folder}, Node.js ABI ${process.versions.modules}`;
const stampFile = join(folder, 'deps', 'stamp');
const isBuilt = () =>
  existsSync(join(folder, 'lib')) &&
  readdirSync(join(folder, 'lib')).some((api) => existsSync(join(folder, 'lib', api, 'tfjs_binding.node')));

if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp && isBuilt()) {
  process.stdout.write(`already set up: ${stamp}\n`);
  process.exit(0);
}

if (!existsSync(join(folder, 'package.json'))) {
  process.stdout.write(`installing ${name} ${version}\n`);
  // Under another name: npm takes an optional peer dependency for installed where it is left out.
  const alias = 'tfjs-node-to-build';
  run('npm', [
    'install',
    '--no-save',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    `${alias}@npm:${name}@${version}`,
  ]);
  rmSync(folder, { recursive: true, force: true });
  renameSync(join(root, 'node_modules', alias), folder);
}

const libraries = { tensorflow: 'libtensorflow_cc.so.2', tensorflow_framework: 'libtensorflow_framework.so.2' };
for (const file of [...Object.values(libraries), 'include/tensorflow/c/c_api.h']) {
  if (!existsSync(join(tensorflow.folder, file))) {
    fail(`${tensorflow.name} ${tensorflow.version} has no ${file}: TensorFlow 2.9 or later is needed`);
  }
}
rmSync(join(folder, 'deps'), { recursive: true, force: true });
mkdirSync(join(folder, 'deps/lib'), { recursive: true });
symlinkSync(join(tensorflow.folder, 'include'), join(folder, 'deps/include'));
for (const [library, file] of Object.entries(libraries)) {
  symlinkSync(join(tensorflow.folder, file), join(folder, 'deps/lib', file));
  symlinkSync(join(tensorflow.folder, file), join(folder, 'deps/lib', `lib${library}.so`));
}

process.stdout.write(`building its addon against ${tensorflow.name} ${tensorflow.version} (two minutes)\n`);
const builder = createRequire(join(folder, 'package.json')).resolve('@mapbox/node-pre-gyp/bin/node-pre-gyp');
// Node.js's headers lie beside many installations; node-gyp would download them.
const headers = join(dirname(process.execPath), '..');
const nodedir = existsSync(join(headers, 'include/node/node_api.h')) ? [`--nodedir=${headers}`] : [];
run(process.execPath, [builder, 'rebuild', '--build-from-source', ...nodedir], folder);
if (!isBuilt()) {
  fail(`the build left no addon in ${join(folder, 'lib')}`);
}
writeFileSync(stampFile, stamp);
process.stdout.write(`set up: ${stamp}\n`);
