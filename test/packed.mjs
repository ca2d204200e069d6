// Compiles and runs the TypeScript snippets of a README in the project of the current folder, where the package is
// installed: node test/packed.mjs README.md
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';

const snippets = [...readFileSync(process.argv[2], 'utf8').matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(
  ([, code]) => code,
);
if (snippets.length === 0) {
  throw new Error(`${process.argv[2]}: no snippet in it`);
}
const node = (...args) =>
  execFileSync(process.execPath, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });

writeFileSync(
  'model.mjs',
  `import { ensureEngine } from 'protein-lm/engines';
import { createModel, newConfig, PRESETS, saveModel } from 'protein-lm/model';
const engine = await ensureEngine();
await saveModel(createModel(newConfig({ ...PRESETS['performer-tiny'] }), 1), 'runs/first');
await engine.stop();\n`,
);
node('model.mjs');

const options = { strict: true, skipLibCheck: false, target: 'es2023', types: ['node'] };
for (const [i, code] of snippets.entries()) {
  writeFileSync(`snippet-${i}.mts`, code);
}
writeFileSync('tsconfig.json', JSON.stringify({ compilerOptions: { ...options, module: 'nodenext' } }));
node('node_modules/typescript/bin/tsc', '-p', '.');
for (const i of snippets.keys()) {
  process.stdout.write(`snippet ${i}: ${node(`snippet-${i}.mjs`)}`);
}

const rooms = Object.keys(JSON.parse(readFileSync('node_modules/protein-lm/package.json', 'utf8')).exports)
  .filter((path) => path !== './package.json')
  .map((path) => path.replace('.', 'protein-lm'));
if (process.features.require_module) {
  writeFileSync(
    'required.cjs',
    `for (const room of ${JSON.stringify(rooms)}) {
  const names = Object.keys(require(room));
  if (names.length === 0) throw new Error(room + ' exports nothing');
}
console.log('required ${rooms.length} paths');\n`,
  );
  process.stdout.write(node('required.cjs'));
} else {
  process.stdout.write('SKIPPED: require: this Node.js has no require of ES modules\n');
}
